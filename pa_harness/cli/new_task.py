"""The verb new-task: the YAML of a task, for a data file."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from shlex import quote

from pa_harness.cli.verb import INTERRUPTED, Verbs, add_output, add_verb
from pa_harness.tasks.authoring.answer_column import KINDS
from pa_harness.tasks.authoring.prompts import CATEGORIES, OWN, SCORINGS, NewTask


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    about = "write a task YAML for a JSONL, JSON, CSV or TSV file; asks for what it cannot tell"
    example = "new-task quiz.csv --scoring cf --choices a,b --answer key --fewshot shots.csv"
    parser = add_verb(verbs, "new-task", new_task, about, example)
    parser.add_argument("data", metavar="DATA", help="one document per row or line")
    parser.add_argument(
        "--scoring",
        choices=SCORINGS,
        help="likelihood of the options' texts, of their letters, or generation",
    )
    parser.add_argument("--name", help="default: the file's name and the scoring")
    parser.add_argument("--question", metavar="COLUMN", help="default: question")
    parser.add_argument("--context", metavar="COLUMN", help="shown before the question")
    parser.add_argument(
        "--choices", metavar="COLUMNS", help="a column of lists, or a,b,c; default: choices"
    )
    parser.add_argument("--labels", metavar="A,B,...", help="options that every row has")
    parser.add_argument("--answer", metavar="COLUMN", help="default: answer")
    parser.add_argument("--answer_is", choices=KINDS, help="default: told from the values")
    parser.add_argument("--fewshot", metavar="FILE", help="shots; default: DATA's first rows")
    parser.add_argument("--num_fewshot", metavar="N", type=int, help="default: at most 5")
    parser.add_argument("--category", choices=CATEGORIES, default=OWN, help="default: own")
    parser.add_argument(
        "--cluster",
        metavar="COLUMN",
        help="the same in rows that stand together, as of one story; default: told from the texts",
    )
    add_output(parser, "default: NAME.yaml", "--output", metavar="FILE.yaml")
    parser.add_argument("--force", action="store_true", help="overwrite it")


def new_task(options: argparse.Namespace) -> int:
    """Write a task YAML for a data file."""
    from pa_harness.tasks.authoring.template import write_task

    asked = {field.name: getattr(options, field.name) for field in fields(NewTask)}
    ask = _ask if sys.stdin.isatty() else None
    file = write_task(NewTask(**asked), options.output_path, force=options.force, ask=ask)
    print(f"Wrote {file}; its first line runs it.")
    print(f"Check it: pa-harness check-task {quote(str(file))}")
    return 0


def _ask(question: str) -> str:
    try:
        return input(question)
    except EOFError:
        return ""
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
