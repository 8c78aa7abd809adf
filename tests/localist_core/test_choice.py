"""The action trie: probabilities sum to one and are those of scoring each label on its own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localist_core.choice import probabilities, trie_of
from localist_core.errors import EncodingError

labels = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple), min_size=1, max_size=12, unique=True)
END = 99


def score(prefix: tuple[int, ...], token: int) -> float:
    """A made-up logit for any continuation."""
    return math.sin(hash((prefix, token)) % 1000) * 3.0


def prefix_of(trie, node: int) -> tuple[int, ...]:
    return tuple(trie.tokens[n] for n in reversed(trie.ancestors(node)))


@given(labels)
def test_probabilities_sum_to_one_and_equal_those_of_labels_scored_alone(words) -> None:
    trie = trie_of(words, end_id=END)
    scores = {node: [score(prefix_of(trie, node), t) for t in tokens] for node, tokens in trie.branches.items()}
    got = probabilities(trie, scores)
    assert math.isclose(math.fsum(got), 1.0, abs_tol=1e-12)
    has_end = any(a != b and b[: len(a)] == a for a in words for b in words)
    full = [(*word, END) if has_end else word for word in words]
    for word, p in zip(full, got, strict=True):
        alone = 1.0
        for n in range(len(word)):
            options = sorted({other[n] for other in full if other[:n] == word[:n]})
            weights = [math.exp(score(word[:n], option)) for option in options]
            alone *= weights[options.index(word[n])] / math.fsum(weights)
        assert math.isclose(p, alone, rel_tol=1e-9)


@given(labels)
def test_only_tokens_before_an_open_choice_are_fed(words) -> None:
    trie = trie_of(words, end_id=END)
    for node in range(len(trie.tokens)):
        assert any(node in trie.ancestors(branch) for branch in trie.branches)
        assert trie.parents[node] < node
        assert trie.depths[node] == len(trie.ancestors(node))


def test_labels_of_one_token_need_no_row() -> None:
    trie = trie_of([(3,), (1,), (2,)], end_id=None)
    assert (trie.tokens, trie.branches) == ((), {-1: (1, 2, 3)})
    assert probabilities(trie, {-1: [0.0, math.log(2.0), 0.0]}) == pytest.approx((0.25, 0.25, 0.5))


def test_one_action_is_certain() -> None:
    assert probabilities(trie_of([(4, 5, 6)], end_id=None), {}) == (1.0,)


@pytest.mark.parametrize("words", [[(1,), (1, 2)], [(1,), (1,)], [()]])
def test_labels_that_cannot_be_told_apart_are_refused(words) -> None:
    with pytest.raises(EncodingError, match="expected"):
        trie_of(words, end_id=None)
