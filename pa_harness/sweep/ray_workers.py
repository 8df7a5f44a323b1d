"""Units of a sweep on the workers of a Ray cluster.

A worker is a Ray actor with a model of its own, loaded once. What it returns is written by the
process that asked, so machines share nothing but the checkpoints and data sets they read. A worker
that is lost (its process, its machine, its accelerator) loses the unit it was at, which another
then does; a new worker gets a unit once it has a place, so that nobody waits for a machine that is
gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.errors import PAHarnessError, SweepError, first_line, missing_extra
from pa_harness.registration import install
from pa_harness.sweep.cluster import ATTEMPTS, Cluster, Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.unit import Place, Unit
    from pa_harness.sweep.worker import UnitWorker

_PATIENCE = 60.0  # seconds without news, until people are told what is waited for
_PASSED_ON = ("HF_", "HUGGINGFACE_", "TOKENIZERS_", "PA_HARNESS_", "VLLM_", "XDG_CACHE_HOME")


@dataclass(frozen=True)
class Done:
    """One finished unit.

    Attributes:
        place: λ and task.
        unit: its numbers.
        log: the text of its sample log.
        info: of the model.
        stamps: of its files.
    """

    place: Place
    unit: Unit
    log: str
    info: dict[str, Any]
    stamps: dict[str, Any]


class UnitServer:
    """The actor. It loads tasks and model when it gets its first unit, so that errors arrive."""

    def __init__(
        self, settings: SweepSettings, started: str, folder: str, environment: dict[str, str]
    ) -> None:
        """Take over the asking process's environment.

        Args:
            settings: of the sweep.
            started: when it began.
            folder: its working directory, where it exists here too.
            environment: its variables that libraries read.
        """
        os.environ.update(environment)
        with contextlib.suppress(OSError):
            os.chdir(folder)
        install(switchable=False)
        self._settings, self._started = settings, started
        self._worker: UnitWorker | None = None

    def evaluate(self, lam: float, task: str) -> Done:
        """One task at one λ."""
        from pa_harness.sweep.worker import UnitWorker
        from pa_harness.sweep.workload import load_tasks

        if self._worker is None:
            tasks = load_tasks(self._settings)
            self._worker = UnitWorker(self._settings, tasks, lam, self._started)
        worker = self._worker
        return Done((lam, task), *worker.evaluate(lam, task), worker.info, worker.stamps)


def evaluate(
    cluster: Cluster, missing: list[Place], started: str, note: Callable[[str], None]
) -> Iterator[Done]:
    """Evaluate the units, in whatever order they are finished.

    Args:
        cluster: where, and under which settings.
        missing: units.
        started: when the sweep began.
        note: is told of workers that begin and are lost.

    Raises:
        ExtraError: Ray is not installed.
        SweepError: there is no such cluster, or a unit loses every worker.
    """
    try:
        import ray
    except ImportError as error:
        raise missing_extra("ray", "--executor ray", error) from None
    mine = not ray.is_initialized()
    _join(ray, cluster)
    try:
        yield from _Crew(ray, cluster, missing, started, note).work()
    finally:
        if mine:
            ray.shutdown()


def _join(ray: Any, cluster: Cluster) -> None:
    if ray.is_initialized():
        return
    quiet = {"log_to_driver": False, "logging_level": logging.WARNING}
    joins = cluster.address or os.environ.get("RAY_ADDRESS")
    # one CPU stands for one worker: how many share a machine is ours to say
    own = {} if joins else {"num_cpus": max(cluster.workers or 1, os.cpu_count() or 1)}
    try:
        ray.init(address=cluster.address, include_dashboard=False if own else None, **own, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SweepError(
            f"No Ray cluster at {joins or 'this machine'}: {first_line(error)}. Start one "
            "(ray start --head), or leave out --address to use this machine alone."
        ) from None


class _Crew:
    """The workers, and what each is at."""

    def __init__(
        self,
        ray: Any,
        cluster: Cluster,
        missing: list[Place],
        started: str,
        note: Callable[[str], None],
    ) -> None:
        self._ray, self._cluster, self._started, self._note = ray, cluster, started, note
        found = ray.cluster_resources()
        machines = sum(node["Alive"] for node in ray.nodes())
        count, self._cpus, self._gpus = cluster.resources(
            found.get("CPU", 1), found.get("GPU", 0), machines
        )
        self._count = min(count, len(missing))
        self._shares = Shares(missing, self._count)
        self._actors: dict[int, Any] = {}  # that have a place
        self._coming: dict[Any, tuple[int, Any]] = {}  # those that wait for one, by what they await
        self._at: dict[Any, tuple[int, Place]] = {}  # what is to be returned -> by whom, of what
        self._idle: list[int] = []
        self._stillborn = 0
        note(f"{self._count} workers with {self._cpus:g} CPUs and {self._gpus:g} GPUs each.")

    def work(self) -> Iterator[Done]:
        for number in range(self._count):
            self._send_for(number)
        while self._at or self._shares.left:
            ready, _ = self._ray.wait([*self._at, *self._coming], timeout=_PATIENCE)
            if not ready and not self._at:
                self._note(
                    f"No worker has a place: waiting for a machine with {self._cpus:g} CPUs and "
                    f"{self._gpus:g} GPUs to join the cluster (Ctrl-C stops)."
                )
            for each in ready:
                if each in self._coming:
                    self._arrived(each)
                    continue
                number, unit = self._at.pop(each)
                done = self._result(each, number, unit)
                if done is not None:
                    self._begin(number)  # before this process writes: nobody waits for the disk
                    yield done

    def _begin(self, number: int) -> None:
        unit = self._shares.take(number)
        if unit is None:
            self._idle.append(number)
        else:
            self._at[self._actors[number].evaluate.remote(*unit)] = (number, unit)

    def _result(self, ready: Any, number: int, unit: Place) -> Done | None:
        """What a worker returned; None where it was lost."""
        from ray.exceptions import RayError, RayTaskError

        try:
            done: Done = self._ray.get(ready)
        except RayTaskError as error:
            cause = error.cause
            if not _is_of_device(cause):
                raise (cause if isinstance(cause, PAHarnessError) else error) from None
            self._ray.kill(self._actors[number])  # nothing works after an accelerator's error
            self._lost(number, unit, first_line(cause))
            return None
        except RayError as error:
            self._lost(number, unit, first_line(error))
            return None
        return done

    def _lost(self, number: int, unit: Place, why: str) -> None:
        """Give the unit to whoever is free first; send for another worker."""
        self._note(f"λ = {unit[0]:g}  {unit[1]}  its worker was lost: {why}")
        self._shares.put_back(number, unit, why)
        del self._actors[number]
        self._send_for(number)
        if self._idle:
            self._begin(self._idle.pop())

    def _send_for(self, number: int) -> None:
        actor = self._new_actor()
        self._coming[actor.__ray_ready__.remote()] = (number, actor)

    def _arrived(self, ready: Any) -> None:
        from ray.exceptions import RayError

        number, actor = self._coming.pop(ready)
        try:
            self._ray.get(ready)
        except RayError as error:
            self._stillborn += 1
            if self._stillborn >= ATTEMPTS:
                raise SweepError(
                    f"{self._stillborn} workers were lost before they did anything; the last: "
                    f"{first_line(error)}. Is pa-harness installed on every machine?"
                ) from None
            self._send_for(number)
            return
        self._actors[number] = actor
        self._begin(number)

    def _new_actor(self) -> Any:
        environment = {
            name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)
        }
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", f"{self._cpus:g}")
        actor = self._ray.remote(UnitServer).options(num_cpus=self._cpus, num_gpus=self._gpus)
        return actor.remote(self._cluster.settings, self._started, str(Path.cwd()), environment)


def _is_of_device(error: BaseException) -> bool:
    """Whether an accelerator failed, which another may not."""
    kinds = {each.__name__ for each in type(error).__mro__}
    words = ("CUDA error", "CUDA out of memory", "NCCL error", "HIP error", "cuBLAS", "CUBLAS")
    return bool(kinds & {"OutOfMemoryError", "AcceleratorError"}) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )
