"""Scoring a short list of actions in one forward: the compact trie of their labels; no torch.

Only tokens after which a choice is still open are fed to the model, behind the prompt, each seeing the prompt and its
own ancestors. A label of one token needs none: it is scored at the last token of the prompt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from localist_core.errors import EncodingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trie:
    """The labels of one request as a tree of tokens. Nodes are numbered from 0; -1 is the root, the prompt itself."""

    tokens: tuple[int, ...]
    """Token id of each fed node, parents before children."""
    parents: tuple[int, ...]
    """Parent of each fed node."""
    depths: tuple[int, ...]
    """Tokens from the prompt to each fed node, 1, 2, ..."""
    paths: tuple[tuple[tuple[int, int], ...], ...]
    """For each action the open choices on its way: (node, token chosen there)."""
    branches: Mapping[int, tuple[int, ...]]
    """For each node with an open choice the tokens possible there, in order of id."""

    def ancestors(self, node: int) -> tuple[int, ...]:
        """The node and its fed ancestors."""
        line = []
        while node != -1:
            line.append(node)
            node = self.parents[node]
        return tuple(line)


def trie_of(labels: Sequence[Sequence[int]], *, end_id: int | None) -> Trie:
    """Build the trie of labels given as token ids.

    Args:
        labels: token ids of each action's label; not empty, all different.
        end_id: token put behind every label if one label begins with another; None = such labels are an error.

    Raises:
        EncodingError: an empty label, two equal ones, or one that begins with another while there is no end token.
    """
    return _trie_of(tuple(tuple(label) for label in labels), end_id)


@lru_cache(maxsize=256)
def _trie_of(words: tuple[tuple[int, ...], ...], end_id: int | None) -> Trie:
    """All agents of a role choose among the same labels."""
    if not all(words) or len(set(words)) < len(words):
        raise EncodingError("expected action labels of different, non-empty tokens, got an empty or a double one")
    if any(a != b and b[: len(a)] == a for a in words for b in words):
        if end_id is None:
            raise EncodingError("expected labels of which none begins with another, got such; rename the actions")
        words = tuple((*word, end_id) for word in words)
    children: dict[tuple[int, ...], set[int]] = {}
    for word in words:
        for length in range(len(word)):
            children.setdefault(word[:length], set()).add(word[length])
    open_nodes = [prefix for prefix, tokens in children.items() if len(tokens) > 1]
    fed = sorted(
        {node[:length] for node in open_nodes for length in range(1, len(node) + 1)}, key=lambda p: (len(p), p)
    )
    number = {prefix: index for index, prefix in enumerate(fed)} | {(): -1}
    return Trie(
        tokens=tuple(prefix[-1] for prefix in fed),
        parents=tuple(number[prefix[:-1]] for prefix in fed),
        depths=tuple(len(prefix) for prefix in fed),
        paths=tuple(
            tuple((number[word[:n]], word[n]) for n in range(len(word)) if len(children[word[:n]]) > 1)
            for word in words
        ),
        branches={number[prefix]: tuple(sorted(children[prefix])) for prefix in open_nodes},
    )


def probabilities(trie: Trie, scores: Mapping[int, Sequence[float]]) -> tuple[float, ...]:
    """Probability of each action: softmax over the open tokens at each node, multiplied along the way; sum 1.

    Args:
        trie: the labels.
        scores: for each node of `trie.branches` the logits of its tokens, in that order; finite.
    """
    steps = {
        (node, token): p
        for node, tokens in trie.branches.items()
        for token, p in zip(tokens, _softmax(scores[node]), strict=True)
    }
    return tuple(math.prod(steps[step] for step in path) for path in trie.paths)


def _softmax(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    weights = [math.exp(logit - top) for logit in logits]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
