"""Which option an answer column names: by text, by letter, or by a number from 0 or from 1."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from pa_harness.errors import DataFileError

if TYPE_CHECKING:
    from pa_harness.data_file import DataFile

LETTERS = string.ascii_uppercase
KINDS = {
    "text": "the text of an option",
    "letter": "a letter, A for the first option",
    "index0": "a number, 0 for the first option",
    "index1": "a number, 1 for the first option",
}


def answer_kind(
    data: DataFile, column: str, options: list[list[str]], asked: str | None = None
) -> str:
    """What the column's values are, one of `KINDS`.

    Args:
        data: the rows.
        column: the answer column.
        options: the options of each row, as they will be shown.
        asked: a kind that was asked for; it is checked only.

    Raises:
        DataFileError: no kind fits every row, or two fit that mean different options.
    """
    values = [row[column] for row in data.rows]
    kinds = [asked] if asked else list(KINDS)
    meanings = {
        kind: [meaning(kind, value, row) for value, row in zip(values, options, strict=True)]
        for kind in kinds
    }
    fitting = [kind for kind in kinds if None not in meanings[kind]]
    if not fitting:
        kind = max(kinds, key=lambda kind: len(values) - meanings[kind].count(None))
        at = meanings[kind].index(None)
        raise DataFileError(
            f"{data.path}, {data.places[at]}: the answer {values[at]!r} is none of the options "
            f"{options[at]}. Expected "
            + "; or ".join(KINDS[kind] for kind in kinds)
            + ", the same in every row."
        )
    first = fitting[0]
    for other in fitting[1:]:
        if meanings[other] != meanings[first]:
            raise DataFileError(_ambiguous(data, column, options, first, other, meanings))
    return first


def meaning(kind: str, value: Any, options: list[str]) -> int | None:
    """The index of the option the value names, or None where it names none."""
    text = str(value).strip()
    if kind == "text":
        return options.index(text) if text in options else None
    if kind == "letter":
        index = LETTERS.find(text.upper()) if len(text) == 1 else -1
    else:
        number = str(int(value)) if isinstance(value, bool) else text
        index = int(number) - (kind == "index1") if number.isdecimal() else -1
    return index if 0 <= index < len(options) else None


def target_template(kind: str, column: str, options: str, count: int) -> str:
    """The `doc_to_target` that gives the gold index.

    An index, never the text: lm-eval takes a text of digits for an index.

    Args:
        kind: one of `KINDS`.
        column: the answer column.
        options: a Jinja expression for the list of option texts.
        count: the largest number of options.
    """
    return {
        "text": f"{{{{({options}).index({column} | trim)}}}}",
        "letter": f"{{{{'{LETTERS[:count]}'.index({column} | trim | upper)}}}}",
        "index0": f"{{{{{column} | int}}}}",
        "index1": f"{{{{({column} | int) - 1}}}}",
    }[kind]


def _ambiguous(
    data: DataFile,
    column: str,
    options: list[list[str]],
    one: str,
    other: str,
    meanings: dict[str, list[int | None]],
) -> str:
    pairs = zip(meanings[one], meanings[other], strict=True)
    at = next(index for index, (a, b) in enumerate(pairs) if a != b)
    read = [options[at][meanings[kind][at] or 0] for kind in (one, other)]
    return (
        f"{data.path}: {column!r} can be read in two ways. {data.places[at]} has "
        f"{data.rows[at][column]!r}: as {KINDS[one]}, that is {read[0]!r}; as {KINDS[other]}, "
        f"{read[1]!r}. Say which: --answer_is {one} or --answer_is {other}."
    )
