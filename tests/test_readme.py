"""The README is run: its commands parse, its tables match the code."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

import pa_harness
from pa_harness.cli.main import main, parser
from pa_harness.tasks.authoring.check import check_tasks
from pa_harness.weights.arguments import ModelArgs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(page.read_text(encoding="utf-8") for page in sorted(ROOT.glob("docs/*.md")))]
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", "\n".join(PAGES), re.DOTALL)).replace("\\\n", " ")
COMMANDS = [line.split("#")[0].strip() for line in SHELL.splitlines() if line.strip()]


def test_formula_and_first_run_come_early() -> None:
    lines = README.splitlines()
    assert any("θ_λ = θ_base + λ" in line for line in lines[:10])
    assert any("--model partially_adapted" in line for line in lines[:30])
    assert len(lines) <= 120


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("lm_eval ")])
def test_lm_eval_commands_parse(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval._cli.harness import HarnessCLI

    monkeypatch.setattr("sys.argv", shlex.split(command))
    options = HarnessCLI().parse_args()
    ours = {field.name for field in fields(ModelArgs)}
    if options.model == "partially_adapted_vllm":
        ours |= {"tensor_parallel_size", "max_model_len"}  # the engine's
    assert set(options.model_args) <= ours
    assert "lam" in options.model_args


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("pa-harness ")])
def test_our_commands_parse(command: str) -> None:
    options = parser().parse_args(shlex.split(command)[1:])
    assert callable(options.act)


def test_the_prompts_of_the_scorings_are_so(folder: Path) -> None:
    """The table's prompts and answers, from the row that the tasks' README shows."""
    tasks = (ROOT / "task_configs" / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^`({\"question\".*?})`:$", tasks, re.MULTILINE)
    other = {"question": "Who barks?", "choices": ["dog", "fox"], "answer": "dog"}
    (folder / "quiz.jsonl").write_text(f"{json.dumps(other)}\n{row}")
    for scoring in ("cf", "mcf", "gen"):
        (cells,) = re.findall(rf"^\| {scoring} \| `(.*?)` \| (.*) \|$", tasks, re.MULTILINE)
        main(["new-task", "quiz.jsonl", "--scoring", scoring, "--num_fewshot", "1"])
        (report,) = check_tasks(f"quiz_{scoring}.yaml", [])
        (prompt,) = report.prompts
        assert prompt.context.endswith(cells[0].lstrip("…").replace("\\n", "\n"))
        answers = tuple(re.findall("`(.*?)`", cells[1]))
        assert prompt.continuations == (answers or (" blue",))


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)


def test_every_model_argument_is_in_the_table() -> None:
    page = (ROOT / "docs" / "model-arguments.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert named - {"tokenizer", "dtype"} == {field.name for field in fields(ModelArgs)}


def test_every_wing_is_on_the_floor_plan() -> None:
    wings = {path.parent.name for path in (ROOT / "pa_harness").glob("*/*.py")}
    wings |= {path.stem for path in (ROOT / "pa_harness").glob("*.py")}
    plan = str(pa_harness.__doc__).partition("from the ground up")[2]
    assert wings - {"__init__", "__main__"} <= set(re.findall(r"\w+", plan))


def test_files_the_readme_links_to_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
