"""lm-eval's tasks by name, found by our index: what lies beside a task cannot stop the search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pa_harness.tasks.index import index, lm_eval_index

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pa_harness.tasks.index import Named


class Lookup:
    """Names, and lm-eval's TaskManager that builds what they stand for.

    Attributes:
        manager: knows our tasks, and those of the folders; of one name the last folder's counts,
            as in lm-eval.
        unread: files of the folders that were passed over, as reading them might take without an
            end, with the reason.
    """

    def __init__(
        self, folders: Iterable[str | Path] = (), metadata: dict[str, Any] | None = None
    ) -> None:
        """Look through the folders.

        Args:
            folders: with YAMLs of the user's.
            metadata: for all tasks.
        """
        from lm_eval.tasks import TaskManager

        self.manager: Any = TaskManager(include_defaults=False, metadata=metadata)
        self.unread: dict[str, str] = {}
        for folder in folders:
            found = index(Path(folder), self.unread)
            self.manager.task_index.update((name, _entry(each)) for name, each in found.items())

    def add_lm_evals(self) -> None:
        """Know lm-eval's own, where no other has their name."""
        for each in lm_eval_index().values():
            self.manager.task_index.setdefault(each.name, _entry(each))

    def has(self, names: Iterable[str]) -> bool:
        """Whether all of them are names of tasks or groups.

        Tags are none here: one of ours may have members that only lm-eval's own folder has.
        """
        return all(
            name in self.manager.task_index and self.manager.task_index[name].yaml_path
            for name in names
        )


def _entry(found: Named) -> Any:
    from lm_eval.tasks._index import Entry, Kind

    return Entry(found.name, Kind[found.kind.upper()], found.file, tags=found.tags)
