"""The demo's sweep: what `pa-harness sweep` does, on the demo's tasks."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from typing import TYPE_CHECKING, Any

from pa_harness.registration import install
from pa_harness.report.publish import publish
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.seal import read_sealed
from pa_harness.runs.settings import resolve
from pa_harness.sweep.progress import Progress
from pa_harness.sweep.sweep import Terms, sweep

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from benchmarks.demo.pair import Pair

Results = dict[str, Any]  # lm-eval's own, with the samples

_LOSSES = "pa_demo_instructions"


def evaluate_lams(
    pair: Pair, tasks: Path, arguments: Namespace
) -> tuple[dict[float, Results], Path]:
    """Sweep, or complete a sweep that was stopped, and write its figures and report.

    Args:
        pair: the two models.
        tasks: folder of the task files.
        arguments: the command's `lam`, `limit`, `full` and `output_path`.

    Returns:
        lm-eval's results by λ, with the samples of the losses; and the run's folder.
    """
    _quiet()
    install(switchable=False)
    settings = resolve(
        {
            "model_args": {
                "pretrained": str(pair.base),
                "instruct": str(pair.instruct),
                "dtype": "float32",
            },
            "lam": arguments.lam,
            "tasks": [path.stem for path in sorted(tasks.glob("*.yaml"))],
            "include_path": [str(tasks)],
            "apply_chat_template": False,  # the instructions' contexts are in chat format already
            "batch_size": 1,  # no faster with more on a CPU, and free of padding
            "device": "cpu",
            "limit": arguments.limit,
        }
    )
    lams = ",".join(f"{lam:g}" for lam in settings.lam)
    kind = "full," if arguments.full else ""
    run = arguments.output_path / f"{kind}limit={arguments.limit},lam={lams}"
    sweep(settings, run, Progress(sys.stderr), Terms(shlex.join(sys.argv)))
    publish(run)
    folder = RunFolder(run)
    return {lam: _results(folder, lam) for lam in settings.lam}, run


def _quiet() -> None:
    """Leave the sweep's progress; take the chatter from between it."""
    import datasets
    from transformers.utils import logging as transformers_logging

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    chatter: Any = transformers_logging  # untyped
    chatter.disable_progress_bar()


def _results(folder: RunFolder, lam: float) -> Results:
    lines = folder.samples(lam, _LOSSES).read_text(encoding="utf-8").splitlines()
    samples = {_LOSSES: [json.loads(line) for line in lines]}
    return {**read_sealed(folder.results(lam)), "samples": samples}
