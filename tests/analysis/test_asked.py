"""The language of `choose`: names, constraints, and whether what is promised is kept."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from simulated import LAMS, Design, simulate, truth

from benchmarks.promises import Case, kept_shares
from pa_harness.analysis.asked.language import Asked, constraint, named, objective
from pa_harness.analysis.choice import choose
from pa_harness.analysis.trajectory import TaskCurve, Trajectory
from pa_harness.cli.main import main
from pa_harness.errors import RunError
from pa_harness.report.text import choices_text

if TYPE_CHECKING:
    from pathlib import Path


def sweep(count: int = 400) -> Trajectory:
    """Two few-shot tasks that are best at ½, one of instructions whose answers grow along λ."""
    random = np.random.default_rng(0)
    tasks = simulate(Design(count), truth("peak", 2), random).tasks
    (followed,) = simulate(Design(count), 0.2 + 0.5 * LAMS[None], random, "instruction").tasks
    lengths = 50 + 100 * LAMS[:, None] + random.standard_normal((len(LAMS), count))
    more = {"length,answer": lengths, "loose_acc,none": 1 - followed.values}
    ifeval = TaskCurve(
        *("ifeval", "ifeval", "instruction", "strict_acc,none", followed.values, followed.ids),
        more=more,
    )
    return Trajectory("simulated", LAMS, (*tasks, ifeval), ())


def test_names_mean_what_was_measured() -> None:
    whole = sweep()
    ifeval = whole.tasks[2]
    for name, expected in (
        ("icl", np.mean([task.values.mean(axis=1) for task in whole.tasks[:2]], axis=0)),
        ("IF", ifeval.values.mean(axis=1)),
        ("Instruction", ifeval.values.mean(axis=1)),
        ("c", np.mean([task.values.mean(axis=1) for task in whole.tasks[:2]], axis=0)),
        ("ifeval", ifeval.values.mean(axis=1)),
        ("c 1", whole.tasks[1].values.mean(axis=1)),
        ("answer_tokens", ifeval.more["length,answer"].mean(axis=1)),
        ("ifeval:answer_tokens", ifeval.more["length,answer"].mean(axis=1)),
        ("ifeval:loose_acc", 1 - ifeval.values.mean(axis=1)),
        ("ifeval:strict_acc,none", ifeval.values.mean(axis=1)),
    ):
        assert named(whole, name).mean() == pytest.approx(expected), name
    assert objective(whole, Asked("-answer_tokens")).mean()[0] == pytest.approx(
        -ifeval.more["length,answer"][0].mean()
    )


@pytest.mark.parametrize(
    ("text", "share", "of", "at_least"),
    [
        ("ifeval>=98%", 0.98, 1.0, True),
        ("ICL ≥ 99.5 % @ 0", 0.995, 0.0, True),
        ("answer_tokens<=120%", 1.2, 1.0, False),
        ("c 0>=0.6", 0.6, None, True),
        ("ifeval>=98%@0.5", 0.98, 0.5, True),
    ],
)
def test_constraints_are_read(text: str, share: float, of: float | None, at_least: bool) -> None:
    found, _ = constraint(sweep(), text)
    assert (found.share, found.of, found.at_least) == (pytest.approx(share), of, at_least)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ifeval", "expected NAME>=98%"),
        ("ifeval>98%", "expected NAME>=98%"),
        ("ifeval>=0.6@0", "expected NAME>=98%"),
        ("ifevil>=98%", "'ifevil' is nothing that this sweep has measured. Did you mean ifeval"),
        ("ifeval:f1>=98%", "ifeval:strict_acc"),
        ("ifeval>=98", "Did you mean ifeval>=98%?"),
        ("ICL>=60", "ICL is a share, here up to 0.6"),
        ("c 0 <= 75", "Did you mean c 0<=75%?"),
        ("ifeval>=98%@0.33", "the sweep has λ = 0, 0.1"),
    ],
)
def test_what_is_no_constraint_is_refused(text: str, message: str) -> None:
    with pytest.raises(RunError, match=r"(?s).*") as error:
        constraint(sweep(), text)
    assert message in str(error.value)


def test_it_chooses_by_what_is_asked() -> None:
    found = choose(sweep(2000), asked=Asked("ICL", ("ifeval>=70%", "answer_tokens<=120%")))
    (choice,) = found.choices
    assert choice.meaning == (
        "best ICL with ifeval ≥ 70% of ifeval(1), answer_tokens ≤ 120% of answer_tokens(1)"
    )
    assert choice.admitted[-1]
    assert not choice.admitted[0]
    assert 0.5 < choice.candidate < 1
    assert [axis.name for axis in found.axes] == ["ICL", "ifeval"]
    assert choice.kept[0].probability[int(10 * choice.candidate)] >= 0.9
    least, constrained = choose(sweep(), asked=Asked("-answer_tokens")).choices
    assert (least.lam, least.verdict) == (0.0, "better")
    assert constrained.meaning == "best −answer_tokens with IF ≥ 98% of IF(1)"


def test_the_default_objective_spelled_out_is_the_default() -> None:
    """Of sweeps with IF, with tasks of one's own, and with neither."""
    whole = sweep()
    own, bare = replace(whole, mine=("ifeval",)), replace(whole, tasks=whole.tasks[:2])
    for found, rules in (
        (whole, ["best ICL", "best ICL with IF ≥ 98% of IF(1)"]),
        (own, ["best ICL with mine ≥ 98% of mine(1)"]),
        (bare, ["best ICL"]),
    ):
        said, unsaid = (choose(found, asked=asked).choices for asked in (Asked("ICL"), None))
        assert [choice.meaning for choice in said] == rules
        assert [choice.sentence for choice in said] == [choice.sentence for choice in unsaid]
    (least,) = choose(own, asked=Asked("-answer_tokens"), tolerance=0.1).choices
    assert least.meaning == "best −answer_tokens with mine ≥ 90% of mine(1)"
    (mine,) = choose(own, asked=Asked("mine")).choices
    assert mine.meaning == "best mine"
    with pytest.raises(RunError, match=r"--tolerance is of .* With --keep, say it there"):
        choose(whole, 0.05, asked=Asked("ICL", ("ifeval>=90%",)))
    with pytest.raises(RunError, match=r"--tolerance is of .* The sweep has neither"):
        choose(bare, 0.05)


