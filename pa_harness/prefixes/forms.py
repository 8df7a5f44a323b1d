"""The forms in which a trie goes through a model, and which of them suits a model.

The *tree*: tokens of many branches in one row, each attending to its ancestors (`attention`); it
needs attention that can be exchanged and layers without state. *Rows*: branches beside each other,
from forked caches (`rows`); it needs a cache that can be forked. The first that a trial agrees with
is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pa_harness.prefixes.compatibility import no_rows, no_tree
from pa_harness.prefixes.decoding import generation
from pa_harness.prefixes.rows import generation as row_generation
from pa_harness.prefixes.rows import scoring as row_scoring
from pa_harness.prefixes.rows.stack import room_of
from pa_harness.prefixes.scoring import Plan, score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pa_harness.prefixes.decoding.generation import Asked
    from pa_harness.prefixes.reading import Reader
    from pa_harness.prefixes.scoring import Request

    Answer = tuple[int, tuple[float, bool]]


@dataclass(frozen=True)
class Form:
    """How requests are planned, scored and continued.

    Attributes:
        name: for people.
        obstacle: what the class and configuration of a model have against it; None if nothing.
        positions: whether the model is told the positions of its tokens.
        uneven: whether rows that are not equally deep may go on beside each other.
        planner: of a reader: a function of requests and the plan before, or None, to a plan.
        score: of a reader and plans the answers.
        continuations: of a reader and prompts what follows them.
    """

    name: str
    obstacle: Callable[[Any], str | None]
    positions: bool
    uneven: bool
    planner: Callable[[Reader], Callable[[Mapping[int, Request], Any], Any]]
    score: Callable[[Reader, Iterable[Any]], Iterator[Answer]]
    continuations: Callable[[Reader, Asked], Iterator[tuple[int, list[int]]]]

    def read_by(self, reader: Reader) -> Reader:
        """The reader, told of the form."""
        return replace(reader, positions=self.positions, uneven=self.uneven)


def _tree_planner(reader: Reader) -> Callable[[Mapping[int, Request], Any], Plan]:
    return lambda requests, before: Plan(requests, reader.limits.tokens, before)


def _row_planner(
    reader: Reader,
) -> Callable[[Mapping[int, Request], Any], row_scoring.RowPlan]:
    room = room_of(reader)
    return lambda requests, _: row_scoring.RowPlan(requests, room)


TREE = Form("tree", no_tree, True, False, _tree_planner, score, generation.continuations)
_OF_ROWS = (_row_planner, row_scoring.score, row_generation.continuations)
ROWS = Form("rows", no_rows, True, True, *_OF_ROWS)
ROWS_UNTOLD = Form("rows, positions not told", no_rows, False, True, *_OF_ROWS)
EVEN_ROWS = Form("equally deep rows", no_rows, True, False, *_OF_ROWS)
EVEN_ROWS_UNTOLD = Form("equally deep rows, positions not told", no_rows, False, False, *_OF_ROWS)
FORMS = (TREE, ROWS, ROWS_UNTOLD, EVEN_ROWS, EVEN_ROWS_UNTOLD)
