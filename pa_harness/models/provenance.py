"""What a result says of the model that gave it, and the cache that must not forget it."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

from pa_harness.errors import PAHarnessError

if TYPE_CHECKING:
    from pa_harness.checkpoints.checkpoint import Checkpoint
    from pa_harness.weights.interpolation import EffectiveLam

_FAR = 0.5  # ‖θ_i − θ_b‖ / ‖θ_b‖ from which a pair looks unrelated
_TOLERATED = 0.02  # |λ_eff − λ| up to which nothing is said


def side(checkpoint: Checkpoint, sha: str) -> dict[str, str]:
    """One end of the pair, as results name it."""
    return {
        "name": checkpoint.name,
        "revision": checkpoint.revision or "",
        "subfolder": checkpoint.subfolder,
        "sha": sha,
    }


def measured(effective: EffectiveLam) -> dict[str, float]:
    """The measured values; the undefined ones are absent."""
    values = {
        "lam_eff": effective.lam_eff,
        "rounding_noise": effective.rounding_noise,
        "relative_delta": effective.relative_delta,
    }
    return {name: value for name, value in values.items() if not math.isnan(value)}


def doubts(effective: EffectiveLam, lam: float, dtype: object) -> list[str]:
    """What the measured values should make a user wonder about.

    Args:
        effective: of the whole model.
        lam: the λ that was asked for.
        dtype: the weights'.
    """
    found = []
    if effective.relative_delta > _FAR:
        found.append(
            f"base and instruct differ by {effective.relative_delta:.0%} of the base's weights: "
            "instruct may not be a fine-tune of this base, and weights between them may be good "
            "for nothing."
        )
    if abs(effective.lam_eff - lam) > _TOLERATED:
        found.append(
            f"Rounding to {dtype} moved λ from {lam:g} to λ_eff = {effective.lam_eff:.3f} (noise "
            f"{effective.rounding_noise:.0%} of the difference, which is "
            f"{effective.relative_delta:.2%} of the weights). dtype=float32 holds λ exactly; "
            "rounding=stochastic holds it on average."
        )
    return found


def digest(value: Any) -> str:
    """Sixteen hex digits that change with the value (JSON, or what `str` tells apart)."""
    content = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def separate_cache(hook: Any, identity: str) -> None:
    """Point a --use_cache file at the table of one model identity.

    lm-eval's cache key holds no model: one file across a sweep would answer λ = 1 with the
    log-likelihoods of λ = 0.

    Args:
        hook: lm-eval's cache hook, or None where there is no cache.
        identity: of the model that will answer.

    Raises:
        PAHarnessError: this lm-eval keeps its answers in another way than a SqliteDict.
    """
    answers = getattr(hook, "dbdict", None)
    if answers is None:
        return
    if not hasattr(answers, "tablename") or not hasattr(answers, "conn"):
        raise PAHarnessError(
            "This lm-eval keeps its --use_cache answers in a way that cannot be separated by λ; "
            "answers of one λ would be given for another. Leave out --use_cache."
        )
    answers.tablename = f"pa_{identity}"
    answers.conn.execute(
        f'CREATE TABLE IF NOT EXISTS "{answers.tablename}" (key TEXT PRIMARY KEY, value BLOB)'
    )
    answers.conn.commit()
