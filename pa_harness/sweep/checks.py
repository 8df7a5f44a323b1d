"""What can be wrong with a sweep before anything slow is imported, downloaded or loaded."""

from __future__ import annotations

import fnmatch
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pa_harness.errors import SweepError, did_you_mean
from pa_harness.registration import MODELS
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.settings import model_lam
from pa_harness.tasks.index import index, lm_eval_index, passed_over
from pa_harness.tasks.shipped import tasks_folder

if TYPE_CHECKING:
    from collections.abc import Collection

    from pa_harness.runs.settings import SweepSettings

IFEVAL_PACKAGES = ("immutabledict", "langdetect", "nltk")


def check(settings: SweepSettings, path: Path) -> None:
    """Refuse what a second is enough to refuse.

    Args:
        settings: of the sweep.
        path: of its folder.

    Raises:
        SweepError: an unknown task, a folder that is none, or a package that lacks.
        ModelArgsError: a model argument is unknown, malformed or missing.
        CheckpointError: a side of the pair is not there.
    """
    _check_place(path)
    if settings.model in MODELS:
        _check_model(settings)
    _check_tasks(settings)


def _check_place(path: Path) -> None:
    """The run's folder can be made, as far as the file system tells; a finished one is read."""
    if RunFolder(path).scores_file.exists():
        return
    above = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        why = "cannot be written to" if above.is_dir() else "is a file"
        raise SweepError(f"--output_path {path}: {above} {why}. Choose another folder.")


def _check_model(settings: SweepSettings) -> None:
    from pa_harness.weights.early import check_early

    given = {**settings.model_args, "lam": model_lam(settings, settings.lam[0])}
    if settings.model == "partially_adapted":
        check_early(given)


def _check_tasks(settings: SweepSettings) -> None:
    for folder in settings.include_path:
        if not Path(folder).is_dir():
            raise SweepError(
                f"--include_path {folder} is no folder. Name the one with your tasks' YAML files."
            )
    known: set[str] = set()
    unread: dict[str, str] = {}
    unknown = list(settings.tasks)
    for place in (*map(Path, settings.include_path), tasks_folder(), None):  # the slow one last
        known |= (index(place, unread) if place else lm_eval_index()).keys()
        unknown = [name for name in unknown if not _known(name, known)]
        if not unknown:
            break
    if unknown:
        close = " ".join(did_you_mean(name, known) for name in unknown).strip()
        raise SweepError(
            f"Unknown task: {', '.join(unknown)}. {close or 'No name is like it.'} `lm-eval ls "
            f"tasks` lists all; tasks of your own need --include_path FOLDER.{passed_over(unread)}"
        )
    lacking = [name for name in IFEVAL_PACKAGES if find_spec(name) is None]
    if lacking and any("ifeval" in name for name in settings.tasks):
        raise SweepError(
            f"IFEval needs {', '.join(lacking)}, not installed here. Do `pip install "
            "'pa-harness[ifeval]'`."
        )


def _known(name: str, names: Collection[str]) -> bool:
    return name in names or Path(name).is_file() or bool(fnmatch.filter(names, name))
