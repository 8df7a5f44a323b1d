"""AlpacaEval's published data: where it is found, and whether it is what was published.

It is CC-BY-NC-4.0 and not shipped. Texts are known by their digests, whatever file they stand in:
sha256 of the texts in the published order, joined by NUL.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pa_harness.errors import JudgeError, first_line
from pa_harness.tasks.alpaca_eval import find_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

REPOSITORY = "tatsu-lab/alpaca_eval"
REVISION = "2edc6fad8be6b14ea7230aabfd08188da6b8b814"
BASELINE_FILE = "alpaca_eval_gpt4_baseline.json"
GAMED_FILE = "df_gamed.csv"
GAMED_SHA256 = "97aeec3f1c7de6dee6fd31fe66f1702623f4614c3efe1c6fc5f4927cd5fd674d"
BASELINE = "gpt4_1106_preview"  # the leaderboard's reference
INSTRUCTIONS = 805
_INSTRUCTIONS_DIGEST = "bfe8c45991f635de0b1f94abeeb1335ef665d58eddd87ddf6fa71b7b0c2ce7a5"
_SORTED_DIGEST = "b81218fd584118e2e49dd84d668c498e9377236c8a1acb5c395d4b398694c387"
_BASELINE_DIGEST = "ddce4da7e5cf20eb784db96b97ef4151bcaf8f4b19d45c5e5eb33119622e4cb9"


@dataclass(frozen=True)
class Gamed:
    """The file that length control is fitted with, or why there is none."""

    path: Path | None
    published: bool = False
    reason: str = ""


def text_digest(texts: Iterable[str]) -> str:
    """sha256 of the texts, joined by NUL."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def is_published_order(instructions: Iterable[str]) -> bool:
    """Whether these are the 805 instructions, in their published order."""
    return text_digest(instructions) == _INSTRUCTIONS_DIGEST


def are_published(instructions: Iterable[str]) -> bool:
    """Whether these are the 805 instructions, in any order."""
    return text_digest(sorted(instructions)) == _SORTED_DIGEST


def is_baseline(outputs: Iterable[str]) -> bool:
    """Whether these are the outputs of gpt4_1106_preview, in the published order."""
    return text_digest(outputs) == _BASELINE_DIGEST


def published_file(name: str) -> Path:
    """A file of the data set; raises OSError as `find_file`."""
    return find_file(REPOSITORY, name, REVISION)


def check_gamed(given: Path | None) -> None:
    """Make sure, before anything is asked, that the user's own file is there.

    Raises:
        JudgeError: it is not.
    """
    if given is not None and not given.is_file():
        raise JudgeError(
            f"--df_gamed {given} does not exist. Expected a copy of {GAMED_FILE} of the data set "
            f"{REPOSITORY}."
        )


def find_gamed(given: Path | None) -> Gamed:
    """The file `df_gamed.csv`.

    Args:
        given: the user's own; its content need not be the published one.
    """
    try:
        path = given or published_file(GAMED_FILE)
    except OSError as error:
        reason = (
            f"{GAMED_FILE} of {REPOSITORY} is not there ({first_line(error)}); `hf download "
            f"{REPOSITORY} {GAMED_FILE} --repo-type dataset` once, or give --df_gamed FILE"
        )
        return Gamed(None, reason=reason)
    published = hashlib.sha256(path.read_bytes()).hexdigest() == GAMED_SHA256
    if not published and given is None:
        return Gamed(None, reason=f"{path} is not the published {GAMED_FILE} (another sha256)")
    return Gamed(path, published)
