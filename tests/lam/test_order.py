"""The order in which a sweep visits its λ."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pa_harness.lam.grid import parse_lams, visiting_order


@pytest.mark.parametrize(
    ("grid", "order"),
    [
        ("0:1:0.25", (1, 0, 0.5, 0.25, 0.75)),
        ("0:1:0.1", (1, 0, 0.5, 0.2, 0.7, 0.3, 0.8, 0.1, 0.4, 0.6, 0.9)),
        ("0.5", (0.5,)),
        ("0.2,0.4", (0.4, 0.2)),
        ("-0.5,0,1,1.5", (1, 0, 1.5, -0.5)),
    ],
)
def test_the_ends_first_then_halves(grid: str, order: tuple[float, ...]) -> None:
    assert visiting_order(parse_lams(grid)) == order


@given(st.lists(st.integers(-20, 40).map(lambda n: n / 20), min_size=1, unique=True))
def test_every_value_once_and_the_gaps_close(values: list[float]) -> None:
    lams = tuple(sorted(values))
    order = visiting_order(lams)
    assert sorted(order) == list(lams)
    if 1.0 in lams:
        assert order[0] == 1.0
    ends = min(len(order), 4)
    widest = [
        max((b - a for a, b in pairwise(sorted(order[:n]))), default=0.0)
        for n in range(ends, len(order) + 1)
    ]
    assert all(a >= b - 1e-9 for a, b in pairwise(widest))
