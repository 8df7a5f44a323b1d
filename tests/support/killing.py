"""Kills a piece of work at a given moment. Libraries are imported once: the work runs in a fork."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def forked(work: Callable[[], int], moment: float | Callable[[], None] | None) -> int:
    """Do the work in a process of its own, killed at some moment, or left alone.

    Args:
        work: gives the exit code.
        moment: of the kill: after so many seconds, or when this returns; None leaves it alone.

    Returns:
        The process's wait status.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = work()
        finally:
            os._exit(status)
    if moment is not None:
        moment() if callable(moment) else time.sleep(moment)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]
