"""The token trie and its passes, against sets of prefixes."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pa_harness.prefixes.passes import Pass, Want, passes
from pa_harness.prefixes.trie import TokenTrie

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[int, ...]
# Few tokens, so that sequences share much; grown from each other, so that some are deep.
LISTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=14), min_size=1, max_size=12)
DEEP = LISTS.map(lambda lists: [list(chain(*lists[: i + 1]))[-20:] for i in range(len(lists))])
SEQUENCES = LISTS | DEEP


def prefixes(sequences: list[list[int]]) -> set[Path]:
    return {tuple(s[:end]) for s in sequences for end in range(1, len(s) + 1)}


def node_at(trie: TokenTrie, sequence: int, position: int) -> int:
    """The node that holds the token at a position of a sequence."""
    node = trie.leaf[sequence]
    while trie.start[node] > position:
        node = trie.parent[node]
    return node


@given(SEQUENCES)
@settings(deadline=None)
def test_the_trie_holds_every_prefix_once(sequences: list[list[int]]) -> None:
    trie = TokenTrie(sequences)
    held = []
    for node in trie.below(0):
        for depth in range(trie.start[node], trie.end[node]):
            held.append(tuple(trie.sequences[trie.owner[node]][: depth + 1].tolist()))
    assert len(held) == len(set(held)) == trie.distinct
    assert set(held) == prefixes(sequences)
    for index, sequence in enumerate(sequences):
        assert trie.end[trie.leaf[index]] == len(sequence)
        for position in range(len(sequence)):
            node = node_at(trie, index, position)
            assert trie.start[node] <= position < trie.end[node]
            assert trie.run(node, position, position + 1).tolist() == [sequence[position]]


def test_tokens_sort_by_value_not_by_their_bytes() -> None:
    """Ids above 255 and 65535 have more bytes; a wrong order would split equal prefixes."""
    sequences = [[70000, 1], [256, 1], [70000, 255], [1, 256], [256, 2], [1, 70000]]
    trie = TokenTrie(sequences)
    assert trie.distinct == 9
    assert [trie.run(n, 0, 1).tolist() for n in trie.children[0]] == [[1], [256], [70000]]


def seen(part: Pass, slots: list[Path]) -> Iterator[tuple[Path, list[Path]]]:
    """Every token of a pass as the path to it, with the slots it may see, by the definition."""
    border = part.kept + part.path
    for i, token in enumerate(part.tokens.tolist()):
        visible = [s for s in range(border) if s < part.sees[i]]
        visible += [
            part.kept + j for j in range(part.path, len(part.tokens)) if j <= i < part.stop[j]
        ]
        own = part.kept + i
        assert own in visible
        ancestors = [slots[s] for s in visible if s != own]
        parent = max(ancestors, key=len, default=())
        slots.append((*parent, token))
        yield slots[-1], [*ancestors, slots[-1]]


@given(SEQUENCES, st.integers(1, 40), st.data())
@settings(deadline=None)
def test_passes_compute_every_token_once_and_show_it_its_ancestors(
    sequences: list[list[int]], budget: int, data: st.DataObject
) -> None:
    trie, wants, asked = TokenTrie(sequences), {}, []
    for index, sequence in enumerate(sequences):
        first = data.draw(st.integers(0, len(sequence) - 1))
        for position in range(first, len(sequence)):
            want = Want(position, target=7, request=index)
            wants.setdefault(node_at(trie, index, position), []).append(want)
            asked.append((index, tuple(sequence[: position + 1])))
    for values in wants.values():
        values.sort(key=lambda want: want.position)
    slots: list[Path] = []
    computed, read = [], []
    for part in passes(trie, wants, budget):
        assert 0 < len(part.tokens) <= budget
        assert part.kept <= len(slots)
        del slots[part.kept :]
        paths = []
        for path, visible in seen(part, slots):
            assert sorted(visible, key=len) == [path[: n + 1] for n in range(len(path))]
            paths.append(path)
        assert part.positions.tolist() == [len(path) - 1 for path in paths]
        computed += paths
        reading = part.reading.tolist()
        assert reading == sorted(reading)
        assert set(part.targets.tolist()) <= {7}
        read += [(n, paths[at]) for at, n in zip(reading, part.requests.tolist(), strict=True)]
    assert len(computed) == trie.distinct
    assert set(computed) == prefixes(sequences)
    assert sorted(read) == sorted(asked)


@pytest.mark.parametrize(("documents", "expected"), [(30, 8), (300, 62)])
def test_passes_are_full(documents: int, expected: int) -> None:
    """200 tokens in common and 20 for each document, 100 at a time."""
    sequences = [[1] * 200 + [2 + n] * 20 for n in range(documents)]
    trie = TokenTrie(sequences)
    assert trie.distinct == 200 + 20 * documents
    assert len(list(passes(trie, {}, 100))) <= expected
