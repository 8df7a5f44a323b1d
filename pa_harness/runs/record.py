"""A run's record, ``provenance.json``: of the form that a sweep writes, whoever wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError
from pa_harness.runs.seal import read_sealed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_OBJECTS = ("settings", "versions", "environment", "stamps", "model")
_FORM: dict[str, type | tuple[type, ...]] = {"started": str, "command": str}
_FORM |= dict.fromkeys(_OBJECTS, dict)
_NOTHING = type(None)
_SETTINGS: dict[str, type | tuple[type, ...]] = {
    **{"model": str, "model_args": dict, "tasks": list, "lam": list},
    **{"metrics": dict, "categories": dict, "gen_kwargs": (dict, str)},
    **{"knob": (str, _NOTHING), "mine": (list, _NOTHING)},
}


def read_record(path: Path) -> dict[str, Any]:
    """What a sweep wrote down of itself.

    Raises:
        RunError: it is missing, changed, or has entries of another kind.
    """
    record = read_sealed(path)
    _check(path, record, _FORM)
    _check(path, record.get("settings", {}), _SETTINGS)
    return record


def _check(
    path: Path, entries: Mapping[str, Any], form: Mapping[str, type | tuple[type, ...]]
) -> None:
    for name, kind in form.items():
        if name in entries and not isinstance(entries[name], kind):
            raise RunError(
                f"{path} is no record of a sweep: its {name} is a {type(entries[name]).__name__}. "
                "Restore the file, or repeat the sweep in another folder."
            )
