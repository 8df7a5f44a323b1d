"""Whether files were written to since they were opened, without reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Stamps = dict[str, list[int]]  # file -> what its system says of it
_WEIGHTS = ("*.safetensors", "*.bin", "*.index.json")
_INODE, _SIZE = 1, 2


def stamps(folder: Path) -> Stamps:
    """Device, inode, size, times of content and of status (ns) of every file of weights.

    A program that writes to a file can set the time of its content back, not that of its status.
    """
    found: Stamps = {}
    for path in sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)}):
        if path.is_file():
            of = path.stat()
            times = (of.st_mtime_ns, of.st_ctime_ns)
            found[path.name] = [of.st_dev, of.st_ino, of.st_size, *times]
    return found


def changed(before: Stamps, now: Stamps) -> list[str]:
    """Names of the files that are not what they were."""
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def shortened(before: Stamps, now: Stamps) -> list[str]:
    """Names of files that were cut off in place: reading what a map of them had is fatal."""
    return [
        name
        for name, of in before.items()
        if name in now and now[name][_INODE] == of[_INODE] and now[name][_SIZE] < of[_SIZE]
    ]
