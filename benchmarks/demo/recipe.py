"""Every setting that decides what the demo prepares, and where the result is kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, replace
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
# A fifth of the tokens, three quarters of what the whole tuning takes off the held-out loss.
QUICK = replace(RECIPE, examples=72, batch_size=4, learning_rate=1e-3)


def cache_folder() -> Path:
    """Where all that is prepared is kept (``$XDG_CACHE_HOME``, else ``~/.cache``)."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).absolute() / "pa_harness" / f"demo-{_digest(RECIPE)}"


def tuned_name(recipe: Recipe) -> str:
    """The name in the cache of what is tuned so: another setting, another name."""
    return "tuned" if recipe == RECIPE else f"tuned-{_digest(recipe)}"


def _digest(recipe: Recipe) -> str:
    content = json.dumps(asdict(recipe), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:12]


def kept(name: str, make: Callable[[Path], object]) -> Path:
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
