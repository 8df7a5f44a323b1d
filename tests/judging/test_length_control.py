"""The error of a length-controlled win rate, against upstream's rate and against refits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from judge_data import write_gamed

from pa_harness.judging.alpaca import AlpacaEval, Compared
from pa_harness.judging.length_control import contributions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def fitted(x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray:  # type: ignore[type-arg]
    """Newton's method; weights of rows."""
    beta = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ beta))
        beta += np.linalg.solve((x * (w * p * (1 - p))[:, None]).T @ x, x.T @ (w * (y - p)))
    return beta


def design(count: int, random: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    """Features of `count` instructions and of one gamed row for each, preferences, weights."""
    hard, length = random.normal(0, 1.5, count), np.tanh(random.normal(0.3, 1, count))
    mine = np.stack([length, hard, np.ones(count)], axis=1)
    gamed = np.stack([np.tanh(random.normal(1, 0.5, count)), hard, np.zeros(count)], axis=1)
    x = np.concatenate([gamed, mine])
    chance = 1 / (1 + np.exp(-(x @ [-1.0, 0.8, -0.4] + random.normal(0, 1, 2 * count))))
    chance[:count] = 1 / (1 + np.exp(1.2 * gamed[:, 0]))
    return x, chance, np.repeat([0.1, 1.0], count)


def test_parts_are_what_refits_without_an_instruction_show() -> None:
    count = 120
    x, y, w = design(count, np.random.default_rng(3))
    of_row = np.tile(np.arange(count), 2)
    testing = x[count:] * [0, 1, 1]

    def rate(rows: NDArray[np.bool_]) -> float:
        beta = fitted(x[rows], y[rows], w[rows])
        return 100 * float((1 / (1 + np.exp(-testing[rows[count:]] @ beta))).mean())

    whole = rate(np.ones(2 * count, dtype=bool))
    without = np.array([rate(of_row != each) for each in range(count)])
    parts = contributions(x, of_row, (y, w, fitted(x, y, w)), testing)
    assert parts.mean() == pytest.approx(whole, abs=1e-9)
    refits = whole + (count - 1) * (whole - without)
    assert np.corrcoef(parts, refits)[0, 1] > 0.999
    assert parts.std() == pytest.approx(refits.std(), rel=0.05)


def test_the_error_is_the_spread_of_the_rate_and_upstreams_is_not() -> None:
    random, count = np.random.default_rng(0), 200
    rates, errors, naive = [], [], []
    for _ in range(400):
        x, y, w = design(count, random)
        beta, testing = fitted(x, y, w), x[count:] * [0, 1, 1]
        parts = contributions(x, np.tile(np.arange(count), 2), (y, w, beta), testing)
        rates.append(parts.mean())
        errors.append(parts.std(ddof=1) / np.sqrt(count))
        naive.append(100 * (1 / (1 + np.exp(-testing @ beta))).std(ddof=1) / np.sqrt(count))
    inside = np.abs(np.array(rates) - np.mean(rates)) < 1.96 * np.array(errors)
    assert inside.mean() > 0.93 - 2 * np.sqrt(0.05 * 0.95 / 400)
    assert np.std(rates) == pytest.approx(np.mean(errors), rel=0.12)
    assert np.mean(naive) < 0.9 * np.mean(errors)


def test_coefficients_that_the_penalty_took_out_do_not_move() -> None:
    x, y, w = design(50, np.random.default_rng(1))
    testing = x[50:] * [0, 1, 1]
    rows = np.tile(np.arange(50), 2)
    beta = np.array([0.0, *fitted(x[:, 1:], y, w)])
    found = contributions(x, rows, (y, w, beta), testing)
    assert found == pytest.approx(
        contributions(x[:, 1:], rows, (y, w, beta[1:]), testing[:, 1:]), abs=1e-9
    )
    assert contributions(x, rows, (y, w, np.zeros(3)), testing) == pytest.approx(50)


def test_the_rate_is_upstreams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    api = AlpacaEval()
    from alpaca_eval.metrics import glm_winrate

    random = np.random.default_rng(5)
    lengths = random.integers(1, 900, (805, 2))
    preferences = (1 + random.beta(0.4, 0.8, 805)).tolist()
    gamed = write_gamed(tmp_path / "gamed.csv", [each - 1 for each in preferences])
    pairs = [Compared(f"i {n}", "a" * one, "b" * other) for n, (one, other) in enumerate(lengths)]
    parts = api.length_controlled(preferences, pairs, gamed)
    monkeypatch.setattr(glm_winrate, "hf_hub_download", lambda **_: str(gamed))
    frame = pd.DataFrame(
        {
            "preference": preferences,
            "output_1": [pair.output_1 for pair in pairs],
            "output_2": [pair.output_2 for pair in pairs],
            **{"generator_1": "r", "generator_2": "m"},
        }
    )
    theirs = glm_winrate.get_length_controlled_winrate(frame, save_weights_dir=None)
    assert parts.mean() == pytest.approx(theirs["length_controlled_winrate"], abs=1e-6)
    assert parts.std(ddof=1) / np.sqrt(805) > 1.2 * theirs["lc_standard_error"]
