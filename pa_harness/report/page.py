"""One self-contained HTML page of a finished sweep: it needs no network and runs no foreign code.

Everything that comes from data or models is escaped by the template; a content security policy
forbids the page to load anything.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field, fields
from importlib import resources
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from pa_harness.analysis.words import how_tried, percent
from pa_harness.markdown import Scale, number, signed
from pa_harness.report.basis import basis
from pa_harness.report.figures import all_figures
from pa_harness.report.ledger import HEADER, line_cells
from pa_harness.report.overview import overview
from pa_harness.report.plots import TITLES
from pa_harness.report.text import scales, size_text
from pa_harness.runs.scores import Score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pa_harness.analysis.intervals import Pointwise
    from pa_harness.analysis.pairs.ledger import Ledger
    from pa_harness.analysis.summary import Summary
    from pa_harness.analysis.verdict import Choices
    from pa_harness.leaderboards.sections import Section
    from pa_harness.report.changes import ChangedDocument
    from pa_harness.report.picture import Picture

_BROAD = 8.0  # inches: half of a page would make its letters too small
_PLAIN = Scale()
_SVG = "http://www.w3.org/2000/svg"
_TITLES = {
    **TITLES,
    "categories": "Categories",
    "tasks": "Tasks",
    "heat_map": "Tasks and λ",
    "ledger": "Documents won and lost",
    "calibration": "Calibration",
}


@dataclass(frozen=True)
class Contents:
    """All that a report shows."""

    summary: Summary
    choices: Choices | None  # None where the sweep lacks λ = 1 or ICL tasks
    scores: Sequence[Score]
    changed: Sequence[ChangedDocument]
    provenance: Mapping[str, Any]
    csv: str  # the table of scores, for download
    comparisons: Sequence[Section] = ()  # with published numbers
    distances: Mapping[int, float] = field(default_factory=dict)  # as `basis` has them
    ledger: Ledger | None = None


def report_html(contents: Contents) -> str:
    """The page as text."""
    summary = contents.summary
    choices = contents.choices
    figures = all_figures([summary], choices, contents.ledger)
    drawn = {name: with_tips(figure, [summary]) for name, figure in figures.items()}
    broad = {name for name, figure in figures.items() if max(figure.get_size_inches()) > _BROAD}
    head = drawn.pop("overview", "")
    text: str = template("page.html.j2").render(
        contents=contents,
        summary=summary,
        figures=[(_TITLES.get(name, name), image, name in broad) for name, image in drawn.items()],
        columns=[field.name for field in fields(Score)],
        facts=_facts(contents.provenance),
        scales=scales(choices) if choices else (),
        ledger_header=HEADER,
        ledger_cells=line_cells,
        csv=base64.b64encode(contents.csv.encode("utf-8")).decode("ascii"),
        **_first(contents, head),
    )
    return text


def first_screen_html(contents: Contents) -> str:
    """The page's head alone (verdict, what it rests on, one figure), for a notebook."""
    style = template("style.css").render()
    figure = overview([contents.summary], contents.choices.chosen if contents.choices else None)
    head = with_tips(figure, [contents.summary]) if figure else ""
    body = template("first.html.j2").render(**_first(contents, head))
    return f'<div class="pa-harness"><style>{style}</style>{body}</div>'


def _first(contents: Contents, head: str) -> dict[str, Any]:
    chosen = contents.choices.choices if contents.choices else ()
    return {
        "sentences": [choice.sentence for choice in chosen],
        "badges": basis(contents.summary, contents.scores, contents.provenance, contents.distances),
        "overview": head,
    }


def template(name: str) -> Any:
    """A template of the report's, with what all of them use."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = resources.files("pa_harness.report")
    loader = FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8"))
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=loader)
    environment.filters |= {"number": number, "signed": signed, "size": size_text}
    environment.filters |= {"percent": percent, "how_tried": how_tried}
    return environment.get_template(name)


def with_tips(figure: Picture, summaries: Sequence[Summary]) -> str:
    """The figure as SVG whose markers tell their numbers when pointed at or focused."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(figure.svg())
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    root.set("role", "img")
    for group in root.iter(f"{{{_SVG}}}g"):
        tips = _tips(group.get("id", ""), summaries)
        for marker, tip in zip(group.iter(f"{{{_SVG}}}use"), tips, strict=False):
            ElementTree.SubElement(marker, f"{{{_SVG}}}title").text = tip
            marker.set("tabindex", "0")
            marker.set("aria-label", tip)
    return ElementTree.tostring(root, encoding="unicode")


def _tips(group: str, summaries: Sequence[Summary]) -> list[str]:
    """One text per marker of a group that `drawing.tip_id` named; none for other groups."""
    if not group.startswith("tip-"):
        return []
    _, number, place, which = group.split("-")
    summary = summaries[int(number)]
    if which == "aside":
        return _rows(place, summary, summary.aside[place])
    if which == "cost":
        costs = summary.costs
        pairs = (
            zip(summary.lams, costs.score.estimate, costs.tokens.estimate, strict=True)
            if costs
            else ()
        )
        return [f"λ = {lam:g}: {a:.4f} with {b:.1f} tokens" for lam, a, b in pairs]
    curve = summary.curves[int(place)]
    if which == "plane":
        followed = summary.curve("IF")
        other = followed.value.estimate if followed else [math.nan] * len(summary.lams)
        pairs = zip(summary.lams, curve.value.estimate, other, strict=True)
        up, across = curve.scale, followed.scale if followed else Scale()
        return [f"λ = {lam:g}: ICL {up.number(a)}, IF {across.number(b)}" for lam, a, b in pairs]
    scale = Scale() if which == "fractional" else curve.scale
    return _rows(curve.name, summary, getattr(curve, which), scale)


def _rows(name: str, summary: Summary, found: Pointwise, scale: Scale = _PLAIN) -> list[str]:
    rows = zip(summary.lams, found.estimate, found.low, found.high, strict=True)
    return [
        f"{name}, λ = {lam:g}: {scale.number(value)} "
        f"(95% {scale.number(low)} to {scale.number(high)})"
        for lam, value, low, high in rows
    ]


def _facts(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was run, by name, flat."""
    facts = [(name, str(provenance.get(name, ""))) for name in ("command", "started")]
    for section in ("versions", "settings", "model"):
        for name, value in (provenance.get(section) or {}).items():
            if isinstance(value, dict):
                inner = ((f"{section}: {name}.{key}", item) for key, item in value.items())
                facts += [(key, str(item)) for key, item in inner]
            else:
                facts.append((f"{section}: {name}", str(value)))
    return [(name, value) for name, value in facts if value not in ("", "None", "[]", "{}")]
