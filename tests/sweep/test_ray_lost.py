"""What a Ray cluster loses: a machine for good, an accelerator, the asking process."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch
from watched import Watched, scores

from pa_harness.errors import PAHarnessError
from pa_harness.runs.settings import as_yaml
from pa_harness.sweep.cluster import Cluster
from pa_harness.sweep.progress import Progress
from pa_harness.sweep.ray_workers import _is_of_device
from pa_harness.sweep.sweep import Terms, sweep

if TYPE_CHECKING:
    from pathlib import Path

    from pa_harness.runs.settings import SweepSettings


@pytest.mark.parametrize(
    ("error", "of_device"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("NCCL error in: ProcessGroupNCCL.cpp"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (PAHarnessError("CUDA error is what a message may speak of"), False),
        (KeyError("acc"), False),
    ],
)
def test_an_accelerators_error_is_a_workers_and_no_other(
    error: BaseException, of_device: bool
) -> None:
    assert _is_of_device(error) == of_device


@pytest.mark.slow
def test_a_machine_that_is_lost_is_not_waited_for(
    settings: SweepSettings, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines of one CPU each; one goes while it is at work, and nothing takes its place."""
    ray: Any = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster as Machines

    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    machines = Machines(initialize_head=True, head_node_args={"num_cpus": 1})
    other = machines.add_node(num_cpus=1)
    try:
        ray.init(address=machines.address, log_to_driver=False)
        gone = Watched("1/9 units", lambda: machines.remove_node(other, allow_graceful=False))
        cluster = Cluster(settings, address=machines.address, workers=2)
        sweep(settings, tmp_path / "run", Progress(gone), Terms(cluster=cluster))
    finally:
        ray.shutdown()
        machines.shutdown()
    assert scores(tmp_path / "run") == scores(whole)
    assert "its worker was lost" in gone.getvalue()


@pytest.mark.slow
def test_the_asking_process_can_be_killed(
    settings: SweepSettings, whole: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    (tmp_path / "sweep.yaml").write_text(as_yaml(settings))
    options = ["--config", str(tmp_path / "sweep.yaml"), "-o", str(tmp_path / "run"), "--no_report"]
    command = [sys.executable, "-m", "pa_harness", "sweep", *options]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    moments = random.Random(0)
    for _ in range(3):
        with subprocess.Popen(
            [*command, "--executor", "ray", "--workers", "2"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as asking:
            assert asking.stderr is not None
            for line in asking.stderr:
                if "units, " in line:
                    time.sleep(moments.random())
                    os.killpg(asking.pid, signal.SIGKILL)
                    break
            asking.stderr.read()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert scores(tmp_path / "run") == scores(whole)
