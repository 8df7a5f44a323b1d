"""The suite of the Open LLM Leaderboard v1: lm-eval's own prompts, with its shots and metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import yaml
from lm_eval.tasks import TaskManager
from suite_data import Maker

from pa_harness.leaderboards.boards import BOARDS
from pa_harness.registration import install
from pa_harness.tasks.shipped import read_yaml, tasks_folder

STOCK = Path(lm_eval.__file__).parent / "tasks"
FOLDERS = ("arc", "hellaswag", "winogrande", "truthfulqa", "gsm8k", "mmlu/default")
DATA = {  # dataset, configuration -> rows of its splits
    ("allenai/ai2_arc", "ARC-Challenge"): {"train": 40, "test": 3},
    ("Rowan/hellaswag", "default"): {"train": 20, "validation": 3},
    ("allenai/winogrande", "winogrande_xl"): {"train": 20, "validation": 3},
    ("truthfulqa/truthful_qa", "multiple_choice"): {"validation": 3},
    ("openai/gsm8k", "main"): {"train": 20, "test": 3},
    ("cais/mmlu", "anatomy"): {"dev": 5, "test": 3},
}
SAME = ("arc_challenge", "hellaswag", "truthfulqa_mc2", "winogrande", "gsm8k")


class Rows(Maker):
    def truthful_qa(self, i: int, _: str) -> dict[str, Any]:
        options = {"choices": self.choices(4), "labels": [1, 1, 0, 0]}
        return {
            "question": f"Is {i} {self.text()}?",
            "mc1_targets": options,
            "mc2_targets": options,
        }


def write(folder: Path) -> None:
    for (dataset, name), splits in DATA.items():
        place = folder / dataset / name
        place.mkdir(parents=True)
        for split, n in splits.items():
            maker = Rows(f"{dataset} {split}")
            lines = [json.dumps(maker.row(dataset, name, i)) + "\n" for i in range(n)]
            (place / f"{split}.jsonl").write_text("".join(lines))
        files = [{"split": split, "path": f"{name}/{split}.jsonl"} for split in splits]
        card = {"configs": [{"config_name": name, "data_files": files}]}
        (folder / dataset / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """Ours and lm-eval's task of the same name, at the leaderboard's shots."""
    folder = tmp_path_factory.mktemp("hub")
    write(folder)
    install()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        patch.chdir(folder)
        stock = [str(STOCK / each) for each in FOLDERS]
        manager = TaskManager(include_defaults=False, include_path=stock)
        ours = [f"pa_open_llm_v1_{name}" for name in SAME]
        loaded = manager.load([*ours, *SAME])["tasks"]
        for name in ("arc_challenge", "hellaswag", "winogrande"):
            loaded[name].fewshot_cfg.split = "train"  # as lm-eval's own group openllm sets it
        found = {}
        for name, own in zip(SAME, ours, strict=True):
            found[name] = (loaded[own], loaded[name])
            for task in found[name]:
                task.set_config("num_fewshot", loaded[own].config.num_fewshot)
                task.set_fewshot_seed(seed=1234)
                task.build_all_requests()
    return found


def test_prompts_are_lm_evals(pairs: dict[str, tuple[Any, Any]]) -> None:
    """Byte for byte, the demonstrations that are drawn for each document included."""
    for name, (ours, stock) in pairs.items():
        mine, theirs = ([request.args for request in t.instances] for t in (ours, stock))
        if name == "gsm8k":  # where answers end is the leaderboard's, not lm-eval's
            assert mine[0][1]["until"] == [":", "Question:", "Question"]
            mine, theirs = ([args[0] for args in each] for each in (mine, theirs))
        assert mine == theirs, name
        assert mine


def test_shots_metrics_and_versions_are_the_leaderboards(pairs: dict[str, Any]) -> None:
    rules = {task.name: task for task in BOARDS[0].tasks}
    for name, (ours, stock) in pairs.items():
        assert ours.config.num_fewshot == rules[name].shots
        assert (ours.config.metadata["metric"],) == rules[name].metrics
        assert str(ours.VERSION) in rules[name].accepted[f"pa_open_llm_v1_{name}"]
        known = rules[name].accepted.get(name)
        assert known is None or str(stock.VERSION) in known, "lm-eval has changed the task"


def test_an_answer_is_scored_as_lm_eval_scores_it(pairs: dict[str, Any]) -> None:
    ours, stock = pairs["truthfulqa_mc2"]
    likelihoods = [(-1.0, False), (-2.0, False), (-1.5, True), (-4.0, False)]
    values = [t.process_results(t.eval_docs[0], likelihoods) for t in (ours, stock)]
    assert values[0] == values[1]
    ours, stock = pairs["gsm8k"]
    for answer in ("so 2.\n#### 2", "2", "#### 1,002."):
        gold = ours.eval_docs[0]
        assert ours.process_results(gold, [answer]) == stock.process_results(gold, [answer])


def test_the_group_is_the_six_tasks_averaged_evenly() -> None:
    group = read_yaml(tasks_folder() / "open_llm_v1" / "pa_open_llm_v1.yaml")
    names = [name.removeprefix("pa_open_llm_v1_") for name in group["task"]]
    assert sorted(names) == sorted(["pa_mmlu_mcf", *SAME])
    assert group["metadata"]["average"] == "tasks"


def test_mmlu_is_lm_evals_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pa_mmlu_mcf` stands for it: the same prompts, one subject here."""
    write(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    shipped = read_yaml(tasks_folder() / "mmlu" / "mmlu_mcf.yaml")
    (part,) = [part for part in shipped["task"] if part["task"] == "anatomy"]
    mine = tmp_path / "one.yaml"
    text = (tasks_folder() / "mmlu" / "mmlu_mcf.yaml").read_text().partition("\naggregate_")[0]
    mine.write_text(text.replace("group: pa_mmlu_mcf", "task: one") + "\ndataset_name: anatomy\n")
    folders = [str(STOCK / "mmlu/default"), str(tmp_path)]
    manager = TaskManager(include_defaults=False, include_path=folders)
    loaded = manager.load(["one", "mmlu_anatomy"])["tasks"]
    prompts = []
    for task in (loaded["one"], loaded["mmlu_anatomy"]):
        task.set_config("num_fewshot", 5)
        task.set_fewshot_seed(seed=1234)
        task.build_all_requests()
        prompts.append([request.args for request in task.instances])
    assert prompts[0] == prompts[1]
    assert part["dataset_name"] == "anatomy"
    assert str(loaded["mmlu_anatomy"].VERSION) in BOARDS[0].tasks[2].accepted["mmlu_{}"]
