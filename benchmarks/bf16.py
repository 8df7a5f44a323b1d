"""How often does bf16 choose another option? ``python -m benchmarks.bf16 --data FOLDER``.

bf16 rounds to three digits, so two computations that differ in order only give other
log-likelihoods, and where two options are nearly equal, another choice. The agreement of shared
prefixes with ``--model hf`` in bf16 is therefore set beside that of hf with itself at another batch
size, and all of them beside fp32 with the same weights.
"""

from __future__ import annotations

import argparse
import logging
import os
from itertools import chain, pairwise
from typing import Any

import numpy as np
import torch
from lm_eval.models.huggingface import HFLM

from benchmarks.support.places import add_data, working_directory
from benchmarks.support.prefix_tasks import requests_of
from benchmarks.support.real_pair import add_options, real_pair
from benchmarks.support.report import publish, table
from pa_harness.models.hf import PartiallyAdaptedLM

TASKS = ("arc_challenge", "openbookqa", "piqa", "commonsense_qa", "winogrande", "sst2")
# scorers: 0 ours, 1 hf, 2 hf in batches of 8, 3 hf with its softmax in bf16, 4 fp32
_PAIRS = [(0, 1), (2, 1), (0, 3), (1, 3), (0, 4), (1, 4), (3, 4)]
_HEAD = (
    *("task", "documents", "ours = hf, softmax in fp32", "that = it in batches of 8"),
    *("ours = hf, softmax in bf16", "hf, softmax in fp32 = bf16"),
    *("ours = fp32", "hf, softmax in fp32 = fp32", "hf, softmax in bf16 = fp32"),
)
Scores = list[list[np.ndarray[Any, Any]]]


def main(given: argparse.Namespace) -> None:
    """Measure, and publish the table."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    pair = real_pair(given)
    models = _models(pair.base, pair.instruct)
    rows, everything, apart = [], [], []
    for name in given.tasks.split(","):
        with working_directory(given.data):
            requests = requests_of([name], given.shots, "first_n", given.documents)[name]
        scores = [
            _by_document(requests, lm.loglikelihood(requests, disable_tqdm=True)) for lm in models
        ]
        rows.append([name, str(len(scores[0])), *_agreement(scores)])
        print(rows[-1], flush=True)
        everything.append(scores)
        apart += _apart(name, scores)
    joined: Scores = [list(chain.from_iterable(each)) for each in zip(*everything, strict=True)]
    rows.append(["all", str(len(joined[0])), *_agreement(joined)])
    text = (
        f"{_about(pair.description, given.shots, joined)}\n\n{table(_HEAD, rows)}\n\n{_gaps(apart)}"
    )
    if given.publish:
        shots = f" --shots {given.shots}" if given.shots else ""
        command = f"python -m benchmarks.bf16 --documents {given.documents}{shots}"
        publish("bf16", text, command=command)
    else:
        print(text)


def _models(base: str, instruct: str) -> list[Any]:
    """The scorers, all with the weights of λ = ½ in bf16 (the last one computes in fp32)."""
    common: dict[str, Any] = {"pretrained": base, "instruct": instruct, "lam": 0.5, "device": "cpu"}
    ours = PartiallyAdaptedLM(dtype="bfloat16", **common)
    exact = PartiallyAdaptedLM(dtype="float32", **common)
    with torch.no_grad():
        for target, source in zip(exact.model.parameters(), ours.model.parameters(), strict=True):
            target.copy_(source)
    same: dict[str, Any] = {"pretrained": ours.model, "tokenizer": ours.tokenizer}
    fp32: dict[str, Any] = {**same, "softmax_dtype": "float32"}
    hf = [HFLM(batch_size=1, **fp32), HFLM(batch_size=8, **fp32), HFLM(batch_size=1, **same)]
    return [ours, *hf, exact]


def _by_document(requests: list[Any], answers: list[Any]) -> list[np.ndarray[Any, Any]]:
    """Per document the log-likelihoods of its options, [options]."""
    found: dict[int, list[float]] = {}
    for request, answer in zip(requests, answers, strict=True):
        found.setdefault(request.doc_id, []).append(answer[0])
    return [np.array(each) for each in found.values()]


def _agreement(scores: Scores) -> list[str]:
    """For each pair of scorers the documents with the same choice, in percent."""
    choices = np.array([[each.argmax() for each in one] for one in scores])
    return [f"{100 * (choices[a] == choices[b]).mean():.1f}" for a, b in _PAIRS]


def _noise(scores: Scores, scorer: int) -> tuple[float, float]:
    """Median and largest change that bf16 makes in the difference of two options, against fp32."""
    change = [
        abs(float((after - before) - (after_exact - before_exact)))
        for one, exact in zip(scores[scorer], scores[4], strict=True)
        for (before, after), (before_exact, after_exact) in zip(
            pairwise(one), pairwise(exact), strict=True
        )
    ]
    return float(np.median(change)), max(change)


def _apart(name: str, scores: Scores) -> list[list[str]]:
    """The documents in which ours and hf choose other options, with the two options' gaps."""
    rows = []
    for number, each in enumerate(zip(*scores, strict=True)):
        first, second = int(each[0].argmax()), int(each[1].argmax())
        if first != second:
            gaps = [abs(float(one[first] - one[second])) for one in each]
            rows.append([f"{name} {number}", *(f"{gaps[at]:.3f}" for at in (0, 1, 4))])
    return rows


def _about(description: str, shots: int, scores: Scores) -> str:
    ours, hf = _noise(scores, 0), _noise(scores, 1)
    return (
        f"{'; '.join(description.splitlines())}; λ = ½, {shots} shots. Percent of documents with "
        "the same choice (highest log-likelihood). hf scores one request at a time; its softmax is "
        "in bf16 unless asked (`softmax_dtype=float32`), ours in fp32. The last columns are "
        "against fp32 all the way with the same, rounded, weights. Against "
        f"fp32, bf16 changes the difference of two options by {ours[0]:.3f} (median) and at most "
        f"{ours[1]:.2f} nats (ours), {hf[0]:.3f} and {hf[1]:.2f} (hf)."
    )


def _gaps(apart: list[list[str]]) -> str:
    if not apart:
        return "Ours and hf choose the same option everywhere."
    first = "ours and hf (softmax in fp32) choose otherwise in"
    head = (first, "gap of the two options, ours", "hf", "fp32")
    return table(head, apart)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS), help="lm-eval's task names")
    parser.add_argument("--documents", type=int, default=50, help="documents per task")
    parser.add_argument("--shots", type=int, default=0, help="examples in every prompt")
    add_data(parser)
    parser.add_argument("--no-publish", dest="publish", action="store_false", help="print only")
    add_options(parser)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main(parser.parse_args())
