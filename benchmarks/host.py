"""What the host does while a device would compute: ``python -m benchmarks.host --data FOLDER``.

A Llama of two layers, so small that the host is all there is. The engine runs as on an accelerator
(passes of 8,192 tokens, few shapes, steps ahead), on the CPU: what is counted is the same there.
Times are CPU seconds of the CPU's own settings, against ``hf`` in the same process. Last, long
prompts decode in less memory than they would take together.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from lm_eval.models.huggingface import HFLM
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.support.places import REPOSITORY, against_hf, working_directory
from benchmarks.support.prefix_tasks import requests_of
from benchmarks.support.random_pair import WORDS, make_pair, tokenizer_for
from benchmarks.support.report import publish, table
from pa_harness.models.hf import PartiallyAdaptedLM
from pa_harness.models.texts import Texts
from pa_harness.prefixes.decoding.generation import Asked, continuations
from pa_harness.prefixes.limits import Limits
from pa_harness.prefixes.reading import Reader

sys.path.insert(0, str(REPOSITORY / "tests" / "support"))
from live_bytes import LiveBytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CASES = [  # what, task, shots, sampler
    ("cloze, 4 options, 5 shots", "arc_challenge", 5, "first_n"),
    ("cloze, 4 options, 16 shots", "arc_challenge", 16, "first_n"),
    ("letters, 5 shots", "commonsense_qa", 5, "first_n"),
    ("random shots, 5", "arc_challenge", 5, "default"),
    ("short answers, 5 shots", "nq_open", 5, "first_n"),
]
_HEAD = (
    *("", "requests", "texts given / distinct", "waits per pass", "shapes", "passes"),
    *("attention computed / needed", "second λ / the model's own", "CPU: hf / first call"),
    "CPU: hf / second λ",
)
_WAITS = ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "nonzero")
_SHAPE = {
    **{"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "vocab_size": WORDS,
}
_DECODING = (64, 512)  # rows and tokens
_LONG = (64, 8000, 64)  # prompts, tokens of each, new ones
_BUDGET = 8_000_000_000  # bytes, of a model
_OF_1B = 32_768  # bytes that Llama-3.2-1B keeps of a token, in 16 bits


def main(given: argparse.Namespace) -> None:
    """Measure, and publish the tables."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with working_directory(given.data):
        asked = {
            case: requests_of([case[1]], *case[2:], given.documents)[case[1]] for case in CASES
        }
    with tempfile.TemporaryDirectory() as place:
        pair = _pair(Path(place), [r.args[0] for each in asked.values() for r in each])
        rows = [_row(case[0], requests, pair, given) for case, requests in asked.items()]
        decoding = _decoding(pair)
    text = (
        "A random Llama of 2 layers, hidden size 128, 24,000 words, fp32. Counts as on an "
        "accelerator: texts that the tokenizer was given per distinct one; waits for values of "
        "the device per forward pass; shapes that the model met; entries of attention. Times in "
        "CPU seconds: a second λ against the forward passes, log-softmax and arg-max in it; hf "
        f"with batch size {given.batch_size} on the first {given.stock_documents} documents, "
        f"scaled by requests, medians of {given.rounds}.\n\n{table(_HEAD, rows)}\n\n{decoding}\n\n"
        f"{long_prompts(*_LONG)}"
    )
    command = f"python -m benchmarks.host --documents {given.documents}"
    if given.publish:
        publish("host", text, command=command)
    else:
        print(text)


def _pair(folder: Path, texts: list[str]) -> dict[str, str]:
    """A random pair with a tokenizer of its own; the arguments that name it."""
    return make_pair(folder, _SHAPE, tokenizer_for(texts), torch.float32)


def _model(pair: dict[str, str], *, accelerator: bool) -> PartiallyAdaptedLM:
    lm = PartiallyAdaptedLM(**pair, lam=0, dtype="float32", device="cpu", batch_size=1)
    if accelerator:
        limits = Limits.accelerator(lm.model, 80_000_000_000)
        lm.reader = Reader(lm.model, lm.device, limits)
    return lm


def _row(
    name: str, requests: list[Any], pair: dict[str, str], given: argparse.Namespace
) -> list[str]:
    kind = requests[0].request_type
    lm = _model(pair, accelerator=True)
    ask: Callable[..., Any] = getattr(lm, kind)
    ask(requests[:2], disable_tqdm=True)  # the trial
    known = lm.texts.given
    others = [r for r in requests if r.args[0] != requests[0].args[0]]
    with _waits() as waits:
        ask(others, disable_tqdm=True)
    counts = lm.sharing_info()["prefix_sharing"][kind]
    texts = {r.args[0].rstrip() for r in others}
    if kind == "loglikelihood":
        texts |= {"".join(r.args) for r in others}
    cells = [
        name,
        str(len(others)),
        f"{(lm.texts.given - known) / len(texts):.2f}",
        f"{waits[0] / counts['passes']:.2f}",
        str(counts["shapes"]),
        str(counts["passes"]),
        f"{counts['attended'] / counts['needed']:.2f}",
    ]
    return [*cells, *_times(requests, pair, given)]


