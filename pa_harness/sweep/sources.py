"""What decides a task's numbers beside the model, read without one.

lm-eval's configuration of it, the code of its functions, its documents.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import json
import re
import sysconfig
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from pa_harness import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pa_harness.runs.settings import SweepSettings

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of an object that has no better name
_INSTALLED = tuple(
    {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_PLACES = ("config_source",)  # of the metadata: where the YAML lies
_LIBRARIES = ("lm_eval", "transformers", "torch", "datasets", "numpy")


def library_versions() -> dict[str, str]:
    """Of what computes, beside what the model names itself."""
    return {"pa_harness": __version__, **{name: version(name) for name in _LIBRARIES}}


def plain(value: Any) -> Any:
    """What JSON has no form for, the same in every process."""
    from lm_eval.utils import handle_non_serializable

    if isinstance(value, (set, frozenset)):  # their order changes with the process
        return sorted(value, key=str)
    if callable(value):
        return f"function {getattr(_unwrapped(value), '__qualname__', type(value).__name__)}"
    found = handle_non_serializable(value)
    return _ADDRESS.sub("", found) if isinstance(found, str) else found


def task_config(task: Any) -> dict[str, Any]:
    """lm-eval's configuration of a task as JSON holds it: functions by their source or name."""
    text = json.dumps(task.dump_config(), default=plain)
    config: dict[str, Any] = json.loads(_ADDRESS.sub("", text))
    metadata = config.get("metadata")
    if isinstance(metadata, dict):
        config["metadata"] = {k: v for k, v in metadata.items() if k not in _PLACES}
    return config


def task_digests(task: Any, settings: SweepSettings) -> dict[str, Any]:
    """What a task is made of.

    Returns:
        `functions`: digests of the source files of its code, by name; `documents`: of the
        documents that `settings` refers to (those before the limit; all, where numbers choose);
        `shots`: of those that few-shot examples are taken from.
    """
    from lm_eval.evaluator_utils import get_sample_size

    chosen = settings.samples and task.task_name in settings.samples
    limit = None if chosen else get_sample_size(task, settings.limit)
    shots = task.get_config("num_fewshot") or 0
    pool = getattr(getattr(task, "sampler", None), "df", None) if shots else None
    return {
        "functions": _functions(task),
        "documents": documents_digest(documents_of(task), limit),
        "shots": documents_digest(pool or (), None),
    }


def documents_of(task: Any) -> Any:
    """The documents that are asked, processed once (`eval_docs` does it at every look)."""
    return getattr(task, "task_docs", None) or task.eval_docs


def documents_digest(documents: Iterable[Any], limit: int | None) -> str:
    """Of documents and their order; at most `limit` of them."""
    found = xxhash.xxh3_128()
    for number, document in enumerate(documents):
        if limit is not None and number >= limit:
            break
        found.update(json.dumps(document, sort_keys=True, default=plain).encode())
    return found.hexdigest()


def _functions(task: Any) -> dict[str, str]:
    """Source files of a task's code and of what they import, but for installed packages.

    A function's own file counts wherever it lies. Data that a function reads by itself is not seen.
    """
    todo = [file for each in _callables(task) for file in _file_of(each)]
    found: dict[Path, str] = {}
    while todo:
        file = todo.pop()
        if file in found:
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        found[file] = hashlib.sha256(text.encode()).hexdigest()[:16]
        todo += _imported(file, text)
    named: dict[str, list[str]] = {}
    for file, digest in found.items():
        named.setdefault("/".join(file.parts[-2:]), []).append(digest)
    return {name: " ".join(sorted(each)) for name, each in sorted(named.items())}


def _callables(task: Any) -> Iterator[Any]:
    """Functions in a task's configuration, and the class of a task that is a class."""
    if not type(task).__module__.startswith("lm_eval.api."):
        yield type(task)
    config = vars(task.config)
    fewshot = config.get("fewshot_config")
    nested = [config, getattr(fewshot, "__dict__", fewshot) or {}, *(config["metric_list"] or ())]
    for filter_ in config["filter_list"] or ():
        nested += filter_.get("filter") or ()
    for mapping in nested:
        yield from (value for value in mapping.values() if callable(value))


def _unwrapped(function: Callable[..., Any]) -> Any:
    while isinstance(function, partial):
        function = function.func
    return inspect.unwrap(function)


def _file_of(function: Any) -> list[Path]:
    try:
        found = inspect.getsourcefile(_unwrapped(function))
    except TypeError:  # built in
        return []
    return [Path(found)] if found else []


def _imported(file: Path, text: str) -> list[Path]:
    """Files of the modules that a source file imports, anywhere in it; installed ones left out."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names |= {module, *(f"{module}.{each.name}".strip(".") for each in node.names)}
    beside = [file.parent / f"{name.replace('.', '/')}.py" for name in sorted(names) if name]
    elsewhere = [_origin(name) for name in sorted(names) if name]
    kept = [path for path in elsewhere if path and not _is_installed(path)]
    return [path for path in beside if path.is_file()] + kept


def _origin(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    place = spec.origin if spec else None
    return Path(place) if place and place.endswith(".py") else None


def _is_installed(path: Path) -> bool:
    return any(folder in path.parents for folder in _INSTALLED)
