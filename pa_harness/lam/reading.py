"""λ from what a user wrote: a number, a mapping, its JSON, or a YAML file of it (`schedule`)."""

from __future__ import annotations

import functools
import logging
import re
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.errors import ModelArgsError, did_you_mean, first_line
from pa_harness.foreign.reading import parse_yaml
from pa_harness.lam.modules import MODULES
from pa_harness.lam.schedule import FORMS, ByLayer, Number, Rule, Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import TypeIs

    from pa_harness.lam.schedule import Lam

_log = logging.getLogger(f"lm_eval.{__name__}")  # so that lm-eval's settings apply
_MOST = 3.4028234663852886e38  # the arithmetic is fp32


def read_lam(given: object) -> Lam:
    """λ as a number, or a schedule in one of its forms.

    Raises:
        ModelArgsError: it is neither.
    """
    is_text = isinstance(given, str) and re.search(r"^\s*\{|\.(ya?ml|json)$", given)
    if is_text or isinstance(given, (dict, Schedule)):
        return read_schedule(given)
    return check_lam(given)


def check_lam(lam: object) -> float:
    """λ as a float.

    Args:
        lam: any finite number.

    Raises:
        ModelArgsError: not a finite number.
    """
    if not _is_number(lam):
        raise ModelArgsError(
            f"lam={lam!r} is not a number. Expected the adaptation strength λ as one finite "
            "number: 0 is the first checkpoint, 1 the second. Pass for example lam=0.5 (or a "
            "schedule: JSON in braces, or a .yaml file)."
        )
    return float(lam)


@functools.cache
def warn_of_extrapolation(last: int) -> None:
    """Say, once per process, what λ outside of 0 to the last checkpoint's is."""
    _log.warning(
        "λ outside [0, %d] extrapolates beyond the checkpoints (exploratory; for base-to-instruct "
        "pairs it often degrades both abilities).",
        last,
    )


def _is_number(value: object) -> TypeIs[float]:
    """Whether it is a number that fp32 holds; NaN, infinities, truth values and 10**400 are not."""
    number: Any = value
    return isinstance(value, Real) and not isinstance(value, bool) and -_MOST <= number <= _MOST


def read_schedule(given: object) -> Schedule:
    """A schedule from a mapping, its JSON text, or the name of a YAML (or JSON) file of it.

    Raises:
        ModelArgsError: not readable, or not as described above.
    """
    if isinstance(given, Schedule):
        return given
    parsed = _parsed(given) if isinstance(given, str) else given
    content = checked(parsed, ("base", "knobs", "rules"), "lam")
    knobs = _knobs(content.get("knobs", {}))
    if "base" not in content:
        raise ModelArgsError(
            "lam: a schedule needs base, the λ where no rule matches. Example: "
            '{"base": 0.5, "rules": [{"module": "mlp", "lam": 0.8}]}'
        )
    base = _number(content["base"], knobs, "base")
    rules = content.get("rules", [])
    if not isinstance(rules, list):
        raise ModelArgsError(f"lam: rules={rules!r} should be a list of rules.")
    read = tuple(_rule(rule, knobs) for rule in rules)
    lams = [part for lam in (base, *(rule.lam for rule in read)) for part in _numbers(lam)]
    if idle := [name for name in knobs if name not in lams]:
        raise ModelArgsError(
            f"lam: the knob {idle[0]} is not used. Write its name in a rule, or as base, in the "
            "place of the number."
        )
    return Schedule(base, read, tuple(knobs.items()))


def _numbers(lam: Number | ByLayer) -> tuple[Number, ...]:
    return lam.numbers if isinstance(lam, ByLayer) else (lam,)


