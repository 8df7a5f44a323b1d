"""What is a λ, and what is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pa_harness.errors import ModelArgsError
from pa_harness.lam.reading import check_lam, warn_of_extrapolation


@pytest.mark.parametrize("lam", ["0.5", None, math.nan, math.inf, 10**400, True, [0.5]])
def test_lam_must_be_a_finite_number(lam: object) -> None:
    with pytest.raises(ModelArgsError, match=r"is not a number\. Expected the adaptation strength"):
        check_lam(lam)


def test_extrapolation_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_extrapolation.cache_clear()
    with caplog.at_level("WARNING"):
        for _ in range(3):
            warn_of_extrapolation(1)
    assert [r.getMessage()[:30] for r in caplog.records] == ["λ outside [0, 1] extrapolates "]


@pytest.mark.parametrize("lam", [np.float32(0.5), np.int64(1), 1, 0.5])
def test_numbers_of_other_libraries_are_numbers(lam: Any) -> None:
    assert isinstance(check_lam(lam), float)
