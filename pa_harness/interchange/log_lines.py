"""lm-eval's sample logs (``--log_samples``) as arrays: one metric and filter of one task.

A line is one document under one filter. Its order is lm-eval's, in every version from 0.4.5 on:

    {"doc_id": …, "doc": …, "target": …, "arguments": …, "resps": …, "filtered_resps": …,
     "filter": …, "metrics": […], "doc_hash": …, "prompt_hash": …, "target_hash": …, METRIC: …}

Prompts and answers are nearly all of a line and none of what is compared: only the end behind them
is parsed, and the whole where it is not in this order. Logs before 0.4.8 lack ``filter`` and
``metrics``: there a document's lines follow the order of the filters in the results, and every key
that is none of the above is a metric.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.errors import RunError, first_line
from pa_harness.foreign.reading import MALFORMED, parse_json
from pa_harness.tasks.clusters import LONG
from pa_harness.tasks.f1 import entity_f1_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_HEAD = re.compile(rb'\{"doc_id": (\d{1,15}), "doc": ')
_NEW, _OLD = b', "filter": "', b', "doc_hash": "'  # what may begin the end of a line
_BEHIND = b', "arguments": {'  # behind the document and its target
_OPTION = b'"gen_args_'  # one for each request of a document
_PIECE = re.compile(rb'(?:[^"\\]|\\[^n])+')  # of a text, up to its end or the line's
_DIGITS = 15  # of a digest, in hexadecimal: what fits into int64
_DECODER = json.JSONDecoder()
_STEP = 0x9E3779B97F4A7C15  # tells copies of one document apart
Row = dict[str, Any]


@dataclass
class Lines:
    """What the lines of one filter say, in the order of the documents."""

    ids: list[int] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    options: list[int] = field(default_factory=list)
    texts: list[tuple[int, ...]] = field(default_factory=list)  # digests of long pieces

    def columns(self) -> tuple[NDArray[np.int64], ...]:
        """Numbers, digests, prompts and options, by ascending number; copies told apart."""
        order = self.order()
        columns = (self.ids, self.hashes, self.prompts, self.options)
        ids, hashes, prompts, options = (
            np.fromiter(each, dtype=np.int64, count=len(self.ids))[order] for each in columns
        )
        return ids, _distinct(hashes), prompts, options

    def order(self) -> NDArray[np.int64]:
        """Of the lines, by the documents' numbers."""
        found: NDArray[np.int64] = np.argsort(
            np.fromiter(self.ids, dtype=np.int64, count=len(self.ids)), kind="stable"
        )
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
        texts: whether it is looked at what the documents hold, too.

    Raises:
        RunError: the file is damaged, or has a document twice.
    """
    found, seen = Lines(), dict[int, int]()
    for line, end in _lines(log):
        document = end["doc_id"]
        of = end.get("filter")
        if of is None:
            place = seen[document] = seen.get(document, -1) + 1
            of = filters[place] if place < len(filters) else ""
        if of != name:
            continue
        halves = 2 if "acc_mutual_info" in end else 1  # it asks each option twice
        found.ids.append(document)
        found.hashes.append(end["doc_hash"])
        found.prompts.append(end["prompt_hash"])
        found.values.append(end.get(metric))
        found.options.append(line.count(_OPTION) // halves)
        if texts:
            found.texts.append(_pieces(line))
    if len(set(found.ids)) < len(found.ids):
        raise RunError(
            f"{log} has a document twice under the filter {name!r}: two evaluations were written "
            "into one file. Evaluate again, to a new --output_path."
        )
    return found


def read_documents(log: Path, wanted: set[int]) -> dict[int, Row]:
    """Some of a log's documents themselves, by number."""
    found: dict[int, Row] = {}
    for line, end in _lines(log):
        if end["doc_id"] in wanted and end["doc_id"] not in found:
            text = line.decode()
            head = _HEAD.match(line)
            document = _DECODER.raw_decode(text, head.end())[0] if head else parse_json(text)["doc"]
            found[end["doc_id"]] = document if isinstance(document, dict) else {"doc": document}
    return found


def _lines(log: Path) -> Iterator[tuple[bytes, Row]]:
    """Every line, and what stands behind its prompts and answers, digests as numbers.

    Raises:
        RunError: the file cannot be read, or a line is no sample.
    """
    number = 0
    try:
        with log.open("rb") as file:
            for line in file:
                number += 1
                end = _end(line)
                for name in ("doc_hash", "prompt_hash"):
                    end[name] = int(end[name][:_DIGITS], 16)
                yield line, end
    except (OSError, *MALFORMED) as error:
        raise RunError(
            f"{log} is damaged in line {number}: lm-eval's sample logs do not look so "
            f"({type(error).__name__}: {first_line(error)}). Copy it again, or run the evaluation "
            "again."
        ) from None


def _end(line: bytes) -> Row:
    """What stands behind prompts and answers; the whole line where its order is another."""
    head = _HEAD.match(line)
    old = line.rfind(_OLD)
    new = line.rfind(_NEW, 0, max(old, 0))
    for place in (new, old) if head else ():
        if place < 0:
            continue
        try:
            found: Row = json.loads("{" + line[place + 2 :].decode())
        except ValueError:  # it was a key of something inside
            continue
        if "prompt_hash" in found and "doc_hash" in found:
            found["doc_id"] = int(head[1]) if head else -1
            return found
    whole: Row = parse_json(line)
    whole["doc_id"] = int(whole["doc_id"])
    return whole


def _pieces(line: bytes) -> tuple[int, ...]:
    """Digests of what the document may share with another: its texts' long lines, as written."""
    raw = line[: line.find(_BEHIND)] if _HEAD.match(line) else line
    if b'\\"' in raw or b"\\\\" in raw:
        pieces = _PIECE.findall(raw)
    else:
        pieces = raw.replace(b"\\n", b'"').split(b'"')
    return tuple({hash(piece.strip()) for piece in pieces if len(piece) >= LONG})


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
