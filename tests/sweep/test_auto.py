"""The search for λ: its posterior against a direct calculation, simulated choices, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from simulated import LAMS, trajectory
from through_lm_eval import Pair
from toy import toy_settings, write_tasks

from benchmarks.auto import BUDGET, GRID, SHAPES, answers, search, truth
from pa_harness.analysis.search import (
    CONFIDENCE,
    TOLERANCE,
    Block,
    belief,
    block_of,
    block_shares,
    next_places,
)
from pa_harness.cli.main import main
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.settings import as_yaml

if TYPE_CHECKING:
    from pathlib import Path


def test_one_in_many_curves_is_chosen_well() -> None:
    """66 of the benchmark's curves, 10,000 documents each; published are 1,100."""
    random = np.random.default_rng(5)
    good, costs, stated = [], [], []
    for number in range(66):
        curve = truth(SHAPES[number % len(SHAPES)], random)
        chosen, cost, confidence = search(answers(curve, 500, random), CONFIDENCE)
        good.append(curve.max() - curve[chosen] <= TOLERANCE + 1e-12)
        costs.append(cost)
        stated.append(confidence)
    assert np.mean(good) >= 0.85  # 0.9 less the noise of 66 curves
    assert max(costs) <= BUDGET + 1e-9
    assert np.mean(stated) < np.mean(good) + 0.03  # it does not say too much of itself,
    sure = np.array(stated) >= 0.85
    assert sure.sum() >= 20
    assert np.mean(np.array(good)[sure]) >= 0.86  # nor where it is sure


def test_the_posterior_is_that_of_a_direct_calculation() -> None:
    """With documents without noise the curve is known, and between its points almost."""
    curve = 0.5 - 0.04 * (GRID - 0.62) ** 2
    places = tuple(range(0, 11, 2))
    seen = Block(places, curve[list(places)], 1e-9 * np.eye(len(places)), 0.1)
    found = belief(list(GRID), [seen])
    assert GRID[found.chosen] == 0.6
    assert found.confidence > 0.85  # a kink between two points might be
    assert np.allclose(found.mean, curve, atol=1e-3)
    # With much noise everywhere nothing is known: no λ is the best in most draws.
    blind = belief(list(GRID), [replace(seen, covariance=0.1 * np.eye(len(places)))])
    assert blind.best.max() < 0.5


def test_means_and_errors_of_a_block_are_those_of_the_documents() -> None:
    random = np.random.default_rng(0)
    means = np.array([np.full(11, 0.4), np.full(11, 0.6)])
    suite = trajectory(means, 300, random).suites()[0]
    found = block_of(suite, range(11), 0.5)
    assert np.allclose(found.mean, suite.mean())
    values = [task.values for task in suite.tasks]
    for row, column in ((0, 0), (2, 7), (10, 9)):
        direct = sum(np.cov(each[row], each[column], ddof=1)[0, 1] / 300 / 4 for each in values)
        assert found.covariance[row, column] == pytest.approx(direct, rel=1e-12)
    assert len(LAMS) == 11


