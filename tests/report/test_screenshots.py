"""Reports in a browser: nothing is wider than its page, clipped, or hard to read. Slow."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browser import Browser
from simulated import LAMS, trajectory, truth

from pa_harness.analysis.asked.language import Asked
from pa_harness.analysis.choice import choose
from pa_harness.analysis.pairs.ledger import ledger
from pa_harness.analysis.summary import summarise
from pa_harness.analysis.trajectory import TaskCurve, Trajectory
from pa_harness.report.changes import ChangedDocument
from pa_harness.report.figures import all_figures
from pa_harness.report.page import Contents, report_html, with_tips
from pa_harness.runs.scores import Score
from pa_harness.tasks.shipped import INSTRUCTION

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs the Debian package chromium"),
]
AUDIT = (Path(__file__).parents[1] / "support/looked_at.js").read_text(encoding="utf-8")
# Chromium's default paper is 8.5 inches wide, less its margins of 0.4 inches.
VIEWS: dict[str, dict[str, Any]] = {
    "screen": {"width": 1280},
    "dark": {"width": 1280, "dark": True},
    "phone": {"width": 390},
    "paper": {"width": 739, "paper": True},
    "paper of a dark screen": {"width": 739, "paper": True, "dark": True},
}
CELLS = ' aria-label="Tasks and λ"'
LONG = "a_name_" + "of_two_hundred_characters_" * 7 + "at_last_end"
EVIL = """</script><img src=x onerror="a">{{ 7*7 }}& $x$ \\frac “‮”"""


def tasks(count: int, documents: int, category: str = "reading") -> tuple[TaskCurve, ...]:
    random = np.random.default_rng(count)
    found = trajectory(truth("peak", count), documents, random, category).tasks
    kinds = ("reading", "knowledge", "commonsense", "mathematics", "social", "language")
    if count < 6 or category != "reading":
        return found
    return tuple(replace(each, category=kinds[n % 6]) for n, each in enumerate(found))


def followed(documents: int = 60) -> tuple[TaskCurve, ...]:
    return trajectory(truth("rise", 1), documents, np.random.default_rng(9), INSTRUCTION).tasks


def named(found: tuple[TaskCurve, ...], name: str) -> tuple[TaskCurve, ...]:
    return tuple(
        replace(each, name=f"{name}{n}", counted=f"{name}{n}", category=f"{name} {each.category}")
        for n, each in enumerate(found)
    )


@cache
def contents(case: str) -> Contents:
    asked = None
    label = "google/gemma-3-270m → our-tune"
    if case == "1 task, 3 documents":
        found = Trajectory(label, LAMS, tasks(1, 3), ())
    elif case == "4 tasks":
        found = Trajectory(label, LAMS, (*tasks(4, 80), *followed()), ())
        asked = Asked("ICL", ("IF>=98%", "ICL>=99%@0"))
    elif case == "21 tasks":
        found = Trajectory(label, LAMS, (*tasks(21, 40), *followed()), ("one task left out",))
    elif case == "hostile":
        found = Trajectory(EVIL, LAMS, (*named(tasks(3, 30), EVIL), *followed()), (EVIL,))
    elif case == "long names":
        found = Trajectory(LONG, LAMS, (*named(tasks(3, 30), LONG), *followed()), (LONG,))
    elif case == "judge":
        judge = "alpaca_eval by weighted_alpaca_eval_gpt4_turbo against gpt4_1106_preview"
        judged = replace(followed()[0], name=judge, counted=judge, metric="win_rate,none")
        found = Trajectory(label, LAMS, (*tasks(4, 80), judged), ())
    else:
        assert case == "nothing right at λ = 1"
        wrong = [
            replace(each, values=np.where(LAMS[:, None] == 1, 0.0, each.values))
            for each in tasks(2, 30)
        ]
        found = Trajectory(label, LAMS, tuple(wrong), ())
    name = found.tasks[0].name
    right = (1.0,) * 5 + (0.0,) * 6
    changed = [ChangedDocument(name, 1, f"Question: {name}?", name, (name[:90],) * 11, right)] * 2
    scores = [
        Score(
            *(each.name, "acc", "none", float(each.values[n].mean())),
            **{
                "lam": lam,
                "base": label,
                "category": each.category,
                "num_fewshot": 5,
                "main": True,
            },
        )
        for each in found.tasks
        for n, lam in enumerate(LAMS)
    ]
    summary = summarise(found)
    command = f"pa-harness sweep --tasks {name} --output_path runs/first"
    settings = {"tasks": [each.name for each in found.tasks], "limit": 3 if "3" in case else None}
    return Contents(
        *(summary, choose(found, asked=asked), scores, changed),
        *({"command": command, "settings": settings}, "task,value"),
        distances={0: 0.75 if case == "hostile" else 0.021},
        ledger=ledger(found),
    )


CASES = (
    *("1 task, 3 documents", "4 tasks", "21 tasks", "hostile", "long names", "judge"),
    "nothing right at λ = 1",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


def audit(browser: Browser, *, scrolls: bool = False) -> list[str]:
    """What is wrong with the page, tables that scroll left out where they may."""
    found: list[str] = browser.run(f"({AUDIT})({{ scrolls: {str(scrolls).lower()} }})")
    return found


def page_of(case: str, folder: Path) -> Path:
    page = folder / f"{case}.html"
    if not page.exists():
        page.write_text(report_html(contents(case)), encoding="utf-8")
    return page


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("case", CASES)
def test_a_report_as_it_is_shown(case: str, view: str, browser: Browser, place: Path) -> None:
    browser.show(page_of(case, place), **VIEWS[view])
    phone = view == "phone"
    assert audit(browser, scrolls=phone) == []


@pytest.mark.parametrize("view", VIEWS)
def test_two_runs_overlaid(view: str, browser: Browser, place: Path) -> None:
    first, other = contents("4 tasks").summary, contents("21 tasks").summary
    runs = [first, replace(other, label=LONG)]
    page = place / "two runs.html"
    images = "".join(
        f"<figure{CELLS * name.startswith('heat')}>{with_tips(figure, runs)}</figure>"
        for name, figure in all_figures(runs).items()
    )
    head = report_html(contents("4 tasks")).partition("<body>")[0]
    page.write_text(f'{head}<body><div class="figures">{images}</div>', encoding="utf-8")
    browser.show(page, **VIEWS[view])
    assert audit(browser) == []
    assert "the runs' tasks differ" in browser.run("document.body.textContent")


def test_what_is_wrong_is_found(browser: Browser, place: Path) -> None:
    """The page of one case, spoilt in each way that is looked for."""
    text = page_of("4 tasks", place).read_text(encoding="utf-8")
    spoilt = place / "spoilt.html"
    for style, said in (
        ("h1 { width: 1400px; }", "wider than the page"),
        (".verdict { color: #999; }", "contrast"),
        ("h2 { overflow: hidden; width: 3rem; white-space: nowrap; }", "clipped"),
        ("td { padding: 0 8rem; }", "scrolls"),
        ("figure.head text { transform: translate(-400px); }", "outside its figure"),
    ):
        spoilt.write_text(text.replace("</style>", f"{style}</style>", 1), encoding="utf-8")
        browser.show(spoilt, width=1280)
        found = audit(browser)
        assert any(said in each for each in found), (said, found)
