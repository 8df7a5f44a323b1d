"""Are shared prefixes ``hf``'s answers? ``python -m benchmarks.equality --data FOLDER``.

fp32, the real pair at λ = ½, one process. Log-likelihoods of six tasks and short texts with the
real model; long texts with a random Llama of four layers, whose texts do not end by themselves.
``hf`` takes an hour on two cores: with ``--rows FOLDER`` every finished row is kept there, and a
run that was cut off goes on behind it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from benchmarks.support.places import REPOSITORY, add_data, working_directory
from benchmarks.support.prefix_tasks import requests_of
from benchmarks.support.real_pair import add_options, real_pair
from benchmarks.support.report import publish, table
from pa_harness.models.hf import PartiallyAdaptedLM

sys.path.insert(0, str(REPOSITORY / "tests" / "support"))
from families import make_model, save

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = ("openbookqa", "winogrande", "commonsense_qa", "sst2", "piqa", "copa")
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
    rows = [
        _kept(given, name, lambda n=name, r=requests: _scored(n, ours, stock, r))
        for name, requests in asked.items()
    ]
    documents, worst = sum(int(row[1]) for row in rows), max(float(row[3]) for row in rows)
    same = [
        _kept(given, "short", lambda: _texts("nq_open, 5 shots", ours, stock, short)),
        _kept(given, "long", _long),
    ]
    head = (
        "task",
        "documents",
        "requests",
        "largest difference, nats",
        "same choice",
        "same greedy",
    )
    of_texts = ("texts", "prompts", "tokens, encoded again", "equal")
    text = (
        f"{'; '.join(pair.description.splitlines())}; λ = ½, fp32, {_SHOTS} shots; hf with batch "
        f"size {given.batch_size}. {documents} documents, largest difference {worst:.1e} nats.\n\n"
        f"{table(head, rows)}\n\n{table(of_texts, same)}"
    )
    if given.publish:
        publish(
            "equality", text, command=f"python -m benchmarks.equality --documents {given.documents}"
        )
    else:
        print(text)


def _kept(given: argparse.Namespace, name: str, make: Callable[[], list[str]]) -> list[str]:
    """A row, made or read."""
    file = given.rows / f"{name}-{given.documents}.json" if given.rows else None
    row: list[str] = json.loads(file.read_text()) if file and file.exists() else make()
    print(row, flush=True)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(row))
    return row


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


def _long() -> list[str]:
    """Fifty answers of 512 tokens, of a model that never ends."""
    arguments: dict[str, Any] = {"lam": 0.5, "dtype": "float32", "device": "cpu", "batch_size": 1}
    with tempfile.TemporaryDirectory() as place:
        for seed, side in enumerate(("pretrained", "instruct")):
            model = make_model(
                "llama", seed=seed, num_hidden_layers=4, max_position_embeddings=1024
            )
            arguments[side] = str(save(model, Path(place) / side))
        lm = PartiallyAdaptedLM(**arguments)
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
    parser.add_argument("--rows", type=Path, help="folder of finished rows")
    add_data(parser)
    parser.add_argument("--no-publish", dest="publish", action="store_false", help="print only")
    add_options(parser)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main(parser.parse_args())
