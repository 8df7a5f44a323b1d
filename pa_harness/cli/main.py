"""The `pa-harness` command."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields
from importlib.metadata import version
from shlex import quote
from typing import TYPE_CHECKING

from pa_harness import __doc__ as about
from pa_harness.cli.compare import add_compare_verbs
from pa_harness.cli.export import add_weight_verbs
from pa_harness.cli.judge import add_judge
from pa_harness.cli.report import add_run_verbs
from pa_harness.cli.sweep import add_sweep
from pa_harness.errors import EXIT_CODE, PAHarnessError, install_excepthook, report
from pa_harness.registration import install
from pa_harness.tasks.authoring.answer_column import KINDS
from pa_harness.tasks.authoring.prompts import CATEGORIES, OWN, SCORINGS, NewTask
from pa_harness.tasks.shipped import task_table, tasks_folder

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code (2 for an error the user can fix)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["run"]:
        return run(arguments)
    options = _parser().parse_args(arguments)
    try:
        code = int(options.act(options))
        sys.stdout.flush()
    except PAHarnessError as error:
        return report(error)
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 0
    return code


def run(arguments: list[str]) -> int:
    """``lm-eval run ...`` with our model types and tasks, without the startup hook."""
    install(switchable=False)
    install_excepthook()
    from lm_eval.__main__ import cli_evaluate

    sys.argv = ["lm-eval", *arguments]
    try:
        cli_evaluate()
    except PAHarnessError as error:
        return report(error)
    return 0


def tasks_dir(_options: argparse.Namespace) -> int:
    """Print the folder of the shipped tasks."""
    print(tasks_folder())
    return 0


def tasks(_options: argparse.Namespace) -> int:
    """Print the table of the shipped tasks."""
    print(task_table())
    return 0


def new_task(options: argparse.Namespace) -> int:
    """Write a task YAML for a data file."""
    from pa_harness.tasks.authoring.template import write_task

    asked = {field.name: getattr(options, field.name) for field in fields(NewTask)}
    ask = _ask if sys.stdin.isatty() else None
    file = write_task(NewTask(**asked), options.output, force=options.force, ask=ask)
    print(f"Wrote {file}; its first line runs it.")
    print(f"Check it: pa-harness check-task {quote(str(file))}")
    return 0


def check_task(options: argparse.Namespace) -> int:
    """Print what is wrong with a task; exit code 2 if something is."""
    from pa_harness.tasks.authoring.check import check_tasks

    install(switchable=False)
    reports = check_tasks(options.task, options.tokenizer, limit=options.limit)
    print("\n\n".join(map(str, reports)))
    return EXIT_CODE if any(report.failed for report in reports) else 0


def _ask(question: str) -> str:
    try:
        return input(question)
    except EOFError:
        return ""
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pa-harness",
        description=(about or "").split("\n\n", 1)[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "example:\n  pa-harness run --model partially_adapted \\\n"
            "    --model_args pretrained=BASE,instruct=INSTRUCT,lam=0.5 --tasks arc_easy"
        ),
    )
    parser.add_argument("--version", action="version", version=version("pa-harness"))
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser(
        "run", help="lm-eval's own command, where the startup hook is off (lm-eval run --help)"
    )
    table = verbs.add_parser("tasks", help="print the table of the shipped tasks (Markdown)")
    table.set_defaults(act=tasks)
    folder = verbs.add_parser("tasks-dir", help="print the folder of the shipped task YAMLs")
    folder.set_defaults(act=tasks_dir)
    _describe_new_task(
        verbs.add_parser("new-task", help="write a task YAML for a JSONL, JSON, CSV or TSV file")
    )
    _describe_check_task(
        verbs.add_parser("check-task", help="render a task's prompts and say what to fix")
    )
    add_sweep(verbs)
    add_run_verbs(verbs)
    add_judge(verbs)
    add_compare_verbs(verbs)
    add_weight_verbs(verbs)
    return parser


def _describe_new_task(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(act=new_task)
    verb.add_argument("data", metavar="DATA", help="one document per row or line")
    verb.add_argument(
        "--scoring",
        choices=SCORINGS,
        help="likelihood of the options' texts, of their letters, or generation",
    )
    verb.add_argument("--name", help="default: the file's name and the scoring")
    verb.add_argument("--question", metavar="COLUMN", help="default: question")
    verb.add_argument("--context", metavar="COLUMN", help="shown before the question")
    verb.add_argument(
        "--choices", metavar="COLUMNS", help="a column of lists, or a,b,c; default: choices"
    )
    verb.add_argument("--labels", metavar="A,B,...", help="options that every row has")
    verb.add_argument("--answer", metavar="COLUMN", help="default: answer")
    verb.add_argument("--answer_is", choices=KINDS, help="default: told from the values")
    verb.add_argument("--fewshot", metavar="FILE", help="shots; default: DATA's first rows")
    verb.add_argument("--num_fewshot", metavar="N", type=int, help="default: at most 5")
    verb.add_argument("--category", choices=CATEGORIES, default=OWN, help="default: own")
    verb.add_argument("--output", metavar="FILE.yaml", help="default: NAME.yaml")
    verb.add_argument("--force", action="store_true", help="overwrite it")


def _describe_check_task(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(act=check_task)
    verb.add_argument("task", metavar="FILE.yaml|TASK", help="a YAML, or a name lm-eval knows")
    verb.add_argument(
        "--tokenizer", nargs="+", default=[], metavar="FOLDER|ID", help="look at tokens, too"
    )
    verb.add_argument(
        "--limit", type=int, default=5000, metavar="N", help="documents to look at (default: 5000)"
    )
