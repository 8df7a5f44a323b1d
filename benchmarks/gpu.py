"""One GPU: where the time goes, against ``hf``. ``python -m benchmarks.gpu --data FOLDER 1b 8b``.

Random Llamas of real shapes in bf16, lm-eval's own tasks, one process: scoring, generation, a
change of λ; each also as a share of what the card was measured to do (matrix products, copies).
`hf` answers the first documents only, scaled by requests. Six minutes for the two shapes.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from benchmarks.support.places import add_data, working_directory
from benchmarks.support.prefix_tasks import requests_of
from benchmarks.support.random_pair import make_pair, tokenizer_for
from benchmarks.support.report import publish, table
from pa_harness.models.hf import PartiallyAdaptedLM

if TYPE_CHECKING:
    from collections.abc import Callable

    Asked = dict[str, list[Any]]

SHAPES: dict[str, dict[str, Any]] = {
    "1b": {  # Llama-3.2-1B
        **{"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16},
        **{"num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": True},
    },
    "8b": {  # Llama-3.1-8B
        **{"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32},
        **{"num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": False},
    },
}
_VOCABULARY, _THETA = 128_256, 500_000.0
CASES = [  # what, task, shots, sampler
    ("cloze, 5 shots", "arc_challenge", 5, "first_n"),
    ("cloze, 16 shots", "arc_challenge", 16, "first_n"),
    ("letters, 5 shots", "commonsense_qa", 5, "first_n"),
    ("random shots, 5", "arc_challenge", 5, "default"),
]
_LAMS = (0.1, 0.3, 0.6, 0.5)
_SCORING = (
    *("", "tokens", "first call, s", "second λ, s", "hf, s", "hf / first", "hf / second"),
    *("11 λ / one hf", "share of the matrix rate", "attention computed / needed", "shapes"),
    "largest difference",
)
_GENERATION = ("", "prompts × tokens", "s", "tokens / s", "share of the limit", "hf, tokens / s")


def main(given: argparse.Namespace) -> None:
    """Measure, and publish the tables."""
    if not torch.cuda.is_available():
        sys.exit("benchmarks.gpu needs a CUDA device; benchmarks.host counts without one.")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    torch.set_grad_enabled(False)
    rate, copied = _matrix_rate(), _copy_rate()
    with working_directory(given.data):
        asked: Asked = {
            case[0]: requests_of([case[1]], *case[2:], given.documents)[case[1]] for case in CASES
        }
        asked["short answers"] = requests_of(["nq_open"], 5, "first_n", 256)["nq_open"]
    texts = [request.args[0] for each in asked.values() for request in each]
    tokenizer = tokenizer_for(texts)
    parts = [
        f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}: {rate / 1e12:.0f} TFLOP/s in "
        f"a bf16 product of 8192 × 8192, {copied / 1e9:.0f} GB/s read in copies. Random Llamas, "
        f"bf16, {given.documents} documents; hf on {given.stock_documents}, batch size 32, scaled; "
        "second λ without the change itself."
    ]
    for name in given.shapes or SHAPES:
        with tempfile.TemporaryDirectory(dir=given.scratch) as place:
            parts += _shape(name, Path(place), asked, tokenizer, (rate, copied), given)
        print("\n\n".join(parts), flush=True)
    command = f"python -m benchmarks.gpu {' '.join(given.shapes)} --documents {given.documents}"
    publish("gpu", "\n\n".join(parts), command=command)


def _shape(
    name: str,
    folder: Path,
    asked: Asked,
    tokenizer: Any,
    rates: tuple[float, float],
    given: argparse.Namespace,
) -> list[str]:
    """The tables of one shape."""
    shape = {**SHAPES[name], "vocab_size": _VOCABULARY, "rope_theta": _THETA}
    pair = make_pair(folder, shape, tokenizer, torch.bfloat16, "cuda")
    common: dict[str, Any] = {**pair, "dtype": "bfloat16", "device": "cuda", "batch_size": 32}
    load, lm = _timed(lambda: PartiallyAdaptedLM(**common, lam=0.5))
    weights = sum(each.nbytes for each in lm.model.parameters())
    embedded = lm.model.get_input_embeddings().weight.numel()
    flops = 2 * (weights // 2 - embedded * (1 if shape["tie_word_embeddings"] else 2))
    lm.loglikelihood([Instance("loglikelihood", {}, ("Question:", " yes"), 0)], disable_tqdm=True)
    change = min(_timed(partial(lm.set_lam, lam))[0] for lam in _LAMS)
    stock = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=32)
    scoring = []
    for case in (case[0] for case in CASES):
        scoring.append([case, *_scoring(lm, stock, asked[case], flops / rates[0], given)])
        print(scoring[-1], flush=True)
    limit = rates[1] / weights  # steps per second, if weights are all that is read
    generation = [
        [f"{what}", *_generation(lm, stock, requests, limit)]
        for what, requests in (("short answers", asked["short answers"]), ("chat", _chat(64, 128)))
    ]
    del lm, stock  # the next model needs their memory
    gc.collect()
    torch.cuda.empty_cache()
    memory, kept = _timed(lambda: PartiallyAdaptedLM(**common, lam=0.5, keep="memory"))
    again = min(_timed(partial(kept.set_lam, lam))[0] for lam in _LAMS)
    del kept
    gc.collect()
    torch.cuda.empty_cache()
    return [
        f"**{name}**, {weights / 1e9:.2f} GB. Load {load:.1f} s, with both ends {memory:.1f} s; a "
        f"change of λ {change:.2f} s from files, {again:.3f} s from memory.",
        table(_SCORING, scoring),
        table(_GENERATION, generation),
    ]


def _scoring(
    lm: PartiallyAdaptedLM, stock: HFLM, requests: list[Any], least: float, given: Any
) -> list[str]:
    """`least` is the seconds that a token takes at the measured matrix rate."""
    documents = set(sorted({r.doc_id for r in requests})[: given.stock_documents])
    few = [r for r in requests if r.doc_id in documents]
    stock.loglikelihood(few[:64], disable_tqdm=True)
    theirs, expected = _timed(lambda: stock.loglikelihood(few, disable_tqdm=True))
    theirs *= len(requests) / len(few)
    first, found = _timed(lambda: lm.loglikelihood(requests, disable_tqdm=True))
    second, _ = _timed(lambda: lm.loglikelihood(requests, disable_tqdm=True))
    counts = lm.sharing_info()["prefix_sharing"]["loglikelihood"]
    place = {id(request): number for number, request in enumerate(requests)}
    worst = max(
        abs(found[place[id(request)]][0] - value[0])
        for request, value in zip(few, expected, strict=True)
    )
    return [
        *(str(counts["computed"]), f"{first:.2f}", f"{second:.2f}", f"{theirs:.1f}"),
        *(f"{theirs / first:.1f}", f"{theirs / second:.1f}"),
        f"{(first + 10 * second) / theirs:.2f}",
        f"{100 * counts['computed'] * least / second:.0f}%",
        f"{counts['attended'] / counts['needed']:.2f}",
        *(str(counts["shapes"]), f"{worst:.2g}"),
    ]


def _generation(
    lm: PartiallyAdaptedLM, stock: HFLM, requests: list[Any], limit: float
) -> list[str]:
    seconds = min(
        _timed(lambda: lm.generate_until(requests, disable_tqdm=True))[0] for _ in range(2)
    )
    counts = lm.sharing_info()["prefix_sharing"]["generate_until"]
    tokens = counts["decoded"] + len(requests)
    rows = min(len(requests), lm.reader.limits.rows)
    few = requests[:64]
    theirs, texts = _timed(lambda: stock.generate_until(few, disable_tqdm=True))
    decoded = sum(len(lm.tok_encode(text)) for text in texts)
    return [
        *(f"{len(requests)} × {tokens / len(requests):.0f}", f"{seconds:.2f}"),
        f"{tokens / seconds:.0f}",
        f"{100 * tokens / seconds / (limit * rows):.0f}%",
        f"{decoded / theirs:.0f}",
    ]


def _chat(prompts: int, tokens: int) -> list[Any]:
    """Prompts whose answers go on for so many tokens."""
    options = {"until": ["\0"], "max_gen_toks": tokens}
    return [
        Instance(
            "generate_until", {}, (f"Question {n}: explain {n} at length.\nAnswer:", options), n
        )
        for n in range(prompts)
    ]


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    torch.cuda.synchronize()
    begin = time.perf_counter()
    found = call()
    torch.cuda.synchronize()
    return time.perf_counter() - begin, found


def _matrix_rate() -> float:
    """FLOP per second of a bf16 product."""
    size = 8192
    one = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    one @ one
    seconds, _ = _timed(lambda: [one @ one for _ in range(10)])
    return 10 * 2 * size**3 / seconds


def _copy_rate() -> float:
    """Bytes read per second by a copy on the device, which writes as many: reads alone are half."""
    one = torch.empty(1 << 30, device="cuda", dtype=torch.uint8)
    other = torch.empty_like(one)
    seconds, _ = _timed(lambda: [other.copy_(one) for _ in range(10)])
    return 10 * 2 * one.nbytes / seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", help=f"of {', '.join(SHAPES)} (default: all)")
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--stock_documents", type=int, default=32, help="documents hf answers")
    parser.add_argument("--scratch", help="folder for the pairs (8b: 32 GB; /dev/shm is fast)")
    add_data(parser)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    main(parser.parse_args())
