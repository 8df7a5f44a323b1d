"""Shared prefixes against ``--model hf``: the same answers, in what part of the time?

    python -m benchmarks.prefix --data FOLDER --documents 100 --stock_documents 4

The tasks are lm-eval's own: they come from the hub, or from a local mirror with its folder names
(``--data``). hf's time grows with its tokens, so it scores the first few documents only, and its
time is scaled up by tokens (by documents where it generates); ours pays for its prefix over all of
them, as in a real run. Both score with the same weights in one process, in turns. Ours includes the
change to another λ.
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from lm_eval.models.huggingface import HFLM

from benchmarks.support.places import against_hf, working_directory
from benchmarks.support.prefix_tasks import requests_of
from benchmarks.support.real_pair import add_options, real_pair
from benchmarks.support.report import publish, table
from pa_harness.models.hf import PartiallyAdaptedLM
from pa_harness.prefixes.trie import TokenTrie

if TYPE_CHECKING:
    pass

_SHORT = "short answers"
_MORE = 4  # times as many documents of these: the lengths of answers differ
CASES = [  # what, task, shots, sampler
    ("cloze, 4 options", "arc_challenge", 5, "first_n"),
    ("cloze, 4 options", "openbookqa", 5, "first_n"),
    ("cloze, 4 options", "arc_challenge", 16, "first_n"),
    ("letters", "commonsense_qa", 5, "first_n"),
    ("random shots", "arc_challenge", 5, "default"),
    (_SHORT, "nq_open", 5, "first_n"),
    (_SHORT, "triviaqa", 5, "first_n"),
]
_HEAD = (
    *("", "task", "shots", "documents", "tokens: hf / ours", "distinct", "wall: hf / ours"),
    *("CPU: hf / ours", "11 λ / one hf", "max difference", "same"),
)


Seconds = tuple[float, float]  # of wall and CPU time


@dataclass
class Timed:
    """One scoring: seconds of wall and CPU time, and the answers."""

    wall: float
    cpu: float
    answers: list[Any]


def main(given: argparse.Namespace) -> None:
    """Measure, and publish the table."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    pair = real_pair(given)
    common: dict[str, Any] = {"dtype": "float32", "device": "cpu", "batch_size": given.batch_size}
    ours = PartiallyAdaptedLM(pretrained=pair.base, instruct=pair.instruct, lam=0, **common)
    stock = HFLM(pretrained=ours.model, tokenizer=ours.tokenizer, batch_size=given.batch_size)
    ours.loglikelihood(_warm_up(), disable_tqdm=True)
    rows, hf, mine = [], [], []
    for case in (case for case in CASES if given.only in case[0]):
        with working_directory(given.data):
            count = given.documents * (_MORE if case[0] == _SHORT else 1)
            requests = requests_of([case[1]], case[2], case[3], count)[case[1]]
        row, *seconds = _row(case, ours, stock, requests, given)
        rows.append(row)
        hf.append(seconds[0])
        mine.append(seconds[1])
        print(row, flush=True)
    rows.append(_all(hf, mine))
    text = (
        f"{'; '.join(pair.description.splitlines())}. fp32; hf with batch size "
        f"{given.batch_size} on the first {given.stock_documents} documents ({_MORE} times as many "
        f"for {_SHORT}), ours on all; medians of {given.rounds} rounds in turns, hf's scaled up. "
        "Differences in nats; the same choices, or texts, in documents. The last row adds up the "
        "times of one document of each.\n\n"
        f"{table(_HEAD, rows)}"
    )
    if given.publish:
        command = f"python -m benchmarks.prefix --documents {given.documents}"
        publish("prefix", text, command=f"{command} --stock_documents {given.stock_documents}")
    else:
        print(text)


def _warm_up() -> list[Any]:
    """A request that makes the trial of the model happen outside the measurement."""
    from lm_eval.api.instance import Instance

    return [Instance("loglikelihood", {}, ("Question:", " yes"), 0)]


