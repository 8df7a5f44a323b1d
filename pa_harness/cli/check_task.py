"""The verb check-task: a task's prompts, and what is wrong with them."""

from __future__ import annotations

import argparse

from pa_harness.cli.verb import Verbs, add_verb
from pa_harness.errors import EXIT_CODE
from pa_harness.registration import install


def add(verbs: Verbs) -> None:
    """Add the verb to the command's parser."""
    about = "render a task's prompts and say what to fix"
    example = "check-task quiz_mcf.yaml --tokenizer HuggingFaceTB/SmolLM2-135M"
    parser = add_verb(verbs, "check-task", check_task, about, example)
    parser.add_argument("task", metavar="FILE.yaml|TASK", help="a YAML, or a name lm-eval knows")
    parser.add_argument(
        "--tokenizer",
        nargs="+",
        default=[],
        metavar="FOLDER|ID",
        help="look at tokens, too (default: at texts only)",
    )
    parser.add_argument(
        "--limit", type=int, default=5000, metavar="N", help="documents to look at (default: 5000)"
    )


def check_task(options: argparse.Namespace) -> int:
    """Print what is wrong with a task; exit code 2 if something is."""
    from pa_harness.tasks.authoring.check import check_tasks

    install(switchable=False)
    reports = check_tasks(options.task, options.tokenizer, limit=options.limit)
    print("\n\n".join(map(str, reports)))
    return EXIT_CODE if any(report.failed for report in reports) else 0
