"""What check-task says of tokens, with tokenizers made for each case."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from own_tasks import TASK, Task, findings, write
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pa_harness.cli.main import main


def tokenizer(folder: Path, text: str, pre: Any) -> str:
    """A byte-pair tokenizer that has learnt the words of the text."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator([text], trainer)
    PreTrainedTokenizerFast(tokenizer_object=core).save_pretrained(folder / "tokenizer")
    return str(folder / "tokenizer")


LETTERED = {
    "doc_to_text": "Question: {{question}}\n A. no\n B. yes\nAnswer:",
    "doc_to_choice": ["A", "B"],
    "metadata": TASK["metadata"] | {"scoring": "mcf"},
}
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
WHOLE = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
TOKENS: dict[str, tuple[Task, str, Any, str, str]] = {
    "letters": (
        LETTERED,
        " A B",
        BYTES,
        "note",
        r"' A', ' B' is one token, another token than 'A'",
    ),
    "border": (LETTERED, " A B", BYTES, "note", r"meet at a token border"),
    "letters of two tokens": (
        LETTERED,
        "x",
        BYTES,
        "warning",
        r"' A', ' B' are more than one token",
    ),
    "shown otherwise": (
        LETTERED | {"doc_to_text": "{{question}}\nA. no\nB. yes\nAnswer:"},
        " A B",
        BYTES,
        "warning",
        r"shown with other tokens than the ones that are scored \(' A', ' B'\)",
    ),
    "no border": (
        {"doc_to_text": "{{question}} Answer", "target_delimiter": ""},
        "Answerno",
        WHOLE,
        "warning",
        r"become part of the prompt's last token in 3 answers, .* the first: '\? Answerno'",
    ),
}


@pytest.mark.parametrize("what", TOKENS)
def test_tokens(what: str, folder: Path) -> None:
    changes, text, pre, level, message = TOKENS[what]
    write(changes)
    found = findings((tokenizer(folder, text, pre),))
    assert [f.level for f in found if re.search(message, f.what)] == [level], found


def test_tokens_that_are_the_same(folder: Path) -> None:
    write(LETTERED)
    core = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=core).save_pretrained(folder / "tokenizer")
    found = findings((str(folder / "tokenizer"),))
    assert any(f.level == "error" and "are the same tokens" in f.what for f in found)


def test_without_a_tokenizer_it_says_so(folder: Path) -> None:
    write({})
    assert any("tokens was not checked" in finding.what for finding in findings())


def test_no_tokenizer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write({})
    assert main(["check-task", "odd.yaml", "--tokenizer", "no/where"]) == 2
    assert "The tokenizer no/where cannot be loaded: " in capsys.readouterr().err
