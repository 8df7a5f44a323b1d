"""The verbs tasks and tasks-dir: the shipped tasks, and where they are."""

from __future__ import annotations

import argparse

from pa_harness.cli.verb import Verbs
from pa_harness.tasks.shipped import task_table, tasks_folder


def add(verbs: Verbs) -> None:
    """Add both to the command's parser."""
    table = verbs.add_parser("tasks", help="print the table of the shipped tasks (Markdown)")
    table.set_defaults(act=tasks)
    folder = verbs.add_parser("tasks-dir", help="print the folder of the shipped task YAMLs")
    folder.set_defaults(act=tasks_dir)


def tasks(_options: argparse.Namespace) -> int:
    """Print the table of the shipped tasks."""
    print(task_table())
    return 0


def tasks_dir(_options: argparse.Namespace) -> int:
    """Print the folder of the shipped tasks."""
    print(tasks_folder())
    return 0
