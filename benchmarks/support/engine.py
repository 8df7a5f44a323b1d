"""What the vLLM benchmarks have in common: processes of one model each, on one thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.support.places import REPOSITORY

ENGINE = {"enforce_eager": True, "kv_cache_memory_bytes": 512 << 20, "block_size": 32}
_QUIET = {
    "OMP_NUM_THREADS": "1",  # CPU seconds without the waiting of threads for each other
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine in the process that is timed
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TOKENIZERS_PARALLELISM": "false",
}


def run(
    model: str, arguments: dict[str, Any], requests: list[Any], lams: tuple[float, ...] = ()
) -> dict[str, Any]:
    """The record of `engine_worker`, with `process`: wall seconds of the whole process."""
    with tempfile.TemporaryDirectory() as place:
        spec, out = Path(place) / "spec.json", Path(place) / "out.json"
        what = {"model": model, "arguments": arguments, "requests": requests, "lams": lams}
        spec.write_text(json.dumps(what), encoding="utf-8")
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.support.engine_worker", str(spec), str(out)],
            cwd=REPOSITORY,
            env=os.environ | _QUIET | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{model} failed:\n{done.stderr[-3000:]}")
        record: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return {**record, "process": time.perf_counter() - began}
