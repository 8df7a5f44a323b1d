"""Evaluated documents of the shipped tasks, where a YAML's own fields are not enough.

Task YAMLs name what is here as ``process_docs: !function pa_harness.tasks.documents.NAME``.
Everything takes a split (`datasets.Dataset`) and returns one; nothing depends on the model or on λ.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import DatasetDict, load_dataset
from lm_eval.tasks.drop.utils import process_docs as _drop
from lm_eval.tasks.hellaswag.utils import process_docs as _hellaswag

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets import Dataset

    Prepare = Callable[[Dataset], Dataset]

ENTITY_TYPES = ("corporation", "creative-work", "group", "location", "person", "product")
_PRICE_LABEL = {"none": 0, "negative": 1, "neutral": 2, "positive": 3}
NEUTRAL_BELOW = 0.1
HELD_BACK = 100
drop: Prepare = _drop
hellaswag: Prepare = _hellaswag


def fiqa_label(score: float) -> int:
    """Class of a FiQA sentiment score in [-1, 1]: 0 negative, 1 neutral, 2 positive.

    Cut at ±0.1, as FinGPT's benchmark does (negative below -0.1, positive from 0.1 on);
    BloombergGPT (arXiv 2303.17564) uses three classes too but does not print its cuts.
    """
    return 0 if score < -NEUTRAL_BELOW else 2 if score >= NEUTRAL_BELOW else 1


def fiqa(docs: Dataset) -> Dataset:
    """Add ``label`` (see `fiqa_label`) to the FiQA-SA rows."""
    return docs.map(lambda doc: {"label": fiqa_label(doc["score"])})


def price_label(sentiment: str) -> int:
    """What a gold headline's sentiment says of the price: 0 none, 1 down, 2 unchanged, 3 up."""
    return _PRICE_LABEL[sentiment.strip().lower()]


def headlines(docs: Dataset) -> Dataset:
    """``headline`` and ``label`` of the gold-commodity headlines (columns there hold blanks)."""
    return docs.map(
        lambda doc: {"headline": doc["News"], "label": price_label(doc["Price Sentiment"])},
        remove_columns=docs.column_names,
    )


def entities(tokens: list[str], tags: list[str]) -> list[tuple[str, str]]:
    """Entities of one BIO-tagged sentence as (text, type), in order.

    Args:
        tokens: The words.
        tags: ``O``, ``B-type`` or ``I-type`` for each; an ``I-`` that continues nothing of its
            type begins an entity (the lenient reading, seqeval's default).
    """
    found: list[tuple[list[str], str]] = []
    previous = "O"
    for token, tag in zip(tokens, tags, strict=True):
        kind = tag[2:]
        if tag.startswith("I-") and previous[2:] == kind:
            found[-1][0].append(token)
        elif tag != "O":
            found.append(([token], kind))
        previous = tag
    return [(" ".join(words), kind) for words, kind in found]


def wnut17(docs: Dataset) -> Dataset:
    """``sentence`` and ``entities`` (one line, ``text (type); ...`` or ``none``) of WNUT-17."""
    names = docs.features["ner_tags"].feature.names

    def prepare(doc: dict[str, Any]) -> dict[str, str]:
        found = entities(doc["tokens"], [names[tag] for tag in doc["ner_tags"]])
        line = "; ".join(f"{text} ({kind})" for text, kind in found)
        return {"sentence": " ".join(doc["tokens"]), "entities": line or "none"}

    return docs.map(prepare, remove_columns=docs.column_names)


def parquet_branch(
    hub_id: str, hub_config: str, hub_commit: str, hub_splits: list[str], **_metadata: Any
) -> DatasetDict:
    """A dataset that is a script on the hub, which datasets 4 refuses, from its Parquet branch.

    Args:
        hub_id: The dataset; a local folder of that relative path comes first, as in `datasets`.
        hub_config: Its configuration.
        hub_commit: Commit of the branch ``refs/convert/parquet``.
        hub_splits: The splits to read. A lone ``train`` is divided: the `HELD_BACK` rows with the
            smallest digests stay train (for demonstrations), the others become ``test``.
        _metadata: lm-eval adds the task's metadata and the model arguments.
    """
    if Path(hub_id).is_dir():
        splits = load_dataset(hub_id, hub_config)
    else:
        files = {split: f"{hub_config}/{split}/*.parquet" for split in hub_splits}
        splits = load_dataset(hub_id, data_files=files, revision=hub_commit)
    if set(splits) != {"train"}:
        return splits
    rows = splits["train"]
    order = _by_digest(rows)
    return DatasetDict(
        train=rows.select(sorted(order[:HELD_BACK])), test=rows.select(sorted(order[HELD_BACK:]))
    )


class Lite:
    """The same `size` documents of a split, whatever order its file is in.

    Those with the smallest SHA-256 of their JSON (all columns of the pinned revision), in the
    split's order: a simple random sample that needs no seed and that every machine draws alike. A
    split of no more rows is kept whole.

    Args:
        size: How many documents.
        prepare: What the full task does with its documents, done after the choice.
    """

    def __init__(self, size: int, prepare: Prepare | None = None) -> None:
        self.size = size
        self.prepare = prepare

    def __call__(self, docs: Dataset) -> Dataset:
        """The chosen rows of `docs`."""
        rows = docs.select(sorted(_by_digest(docs)[: self.size]))
        return self.prepare(rows) if self.prepare else rows

    def __repr__(self) -> str:
        """As written into lm-eval's results, so without an address."""
        name = f", {self.prepare.__name__}" if self.prepare else ""
        return f"Lite({self.size}{name})"


def _by_digest(docs: Dataset) -> list[int]:
    digests = [
        hashlib.sha256(json.dumps(doc, sort_keys=True, default=str).encode()).digest()
        for doc in docs
    ]
    return sorted(range(len(digests)), key=digests.__getitem__)


lite = Lite(200)
lite_mmlu = Lite(4)
lite_bbh = Lite(8)
lite_drop = Lite(200, drop)
lite_hellaswag = Lite(200, hellaswag)
lite_headlines = Lite(200, headlines)
lite_fiqa = Lite(200, fiqa)
lite_wnut17 = Lite(200, wnut17)
