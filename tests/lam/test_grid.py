"""λ lists as typed."""

from __future__ import annotations

import pytest

from pa_harness.errors import SweepError
from pa_harness.lam.grid import lam_name, parse_lams


@pytest.mark.parametrize(
    ("given", "lams"),
    [
        ("0:1:0.1", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
        ("1:0:-0.5", (0.0, 0.5, 1.0)),
        ("0.5,0,1,0.50", (0.0, 0.5, 1.0)),
        ("0:1:0.5,0.25", (0.0, 0.25, 0.5, 1.0)),
        ([0, "0.5:1:0.25"], (0.0, 0.5, 0.75, 1.0)),
        (0, (0.0,)),
        ("-0.1,1.2", (-0.1, 1.2)),
        ("0.1,0.1000000000000000000001", (0.1,)),
    ],
)
def test_what_is_meant(given: object, lams: tuple[float, ...]) -> None:
    assert parse_lams(given) == lams  # to the last bit: 0.3 is 0.3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("0:1:0.3", r"steps of 0\.3 from 0 do not reach 1"),
        ("0:1:0", r"steps of 0 from 0"),
        ("0:1", r"a range has three parts"),
        ("half", r"'half' is not a number"),
        ("nan", r"'nan' is not a number"),
        ("1e400", r"'1e400' is not a number"),
        ([True], r"True is not a number"),
        ("", r"names no λ"),
        ("0:1:0.0001", r"means 10001 values of λ; at most 1001"),
    ],
)
def test_what_is_refused(given: object, message: str) -> None:
    with pytest.raises(SweepError, match=message):
        parse_lams(given)


def test_minus_zero_is_zero() -> None:
    assert [str(lam) for lam in parse_lams("-0,1")] == ["0.0", "1.0"]


def test_names_are_short_and_tell_every_value_apart() -> None:
    assert [lam_name(lam) for lam in (0.0, 1.0, 0.25, -0.5)] == [
        *("lam=0", "lam=1", "lam=0.25", "lam=-0.5")
    ]
    assert lam_name(0.1) != lam_name(0.1 + 1e-17 * 10)
