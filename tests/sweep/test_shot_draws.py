"""Several draws of the demonstrations: units of their own, other prompts, one curve."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy import run, timeless, toy_settings, write_tasks

from pa_harness.analysis.reading import read_trajectory
from pa_harness.errors import SweepError
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.settings import resolve
from pa_harness.sweep.shot_draws import has_draws, undrawn
from pa_harness.sweep.workload import load_tasks

Pair = tuple[Path, Path]


def first_n(folder: Path) -> Path:
    """The toy tasks; toy_kind's two demonstrations are the first of a split of their own."""
    tasks = write_tasks(folder)
    shots = folder / "shots.jsonl"
    rows = [{"question": f"shown {n}?", "label": n % 2} for n in range(20)]
    shots.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    file = tasks / "toy_kind.yaml"
    text = file.read_text().replace('.jsonl"}', f'.jsonl", shots: "{shots}"}}', 1)
    file.write_text(f"{text}fewshot_split: shots\nfewshot_config: {{sampler: first_n}}\n")
    return tasks


def shown(folder: Path, task: str) -> set[str]:
    """The demonstrations of a task at λ = 0, as the prompts have them."""
    (log,) = (folder / "lam=0").glob(f"samples_{task}_2*.jsonl")
    samples = [json.loads(line) for line in log.read_text().splitlines()]
    return {s["arguments"]["gen_args_0"]["arg_0"].rpartition("\n\n")[0] for s in samples}


def test_draws_are_units_and_one_curve(tmp_path: Path, pair: Pair) -> None:
    settings = toy_settings(pair, first_n(tmp_path), lam="0,1", fewshot_draws=3)
    run(settings, tmp_path / "run")
    names = {file.stem for file in (tmp_path / "run" / "units" / "lam=0").glob("*.json")}
    drawn = {"toy_kind", "toy_kind@draw2", "toy_kind@draw3"}
    assert names == drawn | {"toy_colour", "toy_answer"}
    prompts = [shown(tmp_path / "run", name) for name in sorted(drawn)]
    assert [len(each) for each in prompts] == [1, 1, 1]  # fixed within a draw
    assert len(set.union(*prompts)) == 3
    found = read_trajectory(tmp_path / "run")
    (kind,) = [task for task in found.tasks if task.name.startswith("toy_kind")]
    assert (kind.name, kind.counted) == ("toy_kind", "toy")
    assert kind.by_draw is not None
    assert kind.by_draw.shape == (3, 2, 12)
    assert np.array_equal(kind.values, kind.by_draw.mean(axis=0))
    for number, name in enumerate(sorted(drawn)):
        of_draw = [s for s in found.scores if s.task == name and s.main]
        means = [s.value for s in sorted(of_draw, key=lambda s: s.lam)]
        assert kind.by_draw[number].mean(axis=1) == pytest.approx(means)
    assert {s.counts_as for s in found.scores if s.task in drawn} == {"toy"}
    clusters = RunFolder(tmp_path / "run").documents()
    assert clusters.clusters("toy_kind") == clusters.clusters("toy_kind@draw3")


def test_draws_are_resumed_to_the_same_bytes(tmp_path: Path, pair: Pair) -> None:
    settings = toy_settings(pair, first_n(tmp_path), lam="1", fewshot_draws=2)
    run(settings, tmp_path / "whole")
    whole = timeless(tmp_path / "whole")
    (tmp_path / "whole" / "units" / "lam=1" / "toy_kind@draw2.json").unlink()
    run(settings, tmp_path / "whole")
    assert timeless(tmp_path / "whole") == whole


def test_a_sampler_of_its_own_gets_another_seed(tmp_path: Path, pair: Pair) -> None:
    """lm-eval's default draws for every document anew."""
    tasks = load_tasks(toy_settings(pair, write_tasks(tmp_path), fewshot_draws=2)).tasks
    assert list(tasks) == ["toy_colour", "toy_kind", "toy_kind@draw2", "toy_answer"]
    own, other = (
        [tasks[name].sampler.sample(2) for _ in range(8)] for name in ("toy_kind", "toy_kind@draw2")
    )
    assert own != other
    assert tasks["toy_kind"].config.task == "toy_kind"
    assert "counts_as" in tasks["toy_kind@draw2"].config.metadata


def test_nothing_is_drawn_where_there_is_nothing_else_to_show(tmp_path: Path, pair: Pair) -> None:
    settings = toy_settings(pair, first_n(tmp_path), fewshot_draws=2, num_fewshot=20)
    tasks = load_tasks(settings).tasks
    assert list(tasks) == ["toy_colour", "toy_kind", "toy_answer"]
    assert not any(has_draws(task) for task in tasks.values())
    assert "their own can be shown in: toy_kind, toy_answer. Intervals" in undrawn(tasks)
    assert undrawn({"toy_colour": tasks["toy_colour"]}) == ""


@pytest.mark.parametrize("draws", [1, 0, -2, 2.5, True, "3"])
def test_what_is_no_number_of_draws(draws: object, tmp_path: Path, pair: Pair) -> None:
    with pytest.raises(SweepError, match=r"fewshot_draws=.*: expected a whole number, 2 or more"):
        toy_settings(pair, tmp_path, fewshot_draws=draws)


def test_documents_by_number_and_draws_exclude_each_other(tmp_path: Path, pair: Pair) -> None:
    given = toy_settings(pair, write_tasks(tmp_path)).as_dict()
    settings = resolve({**given, "fewshot_draws": 2, "samples": {"toy_kind": [0, 1]}})
    with pytest.raises(SweepError, match=r"--samples with --fewshot_draws: documents are chosen"):
        load_tasks(settings)
