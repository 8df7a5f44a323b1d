"""`pa-harness new-task`: the YAML does in lm-eval what was asked for; every refusal is clear."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from own_tasks import ANSWERS, GOLD, OPTIONS, QUESTIONS, at_a_terminal, rows_of, task_of, write_data

from pa_harness.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


def prompt(task: Any, number: int) -> str:
    shots = task.config.num_fewshot
    return str(task.fewshot_context(task.task_docs[number], num_fewshot=shots))


def requests(task: Any, number: int) -> list[str]:
    document = task.task_docs[number]
    context = prompt(task, number)
    made = task.construct_requests(doc=document, ctx=context, metadata=("t", number, 1))
    return [request.args[1] for request in made]


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("form", ["q.jsonl", "q.csv", "q.tsv"])
@pytest.mark.parametrize("scoring", ["cf", "mcf"])
def test_every_way_to_give_the_answer(scoring: str, form: str, kind: str, folder: Path) -> None:
    write_data(folder / form, rows_of(ANSWERS[kind]))
    choices = ["--choices", "a, b"] if form != "q.jsonl" else []
    assert main(["new-task", form, "--scoring", scoring, "--num_fewshot", "2", *choices]) == 0
    task = task_of(folder / f"q_{scoring}.yaml")
    documents = list(task.task_docs)
    assert [task.doc_to_target(document) for document in documents] == GOLD[2:]
    texts = [["A", "B"]] * 3 if scoring == "mcf" else OPTIONS[2:]
    assert [task.doc_to_choice(document) for document in documents] == texts


def test_cloze_prompt(folder: Path) -> None:
    write_data(folder / "q.jsonl", rows_of(ANSWERS["text"]))
    main(["new-task", "q.jsonl", "--scoring", "cf", "--num_fewshot", "1"])
    task = task_of(folder / "q_cf.yaml")
    shot = "Question: Which is a colour?\nAnswer: blue\n\n"
    assert prompt(task, 0) == f"{shot}Question: Who barks?\nAnswer:"
    assert requests(task, 0) == [" dog", " loop"]
    assert task.config.metadata["metric"] == "acc_norm,none"


def test_lettered_prompt(folder: Path) -> None:
    rows = rows_of(ANSWERS["text"])
    rows[3]["choices"] = ["great", "human", "film"]
    write_data(folder / "q.jsonl", rows)
    main(["new-task", "q.jsonl", "--scoring", "mcf", "--num_fewshot", "2"])
    task = task_of(folder / "q_mcf.yaml")
    shots = (
        "Question: Which is a colour?\n A. film\n B. blue\nAnswer: B\n\n"
        "Question: Who barks?\n A. dog\n B. loop\nAnswer: A\n\n"
    )
    assert prompt(task, 1) == (
        f"{shots}Question: Who reads?\n A. great\n B. human\n C. film\nAnswer:"
    )
    assert requests(task, 1) == [" A", " B", " C"]
    assert requests(task, 0) == [" A", " B"]
    said = task.config.metadata
    assert said["random_baseline"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3, abs=1e-6)


def test_generation_with_a_context(folder: Path) -> None:
    rows = [{"p": f"page {n}", "q": f"q {n}", "a": [f"x {n}", "y" * 40]} for n in range(7)]
    write_data(folder / "read.jsonl", rows)
    options = ["--question", "q", "--answer", "a", "--context", "p", "--category", "reading"]
    main(["new-task", "read.jsonl", "--scoring", "gen", *options, "--cluster", "p"])
    task = task_of(folder / "read_gen.yaml")
    assert prompt(task, 0).endswith("x 4\n\nPassage: page 5\nQuestion: q 5\nAnswer:")
    assert prompt(task, 0).count("Passage:") == 6
    assert task.doc_to_target(task.task_docs[0]) == ["x 5", "y" * 40]
    assert task.config.generation_kwargs == {
        "until": ["\n"],
        "do_sample": False,
        "max_gen_toks": 64,
    }
    scores = [task.process_results(task.task_docs[0], [said]) for said in ("X 5.", "x 6")]
    assert [score["exact_match"] for score in scores] == [1.0, 0.0]
    assert task.config.metadata["category"] == "reading"
    assert task.config.metadata["cluster"] == "p"


def test_generated_answers_are_texts(folder: Path) -> None:
    """A number becomes a text, blanks at the ends go; lm-eval insists on texts among the shots."""
    write_data(folder / "q.jsonl", [{"question": f"{n} + 1?", "answer": n + 1} for n in range(4)])
    main(["new-task", "q.jsonl", "--scoring", "gen", "--num_fewshot", "3"])
    task = task_of(folder / "q_gen.yaml")
    assert "Question: 2 + 1?\nAnswer: 3\n\nQuestion: 3 + 1?" in prompt(task, 0)
    assert task.process_results(task.task_docs[0], ["4"])["exact_match"] == 1.0


NASTY = ["'", '"', "\\", "{{x}}", "{% if %}", "#", "[1, 2]", "7", "None", "c\u2028d", "a: b", "é"]


@pytest.mark.parametrize("scoring", ["cf", "mcf", "gen"])
def test_texts_survive(scoring: str, folder: Path) -> None:
    """Whatever characters they hold: quotes, braces, digits alone, brackets."""
    rows = [
        {"question": f"{text} {n}?", "choices": [text, f"{text}{text}", "x"], "answer": text}
        for n, text in enumerate(NASTY)
    ]
    write_data(folder / "q.jsonl", rows)
    main(["new-task", "q.jsonl", "--scoring", scoring, "--num_fewshot", "1", "--name", "1_0"])
    task = task_of(folder / "1_0.yaml")
    assert task.task_name == "1_0"
    for number, row in enumerate(rows[1:]):
        document = task.task_docs[number]
        end = f"Question: {row['question']}\nAnswer:"
        if scoring == "mcf":
            options = zip("ABC", row["choices"], strict=True)
            shown = "".join(f" {letter}. {text.strip()}\n" for letter, text in options)
            end = f"Question: {row['question']}\n{shown}Answer:"
        assert prompt(task, number).endswith(end)
        if scoring == "gen":
            assert task.doc_to_target(document) == row["answer"].strip()
        else:
            texts = ["A", "B", "C"] if scoring == "mcf" else [c.strip() for c in row["choices"]]
            assert task.doc_to_choice(document) == texts
            assert task.doc_to_target(document) == 0


@pytest.mark.parametrize("scoring", ["cf", "mcf"])
def test_fixed_labels(scoring: str, folder: Path) -> None:
    labels = ["no", "yes"]
    write_data(folder / "q.csv", [{"question": f"q{n}", "answer": labels[n % 2]} for n in range(6)])
    options = ["--labels", "no,yes", "--num_fewshot", "2", "--name", "mine", "--output", "t.yaml"]
    main(["new-task", "q.csv", "--scoring", scoring, *options])
    task = task_of(folder / "t.yaml")
    assert (task.task_name, len(task.task_docs)) == ("mine", 4)
    assert [task.doc_to_target(d) for d in task.task_docs] == [0, 1, 0, 1]
    assert requests(task, 0) == ([" A", " B"] if scoring == "mcf" else [" no", " yes"])
    assert task.config.metadata["random_baseline"] == 0.5
    assert task.config.metadata["metric"] == "acc,none"


def test_shots_of_a_file_of_their_own(folder: Path) -> None:
    write_data(folder / "q.jsonl", rows_of(ANSWERS["letter"])[2:])
    write_data(folder / "shots.jsonl", rows_of(ANSWERS["letter"])[:2])
    main(["new-task", "q.jsonl", "--scoring", "cf", "--fewshot", "shots.jsonl"])
    task = task_of(folder / "q_cf.yaml")
    assert len(task.task_docs) == 3
    assert prompt(task, 0).count("Question:") == 3
    assert prompt(task, 0).startswith("Question: Which is a colour?\nAnswer: blue\n\n")


def test_without_shots(folder: Path) -> None:
    write_data(folder / "q.jsonl", rows_of(ANSWERS["text"]))
    main(["new-task", "q.jsonl", "--scoring", "cf", "--num_fewshot", "0"])
    task = task_of(folder / "q_cf.yaml")
    assert (len(task.task_docs), prompt(task, 0)) == (5, "Question: Which is a colour?\nAnswer:")


def test_the_file_says_how_to_run_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lm_eval._cli.harness import HarnessCLI

    (folder / "my tasks").mkdir()
    write_data(folder / "q.jsonl", rows_of(ANSWERS["text"]))
    command = ["new-task", "q.jsonl", "--scoring", "cf", "--num_fewshot", "1"]
    main([*command, "--output", "my tasks/q.yaml"])
    file = folder / "my tasks" / "q.yaml"
    assert f"pa-harness check-task {shlex.quote(str(file))}" in capsys.readouterr().out
    text = file.read_text()
    assert len(text.splitlines()) <= 20
    monkeypatch.setattr("sys.argv", shlex.split(text.splitlines()[0].removeprefix("# ")))
    options = HarnessCLI().parse_args()
    assert (str(options.include_path), options.tasks) == (str(file.parent), ["q_cf"])
    main([*command, "--output", "my tasks/q.yaml", "--force"])
    assert file.read_text() == text


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x85"])
def test_a_folders_name_is_no_yaml(folder: Path, end: str) -> None:
    """Line breaks of a path stay inside the comment and the quotes that it is written in."""
    place = folder / f"a{end}process_docs: !function os.system{end}b"
    place.mkdir()
    write_data(place / "q.jsonl", rows_of(ANSWERS["text"]))
    output = ["--output", str(place / "q.yaml")]
    shots = ["--num_fewshot", "0"]
    assert main(["new-task", str(place / "q.jsonl"), "--scoring", "cf", *shots, *output]) == 0
    content = yaml.safe_load((place / "q.yaml").read_text())
    assert "process_docs" not in content
    assert content["task"] == "q_cf"


def test_asks_on_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"q": q, "o": o, "key": a} for q, o, a in zip(QUESTIONS, OPTIONS, GOLD, strict=True)]
    write_data(folder / "q.jsonl", rows)
    asked = at_a_terminal(monkeypatch, "mcf", "q", "o", "key")
    assert main(["new-task", "q.jsonl", "--num_fewshot", "2"]) == 0
    assert [re.split(r",| \(| \[", question)[0] for question in asked] == [
        "Scoring",
        "Column of the question",
        "Column of the options",
        "Column of the answer",
    ]
    assert (folder / "q_mcf.yaml").exists()


@pytest.mark.slow
def test_the_real_command_runs_each(pair: tuple[Path, Path], folder: Path) -> None:
    """With one command; the metric that the metadata names is there, over the rows evaluated."""
    write_data(folder / "q.jsonl", rows_of(ANSWERS["text"]))
    (folder / "tasks").mkdir()
    names = ["q_cf", "q_mcf", "q_gen"]
    for name in names:
        command = ["--scoring", name[2:], "--num_fewshot", "2", "--output", f"tasks/{name}.yaml"]
        assert main(["new-task", "q.jsonl", *command]) == 0
    model = f"pretrained={pair[0]},instruct={pair[1]},lam=0.5"
    options = ["--model", "partially_adapted", "--model_args", model, "--device", "cpu"]
    options += ["--include_path", str(folder / "tasks"), "--tasks", ",".join(names)]
    ran = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", *options, "--output_path", str(folder / "out")],
        cwd=folder / "tasks",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    (file,) = (folder / "out").rglob("results_*.json")
    found = json.loads(file.read_text())
    for name in names:
        metric = found["configs"][name]["metadata"]["metric"]
        assert 0.0 <= found["results"][name][metric] <= 1.0
        assert found["n-samples"][name]["effective"] == 3
