"""Prompts that decode beside each other, since they share a path that is worth keeping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pa_harness.prefixes.trie import ROOT, TokenTrie

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORTH = 32  # tokens; a path that is longer by fewer is no reason to decode apart


@dataclass(frozen=True)
class Family:
    """Prompts with a common path.

    Attributes:
        prompts: their numbers, in the order of their tokens.
        path: tokens they share; every prompt has at least one more.
    """

    prompts: list[int]
    path: int


def families(prompts: Sequence[Sequence[int]], rows: int) -> tuple[list[Family], int]:
    """Divide prompts.

    A branch of the trie is a family of its own if its prompts fill the rows and its path is longer
    by `_WORTH` tokens: then every step attends to that path once instead of once per row.

    Args:
        prompts: token ids, none empty.
        rows: that decode together.

    Returns:
        The families, and the distinct tokens of all prompts.
    """
    trie = TokenTrie(prompts)
    ending: dict[int, list[int]] = {}
    for index, leaf in enumerate(trie.leaf):
        ending.setdefault(leaf, []).append(index)
    below = {node: len(ending.get(node, ())) for node in range(len(trie.parent))}
    for node in reversed(trie.below(ROOT)[1:]):
        below[trie.parent[node]] += below[node]
    found: list[Family] = []
    todo = [ROOT]
    while todo:
        top = todo.pop()
        apart = {
            node
            for node in trie.below(top)[1:]
            if below[node] >= rows and trie.end[node] - trie.end[top] >= _WORTH
        }
        apart = {node for node in apart if not _has_ancestor(trie, node, apart)}
        todo += sorted(apart, reverse=True)
        own, inner = [], [top]
        while inner:
            node = inner.pop()
            own += ending.get(node, [])
            inner += [child for child in reversed(trie.children[node]) if child not in apart]
        if own:
            found.append(Family(own, _common(trie, own)))
    return found, trie.distinct


def _has_ancestor(trie: TokenTrie, node: int, nodes: set[int]) -> bool:
    while node != ROOT:
        node = trie.parent[node]
        if node in nodes:
            return True
    return False


def _common(trie: TokenTrie, sequences: list[int]) -> int:
    """Tokens that some sequences begin with in common, less the last token of a whole one."""
    path = set(_nodes(trie, trie.leaf[sequences[0]]))
    for index in sequences[1:]:
        path &= set(_nodes(trie, trie.leaf[index]))
    shortest = min(trie.end[trie.leaf[index]] for index in sequences)
    return min(max(trie.end[node] for node in path), shortest - 1)


def _nodes(trie: TokenTrie, node: int) -> list[int]:
    found = [node]
    while node != ROOT:
        node = trie.parent[node]
        found.append(node)
    return found
