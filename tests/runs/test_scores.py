"""Scores out of lm-eval's results, and the flat table."""

from __future__ import annotations

import math
from typing import Any

from pa_harness.runs.scores import Score, from_lm_eval, lam_of, main_metric

RESULTS: dict[str, Any] = {
    "results": {
        "group": {"alias": "group", "acc,none": 0.6},
        "leaf": {
            **{"alias": "leaf", "sample_len": 5, "acc,none": 0.6, "acc_stderr,none": 0.2},
            **{"f1,strict": 0.5, "f1_stderr,strict": "N/A"},
        },
        "other": {"sample_len": 4, "ppl,none": 9.0, "ppl_stderr,none": "N/A"},
    },
    "configs": {
        "leaf": {
            "metadata": {
                **{"version": 1.0, "category": "reading", "scoring": "cf", "counts_as": "whole"},
                **{"metric": "f1,strict", "random_baseline": 0.25},
            }
        },
        "other": {"metadata": None},
    },
    "versions": {"leaf": 1.0, "other": "Yaml"},
    "n-shot": {"leaf": 3, "other": 0},
    "higher_is_better": {"leaf": {"acc": True}, "other": {"ppl": False}},
    "config": {
        **{"lam": 0.3, "lam_eff": 0.29, "base": {"name": "B"}, "peft": {"name": "P"}},
        "model_args": {"pretrained": "b", "lam": 9},
    },
    "pa_harness": {"tasks": {"other": {"category": "instruction", "chat_template": "default"}}},
}


def test_leaf_tasks_with_all_that_is_known() -> None:
    first, second, third = from_lm_eval(RESULTS)
    assert first == Score(
        *("leaf", "acc", "none", 0.6, 0.2, 5, 3, 0.3, 0.29, "B", "P"),
        *("1.0", "reading", "cf", "whole", False, True, 0.25, ""),
    )
    assert (second.key, second.main, second.value) == ("f1,strict", True, 0.5)
    assert math.isnan(second.stderr)
    assert (third.category, third.chat_template, third.counts_as) == (
        *("instruction", "default", "other"),
    )
    assert third.main
    assert not third.higher_is_better


def test_stock_results_have_no_lam() -> None:
    plain = {**RESULTS, "config": {"model": "hf", "model_args": {"pretrained": "b"}}}
    score = from_lm_eval(plain)[0]
    assert math.isnan(score.lam)
    assert (score.base, score.instruct) == ("b", "")


def test_lam_of_results_is_a_number_or_nan() -> None:
    assert lam_of(RESULTS) == 0.3  # before the model argument
    assert lam_of({"config": {"model_args": {"lam": "0.25"}}}) == 0.25
    for model_args in ({"lam": {"base": 0.5}}, {"lam": "schedule.yaml"}, "lam=0.5", {}):
        assert math.isnan(lam_of({"config": {"model_args": model_args}}))
    assert math.isnan(lam_of({}))


def test_the_main_metric_is_the_named_one_else_the_first() -> None:
    values = {"alias": "t", "sample_len": 5, "acc_stderr,none": 0.1, "acc,none": 1, "f1,none": 1}
    assert main_metric(values, {}) == "acc,none"
    for named, main in (("f1,none", "f1,none"), ("em,none", "acc,none"), ("judged", "judged")):
        assert main_metric(values, {"metric": named}) == main
    assert main_metric({"alias": "t"}, {"metric": "acc,none"}) == ""
