"""Every model type that transformers serves: does a pair of it load, exactly?

``python -m benchmarks.architectures`` makes a tiny random pair of each type (causal models,
wrappers of images, pairs of two forms of one model), and holds against plain transformers: that
it loads, its ends, λ = 0.3, a change of λ in place, and an export read back, all bit for bit. With
names of rows it does these only; ``--check`` ends with 1 where a row is not all yes. The table is
written to ``docs/architectures.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from benchmarks.support.architecture_row import COLUMNS, make, row
from benchmarks.support.report import table
from benchmarks.support.tiny_models import FACTS, mixed_pairs, types

PAGE = Path(__file__).parent.parent / "docs" / "architectures.md"
MOST_USED = (  # those that tests run every time
    *("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma2", "gemma3_text"),
    *("gpt2", "gpt_neox", "gpt_oss", "phi3", "olmo2", "granite", "falcon", "deepseek_v3"),
    *("gemma3, text base", "mistral3, text instruct", "qwen3_5, text base", "qwen2_5_vl"),
)
Row = dict[str, Any]
_INTRODUCTION = """# Model types

Tiny random pairs, one of every type that transformers serves, held against plain transformers bit
for bit: that the pair *loads*, its *ends*, the *lerp* at λ = 0.3, a change of λ in place
(*set_lam*), and an *export* read back as its own class. `causal` is AutoModelForCausalLM's (or the
encoder-decoder that lm-eval takes), `wrapper` an image-text model beyond it, `mixed` a pair of two
forms of one model: a wrapper and its text model alone, or files in two layouts. Notes say why a
type is not counted.

Made by `python -m benchmarks.architectures`, about half an hour; `--check` fails where a row is not
all yes. Three types (gemma3n, fast_vlm, perception_lm) need timm and torchvision, which were
installed beside for them; without these a note says so.

"""


def cases() -> list[tuple[str, str]]:
    """All rows: name and kind ("causal", "wrapper", "mixed")."""
    return [*types(), *((name, "mixed") for name in mixed_pairs())]


def compute(name: str, kind: str, folder: Path) -> Row:
    """One row; its pair is made in the folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<s>", "</s>", "<pad>"]
    core.train_from_iterator(
        ["a"], trainers.BpeTrainer(special_tokens=specials, initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    found: Row = {"type": name, "kind": kind}
    why = [reason for reason, names in FACTS["not_text"].items() if name in names]
    if why:
        return found | {"note": why[0]}
    try:
        pair = make(name, folder, tokenizer)
    except Exception as error:  # noqa: BLE001 -- every failure is a row
        return found | {"note": f"transformers: {type(error).__name__}: {str(error)[:160]}"}
    return found | row(pair, kind)


def is_good(found: Row) -> bool:
    """Whether all holds, or there is nothing to hold."""
    return "note" in found or all(found.get(column) == "yes" for column in COLUMNS)


def _forked(name: str, kind: str, out: Path) -> Row:
    """One row in a process of its own, which may die."""
    folder = Path(tempfile.mkdtemp(prefix="pa_architecture_"))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with open(os.devnull, "w") as null:  # noqa: PTH123 -- no file of ours
                os.dup2(null.fileno(), 2)
            out.write_text(json.dumps(compute(name, kind, folder)), encoding="utf-8")
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)
    if status or not out.exists():
        return {"type": name, "kind": kind, "loads": f"its process ended with {status}"}
    found: Row = json.loads(out.read_text(encoding="utf-8"))
    return found


def _page(rows: list[Row]) -> str:
    good = [r for r in rows if "note" not in r]
    lines = []
    for kind in ("causal", "wrapper", "mixed"):
        mine = [r for r in good if r["kind"] == kind]
        held = [str(sum(r.get(column) == "yes" for r in mine)) for column in COLUMNS]
        lines.append((kind, str(len(mine)), *held))
    cells = [
        (r["type"], r["kind"], *(r.get(c) or "" for c in COLUMNS), r.get("note", "")) for r in rows
    ]
    cells = [
        tuple(str(cell).replace("|", "/").replace("\n", " ") for cell in each) for each in cells
    ]
    return (
        _INTRODUCTION
        + table(("kind", "types", *COLUMNS), lines)
        + "\n\n"
        + table(("type", "kind", *COLUMNS, "note"), cells)
        + "\n"
    )


def main() -> int:
    """Run, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="types (of any kind); all without it")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a row is not good")
    parser.add_argument("--rows", type=Path, help="a folder that keeps rows, for going on later")
    options = parser.parse_args()
    from pa_harness.registration import install

    install()
    rows_folder = options.rows or Path(tempfile.mkdtemp(prefix="pa_architectures_"))
    rows_folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, kind in cases():
        if options.names and name not in options.names:
            continue
        out, start = rows_folder / f"{kind}-{name}.json", time.monotonic()
        found = (
            json.loads(out.read_text(encoding="utf-8"))
            if out.exists()
            else _forked(name, kind, out)
        )
        rows.append(found)
        state = "ok" if is_good(found) else str({k: v for k, v in found.items() if v != "yes"})
        print(f"{name} ({kind}): {state} ({time.monotonic() - start:.0f} s)", flush=True)
    if not options.names:
        PAGE.write_text(_page(rows), encoding="utf-8")
    return int(options.check and not all(map(is_good, rows)))


if __name__ == "__main__":
    sys.exit(main())
