"""lm-eval's sample logs (``--log_samples``) as arrays: one metric and filter of one task.

A line is one document under one filter. Its order is lm-eval's, in every version from 0.4.5 on:

    {"doc_id": …, "doc": …, "target": …, "arguments": …, "resps": …, "filtered_resps": …,
     "filter": …, "metrics": […], "doc_hash": …, "prompt_hash": …, "target_hash": …, METRIC: …}

Prompts and answers are nearly all of a line and none of what is compared: only the end behind them
is parsed (ends that are alike once), and the whole where it is not in this order. Logs before 0.4.8
lack ``filter`` and ``metrics``: there a document's lines follow the order of the filters in the
results, and every key that is none of the above is a metric.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.errors import RunError, first_line
from pa_harness.foreign.reading import MALFORMED, parse_json
from pa_harness.tasks.clusters import LONG, long_lines
from pa_harness.tasks.f1 import entity_f1_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_HEAD = re.compile(rb'\{"doc_id": (\d{1,15}), "doc": ')
_FILTER, _HASH = b', "filter": "', b', "doc_hash": "'  # what may begin the end of a line
_PROMPT, _GOAL = b'", "prompt_hash": "', b'", "target_hash": "'  # between its digests, each of
_LENGTH = 64  # hexadecimal digits
_BEHIND = b', "arguments": {'  # behind the document and its target
_TARGET = b', "target": '  # between them
_OPTION = b'}, "gen_args_'  # numbers each request of a document, but the first
_ANSWERS = b', "resps": '  # behind them
_TEXT = re.compile(rb'"([^"]{%d,})' % LONG)
_DECODER = json.JSONDecoder()
DIGITS = 15  # of a digest, in hexadecimal: what fits into int64
_STEP = 0x9E3779B97F4A7C15  # tells copies of one document apart
_KEPT = 1024  # ends of lines that are parsed once
Row = dict[str, Any]
# What a line says: number of the document; where that begins in the line, -1 where the order is
# another; filter, None where it does not say; digests of document and prompt; metrics, with more
# where the order is another.
_End = tuple[int, int, "str | None", int, int, Row]


@dataclass
class Lines:
    """What the lines of one filter say, in the order of the documents."""

    ids: list[int] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    options: list[int] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)  # long lines of the documents
    owners: list[int] = field(default_factory=list)  # of them: places in the lists above

    def columns(self) -> tuple[NDArray[np.int64], ...]:
        """Numbers, digests, prompts and options, by ascending number; copies told apart."""
        order = self.order()
        columns = (self.ids, self.hashes, self.prompts, self.options)
        ids, hashes, prompts, options = (np.array(c, dtype=np.int64)[order] for c in columns)
        return ids, _distinct(hashes), prompts, options

    def order(self) -> NDArray[np.int64]:
        """Of the lines, by the documents' numbers."""
        found: NDArray[np.int64] = np.argsort(np.array(self.ids, dtype=np.int64), kind="stable")
        return found

    def numbers(self, metric: str) -> NDArray[np.float64]:
        """The metric by ascending number of the documents; NaN where it is no number."""
        triples = [isinstance(each, list) and len(each) == 3 for each in self.values]
        if metric.endswith("f1") and triples and all(triples):
            counts = [(float(a), float(b), float(c)) for a, b, c in self.values]
            return np.asarray(entity_f1_values(counts), dtype=np.float64)[self.order()]
        plain = [
            float(each) if isinstance(each, (bool, int, float)) else math.nan
            for each in self.values
        ]
        return np.array(plain, dtype=np.float64)[self.order()]


