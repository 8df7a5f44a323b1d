"""The YAMLs in task_configs/README.md do what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from lm_eval.tasks import TaskManager

from pa_harness.tasks.shipped import tasks_folder

README = (tasks_folder() / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
SHOTS = "Question: shot {0}\n{1}Answer: {2}\n\n"
LETTERS = " A. film\n B. blue\n"
RIGHT = [(-1.0, True), (-9.0, False)]  # the first option is the likelier one
PROMPTS = {
    "quiz_cf": ("", ("blue", "film"), [" film", " blue"]),
    "quiz_mcf": (LETTERS, ("B", "A"), [" A", " B"]),
    "quiz_gen": ("", ("blue", "film"), []),
}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split()[1])
def test_an_own_task_by_hand(block: str, folder: Path) -> None:
    name = block.split()[1]
    Path("task.yaml").write_text(block)
    for split, answers in (("quiz", [0]), ("shots", [1, 0])):
        rows = [
            {"question": f"{split[:4]} {i}", "choices": ["film", "blue"], "answer": answer}
            for i, answer in enumerate(answers)
        ]
        Path(f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = TaskManager(include_defaults=False, include_path=str(folder)).load([name])["tasks"][name]
    task.build_all_requests()
    options, answers, continuations = PROMPTS[name]
    shots = "".join(SHOTS.format(i, options, answer) for i, answer in enumerate(answers))
    assert {r.args[0] for r in task.instances} == {f"{shots}Question: quiz 0\n{options}Answer:"}
    if continuations:
        assert [r.args[1] for r in task.instances] == continuations
    right = task.process_results(task.eval_docs[0], ["Film"] if not continuations else RIGHT)
    assert set(right.values()) == {1.0}


def test_all_three_scorings_are_shown() -> None:
    assert [block.split()[1] for block in BLOCKS] == list(PROMPTS)
