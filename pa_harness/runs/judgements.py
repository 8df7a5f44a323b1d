"""A run's judgements: what they are, and the folder they are kept in.

RUN/judgements/verdicts.sqlite           every judge's answers, so that none is paid for twice
RUN/judgements/JUDGE/judge.json          who judged what against what; never a key
RUN/judgements/JUDGE/judgements.parquet  a row per λ and subset: win rates, lengths, differences
RUN/judgements/JUDGE/documents.parquet   each instruction's win (0 … 1) by λ, as a sweep's table
RUN/judgements/JUDGE/annotations_lam=0.5.json  every verdict, in AlpacaEval's own form
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError, first_line
from pa_harness.runs.documents import write_documents
from pa_harness.runs.samples import DocumentValues
from pa_harness.storage import write_json, write_with

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WIN = "win_rate,judge"  # of documents.parquet: the judge's probability that the model is better
_NAN = math.nan


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
    comparable: str  # comparable, or not comparable: and why
    minus_instruct: float = _NAN  # win rate less that of λ = 1, percentage points
    low: float = _NAN  # its 95% interval, paired by instruction
    high: float = _NAN
    band_low: float = _NAN  # 95% for all λ at once
    band_high: float = _NAN
    n_paired: int = 0  # instructions with a verdict at every λ


@dataclass(frozen=True)
class Judged:
    """One model's verdicts, in the order of its documents."""

    lam: float
    name: str  # fit for a file
    annotations: Sequence[Mapping[str, Any]]  # in AlpacaEval's form


def write_judgements(
    folder: Path,
    record: Mapping[str, Any],
    rows: Sequence[Judgement],
    judged: Sequence[Judged],
    task: str,
) -> None:
    """Write a judge's folder; each file whole.

    Args:
        folder: of one judge.
        record: judge.json.
        rows: the table.
        judged: every verdict.
        task: the name that the verdicts' table gives them.
    """
    write_json(folder / "judge.json", record)
    for each in judged:
        write_json(folder / f"annotations_{each.name}.json", list(each.annotations))
    known = [each for each in judged if not math.isnan(each.lam)]
    if known:
        units = [(each.lam, task, DocumentValues(*_wins(each))) for each in known]
        write_documents(units, folder / "documents.parquet")
    write_with(folder / "judgements.parquet", lambda temporary: _write(rows, temporary))


def read_judgements(folder: Path) -> list[Judgement]:
    """The table that `write_judgements` wrote.

    Raises:
        RunError: it is not there, or not such a table.
    """
    import pyarrow.parquet as pq

    path = folder / "judgements.parquet"
    try:
        return [Judgement(**row) for row in pq.read_table(path).to_pylist()]
    except (OSError, TypeError, ValueError) as error:
        raise RunError(
            f"{path} is not a table of judgements ({first_line(error)}). `pa-harness judge RUN` "
            "makes one."
        ) from None


def judge_folders(run: Path) -> list[Path]:
    """The folders of the judges that a run has, by name."""
    return sorted(path.parent for path in run.glob("judgements/*/judgements.parquet"))


def _wins(judged: Judged) -> tuple[list[int], dict[str, list[float]]]:
    values = [each["preference"] for each in judged.annotations]
    wins = [_NAN if value is None else value - 1 for value in values]
    return list(range(len(wins))), {WIN: wins}


def _write(rows: Sequence[Judgement], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"float": pa.float64(), "int": pa.int64(), "str": pa.string()}
    schema = pa.schema([(each.name, kinds[str(each.type)]) for each in fields(Judgement)])
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    pq.write_table(pa.table(columns, schema=schema), path)
