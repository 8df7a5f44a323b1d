"""Scores out of lm-eval's results, and the flat table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from pa_harness.errors import RunError
from pa_harness.runs.scores import Score, from_lm_eval, read_scores, write_scores
from pa_harness.runs.tables import FORMATS

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_table_gives_back_what_was_written(suffix: str, tmp_path: Path) -> None:
    scores = from_lm_eval(RESULTS)
    path = tmp_path / f"scores.{suffix}"
    write_scores(scores, path)
    again = read_scores(path)
    assert [repr(score) for score in again] == [repr(score) for score in scores]
    first = path.read_bytes()
    write_scores(again, path)
    assert path.read_bytes() == first
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"as one of \.parquet, \.csv, \.jsonl, not 'xlsx'"):
        write_scores([], tmp_path / "scores.xlsx")
    with pytest.raises(RunError, match=r"does not exist\. It is written at the end of a sweep"):
        read_scores(tmp_path / "scores.parquet")
    for name, content in (("a.parquet", "x"), ("a.jsonl", "{}\n"), ("a.csv", "a\n1\n")):
        (tmp_path / name).write_text(content)
        with pytest.raises(RunError, match=r"is not a table of scores \("):
            read_scores(tmp_path / name)
