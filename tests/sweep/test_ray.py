"""Sweeps on the workers of a local Ray cluster: the folder of a sweep in this process."""

from __future__ import annotations

import io
import os
import shutil
import signal
from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from stages import make_stages
from toy import run, toy_settings
from watched import Watched, scores

from pa_harness.cli.sweep import wanted_cluster
from pa_harness.errors import ExtraError, SweepError
from pa_harness.sweep.cluster import ATTEMPTS, Cluster, Shares
from pa_harness.sweep.progress import Progress
from pa_harness.sweep.sweep import Terms, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pa_harness.runs.settings import SweepSettings

UNITS = [(lam, task) for lam in (0.0, 0.25, 0.5, 0.75, 1.0) for task in ("a", "b")]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster of this machine, of two workers."""
    module = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    module.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield module
    module.shutdown()


def kill_a_worker() -> None:
    """With SIGKILL, one of our own actors that is at work."""
    import psutil

    ours = psutil.Process().children(recursive=True)
    workers = [each for each in ours if "ray::UnitServer" in " ".join(each.cmdline())]
    os.kill(workers[0].pid, signal.SIGKILL)


@pytest.mark.parametrize("killed", [pytest.param(False, marks=pytest.mark.slow), True])
def test_two_workers_write_the_folder_of_one_process(
    killed: bool,
    ray: Any,
    settings: SweepSettings,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As many threads as here: sums over many threads differ in the last bit.
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    stream = Watched("1/9 units", kill_a_worker if killed else None)
    sweep(settings, tmp_path / "run", Progress(stream), Terms("", Cluster(settings, workers=2)))
    assert scores(tmp_path / "run") == scores(whole)
    assert stream.getvalue().count("its worker was lost") == killed
    assert "2 workers with 1 CPUs and 0 GPUs each" in stream.getvalue()


def test_workers_walk_a_path(
    ray: Any, toy_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    stages = make_stages(tmp_path / "stages")
    path = {"path": [str(each) for each in stages], "dtype": "float32"}
    given = toy_settings((stages[0], stages[1]), toy_tasks, lam="0:2:0.5", model_args=path)
    run(given, tmp_path / "whole")
    terms = Terms("", Cluster(given, workers=2))
    sweep(given, tmp_path / "run", Progress(io.StringIO()), terms)
    assert scores(tmp_path / "run") == scores(tmp_path / "whole")


@pytest.mark.slow
def test_workers_go_on_where_a_sweep_was_stopped(
    ray: Any, settings: SweepSettings, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was begun without Ray, as it happens."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    for name in ("units/lam=0.5/toy_kind.json", "units/lam=1/toy_answer.json", "scores.parquet"):
        (folder / name).unlink()
    stream = io.StringIO()
    sweep(settings, folder, Progress(stream), Terms("", Cluster(settings, workers=2)))
    assert scores(folder) == scores(whole)
    assert "2 workers" in stream.getvalue()
    assert "9/9 units" in stream.getvalue()
    assert "6/9 units" not in stream.getvalue(), "seven were there"


def test_a_workers_complaint_arrives_as_it_is(
    ray: Any, settings: SweepSettings, tmp_path: Path
) -> None:
    wrong = replace(settings, model="hf", tasks=("toy_colour",))
    with pytest.raises(SweepError, match=r"^--model hf has no λ to set"):
        sweep(wrong, tmp_path, Progress(io.StringIO()), Terms("", Cluster(wrong, workers=2)))


def test_an_answer_file_cannot_be_shared(settings: SweepSettings, tmp_path: Path) -> None:
    cached = replace(settings, use_cache="answers")
    with pytest.raises(SweepError, match=r"use_cache=answers with --executor ray"):
        sweep(cached, tmp_path, Progress(io.StringIO()), Terms("", Cluster(cached)))


def test_without_ray_it_says_what_to_install(
    settings: SweepSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ExtraError, match=r"--executor ray needs the extra 'ray'.*\[ray\]"):
        sweep(settings, tmp_path, Progress(io.StringIO()), Terms("", Cluster(settings)))


def test_every_worker_walks_its_own_lams() -> None:
    plan = Shares(UNITS, 2)
    first = [plan.take(0) for _ in range(6)]
    assert {unit[0] for unit in first if unit} == {0.0, 0.25, 0.5}
    assert plan.take(1) == (0.75, "a")
    assert plan.take(0) == (1.0, "b"), "its own share is done: it helps, from the other end"
    assert [plan.take(1), plan.take(0), plan.take(1)] == [(0.75, "b"), (1.0, "a"), None]


def test_with_fewer_lams_than_workers_tasks_are_divided() -> None:
    plan = Shares([(1.0, "a"), (1.0, "b"), (1.0, "c")], 3)
    assert [plan.take(worker) for worker in (2, 1, 0)] == [(1.0, "c"), (1.0, "b"), (1.0, "a")]


def test_a_unit_that_loses_every_worker_ends_the_sweep() -> None:
    plan = Shares(UNITS[:1], 1)
    for _ in range(ATTEMPTS - 1):
        unit = plan.take(0)
        assert unit == UNITS[0]
        plan.put_back(0, unit, "killed")
    plan.take(0)
    with pytest.raises(SweepError, match=rf"a at λ = 0 lost its worker {ATTEMPTS} times.*: killed"):
        plan.put_back(0, UNITS[0], "killed")


@pytest.mark.parametrize(
    ("wishes", "cluster", "expected"),
    [
        ({}, (16, 0, 2), (2, 8.0, 0.0)),  # no GPUs: one worker a machine
        ({}, (64, 8, 1), (8, 8.0, 1.0)),  # one GPU each
        ({"gpus_per_lam": 4}, (64, 8, 1), (2, 32.0, 4)),
        ({"gpus_per_lam": 0.5}, (64, 2, 1), (4, 16.0, 0.5)),
        ({"workers": 3}, (64, 8, 1), (3, 21.0, 1.0)),
        ({"workers": 4}, (2, 0, 1), (4, 1.0, 0.0)),
    ],
)
def test_how_many_workers_a_cluster_has(
    wishes: dict[str, Any],
    cluster: tuple[float, float, int],
    expected: tuple[int, float, float],
    settings: SweepSettings,
) -> None:
    assert Cluster(settings, **wishes).resources(*cluster) == expected


def test_more_gpus_than_there_are(settings: SweepSettings) -> None:
    with pytest.raises(SweepError, match=r"gpus_per_lam=8, and the cluster has 4 GPUs"):
        Cluster(settings, gpus_per_lam=8).resources(64, 4, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "host:1"}, r"--address host:1 is an option of --executor ray"),
        ({"executor": "ray", "workers": 0}, r"--workers 0 is too few"),
        ({"executor": "ray", "gpus_per_lam": -1.0}, r"--gpus_per_lam -1 is too few"),
    ],
)
def test_options_that_do_not_fit(
    options: dict[str, Any], message: str, settings: SweepSettings
) -> None:
    given = {"executor": "local", "address": None, "gpus_per_lam": None, "workers": None}
    with pytest.raises(SweepError, match=message):
        wanted_cluster(settings, Namespace(**{**given, **options}))
