"""What one λ of a sweep costs: a model with four constants, checked at three sizes.

    python -m benchmarks.cost

Seconds are CPU seconds of one thread. The constants are taken at the middle size (loading has two:
they come from the other sizes); the model then says what the other sizes take, and how far off that
is stands in the table.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.support.engine import run
from benchmarks.support.places import REPOSITORY
from benchmarks.support.report import publish, table

sys.path.insert(0, str(REPOSITORY / "tests" / "support"))
from families import make_instruct, make_model, save

_SIZES = {  # of random Llamas: hidden size, layers
    "small": (384, 6),
    "middle": (640, 10),
    "large": (1024, 12),
}
_TEXT = "Question which of these is a colour Answer blue film good great fox dog human"
_WORDS = _TEXT.split(" ")


def pair(size: str, folder: Path) -> dict[str, str]:
    """A random pair of a size, fp32."""
    hidden, layers = _SIZES[size]
    base = make_model(
        "llama",
        seed=1,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        max_position_embeddings=2048,
    )
    return {
        "pretrained": str(save(base, folder / size / "base")),
        "instruct": str(save(make_instruct(base, seed=2), folder / size / "instruct", chat=True)),
    }


def requests(documents: int) -> list[Any]:
    """Documents of four options behind one few-shot prefix."""
    shots = " ".join(_WORDS * 8)
    return [
        ["loglikelihood", [f"{shots} {n} {' '.join(_WORDS[n % 9 :])}", f" {option} {n}"]]
        for n in range(documents)
        for option in ("blue", "film", "fox", "human")
    ]


def measured(size: str, folder: Path) -> dict[str, float]:
    """CPU seconds of loading, a change of λ and an evaluation; what they should grow with."""
    where = pair(size, folder)
    asked = requests(8)
    common = {**where, "lam": 0, "dtype": "float32", "device": "cpu", "max_length": 2048}
    record = run("partially_adapted", common, asked, (0.25, 0.5, 0.75))
    last = record["lams"][-1]
    gigabytes = (folder / size / "base" / "model.safetensors").stat().st_size / 1e9
    return {
        "gigabytes": gigabytes,
        "parameters": gigabytes / 4 * 1e9,
        "tokens": record["distinct"],
        "load": record["start"][1],
        "change": last["change"][1],
        "evaluate": last["seconds"][1],
    }


def main() -> None:
    """Measure, fit at the middle size, publish."""
    with tempfile.TemporaryDirectory() as place:
        found = {size: measured(size, Path(place)) for size in _SIZES}
    small, middle, large = found.values()
    slope = (large["load"] - small["load"]) / (large["gigabytes"] - small["gigabytes"])
    start = small["load"] - slope * small["gigabytes"]
    per = {
        "change": middle["change"] / middle["gigabytes"],
        "evaluate": middle["evaluate"] / (2 * middle["parameters"] * middle["tokens"]),
    }
    rows = []
    for each in found.values():
        said = {
            "load": start + slope * each["gigabytes"],
            "change": per["change"] * each["gigabytes"],
            "evaluate": per["evaluate"] * 2 * each["parameters"] * each["tokens"],
        }
        cells = [f"{each[name]:.2f} / {said[name]:.2f}" for name in said]
        rows.append([f"{each['parameters'] / 1e6:.0f} million", f"{each['tokens']:.0f}", *cells])
    text = (
        "Random Llamas, fp32, one thread; 8 documents of 4 options behind one few-shot prefix. CPU "
        f"seconds, measured / by the model: a start {start:.2f} s and {slope:.2f} s a GB of one "
        f"checkpoint (from the smallest and the largest), a change of λ {per['change']:.2f} s a "
        f"GB, evaluating {1e-9 / per['evaluate']:.1f} GFLOP/s at 2 FLOP a parameter and distinct "
        "token (both from the middle).\n\n"
        f"{table(('parameters', 'distinct tokens', 'load', 'change of λ', 'evaluate'), rows)}"
    )
    publish("cost", text, command="python -m benchmarks.cost")


if __name__ == "__main__":
    main()