def _times(requests: list[Any], pair: dict[str, str], given: argparse.Namespace) -> list[str]:
    kind = requests[0].request_type
    documents = sorted({r.doc_id for r in requests})[: given.stock_documents]
    few = [r for r in requests if r.doc_id in documents]
    first, second, own, stock = [], [], [], []
    for number in range(given.rounds):
        lm = _model(pair, accelerator=False)
        lm.texts = Texts()  # not what the round before knew
        getattr(lm, kind)(few[:1], disable_tqdm=True)
        first.append(_seconds(lambda lm=lm: getattr(lm, kind)(requests, disable_tqdm=True)))
        lm.set_lam(0.5 + 0.1 * number)
        with _inside(lm.model) as inside:
            second.append(_seconds(lambda lm=lm: getattr(lm, kind)(requests, disable_tqdm=True)))
        own.append(inside[0])
        hf = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=given.batch_size)
        stock.append(
            _seconds(lambda hf=hf: getattr(hf, kind)(few, disable_tqdm=True))
            * (len(requests) / len(few))
        )
    return [
        f"{median(b / c for b, c in zip(second, own, strict=True)):.2f}",
        f"{median(stock) / median(first):.1f}",
        f"{median(stock) / median(second):.1f}",
    ]


def _decoding(pair: dict[str, str]) -> str:
    """Rows that decode for long: what their attention costs."""
    from lm_eval.api.instance import Instance

    rows, tokens = _DECODING
    lm = _model(pair, accelerator=True)
    options = {"until": ["\0"], "max_gen_toks": tokens}
    asked = [
        Instance("generate_until", {}, (f"Question {n}: what is {n} of them?\nAnswer:", options), n)
        for n in range(rows)
    ]
    lm.model.generation_config.eos_token_id = None
    seconds = _seconds(lambda: lm.generate_until(asked, disable_tqdm=True))
    counts = lm.sharing_info()["prefix_sharing"]["generate_until"]
    return (
        f"Decoding {rows} rows × {tokens} tokens: {counts['attended'] / counts['needed']:.2f} "
        f"entries of attention computed per entry needed, {counts['shapes']} shapes, "
        f"{counts['passes']} passes, {1000 * seconds / counts['passes']:.1f} ms of CPU time each."
    )


def long_prompts(count: int, length: int, new: int) -> str:
    """Prompts without a common word: what their slots may take, and what is alive at most."""
    shape = {**_SHAPE, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = LlamaConfig(**{**shape, "max_position_embeddings": length + new})
    model = LlamaForCausalLM(config).eval()
    cpu = torch.device("cpu")
    slot = Reader.of(model, cpu).slot_bytes
    limits = Limits.accelerator(model, _BUDGET)
    limits = replace(limits, kept=limits.kept * slot // _OF_1B)
    reader = Reader(model, cpu, limits)
    prompts = torch.randint(1, WORDS, (count, length)).tolist()
    with LiveBytes() as live:
        found = dict(continuations(reader, Asked(prompts, new, frozenset(), lambda _: False)))
    if any(len(tokens) != new for tokens in found.values()) or len(found) != count:
        raise RuntimeError("a prompt was not finished")
    stated = limits.kept + limits.pass_bytes(model)
    together = count * (length + new) * slot
    mb = 1_000_000
    return (
        f"{count} prompts of {length:,} tokens, {new} new ones each, where weights leave "
        f"{_BUDGET / 1e9:.0f} GB (a Llama of one layer that keeps {_OF_1B // slot} times less of a "
        f"token than Llama-3.2-1B in bf16; what may be kept, half, is as much less: "
        f"{limits.kept / mb:.0f} MB): all finished. Together they would keep {together / mb:.0f} "
        f"MB; at most {live.most / mb:.0f} MB were alive, of {stated / mb:.0f} MB stated (kept, "
        f"and a pass of {limits.tokens:,} tokens with its logits); "
        f"{reader.counts.computed / count / length:.3f} tokens computed per token of the prompts."
    )


def _seconds(call: Callable[[], Any]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


@contextmanager
def _inside(model: Any) -> Iterator[list[float]]:
    """CPU seconds in what a device would compute: forward passes, log-softmax, arg-max."""
    spent = [0.0]

    def timed(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            begin = time.process_time()
            found = function(*args, **kwargs)
            spent[0] += time.process_time() - begin
            return found

        return call

    before = {name: getattr(torch.Tensor, name) for name in ("log_softmax", "argmax")}
    model.forward = timed(model.forward)
    for name, method in before.items():
        setattr(torch.Tensor, name, timed(method))
    try:
        yield spent
    finally:
        del model.forward
        for name, method in before.items():
            setattr(torch.Tensor, name, method)


@contextmanager
def _waits() -> Iterator[list[int]]:
    """How often the host asks for values of a tensor."""
    count, before = [0], {name: getattr(torch.Tensor, name) for name in _WAITS}

    def counted(method: Any) -> Any:
        def call(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            return method(self, *args, **kwargs)

        return call

    for name, method in before.items():
        setattr(torch.Tensor, name, counted(method))
    try:
        yield count
    finally:
        for name, method in before.items():
            setattr(torch.Tensor, name, method)


if __name__ == "__main__":
    main(against_hf(__doc__, 100, 8).parse_args())
