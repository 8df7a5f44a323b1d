"""IF is what was chosen to measure it: tasks of that category, or a judge's win rate."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_judge import FakeJudge

from pa_harness.analysis.reading import read_trajectory
from pa_harness.cli.main import main
from pa_harness.errors import RunError
from pa_harness.runs.documents import write_documents
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.judgements import Judged, JudgeFolder, Judgement
from pa_harness.runs.samples import DocumentValues
from pa_harness.runs.scores import Score

if TYPE_CHECKING:
    from pathlib import Path

LAMS = (0.0, 0.5, 1.0)
IDS = [3, 5, 8, 13]  # of the judged documents; the judge numbers them 0 … 3
WINS = {0.0: [0.1, 0.2, None, 0.4], 0.5: [0.5, 0.9, 0.3, 0.6], 1.0: [0.6, 0.7, 0.2, 0.8]}
WHOLE = {0.0: [20.0, 30, 25], 0.5: [60.0, 50, 70], 1.0: [50.0, 55, 40]}  # where all have verdicts
ICL = {0.0: [1, 1, 1, 0], 0.5: [1, 1, 0, 0], 1.0: [1, 0, 0, 0]}
IFEVAL = {0.0: [0, 0, 0, 0], 0.5: [0, 1, 0, 1], 1.0: [1, 1, 0, 1]}
JUDGE = "weighted_alpaca_eval_gpt4_turbo"


def write_run(folder: Path, *, ifeval: bool = False) -> Path:
    """A finished sweep of a few-shot task, of answers for a judge, and of IFEval if wanted."""
    tasks: dict[str, tuple[str, str, dict[float, list[int]]]] = {
        "few": ("knowledge", "acc", ICL),
        "pa_alpaca_eval": ("instruction", "characters", {lam: [9, 8, 7, 6] for lam in LAMS}),
    }
    if ifeval:
        tasks["ifeval"] = ("instruction", "prompt_level_strict_acc", IFEVAL)
    units, scores = [], []
    for name, (category, metric, values) in tasks.items():
        for lam in LAMS:
            floats = [float(value) for value in values[lam]]
            units.append((lam, name, DocumentValues(IDS, {f"{metric},none": floats})))
            main_one = metric != "characters"
            score = Score(name, metric, "none", float(np.mean(floats)), lam=lam, main=main_one)
            scores.append(Score(**{**vars(score), "category": category, "counts_as": name}))
    folder.mkdir()
    write_documents(units, folder / "documents.parquet")
    RunFolder(folder).write_scores(scores)
    return folder


def add_judge(
    run: Path, name: str = JUDGE, lams: tuple[float, ...] = LAMS, *, parts: bool = True
) -> None:
    judged, rows = [], []
    for lam in lams:
        preferences = [None if win is None else 1 + win for win in WINS[lam]]
        three = [*WHOLE[lam][:2], 0.0, WHOLE[lam][2]] if parts else []
        annotations = [{"preference": each} for each in preferences]
        judged.append(Judged(lam, f"lam={lam:g}", annotations, three))
        empty = dict.fromkeys(Judgement.__dataclass_fields__, 0)
        texts = {"generator": "x", "lc_absent": "", "comparable": ""}
        rows += [
            Judgement(**{**empty, **texts, "lam": lam, "subset": subset})
            for subset in ("all", "koala")
        ]
    JudgeFolder(run / "judgements" / name).write({}, rows, judged, "pa_alpaca_eval")


def shown(run: Path, verb: str, *more: str) -> Any:
    """What a verb wrote, as JSON."""
    assert main([verb, str(run), *more]) == 0
    file = {"choose": "choice.json", "summary": "summary.json"}[verb]
    return json.loads((run / file).read_text())


def test_the_only_judge_is_if(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the documents with a verdict at every λ; numbered as the sweep numbers them."""
    run = write_run(tmp_path / "run")
    add_judge(run)
    found = read_trajectory(run)
    (judged,) = [task for task in found.tasks if task.answers]
    assert judged.ids.tolist() == [3, 5, 13]
    whole = [0, 1, 3]
    means = [np.mean([WINS[lam][n] for n in whole]) for lam in LAMS]
    followed = found.suite("IF")
    assert followed is not None
    np.testing.assert_allclose(followed.mean(), means)
    choices = shown(run, "choose", "--tolerance", "0.05")
    assert choices["instruction"] == f"{JUDGE} (win_rate)"
    best, constrained = choices["choices"]
    assert (best["candidate"], best["verdict"]) == (0, "few")
    assert best["instruction_change"]["estimate"] == pytest.approx(means[0] - means[2])
    assert means[1] > 0.95 * means[2] > means[0]
    assert constrained["kept"][0]["probability"][2] == 1
    assert choices["pareto"] == [0, 0.5, 1]
    assert f"IF is {JUDGE} (win_rate)." in capsys.readouterr().out


