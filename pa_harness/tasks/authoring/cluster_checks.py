"""Checks of what a task says of its clusters (`tasks.clusters`): documents that stand together."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from pa_harness.errors import TaskError
from pa_harness.tasks.authoring.material import Finding
from pa_harness.tasks.clusters import LONG, clusters, named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pa_harness.tasks.authoring.material import Material

FEW = 20  # clusters; fewer say too little of others for a verdict


def cluster_findings(material: Material) -> Iterator[Finding]:
    """How many clusters the documents are of, whether they are named, and by what."""
    task = material.loaded.task
    looked_at = len(material.documents)
    rows = list(islice(task.task_docs, looked_at))
    if not rows or any(document.problem[0] for document in material.documents):
        return  # they cannot all be rendered, which is said elsewhere
    try:
        field, names = named(task), clusters(task, rows)
    except TaskError as error:
        yield Finding("error", str(error).partition(": ")[2], "Name one of its columns.")
        return
    count = len(set(names))
    stated = (task.config.metadata or {}).get("clusters")
    if stated is not None and looked_at == material.total and stated != count:
        yield Finding(
            "error",
            f"metadata says clusters: {stated}, the {looked_at} documents are of {count}.",
            "Correct it, or take it out.",
        )
    blank = field in rows[0] and sum(row.get(field) in (None, "") for row in rows)
    if blank:
        yield Finding(
            "warning",
            f"metadata: cluster: {field} is empty in {blank} documents, which so share nothing.",
            "Fill it in.",
        )
    found = f"{looked_at} documents are of {count} cluster{'s' * (count != 1)}"
    by = "that metadata: cluster: names" if field else "told from what they have in common"
    if count < FEW <= looked_at:
        yield Finding(
            "warning",
            f"{found}, {by}: too few for a verdict on λ.",
            "Add documents that share nothing with these.",
        )
    elif count < looked_at and not field:
        yield Finding(
            "note",
            f"{found}, {by}; intervals are taken over clusters.",
            f"Name it, as in metadata: {{cluster: {_column(rows) or 'COLUMN'}}}.",
        )
    elif field:
        yield Finding("note", f"{found}, {by}.")


def _column(rows: list[dict[str, Any]]) -> str:
    """The column of long texts whose values repeat most, if any do."""
    best, repeats = "", 0
    for column in rows[0]:
        texts = [row[column] for row in rows if isinstance(row.get(column), str)]
        long = [text for text in texts if len(text) >= LONG]
        if len(set(long)) > 1 and len(long) - len(set(long)) > repeats:
            best, repeats = column, len(long) - len(set(long))
    return best