def _parsed(text: str) -> object:
    if text.lstrip().startswith("{"):
        where = "lam"
    else:
        where = f"lam={text}"
        try:
            text = Path(text).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise ModelArgsError(
                f"lam={text!r} is neither a number nor a schedule that can be read "
                f"({first_line(error)}). Expected a number, JSON in braces, or a YAML file."
            ) from None
    try:
        return parse_yaml(text)  # JSON is YAML
    except ValueError as error:
        raise ModelArgsError(f"{where}: not YAML or JSON: {first_line(error)}") from None


def checked(content: object, known: tuple[str, ...], what: str) -> dict[str, Any]:
    """A mapping that has no other keys.

    Args:
        content: what may be one.
        known: the keys that it may have.
        what: it is, for messages.

    Raises:
        ModelArgsError: it is none, or has others.
    """
    if not isinstance(content, dict):
        raise ModelArgsError(f"{what}: {content!r} should be a mapping of {', '.join(known)}.")
    for name in content:
        if name not in known:
            hint = did_you_mean(str(name), known) or f"Expected {', '.join(known)}."
            raise ModelArgsError(f"{what}: unknown {name!r}. {hint}")
    return content


def _knobs(given: object) -> dict[str, float]:
    if not isinstance(given, dict):
        raise ModelArgsError(f"lam: knobs={given!r} should be numbers by name: {{mlp: 0.8}}.")
    return {str(name): float(_number(value, {}, f"knobs.{name}")) for name, value in given.items()}


def _number(value: object, knobs: Mapping[str, float], what: str) -> Number:
    if isinstance(value, str) and value in knobs:
        return value
    if not _is_number(value):
        named = f" or a knob ({', '.join(knobs)})" if knobs else ""
        raise ModelArgsError(f"lam: {what}={value!r} should be a finite number{named}.")
    return float(value)


def _rule(given: object, knobs: Mapping[str, float]) -> Rule:
    content = checked(given, ("module", "layers", "pattern", "lam"), "a rule of lam")
    if "lam" not in content:
        raise ModelArgsError(f"lam: the rule {content} has no lam. Give the λ that it sets.")
    pattern = content.get("pattern", "")
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ModelArgsError(
            f"lam: pattern={pattern!r} is not a regular expression: {error}."
        ) from None
    names = content.get("module", [])
    modules = tuple(names if isinstance(names, list) else [names])
    for name in modules:
        if name not in MODULES:
            raise ModelArgsError(
                f"lam: module={name!r} is unknown. Expected {', '.join(MODULES)}; for anything "
                "else use pattern, a regular expression on the tensors' names."
            )
    return Rule(_lam(content["lam"], knobs), modules, _layers(content.get("layers")), pattern)


def _lam(given: object, knobs: Mapping[str, float]) -> Number | ByLayer:
    if not isinstance(given, dict):
        return _number(given, knobs, "lam")
    ((form, numbers),) = list(checked(given, FORMS, "lam of a rule").items())[:1] or [("", None)]
    if len(given) != 1 or not isinstance(numbers, list) or not numbers:
        raise ModelArgsError(
            f"lam: {given!r} should be one of linear: [α, β], blocks: [λ, …] and list: [λ, …]."
        )
    if form == "linear" and len(numbers) != 2:
        raise ModelArgsError(f"lam: linear={numbers} should be two numbers, α and β.")
    return ByLayer(str(form), tuple(_number(number, knobs, str(form)) for number in numbers))


def _layers(given: object) -> tuple[int, ...]:
    """Layer numbers from 0: 3, [0, 1, 5], 0-11 or a list of these."""
    found: set[int] = set()
    for part in [] if given is None else given if isinstance(given, list) else [given]:
        ends = re.fullmatch(r"(\d+)(?:-(\d+))?", str(part))
        last = int(ends.group(2) or ends.group(1)) if ends else -1
        if not ends or isinstance(part, bool) or last < int(ends.group(1)):
            raise ModelArgsError(f"lam: layers={part!r} should be layers from 0: 3, or 0-11.")
        found |= set(range(int(ends.group(1)), last + 1))
    return tuple(sorted(found))
