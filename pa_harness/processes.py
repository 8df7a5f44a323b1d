"""The processes that accelerate or torchrun started, as one: who is first, what all agree on.

Standard library only, until `start`.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

_PATIENCE = timedelta(weeks=52)  # lm-eval's: one process may be busy while the others wait


def count() -> int:
    """How many there are; 1 for a program that was started alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def number() -> int:
    """Which one this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def start() -> None:
    """Let the processes meet; lm-eval's accelerator later finds them met."""
    from accelerate import PartialState

    PartialState(timeout=_PATIENCE)


def agree(value: Any) -> Any:
    """The first process's value, in every process."""
    if count() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value], from_process=0)[0]


def gather(value: Any) -> list[Any]:
    """The values of all processes, in their order, in every process."""
    from accelerate.utils import gather_object

    found: list[Any] = gather_object([value])
    return found