@pytest.mark.parametrize(
    "keep",
    [
        ("ifeval>=0.5",),
        ("ifeval>=0.99",),
        ("c 0>=0.5", "ifeval>=70%"),
        ("ICL>=90%@0", "ifeval>=90%"),
        ("ifeval>=80%@0",),
        ("ICL>=0.55",),
        ("answer_tokens<=100",),
    ],
)
@pytest.mark.parametrize("count", [40, 400])
def test_what_is_printed_is_what_decides(keep: tuple[str, ...], count: int) -> None:
    """A λ may be chosen where all P reach the level shown, and none before it has failed."""
    found = choose(sweep(count), asked=Asked("ICL", keep))
    (choice,) = found.choices
    kinds = {kept.starts for kept in choice.kept}
    level = 1 - 0.1 / sum(map(len, kinds))
    text = choices_text(found)
    assert text.count(f"certain with {100 * level:.3g}%") == len(keep)
    assert ("these orders share the 10%" in text) == (level > 0.9)
    lower = all(kept.at_least for kept in choice.kept)
    for row, admitted in enumerate(choice.admitted):
        sure = all(kept.probability[row] >= level for kept in choice.kept)
        assert choice.may(row) == ("yes" if admitted else "no: not reached" if sure else "no")
        assert sure or not admitted
        for kept in choice.kept:
            certain = kept.certified[row] >= share_of(kept.constraint) if lower else sure
            assert certain == (kept.probability[row] >= level) or not lower
    if choice.verdict == "none":
        assert f"with {100 * level:.3g}% none keeps" in choice.sentence
    others = [n for n in range(len(choice.admitted)) if choice.lam != 1 or n != len(LAMS) - 1]
    if not any(choice.admitted[n] for n in others):
        assert "could certify" in choice.sentence or "is not reached" in choice.sentence
    if "cannot certify" in choice.sentence and len(keep) == 1:
        other = any(choice.kept[0].sure)
        assert ("at any other λ" in choice.sentence) == other


def share_of(text: str) -> float:
    """The bound of a constraint that is written out."""
    bound = text.split("≥ ")[-1].split(" ")[0]
    return float(bound.removesuffix("%")) / (100 if bound.endswith("%") else 1)


