"""mergekit in a virtual environment of its own, so that it cannot disturb ours."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.support.places import cache_folder

MERGEKIT = "0.1.5"
_SAME = ("torch", "transformers", "safetensors")  # the versions that are compared with


def mergekit_python() -> str:
    """The interpreter of mergekit's environment, which is made on the first call."""
    folder = cache_folder() / "mergekit-venv"
    python = folder / "bin" / "python"
    if _has_mergekit(python):
        return str(python)
    print(f"Installing mergekit {MERGEKIT} into {folder} ...", flush=True)
    same = [f"{name}=={_version(name)}" for name in _SAME]
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *same, f"mergekit=={MERGEKIT}"], check=True
    )
    return str(python)


def _has_mergekit(python: Path) -> bool:
    if not python.is_file():
        return False
    wanted = {"mergekit": MERGEKIT, **{name: _version(name) for name in _SAME}}
    test = (
        "from importlib.metadata import version;"
        f"assert all(version(n).split('+')[0] == v for n, v in {wanted!r}.items())"
    )
    return not subprocess.run([python, "-c", test], capture_output=True, check=False).returncode


def _version(package: str) -> str:
    return version(package).split("+")[0]  # without a build's label, as in 2.13.0+cpu
