"""The real commands on mistakes: exit code 2, one message at the end, no traceback, no results."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from breakage import copy, cut, filled, gone, other_tokens, settings, weights
from own_tasks import write_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Pair = tuple["Path", "Path"]
LM_EVAL = ["-m", "lm_eval", "run"]
OURS = ["-m", "pa_harness", "run"]
GOOD = "pretrained={base},instruct={instruct},lam=0.5"
BROKEN: dict[str, tuple[str, list[Callable[[Path], None]], str, str]] = {
    "truncated": ("base", [cut("model.safetensors", 0.5)], "CheckpointError", r"cannot be read: "),
    "no weights": ("base", [gone("*.safetensors")], "CheckpointError", r"has no weights that tran"),
    "no config": ("instruct", [gone("config.json")], "CheckpointError", r"has no config\.json"),
    "NaN": ("base", [weights(norm=filled(float("nan")))], "CheckpointError", r"hold NaN or Inf"),
    "shape": ("instruct", [weights(query=lambda t: t[:16])], "CheckpointError", r"does not fit Ll"),
    "tokens": ("instruct", [other_tokens], "PairError", r"2 token ids mean different tokens"),
    "settings": (
        "base",
        [settings(hidden_act="gelu")],
        "PairError",
        r"hidden_act: base 'gelu', ",
    ),
}
# Each is what to pass as model arguments, the error, and the message.
MISTAKES = {
    "lam in words": (GOOD.replace("0.5", "half"), "ModelArgsError", r"lam='half' is not a number"),
    "misspelt": (GOOD + ",lamda=1", "ModelArgsError", r"Unknown model argument lamda=1\. Did you"),
    "no instruct": ("pretrained={base},lam=0", "ModelArgsError", r"Exactly one of instruct= and p"),
    "nowhere": (
        "pretrained=/no/where,instruct={instruct},lam=0",
        "CheckpointError",
        r"neither a f",
    ),
    "the same twice": (GOOD.replace("{instruct}", "{base}"), "PairError", r"λ changes nothing"),
    "not an adapter": ("pretrained={base},peft={base},lam=1", "AdapterError", r"no adapter_config"),
}
UNMARKED = {"misspelt", "truncated"}


def marked(names: object) -> list[object]:
    """All but two of them are slow: lm-eval indexes its tasks for seconds."""
    return [
        name if name in UNMARKED else pytest.param(name, marks=pytest.mark.slow)
        for name in list(names)
    ]


def command(
    folder: Path, model_args: str, start: list[str] = LM_EVAL
) -> subprocess.CompletedProcess[str]:
    """Run in the folder, on a task of two questions, with results to folder/results."""
    write_task(folder)
    options = ["--model", "partially_adapted", "--model_args", model_args, "--device", "cpu"]
    options += ["--include_path", str(folder / "tasks"), "--tasks", "two_colours"]
    return subprocess.run(
        [sys.executable, *start, *options, "--output_path", str(folder / "results")],
        cwd=folder,
        env=os.environ | {"HF_DATASETS_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def assert_refused(
    run: subprocess.CompletedProcess[str], folder: Path, kind: str, message: str
) -> None:
    assert run.returncode == 2, run.stderr
    assert "Traceback" not in run.stderr + run.stdout
    before, _, report = run.stderr.rpartition(f"\n{kind}: ")
    assert before, run.stderr
    assert re.search(message, report)
    assert not re.search(r"^\d{4}-\d\d-\d\d", report, re.MULTILINE), "the message is not the last"
    assert not (folder / "results").exists()


@pytest.mark.parametrize("what", marked(MISTAKES))
def test_a_mistake_in_the_arguments(what: str, pair: Pair, tmp_path: Path) -> None:
    model_args, kind, message = MISTAKES[what]
    run = command(tmp_path, model_args.format(base=pair[0], instruct=pair[1]))
    assert_refused(run, tmp_path, kind, message)


@pytest.mark.parametrize("what", marked(BROKEN))
def test_a_broken_checkpoint(what: str, pair: Pair, tmp_path: Path) -> None:
    side, changes, kind, message = BROKEN[what]
    broken = dict(zip(("base", "instruct"), copy(pair, tmp_path / "pair"), strict=True))
    for change in changes:
        change(broken[side])
    assert_refused(command(tmp_path, GOOD.format(**broken)), tmp_path, kind, message)


@pytest.mark.slow
def test_a_mistake_through_our_own_command(pair: Pair, tmp_path: Path) -> None:
    model_args = f"pretrained={pair[0]},instruct={pair[1]},lam=nan"
    run = command(tmp_path, model_args, OURS)
    assert_refused(run, tmp_path, "ModelArgsError", r"lam=nan is not a number")


@pytest.mark.slow
@pytest.mark.parametrize("model_args", ['{"lam": ', "lam", "lam={[]: 1}"])
def test_what_lm_evals_parser_refuses(model_args: str, tmp_path: Path) -> None:
    run = command(tmp_path, model_args)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert "error: argument --model_args: " in run.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("start", [LM_EVAL, OURS], ids=["lm-eval", "pa-harness"])
def test_the_same_command_without_a_mistake(start: list[str], pair: Pair, tmp_path: Path) -> None:
    run = command(tmp_path, GOOD.format(base=pair[0], instruct=pair[1]), start)
    assert run.returncode == 0, run.stderr
    (results,) = (tmp_path / "results").rglob("results_*.json")
    assert results.parent.name.endswith("instruct__lam=0.5")
    config = json.loads(results.read_text())["config"]
    assert (config["lam"], config["lam_eff"]) == (0.5, pytest.approx(0.5, abs=1e-6))
