"""Few-shot demonstrations that are fixed: the same for every document, λ and number of processes.

Task YAMLs name what is here under ``fewshot_config``, beside ``sampler: first_n``, which takes the
first ``num_fewshot`` rows of what comes out. Random demonstrations (lm-eval's default sampler)
depend on the order in which documents are met, so on ``--limit`` and on the number of processes.
"""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING, Any

from pa_harness.tasks import documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datasets import Dataset

MOST = 64


def in_order(docs: Dataset) -> Dataset:
    """The first `MOST` rows of the split, as published."""
    return docs.select(range(min(MOST, len(docs))))


class Balanced:
    """Rows of a split, a round of all classes after another.

    Each round holds one row of every class that is left, the next one in the split's order; the
    order of the classes is shuffled anew in each round by a fixed seed. So the first ``k`` rows
    hold each of ``c`` classes ⌊k/c⌋ or ⌈k/c⌉ times, and no class always comes last. With a passage
    or a title as the class, no two rows share one.

    Args:
        column: The column that holds the class. Rows without one (None or -1) are left out.
        key: Makes the class of the column's value, where that is not the class itself.
        prepare: What the task does with its documents, done after the choice.
    """

    def __init__(
        self,
        column: str,
        key: Callable[[Any], Any] | None = None,
        prepare: Callable[[Dataset], Dataset] | None = None,
    ) -> None:
        self.column = column
        self.key = key
        self.prepare = prepare

    def __call__(self, docs: Dataset) -> Dataset:
        """At most `MOST` rows of `docs`, in the order of the rounds."""
        chosen = docs.select(list(islice(self._rounds(docs), MOST)))
        return self.prepare(chosen) if self.prepare else chosen

    def _rounds(self, docs: Dataset) -> Iterator[int]:
        classes: dict[Any, list[int]] = {}
        for row, value in enumerate(docs[self.column]):
            if value is not None and value != -1:
                classes.setdefault(self.key(value) if self.key else value, []).append(row)
        generator = random.Random(0)
        queues = [rows[::-1] for _, rows in sorted(classes.items(), key=lambda item: str(item[0]))]
        while queues:
            generator.shuffle(queues)
            yield from [queue.pop() for queue in queues]
            queues = [queue for queue in queues if queue]

    def __repr__(self) -> str:
        """As written into lm-eval's results, so without an address."""
        return f"Balanced({self.column!r})"


def first_entity(tags: list[int]) -> int:
    """The first entity's type of a WNUT-17 sentence: its ``B-`` tag; 0 without an entity."""
    return next((tag if tag % 2 else tag - 1 for tag in tags if tag), 0)


def answer_position(key: str) -> int:
    """Position of the right option: some of ARC's rows say 1 to 5 where the others say A to E."""
    return "12345".find(key) if key in "12345" else "ABCDE".find(key)


by_label = Balanced("label")
by_answer = Balanced("answer")
by_answer_key = Balanced("answerKey", key=answer_position)
by_title = Balanced("title")
drop = Balanced("passage", prepare=documents.drop)
hellaswag = Balanced("label", prepare=documents.hellaswag)
headlines = Balanced("Price Sentiment", prepare=documents.headlines)
fiqa = Balanced("score", key=documents.fiqa_label, prepare=documents.fiqa)
wnut17 = Balanced("ner_tags", key=first_entity, prepare=documents.wnut17)
