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
Names are those of the model's parameters; `lam.modules` says what each module word means. With L
layers, ``linear`` is α + β (l − 1)/(L − 1) for layer l = 1 … L (LiNeS, Wang et al. 2024, arXiv
2410.17146), ``blocks`` the ratios per block of Lin et al. 2023 (arXiv 2309.06256). What is in no
layer (embeddings, the last norm, the head) follows no such form.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pa_harness.errors import ModelArgsError, listed
from pa_harness.lam.modules import MODULES, layer_of, modules_of

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMS = ("linear", "blocks", "list")
Number = float | str  # a str names a knob


@dataclass(frozen=True)
class ByLayer:
    """A λ that depends on the layer; `form` is one of `FORMS`."""

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

    def as_dict(self) -> dict[str, Any]:
        """As JSON and YAML hold it."""
        lam = self.lam
        found = {
            "module": list(self.modules),
            "layers": list(self.layers),
            "pattern": self.pattern,
            "lam": {lam.form: list(lam.numbers)} if isinstance(lam, ByLayer) else lam,
        }
        return {name: value for name, value in found.items() if value not in ([], "")}

    def __str__(self) -> str:
        """As it was written, on one line."""
        return json.dumps(self.as_dict())


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
            found["rules"] = [rule.as_dict() for rule in self.rules]
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
        lams = dict.fromkeys(names, self.number(self.base))
        for key, rule in winner.items():
            lams[key] = self._value(rule.lam, layer_of(key) or 0, layers)
        return lams

    def _value(self, lam: Number | ByLayer, layer: int, layers: int) -> float:
        if not isinstance(lam, ByLayer):
            return self.number(lam)
        numbers = [self.number(number) for number in lam.numbers]
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

    def number(self, number: Number) -> float:
        """A number, or that of a knob."""
        return dict(self.knobs)[number] if isinstance(number, str) else number


Lam = float | Schedule


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
