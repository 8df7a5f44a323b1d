r"""`pa_reasoning` on rows made to the form of its data sets: prompts, targets, scores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import datasets
import pytest
from lm_eval.tasks import TaskManager

from pa_harness.runs.settings import SweepSettings
from pa_harness.sweep.workload import facts
from pa_harness.tasks.reasoning import boxed, gpqa_documents, number
from pa_harness.tasks.shipped import tasks_folder

if TYPE_CHECKING:
    pass

BOX = "\n\nPlease reason step by step, and put your final answer within \\boxed{}."
ROWS: dict[str, tuple[str, str, list[dict[str, Any]]]] = {  # hub id: split, configuration, rows
    "openai/gsm8k": (
        "test",
        "main",
        [{"question": "Two dozen eggs of 50 each?", "answer": "2 * 12 = 24\n24*50\n#### 1,200"}],
    ),
    "HuggingFaceH4/MATH-500": (
        "test",
        "default",
        [
            {
                **{"problem": "Half of one?", "solution": "It is $\\boxed{\\frac{1}{2}}$."},
                **{"answer": "\\frac{1}{2}", "subject": "Algebra", "level": 1, "unique_id": "a"},
            }
        ],
    ),
    "Idavidrein/gpqa": (
        "train",
        "gpqa_diamond",
        [
            {
                "Question": f"Which is it, number {n}?",
                "Correct Answer": " right ",
                "Incorrect Answer 1": "wrong  one\n",
                "Incorrect Answer 2": "wrong two",
                "Incorrect Answer 3": "wrong three",
            }
            for n in range(12)
        ],
    ),
    "HuggingFaceH4/aime_2024": (
        "train",
        "default",
        [{"id": 60, "problem": "How many?", "solution": "...", "answer": "073", "year": "2024"}],
    ),
    "math-ai/aime25": ("test", "default", [{"problem": "And now?", "answer": "70", "id": "0"}]),
    "google/IFEval": (
        "train",
        "default",
        [
            {
                "key": 1,
                "prompt": "Say hello. Do not use any commas.",
                "instruction_id_list": ["punctuation:no_comma"],
                "kwargs": [{}],
            }
        ],
    ),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("hub")
    for name, (split, configuration, rows) in ROWS.items():
        place = folder / name
        place.mkdir(parents=True)
        (place / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        files = f"data_files: [{{split: {split}, path: {split}.jsonl}}]"
        head = f"---\nconfigs:\n- {{config_name: {configuration}, {files}, default: true}}\n---\n"
        (place / "README.md").write_text(head)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        patch.chdir(folder)
        manager = TaskManager(include_defaults=False, include_path=str(tasks_folder()))
        found: dict[str, Any] = manager.load(["pa_reasoning"])["tasks"]
        return {name.removeprefix("pa_reasoning_"): task for name, task in found.items()}


def first(task: Any) -> tuple[Any, str]:
    doc = next(iter(task.eval_docs))
    return doc, task.doc_to_text(doc)


def score(task: Any, answer: str) -> float:
    return float(next(iter(task.process_results(first(task)[0], [answer]).values())))


def test_the_group(loaded: dict[str, Any]) -> None:
    assert [*loaded] == ["gsm8k", "math500", "gpqa_diamond", "aime24", "aime25", "ifeval"]
    settings = SweepSettings(model_args={}, lam=(0.0,), tasks=("pa_reasoning",))
    for name, task in loaded.items():
        assert task.get_config("num_fewshot") == 0
        assert task.get_config("generation_kwargs")["do_sample"] is True
        assert task.get_config("generation_kwargs")["max_gen_toks"] == 32768
        known = facts(f"pa_reasoning_{name}", task, settings)
        assert known["chat_template"] == "default"
        assert known["category"] == ("instruction" if name == "ifeval" else "reasoning")
    counted = [facts("", loaded[n], settings).get("counts_as") for n in ("aime24", "aime25")]
    assert counted == ["pa_reasoning_aime"] * 2


def test_prompts_and_targets(loaded: dict[str, Any]) -> None:
    wanted = {
        "gsm8k": ("Two dozen eggs of 50 each?" + BOX, "1200"),
        "math500": ("Half of one?" + BOX, "\\frac{1}{2}"),
        "aime24": ("How many?" + BOX, "073"),
        "aime25": ("And now?" + BOX, "70"),
    }
    for name, (prompt, target) in wanted.items():
        doc, text = first(loaded[name])
        assert text == prompt, name
        assert str(loaded[name].doc_to_target(doc)) == target, name
    assert first(loaded["ifeval"])[1] == "Say hello. Do not use any commas."


@pytest.mark.parametrize(
    ("name", "answer", "right"),
    [
        ("gsm8k", "24 * 50 = \\boxed{1200}", True),
        ("gsm8k", "so \\boxed{\\$1,200.00}. Not 7.", True),
        ("gsm8k", "The answer is 1,200.", True),
        ("gsm8k", "\\boxed{120} and 1200", False),
        ("gsm8k", "no number", False),
        ("math500", "thus $\\boxed{\\frac12}$", True),
        ("math500", "first \\boxed{2}, no: \\boxed{\\dfrac{1}{2}}", True),
        ("math500", "it is \\frac{1}{2}", False),
        ("math500", "\\boxed{\\frac{1}{2}", False),
        ("aime24", "\\boxed{73}", True),
        ("aime24", "\\boxed{073}", True),
        ("aime24", "it is 730", False),
        ("aime25", "= 70", True),
        ("ifeval", "Hello there", True),
        ("ifeval", "Hello, there", False),
    ],
)
def test_scores(name: str, answer: str, right: bool, loaded: dict[str, Any]) -> None:
    assert score(loaded[name], answer) == right


def test_gpqa_options_are_shuffled_by_their_question(loaded: dict[str, Any]) -> None:
    task = loaded["gpqa_diamond"]
    docs = list(task.eval_docs)
    doc, text = first(task)
    assert sorted(doc["options"]) == ["right", "wrong one", "wrong three", "wrong two"]
    for letter, option in zip("ABCD", doc["options"], strict=True):
        assert f"{letter}) {option}" in text
    assert text.endswith(f"D) {doc['options'][3]}")
    assert all(each["options"]["ABCD".index(each["answer"])] == "right" for each in docs)
    assert len({each["answer"] for each in docs}) > 2
    rows = datasets.Dataset.from_list(ROWS["Idavidrein/gpqa"][2][::-1])
    again = {each["question"]: each["answer"] for each in gpqa_documents(rows)}
    assert again == {each["question"]: each["answer"] for each in docs}
    right = doc["answer"]
    wrong = "ABCD"["ABCD".index(right) - 1]
    for answer in (f"so\nAnswer: {right}", f"**Answer: ${right}$**", f"\\boxed{{{right}}}"):
        assert score(task, answer) == 1
    assert score(task, f"Answer: {right}\nno:\nAnswer: {wrong}") == 0
    assert score(task, "I do not know") == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\\boxed{a{b}c}", "a{b}c"),
        ("\\boxed{1} \\boxed{ 2 }", "2"),
        ("\\boxed{1", None),
        ("none", None),
        ("\\boxed{}", ""),
    ],
)
def test_boxed(text: str, found: str | None) -> None:
    assert boxed(text) == found


def test_numbers() -> None:
    assert [number(text) for text in ("1,234.50", "-3", "7.", "x")] == [1234.5, -3, 7, None]
