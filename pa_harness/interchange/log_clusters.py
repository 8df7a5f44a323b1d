"""Which documents of a sample log stand or fall together (`tasks.clusters`), as numbers.

They are joined by the digests of what they share, as `tasks.clusters.joined` joins the documents
themselves. Only of a task that names its clusters are documents parsed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from pa_harness.interchange.log_lines import DIGITS, read_documents
from pa_harness.tasks.clusters import LONG, Origin, digest, joined, most_that_share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pa_harness.interchange.log_lines import Lines

    Numbers = NDArray[np.int64]

_NONE = np.iinfo(np.int64).max  # above every digest


def cluster_names(task: str, config: dict[str, Any], log: Path, lines: Lines) -> Numbers:
    """A digest of each document's cluster, by ascending number; 0 where it is alone.

    Args:
        task: its name.
        config: as the results have it.
        log: of the task.
        lines: of it, read with their texts.
    """
    metadata = config.get("metadata")
    named = metadata.get("cluster") if isinstance(metadata, dict) else None
    if isinstance(named, str) and named.strip():
        return _named(task, config, named, log, lines)[lines.order()]
    return _sharing(lines)[lines.order()]


def numbered(names: Sequence[Numbers]) -> list[Numbers]:
    """Numbers of the clusters of several tasks; one of a name is one in every task."""
    every = np.concatenate(names)
    found = np.arange(len(every))
    together = np.flatnonzero(every)
    _, first, inverse = np.unique(every[together], return_index=True, return_inverse=True)
    found[together] = together[first[inverse]]
    return np.split(found, np.cumsum([len(each) for each in names])[:-1])


def _named(task: str, config: dict[str, Any], field: str, log: Path, lines: Lines) -> Numbers:
    """As the task's column or template has it."""
    documents = read_documents(log, set(lines.ids))
    origin = Origin(task, *(config.get(f"dataset_{name}") for name in ("path", "name", "kwargs")))
    prompts = [f"{prompt:x}" for prompt in lines.prompts]
    names = joined(origin, field, [documents[number] for number in lines.ids], prompts)
    return np.array([int(name[:DIGITS], 16) for name in names], dtype=np.int64)


def _sharing(lines: Lines) -> Numbers:
    """By a long line that some others have, too, but not most; by the prompt; by being equal."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(lines.ids)
    texts, owners = _shared(lines)
    prompts, hashes = np.array([lines.prompts, lines.hashes], dtype=np.int64)
    nodes, codes = count, []  # of a graph: the documents, and behind them what they hold
    for held in (texts, prompts, hashes):
        kinds, of = np.unique(held, return_inverse=True)
        codes.append(nodes + of)
        nodes += len(kinds)
    ends = (np.concatenate([owners, *[np.arange(count)] * 2]), np.concatenate(codes))
    graph = coo_array((np.ones(len(ends[0])), ends), shape=(nodes, nodes))
    cluster = connected_components(graph, directed=False)[1][:count]
    own, shared = np.full((2, nodes), _NONE)
    np.minimum.at(own, cluster, hashes)
    np.minimum.at(shared, cluster[owners], texts)
    names = np.where(shared < _NONE, shared, own)[cluster]
    found: Numbers = np.where(np.bincount(cluster)[cluster] > 1, names, 0)
    return found


def _shared(lines: Lines) -> tuple[Numbers, Numbers]:
    """Digests of the long lines that some documents share, but not most, and whose they are."""
    counts, most = Counter(lines.texts), most_that_share(len(lines.ids))
    digests = {
        text: int(digest(text.decode())[:DIGITS], 16)
        for text, times in counts.items()
        if 1 < times <= most and len(text.decode()) >= LONG
    }
    inside = [place for place, text in enumerate(lines.texts) if text in digests]
    owners = [lines.owners[place] for place in inside]
    texts = [digests[lines.texts[place]] for place in inside]
    return np.array(texts, dtype=np.int64), np.array(owners, dtype=np.int64)
