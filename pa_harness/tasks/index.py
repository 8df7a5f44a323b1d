"""Names of tasks, groups and tags in folders of YAMLs, read in seconds and without lm-eval.

lm-eval parses each of its 14,000 files whole, which takes a quarter of a minute of every start, and
a file beside that multiplies its aliases or nests without an end takes hours, or the process. A
name needs four keys of a file's outermost level, so only their lines are parsed, of files that can
be read in bounded time. What is found is the same (a test compares them all).
"""

from __future__ import annotations

import importlib.util
import os
import re
import stat
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pa_harness.foreign.reading import check_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SKIPPED = {"__pycache__", ".ipynb_checkpoints"}
_KEYS = ("task", "group", "tag", "include", "class")
# A key at the start of a line, and what belongs to it: lines that are indented, empty or items.
_PART = re.compile(rf"""^(["']?)(?:{"|".join(_KEYS)})\1[ \t]*:.*$(?:\n(?:[ \t#-].*)?$)*""", re.M)
_FLAT = re.compile(r"\s*^[\w\"'#!-]", re.M)  # a mapping whose keys begin their lines
_ALIAS = re.compile(r"(?:^|[\s\[,{:-])\*\w", re.M)
_SHORT = 2000  # characters, in which nothing is nested so deep that a parser fails
_MOST = 1 << 22  # bytes of a task's YAML


@dataclass
class Named:
    """What a name stands for.

    Attributes:
        name: of a task, group or tag.
        kind: ``task``, ``py_task`` (a Python class), ``group`` or ``tag``.
        file: its YAML; None for a tag.
        tags: of a tag, the tasks that carry it; of others, the tags that they carry.
        again: further files of that name, which lm-eval passes over.
    """

    name: str
    kind: str
    file: Path | None
    tags: set[str] = field(default_factory=set)
    again: list[Path] = field(default_factory=list)


@cache
def lm_eval_index() -> dict[str, Named]:
    """Names of lm-eval's own tasks; lm-eval is found, not imported."""
    found = importlib.util.find_spec("lm_eval")
    places = (found.submodule_search_locations if found else None) or ["."]
    return index(Path(next(iter(places))) / "tasks")


def index(folder: Path, unread: dict[str, str] | None = None) -> dict[str, Named]:
    """Every name in a folder and those below, by lm-eval's rules: the first file of a name has it.

    Args:
        folder: one that does not exist holds no names.
        unread: gets the files that `text_of` refuses, with the reason.
    """
    found: dict[str, Named] = {}
    read: dict[str, dict[str, Any] | None] = {}
    for file in sorted(_yaml_files(folder)):
        try:
            _add(_keys(file, read), file, found)
        except UnreadError as error:
            (unread if unread is not None else {})[file] = str(error)
        except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError):
            continue  # no task: lm-eval passes over it, too
    return found


def passed_over(unread: Mapping[str, str]) -> str:
    """What to say of files that were not read, where a name is not found; else empty."""
    return "".join(f" {file} is passed over: {why}." for file, why in unread.items())


class UnreadError(ValueError):
    """A file that is not read, since that might take without an end."""


def text_of(file: str | Path) -> str:
    """The text of a task's YAML.

    Raises:
        UnreadError: it is no regular file, larger than `_MOST`, or as `reading.check_size`.
        OSError: it is not there, or may not be read.
        ValueError: its bytes are not UTF-8.
    """
    with open(file, "rb", opener=_without_waiting) as opened:
        about = os.fstat(opened.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise UnreadError("it is no regular file")
        if about.st_size > _MOST:
            raise UnreadError(f"it is larger than {_MOST >> 20} MiB")
        text = opened.read(_MOST).decode("utf-8")
    if len(text) > _SHORT or _ALIAS.search(text):
        try:
            check_size(text)
        except ValueError as error:
            raise UnreadError(str(error)) from None
    return text


def _without_waiting(file: str, flags: int) -> int:
    return os.open(file, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe has no end


def _yaml_files(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        yield from (f"{place}/{name}" for name in files if name.endswith(".yaml"))


def _keys(file: str, read: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    """The keys of a file and of those that it includes; its own come first."""
    if file not in read:
        read[file] = None
        own = _outermost(text_of(file))
        included = own.pop("include", None) or []
        merged: dict[str, Any] = {}
        for name in included if isinstance(included, list) else [included]:
            merged |= _keys(os.path.normpath(Path(file).parent / name), read)
        read[file] = merged | own
    keys = read[file]
    if keys is None:
        raise ValueError("it includes itself, or what cannot be read")
    return keys


def _outermost(text: str) -> dict[str, Any]:
    if _FLAT.match(text):
        text = "\n".join(part[0] for part in _PART.finditer(text)) or "{}"
    content = yaml.load(text, _Loader)
    if not isinstance(content, dict):
        raise ValueError("no mapping")
    return {key: content[key] for key in _KEYS if key in content}


class _Loader(_BASE):  # type: ignore[misc]  # yaml's C part has no types
    """Plain YAML in which every tag of lm-eval's is text."""


_Loader.add_constructor("!function", lambda _, node: str(node.value))


def _add(keys: dict[str, Any], file: str, found: dict[str, Named]) -> None:
    if "class" in keys:
        kind, name = "py_task", keys["task"]
    else:
        kind = "group" if "group" in keys else "task"
        name = keys[kind]
    given = keys.get("tag") or []
    tags = {given} if isinstance(given, str) else set(given)
    if not all(isinstance(each, str) for each in (name, *tags)):
        raise TypeError("a name is a text")
    if name in found:
        found[name].again.append(Path(file))
        return
    found[name] = Named(name, kind, Path(file), tags)
    for tag in tags if kind != "group" else ():
        found.setdefault(tag, Named(tag, "tag", None)).tags.add(name)
