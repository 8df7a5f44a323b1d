"""What a report.html shows, read by `recompute_report`; it imports nothing of pa_harness."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """Tables with their captions, tooltips with the id of their group, quotations, all tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[tuple[str, list[list[str]]]] = []
        self.tips: list[tuple[str, str]] = []
        self.labels: list[str | None] = []  # of the tips' markers
        self.quotes: list[str] = []
        self.documents: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._groups: list[str] = []
        self._open: list[str] = []
        self._caption = ""
        self.feed(text)

    @property
    def rows(self) -> list[list[str]]:
        """Of all tables."""
        return [row for _, rows in self.tables for row in rows]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        self._open.append(tag)
        if tag == "g":
            self._groups.append(given.get("id") or "")
        elif tag == "use" and "aria-label" in given:
            self.labels.append(given["aria-label"])
        elif tag in ("h2", "summary"):
            self._caption = ""
        elif tag == "table":
            self.tables.append((self._caption, []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append("")
        elif tag == "title" and self._groups:
            tips = [group for group in self._groups if group.startswith("tip-")]
            self.tips.append((tips[-1], ""))
        elif tag == "blockquote":
            self.quotes.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:  # <meta> and the like have no end
            pass
        if tag == "g":
            self._groups.pop()

    def handle_data(self, data: str) -> None:
        inside = set(self._open)
        if inside & {"td", "th"}:
            self.tables[-1][1][-1][-1] += data
        elif "title" in inside and self._groups:
            self.tips[-1] = (self.tips[-1][0], self.tips[-1][1] + data)
        elif "blockquote" in inside:
            self.quotes[-1] += data
        elif inside & {"h2", "summary"}:
            self._caption += data
