"""Where the files of a run lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pa_harness.errors import RunError
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.scores import Score

if TYPE_CHECKING:
    from pathlib import Path


def test_the_newest_log_of_a_task_in_each_folder(tmp_path: Path) -> None:
    names = (
        "lam=0/samples_a/b_2026-01-01T00-00-00.jsonl",
        "lam=0/samples_a/b_2026-01-02T00-00-00.jsonl",
        "lam=1/samples_a/b_2025-12-31T00-00-00.123456.jsonl",
        "lam=1/samples_a/b_more_2026-01-01T00-00-00.jsonl",  # of another task
    )
    for name in names:
        folder, _, file = name.partition("/")
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / file.replace("/", "%2F")).touch()
    found = RunFolder(tmp_path).sample_logs("a/b")
    assert [(str(log.relative_to(tmp_path)), results.name) for log, results in found] == [
        ("lam=0/samples_a%2Fb_2026-01-02T00-00-00.jsonl", "results_2026-01-02T00-00-00.json"),
        (
            "lam=1/samples_a%2Fb_2025-12-31T00-00-00.123456.jsonl",
            "results_2025-12-31T00-00-00.123456.json",
        ),
    ]
    assert RunFolder(tmp_path).sample_logs("a") == []


def test_the_units_of_a_lam_are_its_own(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for lam, task in ((0.1, "b"), (0.1, "a/c"), (0.10000000000000002, "a"), (1.0, "a")):
        run.unit(lam, task).parent.mkdir(parents=True, exist_ok=True)
        run.unit(lam, task).touch()
    assert run.units(0.1) == [run.unit(0.1, "a/c"), run.unit(0.1, "b")]
    assert run.units(1) == [run.unit(1.0, "a")]
    assert run.units(0.5) == []


def test_scores_are_there_when_the_sweep_is_done(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    message = r"scores\.parquet does not exist\. It is written at the end of a sweep: run"
    with pytest.raises(RunError, match=message):
        run.scores()
    run.write_scores([Score("a", "acc", "none", 0.5)], "csv")
    assert not run.scores_file.exists()
    run.write_scores([Score("a", "acc", "none", 0.5)])
    assert [score.key for score in run.scores()] == ["acc,none"]
    run.scores_file.write_bytes(b"x")
    with pytest.raises(RunError, match=r"is not a table of scores .* Name a table that a sweep"):
        run.scores()
