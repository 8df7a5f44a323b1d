"""Mistakes in a command: told in a second, each with its own cure; nothing is loaded for it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pa_harness.cli.main import VERBS, main, parser

if TYPE_CHECKING:
    from pathlib import Path

PAIR = ["--model_args", "pretrained={base},instruct={instruct}"]
TASKS = ["--tasks", "toy_colour", "--include_path", "{tasks}"]
LAM = ["--lam", "0,1"]
OUT = ["--output_path", "{out}"]
MISTAKES: dict[str, tuple[list[str], str]] = {
    "verb": (["swep"], "Did you mean sweep?"),
    "option": (["sweep", "--lamm", "0,1"], "unknown option --lamm. Did you mean --lam?"),
    "option of another verb": (["report", "RUN", "--lams", "0"], "unknown option --lams."),
    "value": (["export", "RUN", "--format", "hff"], "Did you mean hf?"),
    "too much": (["summary", "RUN", "OTHER"], "there is no place for OTHER."),
    "grid": (["sweep", "--lam", "0:1:0.3", *PAIR, *TASKS, *OUT], "do not reach 1"),
    "no task": (["sweep", *LAM, *PAIR, *OUT], "A sweep needs tasks"),
    "argument": (
        ["sweep", *LAM, "--model_args", "pretrained={base},instructt=x", *TASKS, *OUT],
        "Unknown model argument instructt='x'. Did you mean instruct?",
    ),
    "lam twice": (["sweep", *LAM, *PAIR, "lam=0.5", *TASKS, *OUT], "a sweep sets λ itself"),
    "half a pair": (
        ["sweep", *LAM, "--model_args", "pretrained={base}", *TASKS, *OUT],
        "Exactly one of instruct= and peft= is needed; neither was given.",
    ),
    "folder": (
        ["sweep", *LAM, "--model_args", "pretrained={base},instruct=/no/such", *TASKS, *OUT],
        "instruct '/no/such' is neither a folder nor a hub id",
    ),
    "no checkpoint": (
        ["sweep", *LAM, "--model_args", "pretrained={tasks},instruct={instruct}", *TASKS, *OUT],
        "has no config.json",
    ),
    "task": (
        ["sweep", *LAM, *PAIR, "--tasks", "arc_eazy", *OUT],
        "Unknown task: arc_eazy. Did you mean arc_easy?",
    ),
    "own task": (
        ["sweep", *LAM, *PAIR, "--tasks", "toy_color", "--include_path", "{tasks}", *OUT],
        "Unknown task: toy_color. Did you mean toy_colour?",
    ),
    "tasks' folder": (
        ["sweep", *LAM, *PAIR, "--tasks", "toy_colour", "--include_path", "/no/such", *OUT],
        "--include_path /no/such is no folder",
    ),
    "results": (["sweep", *LAM, *PAIR, *TASKS, "-o", "{base}/config.json/x"], "is a file"),
}


@pytest.mark.parametrize("which", MISTAKES)
def test_a_mistake_is_told_before_anything_is_loaded(
    which: str,
    pair: tuple[Path, Path],
    toy_tasks: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words, message = MISTAKES[which]
    out = tmp_path / "run"
    places = {"base": pair[0], "instruct": pair[1], "tasks": toy_tasks, "out": out}
    try:
        code = main([word.format(**places) for word in words])
    except SystemExit as end:
        code = int(end.code or 0)
    told = capsys.readouterr().err
    assert code == 2
    assert message in told
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) < 12
    assert not out.exists()


@pytest.mark.parametrize("which", ["argument", "folder", "task"])
def test_neither_torch_nor_the_harness_is_imported_for_it(
    which: str, pair: tuple[Path, Path], toy_tasks: Path, tmp_path: Path
) -> None:
    places = {"base": pair[0], "instruct": pair[1], "tasks": toy_tasks, "out": tmp_path / "run"}
    words = [word.format(**places) for word in MISTAKES[which][0]]
    code = (
        "import sys; from pa_harness.cli.main import main; code = main(sys.argv[1:]);"
        "slow = {'torch', 'transformers', 'datasets', 'lm_eval.evaluator', 'numpy.testing'};"
        "print(code, sorted(slow & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "2 []"


@pytest.mark.parametrize("verb", [verb.__name__.rpartition(".")[2] for verb in VERBS])
def test_help_fits_a_screen(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main([verb.replace("_", "-"), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 50
    assert any(line.startswith("example:") for line in lines)
    assert max(len(line) for line in lines if not line.startswith("  pa-harness")) <= 100


def test_one_name_for_where_to_write(tmp_path: Path) -> None:
    for verb, old in (
        ("export", "--output_dir"),
        ("compare", "--output"),
        ("new-task", "--output"),
    ):
        for option in ("--output_path", "-o", old):
            options = parser().parse_args([verb, "x", option, str(tmp_path)])
            assert options.output_path == tmp_path
