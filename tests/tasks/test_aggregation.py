"""The suite's average against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from pa_harness.tasks.average import Measured, average, group_row, measured

LEAVES = {
    "mmlu::a": {"acc,none": 0.50, "acc_stderr,none": 0.10, "sample_len": 10},
    "mmlu::b": {"acc,none": 0.70, "acc_stderr,none": 0.20, "sample_len": 20},
    "sst2": {"acc,none": 0.90, "acc_stderr,none": 0.03, "sample_len": 100},
}
CHANCE = {"mmlu::a": 0.25, "mmlu::b": 0.25, "sst2": 0.5}
METADATA = {n: {"metric": "acc,none", "random_baseline": b} for n, b in CHANCE.items()}


def test_parts_count_as_one_task() -> None:
    row = group_row("suite", METADATA, LEAVES)
    mmlu, mmlu_error = (0.5 + 0.7) / 2, math.hypot(0.1, 0.2) / 2
    assert row["score,none"] == pytest.approx((mmlu + 0.9) / 2)
    assert row["score_stderr,none"] == pytest.approx(math.hypot(mmlu_error, 0.03) / 2)
    assert row["sample_len"] == 130


def test_normalized_between_chance_and_perfect() -> None:
    row = group_row("suite", METADATA, LEAVES)
    mmlu = ((0.5 - 0.25) / 0.75 + (0.7 - 0.25) / 0.75) / 2
    errors = math.hypot(0.1 / 0.75, 0.2 / 0.75) / 2, 0.03 / 0.5
    assert row["score_normalized,none"] == pytest.approx((mmlu + 0.4 / 0.5) / 2)
    assert row["score_normalized_stderr,none"] == pytest.approx(math.hypot(*errors) / 2)


def test_metadata_may_name_what_a_leaf_counts_as() -> None:
    leaves = [Measured("bbh", 0.2, 0.0, 0.0), Measured("bbh", 0.4, 0.0, 0.0)]
    assert average([*leaves, Measured("x", 0.9, 0.0, 0.0)]).score == pytest.approx(0.6)
    assert average([*leaves, Measured("x", 0.9, 0.0, 0.0)]).tasks == 2
    one = measured("bbh_navigate", {"metric": "acc,none", "counts_as": "bbh"}, {"acc,none": 1})
    assert one is not None
    assert one.task == "bbh"


def test_what_is_undefined_is_nan() -> None:
    assert math.isnan(average([]).score)
    one = measured("t", {"metric": "f1,none"}, {"f1,none": 0.5, "f1_stderr,none": "N/A"})
    assert one is not None
    assert math.isnan(average([one]).stderr)
    assert average([one]).score == 0.5


def test_a_missing_part_leaves_no_average() -> None:
    row = group_row("suite", METADATA, {**LEAVES, "sst2": {"sample_len": 1}})
    assert math.isnan(row["score,none"])
    assert math.isnan(row["score_normalized_stderr,none"])


def test_a_task_without_a_main_metric_is_left_out() -> None:
    assert measured("t", {}, {"acc,none": 0.5}) is None
    assert measured("t", {"metric": "acc,none"}, {}) is None
