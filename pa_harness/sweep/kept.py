"""The units that a run already has: whether they are of what its command would evaluate now.

Model files, tasks and versions may have changed since a sweep stopped or ended. Nothing of before
and after is mixed unseen: what differs is named, and evaluated again if that is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pa_harness.errors import CheckpointError, RunError, SweepError, listed
from pa_harness.lam.grid import visiting_order
from pa_harness.runs.identity import difference, model_part, parts, settings_part
from pa_harness.runs.seal import file_digest, read_sealed
from pa_harness.runs.settings import model_arguments
from pa_harness.sweep.sources import library_versions, task_config, task_digests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pa_harness.runs.folder import RunFolder
    from pa_harness.runs.settings import SweepSettings
    from pa_harness.sweep.unit import Place
    from pa_harness.sweep.workload import Workload

    Parts = dict[str, Any]

_NONE = "it does not say what it is of: it is no unit, or was made before units did"
_REDO = (
    "Finished and new parts would not belong together. Restore what was changed; or repeat the "
    "command with --redo, which evaluates again just these units (--redo TASK or --redo λ: all of "
    "a task or λ); or choose another --output_path."
)


class Kept:
    """Units that are there, and what they are of."""

    def __init__(self, folder: RunFolder, settings: SweepSettings, workload: Workload) -> None:
        self.folder, self.settings, self.workload = folder, settings, workload
        self.every: list[Place] = [(lam, name) for lam in settings.lam for name in workload.tasks]
        self.parts: dict[Place, Parts] = {}
        self.logs: dict[str, str] = {}  # digests of sample logs, by name
        self._wrong: dict[Place, list[str]] = {}
        self._info: dict[str, Any] = {}  # of the model of one of them
        for place in self.every:
            if folder.unit(*place).exists():
                self._read(place)

    def missing(self) -> list[Place]:
        """Units that are to be evaluated, in the order in which a sweep visits its λ."""
        order = visiting_order(self.settings.lam)
        lacking = [place for place in self.every if not self.folder.unit(*place).exists()]
        return sorted(lacking, key=lambda place: order.index(place[0]))

    def check(self, redo: Sequence[str] | None, note: Callable[[str], None]) -> None:
        """Refuse units that are of something else, or take them away.

        Args:
            redo: None refuses; tasks and λ whose units are taken away; empty takes away those that
                are of something else.
            note: is told what was taken away, and what cannot be compared.

        Raises:
            RunError: units are of something else, damaged, or without their sample log.
            SweepError: `redo` names no task and no λ.
        """
        chosen = self._chosen(redo or ())
        if self.parts:
            self._compare(note)
        wrong = {place: lines for place, lines in self._wrong.items() if place not in chosen}
        if redo is not None and not redo:
            chosen |= {*wrong}
        elif wrong:
            raise RunError(
                f"{self.folder.path} holds {len(wrong)} units that this command would not make "
                f"now:\n{listed(_grouped(wrong, self.every))}\n{_REDO}"
            )
        for place in sorted(chosen & {*self.parts, *self._wrong}):
            note(f"λ = {place[0]:g}  {place[1]}  is evaluated again.")
            self._take_away(place)

    def check_model(self, info: Mapping[str, Any], stamps: Mapping[str, Any]) -> None:
        """Refuse a model that is not that of the units that are there.

        Args:
            info: `get_model_info`.
            stamps: of its files; kept, where these are the first units.

        Raises:
            RunError: some of it differs.
        """
        if not self.parts:
            self.folder.add_provenance(stamps=stamps, model=model_part(info))
        for of in list(self.parts.values())[:1]:
            self._refuse([f"model.{each}" for each in difference(of["model"], model_part(info))])

    def check_unit(self, place: Place, unit: Mapping[str, Any]) -> None:
        """Refuse a new unit that is of something else than those of its task at other λ.

        Raises:
            RunError: it is.
        """
        new = parts(unit)
        for of in self.of_task(place[1])[:1]:
            there = {name: value for name, value in of.items() if name != "lam"}
            here = {name: value for name, value in new.items() if name != "lam"}
            self._refuse(difference(there, here))
        self.parts[place] = new
        self.logs[self._log_name(place)] = unit["log"]

    def of_task(self, name: str) -> list[Parts]:
        """What the units of a task are of."""
        return [of for (_, task), of in self.parts.items() if task == name]

    def log_of(self, name: str) -> Path | None:
        """The sample log of one of a task's units; None where there is none."""
        lams = [lam for lam, task in self.parts if task == name]
        return self.folder.samples(lams[0], name) if lams else None

    def refuse_prompts(self, name: str, digest: str, first: Callable[[], str]) -> None:
        """Refuse prompts that are not those of the units that are there.

        Args:
            name: of the task.
            digest: of its prompts.
            first: gives the first text that differs, in words.

        Raises:
            RunError: they differ.
        """
        if any(of["task_is"]["prompts"] != digest for of in self.of_task(name)):
            self._refuse([f"{name}: its prompts: {first()}"])

    def _refuse(self, lines: Sequence[str]) -> None:
        if lines:
            raise RunError(
                f"{self.folder.path} holds units of something else than what is evaluated now:\n"
                f"{listed(lines)}\n{_REDO}"
            )

    def _read(self, place: Place) -> None:
        try:
            unit = read_sealed(self.folder.unit(*place))
        except RunError as error:
            self._wrong[place] = [str(error)]
            return
        try:
            found = parts(unit)
            log = str(unit["log"])
        except (KeyError, TypeError, AttributeError):
            self._wrong[place] = [f"{self.folder.unit(*place).name}: {_NONE}"]
            return
        self.parts[place] = found
        self._info = self._info or unit["model"]
        self.logs[self._log_name(place)] = log
        file = self.folder.samples(*place)
        there = file_digest(file) if file.exists() else "missing"
        if there != log:
            line = f"its sample log: {log} when it was written, {there} now"
            self._wrong[place] = [line]

    def _compare(self, note: Callable[[str], None]) -> None:
        """Note what differs between the units and what their command would make now."""
        model = self._model(note)
        versions, sources = library_versions(), {}
        for name, task in self.workload.tasks.items():
            if self.of_task(name):
                known = {"config": task_config(task), "version": task.VERSION}
                sources[name] = known | task_digests(task, self.settings)
        for (lam, name), of in self.parts.items():
            here = {
                "lam": lam,
                "task": name,
                "settings": settings_part(self.settings, name),
                "versions": {**of["versions"], **versions},
                "model": {**of["model"], **model},
                "task_is": {**self.of_task(name)[0]["task_is"], **sources[name]},
            }
            lines = difference(of, here)
            if lines:
                self._wrong.setdefault((lam, name), []).extend(lines)

    def _model(self, note: Callable[[str], None]) -> Mapping[str, Any]:
        """What the model's files say now; nothing where they are not to be read."""
        from lm_eval.api.registry import get_model

        stamps = self.folder.provenance().get("stamps", {})
        describe = getattr(get_model(self.settings.model), "describe_files", None)
        if describe is None:
            return {}
        try:
            return model_part(describe(model_arguments(self.settings), stamps, self._info))
        except CheckpointError as error:
            if self.missing():
                raise
            note(f"Whether the model is still the one that was evaluated cannot be told: {error}")
            return {}

    def _chosen(self, redo: Sequence[str]) -> set[Place]:
        chosen: set[Place] = set()
        for each in redo:
            found = {(lam, name) for lam, name in self.every if each == name or _lam(each) == lam}
            if not found:
                raise SweepError(
                    f"--redo {each}: expected a task or λ of this sweep. It has the λ "
                    f"{', '.join(f'{lam:g}' for lam in self.settings.lam)} and the tasks\n"
                    f"{listed(self.workload.tasks)}"
                )
            chosen |= found
        return chosen

    def _take_away(self, place: Place) -> None:
        self.folder.unit(*place).unlink(missing_ok=True)
        self.folder.samples(*place).unlink(missing_ok=True)
        self.parts.pop(place, None)
        self._wrong.pop(place, None)
        self.logs.pop(self._log_name(place), None)

    def _log_name(self, place: Place) -> str:
        return self.folder.samples(*place).relative_to(self.folder.path).as_posix()


