"""What a sweep's folder knows of one λ: model arguments, weights, scores, figures."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pa_harness.errors import ExportError, RunError, first_line, listed
from pa_harness.foreign.naming import file_name
from pa_harness.foreign.reading import MALFORMED
from pa_harness.lam.reading import read_schedule
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.identity import difference, model_part
from pa_harness.runs.seal import read_sealed
from pa_harness.weights.identity import Known, facts_from_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pa_harness.runs.scores import Score
    from pa_harness.weights.opening import Opened


@dataclass(frozen=True)
class Evaluated:
    """What a run found of one λ; the default is that there is no run.

    Attributes:
        name: of the run's folder.
        weights: fingerprint of the weights that were evaluated; empty where unknown.
        dtype: theirs.
        scores: main metrics at this λ and at 0 and 1; empty where this λ was not evaluated.
        figures: PNG files.
        model: what the evaluated model said of itself that is the same at every λ; empty where
            nothing is known.
        stamps: of the files of its weights, by side.
        notes: what must be said of the run.
    """

    name: str = ""
    weights: str = ""
    dtype: str = ""
    scores: tuple[Score, ...] = ()
    figures: tuple[Path, ...] = ()
    model: Mapping[str, Any] = field(default_factory=dict)
    stamps: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def model_args_of(run: Path, lam: float, *, trust_remote_code: bool = False) -> dict[str, Any]:
    """The model arguments with which a run evaluates (or would) this λ.

    A run says what was trusted by whoever made it; whoever exports it trusts by a flag alone.

    Raises:
        RunError: it is no run.
        ExportError: of another model type, whose weights are not a pair's.
    """
    settings = RunFolder(run).provenance().get("settings", {})
    if settings.get("model") != "partially_adapted":
        raise ExportError(
            f"{run} evaluated --model {settings.get('model')}. Expected a run of "
            "partially_adapted; for other weights give --model_args."
        )
    knob = settings.get("knob")
    given: dict[str, Any] = settings.get("model_args", {})
    value = read_schedule(given.get("lam")).with_knob(knob, lam) if knob else lam
    return {**given, "trust_remote_code": trust_remote_code, "lam": value}


def read_evaluated(run: Path, lam: float) -> Evaluated:
    """What the run found of this λ.

    Raises:
        RunError: a file of the run is broken, or is not what the sweep wrote.
    """
    folder = RunFolder(run)
    notes = tuple(folder.check())
    units = folder.units(lam) or sorted(folder.path.glob("units/*/*.json"))
    if not units:
        return Evaluated(run.resolve().name, notes=notes)
    info = read_sealed(units[0]).get("model") or {}
    found = Evaluated(run.resolve().name, notes=notes)
    if not folder.is_old:
        stamps = folder.provenance().get("stamps") or {}
        found = replace(found, model=_model_part(units[0], info, stamps), stamps=stamps)
    if units[0] not in folder.units(lam):
        return found
    scores = folder.scores() if folder.scores_file.exists() else []
    figures = sorted(folder.figures_folder.glob("*.png"))
    return replace(
        found,
        weights=info.get("weights", ""),
        dtype=info.get("model_dtype", ""),
        scores=tuple(score for score in scores if score.main and score.lam in (lam, 0.0, 1.0)),
        figures=tuple(file for file in figures if file_name(file.name) == file.name),
    )


def _model_part(unit: Path, info: Any, stamps: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        found = model_part(info)
        _ = [found[side]["content"] for side in stamps if side in found]
    except MALFORMED as error:
        raise RunError(
            f"{unit} is no unit of a sweep: its model has another form "
            f"({type(error).__name__}: {first_line(error)}). Restore it, or repeat the sweep."
        ) from None
    return found


def check_same_model(opened: Opened, evaluated: Evaluated, *, as_evaluated: bool) -> None:
    """Refuse to ship what the run has not evaluated.

    Args:
        opened: the pair as it is now, with tokenizer and configuration.
        evaluated: what the run found.
        as_evaluated: False where another dtype was asked for.

    Raises:
        ExportError: a part of the model was changed since.
    """
    if not evaluated.model:
        return
    there = evaluated.model
    contents = {side: str(there[side]["content"]) for side in evaluated.stamps if side in there}
    here = model_part(facts_from_files(opened, Known(evaluated.stamps, contents)))
    if not as_evaluated:
        here.pop("arithmetic")
    lines = difference({name: there.get(name) for name in here}, here)
    if lines:
        raise ExportError(
            f"{evaluated.name} has evaluated another model:\n{listed(lines)}\nRestore what was "
            "changed since, or evaluate it (repeat the sweep with --redo); --model_args in the "
            "place of the run exports what is there now."
        )
