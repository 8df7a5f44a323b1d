"""Runs on a medium that cannot be written to are read as others are."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.font_manager  # noqa: F401 -- nobody may read all of Python's own folder
import pytest
from toy import run

from pa_harness.cli.main import main
from pa_harness.report import publish  # noqa: F401 -- imported before rights are given up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from changed import Place

NOBODY = 65534


@pytest.fixture
def read_only(place: Place) -> Iterator[Path]:
    """A copy of the run in which nothing can be written."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        copy = Path(folder) / "run"
        shutil.copytree(place.run, copy)
        files = [copy, *copy.rglob("*")]
        for each in files:
            each.chmod(0o555 if each.is_dir() else 0o444)
        yield copy
        for each in files:
            each.chmod(0o755)


@contextmanager
def as_anybody() -> Iterator[None]:
    """Root may write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize(("verb", "word"), [("summary", "ICL"), ("choose", "rule")])
def test_verbs_print_and_say_that_nothing_was_kept(
    verb: str, word: str, read_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with as_anybody():
        assert main([verb, str(read_only)]) == 0
    told = capsys.readouterr()
    assert word in told.out
    assert ".json cannot be written: Permission denied" in told.err


@pytest.mark.parametrize("verb", ["plot", "report"])
def test_verbs_that_only_write_say_that_they_cannot(
    verb: str, read_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with as_anybody():
        assert main([verb, str(read_only)]) == 2
    assert "cannot be written: Permission denied" in capsys.readouterr().err


def test_a_sweep_that_is_finished_is_compared_and_its_scores_are_given(
    place: Place, read_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site belongs to root, so that only the folder is asked whether it can be written."""
    can = os.access
    monkeypatch.setattr(os, "access", lambda at, how: at != read_only and can(at, how))
    assert run(place.settings, read_only) == ""
