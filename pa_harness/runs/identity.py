"""What a unit (one task at one λ) is of: model, task, settings, versions.

A unit's file holds it all. Two units, or a unit and what a command would make now, belong together
where these parts are equal; else each difference has a name and two values.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pa_harness.runs.scores import DRAW

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pa_harness.runs.settings import SweepSettings

# Of a model's information: what is not the same at every λ, and what stands elsewhere.
_NOT_FIXED = {
    *("lam", "lam_eff", "lam_eff_tensors", "rounding_noise", "relative_delta"),
    *("identity", "notes", "model_args", "weights", "versions", "keep", "prefix_sharing"),
}
# Of the settings: what the model, the other parts, or nothing of a unit depends on.
_NOT_OF_UNITS = {"model_args", "lam", "tasks", "include_path", "use_cache", "trust_remote_code"}
_BY_TASK = ("samples", "categories", "metrics")
_SHOWN, _BEFORE = 90, 30  # characters of a value, and of them before the first difference
_NOTHING = "nothing"


def model_part(info: Mapping[str, Any]) -> dict[str, Any]:
    """What is the same at every λ of what a model says of itself."""
    fixed = {name: value for name, value in info.items() if name not in _NOT_FIXED}
    plain: dict[str, Any] = json.loads(json.dumps(fixed, default=str))
    return plain


def settings_part(settings: SweepSettings, task: str) -> dict[str, Any]:
    """The settings that can change a number of a task."""
    found = {k: v for k, v in settings.as_dict().items() if k not in _NOT_OF_UNITS}
    for name in _BY_TASK:
        found[name] = (found[name] or {}).get(task.partition(DRAW)[0])
    return found


def parts(unit: Mapping[str, Any]) -> dict[str, Any]:
    """What a unit is of.

    Args:
        unit: as its file holds it.

    Returns:
        `lam`, `task`, `settings`, `versions`, `model`, and what is known of the task: `config` and
        `version` (lm-eval's), `functions` (digests of the source files of its code), `documents`,
        `shots`, `prompts`, `targets` (digests).

    Raises:
        KeyError: it is no unit, or was made before units had an identity.
    """
    identity = dict(unit["identity"])
    identity.pop("digest", None)
    task = {"config": unit["configs"], "version": unit["versions"], **identity.pop("task_is")}
    versions = {**unit["model"].get("versions", {}), **identity.pop("versions")}
    return {**identity, "versions": versions, "model": model_part(unit["model"]), "task_is": task}


def identity_digest(unit: Mapping[str, Any]) -> str:
    """Of `parts`, and of the weights at this λ."""
    content = [parts(unit), unit["model"].get("weights")]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """One line per entry that is not the same in both, by dotted name, sorted.

    An entry that one of them lacks is as good as null. Of long texts that part is shown where the
    first difference is.
    """
    old, new = _flat(there), _flat(here)
    lines = []
    for name in sorted(old.keys() | new.keys()):
        before, after = (side.get(name, "null") for side in (old, new))
        if before != after:
            shown = _around(before, after)
            words = [
                text if name in side else _NOTHING
                for text, side in zip(shown, (old, new), strict=True)
            ]
            lines.append(f"{name}: {words[0]} there, {words[1]} here")
    return lines


def first_difference(there: str, here: str) -> str:
    """Two texts where they begin to differ, in words."""
    texts = (json.dumps(text, ensure_ascii=False) for text in (there, here))
    return "{} there, {} here".format(*_around(*texts))


def _around(before: str, after: str) -> tuple[str, str]:
    pairs = enumerate(zip(before, after, strict=False))
    place = next((n for n, (a, b) in pairs if a != b), min(len(before), len(after)))
    start = max(0, place - _BEFORE) if max(len(before), len(after)) > _SHOWN else 0
    return _cut(before, start), _cut(after, start)


def _cut(text: str, start: int) -> str:
    end = start + _SHOWN
    return f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}"


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, item in value.items():
        if isinstance(item, dict):
            found |= _flat(item, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = json.dumps(item, ensure_ascii=False)
    return found
