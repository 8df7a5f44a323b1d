"""One evaluation document by document, whoever made it: what its sample logs say of each task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pa_harness.runs.scores import Score


@dataclass(frozen=True)
class Logged:
    """The main metric of a task by document, in the order of the documents' numbers.

    Attributes:
        score: what the results say of it.
        ids: numbers of the documents in the task.
        documents: digests of the documents, int64; of equal ones each has its own.
        prompts: digests of what was asked first of each, demonstrations included; int64.
        values: of the metric, float64; NaN where a document has none.
        options: how many answers there were to choose from; 1: free text.
        clusters: numbers of the documents' clusters, one space for all tasks of a reader.
    """

    score: Score
    ids: NDArray[np.int64]
    documents: NDArray[np.int64]
    prompts: NDArray[np.int64]
    values: NDArray[np.float64]
    options: NDArray[np.int64]
    clusters: NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """One model's logs of all tasks.

    Attributes:
        label: as the user named it.
        tasks: by name, in the order of the results.
        notes: what is left out, and why.
    """

    label: str
    tasks: dict[str, Logged]
    notes: tuple[str, ...] = ()
