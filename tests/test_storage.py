"""Files are whole or absent; a folder has one writer."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pa_harness.errors import RunError
from pa_harness.storage import plain, sole_writer, write_json, write_text, write_with


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


@pytest.mark.parametrize("number", [errno.EFBIG, errno.EIO, errno.ESTALE, errno.EROFS])
def test_a_place_that_fails_is_named_and_nothing_is_half(number: int, tmp_path: Path) -> None:
    def failing(temporary: Path) -> None:
        temporary.write_text("ha")
        raise OSError(number, os.strerror(number))

    with pytest.raises(RunError, match=rf"file cannot be written: {os.strerror(number)}\. Make"):
        write_with(tmp_path / "file", failing)
    assert list(tmp_path.iterdir()) == []


def test_json_keeps_order_letters_and_digits(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"λ": 0.1, "a": [1, None]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == (
        '{\n  "λ": 0.1,\n  "a": [\n    1,\n    null\n  ]\n}\n'
    )
    value = {"a": [float("nan"), (1.5, float("inf"))], "b": np.array([[1.0, np.nan]])}
    assert plain(value) == {"a": [None, [1.5, None]], "b": [[1.0, None]]}


_WRITER = (
    "import sys, pathlib\nfrom pa_harness.storage import sole_writer\n"
    "with sole_writer(pathlib.Path(sys.argv[1]), 'another'): "
)


def test_the_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"{_WRITER}pass", str(tmp_path)]
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


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"{_WRITER}print('held', flush=True); input()", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(RunError, match=rf"in use: another, process {holder.pid} on "),
            sole_writer(tmp_path, "a sweep"),
        ):
            pass
        holder.kill()
    with sole_writer(tmp_path, "a sweep"):
        assert (tmp_path / ".lock").read_text().startswith(f"a sweep, process {os.getpid()} on ")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_no_other_process(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    message = rf"is on a file system without locks \({os.strerror(number)}\), where two processes"
    with pytest.raises(RunError, match=message), sole_writer(tmp_path / "run", "a sweep"):
        pass


def test_a_folder_that_cannot_be_written_is_no_other_process(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o555)
    places = [(tmp_path / "file", "File exists"), (tmp_path / "file" / "run", "Not a directory")]
    places += [(Path("/sys") if os.geteuid() == 0 else shut, "")]  # root may write to any other
    for place, reason in places:
        with (
            pytest.raises(RunError, match=rf"{place} cannot be written: {reason}.*Choose another"),
            sole_writer(place, "a sweep"),
        ):
            pass
