"""Texts of others in a terminal, a spreadsheet and a page: read, never obeyed."""

from __future__ import annotations

import io
import sys
import unicodedata
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import metadata_load
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pa_harness.errors import RunError, tell
from pa_harness.foreign.showing import (
    as_code,
    bare,
    cell,
    harmless_output,
    in_markdown,
    one_line,
    printable,
    uncelled,
)
from pa_harness.markdown import card, table

if TYPE_CHECKING:
    from pathlib import Path

ESCAPES = "a\x1b[31mb\x1b]0;title\x07c\x9b1md\u202ee\rf\x7fg\ud800h\u2028i"


@given(st.text())
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    shown = printable(text)
    kinds = {unicodedata.category(sign) for sign in shown} - {"Cf"}
    assert set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067") == set()
    assert not kinds & {"Cs", "Zl", "Zp"}
    assert {sign for sign in shown if unicodedata.category(sign) == "Cc"} <= {"\n", "\t"}
    assert "\n" not in one_line(text)
    shown.encode()


@pytest.mark.parametrize("text", ["Où?\n\tλ − 1", "問題\u3000答", "می\u200cخواهم", "👩\u200d💻"])
def test_what_people_write_stays(text: str) -> None:
    assert printable(text) == text


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    shown = r"a\x1b[31mb\x1b]0;title\x07c\x9b1md\u202ee\x0df\x7fg\ud800h\u2028i"
    assert printable(ESCAPES) == shown


def test_errors_are_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(RunError(f"{ESCAPES} is no run.")) == 2
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert r"\x1b[31m" in told


def test_all_output_is_but_progress_bars() -> None:
    out, err = io.StringIO(), io.StringIO()
    before = sys.stdout, sys.stderr
    try:
        sys.stdout, sys.stderr = out, err
        with harmless_output():
            print(ESCAPES)
            print("\r50%\x1b[A\x1b[31mred\x1b[AA", file=sys.stderr)
            bare(sys.stderr).write("\x1b[2F")
        assert (sys.stdout, sys.stderr) == (out, err)
    finally:
        sys.stdout, sys.stderr = before
    assert out.getvalue() == f"{printable(ESCAPES)}\n"
    assert err.getvalue() == "\r50%\x1b[A\\x1b[31mred\x1b[AA\n\x1b[2F"
    assert bare(out) is out


@given(st.text())
def test_a_cell_comes_back_and_is_no_formula(text: str) -> None:
    assert uncelled(cell(text)) == text
    assert not cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.text())
def test_in_markdown_a_text_is_itself(text: str) -> None:
    """As a parser of Markdown reads it: one paragraph of that text, nothing else."""
    (paragraph,) = [t for t in MarkdownIt().parse(f"x{in_markdown(text)}x") if t.type == "inline"]
    assert {child.type for child in paragraph.children or []} <= {"text", "text_special"}
    assert "".join(child.content for child in paragraph.children or []) == f"x{one_line(text)}x"


@given(st.text())
def test_code_is_one_piece(text: str) -> None:
    (inline,) = [t for t in MarkdownIt().parse(f"x{as_code(text)}x") if t.type == "inline"]
    kinds = [child.type for child in inline.children or []]
    assert kinds == ["text", "code_inline", "text"]


def test_a_cell_of_a_table_stays_in_it() -> None:
    text = table(["a", "b"], [["x|y\nz", "1"], ["</td>\x1b", "2"]])
    assert len(text.split("\n")) == 4
    assert r"x\|y\nz" in text
    assert "\x1b" not in text


def test_metadata_of_a_card_cannot_end_it(tmp_path: Path) -> None:
    metadata = {"license": "a\n---\n# owned", "tags": ["- x", "a: b", "\x85---\u2028---"]}
    (tmp_path / "README.md").write_text(card(metadata, ["# Title"]), encoding="utf-8")
    assert metadata_load(tmp_path / "README.md") == metadata
    assert (tmp_path / "README.md").read_text(encoding="utf-8").endswith("---\n\n# Title\n")
