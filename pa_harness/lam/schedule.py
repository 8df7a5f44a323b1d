"""λ that differs between parameters: by layer, by module, by name; rules over one base value.

    base: 0.5                                  # where no rule matches
    knobs: {mlp: 0.8}                          # optional: numbers by name, for a sweep to vary
    rules:                                     # the last rule that matches a parameter wins
      - {lam: {linear: [0.3, 0.4]}}            # [α, β]: LiNeS, from α to α + β over depth
      - {module: [q, k], lam: 0.2}
      - {module: mlp, layers: 0-11, lam: mlp}
      - {pattern: 'norm', lam: 1}              # a regular expression, searched in the name

Instead of ``linear``: ``blocks: [0.4, 0.3, 0.2]``, as many even blocks of layers, or ``list: [0.1,
0.2]``, one number per layer. A rule that sets no tensor is an error, and so is an idle knob.
Names are those of the tensors in the checkpoint; the layer is the first number in a name. With L
layers, ``linear`` is α + β (l − 1)/(L − 1) for layer l = 1 … L (LiNeS, Wang et al. 2024, arXiv
2410.17146), ``blocks`` the ratios per block of Lin et al. 2023 (arXiv 2309.06256). What is in no
layer (embeddings, the last norm, the head) follows no such form.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.errors import ModelArgsError, first_line, listed
from pa_harness.lam.tensor_names import MODULES, layer_of, modules_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FORMS = ("linear", "blocks", "list")
_MOST = 3.4028234663852886e38  # the arithmetic is fp32

Number = float | str  # a str names a knob


@dataclass(frozen=True)
class ByLayer:
    """A λ that depends on the layer; `form` is one of linear, blocks and list."""

    form: str
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Rule:
    """What must all hold of a parameter, and its λ then. Empty: no condition."""

    lam: Number | ByLayer
    modules: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    pattern: str = ""

    def matches(self, key: str) -> bool:
        """Whether the rule is about this tensor."""
        layer = layer_of(key)
        return (
            (not self.modules or any(name in modules_of(key) for name in self.modules))
            and (not self.layers or layer in self.layers)
            and (not isinstance(self.lam, ByLayer) or layer is not None)
            and re.search(self.pattern, key) is not None
        )

    def __str__(self) -> str:
        """As it was written, on one line."""
        return json.dumps(_rule_dict(self))


@dataclass(frozen=True)
class Schedule:
    """λ per parameter. Equal schedules compare equal; `as_dict` gives the form they are read in."""

    base: Number
    rules: tuple[Rule, ...] = ()
    knobs: tuple[tuple[str, float], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON and YAML hold it."""
        found: dict[str, Any] = {"base": self.base}
        if self.knobs:
            found["knobs"] = dict(self.knobs)
        if self.rules:
            found["rules"] = [_rule_dict(rule) for rule in self.rules]
        return found

    def with_knob(self, name: str, value: float) -> Schedule:
        """The same schedule with another number for one knob."""
        return replace(self, knobs=tuple((n, value if n == name else v) for n, v in self.knobs))

    def per_tensor(self, keys: Iterable[str]) -> dict[str, float]:
        """λ of every tensor.

        Args:
            keys: names of the checkpoint's tensors.

        Raises:
            ModelArgsError: a rule sets none of them, or a list is not as long as the model.
        """
        names = list(keys)
        numbers = [layer for layer in map(layer_of, names) if layer is not None]
        layers = max(numbers, default=-1) + 1
        winner: dict[str, Rule] = {}
        for rule in self.rules:
            matched = dict.fromkeys(filter(rule.matches, names), rule)
            if not matched:
                raise ModelArgsError(_no_match(rule, names, layers))
            winner |= matched
        for rule in self.rules:
            if rule not in winner.values():
                raise ModelArgsError(
                    f"lam: the rule {rule} sets no tensor: later rules match all of its own, and "
                    "the last match wins. Put it after them, or leave it out."
                )
        lams = dict.fromkeys(names, self._number(self.base))
        for key, rule in winner.items():
            lams[key] = self._value(rule.lam, layer_of(key) or 0, layers)
        return lams

    def _value(self, lam: Number | ByLayer, layer: int, layers: int) -> float:
        if not isinstance(lam, ByLayer):
            return self._number(lam)
        numbers = [self._number(number) for number in lam.numbers]
        if lam.form == "linear":
            return numbers[0] + numbers[1] * layer / max(1, layers - 1)
        if lam.form == "blocks":
            if len(numbers) > layers:
                raise ModelArgsError(f"blocks: {len(numbers)} blocks of {layers} layers. Use less.")
            return numbers[layer * len(numbers) // layers]
        if len(numbers) != layers:
            raise ModelArgsError(
                f"list: {len(numbers)} numbers for {layers} layers. Give one for each layer."
            )
        return numbers[layer]

    def _number(self, number: Number) -> float:
        return dict(self.knobs)[number] if isinstance(number, str) else number


def read_schedule(given: object) -> Schedule:
    """A schedule from a mapping, its JSON text, or the name of a YAML (or JSON) file of it.

    Raises:
        ModelArgsError: not readable, or not as described above.
    """
    if isinstance(given, Schedule):
        return given
    parsed = _parsed(given) if isinstance(given, str) else given
    content = _checked(parsed, ("base", "knobs", "rules"), "lam")
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
    import yaml

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
        return yaml.safe_load(text)  # JSON is YAML
    except yaml.YAMLError as error:
        raise ModelArgsError(f"{where}: not YAML or JSON: {first_line(error)}") from None


def _checked(content: object, known: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ModelArgsError(f"{what}: {content!r} should be a mapping of {', '.join(known)}.")
    for name in content:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f"Did you mean {close[0]}?" if close else f"Expected {', '.join(known)}."
            raise ModelArgsError(f"{what}: unknown {name!r}. {hint}")
    return content


def _knobs(given: object) -> dict[str, float]:
    if not isinstance(given, dict):
        raise ModelArgsError(f"lam: knobs={given!r} should be numbers by name: {{mlp: 0.8}}.")
    return {str(name): float(_number(value, {}, f"knobs.{name}")) for name, value in given.items()}


def _number(value: object, knobs: Mapping[str, float], what: str) -> Number:
    if isinstance(value, str) and value in knobs:
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or abs(value) > _MOST:  # type: ignore[arg-type]
        named = f" or a knob ({', '.join(knobs)})" if knobs else ""
        raise ModelArgsError(f"lam: {what}={value!r} should be a finite number{named}.")
    return float(value)  # type: ignore[arg-type]


def _rule(given: object, knobs: Mapping[str, float]) -> Rule:
    content = _checked(given, ("module", "layers", "pattern", "lam"), "a rule of lam")
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
    ((form, numbers),) = list(_checked(given, _FORMS, "lam of a rule").items())[:1] or [("", None)]
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


def _rule_dict(rule: Rule) -> dict[str, Any]:
    lam = rule.lam
    found = {
        "module": list(rule.modules),
        "layers": list(rule.layers),
        "pattern": rule.pattern,
        "lam": {lam.form: list(lam.numbers)} if isinstance(lam, ByLayer) else lam,
    }
    return {name: value for name, value in found.items() if value not in ([], "")}


def _no_match(rule: Rule, names: list[str], layers: int) -> str:
    present = [name for name in MODULES if any(name in modules_of(key) for key in names)]
    missing = set(rule.modules) - set(present)
    hint = "A tied lm_head is the embedding.\n" if "lm_head" in missing else ""
    if {"q", "k", "v"} & missing:
        hint = "This model's q, k and v are one tensor.\n"
    return (
        f"lam: the rule {rule} matches no tensor. {hint}The checkpoint has {layers} layers "
        f"(0 to {layers - 1}), the modules {', '.join(present)}, and tensors such as\n"
        f"{listed(names[:5])}\n`pa-harness show-lam` without this rule prints them all."
    )
