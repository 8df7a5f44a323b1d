"""The comparison of a sweep's ends with stock hf: it finds what differs, and runs as a command."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.ends import Samples, compare, sample_logs, stock_arguments

ROOT = Path(__file__).parents[2]


@pytest.fixture
def samples(whole: Path) -> dict[str, Samples]:
    return sample_logs(whole / "lam=1")


def test_what_is_the_same_holds(samples: dict[str, Samples]) -> None:
    found = compare(samples["toy_kind"], samples["toy_kind"])
    assert found.holds
    assert (found.documents, found.answers, found.difference) == (12, 24, 0.0)
    texts = compare(samples["toy_answer"], samples["toy_answer"])
    assert texts.holds
    assert texts.answers == 12


@pytest.mark.parametrize("what", ["prompt", "metric", "greedy", "text", "likelihood"])
def test_what_differs_is_found(what: str, samples: dict[str, Samples]) -> None:
    task = "toy_answer" if what == "text" else "toy_kind"
    other = copy.deepcopy(samples[task])
    sample = other[3, "none"]
    if what == "prompt":
        sample["arguments"]["gen_args_1"]["arg_0"] += " "
    elif what == "metric":
        sample["acc"] = 1.0 - sample["acc"]
    elif what == "greedy":
        sample["resps"][0][0][1] = str(sample["resps"][0][0][1] != "True")
    elif what == "text":
        sample["resps"][0][0] += "."
    else:
        sample["resps"][1][0][0] = str(float(sample["resps"][1][0][0]) + 2e-4)
    assert not compare(samples[task], other).holds


def test_no_more_than_the_stock_documents_are_compared(samples: dict[str, Samples]) -> None:
    few = {key: sample for key, sample in samples["toy_kind"].items() if key[0] < 5}
    assert compare(few, samples["toy_kind"]).documents == 5


def test_the_arguments_of_the_two_ends() -> None:
    ours = {
        "pretrained": "b",
        "revision": "1",
        "instruct": "i",
        "dtype": "float32",
        "keep": "files",
    }
    base = {"pretrained": "b", "revision": "1", "dtype": "float32", "tokenizer": "i"}
    assert stock_arguments(ours, "base") == base
    moved = {"pretrained": "i", "dtype": "float32", "tokenizer": "i"}
    assert stock_arguments(ours, "instruct") == moved
    assert stock_arguments({**ours, "instruct_revision": "2"}, "instruct")["revision"] == "2"
    adapted = {"pretrained": "b", "peft": "a"}
    assert stock_arguments(adapted, "instruct") == {**adapted, "tokenizer": "b"}
    assert stock_arguments(adapted, "base") == {"pretrained": "b", "tokenizer": "b"}


@pytest.mark.slow
def test_the_command_on_a_sweep_with_raw_and_chat_prompts(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    command = [sys.executable, "-m", "benchmarks.ends", str(tmp_path / "run"), "--limit", "6"]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "HF_DATASETS_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for task, count in (("toy_colour", 12), ("toy_kind", 12), ("toy_answer", 6)):
        for end in ("λ = 0, base", "λ = 1, instruct"):
            row = f"| {task} | {end} | 6 | 6/6 | {count}/{count} | {count}/{count} |"
            assert row in done.stdout
