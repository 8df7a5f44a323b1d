"""`pa-harness judge` on a sweep's folder, asking a real HTTP server on 127.0.0.1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_judge import FakeJudge, outputs_of, probability
from judge_data import COUNT, LAMS, TASK, ask, numbers, rows

from pa_harness.cli.main import main
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.judgements import JudgeFolder
from pa_harness.storage import sole_writer


def wins(lam: float, reference: list[dict[str, Any]]) -> list[float]:
    """The model's probability by the fake judge's rule, which knows no order."""
    answers = rows(COUNT, f"made@{lam:g}")
    pairs = zip(answers, reference, strict=True)
    return [probability(len(a["output"]), len(b["output"])) for a, b in pairs]


def test_the_numbers_are_the_judges(run: Path, fake: FakeJudge, capsys: Any) -> None:
    assert ask(run, fake) == 0
    reference = rows(COUNT, "gpt4_1106_preview")
    for lam in LAMS:
        expected = np.array(wins(lam, reference))
        (row,) = numbers(run, lam=lam, subset="all")
        assert (row.n, row.n_judged, row.n_parsed) == (COUNT, COUNT, COUNT)
        assert row.win_rate == pytest.approx(100 * expected.mean(), abs=1e-9)
        error = 100 * expected.std(ddof=1) / COUNT**0.5
        assert row.standard_error == pytest.approx(error, abs=1e-9)
        assert row.discrete_win_rate == pytest.approx(100 * (expected > 0.5).mean())
        answers = rows(COUNT, f"made@{lam:g}")
        assert row.average_characters == pytest.approx(np.mean([len(a["output"]) for a in answers]))
        assert row.average_tokens == pytest.approx(
            np.mean([len(a["output"].split()) for a in answers])
        )
        (koala,) = numbers(run, lam=lam, subset="koala")
        assert (koala.n, koala.n_parsed) == (5, 5)
        assert koala.win_rate == pytest.approx(100 * expected[1::5].mean(), abs=1e-9)
    printed = capsys.readouterr().out
    assert "| 0.5 " in printed
    assert f"{COUNT}/{COUNT}" in printed
    assert "helpful_base" in printed
    assert "No length-controlled win rate: it needs all 805 verdicts; there are 25." in printed
    assert "The leaderboard: not comparable: the judge is not weighted_alpaca_eval" in printed


def test_differences_to_instruct_are_paired(run: Path, fake: FakeJudge) -> None:
    ask(run, fake)
    reference = rows(COUNT, "gpt4_1106_preview")
    apart = 100 * (np.array(wins(0.5, reference)) - np.array(wins(1.0, reference)))
    (row,) = numbers(run, lam=0.5, subset="all")
    assert row.n_paired == COUNT
    assert row.minus_instruct == pytest.approx(apart.mean())
    half = 1.96 * apart.std(ddof=1) / COUNT**0.5  # the bootstrap's is near the normal one
    assert row.low == pytest.approx(apart.mean() - half, abs=0.25 * half)
    assert row.high == pytest.approx(apart.mean() + half, abs=0.25 * half)
    assert row.band_low < row.low
    (one,) = numbers(run, lam=1.0, subset="all")
    assert (one.minus_instruct, one.low, one.high) == (0, 0, 0)


def test_each_instructions_win_is_a_sweeps_table(run: Path, fake: FakeJudge) -> None:
    ask(run, fake)
    (judge,) = RunFolder(run).judgements()
    paired = judge.documents().paired(TASK)["win_rate,judge"]
    assert paired.lams.tolist() == list(LAMS)
    expected = wins(0.5, rows(COUNT, "gpt4_1106_preview"))
    assert paired.values[1] == pytest.approx(expected, abs=1e-9)


def test_annotations_are_alpaca_evals(run: Path, fake: FakeJudge) -> None:
    """And can be judged again without a judge, with the same numbers."""
    ask(run, fake)
    (judge,) = RunFolder(run).judgements()
    file = judge.path / "annotations_lam=0.5.json"
    first = json.loads(file.read_text())[0]
    assert first["generator_1"] == "gpt4_1106_preview"
    assert first["generator_2"] == "made@λ=0.5"
    assert 1 <= first["preference"] <= 2
    asked = fake.requests
    assert main(["judge", str(file), "-o", str(run / "again")]) == 0
    assert fake.requests == asked
    (again,) = (run / "again").glob("*/judgements.parquet")
    (row,) = numbers(run, lam=0.5, subset="all")
    assert JudgeFolder(again.parent).judgements()[0].win_rate == pytest.approx(row.win_rate)


def test_the_official_prompt_is_asked(run: Path, fake: FakeJudge) -> None:
    ask(run, fake)
    body = fake.bodies[0]
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    names = {key: body[key] for key in body if key != "messages"}
    assert names == {
        "model": "fake",
        "max_tokens": 1,
        "temperature": 1,
        "top_p": 1.0,
        "logprobs": True,
        "top_logprobs": 5,
    }
    assert "Say something of number" in body["messages"][1]["content"]
    assert all(outputs_of(prompt) for prompt in fake.asked)


def test_a_second_run_asks_nothing(run: Path, fake: FakeJudge, capsys: Any) -> None:
    ask(run, fake)
    (judge,) = RunFolder(run).judgements()
    before = {path.name: path.read_bytes() for path in judge.path.iterdir()}
    asked = fake.requests
    capsys.readouterr()
    assert ask(run, fake) == 0
    assert fake.requests == asked == COUNT * len(LAMS)
    assert "75 requests are answered" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in judge.path.iterdir()} == before


def test_another_server_has_verdicts_of_its_own(run: Path, fake: FakeJudge) -> None:
    """Two models may bear one name."""
    ask(run, fake)
    with FakeJudge() as other:
        ask(run, other)
        assert other.requests == fake.requests == COUNT * len(LAMS)


def test_two_judges_at_once_do_not_pay_twice(
    run: Path, fake: FakeJudge, tmp_path: Path, capsys: Any
) -> None:
    """In one folder, or with one file of verdicts."""
    with sole_writer(RunFolder(run).judgements_folder, "a judge"):
        assert ask(run, fake) == 2
        assert "is in use: a judge, process" in capsys.readouterr().err
    with sole_writer(tmp_path, "a judge", ".shared.sqlite.lock"):
        assert ask(run, fake, "--cache", str(tmp_path / "shared.sqlite")) == 2
        assert "is in use: a judge, process" in capsys.readouterr().err
    assert fake.requests == 0
    assert ask(run, fake) == 0


def test_judges_live_side_by_side(run: Path, fake: FakeJudge) -> None:
    ask(run, fake, model="one")
    ask(run, fake, model="two")
    assert fake.requests == 2 * COUNT * len(LAMS)
    ask(run, fake, "--annotator", "weighted_alpaca_eval_gpt4_turbo", model="one")
    assert fake.requests == 2 * COUNT * len(LAMS)
    names = [judge.path.name for judge in RunFolder(run).judgements()]
    assert [name.split("-")[1] for name in names] == ["one", "two"]


def test_a_changed_prompt_or_parameter_is_another_judge(
    run: Path, fake: FakeJudge, tmp_path: Path
) -> None:
    """alpaca-eval's own cache would answer with the old judge's verdicts."""
    judge = own_judge(tmp_path)
    ask(run, fake, "--annotator", str(judge))
    once = fake.requests
    judge.write_text(judge.read_text().replace("Which is better", "Which is worse"))
    ask(run, fake, "--annotator", str(judge))
    assert fake.requests == 2 * once
    judge.write_text(judge.read_text().replace("temperature: 0", "temperature: 1"))
    ask(run, fake, "--annotator", str(judge))
    assert fake.requests == 3 * once


def own_judge(folder: Path) -> Path:
    file = folder / "own.yaml"
    file.write_text(
        "own:\n"
        '  prompt_template: "Which is better for {instruction}? m: {output_1} M: {output_2}"\n'
        "  completions_kwargs: {max_tokens: 5, temperature: 0, requires_chatml: true}\n"
        "  fn_completion_parser: regex_parser\n"
        "  completion_parser_kwargs: {outputs_to_match: {1: '^m', 2: '^M'}}\n"
    )
    return file


def test_another_lam_as_reference(run: Path, fake: FakeJudge) -> None:
    assert ask(run, fake, "--reference", "1") == 0
    assert fake.requests == 2 * COUNT  # λ = 1 against itself is a draw without asking
    (one,) = numbers(run, lam=1.0, subset="all")
    assert (one.win_rate, one.standard_error, one.n_parsed) == (50, 0, COUNT)
    (half,) = numbers(run, lam=0.5, subset="all")
    expected = wins(0.5, rows(COUNT, "made@1"))
    assert half.win_rate == pytest.approx(100 * np.mean(expected), abs=1e-9)
    assert "not made@λ=1" in half.lc_absent


def test_a_file_as_reference_in_any_order(run: Path, fake: FakeJudge, tmp_path: Path) -> None:
    other = rows(COUNT, "other")
    file = tmp_path / "other.json"
    file.write_text(json.dumps(other[::-1]))
    ask(run, fake, "--reference", str(file))
    (row,) = numbers(run, lam=0.0, subset="all")
    assert row.win_rate == pytest.approx(100 * np.mean(wins(0.0, other)), abs=1e-9)


def test_model_outputs_of_alpaca_eval(fake: FakeJudge, tmp_path: Path) -> None:
    """In another order than the reference."""
    reference, answers = tmp_path / "reference.json", tmp_path / "mine.json"
    reference.write_text(json.dumps(rows(COUNT, "gpt4_1106_preview")))
    answers.write_text(json.dumps(rows(COUNT, "made@1")[::-1]))
    assert ask(answers, fake, "--reference", str(reference)) == 0
    (row,) = numbers(tmp_path, subset="all")
    assert row.generator == "made@1"
    expected = wins(1.0, rows(COUNT, "gpt4_1106_preview"))
    assert row.win_rate == pytest.approx(100 * np.mean(expected), abs=1e-9)


def test_files_side_by_side_have_folders_of_their_own(fake: FakeJudge, tmp_path: Path) -> None:
    """Two models' files lie beside each other: the second must not replace the first's numbers."""
    reference = tmp_path / "reference.json"
    reference.write_text(json.dumps(rows(COUNT, "gpt4_1106_preview")))
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps(rows(COUNT, name)))
        assert ask(tmp_path / f"{name}.json", fake, "--reference", str(reference)) == 0
    tables = {each.path.name[:4]: each.judgements() for each in RunFolder(tmp_path).judgements()}
    assert {name: table[0].generator for name, table in tables.items()} == {
        "one-": "one",
        "two-": "two",
    }


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "JSONDecodeError"),
        ("[]", "IndexError"),
        ('{"a": 1}', "KeyError"),
        ("[1, 2]", "TypeError"),
        ('[{"instruction": 3, "output": "x"}]', "instruction is 3, no text"),
        ('[{"instruction": "a", "output": null}]', "output is None, no text"),
    ],
)
def test_files_that_are_none(
    fake: FakeJudge, tmp_path: Path, capsys: Any, content: str, why: str
) -> None:
    """A null that is judged as the word None would be a number about nothing."""
    file = tmp_path / "mine.json"
    file.write_text(content)
    assert ask(file, fake, "--reference", str(file)) == 2
    text = capsys.readouterr().err
    assert "mine.json is no file of model outputs" in text
    assert why in text
    assert fake.requests == 0
