"""One evaluation document by document, whoever made it: what its sample logs say of each task."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError, first_line
from pa_harness.foreign.reading import MALFORMED, parse_json

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pa_harness.runs.scores import Score

_HEAD = re.compile(r'\{"doc_id": (\d{1,15}),')


@dataclass(frozen=True)
class Logged:
    """The main metric of a task by document, in the order of the documents' numbers.

    Attributes:
        score: what the results say of it.
        log: the sample log it is of.
        ids: numbers of the documents in the task.
        documents: digests of the documents, int64; of equal ones each has its own.
        prompts: digests of what was asked first of each, demonstrations included; int64.
        values: of the metric, float64; NaN where a document has none.
        options: how many answers there were to choose from; 1: free text; 0: not looked at.
        clusters: numbers of the documents' clusters, one space for all tasks of a reader.
    """

    score: Score
    log: Path
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


def read_samples(log: Path, wanted: Container[int], name: str = "") -> dict[int, dict[str, Any]]:
    """Some samples of a log, by number; only their lines are parsed.

    Args:
        log: the file.
        wanted: numbers of documents.
        name: of the filter, if it matters; logs before 0.4.8 do not say which a line is of.

    Raises:
        RunError: the file is damaged.
    """
    found: dict[int, dict[str, Any]] = {}
    try:
        with log.open(encoding="utf-8") as file:
            for line in file:
                head = _HEAD.match(line)
                if head and int(head[1]) not in wanted:
                    continue
                sample = parse_json(line)
                number = int(sample["doc_id"])
                if number in wanted and name in ("", sample.get("filter", name)):
                    found[number] = sample
    except (OSError, *MALFORMED) as error:
        raise RunError(
            f"{log} is damaged ({type(error).__name__}: {first_line(error)}): a sample log of "
            "lm-eval was expected. Copy it again, or run the evaluation again."
        ) from None
    return found


def answer_text(sample: dict[str, Any]) -> str:
    """What the model answered: the likeliest option, or the generated text."""
    resps = sample["resps"]
    first = resps[0][0]
    if len(resps) > 1 and isinstance(first, list):
        values = [float(each[0][0]) for each in resps]
        option = list(sample["arguments"].values())[values.index(max(values))]
        return str(option["arg_1"])
    return f"log-likelihood {first[0]}" if isinstance(first, list) else str(first)


def target_text(sample: dict[str, Any]) -> str:
    """The right answer as text; multiple choice names it by number."""
    target, arguments = str(sample["target"]), list(sample["arguments"].values())
    if target.isdecimal() and len(arguments) > 1 and int(target) < len(arguments):
        return str(arguments[int(target)]["arg_1"])
    return target
