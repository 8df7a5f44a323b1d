"""The verbs tasks and tasks-dir: the shipped tasks, and where they are."""

from __future__ import annotations

import argparse

from pa_harness.cli.verb import Verbs, add_verb
from pa_harness.tasks.shipped import task_table, tasks_folder


def add(verbs: Verbs) -> None:
    """Add both to the command's parser."""
    add_verb(verbs, "tasks", tasks, "print the table of the shipped tasks (Markdown)", "tasks")
    about = "print the folder of the shipped task YAMLs"
    add_verb(verbs, "tasks-dir", tasks_dir, about, "tasks-dir")


def tasks(_options: argparse.Namespace) -> int:
    """Print the table of the shipped tasks."""
    print(task_table())
    return 0


def tasks_dir(_options: argparse.Namespace) -> int:
    """Print the folder of the shipped tasks."""
    print(tasks_folder())
    return 0
