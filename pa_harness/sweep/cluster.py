"""What is asked of a Ray cluster, and which of its workers does what."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pa_harness.errors import SweepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.unit import Place

ATTEMPTS = 4  # at one unit, before its workers' deaths are taken to be its fault


@dataclass(frozen=True)
class Cluster:
    """A sweep's wishes of a cluster.

    Attributes:
        settings: of the sweep.
        address: of a running cluster; None starts one on this machine, or joins RAY_ADDRESS.
        gpus_per_lam: GPUs of one worker; None: 1 where the cluster has any.
        workers: the most at one time; None: as many as the GPUs allow, else one a machine.
    """

    settings: SweepSettings
    address: str | None = None
    gpus_per_lam: float | None = None
    workers: int | None = None

    def resources(self, cpus: float, gpus: float, machines: int) -> tuple[int, float, float]:
        """How many workers there can be, and the CPUs and GPUs of each.

        Args:
            cpus: of the cluster.
            gpus: of the cluster.
            machines: of the cluster.

        Raises:
            SweepError: not even one worker is possible.
        """
        wanted = self.gpus_per_lam
        each = (1.0 if gpus else 0.0) if wanted is None else wanted
        if each > gpus:
            raise SweepError(
                f"gpus_per_lam={each:g}, and the cluster has {gpus:g} GPUs. Ask for fewer, or wait "
                "until the machines that have them have joined (ray status)."
            )
        count = int(gpus / each) if each else max(machines, 1)
        if self.workers is not None:
            count = min(count, self.workers) if each else self.workers
        return count, max(1.0, cpus // count), each


class Shares:
    """The units that are still to do, in shares: every worker walks its own λ values."""

    def __init__(self, missing: Sequence[Place], workers: int) -> None:
        """Deal the units out.

        Args:
            missing: in their order; consecutive units of one λ.
            workers: how many shares.
        """
        lams = list(dict.fromkeys(lam for lam, _ in missing))
        self._shares: list[deque[Place]] = [deque() for _ in range(workers)]
        for number, unit in enumerate(missing):
            if len(lams) >= workers:
                share = lams.index(unit[0]) * workers // len(lams)
            else:  # fewer λ than workers: their tasks are divided
                share = number * workers // len(missing)
            self._shares[share].append(unit)
        self._attempts: Counter[Place] = Counter()

    @property
    def left(self) -> int:
        """Units that nobody has taken."""
        return sum(map(len, self._shares))

    def take(self, worker: int) -> Place | None:
        """The worker's next unit; where its share is done, the last of the longest other one."""
        own = self._shares[worker]
        if not own:
            longest = max(self._shares, key=len)
            return self._begun(longest.pop()) if longest else None
        return self._begun(own.popleft())

    def put_back(self, worker: int, unit: Place, why: str) -> None:
        """The worker was lost with this unit: it is next, for whoever comes first.

        Raises:
            SweepError: it has been tried too often.
        """
        if self._attempts[unit] >= ATTEMPTS:
            raise SweepError(
                f"{unit[1]} at λ = {unit[0]:g} lost its worker {ATTEMPTS} times; the last: {why}. "
                "Out of memory, perhaps? Finished units are kept; the same command goes on from "
                "there, with --gpus_per_lam or another batch size, if that is the cure."
            )
        self._shares[worker].appendleft(unit)

    def _begun(self, unit: Place) -> Place:
        self._attempts[unit] += 1
        return unit
