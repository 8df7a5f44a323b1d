"""What lm-eval reports of a held-out response. Copied beside the task file."""

from __future__ import annotations

from typing import Any


def loss_per_token(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    """Negative log-likelihood of one response, per token.

    Args:
        doc: has ``tokens``, how many tokens were scored.
        results: lm-eval's one (log-likelihood in nats, is it the greedy answer) pair.

    Returns:
        The metric ``loss``; its mean over documents weighs every response alike.
    """
    [(loglikelihood, _)] = results
    return {"loss": -loglikelihood / doc["tokens"]}
