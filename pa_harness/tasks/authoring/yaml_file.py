"""A task's YAML, read as lm-eval reads it, or one clear message why it says nothing definite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pa_harness.errors import TaskError, first_line
from pa_harness.foreign.naming import belongs
from pa_harness.foreign.reading import check_yaml
from pa_harness.tasks.index import UnreadError, text_of

_MOST = 1 << 20  # bytes of a YAML beside it that is looked into


def read_yaml(path: Path, *, functions: bool) -> dict[str, Any]:
    """The settings of a YAML, with what it includes.

    Args:
        path: of the file.
        functions: whether ``!function`` is imported, which runs its module.

    Raises:
        TaskError: it is no YAML, has a key twice, or names what is not there.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    _check_texts(path, set())
    try:
        config: dict[str, Any] = load_yaml(path, resolve_func=functions)
    except Exception as error:  # a function's module is the user's code and may raise anything
        raise TaskError(
            f"{path} cannot be read: {cause(error)}. Expected "
            "key: value pairs; include: and !function name files beside the YAML."
        ) from error
    return config


def _check_texts(path: Path, seen: set[Path]) -> None:
    """See that the file, and what it includes, is YAML that means one thing.

    lm-eval's reader takes the last of two equal keys without a word. So do 14 files of its own,
    which nobody here can correct: those are let pass.
    """
    from lm_eval import __file__ as theirs
    from lm_eval.tasks._yaml_loader import load_yaml

    path = path.expanduser().resolve()
    if path in seen or path.is_relative_to(Path(theirs).parent):
        return
    seen.add(path)
    try:
        check_yaml(text_of(path))
    except UnreadError as error:
        raise TaskError(f"{path}: {error}. Expected the few lines of a task.") from None
    except OSError:
        return  # lm-eval says so, with the file that names it
    except ValueError as error:
        raise TaskError(
            f"{path}, {first_line(error)}. Give each key once; texts with ': ', '#', '{{' or a "
            "leading quote need double quotes around them."
        ) from None
    try:
        named = load_yaml(path, resolve_func=False, recursive=False).get("include") or []
    except Exception:  # noqa: BLE001 -- whatever it is, reading the file for use says it better
        return
    for each in named if isinstance(named, list) else [named]:
        if isinstance(each, str):
            _check_texts(path.parent / each, seen)


def check_only(path: Path, name: str) -> None:
    """See that no file beside names the same task: lm-eval takes the first by its path.

    Raises:
        TaskError: one does.
    """
    line = re.compile(rf"^task:[ \t]*(['\"]?){re.escape(name)}\1[ \t]*(#.*)?\r?$", re.MULTILINE)
    folder = path.resolve().parent
    for other in sorted(folder.glob("*.yaml")):
        if other == path.resolve() or not belongs(other, folder):
            continue
        try:
            with other.open("rb") as file:
                text = file.read(_MOST).decode("utf-8", "replace")
        except OSError:
            continue
        if line.search(text):
            first, unseen = sorted([other, path.resolve()])
            raise TaskError(
                f"{first} and {unseen.name} both name the task {name!r}: with --include_path "
                f"lm-eval evaluates the first, and says of the second nothing that counts. Give "
                "each task a name of its own."
            )


def cause(error: BaseException) -> str:
    """The error's class and what it says, on one line."""
    return f"{type(error).__name__}: {first_line(error).rstrip('.!')}"
