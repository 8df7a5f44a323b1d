"""Which documents of a sample log stand or fall together (`tasks.clusters`), as numbers.

Only documents that have a long line or a prompt in common with another are parsed; the others are
alone whatever they hold. A task that names its clusters has all of them parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.interchange.log_lines import read_documents
from pa_harness.tasks.clusters import Origin, joined, most_that_share

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pa_harness.interchange.log_lines import Lines


class Clusters:
    """The clusters of all tasks of an evaluation; one of a name is one in every task."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._next = 0

    def of(self, task: str, config: dict[str, Any], log: Path, lines: Lines) -> NDArray[np.int64]:
        """Of the documents of a task, by ascending number.

        Args:
            task: its name.
            config: as the results have it.
            log: of the task.
            lines: of it, read with their texts.
        """
        metadata = config.get("metadata")
        named = metadata.get("cluster") if isinstance(metadata, dict) else None
        field = named if isinstance(named, str) and named.strip() else None
        count = len(lines.ids)
        places = list(range(count)) if field else _sharing(lines)
        found = np.arange(self._next, self._next + count)
        self._next += count
        if places:
            documents = read_documents(log, {lines.ids[place] for place in places})
            origin = Origin(
                task, *(config.get(f"dataset_{name}") for name in ("path", "name", "kwargs"))
            )
            names = joined(
                origin,
                field,
                [documents[lines.ids[place]] for place in places],
                [f"{lines.prompts[place]:x}" for place in places],
                count,
            )
            for place, name in zip(places, names, strict=True):
                found[place] = self._numbers.setdefault(name, int(found[place]))
        return found[lines.order()]


def _sharing(lines: Lines) -> list[int]:
    """The places of documents that have a line or a prompt in common with some others."""
    most = most_that_share(len(lines.ids))
    owners = np.repeat(np.arange(len(lines.ids)), [len(each) for each in lines.texts])
    texts = np.fromiter((text for each in lines.texts for text in each), dtype=np.int64)
    found = set(owners[_repeated(texts, most)].tolist())
    prompts = np.fromiter(lines.prompts, dtype=np.int64, count=len(lines.prompts))
    return sorted(found | set(np.flatnonzero(_repeated(prompts, np.inf)).tolist()))


def _repeated(values: NDArray[np.int64], most: float) -> NDArray[np.bool_]:
    """Whether each value is there more than once, and not more than `most` times."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    times = counts[inverse]
    found: NDArray[np.bool_] = (times > 1) & (times <= most)
    return found
