"""`check-task` counts clusters, and finds what is said wrongly of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from own_tasks import TASK, Flaw, assert_flaw, findings, write

if TYPE_CHECKING:
    from pathlib import Path

PASSAGES = [f"Passage {n}: " + "and so it went on " * 8 for n in range(30)]
READ = [{"question": f"Is {n} odd?", "label": n % 2, "page": PASSAGES[n // 2]} for n in range(60)]


def said(**metadata: object) -> dict[str, object]:
    return {"metadata": TASK["metadata"] | metadata}


FLAWS: dict[str, Flaw] = {
    "named": (
        said(cluster="page"),
        READ,
        None,
        "note",
        r"60 documents are of 30 clusters, that me",
    ),
    "told": (
        {},
        READ,
        None,
        "note",
        r"60 documents are of 30 clusters, told from what they have in",
    ),
    "few": (said(cluster="page"), READ[:30], None, "warning", r"30 documents are of 15 .*too few"),
    "misspelt": (said(cluster="pag"), READ, None, "error", r"cluster: pag: .* no such column"),
    "no text": (said(cluster=3), READ, None, "error", r"cluster: 3: expected the name of a column"),
    "count": (
        said(cluster="page", clusters=31),
        READ,
        None,
        "error",
        r"says clusters: 31, .* of 30",
    ),
    "blank": (
        said(cluster="page"),
        [{**READ[0], "page": ""}, *READ[1:]],
        None,
        "warning",
        r"cluster: page is empty in 1 documents",
    ),
}


@pytest.mark.parametrize("what", FLAWS)
def test_flaws(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_flaw(FLAWS[what], capsys)


def test_what_is_told_is_to_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write({}, READ)
    (found,) = [each for each in findings() if "clusters" in each.what]
    assert "metadata: {cluster: page}" in found.cure
    write(said(cluster="page", clusters=30), READ)
    assert [each.level for each in findings() if "clusters" in each.what] == ["note"]
