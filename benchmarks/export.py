"""Time and memory of an export: ``python -m benchmarks.export``. The pair of 1.1 billion, bf16."""

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.support.measure import Phases, measured
from benchmarks.support.places import cache_folder
from benchmarks.support.report import publish, table
from benchmarks.support.synthetic import large_pair

_SHARDS = ("500MB", "5GB")


def worker(base: str, instruct: str, folder: str, shard: str) -> None:
    """One export, in a process of its own."""
    from pa_harness.cli.main import main

    for module in (
        "lm_eval.models.huggingface",
        "pa_harness.export.model",
        "pa_harness.weights.opening",
    ):
        import_module(module)  # outside the phase
    phases = Phases()
    pair = f"pretrained={base},instruct={instruct},lam=0.6"
    with phases.phase("export"):
        main(["export", "--model_args", pair, "-o", folder, "--max_shard_size", shard])
    phases.emit()


def main() -> None:
    """Measure, and publish the table."""
    base, instruct = large_pair()
    size = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    rows = []
    for shard in _SHARDS:
        place = Path(tempfile.mkdtemp(dir=cache_folder()))
        try:
            folder = place / "model"
            (phase,) = measured(
                "benchmarks.export", "worker", str(base), str(instruct), str(folder), shard
            )
            files = len(list(folder.glob("*.safetensors")))
        finally:
            shutil.rmtree(place)
        memory = [f"{value / 1e9:.2f}" for value in (phase.anonymous, phase.resident)]
        rows.append([shard, files, *memory, f"{phase.wall:.0f}", f"{phase.cpu:.0f}"])
    head = ("--max_shard_size", "files", "memory beside mapped files, GB", "resident at most, GB")
    text = (
        f"λ = 0.6 of a pair of {size / 1e9:.1f} GB each, read back and compared, imports apart. "
        "Resident counts the pages of both mapped checkpoints and of the export that is read back; "
        "the system may take them away."
    )
    publish("export", f"{text}\n\n{table((*head, 'wall s', 'CPU s'), rows)}", command=_COMMAND)


_COMMAND = "python -m benchmarks.export"

if __name__ == "__main__":
    worker(*sys.argv[2:]) if sys.argv[1:2] == ["worker"] else main()
