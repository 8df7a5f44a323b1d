"""A finished sweep's ends against stock ``lm_eval --model hf``, sample by sample.

    python -m benchmarks.ends RUN --limit 40

evaluates base and instruct model of the sweep in the folder RUN with ``--model hf``, on the first
documents of its tasks and with its own settings, and compares every sample with those of λ = 0 and
λ = 1. The sweep may have more documents. Run it where the sweep was run: data sets are found by
the same names. Stock arms that are already there are not run again. Requests are batched in other
ways on the two sides, so log-likelihoods may differ in their last bits; the exit code is 1 where a
prompt, a metric or a generated text differs, or a log-likelihood by more than 10⁻⁴.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.support.report import publish, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLOSE = 1e-4  # nats, the acceptance
_ENDS = {"lam=0": "base", "lam=1": "instruct"}
_OURS = {  # model arguments that --model hf does not have
    *("instruct", "instruct_revision", "instruct_subfolder", "peft", "lam", "rounding"),
    *("rounding_seed", "keep", "lam_eff", "config_from", "extra_rows", "check_finite"),
    "prefix_sharing",
}
_SAME = (  # settings that go over as they are; lm-eval's own names
    *("num_fewshot", "batch_size", "max_batch_size", "device", "gen_kwargs", "seed"),
    *("system_instruction", "trust_remote_code", "confirm_run_unsafe_code", "metadata"),
)
Samples = dict[tuple[int, str], dict[str, Any]]  # by document and filter


def stock_arguments(ours: dict[str, Any], end: str) -> dict[str, Any]:
    """The model arguments of ``--model hf`` for one end of a pair, with the same tokenizer."""
    plain = {name: value for name, value in ours.items() if name not in _OURS}
    instruct = ours.get("instruct")
    plain.setdefault("tokenizer", instruct or ours["pretrained"])
    if end == "base":
        return plain
    if not instruct:
        return {**plain, "peft": ours["peft"]}
    moved = {"pretrained": instruct}
    for name in ("revision", "subfolder"):
        plain.pop(name, None)
        if ours.get(f"instruct_{name}"):
            moved[name] = ours[f"instruct_{name}"]
    return {**plain, **moved}


def templates(run: Path) -> dict[str, list[str]]:
    """The sweep's tasks by the chat template they were asked with; "" is a raw prompt."""
    found: dict[str, list[str]] = {}
    for path in sorted((run / "units" / "lam=0").glob("*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))["facts"]
        found.setdefault(facts["chat_template"], []).append(path.stem.replace("%2F", "/"))
    return found


def evaluate(settings: dict[str, Any], limit: int, end: str, folder: Path, run: Path) -> None:
    """Run ``lm_eval --model hf`` on one end, once per chat template, where it has not been."""
    by_template = templates(run)
    for number, (template, tasks) in enumerate(by_template.items()):
        place = folder / f"{end}-{number}"
        if any(place.rglob("samples_*.jsonl")):
            continue
        include = settings["include_path"]
        config = {
            **{name: settings[name] for name in _SAME if settings.get(name) is not None},
            "model": "hf",
            "model_args": stock_arguments(settings["model_args"], end),
            "tasks": settings["tasks"] if len(by_template) == 1 else tasks,
            **({"include_path": include[0] if len(include) == 1 else include} if include else {}),
            **({"samples": settings["samples"]} if settings["samples"] else {"limit": limit}),
            "log_samples": True,
            "output_path": str(place),
        }
        if template:
            config["apply_chat_template"] = True if template == "default" else template
            config["fewshot_as_multiturn"] = settings["fewshot_as_multiturn"] is not False
        place.mkdir(parents=True, exist_ok=True)
        file = place / "lm_eval.yaml"
        file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        sys.stderr.write(f"lm_eval --model hf, {end}: {', '.join(config['tasks'])}\n")
        subprocess.run([sys.executable, "-m", "lm_eval", "run", "--config", file], check=True)


def sample_logs(place: Path) -> dict[str, Samples]:
    """By task the samples in all logs below a folder."""
    found: dict[str, Samples] = {}
    for path in sorted(place.rglob("samples_*.jsonl")):
        task = path.name.removeprefix("samples_").rpartition("_")[0].replace("%2F", "/")
        for line in path.read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            found.setdefault(task, {})[int(sample["doc_id"]), sample["filter"]] = sample
    return found


@dataclass
class Comparison:
    """What two logs of one task say of the same documents; counts of what is equal."""

    documents: int
    prompts: int
    metrics: int  # values, of all metrics
    same_metrics: int
    answers: int  # requests: log-likelihoods or texts
    same_answers: int  # texts, and `is_greedy` of log-likelihoods
    difference: float  # largest of two log-likelihoods, nats; NaN where there are none

    @property
    def holds(self) -> bool:
        """Whether the two are equal as far as arithmetic in another order allows."""
        equal = self.prompts == self.documents and self.metrics == self.same_metrics
        return equal and self.answers == self.same_answers and not self.difference > _CLOSE


def compare(stock: Samples, swept: Samples) -> Comparison:
    """Compare the samples that both have."""
    both = [(sample, swept[key]) for key, sample in stock.items() if key in swept]
    values = [(a[m], b.get(m)) for a, b in both for m in a["metrics"]]
    pairs = [pair for a, b in both for pair in zip(_answers(a), _answers(b), strict=True)]
    apart = [abs(a[1] - b[1]) for a, b in pairs if a[1] is not None and b[1] is not None]
    changed = {a["doc_id"] for a, b in both if a["arguments"] != b["arguments"]}
    documents = len({a["doc_id"] for a, _ in both})
    return Comparison(
        *(documents, documents - len(changed)),
        *(len(values), sum(_equal(a, b) for a, b in values)),
        *(len(pairs), sum(a[0] == b[0] for a, b in pairs)),
        max(apart, default=float("nan")),
    )


def _equal(left: Any, right: Any) -> bool:
    """Whether two metric values are the same; sums of log-likelihoods as close as these."""
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return all(_equal(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, float) and isinstance(right, float):
        return math.isnan(left) == math.isnan(right) and not abs(left - right) > _CLOSE
    return bool(left == right)


def _answers(sample: dict[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Per request what must be equal, a text or `is_greedy`, and its log-likelihood."""
    for answer in sample["resps"]:
        first = answer[0]
        if isinstance(first, list):
            yield str(first[1]), float(first[0])
        else:
            yield str(first), None


def main() -> int:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a sweep with λ = 0 and 1")
    parser.add_argument("--limit", type=int, default=40, help="documents per task (default: 40)")
    parser.add_argument("--output_path", type=Path, help="of the stock runs (default: RUN-ends)")
    parser.add_argument("--publish", action="store_true", help="write benchmarks/results/ends.md")
    given = parser.parse_args()
    run: Path = given.run.resolve()
    folder = (given.output_path or run.with_name(f"{run.name}-ends")).resolve()
    settings = yaml.safe_load((run / "sweep.yaml").read_text(encoding="utf-8"))
    rows, failed = [], []
    for lam, end in _ENDS.items():
        evaluate(settings, given.limit, end, folder, run)
        swept = sample_logs(run / lam)
        for task, samples in _stock(folder, end).items():
            found = compare(samples, swept.get(task, {}))
            rows.append(_row(task, f"λ = {lam[4:]}, {end}", found))
            failed += [] if found.holds and found.documents else [task]
    head = ("task", "end", "documents", "same prompts", "same metrics", "same answers", "max Δ")
    text = (
        f"{len(settings['lam'])} λ; λ = 0 and λ = 1 against `--model hf` on base and instruct "
        "model. Same answers: texts, or `is_greedy` of log-likelihoods. max Δ: of two "
        f"log-likelihoods, nats.\n\n{table(head, rows)}"
    )
    if given.publish:
        publish("ends", text, command=f"python -m benchmarks.ends RUN --limit {given.limit}")
    else:
        print(text)
    return bool(failed)


def _stock(folder: Path, end: str) -> dict[str, Samples]:
    found: dict[str, Samples] = {}
    for place in sorted(folder.glob(f"{end}-*")):
        found |= sample_logs(place)
    return found


def _row(task: str, end: str, found: Comparison) -> list[str]:
    return [
        *(task, end, str(found.documents), f"{found.prompts}/{found.documents}"),
        f"{found.same_metrics}/{found.metrics}",
        f"{found.same_answers}/{found.answers}",
        "–" if math.isnan(found.difference) else f"{found.difference:.2g}",
    ]


if __name__ == "__main__":
    sys.exit(main())
