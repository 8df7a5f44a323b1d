"""Files that are whole or absent: written beside their place, then renamed into it.

A process that dies at any moment (``kill -9``, a full disk) leaves the old file or the new one,
and at most a hidden temporary file, which the next write of the same file replaces.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import socket
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def write_with(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then put it in the place of `path`, atomically.

    Args:
        path: the file; its folder is made where it does not exist.
        write: given the temporary path, writes the whole content to it.

    Raises:
        RunError: the disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # the content is on the disk before the name is
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(
            f"No space left to write {path}. What was finished before is kept: make room, and run "
            "the same command again."
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, UTF-8, with the line ends as given."""
    write_with(path, lambda temporary: _write_bytes(temporary, text.encode("utf-8")))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: indented, keys in their order, NaN as lm-eval writes it (``NaN``)."""
    write_text(path, f"{json.dumps(value, indent=2, ensure_ascii=False)}\n")


def plain(value: Any) -> Any:
    """The value as JSON proper can hold it: records as mappings, arrays as lists, NaN as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@contextmanager
def sole_writer(folder: Path, what: str) -> Iterator[None]:
    """Hold the folder's lock; the operating system frees it when the process dies.

    Args:
        folder: made where it does not exist; the lock is its file ``.lock``.
        what: is under way, for the other's message.

    Raises:
        RunError: another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise RunError(
                f"{folder} is in use: {holder}. Two processes cannot write to one folder. Wait "
                "for the other to end, or choose another folder."
            ) from None
        file.truncate(0)
        file.write(f"{what}, process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
