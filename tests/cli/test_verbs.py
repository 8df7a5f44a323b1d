"""The files below pa_harness/cli are the list of the verbs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pa_harness.cli import main as command

VERBS = {path.stem for path in Path(command.__file__).parent.rglob("*.py")}
VERBS -= {"__init__", "main", "verb"}


def test_every_file_is_a_verb_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert {module.__name__.rpartition(".")[2] for module in command.VERBS} == VERBS
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line[:4] == "    "]
    named = {words[0] for words in lines if words}
    assert {verb.replace("_", "-") for verb in VERBS} | {"run", "tasks-dir"} <= named


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_its_help_has_its_own_name(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main([verb.replace("_", "-"), "--help"])
    assert capsys.readouterr().out.startswith(f"usage: pa-harness {verb.replace('_', '-')} ")