def read_lines(log: Path, metric: str, name: str, filters: Sequence[str], *, texts: bool) -> Lines:
    """The lines of one filter.

    Args:
        log: the file.
        metric: its name, without the filter.
        name: of the filter.
        filters: of the task, in the order of its results.
        texts: whether it is looked at what the documents hold, too; else options are 0.

    Raises:
        RunError: the file is damaged, or has a document twice.
    """
    found, seen = Lines(), dict[int, int]()
    for number, (line, end) in enumerate(_lines(log), 1):
        document, begins, of, doc_hash, prompt_hash, metrics = end
        if of is None:
            place = seen[document] = seen.get(document, -1) + 1
            if place >= len(filters) or filters[place] != name:
                continue
        elif of != name:
            continue
        found.ids.append(document)
        found.hashes.append(doc_hash)
        found.prompts.append(prompt_hash)
        found.values.append(metrics.get(metric))
        if texts:
            halves = 2 if "acc_mutual_info" in metrics else 1  # it asks each option twice
            try:
                found.options.append(_requests(line) // halves)
                long = _long(line, begins)
            except MALFORMED as error:
                raise _damaged(log, number, error) from None
            found.owners += [len(found.ids) - 1] * len(long)
            found.texts += long
    found.options = found.options or [0] * len(found.ids)
    if len(set(found.ids)) < len(found.ids):
        raise RunError(
            f"{log} has a document twice under the filter {name!r}: two evaluations were written "
            "into one file. Evaluate again, to a new --output_path."
        )
    return found


def read_documents(log: Path, wanted: set[int]) -> dict[int, Row]:
    """Some of a log's documents themselves, by number."""
    found: dict[int, Row] = {}
    for line, (number, begins, *_) in _lines(log):
        if number in wanted and number not in found:
            document = _document(line, begins)
            found[number] = document if isinstance(document, dict) else {"doc": document}
    return found


def _lines(log: Path) -> Iterator[tuple[bytes, _End]]:
    """Every line, and what it says.

    Raises:
        RunError: the file cannot be read, or a line is no sample.
    """
    number = 0
    try:
        with log.open("rb") as file:
            for line in file:
                number += 1
                yield line, _end(line)
    except (OSError, *MALFORMED) as error:
        raise _damaged(log, number, error) from None


def _damaged(log: Path, number: int, error: Exception) -> RunError:
    return RunError(
        f"{log} is damaged in line {number}: lm-eval's sample logs do not look so "
        f"({type(error).__name__}: {first_line(error)}). Copy it again, or run the evaluation "
        "again."
    )


def _end(line: bytes) -> _End:
    """What stands behind prompts and answers; the whole line where its order is another."""
    head, place = _HEAD.match(line), line.rfind(_HASH)
    one = place + len(_HASH)
    other = one + _LENGTH + len(_PROMPT)
    goal = other + _LENGTH + len(_GOAL)
    if (
        head
        and line[one + _LENGTH : other] == _PROMPT
        and line[other + _LENGTH : goal] == _GOAL
        and line[goal + _LENGTH : goal + _LENGTH + 1] == b'"'
    ):
        try:
            begins = line.rfind(_FILTER, 0, place)
            of = _filter(line[begins:place]) if begins > 0 else None
            digests = int(line[one : one + DIGITS], 16), int(line[other : other + DIGITS], 16)
            return int(head[1]), head.end(), of, *digests, _metrics(line[goal + _LENGTH + 1 :])
        except ValueError:  # it was a key of something inside
            pass
    whole: Row = parse_json(line)
    digests = int(whole["doc_hash"][:DIGITS], 16), int(whole["prompt_hash"][:DIGITS], 16)
    return int(whole["doc_id"]), -1, whole.get("filter"), *digests, whole


@lru_cache(maxsize=_KEPT)
def _filter(text: bytes) -> str | None:
    """The filter that stands before the digests; None where it is none, but inside an answer."""
    try:
        found = json.loads("{" + text[2:].decode() + "}")
    except ValueError:
        return None
    return found["filter"] if list(found) == ["filter", "metrics"] else None


@lru_cache(maxsize=_KEPT)
def _metrics(text: bytes) -> Row:
    """What stands behind the digests, up to the line's end."""
    found: Row = json.loads('{"": 0' + text.decode())
    return found


def _requests(line: bytes) -> int:
    """How many requests a document made: its arguments are numbered, in order."""
    begins, ends = line.find(_BEHIND), line.rfind(_ANSWERS)
    found = line.count(_OPTION, begins, ends)
    last = line.rfind(_OPTION, begins, ends) + len(_OPTION)
    numbered = not found or line[last : line.find(b'"', last)] == b"%d" % found
    if begins < 0 or ends < begins or not numbered:  # a key of something inside, or another order
        return max(1, len(parse_json(line).get("arguments") or ()))
    return 1 + found


def _document(line: bytes, begins: int) -> Any:
    """The document of a line, which stands there."""
    text = line.decode()
    return parse_json(text)["doc"] if begins < 0 else _DECODER.raw_decode(text, begins)[0]


def _long(line: bytes, begins: int) -> set[bytes]:
    """The lines of `LONG` bytes of a document's texts, without parsing it where that can be."""
    raw = line[begins : line.rfind(_TARGET, 0, max(line.find(_BEHIND), 0))]
    texts = _TEXT.findall(raw)
    escaped = b"\\" in raw
    apart = begins < 0 or (escaped and raw.count(b"\\") > raw.count(b"\\n"))
    for text in texts:
        apart = apart or text[0] in b":,]}"  # it may stand between two texts, and not in one
    if apart:
        return {each.encode() for each in long_lines(_document(line, begins))}
    if escaped:
        texts = [each for text in texts for each in text.split(b"\\n")]
    return {text.strip() for text in texts if len(text) >= LONG}


def _distinct(hashes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The digests, those of second and further copies of a document made others."""
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    first = np.concatenate([[True], ranked[1:] != ranked[:-1]]) if len(ranked) else ranked == 0
    if first.all():
        return hashes
    starts = np.maximum.accumulate(np.where(first, np.arange(len(ranked)), 0))
    copy = (np.arange(len(ranked)) - starts).astype(np.uint64)
    told = (ranked.astype(np.uint64) + copy * np.uint64(_STEP)) & np.uint64((1 << 63) - 1)
    found = np.empty_like(hashes)
    found[order] = told.astype(np.int64)
    return found
