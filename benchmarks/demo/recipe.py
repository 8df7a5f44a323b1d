"""Every setting that decides what the demo prepares, and where the result is kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_STALE = 24 * 3600  # seconds


@dataclass(frozen=True)
class Recipe:
    """Settings of the pair and of the data. Another value makes another cache folder."""

    revision: int = 1  # raise it when the code makes something else of the same settings
    seed: int = 0
    rank: int = 16
    alpha: int = 32
    learning_rate: float = 5e-4  # falls linearly to 0
    batch_size: int = 8
    longest: int = 96  # tokens of a prompt, and of a response
    examples: int = 331
    held_out: int = 40
    test_documents: int = 200  # written per few-shot task; --limit decides how many are used


RECIPE = Recipe()


def cache_folder() -> Path:
    """Where this recipe's results are kept (``$XDG_CACHE_HOME``, else ``~/.cache``)."""
    digest = hashlib.sha256(json.dumps(asdict(RECIPE), sort_keys=True).encode()).hexdigest()[:12]
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).absolute() / "pa_harness" / f"demo-{digest}"


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, made if it is not there yet.

    It appears whole or not at all: `make` works in a temporary folder beside it.

    Args:
        name: the folder's name.
        make: fills the empty folder it is given.

    Returns:
        The folder's path.
    """
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(folder)
    working = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        make(working)
        working.chmod(0o755)  # mkdtemp's own mode shuts other users out
        try:
            working.replace(folder)
        except OSError:
            if not folder.is_dir():  # else another run of the demo has just made the same
                raise
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return folder


def _clear_leftovers(folder: Path) -> None:
    """Remove the working folders of runs that were killed; younger ones may still be at work."""
    for working in folder.parent.glob(f".{folder.name}-*"):
        if time.time() - working.stat().st_mtime > _STALE:
            shutil.rmtree(working, ignore_errors=True)
