"""A judge asked from Python: no prompt, so a limit of cost takes its place."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pa_harness.errors import JudgeError
from pa_harness.judging.asking.key import find_key
from pa_harness.judging.asking.session import AskingProgress
from pa_harness.judging.judge import ask, judge
from pa_harness.judging.plan import JudgeSettings, plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pa_harness.runs.judgements import Judgement


def judged(run: Path, max_cost: float | None, settings: Mapping[str, Any]) -> Sequence[Judgement]:
    """Ask what is not answered yet, and write and return the table.

    Args:
        run: the run's folder.
        max_cost: the most dollars to spend.
        settings: of `JudgeSettings`, and api_key_env.

    Raises:
        JudgeError: as `plan` and `ask`; or it would cost money and no limit is given.
    """
    more = dict(settings)
    key_name = more.pop("api_key_env", None)
    made = plan(JudgeSettings(run=run, max_cost=max_cost, **more))
    sys.stderr.writelines(f"{note}\n" for note in made.notes)
    try:
        if made.missing and max_cost is None and made.price != type(made.price)(0, 0):
            raise JudgeError(
                f"Nothing was asked: {made.estimate}. Give max_cost=DOLLARS, or price='0' where "
                "the judge is your own."
            )
        tally = ask(
            made, find_key(key_name, made.annotator, made.missing), AskingProgress(sys.stderr)
        )
        _, rows = judge(made)
    finally:
        made.close()
    if tally.stopped or tally.failed:
        sys.stderr.write(f"{tally}. The same call goes on from here.\n")
    return rows
