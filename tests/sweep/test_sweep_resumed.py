"""Sweeps that were stopped, killed, or met a folder with something else in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from toy import run, timeless, write_tasks

from pa_harness.errors import RunError, SweepError
from pa_harness.runs.settings import as_yaml
from pa_harness.storage import sole_writer

if TYPE_CHECKING:
    from pa_harness.runs.settings import SweepSettings


def test_a_sweep_goes_on_where_it_stopped_and_ends_with_the_same_bytes(
    settings: SweepSettings, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    for file in ("scores.parquet", "documents.parquet", "units/lam=0.5/toy_kind.json"):
        (folder / file).unlink()
    (folder / "units/lam=1/.toy_kind.json.tmp").write_text("half")  # of a unit that is done
    (folder / "units/lam=1/toy_kind.json").unlink()
    text = run(settings, folder)
    assert text.count("λ = ") == 2
    assert timeless(folder) == timeless(whole)
    assert run(settings, folder) == ""  # nothing is left to do


def test_another_configuration_is_refused_with_the_difference(
    settings: SweepSettings, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    with pytest.raises(RunError, match=r"another configuration:\n  limit: null there, 3 here\n"):
        run(replace(settings, limit=3), folder)


def test_a_mistake_before_the_first_unit_can_be_mended(
    settings: SweepSettings, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(SweepError):
        run(replace(settings, tasks=("toy_group", "toy_kind")), tmp_path)
    (tmp_path / "lam=0").mkdir()
    (tmp_path / "lam=0/samples_toy_kind_2026-01-01T00-00-00.jsonl").write_text("half")
    run(settings, tmp_path)
    assert timeless(tmp_path) == timeless(whole)


def test_a_folder_of_something_else_is_left_alone(settings: SweepSettings, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(RunError, match=r"holds no sweep:\n  thesis\.tex\n"):
        run(settings, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills"), [("sweep", 30), ("auto", 15)])
def test_kills_at_random_moments_leave_no_trace(
    kind: str, kills: int, settings: SweepSettings, tmp_path: Path
) -> None:
    if kind == "auto":  # which needs more documents
        tasks = write_tasks(tmp_path / "more", documents=80)
        settings = replace(settings, tasks=("toy_group",), include_path=(str(tasks),))
    five = replace(settings, lam=(0.0, 0.25, 0.5, 0.75, 1.0))
    (tmp_path / "sweep.yaml").write_text(as_yaml(five))
    worker = Path(__file__).parents[1] / "support" / "killed_sweep.py"
    places = [str(tmp_path / "run"), str(tmp_path / "sweep.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(worker), *places, str(kills), kind],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert timeless(tmp_path / "run") == timeless(tmp_path / "whole")


@pytest.mark.slow
def test_the_command_is_refused_beside_itself_and_stops_on_ctrl_c(
    settings: SweepSettings, tmp_path: Path
) -> None:
    (tmp_path / "sweep.yaml").write_text(as_yaml(settings))
    options = ["--config", str(tmp_path / "sweep.yaml"), "--output_path", str(tmp_path / "run")]
    command = [sys.executable, "-m", "pa_harness", "sweep", *options]
    with sole_writer(tmp_path / "run", "a sweep"):
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert "RunError: " in second.stderr
    assert "is in use: a sweep, process" in second.stderr
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's "&" ignores it
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heeding) as first:
        assert first.stderr is not None
        for line in first.stderr:
            if "1/9 units" in line:
                first.send_signal(signal.SIGINT)
                break
        _, rest = first.communicate()
    assert first.returncode == 130
    assert "Finished units are kept" in rest
    assert "Traceback" not in rest
    last = [*command, "--format", "csv"]
    done = subprocess.run(last, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/scores.csv").exists()
    assert "toy_kind (acc) " in done.stdout
    assert f"Report: {tmp_path / 'run' / 'report.html'}" in done.stdout
    assert (tmp_path / "run/report.html").exists()
