"""A third stage behind the demo's pair: its instruct model, tuned for a minute to think aloud.

Sums that are made on the spot, answered with a thinking block first: enough for a model that emits
one, closes it mostly, and is right sometimes.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.demo.instructions import Turn
from benchmarks.demo.pair import packaged_pair
from benchmarks.demo.recipe import RECIPE, cache_folder, kept

if TYPE_CHECKING:
    from collections.abc import Iterator

SUMS = 96


def thinking_stages() -> list[str]:
    """Folders of the base, the instruct model and the thinking one; made and cached first."""
    pair = packaged_pair()
    third = kept("thinking", lambda folder: _make(Path(pair.instruct), folder))
    return [pair.base, pair.instruct, str(third / "instruct")]


def question(first: int, second: int) -> str:
    """What is asked."""
    return f"What is {first} + {second}?"


def sums(count: int, seed: int) -> Iterator[tuple[int, int]]:
    """Pairs of numbers with two digits."""
    numbers = random.Random(seed)
    for _ in range(count):
        yield numbers.randint(10, 99), numbers.randint(10, 99)


def _turn(first: int, second: int) -> Turn:
    tens, ones = first // 10 * 10 + second // 10 * 10, first % 10 + second % 10
    thought = f"The tens make {tens}. The ones make {ones}. {tens} + {ones} = {first + second}."
    return Turn(question(first, second), f"<think>{thought}</think>\n{first + second}")


def _make(instruct: Path, folder: Path) -> None:
    from benchmarks.demo.tuning import tune

    turns = [_turn(*each) for each in sums(SUMS, RECIPE.seed)]
    tune(instruct, turns, folder, cache_folder() / "thinking.pt", RECIPE)
