"""Ours beside theirs: a model's own numbers, and everything that must not be compared."""

from __future__ import annotations

import math
from bisect import bisect_left
from pathlib import Path
from typing import Any

import pytest
from as_published import Run, results_of, run_of, runs

from pa_harness.interchange.lm_eval_files import from_results
from pa_harness.interchange.names import billions, size_class
from pa_harness.interchange.reported import Reported
from pa_harness.leaderboards.boards import BOARDS, Board
from pa_harness.leaderboards.comparison import Names
from pa_harness.leaderboards.published import published
from pa_harness.leaderboards.ranks import COMPUTED
from pa_harness.leaderboards.sections import Section, sections

V1, V2, FINAL, ALPACA, _ = BOARDS
FILE = Path("results.json")


def beside(board: Board, content: dict[str, Any], names: Names | None = None) -> Section:
    """The section of the board for one results file."""
    found = sections(from_results(content, FILE), [board.name], (), names)
    return next(section for section in found if section.snapshot == board.snapshot)


def known(values: list[float], value: float) -> int:
    """The rank of a value among values that it is one of; equal ones share it."""
    ascending = sorted(-round(each, 4) for each in values)
    return 1 + bisect_left(ascending, -round(value, 4))


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: f"{board.name}-{board.snapshot}")
def test_a_models_own_numbers_differ_by_0_and_have_its_rank(board: Board) -> None:
    everything = runs(board)
    assert len(everything) >= 8
    for run in everything:
        section = beside(board, results_of(board, run))
        assert [row.difference for row in section.rows] == [0.0] * len(board.tasks), run[0]
        assert not any(row.reasons for row in section.rows), run[0]
        assert {row.model for row in section.rows} == {run[0].model}
        (sentence,) = section.sentences
        assert sentence.endswith(f"agrees as printed: {len(board.tasks)}.")
        check_ranks(board, run, everything, section)


def check_ranks(board: Board, run: Run, everything: list[Run], section: Section) -> None:
    """Every rank is the place of the published number among those of the size class."""
    own_class = size_class(billions(run[0].model))
    same = [each for each in everything if size_class(billions(each[0].model)) == own_class]
    titles = {task.title: (task.name, task.metrics[0]) for task in board.tasks}
    for standing in section.standings:
        name, metric = titles.get(standing.what, ("average", ""))

        def value(rows: Run, name: str = name, metric: str = metric) -> float:
            found = [r for r in rows if r.task == name]
            return next(r.value for r in found if len(found) == 1 or r.metric == metric)

        rank = known([value(each) for each in same], value(run))
        assert standing.rank == rank, (run[0], standing)
        assert (standing.of, standing.size_class) == (len(same), own_class)
        assert standing.note == COMPUTED


def test_verdicts_where_all_is_known_and_where_the_archive_is_silent() -> None:
    llama = "meta-llama/Meta-Llama-3-8B-Instruct"
    for board, model in ((V1, "google/gemma-7b"), (V2, llama)):
        run = run_of(board, model, "bfloat16")
        assert {row.verdict for row in beside(board, results_of(board, run)).rows} == {"comparable"}
    run = run_of(FINAL, llama, "bfloat16")
    (verdict,) = {row.verdict for row in beside(FINAL, results_of(FINAL, run)).rows}
    assert verdict == "comparable as far as known (unknown: chat template)"


def changed(what: str, task: str, value: Any) -> dict[str, Any]:
    """The results of gemma-7b with one thing different."""
    content = results_of(V1, run_of(V1, "google/gemma-7b", "bfloat16"))
    if what == "value":
        content["results"][task]["acc_norm,none"] = value
    elif what == "metric":
        content["results"][task] = {"acc,none": value}
    elif what == "limit":
        content["config"]["limit"] = float(value)
        content["n-samples"][task]["effective"] = value
    elif what in ("model_dtype", "gen_kwargs"):
        content["config"][what] = value
    elif what in ("chat_template", "system_instruction"):
        content[what] = value
    elif what == "effective":
        content["n-samples"][task]["effective"] = value
    elif what == "gone":
        del content["results"][task], content["configs"][task]
    else:
        content[what][task] = value
    return content


