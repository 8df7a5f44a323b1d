"""What a model's answers are compared with, and where each instruction stands in AlpacaEval."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pa_harness.errors import JudgeError, RunError, first_line, listed
from pa_harness.judging.outputs import read_reference
from pa_harness.judging.published import (
    BASELINE,
    BASELINE_FILE,
    INSTRUCTIONS,
    are_published,
    is_baseline,
    is_published_order,
    published_file,
    text_digest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.judging.outputs import Outputs

GPT4 = "gpt4"


@dataclass(frozen=True)
class Reference:
    """The other side of the comparison."""

    name: str  # as it is asked for: gpt4, λ=1, a file
    generator: str
    outputs: Mapping[str, str]  # by instruction
    positions: Mapping[str, int] | None  # 0 … 804 by instruction; None where not known
    official: bool  # the outputs of gpt4_1106_preview that the leaderboard compares with

    @property
    def digest(self) -> str:
        """Of instructions and outputs, whatever their order."""
        return text_digest(f"{key}\0{self.outputs[key]}" for key in sorted(self.outputs))


def find_reference(asked: str, found: Sequence[Outputs]) -> Reference:
    """The reference, checked against what is to be judged.

    Args:
        asked: ``gpt4``; a λ of the run; or a JSON file of model outputs.
        found: the run.

    Raises:
        JudgeError: it is none of these, or lacks an instruction.
        RunError: an instruction is there twice.
    """
    for outputs in found:
        _check_once([answer.instruction for answer in outputs.answers], outputs.generator)
    name, generator, texts = _texts(asked, found)
    for outputs in found:
        lacking = [a.instruction for a in outputs.answers if a.instruction not in texts]
        if lacking:
            raise JudgeError(
                f"The reference {name} ({generator}) has no answer to {len(lacking)} of the "
                f"{len(outputs.answers)} instructions of {outputs.generator}:\n"
                f"{listed(repr(each[:80]) for each in lacking[:5])}\n"
                "Both must have answered the same instructions."
            )
    order = _published_order([[*texts]] + [[a.instruction for a in o.answers] for o in found])
    positions = None if order is None else {text: number for number, text in enumerate(order)}
    official = order is not None and is_baseline(texts.get(each, "") for each in order)
    return Reference(name, BASELINE if official else generator, texts, positions, official)


def _texts(asked: str, found: Sequence[Outputs]) -> tuple[str, str, dict[str, str]]:
    """The reference's name, generator and outputs by instruction."""
    lam = _number(asked)
    if lam is not None:
        same = [outputs for outputs in found if outputs.lam == lam]
        if not same:
            lams = ", ".join(f"{outputs.lam:g}" for outputs in found)
            raise JudgeError(f"--reference {asked}: the run has no λ = {lam:g}; it has λ = {lams}.")
        one = same[0]
        return f"λ={lam:g}", one.generator, {a.instruction: a.output for a in one.answers}
    if asked == GPT4:
        carried = {
            answer.instruction: answer.reference
            for outputs in found
            for answer in outputs.answers
            if answer.reference is not None
        }
        if carried:
            return GPT4, found[0].reference_generator, carried
        asked = str(_baseline_file())
        name = GPT4
    else:
        name = Path(asked).name
        if not Path(asked).exists():
            raise JudgeError(
                f"--reference {asked}: expected {GPT4}, a λ of the run, or an existing JSON file "
                "of model outputs."
            )
    other = read_reference(Path(asked))
    _check_once([answer.instruction for answer in other.answers], asked)
    return name, other.generator, {a.instruction: a.output for a in other.answers}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _baseline_file() -> Path:
    try:
        return published_file(BASELINE_FILE)
    except OSError as error:
        raise JudgeError(
            f"The reference outputs {BASELINE_FILE} of tatsu-lab/alpaca_eval are not there "
            f"({first_line(error)}). Give --reference FILE.json, or a λ of the run."
        ) from None


def _check_once(instructions: Sequence[str], where: str) -> None:
    twice = [text for text, count in Counter(instructions).items() if count > 1]
    if twice:
        raise RunError(
            f"{where} answers {len(twice)} instructions more than once, the first being "
            f"{twice[0][:80]!r}. Expected one answer to each."
        )


def _published_order(candidates: Sequence[Sequence[str]]) -> list[str] | None:
    """The 805 instructions in their order, if any of the sequences has it, or the hub's file."""
    for instructions in candidates:
        if len(instructions) == INSTRUCTIONS and is_published_order(instructions):
            return list(instructions)
    if not are_published(candidates[0]):  # so the hub need not be asked
        return None
    try:
        rows = json.loads(published_file(BASELINE_FILE).read_text(encoding="utf-8"))
        instructions = [row["instruction"] for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return instructions if is_published_order(instructions) else None
