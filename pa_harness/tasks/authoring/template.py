"""A task YAML of about ten lines for a local data file.

Shots are the first rows of a file of their own, or of the data file, whose other rows are then the
ones evaluated: no evaluated row is ever a shot, and the shots are the same for every row.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.data_file import DataFile, places, read_data_file
from pa_harness.errors import DataFileError, TaskError
from pa_harness.foreign.showing import one_line
from pa_harness.storage import write_text
from pa_harness.tasks.authoring.columns import CONSTANTS
from pa_harness.tasks.authoring.prompts import SCORINGS, NewTask, flow, generation, multiple_choice

if TYPE_CHECKING:
    from collections.abc import Callable

SHOTS = 5  # at most, where no number is given
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOT_NAMES = {
    *("self", "loop", "if", "else", "for", "in", "is", "and", "or", "not", "import", "from"),
    *CONSTANTS,
}


def write_task(
    wanted: NewTask,
    output: str | None = None,
    *,
    force: bool = False,
    ask: Callable[[str], str] | None = None,
) -> Path:
    """Write the YAML of a task.

    Args:
        wanted: what the task is to be.
        output: the file; "<name>.yaml" in the working directory by default.
        force: overwrite it.
        ask: where to ask for what the wanted does not say (a terminal); None refuses instead.

    Returns:
        The file, absolute.

    Raises:
        DataFileError: the data file or its columns.
        TaskError: something is not said, or the file must not be written.
    """
    data = read_data_file(wanted.data)
    wanted = _completed(wanted, data, ask)
    file = Path(output or f"{wanted.name}.yaml").expanduser().absolute()
    if file.suffix != ".yaml":
        raise TaskError(
            f"--output_path {file}: lm-eval finds tasks by the ending .yaml only. Add it."
        )
    if _exists(file) and not force:
        raise TaskError(f"{file} exists. Pass --force to overwrite it, or another --output_path.")
    if not file.parent.is_dir():
        raise TaskError(
            f"There is no folder {file.parent}. Make it, or pass another --output_path."
        )
    text = task_yaml(wanted, data, file.parent)
    try:
        write_text(file, text)
    except OSError as error:
        raise TaskError(
            f"{file} cannot be written: {error.strerror}. Pass another --output_path."
        ) from error
    return file


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except OSError as error:  # a name that is too long
        raise TaskError(
            f"{file} cannot be written: {error.strerror}. Pass --output_path."
        ) from error


def _completed(wanted: NewTask, data: DataFile, ask: Callable[[str], str] | None) -> NewTask:
    """The wanted with its gaps filled: by a column of that very name, by asking, or not at all."""

    def fill(field: str, question: str) -> None:
        nonlocal wanted
        value = getattr(wanted, field)
        if value is None and field in data.columns and field != "scoring":
            value = field
        elif value is None and ask is not None:
            known = SCORINGS if field == "scoring" else data.columns
            columns = "" if field == "scoring" else f" [{', '.join(known)}]"
            value = ask(f"{question}{columns}: ").strip()
            while any(part.strip() not in known for part in value.split(",") if value):
                value = ask(f"{value} is none of {', '.join(known)}. {question}: ").strip()
        if not value:
            raise TaskError(
                f"{question}? Pass --{field}. The columns of {data.path}: "
                f"{', '.join(data.columns)}."
            )
        changes: dict[str, Any] = {field: value}
        wanted = replace(wanted, **changes)

    fill("scoring", f"Scoring, one of {', '.join(SCORINGS)}")
    fill("question", "Column of the question")
    if wanted.scoring != "gen" and wanted.labels is None:
        fill("choices", "Column of the options (several: a,b,c; the same in every row: --labels)")
    fill("answer", "Column of the answer")
    stem = re.sub(r"\W+", "_", data.path.stem)
    wanted = replace(wanted, name=wanted.name or f"{stem}_{wanted.scoring}")
    _check_values(wanted)
    return wanted


def _check_values(wanted: NewTask) -> None:
    if wanted.scoring not in SCORINGS:
        raise TaskError(f"--scoring {wanted.scoring} is none of {', '.join(SCORINGS)}.")
    if wanted.labels is not None and wanted.choices is not None:
        raise TaskError("--choices and --labels exclude each other: pass one of them.")
    if wanted.scoring == "gen" and (wanted.labels or wanted.choices):
        raise TaskError("--choices and --labels are for cf and mcf: a gen task shows no options.")
    if not re.fullmatch(r"[\w.-]+", wanted.name or ""):
        raise TaskError(f"--name {wanted.name!r}: expected letters, digits, '_', '-' and '.'.")
    if (wanted.num_fewshot or 0) < 0:
        raise TaskError(f"--num_fewshot {wanted.num_fewshot}: expected 0 or more.")


def task_yaml(wanted: NewTask, data: DataFile, folder: Path) -> str:
    """The text of the YAML.

    Args:
        wanted: complete: scoring, name and columns are given.
        data: its data file.
        folder: where the YAML will be, for the command in its header.

    Raises:
        DataFileError: columns are missing, hold nothing or no texts, or say nothing definite.
        TaskError: more shots than there are rows.
    """
    shots = read_data_file(wanted.fewshot) if wanted.fewshot else None
    rows = _both(data, shots) if shots else data
    used = wanted.columns
    for flag, column in used:
        for file in (data, shots) if shots else (data,):
            _check_column(file, column, flag)
            listed = wanted.choices == column or (flag == "--answer" and wanted.scoring == "gen")
            _check_texts(file, column, flag, listed=listed)
    if wanted.cluster:
        data.check_column(wanted.cluster, "--cluster")
        data.check_filled(wanted.cluster)
    splits, evaluated = _splits(wanted, data, shots, [column for _, column in used])
    if wanted.scoring == "gen":
        scored, metadata = generation(wanted, rows)
    else:
        scored, metadata = multiple_choice(wanted, rows, evaluated)
    if wanted.cluster:
        metadata = {**metadata, "cluster": wanted.cluster}
    command = (
        "lm_eval --model partially_adapted --model_args pretrained=BASE,instruct=INSTRUCT,lam=0.5 "
        f"--include_path {shlex.quote(str(folder))} --tasks {wanted.name}"
    )
    lines = [
        f"# {one_line(command)}",
        "# Paths of data are absolute: lm-eval looks for relative ones in the working directory.",
        f"task: {flow(wanted.name)}",
        f"dataset_path: {data.loader}",
        *splits,
        *scored,
        'target_delimiter: " "',
        f"metadata: {flow({'version': 1.0, 'category': wanted.category, **metadata})}",
    ]
    return "\n".join(lines) + "\n"


def _check_column(data: DataFile, column: str, flag: str) -> None:
    """Present, filled, usable in a template, and not read as other text by lm-eval's reader."""
    data.check_column(column, flag)
    if not column.isidentifier() or column in _NOT_NAMES:
        raise DataFileError(
            f"{data.path}: the column name {column!r} ({flag}) cannot stand in a template. Rename "
            "it to letters, digits and '_'."
        )
    data.check_filled(column)
    if data.loader == "csv":
        _check_spelling(data, column)


