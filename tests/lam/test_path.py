"""A path as it is written, and where on it λ is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pa_harness.errors import ModelArgsError
from pa_harness.lam.path import Stage, place, read_path, roles, short_form, stages_of

LONG = ["a", {"model": "b", "revision": "v2"}, {"peft": "c", "subfolder": "x"}]


@pytest.mark.parametrize(
    ("lam", "legs", "where"),
    [
        (0.0, 1, (0, 0.0)),
        (1.0, 1, (0, 1.0)),
        (1.7, 1, (0, 1.7)),
        (-0.5, 3, (0, -0.5)),
        (1.0, 2, (1, 0.0)),
        (1.3, 2, (1, 0.3)),  # not 0.30000000000000004
        (2.0, 2, (1, 1.0)),
        (2.6, 2, (1, 1.6)),
        (7.1, 3, (2, 5.1)),
        (1.999, 3, (1, 0.999)),
        (1e-9, 3, (0, 1e-9)),
    ],
)
def test_a_place_is_as_typed(lam: float, legs: int, where: tuple[int, float]) -> None:
    assert place(lam, legs) == where


@given(st.floats(-3, 9), st.integers(1, 6))
def test_a_place_is_on_its_leg(lam: float, legs: int) -> None:
    leg, there = place(lam, legs)
    assert 0 <= leg < legs
    assert leg + there == pytest.approx(lam, abs=1e-12)
    assert there >= 0 or leg == 0
    assert there < 1 or leg == legs - 1


def test_a_path_of_two_is_a_pair() -> None:
    more = {"lam": 0.5, "dtype": "float32"}
    pair = {"pretrained": "a", "instruct": "b"}
    assert short_form({"path": ["a", "b"], **more}) == pair | more
    assert short_form({"path": ("a", "b"), **more}) == pair | more
    assert short_form(pair | more) == pair | more
    assert short_form({"path": LONG[1:]}) == {
        **{"pretrained": "b", "revision": "v2"},
        **{"peft": "c", "instruct_subfolder": "x"},
    }


def test_a_longer_path_stays_one_and_is_read_again() -> None:
    assert short_form({"path": tuple(LONG), "lam": 2}) == {"path": LONG, "lam": 2}
    stages = stages_of({"path": LONG})
    assert stages == (Stage("a"), Stage("b", "v2"), Stage("c", subfolder="x", is_adapter=True))
    assert roles(stages) == ["base", "stage_1", "peft_2"]
    assert roles(stages[:2]) == ["base", "instruct"]
    assert roles(stages[1:]) == ["base", "peft"]
    assert stages_of({}) == ()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a", "list of two or more checkpoints"),
        (["a"], "list of two or more"),
        ({"a": 1, "b": 2}, "list of two or more"),
        (["a", 3], "path: 3 should be a mapping of model, peft, revision"),
        (["a", ""], "should name one checkpoint"),
        (["a", {"model": "b", "peft": "c"}], "should name one checkpoint"),
        (["a", {"model": "b", "revision": 7}], "should name one checkpoint"),
        (["a", {"modle": "b"}], "unknown 'modle'.*model"),
        ([{"peft": "a"}, "b"], "adapter 'a' is the first of a path"),
        (["a", {"peft": "b"}, {"peft": "c"}], "adapter 'c' is on the adapter 'b'"),
    ],
)
def test_what_is_no_path_is_told(path: Any, message: str) -> None:
    with pytest.raises(ModelArgsError, match=message):
        read_path(path)


@pytest.mark.parametrize("other", ["pretrained", "instruct", "peft", "revision"])
def test_a_path_beside_other_names_is_refused(other: str) -> None:
    with pytest.raises(ModelArgsError, match=f"path= and {other}= both name checkpoints"):
        short_form({"path": ["a", "b", "c"], other: "x"})
