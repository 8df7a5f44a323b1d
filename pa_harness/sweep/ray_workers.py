"""Units of a sweep on the workers of a Ray cluster.

A worker is a Ray actor with a model of its own, loaded once. What it returns is written by the
process that asked, so machines share nothing but the checkpoints and data sets they read. A worker
that is lost (its process, its machine) loses the unit it was at, which another then does.
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
from pa_harness.sweep.cluster import Cluster, Shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.unit import Place, Unit
    from pa_harness.sweep.worker import UnitWorker

_PASSED_ON = ("HF_", "HUGGINGFACE_", "TOKENIZERS_", "PA_HARNESS_", "VLLM_", "XDG_CACHE_HOME")


@dataclass(frozen=True)
class Done:
    """One finished unit.

    Attributes:
        place: λ and task.
        unit: its numbers.
        log: the text of its sample log.
        info: of the model.
        prompts: their digest.
    """

    place: Place
    unit: Unit
    log: str
    info: dict[str, Any]
    prompts: str


class UnitServer:
    """The actor. It loads tasks and model when it gets its first unit, so that errors arrive."""

    def __init__(self, settings: SweepSettings, folder: str, environment: dict[str, str]) -> None:
        """Take over the asking process's environment.

        Args:
            settings: of the sweep.
            folder: its working directory, where it exists here too.
            environment: its variables that libraries read.
        """
        os.environ.update(environment)
        with contextlib.suppress(OSError):
            os.chdir(folder)
        install(switchable=False)
        self._settings = settings
        self._worker: UnitWorker | None = None

    def evaluate(self, lam: float, task: str) -> Done:
        """One task at one λ."""
        from pa_harness.sweep.worker import UnitWorker
        from pa_harness.sweep.workload import load_tasks

        if self._worker is None:
            self._worker = UnitWorker(self._settings, load_tasks(self._settings), lam)
        worker = self._worker
        prompts = worker.prompts(task)
        return Done((lam, task), *worker.evaluate(lam, task), worker.info, prompts)


def evaluate(cluster: Cluster, missing: list[Place], note: Callable[[str], None]) -> Iterator[Done]:
    """Evaluate the units, in whatever order they are finished.

    Args:
        cluster: where, and under which settings.
        missing: units.
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
        yield from _Crew(ray, cluster, missing, note).work()
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
        self, ray: Any, cluster: Cluster, missing: list[Place], note: Callable[[str], None]
    ) -> None:
        self._ray, self._cluster, self._note = ray, cluster, note
        found = ray.cluster_resources()
        machines = sum(node["Alive"] for node in ray.nodes())
        count, self._cpus, self._gpus = cluster.resources(
            found.get("CPU", 1), found.get("GPU", 0), machines
        )
        self._count = min(count, len(missing))
        self._shares = Shares(missing, self._count)
        self._actors: dict[int, Any] = {}
        self._at: dict[Any, tuple[int, Place]] = {}  # what is to be returned -> by whom, of what
        note(f"{self._count} workers with {self._cpus:g} CPUs and {self._gpus:g} GPUs each.")

    def work(self) -> Iterator[Done]:
        for number in range(self._count):
            self._begin(number)
        while self._at:
            (ready, *_), _ = self._ray.wait(list(self._at))
            number, unit = self._at.pop(ready)
            done = self._result(ready, number, unit)
            self._begin(number)  # before this process writes: nobody waits for the disk
            if done is not None:
                yield done

    def _begin(self, number: int) -> None:
        unit = self._shares.take(number)
        if unit is None:
            return
        if number not in self._actors:
            self._actors[number] = self._new_actor()
        self._at[self._actors[number].evaluate.remote(*unit)] = (number, unit)

    def _result(self, ready: Any, number: int, unit: Place) -> Done | None:
        """What a worker returned; None where it was lost."""
        from ray.exceptions import RayError, RayTaskError

        try:
            done: Done = self._ray.get(ready)
        except RayTaskError as error:
            cause = error.cause
            raise (cause if isinstance(cause, PAHarnessError) else error) from None
        except RayError as error:
            why = first_line(error)
            self._note(f"λ = {unit[0]:g}  {unit[1]}  its worker was lost: {why}")
            self._shares.put_back(number, unit, why)
            del self._actors[number]
            return None
        return done

    def _new_actor(self) -> Any:
        environment = {
            name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)
        }
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", f"{self._cpus:g}")
        actor = self._ray.remote(UnitServer).options(num_cpus=self._cpus, num_gpus=self._gpus)
        return actor.remote(self._cluster.settings, str(Path.cwd()), environment)
