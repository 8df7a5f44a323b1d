"""The report: every number from the sample logs, escaped, alone in its file."""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recompute_report import Check, Page, check
from toy import run, toy_settings, write_tasks

from pa_harness.analysis.choice import choose
from pa_harness.analysis.pairs.ledger import Moved
from pa_harness.analysis.reading import read_trajectory
from pa_harness.analysis.summary import summarise
from pa_harness.analysis.trajectory import TaskCurve, Trajectory
from pa_harness.cli import main as cli
from pa_harness.leaderboards.comparison import Row
from pa_harness.leaderboards.sections import Section
from pa_harness.report.changes import ChangedDocument
from pa_harness.report.page import Contents, report_html
from pa_harness.report.publish import _with_hashes, publish
from pa_harness.runs.folder import RunFolder
from pa_harness.runs.logged import answer_text
from pa_harness.runs.scores import Score
from pa_harness.runs.tables import as_csv

EVIL = """</script><script>document.title='x'</script><img src=x onerror="a">{{ 7*7 }}"""


@pytest.fixture(scope="module")
def folder(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published run; do not write to it."""
    place = tmp_path_factory.mktemp("published")
    tasks = write_tasks(place, documents=24)
    (tasks / "toy_kind.yaml").write_text(
        (tasks / "toy_kind.yaml").read_text().replace('" blue"', '"?"')
    )
    run(toy_settings(pair, tasks), place / "run")
    publish(place / "run")
    return place / "run"


def logged(folder: Path) -> dict[tuple[str, float], list[dict[str, Any]]]:
    """The sample logs by task and λ: all that the independent calculation reads."""
    found = {}
    for path in folder.glob("lam=*/samples_*.jsonl"):
        task = re.sub(r"^samples_|_[\dT.-]+\.jsonl$", "", path.name)
        lam = float(path.parent.name.removeprefix("lam="))
        found[task, lam] = [json.loads(line) for line in path.read_text().splitlines()]
    return found


def test_the_ledgers_documents_are_told_by_their_digests(folder: Path) -> None:
    (log,) = (folder / "lam=1").glob("samples_toy_kind_*.jsonl")
    moved = [Moved("toy_kind", number, 1.0, 0.5, "lost", 1.0, 0.0) for number in (3, 0, 10**6)]
    samples = {each["doc_id"]: each["doc_hash"] for each in logged(folder)["toy_kind", 1.0]}
    right = [samples[3], samples[0], ""]  # and none of what is in no log
    assert [each.doc_hash for each in _with_hashes(moved, {"toy_kind": log})] == right
    lost = _with_hashes(moved, {"toy_kind": folder / "none.jsonl"})
    assert [each.doc_hash for each in lost] == ["", "", ""]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def options(sample: dict[str, Any]) -> tuple[list[float], int]:
    values = [math.exp(float(each[0][0])) for each in sample["resps"]]
    return [value / sum(values) for value in values], int(sample["target"])


def test_every_number_again_from_the_sample_logs(folder: Path) -> None:
    samples, lams = logged(folder), (0.0, 0.5, 1.0)
    metric = {"toy_colour": "acc", "toy_kind": "acc", "toy_answer": "exact_match"}
    by = {(t, lam): mean([s[metric[t]] for s in samples[t, lam]]) for t in metric for lam in lams}
    curves = {"IF": "toy_answer", "toy_colour": "toy_colour", "toy": "toy_kind"}
    values = {name: [by[task, lam] for lam in lams] for name, task in curves.items()}
    values["ICL"] = [(by["toy_colour", lam] + by["toy_kind", lam]) / 2 for lam in lams]
    summary = json.loads((folder / "summary.json").read_text())
    found = {curve["name"]: curve for curve in summary["curves"]}
    page = Page((folder / "report.html").read_text())
    for name, expected in values.items():
        curve = found[name]
        assert curve["value"]["estimate"] == pytest.approx(expected, abs=1e-12)
        for field, reference in (("to_instruct", expected[2]), ("to_base", expected[0])):
            differences = [value - reference for value in expected]
            assert curve[field]["estimate"] == pytest.approx(differences, abs=1e-12)
        if expected[2] and curve["fractional"]:
            percent = [100 * (value - expected[2]) / expected[2] for value in expected]
            assert curve["fractional"]["estimate"] == pytest.approx(percent, abs=1e-9)
    for lam, value in zip(lams, values["ICL"], strict=True):
        assert any(row[:2] == [f"{lam:g}", f"{100 * value:.2f}"] for row in page.rows)
    for place, lam in enumerate(lams):
        both = [[options(s) for s in samples[t, lam]] for t in ("toy_colour", "toy_kind")]
        brier = [
            mean([sum((p - (n == right)) ** 2 for n, p in enumerate(ps)) for ps, right in each])
            for each in both
        ]
        assert summary["aside"]["brier"]["estimate"][place] == pytest.approx(mean(brier), rel=1e-9)


def test_every_number_on_the_page_again_by_a_script_of_its_own(folder: Path) -> None:
    compared, wrong = check(folder)
    assert wrong == [], "\n".join(wrong)
    assert compared > 300
    scripts = ["recompute_report.py"]
    scripts += [f"recomputed_{name}.py" for name in ("run", "values", "intervals")]
    support = Path(__file__).parents[1] / "support"
    texts = [(support / name).read_text() for name in scripts]
    assert not any(re.search(r"^\s*(from|import) pa_harness", text, re.M) for text in texts)


def test_the_script_finds_any_number_that_is_changed(folder: Path, tmp_path: Path) -> None:
    """The last digit of a dozen numbers all over the page's tables, one at a time."""
    mine = tmp_path / "run"
    shutil.copytree(folder, mine)
    text = (mine / "report.html").read_text()
    first, cut = text.index('id="tables"'), text.index("What was run</h2>")
    numbers = re.finditer(r"<td>[+-]?\d+\.\d{2}(?:\d\d)?(?=</td>)", text[:cut])
    places = [m.end() - 1 for m in numbers if m.start() > first]
    found = Check(mine)
    for place in places[:: len(places) // 12]:
        digit = str((int(text[place]) + 5) % 10)
        found.text = text[:place] + digit + text[place + 1 :]
        found.page, found.wrong = Page(found.text), []
        found.everything()
        assert found.wrong, text[place - 60 : place + 20]


def test_the_page_is_alone_and_says_what_was_run(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "img")
        for name in ("src", "href", "xlink:href"):
            assert not re.match(r"(https?:)?//", attributes.get(name) or "")
    rows = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert rows["model: base.name"].endswith("base")
    assert rows["settings: tasks"] == "['toy_group', 'toy_answer']"
    assert rows["versions: lm_eval"]
    link = next(a["href"] for tag, a in page.tags if tag == "a" and "download" in a)
    assert link is not None
    table = base64.b64decode(link.partition(",")[2]).decode()
    assert table == as_csv(Score, RunFolder(folder).scores())
    assert text.count("tabindex") >= 3 * 3  # markers can be reached with the keyboard
    choice = json.loads((folder / "choice.json").read_text())["choices"][0]["sentence"]
    assert choice.replace("'", "&#39;") in text


def hostile() -> str:
    lams = np.array([0.0, 1.0])
    values = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    task = TaskCurve(EVIL, EVIL, EVIL, "acc,none", values, np.arange(3))
    found = Trajectory(EVIL, lams, (task,), (), (EVIL,))
    changed = ChangedDocument(EVIL, 1, EVIL, EVIL, (EVIL, EVIL), (0.0, 1.0))
    scores = [Score(EVIL, EVIL, EVIL, 0.5, lam=1.0, base=EVIL, category=EVIL)]
    contents = Contents(
        *(summarise(found), choose(found), scores, [changed]),
        *({"command": EVIL, "started": EVIL, "settings": {EVIL: {EVIL: EVIL}}}, EVIL),
    )
    return report_html(contents)


def test_hostile_text_stays_text() -> None:
    page = Page(hostile())
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert any(EVIL in cell for row in page.rows for cell in row)
    policy = next(a for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert str(policy["content"]).startswith("default-src 'none';")


def beside(model: str, *sentences: str) -> Section:
    row = Row(
        "ARC", "ours", 1.0, 0.5, 0.1, model, 0.4 if model else math.nan, 0.1, 1.0, "v", (), (), ""
    )
    return Section("The board", "board", "2024", (row,), sentences, ())


def test_no_table_stands_where_no_number_was_published(folder: Path) -> None:
    """Only the sentence that says so."""
    trajectory = read_trajectory(folder)
    sections = (beside("", "ours: no published number."), beside("M"), beside(""))
    page = report_html(Contents(summarise(trajectory), None, [], [], {}, "", comparisons=sections))
    first, second, third = page.split("<h3>The board</h3>")[1:]
    assert "ours: no published number." in first
    assert "<table" not in first
    assert "<td>ARC</td>" in second
    assert "There is no published number of these models." not in first + second
    assert third.split("<h2")[0].strip() == "<p>There is no published number of these models.</p>"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs the Debian package chromium")
@pytest.mark.parametrize("which", ["real", "hostile"])
def test_a_browser_runs_the_page(which: str, folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    text = (folder / "report.html").read_text() if which == "real" else hostile()
    probe = """<script>
    document.querySelector("table.sortable button").click();
    document.querySelector("table.sortable button").click();
    const first = document.querySelector("table.sortable tbody tr td").textContent;
    document.body.dataset.probe = `${document.title} first=${first}`;
    </script>"""
    page.write_text(text.replace("</body>", f"{probe}</body>"))
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert 'aria-sort="descending"' in done.stdout
    assert re.search(r'data-probe="[^"]*λ sweep first=1"', done.stdout)


def test_answers_as_people_read_them() -> None:
    arguments = {f"gen_args_{n}": {"arg_0": "c", "arg_1": text} for n, text in enumerate("ab")}
    choice = {"arguments": arguments, "resps": [[["-2.0", "False"]], [["-1.0", "True"]]]}
    assert answer_text(choice) == "b"
    assert answer_text({"arguments": {}, "resps": [["text"]]}) == "text"
    assert answer_text({"arguments": {}, "resps": [[["-3.5", "False"]]]}) == "log-likelihood -3.5"


def test_the_verbs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "run"
    shutil.copytree(folder, mine)
    before = (mine / "report.html").read_text()
    (mine / "report.html").unlink()
    assert cli.main(["report", str(mine)]) == 0
    assert "Report: " in capsys.readouterr().out
    assert (mine / "report.html").read_text() == before
    assert cli.main(["summary", str(mine), "--format", "csv"]) == 0
    assert "ICL (2 tasks, 48 documents)" in capsys.readouterr().out
    assert (mine / "scores.csv").read_text() == as_csv(Score, RunFolder(mine).scores())
    assert cli.main(["choose", str(mine), "--weights", "ICL=1", "toy=2"]) == 0
    assert "best 1·ICL + 2·toy" in capsys.readouterr().out
    assert cli.main(["plot", str(mine), str(mine), "-o", str(tmp_path / "both")]) == 0
    assert "tasks differ" not in capsys.readouterr().err
    assert (tmp_path / "both" / "heat_map_2.svg").exists()
    assert cli.main(["choose", str(tmp_path)]) == 2
    assert "RunError: " in capsys.readouterr().err