def test_a_share_of_nothing_is_not_defined() -> None:
    whole = sweep(40)
    none = replace(whole.tasks[2], values=np.zeros((len(LAMS), 40)))
    few = replace(none, values=np.where(LAMS[:, None] < 0.5, whole.tasks[2].values, 0.0))
    for task in (none, few):
        choice = choose(replace(whole, tasks=(*whole.tasks[:2], task))).choices[1]
        (kept,) = choice.kept
        assert np.isnan([kept.probability, kept.certified]).all()
        assert (choice.verdict, kept.bound(0)) == ("none", "–")
        assert "a share of 0 is not defined" in choice.sentence
        assert "name a number to be kept instead" in choice.sentence


def test_where_lam_1_does_not_do_another_is_needed_or_none_is_chosen() -> None:
    (needed,) = choose(sweep(), asked=Asked("ICL", ("answer_tokens<=100",))).choices
    assert needed.verdict in ("needed", "better")
    assert needed.lam < 0.5
    (none,) = choose(sweep(), asked=Asked("ICL", ("ifeval>=0.99",))).choices
    assert none.verdict == "none"
    assert math.isnan(none.lam)
    assert "with 95% none keeps what must be kept" in none.sentence
    assert "cannot certify ifeval ≥ 0.99 at any λ with 95%; at λ = 1 they could" in none.sentence


def test_of_few_documents_it_says_what_they_could_certify() -> None:
    (choice,) = choose(sweep(60), asked=Asked("ICL", ("ifeval>=99%",))).choices
    assert (choice.lam, choice.candidate) == (1, 1)
    assert "60 documents cannot certify ifeval ≥ 99% of ifeval(1) at any other λ" in choice.sentence


@pytest.mark.parametrize("documents", [100, 1000])
def test_what_is_promised_is_kept(documents: int) -> None:
    """A smaller version of ``python -m benchmarks.promises``, up to two Monte-Carlo errors."""
    repetitions = 25
    kept = kept_shares(Case(documents), 0.9, repetitions)["kept"]
    assert kept.mean() >= 0.9 - 2 * np.sqrt(0.09 / repetitions)


def test_the_command_keeps_what_was_asked_and_the_report_shows_it(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(whole, run)
    keep = ["--keep", "toy_answer>=0.0", "--keep", "answer_tokens<=200%"]
    assert main(["choose", str(run), "--maximize", "knowledge", *keep]) == 0
    assert "best category knowledge with toy_answer ≥ 0" in capsys.readouterr().out
    asked = json.loads((run / "choice.json").read_text())
    assert (asked["maximize"], asked["keep"]) == (
        "knowledge",
        ["toy_answer>=0.0", "answer_tokens<=200%"],
    )
    assert main(["report", str(run)]) == 0
    assert json.loads((run / "choice.json").read_text())["keep"] == asked["keep"]
    page = (run / "report.html").read_text()
    assert "best category knowledge with toy_answer ≥ 0" in page
    assert main(["choose", str(run), "--keep", "nothing>=1"]) == 2
    assert "is nothing that this sweep has measured" in capsys.readouterr().err


@pytest.mark.parametrize("noise", [0.0, 1e-17, 1e-12])
@pytest.mark.parametrize("level", [0.0, 0.3, 24.0])
def test_numerical_noise_is_no_verdict(noise: float, level: float) -> None:
    """Of a cost that is the same at every λ, up to how sums are rounded."""
    random = np.random.default_rng(0)
    same = level + random.random(60) * (level == 0.3)
    whole = sweep(60)
    more = {"brier,options": same + noise * np.arange(len(LAMS))[::-1, None] * np.ones(60)}
    task = replace(whole.tasks[0], more=more)
    for asked in (Asked("-brier"), Asked("brier")):
        (choice,) = choose(replace(whole, tasks=(task, whole.tasks[1])), asked=asked).choices
        assert (choice.lam, choice.verdict) == (1.0, "kept" if not noise else choice.verdict)
        assert choice.verdict in ("kept", "indistinguishable")
        assert (choice.low, choice.high) == pytest.approx((0, 0), abs=0.2 * max(1, level))
        assert "the same on all 60 documents" in choice.sentence
        assert "difference of 0.00" not in choice.sentence


def test_digits_show_a_number() -> None:
    random = np.random.default_rng(0)
    small = 2e-5 * (1 - LAMS[:, None]) * (1 + random.random(200)) + 0.2
    whole = sweep(200)
    task = replace(whole.tasks[0], more={"brier,options": small})
    (choice,) = choose(replace(whole, tasks=(task,)), asked=Asked("brier")).choices
    assert (choice.lam, choice.verdict) == (0.0, "better")
    assert "+3.1e-03 points (+2.7e-03 to" in choice.sentence
    assert "+0.00 points" not in choice.sentence
