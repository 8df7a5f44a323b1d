"""Small files in the schemas of the hub's datasets: the shipped tasks run on them anywhere.

Made up here, row by row; no published row is among them. `write_hub` lays them out as
`datasets.load_dataset(id, config)` finds them when the folder is the working directory.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import yaml

from pa_harness.tasks.shipped import read_yaml, shipped_tasks, suite_files, tasks_folder

if TYPE_CHECKING:
    from pathlib import Path

WORDS = [
    "river",
    "copper",
    "lantern",
    "violin",
    "harbor",
    "meadow",
    "engine",
    "pepper",
    "marble",
    "falcon",
    "timber",
    "saddle",
    "candle",
    "orchard",
    "magnet",
    "barrel",
    "compass",
    "thunder",
    "willow",
    "anchor",
    "glacier",
    "ribbon",
    "kettle",
    "summit",
]
PRICES = ("none", "negative", "neutral", "positive")
EVALUATED, SHOTS = 6, 16
REAL = "PA_HARNESS_HUB"
GROUPS = ("pa_icl", "pa_icl_lite", "pa_mmlu_cf", "pa_bbh_cot_gen")
TAGS = ["O"] + [
    f"{mark}-{kind}"
    for kind in ("corporation", "creative-work", "group", "location", "person", "product")
    for mark in "BI"
]


class Maker:
    """Rows of one split; texts differ from row to row and from split to split."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.seed = seed

    def text(self, n: int = 6) -> str:
        return " ".join(self.random.sample(WORDS, n))

    def choices(self, k: int) -> list[str]:
        return [self.text(2 + i % 3) for i in range(k)]

    def lettered(self, i: int, k: int) -> dict[str, Any]:
        letters = list("ABCDE"[:k])
        return {"choices": {"text": self.choices(k), "label": letters}, "answerKey": letters[i % k]}

    def row(self, dataset: str, config: str, i: int) -> dict[str, Any]:
        make = getattr(self, dataset.split("/")[1].replace("-", "_"))
        row: dict[str, Any] = make(i, config)
        return row

    def ai2_arc(self, i: int, _: str) -> dict[str, Any]:
        row = {"id": str(i), "question": f"Which {self.text()}?", **self.lettered(i, 4)}
        if i % 5 == 3:  # as in some published rows
            row["choices"]["label"] = list("1234")
            row["answerKey"] = str(1 + i % 4)
        return row

    def hellaswag(self, i: int, _: str) -> dict[str, Any]:
        start = f"A man sees a {self.text()}."
        return {
            "ind": i,
            "activity_label": "Walking",
            "ctx_a": start,
            "ctx_b": "he",
            "ctx": f"{start} he",
            "endings": [f"takes the {choice}." for choice in self.choices(4)],
            "label": str(i % 4),
        }

    def winogrande(self, i: int, _: str) -> dict[str, Any]:
        return {
            "sentence": f"The {self.text(2)} did not fit the {self.text(2)} as the _ was too {i}.",
            "option1": self.text(1),
            "option2": self.text(1),
            "answer": str(1 + i % 2),
        }

    def piqa(self, i: int, _: str) -> dict[str, Any]:
        return {"goal": self.text(), "sol1": self.text(), "sol2": self.text(), "label": i % 2}

    def openbookqa(self, i: int, _: str) -> dict[str, Any]:
        return {"id": str(i), "question_stem": self.text(), **self.lettered(i, 4)}

    def commonsense_qa(self, i: int, _: str) -> dict[str, Any]:
        question = {"question": f"Where is {self.text()}?", "question_concept": f"concept {i // 2}"}
        return {"id": str(i), **question, **self.lettered(i, 5)}

    def glue(self, i: int, config: str) -> dict[str, Any]:
        if config == "sst2":
            return {"sentence": f"{self.text()} ", "label": i % 2, "idx": i}
        return {
            "sentence1": f"{self.text()}.",
            "sentence2": f"{self.text()}.",
            "label": i % 2,
            "idx": i,
        }

    def ag_news(self, i: int, _: str) -> dict[str, Any]:
        return {"text": self.text(10), "label": i % 4}

    def super_glue(self, i: int, _: str) -> dict[str, Any]:
        return {"question": self.text(), "passage": self.text(12), "idx": i, "label": i % 2}

    def mmlu(self, i: int, config: str) -> dict[str, Any]:
        return {
            "question": f"What is {self.text()}?",
            "subject": config,
            "choices": self.choices(4),
            "answer": i % 4,
        }

    def trivia_qa(self, i: int, _: str) -> dict[str, Any]:
        answer = self.text(1)
        return {
            "question": f"Who saw the {self.text()}?",
            "question_id": str(i),
            "answer": {"value": answer, "aliases": [answer, answer.upper()]},
        }

    def nq_open(self, i: int, _: str) -> dict[str, Any]:
        return {"question": f"who saw {i} of the {self.text()}", "answer": [self.text(1)]}

    def gsm8k(self, i: int, _: str) -> dict[str, Any]:
        return {
            "question": f"Ann has {i} {self.text(1)}s and buys 2. How many has she?",
            "answer": f"Ann has {i}+2=<<{i}+2={i + 2}>>{i + 2}.\n#### {i + 2}",
        }

    def bbh(self, i: int, config: str) -> dict[str, Any]:
        return {"input": f"{config} {i} {self.text()}\nOptions:\n- Yes\n- No", "target": "Yes"}

    def squad(self, i: int, _: str) -> dict[str, Any]:
        context = self.text(12)
        return {
            "id": str(i),
            "title": f"{self.seed} {i // 2}",
            "context": context,
            "question": f"What comes first, {self.text(3)}?",
            "answers": {"text": context.split()[:1] * 2, "answer_start": [0, 0]},
        }

    def drop(self, i: int, _: str) -> dict[str, Any]:
        none = {"day": "", "month": "", "year": ""}
        answer = {"number": str(i), "date": none, "spans": [], "worker_id": "", "hit_id": ""}
        return {
            "section_id": str(i),
            "query_id": str(i),
            "passage": self.text(12),
            "question": f"How many {self.text(2)}?",
            "answer": answer,
            "validated_answers": {key: [value] for key, value in answer.items()},
        }

    def wnut_17(self, i: int, _: str) -> dict[str, Any]:
        kind = i % 7
        tags = [0, 2 * kind - 1, 2 * kind, 0] if kind else [0] * 4
        return {"id": str(i), "tokens": self.text(4).split(), "ner_tags": tags}

    def financial_phrasebank(self, i: int, _: str) -> dict[str, Any]:
        return {"sentence": f"{self.text()} .", "label": i % 3}

    def fiqa_sentiment_classification(self, i: int, _: str) -> dict[str, Any]:
        score = (-0.5, 0.0, 0.5)[i % 3]
        return {"_id": str(i), "sentence": self.text(), "target": self.text(1), "score": score}

    def sentiment_analysis_in_commodity_market_gold(self, i: int, _: str) -> dict[str, Any]:
        return {
            "News": self.text(),
            "Price Sentiment": PRICES[i % 4],
        }


