"""AlpacaEval win rates that `pa-harness judge` wrote into a run, as reported numbers.

RUN/judgements/JUDGE/judgements.parquet has a row per λ and set of instructions, in percent, and
says of each whether it may stand beside the leaderboard: judge, reference and decoding decide that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pa_harness.errors import RunError, first_line
from pa_harness.interchange.reported import Reported

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_RATES = {  # metric -> its standard error
    "length_controlled_winrate": "lc_standard_error",
    "win_rate": "standard_error",
}
_NOT = "not comparable: "


def read_judgement_files(run: Path, measured: Sequence[Reported]) -> list[Reported]:
    """The win rates of all judges of a run, on all instructions.

    Args:
        run: the folder of a sweep; one without judgements gives none.
        measured: the sweep's own numbers: which model each λ is.

    Raises:
        RunError: a table cannot be read.
    """
    models = {number.lam: number for number in measured if number.adapted}
    found: list[Reported] = []
    for file in sorted(run.glob("judgements/*/judgements.parquet")):
        try:
            rows = [row for row in _rows(file) if row["subset"] == "all"]
            found += [
                _number(row, metric, file, models[float(row["lam"])])
                for row in rows
                for metric in _RATES
            ]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{file} is not a table of judgements ({type(error).__name__}: "
                f"{first_line(error)}). `pa-harness judge RUN` makes one."
            ) from None
    return found


def _rows(file: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def _number(row: dict[str, Any], metric: str, file: Path, model: Reported) -> Reported:
    verdict = str(row["comparable"])
    reasons = verdict.removeprefix(_NOT).split("; ") if verdict.startswith(_NOT) else []
    return Reported(
        model=model.model,
        base=model.base,
        instruct=model.instruct,
        lam=model.lam,
        way=model.way,
        task="alpaca_eval",
        metric=metric,
        value=float(row[metric]) / 100,
        stderr=float(row[_RATES[metric]]) / 100,
        num_fewshot=0,
        n=int(row["n_parsed"]),
        departures=tuple(reasons),
        source=str(file),
    )
