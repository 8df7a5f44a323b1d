"""JSON and YAML that somebody else wrote, read in bounded time and memory or refused by line.

Both formats allow what no honest file has: nesting that overflows a stack (PyYAML's C parser then
ends the process), numbers that no float holds, one key with two values, aliases that multiply a few
lines into gigabytes. Here each of them is a `ValueError` of one line.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

# What reading data raises where it has not the form it should have; OSError is apart.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
_DIGITS = 300  # of a whole number; a float has 308
_DEPTH = 64  # of nested YAML
_NUMBERS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float")}
_TIMES = 10  # aliases may make a YAML so many times larger than it is written, and
_SPARE = 1000  # so many values more
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # half of a surrogate pair, as JSON escapes it

SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text; ``NaN`` and ``Infinity`` are numbers, as lm-eval writes them.

    Raises:
        ValueError: it is not JSON, is nested too deep, has a key twice in one object, a number that
            no float holds, or a text with half of a character in it.
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        value = json.loads(
            text, parse_int=_whole, parse_float=_fraction, object_pairs_hook=_without_repeats
        )
        if _HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(f"a text holds {half!a}, which is half of a character") from None
    return value


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits)} digits, which no float holds")
    return int(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:20]}, which no float holds")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return found


def parse_yaml(text: str, loader: Any = SafeLoader) -> Any:
    """The value of a YAML text.

    Args:
        text: one document, or none.
        loader: PyYAML's safe one, or a class made of it.

    Raises:
        ValueError: as `check_yaml`, or a value that the loader does not make (an unknown tag, a
            date that there is none of).
    """
    check_yaml(text)
    try:
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(_told(error)) from None
    except (OverflowError, RecursionError) as error:
        raise ValueError(f"a value cannot be read: {error}") from None


def check_yaml(text: str) -> None:
    """See that a YAML text means one thing, without making anything of it.

    Raises:
        ValueError: as `check_size`, or it has a key twice in one mapping.
    """
    for node in _sound(text):
        _check_keys(node)


def check_size(text: str) -> None:
    """See that a YAML text can be read in bounded time and memory.

    Raises:
        ValueError: it is no YAML, is nested deeper than `_DEPTH`, has a number that no float holds,
            or aliases that multiply or contain themselves.
    """
    for _ in _sound(text):
        pass


def _sound(text: str) -> Iterator[Any]:
    """The nodes of a YAML text, each once, after what may be wrong with its size."""
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(_told(error)) from None
    sizes: dict[int, float] = {}
    for node in _upwards(root) if root is not None else ():
        line = node.start_mark.line + 1
        sizes[id(node)] = 1 + math.fsum(sizes.get(id(part), math.inf) for part in _parts(node))
        if sizes[id(node)] > _TIMES * len(text) + _SPARE:
            raise ValueError(
                f"line {line}: aliases (*name) multiply what is written, or contain themselves"
            )
        if node.tag in _NUMBERS and len(node.value) > _DIGITS:
            raise ValueError(f"line {line}: a number of {len(node.value)} signs, too long for any")
        yield node


def _check_depth(text: str) -> None:
    """From the events: neither parser survives the nodes of what is nested without an end."""
    depth = 0
    for event in yaml.parse(text, Loader=SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise ValueError(f"line {line}: nested deeper than {_DEPTH} levels")


def _upwards(root: Any) -> Iterator[Any]:
    """Every node once, after its parts; of those that contain themselves, one before."""
    begun, waiting = set(), [(root, False)]
    while waiting:
        node, parts_done = waiting.pop()
        if parts_done:
            yield node
        elif id(node) not in begun:
            begun.add(id(node))
            waiting += [(node, True), *((part, False) for part in _parts(node))]


def _parts(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_keys(node: Any) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line, name = key.start_mark.line + 1, (key.tag, key.value)
        if name in lines:
            raise ValueError(
                f"line {line}: the key {key.value[:60]!r} stands here a second time (first in line "
                f"{lines[name]}), and only the last would count"
            )
        lines[name] = line


def _told(error: yaml.YAMLError) -> str:
    """PyYAML's error on one line, with the place."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).strip().split("\n", 1)[0]
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)
