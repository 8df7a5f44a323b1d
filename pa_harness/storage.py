"""Files and folders that are whole or absent: written beside their place, then renamed into it.

A process that dies at any moment (``kill -9``, a full disk) leaves the old file or the new one,
and at most a hidden temporary one, which the next write to the same place replaces.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import socket
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pa_harness.errors import ExportError, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
# A limit of the file system or of the process; a disk or server that fails, or has gone.
_FAILED = (errno.EFBIG, errno.EIO, errno.ENXIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of a file system that has none


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then put it in the place of `path`, atomically.

    Args:
        path: the file; its folder is made where it does not exist.
        write: given the temporary path, writes the whole content to it.

    Raises:
        RunError: the disk is full, or nothing can be written there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # the content is on the disk before the name is
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if error.errno in (*_FORBIDDEN, *_FAILED):
            raise RunError(
                f"{path} cannot be written: {error.strerror}. Make it possible, or work on a copy "
                "of the folder."
            ) from None
        if error.errno not in _FULL:
            raise
        raise RunError(
            f"No space left to write {path}. What was finished before is kept: make room, and run "
            "the same command again."
        ) from None


def _sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system has a way to."""
    with suppress(OSError):  # some file systems sync no folders, Windows opens none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    r"""Write a text file atomically, UTF-8, with the line ends as given.

    Half of a character, which UTF-8 has not, is written as JSON escapes it: ``\ud800``.
    """
    content = text.encode("utf-8", "backslashreplace")
    write_with(path, lambda temporary: temporary.write_bytes(content))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: indented, keys in their order, NaN as lm-eval writes it (``NaN``)."""
    write_text(path, f"{json.dumps(value, indent=2, ensure_ascii=False)}\n")


def as_yaml(value: Any) -> str:
    """The value as YAML, from which `yaml.safe_load` makes it again."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def in_yaml(value: Any) -> str:
    """The value as YAML on one line, to stand behind a key; texts but names are quoted."""
    text: str = yaml.dump(
        value,
        Dumper=_OnOneLine,
        default_flow_style=True,
        width=math.inf,
        sort_keys=False,
        allow_unicode=True,
    )
    return text.removesuffix("...\n").rstrip("\n")


class _Dumper(yaml.SafeDumper):
    """PyYAML's, but no text is spread over lines, nor loses signs that YAML takes for line ends."""

    def quoted(self, text: str) -> bool:
        """Whether double quotes are needed; PyYAML finds out whether any are."""
        return not text.isprintable()

    def text(self, text: str) -> yaml.ScalarNode:
        """How a text is written."""
        style = '"' if self.quoted(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


class _OnOneLine(_Dumper):
    def quoted(self, text: str) -> bool:
        return not text.isidentifier()

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 -- PyYAML's signature
        return True


_Dumper.add_representer(str, _Dumper.text)


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
def new_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder beside, which gets its name when it is whole, and is removed otherwise.

    Raises:
        ExportError: there is something of that name, or the system does not let it be written.
        RunError: another process is at it.
    """
    folder = folder.resolve()  # "new/.." is a name, too
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ExportError(f"{folder} is there already. Choose a new folder as --output_path.")
        working = folder.with_name(f".{folder.name}.partial")
        working.mkdir(parents=True, exist_ok=True)
        with sole_writer(working, "an export"):
            try:
                _clear(working)
                yield working
                _clear(working, only=".lock")
                if folder.exists():
                    folder.rmdir()
                working.replace(folder)
                _sync_folder(folder.parent)
            except BaseException:
                shutil.rmtree(working, ignore_errors=True)
                raise
    except OSError as error:
        if error.errno in _FULL:
            raise ExportError(
                f"No space left to write {folder}; nothing was kept of it. Make room, or choose "
                "another folder or a narrower --dtype."
            ) from None
        raise ExportError(
            f"{folder} could not be written, and nothing was kept of it: {error}. Choose another "
            "folder as --output_path, or make that one possible."
        ) from None


def _clear(folder: Path, only: str = "") -> None:
    """Remove what an export that was killed left, or one file."""
    for path in folder.iterdir():
        if path.name == only or (not only and path.name != ".lock"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def sole_writer(folder: Path, what: str, name: str = ".lock") -> Iterator[None]:
    """Hold the folder's lock; the operating system frees it when the process dies.

    Args:
        folder: made where it does not exist.
        what: is under way, for the other's message.
        name: of the lock's file in it.

    Raises:
        RunError: another process holds the lock, the file system has no locks, or nothing can be
            written there.
    """
    from filelock import FileLock, Timeout

    file = folder / name
    held: list[int] = []

    def sign(descriptor: int) -> None:
        held.append(descriptor)
        os.ftruncate(descriptor, 0)  # of a holder that was killed
        os.write(descriptor, f"{what}, process {os.getpid()} on {socket.gethostname()}".encode())

    lock = FileLock(file, timeout=0, fallback_to_soft=False, on_acquired=sign)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise RunError(
            f"{folder} is in use: {_holder(file)}. Two processes cannot write to one folder. Wait "
            "for the other to end, or choose another folder."
        ) from None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise RunError(
                f"{folder} is on a file system without locks ({error.strerror}), where two "
                "processes could write to one folder unnoticed. Choose a folder on another, such "
                "as a local disk."
            ) from None
        raise RunError(
            f"{folder} cannot be written: {error.strerror}. Choose another folder, or make that "
            "one possible."
        ) from None
    try:
        yield
    finally:
        os.ftruncate(held[0], 0)
        lock.release()


def _holder(lock: Path) -> str:
    try:
        return lock.read_text(encoding="utf-8") or "another process"
    except OSError:  # Windows lets nobody read it
        return "another process"
