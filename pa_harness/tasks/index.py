"""Names of tasks, groups and tags in folders of YAMLs, read in a second and without lm-eval.

lm-eval parses each of its 14,000 files whole, which takes a quarter of a minute of every start. A
name needs four keys of a file's outermost level, so only their lines are parsed. What is found is
the same (a test compares them all).
"""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SKIPPED = {"__pycache__", ".ipynb_checkpoints"}
_KEYS = ("task", "group", "tag", "include", "class")
# A key at the start of a line, and what belongs to it: lines that are indented, empty or items.
_PART = re.compile(rf"""^(["']?)(?:{"|".join(_KEYS)})\1[ \t]*:.*$(?:\n(?:[ \t#-].*)?$)*""", re.M)
_FLAT = re.compile(r"\s*^[\w\"'#!-]", re.M)  # a mapping whose keys begin their lines


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


def index(folder: Path) -> dict[str, Named]:
    """Every name in a folder and those below, by lm-eval's rules: the first file of a name has it.

    Args:
        folder: one that does not exist holds no names.
    """
    found: dict[str, Named] = {}
    read: dict[str, dict[str, Any]] = {}
    for file in sorted(_yaml_files(folder)):
        try:
            _add(_keys(file, read), file, found)
        except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError):
            continue  # no task: lm-eval passes over it, too
    return found


def _yaml_files(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        yield from (f"{place}/{name}" for name in files if name.endswith(".yaml"))


def _keys(file: str, read: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The keys of a file and of those that it includes; its own come first."""
    if file not in read:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123 -- 14,000 of them
            own = _outermost(opened.read())
        included = own.pop("include", None) or []
        merged: dict[str, Any] = {}
        for name in included if isinstance(included, list) else [included]:
            merged |= _keys(os.path.normpath(f"{file}/../{name}"), read)
        read[file] = merged | own
    return read[file]


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
    if name in found:
        found[name].again.append(Path(file))
        return
    given = keys.get("tag") or []
    tags = {given} if isinstance(given, str) else set(given)
    found[name] = Named(name, kind, Path(file), tags)
    for tag in tags if kind != "group" else ():
        found.setdefault(tag, Named(tag, "tag", None)).tags.add(name)
