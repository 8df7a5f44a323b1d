"""Who reads a run needs nothing beside it, and can do so where nothing can be written."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.font_manager  # noqa: F401 -- nobody may read all of Python's own folder
import pytest
from changed import Place, readers, restore
from fake_judge import FakeJudge
from toy import run

from pa_harness.cli.main import main, parser
from pa_harness.errors import CheckpointError
from pa_harness.report import publish  # noqa: F401 -- imported before rights are given up

if TYPE_CHECKING:
    from collections.abc import Iterator

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


_of_first_time = re.compile(r"To ask: .*\n|\d+ requests are answered")


def test_who_reads_a_run_needs_nothing_beside_it(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So no change of model, task or versions can be in what these verbs say: it is the same."""
    said: dict[str, list[str]] = {}
    with FakeJudge() as fake:
        for there in (True, False):
            for verb, argv in readers(place.run, tmp_path, fake.url).items():
                slow = there and verb in ("plot", "report")
                if slow or verb in ("export", "compare with a table"):
                    continue
                assert main(argv) == 0, (verb, capsys.readouterr().err)
                told = capsys.readouterr()
                said.setdefault(verb, []).append(_of_first_time.sub("", told.out))
            shutil.rmtree(place.site, ignore_errors=True)
    try:
        told_by_sweep = run(place.settings, place.run)
    except CheckpointError as error:
        told_by_sweep = str(error)
    finally:
        restore(place.kept, place.site)
    assert "is neither a folder nor a hub id" in told_by_sweep, "the pair is gone, and it says so"
    for verb, (before, *after) in said.items():
        assert [before] == (after or [before]), verb


def test_every_verb_is_in_the_matrix(place: Place, tmp_path: Path) -> None:
    """Those that read no run have nothing of it to say."""
    (verbs,) = (each for each in parser()._actions if each.dest == "verb")
    reading = {argv[0] for argv in readers(place.run, tmp_path).values()}
    of_none = {"run", "tasks", "tasks-dir", "new-task", "check-task", "presets", "show-lam"}
    assert {*(verbs.choices or ())} == reading | {"sweep"} | of_none
