"""Loading θ_λ and changing λ: time and memory, against mergekit and against two models in memory.

``python -m benchmarks.weights [--rounds N] [--delete]``
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from benchmarks.support.measure import Phase, measured, medians
from benchmarks.support.mergekit_environment import MERGEKIT, mergekit_python
from benchmarks.support.places import cache_folder
from benchmarks.support.report import publish, table
from benchmarks.support.synthetic import PAIR, large_pair

_LAM = "0.3"
_LOADING = {
    "weights": "**pa-harness, weights**",
    "whole": "pa-harness, whole `PartiallyAdaptedLM(...)`",
    "both": "both models in memory, bf16 (as wise-ft, LM-Cocktail)",
    "merge": f"mergekit {MERGEKIT} linear, to disk",
    "load": "… then `from_pretrained` of the result",
}


def main(rounds: int, *, delete: bool) -> None:
    """Measure, and publish the tables."""
    base, instruct = map(str, large_pair())
    one_model = sum(file.stat().st_size for file in Path(base).glob("*.safetensors"))
    found: dict[str, list[Phase]] = {}
    options, switching = [], []
    for number in range(rounds):
        print(f"weights: round {number + 1} of {rounds}", flush=True)
        arms = [
            *_arm("weights", base, instruct),
            *_merged(mergekit_python(), base, instruct),
            *_arm("both", base, instruct),
            *_arm("whole", base, instruct),
        ]
        for phase in arms:
            found.setdefault(phase.name, []).append(phase)
        options.append(_arm("options", base, instruct))
        kept = (_arm("switching", base, instruct), _arm("switching_memory", base, instruct))
        switching.append(kept)
    text = "\n\n".join(
        [
            f"Llama, {one_model / 2e9:.3f} billion parameters, bf16, three shards of a side, one "
            f"model = {one_model / 1e9:.2f} GB. Medians of {rounds} interleaved rounds, every arm "
            "in a fresh process, files in the page cache, imports excluded. Memory: peak of "
            "anonymous memory over the process's own floor, in models.",
            _loading_table(found, one_model),
            "Single features: the same load, one thing changed (one process per round).",
            _options_table(options, one_model),
            "Changing λ in place (`set_lam_`), against plain copies of the same bytes (both ends, "
            "or one) to the same place, and against `torch.lerp` alone; five changes a process.",
            _switching_table(switching),
        ]
    )
    publish("weights", text, command=f"python -m benchmarks.weights --rounds {rounds}")
    if delete:
        shutil.rmtree(cache_folder() / PAIR)


def _arm(name: str, base: str, instruct: str) -> list[Phase]:
    _warm(base, instruct)
    return measured("benchmarks.support.weights_worker", name, base, instruct)


def _warm(*folders: str) -> None:
    """Read the files, so that every arm finds them in the page cache (systems do evict it)."""
    for folder in folders:
        for file in Path(folder).glob("*.safetensors"):
            with file.open("rb") as stream:
                while stream.read(1 << 24):
                    pass


def _merged(python: str, base: str, instruct: str) -> list[Phase]:
    """The arm of mergekit: merge to disk, then load from there."""
    worker = "benchmarks.support.mergekit_worker"
    _warm(base, instruct)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as out:
        return [
            *measured(worker, "merge", base, instruct, _LAM, "bfloat16", out, python=python),
            *measured(worker, "load", out, python=python),
        ]


def _loading_table(found: dict[str, list[Phase]], one_model: int) -> str:
    ours, merge, load = (medians(found[name]) for name in ("weights", "merge", "load"))
    rows = [_row(label, medians(found[name]), ours, one_model) for name, label in _LOADING.items()]
    total = medians(
        [
            Phase("", 0.0, a.wall + b.wall, a.cpu + b.cpu, 0, 0, 0)
            for a, b in zip(found["merge"], found["load"], strict=True)
        ]
    )
    total.anonymous = max(merge.anonymous, load.anonymous)
    total.resident = max(merge.resident, load.resident)
    rows.append(_row("mergekit and load together", total, ours, one_model))
    head = ("", "wall s (min–max)", "CPU s", "memory, models", "peak RSS GB", "wall ×", "CPU ×")
    for row, name in zip(rows, _LOADING, strict=False):
        walls = [phase.wall for phase in found[name]]
        row[1] += f" ({min(walls):.2f}–{max(walls):.2f})"
    return table(head, rows)


def _row(label: str, phase: Phase, ours: Phase, one_model: int) -> list[str]:
    return [
        label,
        f"{phase.wall:.2f}",
        f"{phase.cpu:.2f}",
        f"{phase.anonymous / one_model:.3f}",
        f"{phase.resident / 1e9:.2f}",
        f"{phase.wall / ours.wall:.1f}",
        f"{phase.cpu / ours.cpu:.1f}",
    ]


def _options_table(rounds: list[list[Phase]], one_model: int) -> str:
    first, *variants = [medians(same) for same in zip(*rounds, strict=True)]
    default = variants[0]
    rows = [
        (
            phase.name,
            f"{phase.wall:.2f}",
            f"{phase.cpu:.2f}",
            f"{phase.cpu - default.cpu:+.2f}",
            f"{(phase.floor + phase.anonymous - first.floor) / one_model:.3f}",
        )
        for phase in variants
    ]
    return table(("variant", "wall s", "CPU s", "CPU s over default", "memory, models"), rows)


def _switching_table(rounds: list[tuple[list[Phase], list[Phase]]]) -> str:
    rows = []
    for index, label in enumerate(("keep=files", "keep=memory")):
        first = medians([pair[index][0] for pair in rounds])
        later: dict[str, list[Phase]] = {}
        for pair in rounds:
            for phase in pair[index][4:]:  # after the first change
                later.setdefault(phase.name, []).append(phase)
        found = {name: medians(phases) for name, phases in later.items()}
        ours = found["set_lam"]
        both, one, lerp = (found[name] for name in ("copy of both", "copy of one", "bare lerp"))
        rows.append(
            (
                label,
                f"{first.wall:.2f}",
                f"{ours.wall:.2f}",
                f"{ours.cpu:.2f}",
                f"{both.wall:.2f}",
                f"{ours.wall / both.wall:.2f}",
                f"{ours.cpu / both.cpu:.2f}",
                f"{ours.wall / one.wall:.2f}",
                f"{ours.wall / lerp.wall:.2f}",
                f"{ours.anonymous / 1e9:.3f}",
            )
        )
    head = (
        *("", "first change, wall s", "later, wall s", "CPU s", "copy of both ends, s"),
        *("× that, wall", "× that, CPU", "× copy of one model", "× bare lerp", "memory GB"),
    )
    return table(head, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delete", action="store_true", help="delete the 4.4 GB pair afterwards")
    given = parser.parse_args()
    main(given.rounds, delete=given.delete)
