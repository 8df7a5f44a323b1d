"""Several sampled answers to each document (`repeats`): what each scores, and what they make.

With n answers to a document of which c are right,

    METRIC_avg@n     the mean of the answers' scores
    METRIC_pass@k    1 − C(n−c, k) / C(n, k), k = 1, 2, 4, … to n: the chance that one of k answers
                     is right, without bias (Chen et al. 2021, arXiv 2107.03374); of a score that is
                     0 or 1
    METRIC_maj@n     the score of the answer that the filter gives most often (Wang et al. 2022,
                     arXiv 2203.11171); of equals the first

Each is a number of a document. Their spread over documents holds both sources of chance: which
documents were asked, and which answers were drawn.
"""

from __future__ import annotations

import copy
import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.errors import SweepError
from pa_harness.runs.scores import main_metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.runs.samples import DocumentValues
    from pa_harness.runs.settings import SweepSettings

Rows = list[list[float]]  # by document, a number for each answer


def set_repeats(task: Any, settings: SweepSettings) -> None:
    """Have a task's answers drawn several times.

    Raises:
        SweepError: it would give the same answer every time, or does so by itself.
    """
    if settings.repeats is None or task.get_config("output_type") != "generate_until":
        return
    given = task.get_config("generation_kwargs") or {}
    if not (given.get("do_sample") and float(given.get("temperature", 1.0)) > 0):
        raise SweepError(
            f"--repeats {settings.repeats}: {task.task_name} decodes greedily, so that all answers "
            "would be one. Let it sample: --gen_kwargs do_sample=true,temperature=0.6,top_p=0.95."
        )
    if (task.get_config("repeats") or 1) > 1:
        raise SweepError(
            f"--repeats {settings.repeats}: {task.task_name} draws {task.get_config('repeats')} "
            "answers by itself, and filters them. Leave the task or the option out."
        )
    task.set_config(key="repeats", value=settings.repeats)


def pass_at(k: int, n: int, right: int) -> float:
    """1 − C(n−c, k) / C(n, k): that one of k answers is right, from n of which c are.

    Args:
        k: answers that a user would draw, at most n.
        n: answers that were drawn.
        right: c.
    """
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def add_repeats(
    task: Any, results: dict[str, Any], up: dict[str, Any], values: DocumentValues
) -> None:
    """Score each answer of a task that was asked with repeats, and add what that makes.

    Args:
        task: just evaluated.
        results: lm-eval's numbers of it; gets means with standard errors.
        up: by metric, whether more is better.
        values: by document; gets the same by document, and `repeats`.
    """
    each, texts = _scored(task)
    for key, rows in each.items():
        metric, _, name = key.partition(",")
        values.repeats[key] = rows
        for made, numbers in _made(metric, rows, texts[name]).items():
            values.values[f"{made},{name}"] = numbers
            results[f"{made},{name}"] = float(np.mean(numbers))
            error = np.std(numbers, ddof=1) / math.sqrt(len(numbers)) if len(numbers) > 1 else "N/A"
            results[f"{made}_stderr,{name}"] = error if isinstance(error, str) else float(error)
            up[made] = up.get(metric)


def averaged_metric(results: Mapping[str, Any], facts: Mapping[str, Any], repeats: int) -> str:
    """The mean over the answers of the metric that stands for a task."""
    metric, _, name = main_metric(results, facts).partition(",")
    averaged = f"{metric}_avg@{repeats},{name}"
    return averaged if averaged in results else f"{metric},{name}"


def _scored(task: Any) -> tuple[dict[str, Rows], dict[str, list[list[Any]]]]:
    """By metric and filter, and by filter, what each answer scores and what the filter gives."""
    by_document: dict[int, list[Any]] = defaultdict(list)
    for instance in sorted(task.instances, key=lambda each: each.idx):
        by_document[instance.doc_id].append(instance)
    count = min(len(each[0].resps) for each in by_document.values())
    scores: dict[str, Rows] = defaultdict(list)
    texts: dict[str, list[list[Any]]] = defaultdict(list)
    single = [
        {
            number: [_with_one(each, place) for each in group]
            for number, group in by_document.items()
        }
        for place in range(count)
    ]
    for ensemble in task._filters:  # noqa: SLF001 -- as `apply_filters` of lm-eval does
        for answers in single:
            ensemble.apply([each for group in answers.values() for each in group])
        for number, group in sorted(by_document.items()):
            given = [
                [each.filtered_resps[ensemble.name] for each in answers[number]]
                for answers in single
            ]
            found = [task.process_results(group[0].doc, each) for each in given]
            texts[ensemble.name].append([each[0] for each in given])
            for metric, value in found[0].items():
                if isinstance(value, (bool, int, float)) or hasattr(value, "__float__"):
                    row = [float(each[metric]) for each in found]
                    scores[f"{metric},{ensemble.name}"].append(row)
    return dict(scores), dict(texts)


def _with_one(instance: Any, place: int) -> Any:
    """A request as if it had been answered once."""
    one = copy.copy(instance)
    one.resps, one.filtered_resps = [instance.resps[place]], {}
    return one


def _made(metric: str, rows: Rows, texts: Sequence[Sequence[Any]]) -> dict[str, list[float]]:
    """What several answers make, by document."""
    n = len(rows[0])
    made = {f"{metric}_avg@{n}": [sum(row) / n for row in rows]}
    if all(value in (0.0, 1.0) for row in rows for value in row):
        for k in [2**power for power in range(n.bit_length()) if 2**power < n] + [n]:
            made[f"{metric}_pass@{k}"] = [pass_at(k, n, int(sum(row))) for row in rows]
        pairs = zip(rows, texts, strict=True)
        made[f"{metric}_maj@{n}"] = [row[_most_frequent(given)] for row, given in pairs]
    return made


def _most_frequent(given: Sequence[Any]) -> int:
    """The first place of the answer that comes most often."""
    names = [str(each) for each in given]
    return names.index(Counter(names).most_common(1)[0][0])