def _check_texts(data: DataFile, column: str, flag: str, *, listed: bool) -> None:
    """Refuse bytes, dates, objects and the like: a prompt would hold them as Python writes them."""
    for row, place in zip(data.rows, data.places, strict=True):
        value = row[column]
        odd = [
            item
            for item in (value if listed and isinstance(value, list) else [value])
            if not isinstance(item, str | int | float)
        ]
        if odd:
            raise DataFileError(
                f"{data.path}, {place}: {column!r} ({flag}) holds {str(odd[0])[:60]!r}, of the "
                f"kind {type(odd[0]).__name__}. Expected text, a number or true or false"
                f"{', or a list of such' * listed}: save the column as text."
            )


def _check_spelling(data: DataFile, column: str) -> None:
    """lm-eval's CSV reader turns a column of numbers (007, 1e3) or truth values into such."""
    texts = [row[column] for row in data.rows]
    changed: list[int] = []
    if all(_NUMBER.fullmatch(text.strip()) for text in texts):
        whole = all(re.fullmatch(r"-?\d+", text.strip()) for text in texts)
        read = [str(int(text) if whole else float(text)) for text in texts]
        changed = [i for i, text in enumerate(texts) if read[i] != text.strip()]
    elif all(text.lower() in {"true", "false"} for text in texts):
        changed = [i for i, text in enumerate(texts) if text not in {"True", "False"}]
    if changed:
        raise DataFileError(
            f"{data.path}: lm-eval reads the CSV column {column!r} as numbers or truth values, so "
            f"{texts[changed[0]]!r} ({data.places[changed[0]]}) would be spelled otherwise. Save "
            "the file as JSON lines, with these values as texts."
        )


