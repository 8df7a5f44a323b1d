"""Several sampled answers to each document: their scores, and what they make."""

from __future__ import annotations

import json
import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from toy import run, timeless, write_tasks

from pa_harness.analysis.reading import read_trajectory
from pa_harness.cli.main import main
from pa_harness.errors import SweepError
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.settings import resolve
from pa_harness.sweep.repeated import pass_at

if TYPE_CHECKING:
    from pathlib import Path

    from pa_harness.runs.settings import SweepSettings

SAMPLED = {"do_sample": True, "temperature": 1.0, "max_gen_toks": 6}
K = 4


@pytest.mark.parametrize("n", [1, 2, 5])
def test_pass_at_k_is_the_chance_over_all_choices(n: int) -> None:
    """The published estimator against every choice of k of n answers."""
    for right in range(n + 1):
        answers = [True] * right + [False] * (n - right)
        for k in range(1, n + 1):
            chosen = [any(each) for each in combinations(answers, k)]
            assert pass_at(k, n, right) == pytest.approx(sum(chosen) / len(chosen))


def sampled(pair: tuple[Path, Path], folder: Path, **more: Any) -> SweepSettings:
    """Half of the answers begin with a letter that the task wants."""
    options = {"repeats": K, "gen_kwargs": SAMPLED, "tasks": ["toy_answer"], "lam": "0,1"}
    given = {"model_args": {"pretrained": str(pair[0]), "instruct": str(pair[1])}, "device": "cpu"}
    return resolve({**given, "include_path": [str(folder)], **options, **more})


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers are reduced to whether they have a vowel, so that some are right, some wrong."""
    folder = write_tasks(tmp_path_factory.mktemp("repeated"), documents=8)
    file = folder / "toy_answer.yaml"
    text = file.read_text().replace('doc_to_target: "blue"', 'doc_to_target: "e"')
    filters = (
        "filter_list:\n  - name: vowel\n    filter:\n"
        '      - {function: regex, regex_pattern: "([ae])", fallback: none}\n'
        "      - {function: take_first}\n"
    )
    file.write_text(text + filters)
    return folder


@pytest.fixture(scope="module")
def swept(pair: tuple[Path, Path], tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampled") / "run"
    run(sampled(pair, tasks), folder)
    return folder


def logged(folder: Path, lam: int) -> list[dict[str, Any]]:
    (file,) = folder.glob(f"lam={lam}/samples_*.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def scored(text: str) -> float:
    """As the task does it, written anew."""
    found = [letter for letter in text if letter in "ae"]
    return float(bool(found) and found[0] == "e")


def test_what_several_answers_make(swept: Path) -> None:
    documents = RunFolder(swept).documents()
    each = documents.repeated("toy_answer")["exact_match,vowel"]
    paired = documents.paired("toy_answer")
    assert each.shape == (2, 8, K)
    for row, lam in enumerate((0, 1)):
        samples = logged(swept, lam)
        wanted = np.array([[scored(text) for text in s["resps"][0]] for s in samples])
        np.testing.assert_array_equal(each[row], wanted)
        made = {
            name: paired[f"exact_match_{name},vowel"].values[row] for name in ("avg@4", "maj@4")
        }
        np.testing.assert_allclose(made["avg@4"], wanted.mean(axis=1))
        for k in (1, 2, 4):
            found = paired[f"exact_match_pass@{k},vowel"].values[row]
            chosen = [[max(c) for c in combinations(answers, k)] for answers in wanted]
            np.testing.assert_allclose(found, np.mean(chosen, axis=1))
        kinds = [
            [next((x for x in t if x in "ae"), "none") for t in s["resps"][0]] for s in samples
        ]
        votes = [max(dict.fromkeys(kind), key=kind.count) for kind in kinds]
        np.testing.assert_array_equal(made["maj@4"], [float(vote == "e") for vote in votes])
    assert 0 < each.mean() < 1
    assert (each.std(axis=2) > 0).any(), "answers differ"


def test_the_mean_stands_for_the_task_with_its_error(swept: Path) -> None:
    scores = [score for score in RunFolder(swept).scores() if score.main]
    assert {score.key for score in scores} == {"exact_match_avg@4,vowel"}
    values = RunFolder(swept).documents().paired("toy_answer")["exact_match_avg@4,vowel"].values
    for score, of in zip(sorted(scores, key=lambda s: s.lam), values, strict=True):
        assert score.value == pytest.approx(of.mean())
        assert score.stderr == pytest.approx(of.std(ddof=1) / math.sqrt(len(of)))
    (task,) = read_trajectory(swept).tasks
    assert task.metric == "exact_match_avg@4,vowel"
    assert task.averaged


def test_lengths_are_kept_for_each_answer(swept: Path) -> None:
    documents = RunFolder(swept).documents()
    lengths = documents.repeated("toy_answer")["length,answer"]
    assert lengths.shape == (2, 8, K)
    np.testing.assert_allclose(
        documents.paired("toy_answer")["length,answer"].values, lengths.mean(axis=2)
    )
    assert lengths.max() <= 6
    assert lengths.min() >= 0


def test_the_same_seed_draws_the_same_answers(
    swept: Path, pair: tuple[Path, Path], tasks: Path, tmp_path: Path
) -> None:
    run(sampled(pair, tasks), tmp_path / "again")
    assert timeless(tmp_path / "again") == timeless(swept)
    run(sampled(pair, tasks, seed="1,2,3,4"), tmp_path / "other")
    answers = [[s["resps"] for s in logged(folder, 0)] for folder in (swept, tmp_path / "other")]
    assert answers[0] != answers[1]


def test_a_cost_of_several_answers_is_a_constraint(
    swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = ["answer_tokens<=120%", "toy_answer:exact_match_pass@4>=10%@0"]
    assert main(["choose", str(swept), "--maximize", "toy_answer", "--keep", *rules]) == 0
    assert "answer_tokens ≤ 120% of answer_tokens(1)" in capsys.readouterr().out
    (choice,) = json.loads((swept / "choice.json").read_text())["choices"]
    (swept / "choice.json").unlink()
    paired = RunFolder(swept).documents().paired("toy_answer")
    for kept, key in zip(
        choice["kept"], ("length,answer", "exact_match_pass@4,vowel"), strict=True
    ):
        assert kept["documents"] == 8
        assert len(kept["probability"]) == len(paired[key].lams)
    assert choice["instruct_value"] == pytest.approx(
        paired["exact_match_avg@4,vowel"].values[1].mean()
    )


def test_runs_with_several_answers_are_compared(
    swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the means over the answers, which no sample log has."""
    assert main(["compare", f"{swept}@0", f"{swept}@1", "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["tasks"]
    before, after = RunFolder(swept).documents().paired("toy_answer")[row["metric"]].values
    assert row["metric"] == "exact_match_avg@4,vowel"
    assert (row["a"], row["b"]) == (pytest.approx(before.mean()), pytest.approx(after.mean()))
    assert (row["lost"], row["won"]) == ((after < before).sum(), (after > before).sum())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"gen_kwargs": {}}, "decodes greedily"),
        ({"gen_kwargs": {"do_sample": True, "temperature": 0.0}}, "decodes greedily"),
        ({"tasks": ["toy_kind"]}, "none of toy_kind generates"),
        ({"repeats": 1}, "2 or more"),
    ],
)
def test_repeats_that_make_no_sense_are_refused(
    more: dict[str, Any], message: str, pair: tuple[Path, Path], tasks: Path, tmp_path: Path
) -> None:
    with pytest.raises(SweepError, match=message):
        run(sampled(pair, tasks, **more), tmp_path / "run")