def check_same(first: RunFolder, other: RunFolder, tasks: Sequence[str]) -> None:
    """Refuse two sweeps, over other λ and documents, that are not of the same models and tasks.

    Raises:
        RunError: they are not.
    """
    for name in tasks:
        there, here = (_of_any_document(run, name) for run in (first, other))
        lines = difference(there, here)
        if lines:
            raise RunError(
                f"{other.path} is of something else than {first.path}:\n{listed(lines)}\nThe "
                "search would put together what does not belong together. Restore what was "
                "changed and remove the newer folder, or choose another --output_path."
            )


def _of_any_document(run: RunFolder, name: str) -> Parts:
    """What a task's units are of, apart from λ and the choice of documents."""
    found = parts(read_sealed(run.units_of(name)[0]))
    del found["lam"], found["settings"]["samples"]
    del found["task_is"]["prompts"], found["task_is"]["targets"]
    return found


def _lam(text: str) -> float | None:
    try:
        return float(text.removeprefix("lam="))
    except ValueError:
        return None


def _grouped(wrong: Mapping[Place, Sequence[str]], every: Sequence[Place]) -> list[str]:
    """Each difference once, with the units that have it."""
    places: defaultdict[str, list[Place]] = defaultdict(list)
    for place, lines in wrong.items():
        for line in dict.fromkeys(lines):
            places[line].append(place)
    return [f"{line} ({_named(having, every)})" for line, having in places.items()]


def _named(places: Sequence[Place], every: Sequence[Place]) -> str:
    if len(places) == len(every):
        return "all units"
    tasks = dict.fromkeys(name for _, name in places)
    lams = {name: [f"{lam:g}" for lam, task in places if task == name] for name in tasks}
    return "; ".join(f"{name} at λ = {', '.join(lams[name])}" for name in tasks)
