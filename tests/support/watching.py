"""Which files Python opens, moves and removes, and what it starts or calls: as its audit tells.

What libraries open in C (safetensors, Arrow) is not told; those get paths that ours checked.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHANGES = {
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
}
_STARTS = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "socket.connect",
}
_PROJECT = Path(__file__).parents[2]
_CODE = {  # of Python, of what is installed, of the project
    *(Path(each).resolve() for each in (sys.prefix, sys.base_prefix, sys.exec_prefix)),
    *(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")),
    *(_PROJECT / each for each in ("pa_harness", "tests", "task_configs")),
    *map(Path, ("/usr", "/lib", "/proc", "/sys", "/dev", "/etc")),
}


@dataclass
class Seen:
    """What happened.

    Attributes:
        read: files that were opened for reading.
        written: files opened for writing, and paths that were moved, made or removed.
        started: processes, and addresses that were called.
    """

    read: set[Path] = field(default_factory=set)
    written: set[Path] = field(default_factory=set)
    started: list[str] = field(default_factory=list)

    def strangers(self, *folders: Path) -> list[str]:
        """What was read or written that is in none of the folders (nor code that was read)."""
        known = [folder.resolve() for folder in folders]
        may_read = [*known, *_CODE]
        found = [f"read {path}" for path in self.read if not _within(path, may_read)]
        found += [f"wrote {path}" for path in self.written if not _within(path, known)]
        return sorted(found) + self.started


def _within(path: Path, folders: list[Path]) -> bool:
    real = path.resolve()
    return str(real) == os.devnull or any(real.is_relative_to(folder) for folder in folders)


_now: list[Seen] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _now:
        return
    seen = _now[-1]
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, (str, bytes)):
            changes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            (seen.written if changes else seen.read).add(Path(os.fsdecode(path)).absolute())
    elif event in _CHANGES:
        paths = [each for each in arguments[:2] if isinstance(each, (str, bytes, Path))]
        seen.written.update(Path(os.fsdecode(each)).absolute() for each in paths)
    elif event in _STARTS:
        seen.started.append(f"{event} {str(arguments)[:200]}")


sys.addaudithook(_hook)  # once: there is no way to take it away


@contextmanager
def watched() -> Iterator[Seen]:
    """Note what happens in here."""
    seen = Seen()
    _now.append(seen)
    try:
        yield seen
    finally:
        _now.remove(seen)
