"""Lines of lm-eval's sample logs whose documents and settings hold names of the line's own keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pa_harness.errors import RunError
from pa_harness.interchange.log_lines import read_lines

if TYPE_CHECKING:
    from pathlib import Path

ONE = {"arg_0": "prompt", "arg_1": " answer"}
SETTINGS = {"arg_0": "prompt", "arg_1": {"until": ["x"], "gen_args_9": 1}}


def line(arguments: Any, document: Any) -> str:
    digests = dict.fromkeys(("doc_hash", "prompt_hash", "target_hash"), "0" * 64)
    head = {"doc_id": 0, "doc": document, "target": "0", "arguments": arguments}
    answers = {"resps": [[["-1", "False"]]], "filtered_resps": [["-1", "False"]]}
    return json.dumps(
        head | answers | {"filter": "none", "metrics": ["acc"]} | digests | {"acc": 1}
    )


def options(text: str, folder: Path) -> list[int]:
    log = folder / "log.jsonl"
    log.write_text(text + "\n", encoding="utf-8")
    return read_lines(log, "acc", "none", ["none"], texts=True).options


@pytest.mark.parametrize(
    ("arguments", "document", "right"),
    [
        ({"gen_args_0": ONE}, {"q": "x"}, 1),
        ({"gen_args_0": ONE, "gen_args_1": ONE, "gen_args_2": ONE}, {"q": "x"}, 3),
        ({"gen_args_0": ONE}, {"q": 1, "gen_args_7": {"a": {}}, "gen_args_8": 2}, 1),
        ({"gen_args_0": ONE}, {"q": {}, "gen_args_x": 1}, 1),
        ({"gen_args_0": SETTINGS}, {"q": "x"}, 1),
        ({"gen_args_0": ONE, "gen_args_1": ONE}, {"arguments": {"gen_args_5": {}}}, 2),
        ([["prompt", " a"], ["prompt", " b"]], {"q": "x"}, 2),
    ],
)
def test_requests_are_counted_whatever_a_document_holds(
    arguments: Any, document: Any, right: int, tmp_path: Path
) -> None:
    assert options(line(arguments, document), tmp_path) == [right]


def test_a_line_that_is_damaged_inside_is_named(tmp_path: Path) -> None:
    text = line([["prompt", " a"]], {"q": "x"}).replace('"arguments": [[', '"arguments": [[[')
    with pytest.raises(RunError, match=r"log\.jsonl is damaged in line 1"):
        options(text, tmp_path)
