"""Values by document out of samples, as `evaluate` gives them and as they are logged."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pa_harness.runs.samples import document_values, option_log_likelihoods


def choice(number: int, values: list[float], target: Any, **more: Any) -> dict[str, Any]:
    acc = float(int(np.argmax(values)) == target)
    return {
        "doc_id": number,
        "target": target,
        "arguments": [("context", f" option {n}") for n in range(len(values))],
        "resps": [[(value, False)] for value in values],
        "filter": "none",
        "metrics": ["acc", "f1"],
        "acc": acc,
        "f1": (target, 0),
        **more,
    }


def logged(sample: dict[str, Any]) -> dict[str, Any]:
    """As lm-eval writes it."""
    arguments = {
        f"gen_args_{n}": {f"arg_{i}": value for i, value in enumerate(each)}
        for n, each in enumerate(sample["arguments"])
    }
    resps = [[[str(part) for part in each[0]]] for each in sample["resps"]]
    return {**sample, "arguments": arguments, "resps": resps, "target": str(sample["target"])}


def test_options_against_the_definitions() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(-20, 3, size=(9, 4))
    gold = rng.integers(4, size=9)
    samples = [choice(n, table[n].tolist(), int(gold[n])) for n in reversed(range(9))]
    p = np.exp(table) / np.exp(table).sum(axis=1, keepdims=True)
    for form in (samples, [logged(sample) for sample in samples]):
        found = document_values(form)
        assert found.ids == list(range(9))
        assert found.values["hit,options"] == (p.argmax(1) == gold).astype(float).tolist()
        assert found.values["acc,none"] == found.values["hit,options"]
        np.testing.assert_allclose(found.values["confidence,options"], p.max(1), rtol=1e-12)
        brier = ((p - np.eye(4)[gold]) ** 2).sum(axis=1)
        np.testing.assert_allclose(found.values["brier,options"], brier, rtol=1e-12)
        assert "f1,none" not in found.values  # a pair, no number of a document


def test_which_option_is_right() -> None:
    values = [-1.0, -2.0]
    assert option_log_likelihoods(choice(0, values, "option 1")) == (values, 1)
    assert option_log_likelihoods(choice(0, values, 7)) is None
    assert option_log_likelihoods(choice(0, values, [0, 1])) is None
    numbers = {
        "arguments": [("context", f" {n}") for n in (1, 2, 3, 0)]
    }  # options that are numbers
    four = [-1.0, -2.0, -3.0, -4.0]
    for target, right in (("0", 3), ("3", 2), (0, 0), (3, 3), ("7", None)):
        found = option_log_likelihoods(choice(0, four, target, **numbers))
        assert found == (None if right is None else (four, right)), target
    assert option_log_likelihoods(logged(choice(0, four, "0", **numbers))) is None, "or the first?"
    assert option_log_likelihoods(logged(choice(0, four, "0"))) == (four, 0)
    sides = [("one", " end"), ("two", " end")]  # the context differs: the target is no option
    assert option_log_likelihoods(choice(0, values, "1", arguments=sides)) is None
    twice = choice(0, [-1.0, -2.0, -8.0, -9.0], 1, metrics=["acc", "acc_mutual_info"])
    assert option_log_likelihoods(twice) == (values, 1)


def answer(
    number: int, text: str, settings: dict[str, Any], name: str = "none", prompt: str = "prompt"
) -> dict[str, Any]:
    return {
        "doc_id": number,
        "target": "blue",
        "arguments": [(prompt, settings)],
        "resps": [[text]],
        "filter": name,
        "metrics": ["exact_match"],
        "exact_match": float(text == "blue"),
    }


def test_answers_have_a_length_and_an_end() -> None:
    samples = [answer(n, "blue", {}, prompt=f"prompt {n}") for n in range(3)]
    found = document_values(samples, {"prompt 0": [(1, True)], "prompt 1": [(4, False)]})
    assert found.values["length,answer"][:2] == [1.0, 4.0]
    assert found.values["ended,answer"][:2] == [1.0, 0.0]
    assert math.isnan(found.values["length,answer"][2]), "of a text from a cache nothing is known"
    assert "hit,options" not in found.values
    assert "length,answer" not in document_values(samples).values


def test_each_filter_has_its_own_metric_and_gaps_are_nan() -> None:
    samples = [
        answer(0, "blue", {}, "strict"),
        answer(0, "x", {}, "loose"),
        answer(1, "y", {}, "loose"),
    ]
    values = document_values(samples).values
    assert values["exact_match,loose"] == [0.0, 0.0]
    first, second = values["exact_match,strict"]
    assert first == 1.0
    assert math.isnan(second)


def test_f1_has_values_by_document_with_its_mean_and_standard_error() -> None:
    random = np.random.default_rng(5)
    counts = random.integers(0, 4, size=(400, 3))
    samples = [
        {**answer(n, "x", {}), "metrics": ["entity_f1"], "entity_f1": each.tolist()}
        for n, each in enumerate(counts)
    ]
    values = document_values(samples).values["entity_f1,none"]

    def f1(rows: Any) -> float:
        hit, wrong, missed = rows.sum(axis=0)
        return float(2 * hit / (2 * hit + wrong + missed))

    assert np.mean(values) == pytest.approx(f1(counts), abs=1e-12)
    drawn = [f1(counts[random.integers(400, size=400)]) for _ in range(2000)]
    assert np.std(values) / 20 == pytest.approx(np.std(drawn), rel=0.06)
    nothing = [{**each, "entity_f1": [0, 0, 0]} for each in samples]
    assert np.isnan(document_values(nothing).values["entity_f1,none"]).all()


@pytest.mark.parametrize("resps", [[], [[("x", 1)]], [[(-math.inf, 0)], [(-math.inf, 0)]]])
def test_odd_answers_give_no_option_values(resps: Any) -> None:
    sample = choice(0, [-1.0, -2.0], 1, resps=resps)
    assert list(document_values([sample]).values) == ["acc,none", "count,options"]
