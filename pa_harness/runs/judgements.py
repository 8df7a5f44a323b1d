"""A run's judgements: what they are, and the folder they are kept in.

RUN/judgements/verdicts.sqlite           every judge's answers, so that none is paid for twice
RUN/judgements/JUDGE/judge.json          who judged what against what; never a key
RUN/judgements/JUDGE/judgements.parquet  a row per λ and subset: win rates, lengths, differences
RUN/judgements/JUDGE/documents.parquet   each instruction's win (0 … 1) by λ, as a sweep's table
RUN/judgements/JUDGE/annotations_lam=0.5.json  every verdict, in AlpacaEval's own form
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.runs.documents import Documents, write_documents
from pa_harness.runs.samples import DocumentValues
from pa_harness.runs.tables import read_table, write_table
from pa_harness.storage import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ALL = "all"  # the subset of all instructions
COMPARABLE, NOT_COMPARABLE = "comparable", "not comparable: "
VERDICTS = "verdicts.sqlite"
WIN = "win_rate,judge"  # of documents.parquet: the judge's probability that the model is better
LENGTH_CONTROLLED = "length_controlled_winrate,judge"  # of documents.parquet: its mean is the rate
TABLE = "judgements.parquet"  # last of a judge's files


@dataclass(frozen=True)
class Judgement:
    """The numbers of one λ on one subset. Win rates in percent; NaN where undefined."""

    lam: float  # NaN where it is not known
    generator: str
    subset: str  # all, or one of the source sets
    n: int  # instructions
    n_judged: int  # put to the judge, or equal to the reference
    n_parsed: int  # that have a verdict
    win_rate: float
    standard_error: float
    discrete_win_rate: float
    length_controlled_winrate: float
    lc_standard_error: float  # alpaca-eval's: spread over instructions, no interval of the rate
    lc_absent: str  # why there is no length-controlled win rate
    average_characters: float
    average_tokens: float
    reference_characters: float
    comparable: str  # `COMPARABLE`, or `NOT_COMPARABLE` and why
    minus_instruct: float = math.nan  # win rate less that of λ = 1, percentage points
    low: float = math.nan  # its 95% interval, paired by instruction
    high: float = math.nan
    band_low: float = math.nan  # 95% for all λ at once
    band_high: float = math.nan
    n_paired: int = 0  # instructions with a verdict at every λ

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it must not stand beside the leaderboard; none if it may."""
        _, _, reasons = self.comparable.partition(NOT_COMPARABLE)
        return tuple(reasons.split("; ")) if reasons else ()


@dataclass(frozen=True)
class Judged:
    """One model's verdicts, in the order of its documents."""

    lam: float
    name: str  # fit for a file
    annotations: Sequence[Mapping[str, Any]]  # in AlpacaEval's form


class JudgeFolder:
    """Paths and tables of one judge."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table_file = path / TABLE
        self.documents_file = path / "documents.parquet"

    def write(
        self,
        record: Mapping[str, Any],
        rows: Sequence[Judgement],
        judged: Sequence[Judged],
        task: str,
    ) -> None:
        """Write everything; each file whole.

        Args:
            record: judge.json.
            rows: the table.
            judged: every verdict.
            task: the name that the verdicts' table gives them.
        """
        write_json(self.path / "judge.json", record)
        for each in judged:
            write_json(self.path / f"annotations_{each.name}.json", list(each.annotations))
        known = [each for each in judged if not math.isnan(each.lam)]
        if known:
            units = [(each.lam, task, DocumentValues(*_wins(each))) for each in known]
            write_documents(units, self.documents_file)
        write_table(Judgement, rows, self.table_file)

    def judgements(self) -> list[Judgement]:
        """The rows that `write` wrote.

        Raises:
            RunError: they are not there, or no such table.
        """
        return read_table(Judgement, self.table_file, "`pa-harness judge RUN` makes one.")

    def documents(self) -> Documents:
        """Each instruction's win; numbered as the task's documents are, in their order."""
        return Documents(self.documents_file)


def _wins(judged: Judged) -> tuple[list[int], dict[str, list[float]]]:
    verdicts = np.array([each["preference"] for each in judged.annotations], dtype=np.float64)
    return list(range(len(verdicts))), {WIN: (verdicts - 1).tolist()}  # None is NaN
