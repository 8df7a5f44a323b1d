"""How sure a length-controlled win rate is: what each instruction adds to it.

The rate is 100 · mean_i σ(ψγ_i + θ) of a logistic regression that is fitted to the very verdicts,
with γ_i the difficulty of instruction i. alpaca-eval's `lc_standard_error` is the spread of these
predictions over instructions, as if ψ and θ were known; most of the rate's own error is in them.
Here it is the influence function of the whole: with x the features, w the weights and y the
(soft) verdicts of the rows r of instruction i,

    influence_i = σ_i − mean σ + n · mean_i(∂σ_i/∂β) · H⁻¹ (g_i − mean g)
    g_i = Σ_r w_r (y_r − p_r) x_r,    H = Σ_all rows w p (1 − p) x xᵀ

over the coefficients β that the L1 penalty has not set to 0 (Huber 1981; the penalty's strength,
which cross-validation chose, is taken as given). rate + influence_i has the rate as its mean, its
standard deviation over √n is the standard error, and what two λ differ by is paired by instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def contributions(
    training: Array, of_row: NDArray[np.int64], fit: tuple[Array, Array, Array], testing: Array
) -> Array:
    """Numbers, one for each instruction, whose mean is the length-controlled win rate.

    Args:
        training: features of all rows that were fitted, shape (rows, features).
        of_row: the instruction of each row, from 0.
        fit: their preferences (0 … 1), their weights, both shape (rows,), and the coefficients,
            shape (features,).
        testing: features without a difference in length, shape (instructions, features).

    Returns:
        Shape (instructions,), percent; outside 0 … 100 where an instruction pulls hard.
    """
    preferences, weights, coefficients = fit
    kept = coefficients != 0
    x, beta = training[:, kept], coefficients[kept]
    predicted = _logistic(testing[:, kept] @ beta)
    count = len(testing)
    if not kept.any():
        return np.full(count, 100 * float(predicted.mean()))
    p = _logistic(x @ beta)
    rows = (weights * (preferences - p))[:, None] * x
    scores = np.stack([np.bincount(of_row, column, minlength=count) for column in rows.T], axis=1)
    hessian = (x * (weights * p * (1 - p))[:, None]).T @ x
    slope = (testing[:, kept] * (predicted * (1 - predicted))[:, None]).mean(axis=0)
    pull = count * (scores - scores.mean(axis=0)) @ np.linalg.pinv(hessian) @ slope
    found: Array = 100 * (predicted + pull)
    return found


def _logistic(x: Array) -> Array:
    found: Array = np.exp(-np.logaddexp(0, -x))
    return found
