"""A finished run, and the place it was made from, which tests may change."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from changed import Place, finish, restore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Do not write to it."""
    return finish(tmp_path_factory.mktemp("changes"))


@pytest.fixture
def place(finished: Place, tmp_path: Path) -> Place:
    """With a run of its own; the site is restored before."""
    restore(finished.kept, finished.site)
    shutil.copytree(finished.run, tmp_path / "run")
    return replace(finished, run=tmp_path / "run")
