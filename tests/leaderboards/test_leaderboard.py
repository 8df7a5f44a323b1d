"""The published numbers: ranges, units, duplicates, sources; the script that makes the file."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from as_published import results_of, runs
from build_published import COLUMNS, build, to_csv

from pa_harness.interchange.lm_eval_files import from_results
from pa_harness.interchange.names import billions, size_class
from pa_harness.interchange.reported import Reported
from pa_harness.leaderboards.boards import BOARDS, MMLU_SUBJECTS, NAMES, Board
from pa_harness.leaderboards.published import published
from pa_harness.leaderboards.ranks import average
from pa_harness.leaderboards.scores import board_scores

ROWS = published()
_OF = ("a/m-7b", "base")
_FILE = "x:data/a/m-7b/12345678-aaaa-bbbb.json (precision=bfloat16)"
_SHA = "x (precision=float16; sha=0123456789)"
COLLECTED = [
    ["model", "role", "leaderboard", "task", "num_fewshot", "metric", "value", "source", "date"],
    [*_OF, "open_llm_v1", "mmlu", 5, "acc (macro mean of 57 subjects) [0-100]", 58.35, _SHA, "d"],
    [
        *(*_OF, "open_llm_v2", "average", ""),
        *("mean of 6 normalized [normalized 0-100, 2024-08 snapshot]", 7.25),
        *("x (precision=bfloat16; chat_template=True)", "2024-06-12"),
    ],
    [
        *(*_OF, "open_llm_v2", "leaderboard_bbh", 3, "acc_norm [raw 0-1, final archive]"),
        *(0.4598, _FILE, "2026-02-10"),
    ],
    [*_OF, "alpaca_eval_2", "alpaca_eval", 0, "avg_length", 1479.0, "wheel", "2024-12-27"],
    [*_OF, "alpaca_eval_2", "alpaca_eval", 0, "win_rate", 25.3, "authors own run", "2024-12-27"],
]


def collected(folder: Path, rows: list[list[object]]) -> Path:
    with (folder / "published_scores.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return folder


def test_every_row_has_what_it_needs() -> None:
    models = len({row.model for row in ROWS})
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"{len(ROWS):,} published numbers of {models} models" in readme
    for row in ROWS:
        assert row.source, row
        assert row.task, row
        assert row.metric, row
        assert row.role in ("base", "instruct"), row
        assert row.unit in ("fraction", "characters", "instructions"), row
        assert row.scale in ("raw", "normalized"), row
        assert row.precision in ("", "bfloat16", "float16"), row
        assert row.chat_template in ("", "yes", "no"), row
        assert row.official == (row.leaderboard in NAMES and "own run" not in row.source), row
        assert (row.num_fewshot is None) == (
            row.task == "average" or row.leaderboard.startswith("llm360")
        ), row


def test_values_are_on_one_scale() -> None:
    spans = {"fraction": (0, 1), "characters": (300, 4000), "instructions": (800, 805)}
    for row in ROWS:
        low, high = spans[row.unit]
        assert low <= row.value <= high, row
    errors = [row.value for row in ROWS if "standard_error" in row.metric]
    assert max(errors) < 0.02  # a percentage taken for a fraction would stand out


def test_no_number_stands_twice() -> None:
    seen = Counter(
        (r.leaderboard, r.snapshot, r.model, r.run, r.precision, r.chat_template, r.task, r.metric)
        for r in ROWS
    )
    assert not [key for key, times in seen.items() if times > 1]


def test_rows_are_what_the_rules_say_of_their_leaderboard() -> None:
    """Every official row has a rule, with the same shots; every task of a rule has rows."""
    for board in BOARDS:
        tasks = {task.name: task for task in board.tasks}
        assert runs(board), board.title
        for run in runs(board):
            names = {row.task for row in run} - {"average"}
            assert names == set(tasks), run[0]
            for row in run:
                assert row.scale == ("normalized" if board.normalized else "raw"), row
                if row.task != "average":
                    assert row.num_fewshot == tasks[row.task].shots, row


def test_parts_make_up_their_tasks() -> None:
    assert len(MMLU_SUBJECTS) == 57
    for board in BOARDS:
        for task in board.tasks:
            if task.parts:
                assert sum(part.documents for part in task.parts) == task.documents, task.name
    (bbh,) = [task for task in BOARDS[1].tasks if task.name == "leaderboard_bbh"]
    assert len(bbh.parts) == 24


@pytest.mark.parametrize("board", [b for b in BOARDS if b.averaged], ids=lambda b: b.name)
def test_published_averages_are_recomputed(board: Board, tmp_path: Path) -> None:
    """From each run's task rows, on the road of a user's results file.

    The printed average was made of unrounded tasks, ours of the printed ones, each off by at most
    half of the last digit, and so is their mean: one in the last digit may remain.
    """
    off = []
    for run in runs(board):
        numbers = from_results(results_of(board, run), tmp_path)
        (printed,) = [row.value for row in run if row.task == "average"]
        off.append(abs(average(board, board_scores(board, numbers)) - printed))
    assert len(off) >= 70
    assert max(off) <= 1e-4
    assert sum(each <= 0.5e-4 + 1e-9 for each in off) >= len(off) - 3


def test_the_hub_normalisation_turns_one_snapshot_into_the_other() -> None:
    """GPQA and MMLU-Pro: raw numbers of the final archive against the normalised ones of August."""
    chance = {"leaderboard_gpqa": 0.25, "leaderboard_mmlu_pro": 0.1}
    later = {(r.model, r.precision, r.task): r.value for r in ROWS if r.snapshot == "final"}
    agreeing: Counter[str] = Counter()
    for row in ROWS:
        raw = later.get((row.model, row.precision, row.task))
        if row.snapshot == "2024-08" and row.task in chance and raw is not None:
            b = chance[row.task]
            agreeing[row.task] += abs(max(0, (raw - b) / (1 - b)) - row.value) < 2e-4
    assert min(agreeing[task] for task in chance) >= 50  # the others were submitted again


def test_every_published_model_has_a_size() -> None:
    assert not [row.model for row in ROWS if not size_class(billions(row.model))]


def test_the_file_is_what_the_script_writes(tmp_path: Path) -> None:
    lines = build(collected(tmp_path, COLLECTED)).splitlines()
    assert lines[0] == ",".join(COLUMNS)
    rows = [line.split(",") for line in lines[1:]]
    found = {(row[0], row[1], row[4], row[6]): row for row in rows}
    cells = found["open_llm_v1", "2024-06", "mmlu", "acc"]
    assert cells[5:14] == [
        *("5", "acc", "raw", "fraction", "0.5835", "float16", "no", "0123456789", "yes"),
    ]
    assert found["open_llm_v2", "2024-08", "average", "mean"][9:12] == ["0.0725", "bfloat16", "yes"]
    assert found["open_llm_v2", "final", "leaderboard_bbh", "acc_norm"][7:13] == [
        *("raw", "fraction", "0.4598", "bfloat16", "", "12345678"),
    ]
    assert found["alpaca_eval_2", "2024-12", "alpaca_eval", "avg_length"][8:10] == [
        *("characters", "1479"),
    ]
    assert found["alpaca_eval_2", "2024-12", "alpaca_eval", "win_rate"][13] == "no"


def test_a_number_without_a_unit_is_refused(tmp_path: Path) -> None:
    bare = [[str(cell).partition(" [")[0] for cell in row] for row in COLLECTED[:2]]
    with pytest.raises(ValueError, match="no unit is known"):
        build(collected(tmp_path, bare))


def test_reading_gives_back_what_was_written() -> None:
    text = (Path(__file__).parents[2] / "pa_harness/leaderboards/published.csv").read_text("utf-8")
    assert to_csv(ROWS) == text
    assert isinstance(ROWS[0], Reported)
