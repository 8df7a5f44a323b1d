"""Files are whole or absent; a folder has one writer."""

from __future__ import annotations

import errno
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pa_harness.errors import RunError
from pa_harness.storage import plain, sole_writer, write_json, write_text, write_with

if TYPE_CHECKING:
    from pathlib import Path


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_text(path, "old")

    def half(temporary: Path) -> None:
        temporary.write_text("ha")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_with(path, half)
    assert path.read_text() == "old"
    write_text(path, "new")
    assert [each.name for each in path.parent.iterdir()] == ["file.txt"]


def test_a_full_disk_is_said_so_and_leaves_nothing_half(tmp_path: Path) -> None:
    def full(temporary: Path) -> None:
        temporary.write_text("ha")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match=r"No space left to write .*What was finished before is kep"):
        write_with(tmp_path / "file", full)
    assert list(tmp_path.iterdir()) == []


def test_json_keeps_order_letters_and_digits(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"λ": 0.1, "a": [1, None]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == (
        '{\n  "λ": 0.1,\n  "a": [\n    1,\n    null\n  ]\n}\n'
    )
    value = {"a": [float("nan"), (1.5, float("inf"))], "b": np.array([[1.0, np.nan]])}
    assert plain(value) == {"a": [None, [1.5, None]], "b": [[1.0, None]]}


def test_the_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom pa_harness.storage import sole_writer\n"
        "with sole_writer(pathlib.Path(sys.argv[1]), 'another'): pass"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with sole_writer(tmp_path, "a sweep"):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "is in use: a sweep, process " in run.stderr
        with (
            pytest.raises(RunError, match="Two processes cannot write"),
            sole_writer(tmp_path, "b"),
        ):
            pass
    assert (tmp_path / ".lock").read_text() == ""
    assert subprocess.run(command, check=False).returncode == 0
