"""Presets by name, as text to copy, and a fine-tuner's sweep with tasks of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import toy

from pa_harness.analysis.choice import choose
from pa_harness.analysis.reading import read_trajectory
from pa_harness.cli.main import main
from pa_harness.errors import SweepError
from pa_harness.runs.config_file import presets
from pa_harness.runs.settings import resolve
from pa_harness.tasks.index import index, lm_eval_index
from pa_harness.tasks.shipped import tasks_folder

if TYPE_CHECKING:
    from conftest import Pair


def test_they_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    listed = capsys.readouterr().out
    for name, file in presets().items():
        assert f"\n{name} " in f"\n{listed}"
        assert main(["presets", name]) == 0
        assert capsys.readouterr().out == file.read_text()
    assert main(["presets", "retension"]) == 2
    assert "There is no preset retension. Did you mean retention?" in capsys.readouterr().err


@pytest.mark.parametrize("name", presets())
def test_each_is_a_sweep_that_the_command_line_goes_over(name: str, tmp_path: Path) -> None:
    found = resolve({"mine": ["my_task"], "limit": 7}, Path(name))
    assert found.lam[0] == 0
    assert found.lam[-1] == 1
    assert found.tasks[-1] == "my_task"
    assert found.mine == ("my_task",)
    assert found.limit == 7
    copy = tmp_path / "copy.yaml"
    copy.write_text(presets()[name].read_text())
    assert resolve({"mine": ["my_task"], "limit": 7}, copy) == found
    assert resolve({"tasks": "a,b", "mine": "b,c"}, Path(name)).tasks == ("a", "b", "c")


def test_a_users_file_goes_before_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("icl").write_text("{lam: 0.5, tasks: [other]}")
    assert resolve({}, Path("icl")).tasks == ("other",)
    with pytest.raises(
        SweepError, match=r"or one of the presets icl, lora, reasoning, retention\."
    ):
        resolve({}, Path("retain"))


@pytest.mark.parametrize(
    ("tasks", "mine"), [(["a"], ["a"]), (["b", "a"], ["a", "b"]), ([], ["a", "b"])]
)
def test_what_must_not_be_lost_is_named_too(tasks: list[str], mine: list[str]) -> None:
    with pytest.raises(SweepError, match=r"--mine names every task .* Name other tasks, too"):
        resolve({"tasks": tasks, "mine": mine, "lam": "0:1:0.5"})


def test_own_tasks_are_kept_and_the_words_are_a_fine_tuners(
    pair: Pair, toy_tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {**toy.toy_settings(pair, toy_tasks).as_dict(), "tasks": ["toy_colour"]}
    settings = resolve({**given, "mine": ["toy_kind", "toy_answer"]})
    assert settings.tasks == ("toy_colour", "toy_kind", "toy_answer")
    run = tmp_path / "run"
    toy.run(settings, run)
    found = read_trajectory(run)
    assert found.mine == ("toy_kind", "toy_answer")
    suites = {suite.name: [task.name for task in suite.tasks] for suite in found.suites()}
    assert suites["ICL"] == ["toy_colour"]
    assert set(suites["mine"]) == {"toy_kind", "toy_answer"}
    assert "IF" not in suites
    (choice,) = choose(found, tolerance=0.05).choices
    assert choice.meaning == "best ICL with mine ≥ 95% of mine(1)"
    assert main(["choose", str(run), "--maximize", "toy_colour", "--keep", "mine>=90%"]) == 0
    said = capsys.readouterr().out
    assert "λ = 1 is your fine-tune, λ = 0 its parent." in said
    assert "its IF change" not in said
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "λ = 1 is your fine-tune, λ = 0 its parent" in page
    assert "(0 = its parent, 1 = your fine-tune)" in page
    assert "(0 = base, 1 = instruct)" not in page
    assert found.label.startswith("your fine-tune ")
    assert found.label in page
    assert "its IF change" not in page


def test_tasks_of_presets_exist() -> None:
    known = {**lm_eval_index(), **index(tasks_folder())}
    for name in presets():
        for task in resolve({"mine": "arc_easy"}, Path(name)).tasks:
            assert task in known, (name, task)
