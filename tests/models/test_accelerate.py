"""Data parallelism through accelerate's own command: the numbers of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from toy import run, timeless

from pa_harness.errors import PAHarnessError
from pa_harness.models.data_parallel import divided
from pa_harness.runs.settings import as_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pa_harness.runs.settings import SweepSettings

LAUNCH = ("accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1")
LAUNCH += ("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")


def launch(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *LAUNCH, "-m", *command],
        # As many threads as here: sums over many threads differ in the last bit.
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        text=True,
        check=False,
    )


def test_lm_eval_in_two_processes_gives_the_numbers_of_one(
    settings: SweepSettings, toy_tasks: Path, whole: Path, tmp_path: Path
) -> None:
    """Prompts as well: in lm-eval's own way, shots drawn at random depend on the processes."""
    given = ",".join(f"{name}={value}" for name, value in settings.model_args.items())
    command = ["lm_eval", "run", "--model", "partially_adapted", "--model_args", f"{given},lam=0.5"]
    command += ["--tasks", "toy_group", "--include_path", str(toy_tasks), "--log_samples"]
    done = launch(*command, "--device", "cpu", "--output_path", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.rglob("results_*.json")
    (expected,) = whole.glob("lam=0.5/results_*.json")
    found = json.loads(file.read_text())["results"]
    assert len(found) == 3
    assert found.items() <= json.loads(expected.read_text())["results"].items()
    assert prompts(tmp_path.rglob("samples_toy_kind_*.jsonl")) == prompts(
        whole.glob("lam=0.5/samples_toy_kind_*.jsonl")
    )


def prompts(files: Iterable[Path]) -> list[str]:
    """Every document's hash of its prompt, from the only sample log."""
    (file,) = files
    return [json.loads(line)["prompt_hash"] for line in file.read_text().splitlines()]


def test_a_sweep_in_two_processes_is_the_sweep_of_one(
    settings: SweepSettings, whole: Path, tmp_path: Path
) -> None:
    (tmp_path / "sweep.yaml").write_text(as_yaml(settings))
    options = ["--config", str(tmp_path / "sweep.yaml"), "--no_report"]
    command = ["pa_harness", "sweep", *options, "--output_path", str(tmp_path / "run")]
    done = launch(*command)
    assert done.returncode == 0, done.stderr
    left, right = timeless(tmp_path / "run"), timeless(whole)
    assert left.pop("provenance.json") != right.pop("provenance.json"), "the command"
    assert left == right
    assert done.stdout.count("points; λ =") == 1, "one process reports"


def test_shares_are_even_and_keep_documents_whole() -> None:
    requests = [
        SimpleNamespace(args=("context", f" option {n % 4}"), doc_id=n // 4) for n in range(40)
    ]
    for parts in (1, 2, 3, 7, 41):
        shares = divided(requests, parts)
        assert len(shares) == parts
        assert [r for share in shares for r in requests[share]] == requests
        documents = [{r.doc_id for r in requests[share]} for share in shares]
        assert sum(map(len, documents)) == 10, "no document in two shares"
        if parts < 10:
            sizes = [len(requests[share]) for share in shares]
            assert max(sizes) - min(sizes) <= 4
    assert divided([], 2) == [slice(0, 0), slice(0, 0)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_cache": "answers"}, "use_cache=answers with 2 processes: they would write to one"),
        ({"model": "partially_adapted_vllm"}, "does not divide its work|needs the extra 'vllm'"),
    ],
)
def test_what_several_processes_cannot(
    changes: dict[str, Any],
    message: str,
    settings: SweepSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("start", "agree"):
        monkeypatch.setattr(f"pa_harness.processes.{name}", lambda *each: each and each[0])
    with pytest.raises(PAHarnessError, match=message):
        run(replace(settings, **changes), tmp_path)