def test_few_documents_are_asked_together() -> None:
    """From three of each task, answers that never differ would settle everything."""
    assert block_shares([1000] * 20) == (1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
    assert block_shares([256] * 2) == (1 / 8, 1 / 8, 1 / 4, 1 / 2)
    assert block_shares([48] * 3) == (1 / 2, 1 / 2)
    assert block_shares([10_000, 40]) == (1 / 2, 1 / 2)
    assert block_shares([20]) == (1.0,)
    random = np.random.default_rng(3)
    good, sure = [], []
    for number in range(66):
        curve = truth(SHAPES[number % len(SHAPES)], random)
        chosen, _, confidence = search(answers(curve, 128, random, tasks=3), CONFIDENCE)
        good.append(curve.max() - curve[chosen] <= TOLERANCE + 1e-12)
        sure.append(confidence)
    assert np.mean(sure) < np.mean(good) + 0.15


def test_what_is_asked_next() -> None:
    best = np.array([0, 0, 0.02, 0.5, 0.3, 0.15, 0.03, 0, 0, 0, 0])
    found = replace(
        belief(list(GRID), [Block((0, 10), np.zeros(2), np.eye(2), 0.1)]), best=best, chosen=3
    )
    assert next_places(found, 9) == [3, 4, 5]
    assert next_places(found, 2) == [3, 4]
    assert next_places(found, 1) == []
    sure = replace(found, best=np.eye(11)[3])
    assert len(next_places(sure, 9)) == 2  # a pair, for the difference


def test_the_search_goes_on_where_it_is_unclear() -> None:
    """A flat curve takes the whole budget; a steep one is settled at once."""
    random = np.random.default_rng(1)
    steep = search(answers(0.2 * GRID, 500, random), CONFIDENCE)
    flat = search(answers(0 * GRID, 500, random), CONFIDENCE)
    assert GRID[steep[0]] == 1
    assert steep[1] < 0.1 < flat[1]


def auto(pair: Pair, folder: Path, *options: str, documents: int = 256) -> int:
    tasks = folder / "data/tasks"
    if not tasks.exists():
        write_tasks(folder / "data", documents)
    settings = replace(toy_settings(pair, tasks), tasks=("toy_colour", "toy_kind"))
    file = folder / "sweep.yaml"
    file.write_text(as_yaml(settings))
    run = str(folder / "run")
    return main(["sweep", "--config", str(file), "--output_path", run, *options])


def test_the_command(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert auto(pair, tmp_path, "--lam", "auto:0:1:0.25", "--budget", "0.4") == 0
    out = capsys.readouterr().out
    found: dict[str, Any] = json.loads((tmp_path / "run/auto.json").read_text())
    assert found["phases"][0] == [0, 0.5, 1]
    assert found["lam"] in (0, 0.25, 0.5, 0.75, 1)
    evaluated = 0
    asked: dict[str, list[int]] = {}
    for number, lams in enumerate(found["phases"], 1):
        phase = tmp_path / f"run/phase-{number}"
        scores = RunFolder(phase).scores()
        assert sorted({score.lam for score in scores}) == lams
        evaluated += sum(score.n for score in scores if score.main)
        samples = json.loads((phase / "provenance.json").read_text())["settings"]["samples"]
        for task, documents in samples.items():
            asked.setdefault(task, []).extend(documents)
    assert all(len(documents) == len(set(documents)) for documents in asked.values())
    assert found["cost"] == pytest.approx(evaluated / (2 * 256 * 5))
    assert found["cost"] <= 0.4
    assert f"λ = {found['lam']:g}: its ICL is within 0.2 points of the best" in out
    assert f"{found['cost']:.0%} of the full grid's evaluations were made" in out
    before = (tmp_path / "run/auto.json").read_bytes()
    assert auto(pair, tmp_path, "--lam", "auto:0:1:0.25", "--budget", "0.4") == 0  # all is there
    assert (tmp_path / "run/auto.json").read_bytes() == before


def test_the_budget_is_not_passed(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert auto(pair, tmp_path, "--lam", "auto:0:1:0.25", "--budget", "0.1") == 0
    assert "The budget is spent." in capsys.readouterr().out
    found = json.loads((tmp_path / "run/auto.json").read_text())
    assert found["phases"] == [[0, 0.5, 1]]
    assert found["cost"] == pytest.approx(3 / 8 / 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--lam", "auto", "--budget", "0.01"],
            "the first phase needs --budget 0.07 or more. It asks 12%",
        ),
        (["--lam", "auto:0:1:1"], "the first phase needs a grid of three λ or more"),
        (["--lam", "auto", "--limit", "20"], "toy_colour has 20 documents. Expected 32 or more"),
        (["--lam", "auto", "--samples", '{"toy_kind": [1]}'], "chooses the documents itself"),
        (["--lam", "0,1", "--budget", "0.5"], "--budget belongs to --lam auto"),
        (["--lam", "auto:x"], "--lam 'x' is not a number"),
    ],
)
def test_what_cannot_be_searched(
    options: list[str],
    message: str,
    pair: Pair,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert auto(pair, tmp_path, *options) == 2
    assert message in capsys.readouterr().err
