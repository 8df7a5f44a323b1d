"""Requests of lm-eval's own tasks, with chosen shots, for the prefix benchmark."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

from lm_eval.api.samplers import get_sampler
from lm_eval.tasks import TaskManager

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEED = 1234  # of random shots: lm-eval's own default


def requests_of(names: Sequence[str], shots: int, sampler: str, limit: int) -> dict[str, list[Any]]:
    """Per task the requests of its first documents.

    Args:
        names: lm-eval's task names.
        shots: examples in every prompt.
        sampler: "first_n" (the same for all documents) or "default" (drawn for each).
        limit: documents per task.
    """
    manager = TaskManager()
    found = {}
    for name in names:
        task = manager.load([name])["tasks"][name]
        task.set_config("num_fewshot", shots)
        task.sampler = get_sampler(sampler)(list(task.fewshot_docs()), rnd=None)
        task.set_fewshot_seed(_SEED)
        with contextlib.redirect_stderr(io.StringIO()):
            task.build_all_requests(limit=limit, rank=0, world_size=1)
        found[name] = task.instances
    return found