CHANGES = [
    ("value", "arc_challenge", math.nan, "ARC", "value: none, not from 0 to 1"),
    ("value", "arc_challenge", 41.5, "ARC", "value: 41.5, not from 0 to 1"),
    ("n-shot", "arc_challenge", 0, "ARC", "shots: 0, not 25"),
    ("metric", "arc_challenge", 0.5, "ARC", "metric: acc,none, not acc_norm,none"),
    ("versions", "hellaswag", 2.0, "HellaSwag", "task version: 2.0, not 1.0"),
    ("limit", "winogrande", 100, "WinoGrande", "limit: 100; 100 of 1267 documents"),
    ("effective", "winogrande", 1000, "WinoGrande", "documents: 1000, not 1267"),
    ("chat_template", "", "{{ m }}", "MMLU", "chat template: applied; the leaderboard applied non"),
    ("model_dtype", "", "torch.float16", "MMLU", "precision: float16, not bfloat16"),
    ("system_instruction", "", "Be nice.", "MMLU", "system instruction"),
    ("gen_kwargs", "", {"max_gen_toks": 9}, "GSM8K", "gen_kwargs {'max_gen_toks': 9}"),
    ("n-shot", "mmlu_anatomy", 3, "MMLU", "shots: 3, 5, not 5"),
    ("gone", "mmlu_anatomy", 0, "MMLU", "parts: 56 of 57"),
]


@pytest.mark.parametrize(("what", "task", "value", "title", "reason"), CHANGES)
def test_what_differs_is_named(what: str, task: str, value: Any, title: str, reason: str) -> None:
    if what == "model_dtype":  # the published run of this precision must not be at hand
        content = results_of(V1, run_of(V1, "mistralai/Mistral-7B-v0.1"))
        content["config"]["model_dtype"] = "torch.float32"
        reason = "precision: float32, not float16"
    else:
        content = changed(what, task, value)
    section = beside(V1, content)
    (row,) = [row for row in section.rows if row.task == title]
    assert row.verdict.startswith("not comparable: ")
    assert any(each.startswith(reason) for each in row.reasons), row.reasons
    others = [other for other in section.rows if not other.reasons]
    wide = what in ("chat_template", "model_dtype", "system_instruction", "limit")
    assert len(others) == (0 if wide else 5)
    (sentence,) = section.sentences
    assert title in sentence if others else "no task is comparable" in sentence
    mean = next(each for each in section.standings if each.what == "average")
    assert (mean.rank > 0) == (what == "model_dtype"), "leaderboards mix precisions, nothing else"


def test_a_template_that_the_published_row_had_not_is_named() -> None:
    content = results_of(V2, run_of(V2, "Qwen/Qwen2-72B-Instruct"))
    content["chat_template"] = "{{ m }}"
    verdicts = {row.verdict for row in beside(V2, content).rows}
    assert verdicts == {"not comparable: chat template: applied; published: not applied"}


def test_unknown_settings_are_said_and_never_guessed() -> None:
    numbers = [Reported("google/gemma-7b", "hellaswag", "acc_norm", 0.82)]
    (section,) = sections(numbers, ["open_llm_v1"])
    (row,) = section.rows
    assert not row.reasons
    assert set(row.unknown) == {
        *("shots", "task version", "chat template", "documents", "precision"),
    }


@pytest.mark.parametrize("name", ["pa_hellaswag_cf", "pa_hellaswag_cf_lite"])
def test_our_own_suite_is_beside_it_with_the_difference_said(name: str) -> None:
    content = changed("n-shot", "hellaswag", 10)
    for section in ("results", "configs", "versions", "n-shot", "n-samples"):
        content[section][name] = content[section].pop("hellaswag")
    (row,) = [row for row in beside(V1, content).rows if row.task == "HellaSwag"]
    assert row.reasons[0].startswith("demonstrations: the same for every document")


def test_the_short_suite_is_a_sample() -> None:
    content = changed("n-shot", "hellaswag", 10)
    for section in ("results", "configs", "versions", "n-shot", "n-samples"):
        for name in [name for name in content[section] if name.startswith("mmlu_")]:
            subject = name.removeprefix("mmlu_")
            content[section][f"pa_mmlu_mcf_lite::{subject}"] = content[section].pop(name)
    for name in content["n-samples"]:
        if "::" in name:
            content["n-samples"][name]["effective"] = 4
    (row,) = [row for row in beside(V1, content).rows if row.task == "MMLU"]
    assert row.reasons == ("documents: 228, not 14042",)


