"""Where the benchmarks keep things, and the machine they ran on. Standard library only."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "transformers", "safetensors", "lm_eval")


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/pa_harness``, else ``~/.cache/pa_harness``."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).absolute() / "pa_harness"


def kept(name: str, make: Callable[[Path], None], *, bytes_needed: int = 0) -> Path:
    """The folder `name` of the cache, made once; it appears whole or not at all.

    Args:
        name: the folder's name.
        make: fills the empty folder that it is given.
        bytes_needed: free disk space to insist on before making it.
    """
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if free < bytes_needed:
        sys.exit(
            f"{folder.parent} has {free / 1e9:.1f} GB free; this benchmark needs "
            f"{bytes_needed / 1e9:.1f}. Point XDG_CACHE_HOME to a larger disk."
        )
    working = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        make(working)
        working.chmod(0o755)  # mkdtemp's own mode shuts other users out
        working.replace(folder)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return folder


def add_data(parser: ArgumentParser) -> None:
    """Give a parser --data, for `working_directory`."""
    parser.add_argument("--data", type=Path, help="folder to read the tasks' data sets in")


def against_hf(about: str | None, documents: int, stock_documents: int) -> ArgumentParser:
    """A parser of what benchmarks that hold ours against `hf` ask for; tokenizers stay alone.

    Args:
        about: the benchmark's docstring.
        documents: by default, that ours answers.
        stock_documents: by default, that hf answers.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    parser = ArgumentParser(description=about)
    add = parser.add_argument
    add("--documents", type=int, default=documents, help="documents ours answers")
    add("--stock_documents", type=int, default=stock_documents, help="documents hf answers")
    add("--rounds", type=int, default=3)
    add("--batch_size", type=int, default=1, help="of hf (default: its own)")
    add("--no-publish", dest="publish", action="store_false", help="print only")
    add_data(parser)
    return parser


@contextlib.contextmanager
def working_directory(folder: Path | None) -> Iterator[None]:
    """Another working directory (None: the same), where lm-eval finds a mirror's folders."""
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        yield
    finally:
        os.chdir(before)


def machine() -> str:
    """One line: processor, cores, memory, system, versions, load."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB RAM, {platform.system()}, "
        f"no accelerator used; Python {platform.python_version()}, {versions}; "
        f"load average then {os.getloadavg()[0]:.1f}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} ({platform.machine()})"
