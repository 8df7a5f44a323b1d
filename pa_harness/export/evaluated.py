"""What a sweep's folder knows of one λ: model arguments, weights, scores, figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.errors import ExportError
from pa_harness.foreign.naming import file_name
from pa_harness.lam.reading import read_schedule
from pa_harness.runs.folder import RunFolder, read_json

if TYPE_CHECKING:
    from pathlib import Path

    from pa_harness.runs.scores import Score


@dataclass(frozen=True)
class Evaluated:
    """What a run found of one λ; the default is that there is no run.

    Attributes:
        name: of the run's folder.
        weights: fingerprint of the weights that were evaluated; empty where unknown.
        dtype: theirs.
        scores: main metrics at this λ and at 0 and 1; empty where this λ was not evaluated.
        figures: PNG files.
    """

    name: str = ""
    weights: str = ""
    dtype: str = ""
    scores: tuple[Score, ...] = ()
    figures: tuple[Path, ...] = ()


def model_args_of(run: Path, lam: float, *, trust_remote_code: bool = False) -> dict[str, Any]:
    """The model arguments with which a run evaluates (or would) this λ.

    A run says what was trusted by whoever made it; whoever exports it trusts by a flag alone.

    Raises:
        RunError: it is no run.
        ExportError: of another model type, whose weights are not a pair's.
    """
    settings = RunFolder(run).provenance()["settings"]
    if settings["model"] != "partially_adapted":
        raise ExportError(
            f"{run} evaluated --model {settings['model']}. Expected a run of partially_adapted; "
            "for other weights give --model_args."
        )
    knob = settings.get("knob")
    given: dict[str, Any] = settings["model_args"]
    value = read_schedule(given["lam"]).with_knob(knob, lam) if knob else lam
    return {**given, "trust_remote_code": trust_remote_code, "lam": value}


def read_evaluated(run: Path, lam: float) -> Evaluated:
    """What the run found of this λ.

    Raises:
        RunError: a file of the run is broken.
    """
    folder = RunFolder(run)
    units = folder.units(lam)
    if not units:
        return Evaluated(run.resolve().name)
    info = read_json(units[0])["model"]
    scores = folder.scores() if folder.scores_file.exists() else []
    figures = sorted(folder.figures_folder.glob("*.png"))
    return Evaluated(
        run.resolve().name,
        weights=info.get("weights", ""),
        dtype=info.get("model_dtype", ""),
        scores=tuple(score for score in scores if score.main and score.lam in (lam, 0.0, 1.0)),
        figures=tuple(file for file in figures if file_name(file.name) == file.name),
    )