def test_parts_are_put_together_as_the_leaderboard_did() -> None:
    """By hand: MMLU is unweighted; BBH weighted when raw, by subtask when normalised, from 0 up."""
    content = results_of(V1, run_of(V1, "google/gemma-7b", "bfloat16"))
    content["results"]["mmlu_anatomy"]["acc,none"] = 1.0
    value = published_value(V1, "mmlu")
    (row,) = [row for row in beside(V1, content).rows if row.task == "MMLU"]
    assert row.value == pytest.approx((56 * value + 1.0) / 57, abs=1e-12)
    raw = results_of(FINAL, run_of(FINAL, "google/gemma-7b"))
    raw["results"]["leaderboard_bbh_snarks"]["acc_norm,none"] = 0.0
    value = published_value(FINAL, "leaderboard_bbh")
    (row,) = [row for row in beside(FINAL, raw).rows if row.task == "BBH"]
    assert row.value == pytest.approx(value * (5761 - 178) / 5761, abs=1e-12)
    scaled = results_of(V2, run_of(V2, "google/gemma-7b"))
    scaled["results"]["leaderboard_bbh_snarks"]["acc_norm,none"] = 0.1  # below chance: 0, not less
    value = published_value(V2, "leaderboard_bbh")
    (row,) = [row for row in beside(V2, scaled).rows if row.task == "BBH"]
    assert row.value == pytest.approx(value * 23 / 24, abs=1e-12)


def published_value(board: Board, task: str) -> float:
    run = run_of(board, "google/gemma-7b", "bfloat16")
    return next(row.value for row in run if row.task == task)


def test_math_is_scored_as_in_the_snapshot() -> None:
    """lm-eval has both: the original match of August 2024, and the later one of Math-Verify."""
    content = results_of(V2, run_of(V2, "google/gemma-7b"))
    for name, numbers in content["results"].items():
        if "math" in name:
            numbers["exact_match,none"] = 0.9
    (row,) = [row for row in beside(V2, content).rows if row.task == "MATH level 5"]
    assert row.difference == 0.0
    (row,) = [row for row in beside(FINAL, content).rows if row.task == "MATH level 5"]
    assert row.value == pytest.approx(0.9)


def test_standard_errors_and_z() -> None:
    content = results_of(V1, run_of(V1, "google/gemma-7b", "bfloat16"))
    for name, numbers in content["results"].items():
        for key in list(numbers):
            if "," in key:
                metric, _, filtered = key.partition(",")
                numbers[f"{metric}_stderr,{filtered}"] = 0.01
                numbers[key] += {"winogrande": 0.04, "hellaswag": 0.02}.get(name, 0.0)
    section = beside(V1, content)
    rows = {row.task: row for row in section.rows}
    assert rows["MMLU"].stderr == pytest.approx(0.01 / math.sqrt(57))
    assert rows["WinoGrande"].z == pytest.approx(4 / math.sqrt(2))
    assert rows["WinoGrande"].visible == pytest.approx(2.8 * math.sqrt(2) * 0.01)
    assert section.sentences[0].endswith(
        "6 comparable tasks: agrees as printed: 4; not contradicted: 1 (differences under ±0.0396 "
        "are invisible here); WinoGrande differs by +0.0400 (z = +2.8)."
    )
    wide = sections(from_results(content, FILE), [V1.name], margin=0.05)[0].sentences[0]
    assert "agrees as printed: 4; reproduced within ±0.05: 1; WinoGrande" in wide


def test_a_table_in_the_leaderboards_words_is_its_own_task() -> None:
    """lm-eval's gsm8k is another task than the leaderboard's of that name."""
    model = "google/gemma-7b"
    value = published_value(V1, "gsm8k")
    own = Reported(model, "gsm8k", "exact_match", value, num_fewshot=5, precision="bfloat16")
    lm_evals = Reported(model, "gsm8k", "exact_match,strict-match", value, num_fewshot=5)
    (row,) = sections([own], ["open_llm_v1"])[0].rows
    assert (row.difference, row.reasons) == (0.0, ())
    assert row.unknown[0] == "stops"
    (row,) = sections([lm_evals], ["open_llm_v1"])[0].rows
    assert row.reasons == ("stops: the leaderboard also ended answers at ':'",)


def test_alpaca_eval_prefers_the_official_row_and_ranks_by_it() -> None:
    content = results_of(ALPACA, run_of(ALPACA, "mistralai/Mistral-7B-Instruct-v0.2"))
    section = beside(ALPACA, content)
    assert "SimPO" not in section.rows[0].source
    assert any("SimPO" in row.source for row in published())
    assert [row.task for row in section.rows] == ["length-controlled win rate", "win rate"]
