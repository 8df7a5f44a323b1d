"""The package from Python: what the docs' examples and the notebook do, on a tiny pair."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import pa_harness
from pa_harness.analysis.choice import choose
from pa_harness.analysis.reading import read_trajectory
from pa_harness.errors import JudgeError, RunError
from pa_harness.runs.folder import RunFolder

if TYPE_CHECKING:
    from pa_harness.notebook.run import Run

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def given(pair: tuple[Path, Path], toy_tasks: Path) -> dict[str, Any]:
    """A sweep's arguments for the tiny pair and the toy tasks."""
    model_args = {"pretrained": str(pair[0]), "instruct": str(pair[1]), "dtype": "float32"}
    more = {"include_path": [str(toy_tasks)], "device": "cpu"}
    return {"model_args": model_args, "tasks": ["toy_group"], **more}


@pytest.fixture(scope="module")
def run(given: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("python") / "run"
    return pa_harness.sweep(folder, lam=[0, 0.5, 1], **given)


def test_the_import_costs_nothing() -> None:
    code = (
        "import sys, pa_harness; before = set(sys.modules); dir(pa_harness);"
        "heavy = {'numpy', 'torch', 'yaml', 'typing'} & before;"
        "print(sorted(heavy - set(sys.argv)), pa_harness.__all__)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("[] ['Run', '__version__', 'load', 'sweep']")


def test_the_wing_of_the_same_name_stays_a_package(run: Run) -> None:
    from pa_harness.sweep.progress import Progress

    assert Progress.__module__ == "pa_harness.sweep.progress"
    assert callable(pa_harness.sweep)
    with pytest.raises(AttributeError, match="has no attribute 'swep'"):
        pa_harness.swep  # noqa: B018


def test_the_same_call_again_is_the_same_run(run: Run, given: dict[str, Any]) -> None:
    before = RunFolder(run.path).scores_file.stat().st_mtime_ns
    again = pa_harness.sweep(run.path, lam="0:1:0.5", **given)
    assert again.scores.equals(run.scores)
    assert RunFolder(run.path).scores_file.stat().st_mtime_ns == before
    assert repr(again) == f"pa_harness.load({str(run.path)!r})"


def test_documents_average_to_the_scores(run: Run) -> None:
    means = run.documents.groupby(["lam", "task", "metric"])["value"].mean()
    main = run.scores[run.scores["main"]]
    assert len(main) == 2 * 3
    for _, row in main.iterrows():
        found = means[row["lam"], row["task"], f"{row['metric']},{row['filter']}"]
        assert found == pytest.approx(row["value"], abs=1e-12)
    assert set(run.documents.columns) == {"lam", "task", "metric", "document", "value"}


def test_summary_and_choice_are_the_commands(run: Run) -> None:
    icl = run.summary().curve("ICL")
    assert icl is not None
    main = run.scores[run.scores["main"]]
    np.testing.assert_allclose(icl.value.estimate, main.groupby("lam")["value"].mean())
    assert repr(run.choose()) == repr(choose(read_trajectory(run.path)))  # nan is not nan
    weighted = run.choose(weights={"toy_colour": 1.0}).choices
    assert [choice.rule for choice in weighted] == ["best", "weighted"]


def test_figures_show_themselves(run: Run) -> None:
    for name in ("overview", "icl", "tasks"):
        figure = run.plot(name)
        assert figure._repr_svg_().startswith("<svg")
    two = run.plot("overview", run)
    assert len(two.axes[0].get_legend_handles_labels()[1]) == 2
    with pytest.raises(
        RunError, match=r"no figure 'overvew' of this run\. Did you mean overview\?"
    ):
        run.plot("overvew")


def test_it_shows_its_first_screen(run: Run) -> None:
    text = run._repr_html_()
    assert run.choose().choices[0].sentence.replace("'", "&#39;") in text
    assert "few-shot (ICL): 2 tasks, 24 documents" in text
    assert "<svg" in text
    assert "<script" not in text
    assert re.search(r'class="doubt">0 shots, so not few-shot: toy_colour<', text)


def test_its_report_and_itself_beside_itself(run: Run) -> None:
    assert run.report().read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    table = run.compare(run)
    assert set(table["difference"]) == {0.0}


def test_what_is_no_run_is_refused(tmp_path: Path, run: Run) -> None:
    with pytest.raises(RunError, match=r"does not exist\. It is written at the end of a sweep"):
        pa_harness.load(tmp_path)
    with pytest.raises(RunError, match=r"toy|pa_alpaca_eval"):
        run.judge(price="0")
    assert issubclass(JudgeError, Exception)


def executed(cells: list[str], names: dict[str, Any]) -> list[Any]:
    """Run cells one after the other as a notebook does; the values of their last lines."""
    shown = []
    for cell in cells:
        tree = ast.parse(cell)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), names)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
    return [each for each in shown if each is not None]


def test_every_example_of_the_page_runs(
    run: Run, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a folder where runs/first is the run that its first example would make."""
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    cells = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(cells) >= 6
    pairs = {"BASE": given["model_args"]["pretrained"], "INSTRUCT": given["model_args"]["instruct"]}
    first = re.sub(r'"(BASE|INSTRUCT)"', lambda found: repr(pairs[found[1]]), cells[0])
    first = first.replace('"pa_arc_challenge_cf"', '"toy_group"').replace("0:1:0.25", "0:1:0.5")
    options = f"limit=200, include_path={given['include_path']!r}, device='cpu'"
    shown = executed([first.replace("limit=200", options), *cells[1:]], {})
    assert any(hasattr(each, "_repr_html_") for each in shown)
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_the_notebook_runs(
    given: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    book = json.loads((DOCS / "first_sweep.ipynb").read_text(encoding="utf-8"))
    code = [each for each in book["cells"] if each["cell_type"] == "code"]
    assert all(not each["outputs"] for each in code)
    (parameters,) = [each for each in code if "parameters" in each["metadata"].get("tags", ())]
    names: dict[str, Any] = {}
    executed(["".join(parameters["source"])], names)
    assert {"PAIR", "TASKS", "MORE"} <= names.keys()
    names |= {"PAIR": given["model_args"], "TASKS": given["tasks"]}
    names["MORE"] = {"limit": 6, "include_path": given["include_path"], "device": "cpu"}
    shown = executed(["".join(each["source"]) for each in code if each is not parameters], names)
    assert [type(each).__name__ for each in shown] == ["Run", "Picture", "DataFrame"]
    assert len(shown[2]) == 3 * 2
    out = capsys.readouterr().out
    assert "λ = 0.5: " in out
    assert "report.html" in out