def _row(
    case: tuple[str, str, int, str],
    ours: PartiallyAdaptedLM,
    stock: HFLM,
    requests: list[Any],
    given: argparse.Namespace,
) -> tuple[list[str], Seconds, Seconds]:
    """A row of the table, and the seconds that one document takes hf and us."""
    documents = sorted({request.doc_id for request in requests})
    some = given.stock_documents * (_MORE if case[0] == _SHORT else 1)
    some = min(some, len(documents))
    few = [r for r in requests if r.doc_id in set(documents[:some])]
    left, right = [], []
    for number in range(given.rounds):
        lam = 0.25 + 0.5 * (number % 2)
        begin = time.perf_counter(), time.process_time()
        ours.set_lam(lam)
        change = time.perf_counter() - begin[0], time.process_time() - begin[1]
        mine = timed(ours, requests)
        right.append((mine.wall + change[0], mine.cpu + change[1]))
        theirs = timed(stock, few)
        left.append((theirs.wall, theirs.cpu))
    counts = ours.sharing_info()["prefix_sharing"][requests[0].request_type]
    index = {id(request): number for number, request in enumerate(requests)}
    found = [mine.answers[index[id(request)]] for request in few]
    factor = work(ours, requests) / work(ours, few)
    hf, own = _medians(left, factor / len(documents)), _medians(right, 1 / len(documents))
    wall, cpu = hf[0] / own[0], hf[1] / own[1]
    row = [
        *(case[0], case[1], f"{case[2]}, {case[3]}", str(len(documents))),
        f"{counts['stock'] / counts['computed']:.1f}",
        f"{counts['computed'] / counts['distinct']:.3f}",
        *(f"{wall:.1f}", f"{cpu:.1f}", f"{11 / wall:.2f}"),
        *agreement(few, found, theirs.answers),
    ]
    return row, hf, own


def _medians(times: list[Seconds], share: float) -> Seconds:
    return share * median(wall for wall, _ in times), share * median(cpu for _, cpu in times)


def _all(hf: list[Seconds], ours: list[Seconds]) -> list[str]:
    """The row of all cases together, as many documents of each."""
    wall, cpu = (sum(s[at] for s in hf) / sum(s[at] for s in ours) for at in (0, 1))
    return ["all, evenly", *[""] * 5, f"{wall:.1f}", f"{cpu:.1f}", f"{11 / wall:.2f}", "", ""]


def work(lm: PartiallyAdaptedLM, requests: list[Any]) -> int:
    """What hf's time grows with: the tokens it computes; of short answers the documents."""
    if requests[0].request_type == "generate_until":
        return len(requests)
    sequences = [lm.tok_encode("".join(request.args))[:-1] for request in requests]
    return TokenTrie(sequences).whole


def timed(lm: Any, requests: list[Any]) -> Timed:
    """Answer requests of one kind once."""
    wall, cpu = time.perf_counter(), time.process_time()
    answers = getattr(lm, requests[0].request_type)(requests, disable_tqdm=True)
    return Timed(time.perf_counter() - wall, time.process_time() - cpu, answers)


def agreement(requests: list[Any], ours: list[Any], theirs: list[Any]) -> list[str]:
    """The largest difference, and how many documents have the same choice or text."""
    if isinstance(ours[0], str):
        same = sum(mine == other for mine, other in zip(ours, theirs, strict=True))
        return ["–", f"{same}/{len(ours)}"]
    options: dict[int, list[tuple[float, float]]] = {}
    for request, mine, other in zip(requests, ours, theirs, strict=True):
        options.setdefault(request.doc_id, []).append((mine[0], other[0]))
    same = 0
    for pairs in options.values():
        left, right = zip(*pairs, strict=True)
        same += left.index(max(left)) == right.index(max(right))
    worst = max(abs(mine[0] - other[0]) for mine, other in zip(ours, theirs, strict=True))
    return [f"{worst:.1e}", f"{same}/{len(options)}"]


if __name__ == "__main__":
    arguments = against_hf(__doc__, 100, 4)
    arguments.add_argument("--only", default="", help="cases whose name holds this")
    add_options(arguments)
    main(arguments.parse_args())
