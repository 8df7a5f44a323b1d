"""Markdown tables, written to ``benchmarks/results`` and into ``benchmarks/README.md``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.support.places import REPOSITORY, machine

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER = REPOSITORY / "benchmarks"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [_line(head), _line(["---", *["--:"] * (len(head) - 1)])]
    return "\n".join([*lines, *map(_line, rows)])


def publish(name: str, text: str, *, command: str) -> None:
    """Write a benchmark's result file, and put the same text into the README.

    Args:
        name: the benchmark's name; the README has the lines ``<!-- name -->`` and
            ``<!-- end name -->`` around the place.
        text: Markdown.
        command: what to type to make it again.
    """
    body = f"{text.strip()}\n\nMade by `{command}` on: {machine()}.\n"
    folder = _FOLDER / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.md").write_text(f"# {name}\n\n{body}", encoding="utf-8")
    readme = _FOLDER / "README.md"
    start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    content = readme.read_text(encoding="utf-8")
    if start in content and end in content:
        head, rest = content.split(start, 1)
        tail = rest.split(end, 1)[1]
        readme.write_text(f"{head}{start}\n{body}{end}{tail}", encoding="utf-8")
    print(f"\n# {name}\n\n{body}", flush=True)


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
