"""Checkpoints and runs of strangers: nothing else is shipped with them, no code of theirs runs."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from breakage import copy
from exports import export
from markdown_it import MarkdownIt
from toy import run, toy_settings

from pa_harness.cli.main import main
from pa_harness.export.card import read_terms
from pa_harness.runs.seal import digests, write_sealed

if TYPE_CHECKING:
    from pathlib import Path

Pair = tuple["Path", "Path"]


def test_links_that_lead_elsewhere_are_not_shipped(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base, instruct = copy(pair, tmp_path)
    secret, folder = tmp_path / "secret", tmp_path / "secrets"
    secret.write_text("key")
    folder.mkdir()
    (folder / "key").write_text("key")
    (base / "LICENSE").symlink_to(secret)
    (base / "NOTICE.txt").symlink_to("../secret")
    (instruct / "LICENSE.d").symlink_to(folder)
    (instruct / "added_tokens.json.d").mkdir()
    (instruct / "additional_chat_templates").mkdir()
    (instruct / "additional_chat_templates/a.jinja").symlink_to(secret)
    (instruct / "additional_chat_templates/b.jinja").write_text("{{ messages }}")
    (instruct / "USE_POLICY").write_text("kept")
    os.mkfifo(instruct / "COPYING")
    assert export((base, instruct), tmp_path / "model", 0.5) == 0
    shipped = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert not [path for path in shipped if path.read_bytes() == b"key"]
    assert not [path for path in (tmp_path / "model").rglob("*") if path.is_symlink()]
    assert (tmp_path / "model/licences/instruct/USE_POLICY").read_text() == "kept"
    assert (tmp_path / "model/additional_chat_templates/b.jinja").exists()
    for name in ("LICENSE", "NOTICE.txt", "LICENSE.d", "a.jinja", "COPYING"):
        assert any(f"{name} is not copied" in text for text in caplog.messages), name


def test_a_link_within_the_checkpoint_is_its_own(pair: Pair, tmp_path: Path) -> None:
    base, instruct = copy(pair, tmp_path)
    (base / "terms.txt").write_text("MIT")
    (base / "LICENSE").symlink_to("terms.txt")
    assert export((base, instruct), tmp_path / "model", 0.5) == 0
    assert (tmp_path / "model/licences/base/LICENSE").read_text() == "MIT"


def _change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("said", ["trust_remote_code", "model_args"])
def test_what_a_run_says_of_trust_does_not_count(
    said: str, pair: Pair, toy_tasks: Path, tmp_path: Path
) -> None:
    """Its provenance trusts, and its checkpoints have code: that runs by the user's flag alone."""
    sides = copy(pair, tmp_path)
    folder, ran = tmp_path / "run", tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')\nfrom transformers import LlamaConfig\n"
    for side in sides:
        (side / "own.py").write_text(f"{code}class Own(LlamaConfig):\n    pass\n")
        _change(side / "config.json", auto_map={"AutoConfig": "own.Own"})
    run(toy_settings(sides, toy_tasks, limit=2), folder)
    for side in sides if said == "model_args" else ():
        _change(side / "config.json", model_type="odd")
    record = json.loads((folder / "provenance.json").read_text())
    told = record["settings"] if said == "trust_remote_code" else record["settings"]["model_args"]
    told["trust_remote_code"] = True
    write_sealed(folder / "provenance.json", record)  # as whoever made the run can
    names = json.loads((folder / "files.json").read_text())["files"]
    write_sealed(folder / "files.json", {"files": digests(folder, map(folder.joinpath, names))})
    asked = ["export", str(folder), "--lam", "0.5", "--dtype", "float16", "-o", str(tmp_path / "m")]
    assert main(asked) == (2 if said == "model_args" else 0)
    assert not ran.exists()
    shutil.rmtree(tmp_path / "m", ignore_errors=True)
    main([*asked, "--trust_remote_code"])
    assert ran.exists()


LICENCES: dict[str, tuple[str, Any]] = {
    "html": ('license: "<script>alert(1)</script>"', "<script>alert(1)</script>"),
    "end of metadata": (r'license: "a\n---\n# owned"', r"a\n---\n# owned"),
    "several": ("license: [mit, apache-2.0]", "mit, apache-2.0"),
    "deep": (f"license: {'[' * 5000}", "unreadable (line 2: nested deeper than 64 levels)"),
    "nothing of text": ("license: {a: b}", "unreadable"),
    "long": (f"license: {'x' * 5000}", "x" * 200),
    "escape": (r'license: "\e[31mred"', r"\x1b[31mred"),
}


@pytest.mark.parametrize("kind", LICENCES)
def test_what_a_card_says_of_its_licence_stays_a_few_words(kind: str, tmp_path: Path) -> None:
    written, read = LICENCES[kind]
    (tmp_path / "README.md").write_text(f"---\ntags: []\n{written}\n---\n# Model\n")
    assert read_terms(tmp_path)["license"].startswith(read)
    assert len(read_terms(tmp_path)["license"]) <= 200


def test_cards_that_would_not_end(tmp_path: Path) -> None:
    began = time.monotonic()
    bomb = ["x0: &x0 [y, y, y, y, y, y, y, y]"]
    bomb += [f"x{n + 1}: &x{n + 1} [{', '.join([f'*x{n}'] * 9)}]" for n in range(9)]
    (tmp_path / "README.md").write_text("\n".join(["---", *bomb, "license: *x9", "---"]))
    assert "multiply" in read_terms(tmp_path)["license"]
    long = f"a: &a {'x' * 400_000}\nlicense: [{', '.join(['*a'] * 50_000)}]"
    (tmp_path / "README.md").write_text(f"---\n{long}\n---\n")
    assert len(read_terms(tmp_path)["license"]) <= 200
    (tmp_path / "README.md").unlink()
    os.mkfifo(tmp_path / "README.md")
    assert read_terms(tmp_path) == {}
    assert time.monotonic() - began < 5


def test_the_card_of_a_hostile_pair_is_text(pair: Pair, tmp_path: Path) -> None:
    """Names and terms come out as themselves: no heading, link, HTML or table of theirs."""
    base, instruct = copy(pair, tmp_path)
    evil = tmp_path / "a|b](c) <img src=x> `e`"
    base.rename(evil)
    licence = "x | <b>y</b>\n\n# owned [z](http://w)"
    (evil / "README.md").write_text(f"---\nlicense: {json.dumps(licence)}\n---\n")
    assert export((evil, instruct), tmp_path / "model", 0.5) == 0
    text = (tmp_path / "model/README.md").read_text()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "other"
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    assert [t.tag for t in tokens if t.type == "heading_open"] == ["h1", "h2"]
    inline = [child for token in tokens for child in token.children or []]
    assert not [c for c in inline if c.type in ("html_inline", "image")]
    links = [c.attrGet("href") for c in inline if c.type == "link_open"]
    assert links == ["https://arxiv.org/abs/2504.11626"]
    assert not [t for t in tokens if t.type == "html_block"]
    assert sum(t.type == "tr_open" for t in tokens) == 3
