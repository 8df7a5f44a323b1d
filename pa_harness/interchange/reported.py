"""One number that somebody reported, a leaderboard or a run of ours, with what must agree.

Two numbers of the same name are comparable only where all that they depend on is the same: shots,
metric, task version, chat template, precision, documents. So both sides are held in one record,
in which whatever is not known is empty (or NaN, or None) and never guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pa_harness.foreign.naming import file_name

YES, NO, UNKNOWN = "yes", "no", ""  # whether a chat template was applied


@dataclass(frozen=True)
class Reported:
    """One metric of one task of one model.

    Attributes:
        model: hub id, or folder.
        task: lm-eval's name of the task, or a leaderboard's.
        metric: lm-eval's ``metric,filter``, or a leaderboard's word for it.
        value: a fraction, whatever the source prints; where `unit` is not ``fraction``, in that.
        stderr: in the value's unit.
        unit: ``fraction``, ``characters`` (a length) or ``instructions`` (a number of them).
        scale: ``raw``, or ``normalized``: 0 is chance.
        role: ``base`` or ``instruct``.
        leaderboard: whose number it is; `snapshot` says of when.
        run: tells several published runs of one model apart (a commit, a file).
        official: False where the leaderboard's protocol was followed by somebody else.
        num_fewshot: None where it is not known.
        precision: of the weights, as ``bfloat16``.
        chat_template: `YES`, `NO` or `UNKNOWN`.
        n: documents measured; 0 where it is not known.
        limit: lm-eval's ``--limit``; 0 is none.
        departures: what else was asked for that leaderboards do not (a system instruction, …).
        lam: λ; NaN where the model is not between two others, or under a schedule.
        way: by which the model lies between two others, where that is not the straight line with
            one λ: ``schedule 3fa2b1``, ``knob mlp``, ``trim density=0.2``.
        parameters: of the model; NaN where it is not known.
        main: whether the metric stands for its task.
        source: where the number can be read.
    """

    model: str
    task: str
    metric: str
    value: float
    stderr: float = math.nan
    unit: str = "fraction"
    scale: str = "raw"
    role: str = ""
    leaderboard: str = ""
    snapshot: str = ""
    run: str = ""
    official: bool = True
    num_fewshot: int | None = None
    version: str = ""
    precision: str = ""
    chat_template: str = UNKNOWN
    n: int = 0
    limit: float = 0.0
    departures: tuple[str, ...] = ()
    lam: float = math.nan
    way: str = ""
    base: str = ""
    instruct: str = ""
    parameters: float = math.nan
    main: bool = True
    higher_is_better: bool = True
    date: str = ""
    source: str = ""

    @property
    def adapted(self) -> bool:
        """Whether the model is made of two others."""
        return bool(self.instruct)

    @property
    def strength(self) -> str:
        """Where between the two it is: ``λ = 0.5``, ``knob mlp, λ = 0.5``; empty if not adapted."""
        lam = "" if math.isnan(self.lam) else f"λ = {self.lam:g}"
        return ", ".join(part for part in (self.way, lam) if part)

    @property
    def place(self) -> str:
        """The same as part of a name, and of a path: ``lam=0.5``, ``knob_mlp_lam=0.5``."""
        text = self.strength.replace("λ = ", "lam=").replace(", ", "_").replace(" ", "_")
        return file_name(text) if text else ""