def test_length_control_stands_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its parts by instruction, whose mean is the rate, give it an interval."""
    run = write_run(tmp_path / "run")
    add_judge(run)
    found = shown(run, "summary")["aside"][f"length_controlled_winrate,judge {JUDGE}"]
    parts = [np.array(WHOLE[lam]) for lam in LAMS]
    np.testing.assert_allclose(found["estimate"], [part.mean() for part in parts])
    errors = [part.std(ddof=1) / math.sqrt(3) for part in parts]
    np.testing.assert_allclose(found["error"], errors)
    told = capsys.readouterr().out
    assert f"length-controlled win rate, % ({JUDGE})" in told
    add_judge(run, parts=False)
    assert not any("length" in name for name in shown(run, "summary")["aside"])


def test_two_judges_rates_stand_side_by_side(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    add_judge(run, "one")
    add_judge(run, "other")
    aside = shown(run, "summary", "--instruction", "one")["aside"]
    assert {name.rpartition(" ")[2] for name in aside if "length" in name} == {"one", "other"}


def test_what_a_judge_says_is_not_averaged_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", ifeval=True)
    assert shown(run, "choose")["instruction"] == "ifeval (prompt_level_strict_acc)"
    add_judge(run)
    for verb in ("choose", "summary", "plot", "report"):
        assert main([verb, str(run)]) == 2
        told = capsys.readouterr().err
        assert "several measurements of instruction following" in told
        assert f"  ifeval\n  {JUDGE}\n" in told
        assert "Choose by --instruction NAME" in told
    for given, name, change in (
        ("ifeval", "ifeval (prompt_level_strict_acc)", -0.75),
        ("weighted", f"{JUDGE} (win_rate)", (0.1 + 0.2 + 0.4 - 0.6 - 0.7 - 0.8) / 3),
    ):
        found = shown(run, "choose", "--instruction", given)
        assert found["instruction"] == name
        assert found["choices"][0]["instruction_change"]["estimate"] == pytest.approx(change)
    both = shown(run, "choose", "--instruction", "ifeval", "weighted")
    assert both["choices"][0]["instruction_change"]["estimate"] == pytest.approx(
        (-0.75 - 1.4 / 3) / 2
    )


def test_several_judges_side_by_side(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    add_judge(run, "one-judge")
    add_judge(run, "other-judge")
    with pytest.raises(RunError, match="several measurements"):
        read_trajectory(run)
    found = read_trajectory(run, ["other"])
    assert found.instruction == "other-judge (win_rate)"
    assert len([task for task in found.tasks if task.answers]) == 2, "both are tasks to look at"
    with pytest.raises(
        RunError, match=r"--instruction o: expected the name of one .*\n  one-judge"
    ):
        read_trajectory(run, ["o"])
    with pytest.raises(RunError, match=r"--instruction few: .*The run has:"):
        read_trajectory(run, ["few"])


def test_what_cannot_be_used_is_noted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    waiting = (
        f"pa_alpaca_eval has no score of its own: its answers wait for `pa-harness judge {run}`."
    )
    assert read_trajectory(run).notes[:-1] == (waiting,)
    add_judge(run, "short", lams=(0.0, 1.0))
    *notes, unchecked = read_trajectory(run).notes
    assert "kept no digests" in unchecked, "nobody has swept it"
    assert notes == ["The judge short is left out: it judged λ = 0, 1.", waiting]


def test_no_document_judged_at_every_lam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run")
    monkeypatch.setitem(WINS, 0.5, [None] * 4)
    add_judge(run)
    assert "is left out: no document has a verdict at every λ." in read_trajectory(run).notes[0]


def test_a_judged_sweep_end_to_end(
    pair: tuple[Path, Path], toy_tasks: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """sweep, judge, choose, plot and report, each by its command; the judge is a real server."""
    rows = [
        {"instruction": f"Name bird {n}.", "output": "gull " * (n + 1), "dataset": "koala"}
        for n in range(6)
    ]
    (folder / "mine.json").write_text(json.dumps(rows))
    run = str(folder / "run")
    model = f"pretrained={pair[0]},instruct={pair[1]},dtype=float32"
    sweep = ["sweep", "--model_args", model, "--lam", "0,1", "--tasks", "toy_colour,pa_alpaca_eval"]
    sweep += ["--include_path", str(toy_tasks), "--gen_kwargs", "max_gen_toks=8", "-o", run]
    assert main([*sweep, "--metadata", "alpaca_eval_file=mine.json", "--device", "cpu"]) == 0
    with FakeJudge() as fake:
        assert main(["judge", run, "--base_url", fake.url, "--judge_model", "fake", "--yes"]) == 0
    for verb in ("choose", "plot", "report"):
        assert main([verb, run]) == 0
    assert "trade_off.svg" in capsys.readouterr().out
    page = (folder / "run" / "report.html").read_text()
    assert "(win_rate)" in page
    assert "Name bird" in page, "answers whose win changes along λ can be read"
