"""The shipped tasks through the commands users type."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from suite_data import REAL, all_names

from pa_harness.tasks.shipped import shipped_tasks, task_table

FINANCE = ("financial_phrasebank", "fiqa", "headlines")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_tasks_prints_the_table() -> None:
    assert run("pa_harness", "tasks").stdout.strip() == task_table()


def test_groups_are_averaged_over_tasks(suite: dict[str, Any]) -> None:
    """Through lm-eval's own Group: MMLU counts once beside two tasks of its category."""
    group = suite["groups"]["pa_icl_knowledge"]
    leaves = [task.task_name for task in group.get_all_tasks()]
    assert len(leaves) == 59
    results: dict[str, Any] = {
        name: {"acc,none": 0.4, "acc_stderr,none": 0.1, "sample_len": 5} for name in leaves
    }
    for name in ("pa_triviaqa_gen", "pa_nq_open_gen"):
        key = "exact_match{},remove_whitespace"
        results[name] = {key.format(""): 0.7, key.format("_stderr"): 0.2, "sample_len": 9}
    row = group.aggregate(results)
    assert row["score,none"] == pytest.approx((0.4 + 0.7 + 0.7) / 3)
    assert row["score_normalized,none"] == pytest.approx(((0.4 - 0.25) / 0.75 + 1.4) / 3)
    mmlu = 0.1 / math.sqrt(57)
    assert row["score_stderr,none"] == pytest.approx(math.hypot(mmlu, 0.2, 0.2) / 3)
    assert row["sample_len"] == 57 * 5 + 18
    plain = suite["groups"]["pa_mmlu_mcf"].aggregate(results)
    assert plain["acc,none"] == pytest.approx(0.4), "other groups stay lm-eval's"


@pytest.mark.slow
def test_every_name_is_valid() -> None:
    names = [*all_names(), *(f"pa_icl_{c}" for c in {t.category for t in shipped_tasks()})]
    done = run("lm_eval", "validate", "--tasks", ",".join(names))
    assert done.returncode == 0, done.stdout
    assert "All tasks found and valid" in done.stdout


def evaluated(
    command: tuple[str, ...],
    options: tuple[str, ...],
    pair: tuple[Path, Path],
    hub: Path,
    out: Path,
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """The command's output and its results file, at λ = ½ on the hub's folder."""
    given = f"pretrained={pair[0]},instruct={pair[1]},lam=0.5"
    options += ("--model", "partially_adapted", "--model_args", given, "--output_path", str(out))
    done = subprocess.run(
        [sys.executable, "-m", *command, *options],
        cwd=hub,
        env=os.environ | {"HF_DATASETS_CACHE": str(out / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (file,) = out.rglob("results_*.json")
    return done, json.loads(file.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("command", [("lm_eval", "run"), ("pa_harness", "run")])
def test_the_suite_runs_and_prints_its_score(
    command: tuple[str, str], pair: tuple[Path, Path], hub: Path, tmp_path: Path
) -> None:
    """The results file's group row is the mean of the tasks' rows; F1 has a standard error."""
    options = ("--tasks", "pa_icl_finance", "--limit", "6")
    done, results = evaluated(command, options, pair, hub, tmp_path)
    assert "score_normalized" in done.stdout
    tasks = [results["results"][f"pa_{name}_cf"] for name in FINANCE]
    group = results["groups"]["pa_icl_finance"]
    mean = sum(task["acc,none"] for task in tasks) / 3
    assert group["score,none"] == pytest.approx(mean)
    errors = [task["acc_stderr,none"] for task in tasks]
    assert group["score_stderr,none"] == pytest.approx(math.hypot(*errors) / 3)
    for task in tasks:
        assert isinstance(task["f1_macro_stderr,none"], float)
    assert " at 0x" not in json.dumps(results["configs"]), "an address is not reproducible"


@pytest.mark.slow
@pytest.mark.skipif(REAL in os.environ, reason="only the made-up rows are few enough")
def test_every_task_runs_end_to_end(pair: tuple[Path, Path], hub: Path, tmp_path: Path) -> None:
    options = ("--tasks", ",".join(all_names()), "--limit", "2", "--gen_kwargs", "max_gen_toks=4")
    results = evaluated(("lm_eval", "run"), options, pair, hub, tmp_path)[1]["results"]
    for name in ("pa_icl", "pa_icl_lite"):
        assert 0 <= results[name]["score,none"] <= 1


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(
    pair: tuple[Path, Path], hub: Path, tmp_path: Path
) -> None:
    """Likelihoods, generations and F1 over the task, through accelerate's own command."""
    tasks = "pa_arc_challenge_cf,pa_commonsense_qa_mcf,pa_wnut17_gen,pa_fiqa_cf,pa_squad_gen"
    options = ("--tasks", tasks, "--gen_kwargs", "max_gen_toks=8", "--device", "cpu")
    one = evaluated(("lm_eval", "run"), options, pair, hub, tmp_path / "one")[1]
    launch = ("accelerate.commands.launch", "--cpu", "--num_processes", "2")
    launch += ("--main_process_port", "0", "-m", "lm_eval", "run")
    two = evaluated(launch, options, pair, hub, tmp_path / "two")[1]
    assert two["results"] == one["results"]
