"""One number of an evaluation, with all that must be known to compare it with another.

lm-eval's results files stay as lm-eval writes them; `from_lm_eval` derives `Score` rows from them,
and everything that compares, plots or reports reads only those rows.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TextIO

from pa_harness.errors import RunError, first_line
from pa_harness.storage import plain, write_text, write_with
from pa_harness.tasks.average import JUDGED, counted_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_NAN = math.nan
FORMATS = ("parquet", "csv", "jsonl")


@dataclass(frozen=True)
class Score:
    """One metric of one task at one λ.

    Undefined numbers are NaN, undefined texts empty. `value` and `stderr` are in the task's own
    unit (a fraction for accuracies), as lm-eval gives them.
    """

    task: str
    metric: str
    filter: str
    value: float
    stderr: float = _NAN
    n: int = 0  # documents
    num_fewshot: int = 0
    lam: float = _NAN
    lam_eff: float = _NAN
    base: str = ""
    instruct: str = ""  # or the adapter
    task_version: str = ""
    category: str = ""
    scoring: str = ""  # cf, mcf or gen
    counts_as: str = ""  # the task that this one is a part of in averages, or itself
    main: bool = False  # the metric that stands for the task in averages
    higher_is_better: bool = True
    random_baseline: float = _NAN  # the value of guessing
    chat_template: str = ""  # its name; empty for a raw prompt

    @property
    def key(self) -> str:
        """The metric as lm-eval writes it: ``metric,filter``."""
        return f"{self.metric},{self.filter}"


_TYPES = {field.name: str(field.type) for field in fields(Score)}


def from_lm_eval(results: Mapping[str, Any]) -> list[Score]:
    """The scores in a results dict (or file) of lm-eval, leaf tasks only, in its order.

    Args:
        results: as `simple_evaluate` returns it. λ is read from ``config.lam`` or the model
            arguments, never from a file name; task facts from the key ``pa_harness`` that a sweep
            adds, else from each task's ``metadata``.
    """
    config = results.get("config") or {}
    model_args = config.get("model_args")
    if not isinstance(model_args, dict):
        model_args = {}
    lam = config.get("lam", model_args.get("lam"))
    common = {
        "lam": _number(lam),
        "lam_eff": _number(config.get("lam_eff")),
        "base": _side(config, "base") or str(model_args.get("pretrained", "")),
        "instruct": _side(config, "instruct")
        or _side(config, "peft")
        or str(model_args.get("instruct") or model_args.get("peft") or ""),
    }
    scores: list[Score] = []
    for task in results["results"]:
        if task in results["configs"]:  # a group has none
            scores += _of_task(task, results, common)
    return scores


def task_facts(task: str, results: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a task beside its numbers: metadata, and over it what the sweep decided."""
    metadata = results["configs"][task].get("metadata")
    decided = ((results.get("pa_harness") or {}).get("tasks") or {}).get(task) or {}
    return {**(metadata if isinstance(metadata, dict) else {}), **decided}


def _of_task(task: str, results: Mapping[str, Any], common: dict[str, Any]) -> list[Score]:
    values = results["results"].get(task) or {}
    facts = task_facts(task, results)
    keys = [key for key in values if "," in key and "_stderr," not in key]
    chosen = facts.get("metric")
    main = chosen if chosen in keys or chosen == JUDGED else next(iter(keys), "")
    up = (results.get("higher_is_better") or {}).get(task) or {}
    count = ((results.get("n-samples") or {}).get(task) or {}).get("effective")
    scores = []
    for key in keys:
        metric, _, name = key.partition(",")
        scores.append(
            Score(
                task=task,
                metric=metric,
                filter=name,
                value=_number(values[key]),
                stderr=_number(values.get(f"{metric}_stderr,{name}")),
                n=int(values.get("sample_len") or count or 0),
                num_fewshot=int((results.get("n-shot") or {}).get(task) or 0),
                task_version=str((results.get("versions") or {}).get(task, "")),
                category=str(facts.get("category", "")),
                scoring=str(facts.get("scoring", "")),
                counts_as=counted_as(task, facts),
                main=key == main,
                higher_is_better=up.get(metric) is not False,
                random_baseline=_number(facts.get("random_baseline")),
                chat_template=str(facts.get("chat_template") or ""),
                **common,
            )
        )
    return scores


def _side(config: Mapping[str, Any], name: str) -> str:
    side = config.get(name)
    return str(side.get("name", "")) if isinstance(side, dict) else ""


def _number(value: object) -> float:
    """The value as a float; NaN for lm-eval's "N/A" and whatever else is no number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return _NAN
    return float(value) if isinstance(value, (int, float)) else _NAN


def write_scores(scores: Sequence[Score], path: Path) -> None:
    """Write the flat table, atomically; the suffix chooses parquet, csv or jsonl.

    Raises:
        RunError: another suffix.
    """
    kind = path.suffix.removeprefix(".")
    if kind == "parquet":
        write_with(path, lambda temporary: _write_parquet(scores, temporary))
    elif kind == "jsonl":
        lines = [json.dumps(plain(score), ensure_ascii=False) for score in scores]
        write_text(path, "".join(f"{line}\n" for line in lines))
    elif kind == "csv":
        write_text(path, scores_csv(scores))
    else:
        raise RunError(
            f"{path}: a table of scores is written as one of .{', .'.join(FORMATS)}, not {kind!r}."
        )


def scores_csv(scores: Sequence[Score]) -> str:
    """The table as CSV text."""
    buffer = io.StringIO()
    _to_csv(scores, buffer)
    return buffer.getvalue()


def read_scores(path: Path) -> list[Score]:
    """Read a table that `write_scores` wrote.

    Raises:
        RunError: it is not there, or not such a table.
    """
    try:
        rows = _rows(path)
        return [Score(**{name: _typed(name, row[name]) for name in _TYPES}) for row in rows]
    except FileNotFoundError:
        raise RunError(
            f"{path} does not exist. It is written at the end of a sweep: run `pa-harness sweep` "
            "with this --output_path, or name the folder of one that was."
        ) from None
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise RunError(
            f"{path} is not a table of scores ({type(error).__name__}: {first_line(error)}). Name "
            "a table that a sweep wrote."
        ) from None


def _typed(name: str, value: Any) -> Any:
    """A cell in the field's own type; csv has texts only, jsonl null for NaN."""
    kind = _TYPES[name]
    if kind == "float":
        return _NAN if value in (None, "") else float(value)
    if kind == "int":
        return int(value)
    if kind == "bool":
        return value if isinstance(value, bool) else str(value) == "True"
    return str(value)


def _write_parquet(scores: Sequence[Score], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "str": pa.string()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in _TYPES.items()])
    columns = {name: [getattr(score, name) for score in scores] for name in _TYPES}
    pq.write_table(pa.table(columns, schema=schema), path)


def _to_csv(scores: Sequence[Score], file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_TYPES)
    for score in scores:
        values = asdict(score).values()
        writer.writerow("" if value != value else value for value in values)


def _rows(path: Path) -> Iterable[Mapping[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    with path.open(newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file]
        return list(csv.DictReader(file))
