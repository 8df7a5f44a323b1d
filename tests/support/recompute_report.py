"""Every number of a report.html once more: ``python tests/support/recompute_report.py RUN``.

They are calculated from lm-eval's sample logs and results files alone (`recomputed_run`), and
compared to the last digit shown; intervals of averages are, too (`recomputed_intervals`), of bands,
differences in percent and what stands beside the scores only that they hold their estimate. Not
checked are the numbers in the heat map, which are drawn as shapes (the tooltips of the tasks have
them too), what cross-fitting gives, and standard errors that lm-eval bootstraps.
It imports nothing of pa_harness.
"""

from __future__ import annotations

import math
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from recomputed_ledger import of_table
from recomputed_page import Page
from recomputed_run import Run, answer_shown, factor_of

PER_TASK = 12  # documents that the page shows
_COLUMNS = {  # of the tables of averages: what, and which of its numbers
    **{"value": ("value", 0), "95%": (None, 1), "λ − 1": ("to_instruct", 0)},
    **{"95%, all λ at once": ("band", 1), "λ − 0": ("to_base", 0)},
    **{"λ − 1, %": ("fractional", 0), "95%, over tasks": ("over", 1)},
}


class Check:
    """Compares what is shown with what should be."""

    def __init__(self, folder: Path) -> None:
        self.run = Run(folder)
        self.text = (folder / "report.html").read_text("utf-8")
        self.page = Page(self.text)
        self.compared = 0
        self.wrong: list[str] = []

    def number(self, shown: str, value: float, where: str) -> None:
        """One number; “–” and nothing are NaN. It must be right to the last digit shown."""
        self.compared += 1
        if shown in ("–", ""):
            right = math.isnan(value)
        else:
            digits = len(re.sub(r"e.*", "", shown).partition(".")[2])
            off = abs(float(shown) - value)
            right = off <= 0.5000001 * 10**-digits or off <= 1e-5 * abs(value)
        if not right:
            self.wrong.append(f"{where}: {shown} is shown, {value!r} is right")

    def texts(self, shown: Any, right: Any, where: str) -> None:
        """What must be equal as it is."""
        self.compared += 1
        if shown != right:
            self.wrong.append(f"{where}: {shown!r} is shown, {right!r} is right")

    def cell(self, shown: str, found: Any, row: int, where: str) -> None:
        """A cell with one number, or with an interval, which has the number inside."""
        if " to " in shown:
            self.inside(shown.split(" to "), float(found[row]), where)
        else:
            self.number(shown, float(found[row]), where)

    def inside(self, ends: Any, value: float, where: str) -> None:
        """An interval that holds its estimate, or is unknown."""
        self.compared += 1
        low, high = (math.nan if end == "–" else float(end) for end in ends)
        if low - 1e-4 > value or high + 1e-4 < value:
            self.wrong.append(f"{where}: {low} to {high} does not hold {value!r}")

    def ends(self, shown: Any, right: Any, where: str) -> None:
        """Both ends of an interval, to the grid that they were looked for on."""
        self.compared += 1
        off = [abs(float(each) - end) for each, end in zip(shown, right, strict=True)]
        last = 10.0 ** -len(shown[0].partition(".")[2])
        if max(off) > last / 2 + 1.5e-4 * max(1.0, *map(abs, right)):
            self.wrong.append(f"{where}: {shown} are shown, {right} are right")

    def everything(self) -> None:
        """All of the page; a table that is not known is wrong, too."""
        for caption, rows in self.page.tables:
            head = rows[0]
            if caption == "Which λ?":
                self.choices(rows)
            elif head[0] == "λ" and head[1:3] in (["value", "95%"], ["value, points", "95%"]):
                self.average(caption, rows)
            elif caption.startswith("Every score ("):
                self.scores(caption, rows)
            elif caption == "Calibration and answers":
                self.aside(rows)
            elif head == ["λ", "value", "answer"]:
                self.document(caption, rows)
            elif head[:2] == ["λ", "lost"]:
                self.ledger(caption, rows)
            elif caption != "What was run":
                self.wrong.append(f"unknown table {caption!r}")
        for group, tip in self.page.tips:
            self.tip(group, tip)
        self.texts(self.page.labels, [tip for _, tip in self.page.tips], "labels of markers")
        self.shown_documents()
        (count,) = re.findall(r"a sweep of (\d+) λ", self.text)
        self.texts(int(count), len(self.run.lams), "title")

    def choices(self, rows: list[list[str]]) -> None:
        """Values at the candidates and at λ = 1, and the front; P: test_constraints.py."""
        if rows[0][0] == "λ":
            return
        for line, quote in zip(rows[1:], self.page.quotes, strict=True):
            candidate, where = float(line[2]), line[0]
            self.texts(line[1] in (("–",) if "No λ may" in quote else ("1", line[2])), True, where)
            value, one = self.run.at("ICL", candidate), self.run.at("ICL", 1.0)
            factor = self.factor(rows[0][3], [value, one], where)
            for text, right in zip(line[3:6], (value, one, value - one), strict=True):
                self.number(text, factor * right, where)
            self.inside(line[6].split(" to "), factor * (value - one), where)
            better = float(line[6].split(" to ")[0]) > 0
            self.texts("is better than λ = 1" in quote, better and line[1] == line[2], quote)
            self.texts(f"'{line[0]}'" in quote, True, quote)
        front = re.findall(r"Pareto front of ICL and IF: λ = ([^<]*)\.</p>", self.text)
        self.texts(front[0] if front else None, self.run.pareto(), "Pareto front")

    def average(self, caption: str, rows: list[list[str]]) -> None:
        """One average by λ."""
        name, _, counts = caption.rpartition(": ")
        tasks, found = self.run.members[name], self.run.curve(name)
        documents = sum(len(task.ids) for task in tasks)
        counted = len({task.counted for task in tasks})
        right = f"{counted} task{'' if counted == 1 else 's'}, {documents} documents"
        self.texts(counts.partition(" in ")[0], right, caption)
        factor = self.factor(rows[0][1], found["value"], caption)
        for row, line in enumerate(rows[1:]):
            self.number(line[0], self.run.lams[row], caption)
            last = ""
            for title, shown in zip(rows[0][1:], line[1:], strict=True):
                what, _ = _COLUMNS[title.removesuffix(", points")]
                last = what or last
                where = f"{caption}, λ = {line[0]}, {title}"
                scale = 1 if last == "fractional" else factor
                self.cell(shown, scale * np.asarray(found[last]), row, where)
                if " to " in shown and f"{last} ends" in found:
                    self.ends(
                        shown.split(" to "), scale * np.asarray(found[f"{last} ends"][row]), where
                    )

    def factor(self, title: str, values: Any, where: str) -> int:
        """Of what is shown: 100 of points, which all fractions are in, and nothing else."""
        self.texts(title.endswith(", points"), factor_of(values) == 100, f"{where}, {title}")
        return factor_of(values)

    def scores(self, caption: str, rows: list[list[str]]) -> None:
        """Every score: mean, standard error and number of the documents' values."""
        self.texts(caption, f"Every score ({len(rows) - 1})", caption)
        for line in rows[1:]:
            cells = dict(zip(rows[0], line, strict=True))
            lam, where = float(cells["lam"]), " ".join(line[:3])
            task = next(task for task in self.run.tasks if task.name == cells["task"])
            values = task.metric(self.run.lams.index(lam), cells["metric"], cells["filter"])
            self.number(cells["value"], float(np.mean(values)), where)
            if not cells["metric"].endswith("f1") and len(values) == len(task.ids):
                spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
                self.number(cells["stderr"], spread, f"{where}, stderr")  # else lm-eval's bootstrap
            self.texts(int(cells["n"]), len(task.ids), where)
            results = self.run.results[lam]
            self.texts(int(cells["num_fewshot"]), results["n-shot"][task.name], where)
            self.number(cells["random_baseline"], task.baseline, where)
            self.number(cells["lam_eff"], float(results["config"]["lam_eff"]), where)

    def aside(self, rows: list[list[str]]) -> None:
        """Calibration and answers."""
        names = rows[0][1::2]
        self.texts(set(names), set(self.run.beside), "columns beside the scores")
        for row, line in enumerate(rows[1:]):
            self.number(line[0], self.run.lams[row], "beside")
            for place, name in enumerate(names):
                for shown in line[1 + 2 * place : 3 + 2 * place]:
                    self.cell(shown, self.run.beside[name], row, f"{name}, λ = {line[0]}")

    def ledger(self, caption: str, rows: list[list[str]]) -> None:
        """What was lost and won by λ."""
        found = of_table(self.run, caption)
        for row, line in enumerate(rows[1:]):
            for place, name in enumerate(rows[0][1::2]):
                for shown in line[1 + 2 * place : 3 + 2 * place]:
                    self.cell(shown, found[name], row, f"{caption}, λ = {line[0]}, {name}")

    def document(self, caption: str, rows: list[list[str]]) -> None:
        """A document's value and answer by λ."""
        said = re.fullmatch(r"(.*) #(\d+): (.*)", caption.strip())
        task = next(task for task in self.run.tasks if said and task.name == said[1])
        column = task.ids.index(int(said[2]) if said else -1)
        self.page.documents.append(f"{task.name} #{task.ids[column]}")
        values = task.values[:, column]
        for shown, value in zip(said[3].split() if said else [], values, strict=True):
            self.number(shown, value, caption)
        for row, line in enumerate(rows[1:]):
            self.number(line[0], self.run.lams[row], caption)
            self.number(line[1], values[row], caption)
            self.texts(line[2].strip(), answer_shown(task, row, column).strip(), caption)

    def shown_documents(self) -> None:
        """Those whose value changes most often along λ."""
        right = []
        for task in self.run.tasks:
            changes = [sum(a != b for a, b in pairwise(v)) for v in task.values.T]
            order = sorted(range(len(changes)), key=lambda n, c=changes: -c[n])[:PER_TASK]
            right += [f"{task.name} #{task.ids[n]}" for n in order if changes[n]]
        self.texts(self.page.documents, right, "documents shown")
        (count,) = re.findall(r"(\d+) documents, those that change most", self.text)
        self.texts(int(count), len(right), "documents")

    def tip(self, group: str, tip: str) -> None:
        """What a marker in a figure says of itself."""
        _, _, place, which = group.split("-")
        numbers = r"(-?[\d.]+|nan)"
        if which in ("plane", "cost"):
            plane = which == "plane"
            form = f"ICL {numbers}, IF {numbers}" if plane else f"{numbers} with {numbers} tokens"
            said = re.fullmatch(rf"λ = (.*): {form}", tip)
            row = self.run.lams.index(float(said[1]) if said else math.nan)
            ends = [self.run.curve(n)["value"] for n in ("ICL", "IF")] if plane else self.run.cost
            for text, right in zip(said.groups()[1:] if said else [], ends, strict=True):
                self.number(text, (factor_of(right) if plane else 1) * right[row], tip)
            return
        said = re.fullmatch(rf"(.*), λ = (\S+): {numbers} \(95% {numbers} to {numbers}\)", tip)
        name, lam, *shown = said.groups() if said else ("", "", "")
        found = self.run.beside[place] if which == "aside" else self.run.curve(name)[which]
        value = float(found[self.run.lams.index(float(lam))])
        if which not in ("aside", "fractional"):
            value *= factor_of(self.run.curve(name)["value"])
        self.number(shown[0], value, tip)
        self.inside(shown[1:], value, tip)


def check(folder: Path) -> tuple[int, list[str]]:
    """How many numbers were compared, and a line for each that is not right."""
    found = Check(folder)
    found.everything()
    return found.compared, found.wrong


if __name__ == "__main__":
    compared, wrong = check(Path(sys.argv[1]))
    print(f"{compared} compared, {len(wrong)} wrong", *wrong, sep="\n")
    sys.exit(bool(wrong))
