"""Names of models: one name for what was renamed or uploaded again, suggestions, sizes."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Organisations that upload others' weights unchanged, and those that have moved.
_SAME_WEIGHTS = {
    "unsloth": "",
    "nousresearch": "",
    "mistral-community": "mistralai",
    "meta": "meta-llama",
    "facebook": "meta-llama",
    "alibaba": "qwen",
    "ai2": "allenai",
}
_BILLIONS = {  # where the name does not tell the number of parameters
    "mixtral-8x7b": 46.7,
    "mixtral-8x22b": 140.6,
    "olmoe-1b-7b": 6.9,
    "mistral-nemo": 12.2,
}
# Upper ends (billions) of the classes in which models are ranked; none lies between a name's round
# number and the count (Qwen1.5-4B has 3.95).
_CLASSES = (2, 3.5, 10, 20, 50, 100, math.inf)


@cache
def canonical(name: str) -> str:
    """The name without what does not change the weights; equal for two names of one model.

    Case, the marks ``Meta-`` (Llama 3) and ``-hf`` (the transformers layout of the same weights)
    and the organisations that upload weights again. A folder counts by its last part.
    """
    whole = name.strip().rstrip("/").lower()
    owner, _, model = whole.rpartition("/")
    if owner.count("/") or owner.startswith((".", "~")) or whole.startswith("/"):
        owner = ""
    owner = _SAME_WEIGHTS.get(owner, owner)
    model = model.removeprefix("meta-").removesuffix("-hf")
    model = re.sub(r"^llama-?([23])", r"llama-\1", model)
    return f"{owner}/{model}" if owner else model


def matching(name: str, known: Iterable[str]) -> list[str]:
    """The known names that mean the same model; the name itself first.

    An organisation must agree where both names have one.
    """
    wanted = canonical(name)
    found = [other for other in dict.fromkeys(known) if _agree(wanted, canonical(other))]
    return sorted(found, key=lambda other: other != name)


def suggestions(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Known names that look like it, nearest first."""
    names = {canonical(other).rpartition("/")[2]: other for other in dict.fromkeys(known)}
    close = get_close_matches(canonical(name).rpartition("/")[2], names, most, 0.7)
    return [names[each] for each in close]


def billions(name: str, parameters: float = math.nan) -> float:
    """The number of parameters in billions; NaN where neither number nor name tells it."""
    if parameters > 0:
        return parameters / 1e9
    model = canonical(name).rpartition("/")[2]
    for start, size in _BILLIONS.items():
        if model.startswith(start):
            return size
    match = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)(b|m)(?![a-z0-9])", model)
    if match is None:
        return math.nan
    return float(match[1]) / (1000 if match[2] == "m" else 1)


def size_class(size: float) -> str:
    """``3.5–10 B`` for 7; empty where the size is not known. Ends belong to the class above."""
    if math.isnan(size):
        return ""
    lower: float = 0
    for upper in _CLASSES:
        if size < upper:
            break
        lower = upper
    if upper == math.inf:
        return f"over {lower:g} B"
    return f"{lower:g}–{upper:g} B" if lower else f"under {upper:g} B"


def short(name: str) -> str:
    """The name for a table: without the path of a folder."""
    parts: Sequence[str] = name.rstrip("/").split("/")
    return name if len(parts) <= 2 and not name.startswith(("/", ".")) else parts[-1]


def between(base: str, instruct: str, place: str) -> str:
    """The name of a model made of two others; a parent's own where it is that parent.

    Args:
        base: name or folder.
        instruct: name or folder; of a longer path several (see `pa_harness.runs.scores.Score`).
        place: where between them, as `pa_harness.interchange.reported.Reported.place` has it.
    """
    stages = [base, *instruct.split(" → ")]
    parents = {f"lam={number}": name for number, name in enumerate(stages)}
    names = [short(each).replace("/", "_") for each in stages]
    return parents.get(place) or "__".join([*names, place])


def _agree(one: str, other: str) -> bool:
    if one == other:
        return True
    (owner, _, model), (owner_2, _, model_2) = one.rpartition("/"), other.rpartition("/")
    return model == model_2 and not (owner and owner_2)