def splits() -> dict[tuple[str, str | None], dict[str, int]]:
    """(dataset, configuration) -> rows of each split that a shipped task reads."""
    needed: dict[tuple[str, str | None], dict[str, int]] = {}
    for file in suite_files():
        config = read_yaml(file)
        parts = config["task"] if "group" in config else [{}]
        for part in parts:
            whole = {**config, **part}
            rows = needed.setdefault((whole["dataset_path"], whole.get("dataset_name")), {})
            rows[whole["test_split"]] = EVALUATED
            if "fewshot_split" in whole:
                rows[whole["fewshot_split"]] = SHOTS
    return needed


def write_hub(folder: Path) -> None:
    """Write every dataset of the shipped tasks under `folder`."""
    cards: dict[str, list[dict[str, Any]]] = {}
    for (dataset, config), rows in sorted(splits().items(), key=str):
        name = config or "default"
        place = folder / dataset / name
        place.mkdir(parents=True, exist_ok=True)
        for split, n in rows.items():
            maker = Maker(f"{dataset} {name} {split}")
            lines = [json.dumps(maker.row(dataset, name, i)) + "\n" for i in range(n)]
            (place / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        files = [{"split": split, "path": f"{name}/{split}.jsonl"} for split in sorted(rows)]
        cards.setdefault(dataset, []).append({"config_name": name, "data_files": files})
    for dataset, configs in cards.items():
        card: dict[str, Any] = {"configs": configs}
        if dataset == "leondz/wnut_17":
            labels = {"class_label": {"names": {str(i): tag for i, tag in enumerate(TAGS)}}}
            features = [
                {"name": "id", "dtype": "string"},
                {"name": "tokens", "list": "string"},
                {"name": "ner_tags", "list": labels},
            ]
            card["dataset_info"] = [{"config_name": "wnut_17", "features": features}]
        text = f"---\n{yaml.safe_dump(card, sort_keys=False)}---\n"
        (folder / dataset / "README.md").write_text(text, encoding="utf-8")


def members(config: dict[str, Any]) -> list[str]:
    """Names below a group, groups of groups included."""
    names: list[str] = []
    for name in config["task"]:
        below = tasks_folder() / f"{name}.yaml"
        names += members(read_yaml(below)) if below.exists() else [name]
    return names


def all_names() -> list[str]:
    """Groups and tasks that together load every shipped task once."""
    grouped = [m for g in GROUPS[:2] for m in members(read_yaml(tasks_folder() / f"{g}.yaml"))]
    return [*GROUPS, *(t.name for t in shipped_tasks() if t.name not in (*grouped, *GROUPS))]
