"""A run's judgements: what they are, and the folder they are kept in.

RUN/judgements/verdicts.sqlite           every judge's answers, so that none is paid for twice
RUN/judgements/JUDGE/judge.json          who judged what against what; digests; never a key
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
from pa_harness.runs.seal import check_digests, digests, read_sealed, write_sealed
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
TABLE = "judgements.parquet"


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
    lc_standard_error: float  # of the whole fit; not alpaca-eval's, which is no error of the rate
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
    lc_minus_instruct: float = math.nan  # length-controlled, less that of λ = 1
    lc_low: float = math.nan  # its 95% interval, paired by instruction
    lc_high: float = math.nan

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
    length_controlled: Sequence[float] = ()  # parts whose mean is the rate, percent; none without


class JudgeFolder:
    """Paths and tables of one judge."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table_file = path / TABLE
        self.documents_file = path / "documents.parquet"
        self.record_file = path / "judge.json"  # last: it has the digests of the others

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
        self.record_file.unlink(missing_ok=True)
        for each in judged:
            write_json(self.path / f"annotations_{each.name}.json", list(each.annotations))
        known = [each for each in judged if not math.isnan(each.lam)]
        if known:
            units = [(each.lam, task, DocumentValues(*_wins(each))) for each in known]
            write_documents(units, self.documents_file)
        write_table(Judgement, rows, self.table_file)
        files = digests(self.path, [each for each in sorted(self.path.iterdir()) if each.is_file()])
        write_sealed(self.record_file, {**record, "files": files})

    def check(self) -> list[str]:
        """Make sure that the files are those that `write` wrote.

        Returns:
            What must be said of a folder that cannot be checked.

        Raises:
            RunError: some are others, or missing.
        """
        record = read_sealed(self.record_file)
        if "files" not in record:
            return [f"{self.path} was made by a version that kept no digests of its files."]
        check_digests(self.path, record["files"])
        return []

    @property
    def task(self) -> str:
        """Whose answers were judged."""
        return str(read_sealed(self.record_file).get("task", ""))

    def judged_others(self, answers: Mapping[str, str]) -> str:
        """Whether its verdicts are on other answers than these, in words; empty if not.

        Args:
            answers: digests of a run's sample logs by ``lam=λ``; those not known do not count.
        """
        there: dict[str, str] = read_sealed(self.record_file).get("answers") or {}
        changed = [lam for lam, each in sorted(answers.items()) if there.get(lam, each) != each]
        return f"it judged other answers at {', '.join(changed)}" if changed else ""

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
    values = {WIN: (verdicts - 1).tolist()}  # None is NaN
    if judged.length_controlled:
        values[LENGTH_CONTROLLED] = [*judged.length_controlled]
    return list(range(len(verdicts))), values
