"""Rows of forked caches against ``--model hf``, and against the plan of a plain decoder.

    python -m benchmarks.hybrids --data FOLDER --documents 160 --stock_documents 2

Random models, tiny but as deep as real ones, of three kinds: gated delta rule (Qwen 3.5), Mamba-2
(Granite 4 H) and short convolutions (LFM2); a tokenizer of 8192 words made of the task's texts. hf
scores the first few documents, its time scaled up by tokens, as in `benchmarks.prefix`. Tokens are
those that went through the model, padding and what was computed again included, per distinct one,
which is what a plain decoder computes.
"""

from __future__ import annotations

import argparse
import logging
from statistics import median
from typing import Any

import torch
import transformers
from lm_eval.models.huggingface import HFLM

from benchmarks.prefix import agreement, timed, work
from benchmarks.support.places import against_hf, working_directory
from benchmarks.support.prefix_tasks import requests_of
from benchmarks.support.random_pair import tokenizer_for
from benchmarks.support.report import publish, table
from pa_harness.models.prefix_sharing import PrefixSharingLM

_TASK, _SHOTS = "arc_challenge", (5, 16)
_WORDS = 8192
_WIDTH = {"vocab_size": _WORDS, "hidden_size": 64, "intermediate_size": 192}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 8192}
_DELTA = {
    **{"head_dim": 16, "linear_key_head_dim": 16, "linear_value_head_dim": 16},
    **{"linear_num_key_heads": 4, "linear_num_value_heads": 4, "num_hidden_layers": 24},
}
_MAMBA = {
    **{"mamba_n_heads": 8, "mamba_d_state": 16, "mamba_chunk_size": 64, "num_hidden_layers": 24},
    **{"num_local_experts": 0, "shared_intermediate_size": 192},
    "layer_types": (["linear_attention"] * 5 + ["full_attention"]) * 4,
}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen 3.5, 24 layers": ("Qwen3_5ForCausalLM", _DELTA),
    "Granite 4 H, 24 layers": ("GraniteMoeHybridForCausalLM", _MAMBA),
    "LFM2, 16 layers": (
        "Lfm2ForCausalLM",
        {"num_hidden_layers": 16, "full_attn_idxs": [2, 5, 8, 10, 12, 14]},
    ),
}
_HEAD = ("", "shots", "documents", "tokens / distinct", "hf's tokens / ours", "wall: hf / ours")
_HEAD += ("CPU: hf / ours", "max difference", "same")


def main(given: argparse.Namespace) -> None:
    """Measure, and publish the table."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with working_directory(given.data):
        asked = {n: requests_of([_TASK], n, "first_n", given.documents)[_TASK] for n in _SHOTS}
    texts = [request.args[0] for request in asked[_SHOTS[-1]]]
    tokenizer = tokenizer_for(texts, _WORDS)
    rows = []
    for kind, (name, settings) in KINDS.items():
        torch.manual_seed(0)
        cls = getattr(transformers, name)
        config = cls.config_class(**_WIDTH, **_HEADS, **settings, eos_token_id=1, pad_token_id=2)
        model = cls(config).eval()
        common: dict[str, Any] = {"pretrained": model, "tokenizer": tokenizer, "max_length": 8192}
        ours = PrefixSharingLM(**common, batch_size=1)
        stock = HFLM(**common, batch_size=given.batch_size)
        ours.loglikelihood(asked[_SHOTS[0]][:1], disable_tqdm=True)  # the trial comes before
        for shots, requests in asked.items():
            rows.append([kind, str(shots), *_row(ours, stock, requests, given)])
            print(rows[-1], flush=True)
    text = (
        f"{_TASK}, fp32; hf with batch size {given.batch_size} on the first "
        f"{given.stock_documents} documents, ours on all; medians of {given.rounds} rounds in "
        f"turns, hf's scaled up. Differences in nats.\n\n{table(_HEAD, rows)}"
    )
    if given.publish:
        command = f"python -m benchmarks.hybrids --documents {given.documents}"
        publish("hybrids", text, command=f"{command} --stock_documents {given.stock_documents}")
    else:
        print(text)


def _row(ours: Any, stock: Any, requests: list[Any], given: argparse.Namespace) -> list[str]:
    documents = sorted({request.doc_id for request in requests})
    few = [r for r in requests if r.doc_id in set(documents[: given.stock_documents])]
    left, right = [], []
    for _ in range(given.rounds):
        right.append(timed(ours, requests))
        left.append(timed(stock, few))
    counts = ours.sharing_info()["prefix_sharing"]["loglikelihood"]
    factor = work(ours, requests) / work(ours, few)
    wall = factor * median(each.wall for each in left) / median(each.wall for each in right)
    cpu = factor * median(each.cpu for each in left) / median(each.cpu for each in right)
    index = {id(request): number for number, request in enumerate(requests)}
    found = [right[-1].answers[index[id(request)]] for request in few]
    return [
        str(len(documents)),
        f"{counts['computed'] / counts['distinct']:.2f}",
        f"{counts['stock'] / counts['computed']:.1f}",
        *(f"{wall:.1f}", f"{cpu:.1f}"),
        *agreement(few, found, left[-1].answers),
    ]


if __name__ == "__main__":
    main(against_hf(__doc__, 160, 2).parse_args())
