"""Results that a user names, whatever wrote them: a file, a folder, a sweep, a table.

A run's judgements are read with it. Whether a win rate may stand beside the leaderboard its table
says: judge, reference and decoding decide that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pa_harness.errors import RunError
from pa_harness.interchange.every_eval_ever import is_every_eval_ever, read_record
from pa_harness.interchange.lm_eval_files import from_results, is_lm_eval, read_json_file
from pa_harness.interchange.reported import Reported
from pa_harness.leaderboards.user_tables import SUFFIXES, read_table
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.judgements import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pa_harness.runs.judgements import Judgement

_RATES = {  # metric -> its standard error
    "length_controlled_winrate": "lc_standard_error",
    "win_rate": "standard_error",
}
_KINDS = (
    "a results file of lm-eval, a folder of them, the folder of a sweep, an Every Eval Ever record "
    "(JSON), or a table (.csv, .yaml)"
)


def read_results(paths: Sequence[Path], *, published: bool = False) -> list[Reported]:
    """The numbers of all paths; of one model, task and metric measured twice the newest.

    Args:
        paths: files and folders.
        published: whether they are to be compared with: then numbers of other leaderboards,
            shots, precisions or templates are not the same measurement, and stay side by side.

    Raises:
        RunError: nothing is there, or a file is damaged or of another kind.
        DataFileError: a table is malformed.
    """
    found: dict[tuple[object, ...], Reported] = {}
    for path in paths:
        for number in _folder(path) if path.is_dir() else _file(path):
            key = _what(number) + (_how(number) if published else ())
            known = found.get(key)
            if known is None or _time(known) <= _time(number):
                found[key] = number
    return list(found.values())


def _what(number: Reported) -> tuple[object, ...]:
    parents = (number.base, number.instruct, number.place)
    return (number.model, *parents, number.task, number.metric)


def _how(number: Reported) -> tuple[object, ...]:
    board = (number.leaderboard, number.snapshot, number.scale)
    return (*board, number.num_fewshot, number.precision, number.chat_template)


def _time(number: Reported) -> tuple[float, str]:
    try:
        return float(number.date), ""
    except ValueError:
        return 0.0, number.date


def _file(path: Path) -> list[Reported]:
    if path.suffix.lower() in SUFFIXES:
        return read_table(path)
    content = read_json_file(path)
    if is_lm_eval(content):
        return from_results(content, path)
    if is_every_eval_ever(content):
        return read_record(content, path)
    keys = ", ".join(map(str, list(content)[:8])) if isinstance(content, dict) else ""
    raise RunError(
        f"{path} is of another kind: {type(content).__name__}{f' with {keys}' if keys else ''}. "
        f"Expected {_KINDS}."
    )


def _folder(path: Path) -> list[Reported]:
    """All results of lm-eval below, with a run's judgements; without any, all records below."""
    run = RunFolder(path)
    found = [number for file in run.results_files() for number in _file(file)]
    found += _judged(run, found)
    found = found or [number for file in sorted(path.rglob("*.json")) for number in _record(file)]
    if not found:
        raise RunError(f"{path} holds no results. Expected {_KINDS}.")
    return found


def _judged(run: RunFolder, numbers: Sequence[Reported]) -> list[Reported]:
    """The win rates of a run's judges on all instructions; `numbers` tell which model each λ is."""
    models = {number.lam: number for number in numbers if number.adapted}
    found: list[Reported] = []
    for judge in run.judgements() if numbers else ():
        others = judge.judged_others(run.answers(judge.task))
        if others:
            raise RunError(
                f"{judge.path}: {others}. Judge the run again, or take that folder out of it."
            )
        for row in judge.judgements():
            if row.subset == ALL and row.lam not in models:
                raise RunError(
                    f"{judge.table_file} judges λ = {row.lam:g}, of which {run.path} has no "
                    "results of a pair. Judge the run again, or take the judge's folder out of it."
                )
            if row.subset == ALL:
                source = str(judge.table_file)
                found += [_win_rate(row, metric, models[row.lam], source) for metric in _RATES]
    return found


def _win_rate(row: Judgement, metric: str, model: Reported, source: str) -> Reported:
    same = {name: getattr(model, name) for name in ("model", "base", "instruct", "lam", "way")}
    return Reported(
        **same,
        task="alpaca_eval",
        metric=metric,
        value=getattr(row, metric) / 100,
        stderr=getattr(row, _RATES[metric]) / 100,
        num_fewshot=0,
        n=row.n_parsed,
        departures=row.reasons,
        source=source,
    )


def _record(file: Path) -> list[Reported]:
    """The numbers of a record; none where the file is something else that lies beside records."""
    try:
        content = read_json_file(file)
    except RunError:
        return []
    return read_record(content, file) if is_every_eval_ever(content) else []
