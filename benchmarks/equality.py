"""Are shared prefixes ``hf``'s answers? ``python -m benchmarks.equality --data FOLDER``.

fp32, the real pair at λ = ½, one process. Log-likelihoods of six tasks and short texts with the
real model; long texts with a random Llama of four layers too, whose texts do not end by themselves.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from benchmarks.support.places import REPOSITORY, add_data, working_directory
from benchmarks.support.prefix_tasks import requests_of
from benchmarks.support.real_pair import add_options, real_pair
from benchmarks.support.report import publish, table
from pa_harness.models.hf import PartiallyAdaptedLM

sys.path.insert(0, str(REPOSITORY / "tests" / "support"))
from families import make_model, save

TASKS = ("arc_challenge", "openbookqa", "piqa", "commonsense_qa", "winogrande", "sst2")
_SHOTS = 0
_SHORT, _LONG, _TOKENS = 150, 50, 512  # prompts of short and of long answers; tokens of a long one


def main(given: argparse.Namespace) -> None:
    """Compare, and publish the tables."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    pair = real_pair(given)
    common: dict[str, Any] = {"dtype": "float32", "device": "cpu", "batch_size": given.batch_size}
    ours = PartiallyAdaptedLM(pretrained=pair.base, instruct=pair.instruct, lam=0.5, **common)
    stock = HFLM(pretrained=ours.model, tokenizer=ours.tokenizer, batch_size=given.batch_size)
    with working_directory(given.data):
        asked = {
            name: requests_of([name], _SHOTS, "first_n", given.documents)[name] for name in TASKS
        }
        short = requests_of(["nq_open"], 5, "first_n", _SHORT)["nq_open"]
    rows, documents, worst = [], 0, 0.0
    for name, requests in asked.items():
        rows.append(_scored(name, ours, stock, requests))
        documents, worst = documents + int(rows[-1][1]), max(worst, float(rows[-1][3]))
        print(rows[-1], flush=True)
    same = [_texts("nq_open, 5 shots", ours, stock, short)]
    print(same[0], flush=True)
    with tempfile.TemporaryDirectory() as place:
        same.append(_long(Path(place)))
    head = (
        "task",
        "documents",
        "requests",
        "largest difference, nats",
        "same choice",
        "same greedy",
    )
    text = (
        f"{'; '.join(pair.description.splitlines())}; λ = ½, fp32, {_SHOTS} shots; hf with batch "
        f"size {given.batch_size}. {documents} documents, largest difference {worst:.1e} nats.\n\n"
        f"{table(head, rows)}\n\n{table(('texts', 'prompts', 'tokens', 'equal'), same)}"
    )
    if given.publish:
        publish(
            "equality", text, command=f"python -m benchmarks.equality --documents {given.documents}"
        )
    else:
        print(text)


def _scored(name: str, ours: Any, stock: Any, requests: list[Any]) -> list[str]:
    found = [lm.loglikelihood(requests, disable_tqdm=True) for lm in (ours, stock)]
    worst = max(abs(a[0] - b[0]) for a, b in zip(*found, strict=True))
    greedy = sum(a[1] == b[1] for a, b in zip(*found, strict=True))
    options: dict[int, list[tuple[float, float]]] = {}
    for request, (a, _), (b, _) in zip(requests, *found, strict=True):
        options.setdefault(request.doc_id, []).append((a, b))
    same = 0
    for pairs in options.values():
        left, right = zip(*pairs, strict=True)
        same += left.index(max(left)) == right.index(max(right))
    counts = [str(len(options)), str(len(requests))]
    return [name, *counts, f"{worst:.1e}", f"{same}/{len(options)}", f"{greedy}/{len(requests)}"]


def _texts(name: str, ours: Any, stock: Any, requests: list[Any]) -> list[str]:
    found = []
    for lm in (ours, stock):
        begin = time.perf_counter()
        found.append(lm.generate_until(requests, disable_tqdm=True))
        print(f"{name}: {time.perf_counter() - begin:.0f} s", flush=True)
    equal = sum(a == b for a, b in zip(*found, strict=True))
    tokens = sum(len(ours.tok_encode(text)) for text in found[0])
    return [name, str(len(requests)), str(tokens), f"{equal}/{len(requests)}"]


def _long(folder: Path) -> list[str]:
    """Fifty answers of 512 tokens, of a model that never ends."""
    model = make_model("llama", seed=1, num_hidden_layers=4, max_position_embeddings=1024)
    where = str(save(model, folder / "random"))
    lm = PartiallyAdaptedLM(
        pretrained=where, instruct=where, lam=0.5, dtype="float32", device="cpu", batch_size=1
    )
    lm.model.generation_config.eos_token_id = None
    stock = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=1)
    options = {"until": ["@@@@"], "max_gen_toks": _TOKENS}
    asked = [
        Instance("generate_until", {}, (f"Question {n * n}: which of {n}?\nAnswer:", options), n)
        for n in range(_LONG)
    ]
    return _texts(f"a random Llama, {_TOKENS} tokens", lm, stock, asked)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=84, help="documents per task")
    parser.add_argument("--batch_size", type=int, default=1, help="of hf (default: its own)")
    add_data(parser)
    parser.add_argument("--no-publish", dest="publish", action="store_false", help="print only")
    add_options(parser)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main(parser.parse_args())