def _both(data: DataFile, shots: DataFile) -> DataFile:
    """Rows of both files, where they can be two splits of one data set."""
    if shots.loader != data.loader or shots.options != data.options:
        raise DataFileError(
            f"{shots.path} and {data.path} are of different kinds; lm-eval reads both by one "
            "reader. Save them in the same format."
        )
    if set(shots.columns) != set(data.columns):
        differing = sorted(set(shots.columns) ^ set(data.columns))
        raise DataFileError(
            f"{shots.path} and {data.path} have different columns ({', '.join(differing)} in one "
            "only). Give both the same."
        )
    names = [f"{file.path.name} {place}" for file in (data, shots) for place in file.places]
    return DataFile(data.path, data.rows + shots.rows, names)


def _splits(
    wanted: NewTask, data: DataFile, shots: DataFile | None, columns: list[str]
) -> tuple[list[str], range]:
    """The lines that say which rows are shots and which are evaluated, and the latter.

    Raises:
        TaskError: too few rows.
        DataFileError: an evaluated row repeats a shot.
    """
    count = wanted.num_fewshot
    if count is None:
        count = min(SHOTS, len(shots.rows)) if shots else SHOTS
    kwargs: dict[str, Any] = {"data_files": {"test": str(data.path)}}
    evaluated = range(len(data.rows))
    for file in (data, shots) if shots else (data,):
        if set("*?[") & set(str(file.path)):
            raise DataFileError(
                f"{file.path}: lm-eval takes '*', '?' and '[' for patterns. Rename."
            )
    if shots is not None and count > len(shots.rows):
        raise TaskError(
            f"--num_fewshot {count}: {shots.path} has {len(shots.rows)} rows. Pass fewer."
        )
    if shots is None and count >= len(data.rows):
        raise TaskError(
            f"{data.path} has {len(data.rows)} rows: {count} shots leave nothing to evaluate. "
            "Pass a smaller --num_fewshot, or a file of shots with --fewshot."
        )
    if shots is not None:
        kwargs["data_files"]["shots"] = str(shots.path)
    elif count:
        kwargs["data_files"] = {"rows": str(data.path)}
        kwargs["split"] = {"shots": f"rows[:{count}]", "test": f"rows[{count}:]"}
        evaluated = range(count, len(data.rows))
    columns = [column for column in columns if column != wanted.answer]
    shown = {_key(row, columns) for row in (shots or data).rows[:count]}
    repeats = [data.places[i] for i in evaluated if _key(data.rows[i], columns) in shown]
    if repeats:
        raise DataFileError(
            f"{data.path}: {places(repeats)} would be evaluated but repeat a shot. Take the rows "
            "out, or give other shots with --fewshot."
        )
    lines = [f"dataset_kwargs: {flow({**kwargs, **data.options})}", "test_split: test"]
    if count or shots:
        lines += ["fewshot_split: shots", "fewshot_config: {sampler: first_n}"]
    return [*lines, f"num_fewshot: {count}"], evaluated


def _key(row: dict[str, Any], columns: list[str]) -> str:
    """What makes two rows the same question: the texts shown, without case and spacing."""
    return " ".join(" ".join(str(row[column]) for column in columns).casefold().split())
