"""The demo's one table: a row per λ, a column per task."""

from __future__ import annotations

import statistics
from typing import Any

_COLUMNS = {
    "pa_demo_sentiment": ("sentiment, 8-shot", "acc"),
    "pa_demo_questions": ("question kind, 6-shot", "acc"),
    "pa_demo_instructions": ("held-out response loss", "loss"),
}
_NOTE = (
    "value ± standard error (documents). Accuracies: higher is better, chance is 0.50 and 0.17.\n"
    "Loss: nats per token, mean over responses, lower is better; against the first λ: the mean of\n"
    "the differences response by response, with its standard error."
)


def table(results: dict[float, dict[str, Any]]) -> str:
    """The table as plain text.

    Args:
        results: lm-eval's results by λ.
    """
    measured = any("lam_eff" in result["config"] for result in results.values())
    head = ["λ", *(["λ_eff"] if measured else []), *(title for title, _ in _COLUMNS.values())]
    rows = [[*head, "loss against the first λ"]]
    losses = {lam: _losses(result) for lam, result in results.items()}
    first = next(iter(losses.values()))
    for lam, result in results.items():
        effective = result["config"].get("lam_eff")
        cells = ["-" if effective is None else f"{effective:.4f}"] if measured else []
        rows.append(
            [
                f"{lam:g}",
                *cells,
                *(_cell(result, task, key) for task, (_, key) in _COLUMNS.items()),
                _difference(losses[lam], first),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * sum([*widths, 2 * len(widths) - 2]), *lines[1:], "", _NOTE])


def _losses(result: dict[str, Any]) -> dict[int, float]:
    """Loss by document."""
    samples = result["samples"]["pa_demo_instructions"]
    return {sample["doc_id"]: sample["loss"] for sample in samples}


def _difference(losses: dict[int, float], first: dict[int, float]) -> str:
    """The paired difference; its error is undefined for fewer than two documents."""
    each = [losses[document] - first[document] for document in first]
    spread = f"{statistics.stdev(each) / len(each) ** 0.5:.3f}" if len(each) > 1 else "?"
    return f"{statistics.fmean(each):+.3f} ± {spread}"


def _cell(result: dict[str, Any], task: str, metric: str) -> str:
    scores = result["results"][task]
    value, stderr = scores[f"{metric},none"], scores[f"{metric}_stderr,none"]
    spread = f"{stderr:.3f}" if isinstance(stderr, float) else "?"  # lm-eval's word is "N/A"
    return f"{value:.3f} ± {spread} ({result['n-samples'][task]['effective']})"
