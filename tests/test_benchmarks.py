"""The benchmarks are run by hand; that they still fit the package is checked here."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "benchmarks").rglob("*.py")
    if path.name not in ("mergekit_worker.py", "__main__.py") and "tasks" not in path.parts
]


@pytest.mark.parametrize("name", NAMES)
def test_it_imports(name: str) -> None:
    importlib.import_module(name)
