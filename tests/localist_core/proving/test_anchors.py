"""Laws of information under noise and of the greedy choice, and brute force as the oracle of small cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localist_core.proving.anchors import (
    Anchor,
    AnchorError,
    Candidate,
    Design,
    Named,
    Noise,
    Terms,
    confusion_bits,
    design,
    information_bits,
    specific_bits,
)

WORDS = ("R1", "R2", "if", "A1", "F3")
ANCHORS = st.lists(st.lists(st.sampled_from(WORDS), max_size=3).map(tuple), min_size=1, max_size=4)
CHANCES = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)).map(lambda pair: (pair[0], pair[1] * (1.0 - pair[0])))
NOISES = CHANCES.map(lambda pair: Noise(drop=pair[0], swap=min(pair[1], 1.0 - pair[0]), vocabulary=6))
CLEAN = Noise(drop=0.0, swap=0.0, vocabulary=6)


def brute_bits(anchors: Sequence[Anchor], noise: Noise) -> float:
    """I(anchor; block) by summing over every reading of every place, words that nobody uses one by one."""
    vocabulary = [*WORDS, "other"][: noise.vocabulary]
    places = max(len(anchor) for anchor in anchors)

    def chance(reading: Sequence[str | None], anchor: Anchor) -> float:
        whole = 1.0
        for place, read in enumerate(reading):
            word = anchor[place] if place < len(anchor) else None
            if word is None:
                whole *= read is None
            elif read is None:
                whole *= noise.drop
            elif read == word:
                whole *= 1.0 - noise.drop - noise.swap
            else:
                whole *= noise.swap / (noise.vocabulary - 1)
        return whole

    total = 0.0
    for reading in product([*vocabulary, None], repeat=places):
        each = [chance(reading, anchor) for anchor in anchors]
        mean = sum(each) / len(each)
        total += sum(p * math.log2(p / mean) for p in each if p > 0.0 and mean > 0.0) / len(each)
    return total


@given(ANCHORS, NOISES)
def test_information_is_what_brute_force_sums_up(anchors: list[Anchor], noise: Noise) -> None:
    assert information_bits(anchors, noise) == pytest.approx(brute_bits(anchors, noise), abs=1e-9)


@given(ANCHORS, NOISES)
def test_information_lies_between_0_and_that_of_the_blocks(anchors: list[Anchor], noise: Noise) -> None:
    assert -1e-12 <= information_bits(anchors, noise) <= math.log2(len(anchors)) + 1e-9
    assert all(bits >= -1e-9 for bits in specific_bits(anchors, noise))


@given(ANCHORS, NOISES, st.sampled_from(WORDS))
def test_one_more_word_for_every_block_never_loses_information(anchors: list[Anchor], noise: Noise, word: str) -> None:
    places = max(map(len, anchors))
    padded = [(*anchor, *[f"pad-{place}" for place in range(len(anchor), places)]) for anchor in anchors]
    roomy = Noise(drop=noise.drop, swap=noise.swap, vocabulary=16)
    before = information_bits(padded, roomy)
    longer = [(*anchor, word if index == 0 else "R9") for index, anchor in enumerate(padded)]
    assert information_bits(longer, roomy) >= before - 1e-9


@given(st.integers(1, 6), st.floats(0.0, 0.5), st.floats(0.0, 0.5))
def test_unique_names_tell_all_without_noise_and_less_with_it(count: int, drop: float, swap: float) -> None:
    names = [(f"R{index}",) for index in range(count)]
    noise = Noise(drop=drop, swap=swap, vocabulary=8)
    assert information_bits(names, Noise(drop=0.0, swap=0.0, vocabulary=8)) == pytest.approx(math.log2(count))
    assert information_bits(names, noise) <= math.log2(count) + 1e-9


@given(st.floats(0.0, 0.9), st.floats(0.0, 0.1))
def test_more_lost_words_tell_less(drop: float, more: float) -> None:
    names = [("R1",), ("R2",), ("R3",)]
    some, many = (Noise(drop=d, swap=0.0, vocabulary=6) for d in (drop, drop + more))
    assert information_bits(names, many) <= information_bits(names, some) + 1e-12
    assert information_bits(names, some) == pytest.approx((1.0 - drop) * math.log2(3))


def test_equal_anchors_tell_nothing_and_repeated_ones_more_under_noise() -> None:
    noise = Noise(drop=0.2, swap=0.1, vocabulary=8)
    assert information_bits([("if",), ("if",)], noise) == pytest.approx(0.0)
    once, twice = [("R1",), ("R2",)], [("R1", "R1"), ("R2", "R2")]
    assert information_bits(twice, noise) > information_bits(once, noise) + 0.1


def test_confusions_of_a_perfect_reader_tell_the_block_and_of_a_blind_one_nothing() -> None:
    perfect = [[1000 if row == column else 0 for column in range(4)] for row in range(4)]
    assert confusion_bits(perfect) == pytest.approx(2.0, abs=0.01)
    assert confusion_bits([[25] * 4] * 4) == 0.0
    with pytest.raises(AnchorError, match="got none"):
        confusion_bits([[0, 0], [0, 0]])


def named(*words: tuple[str, float, float], outside: float = 1.0) -> Named:
    return Named(candidates=tuple(Candidate(word=w, mass=m, margin=d) for w, m, d in words), outside=outside)


def test_words_that_all_blocks_share_are_left_and_the_slot_is_taken() -> None:
    blocks = [named(("if", 1.0, 1.0), (f"R{n}", 5.0, 1.0)) for n in (1, 2, 3)]
    assert design(blocks, Terms(most=1)).anchors == (("R1",), ("R2",), ("R3",))


def test_shared_word_names_one_block_at_most() -> None:
    blocks = [named(("if", 5.0, 1.0), (f"R{n}", 1.0, 1.0)) for n in (1, 2, 3)]
    found = design(blocks, Terms(most=1))
    assert found.anchors.count(("if",)) <= 1
    assert found.information_bits == pytest.approx(information_bits([("R1",), ("R2",), ("R3",)], Noise()))


def test_word_is_left_to_the_block_that_has_no_other() -> None:
    blocks = [named(("if", 5.0, 1.0), ("R1", 1.0, 1.0)), named(("if", 1.0, 1.0))]
    assert design(blocks, Terms(most=1)).anchors == (("R1",), ("if",))


def test_word_is_taken_only_if_its_fidelity_is_worth_its_entropy() -> None:
    blocks = [named((f"R{n}", 1.0, 1.0), (f"A{n}", 0.5, 1.0), (f"F{n}", 0.001, 1.0)) for n in (1, 2)]
    found = design(blocks, Terms(bits_per_fidelity=10.0))
    assert found.anchors == (("R1", "A1"), ("R2", "A2"))
    refused = found.steps[0][-1]
    assert (refused.word, refused.is_taken) == ("F1", False)
    assert refused.fidelity * 10.0 < refused.entropy_bits
    assert design(blocks, Terms(bits_per_fidelity=0.0)).anchors == (("R1",), ("R2",))


def test_word_below_the_margin_names_a_block_only_where_no_other_does() -> None:
    blocks = [named(("R1", 1.0, -2.0), ("A1", 9.0, -3.0)), named(("R2", 1.0, 2.0), ("A2", 9.0, 1.0))]
    found = design(blocks, Terms(least_margin=1.5))
    assert found.anchors == (("R1",), ("R2",))


def test_fidelity_and_entropy_are_those_of_the_words_alone() -> None:
    block = named(("R1", 3.0, 0.0), ("A1", 1.0, 0.0), outside=4.0)
    assert block.fidelity(("R1",)) == pytest.approx(3.0 / 7.0)
    assert block.fidelity(("R1", "A1")) == pytest.approx(0.5)
    assert block.entropy_bits(("R1",)) == 0.0
    assert block.entropy_bits(("R1", "A1")) == pytest.approx(0.811278, abs=1e-6)
    assert (block.fidelity(()), block.entropy_bits(())) == (0.0, 0.0)


MASSES = st.floats(0.01, 5.0)


@st.composite
def small(draw: st.DrawFn) -> list[Named]:
    count = draw(st.integers(1, 3))
    return [
        named(*((word, draw(MASSES), 0.0) for word in draw(st.permutations(WORDS))[:3]), outside=draw(MASSES))
        for _ in range(count)
    ]


@given(small())
def test_no_block_can_improve_its_one_word_alone(blocks: list[Named]) -> None:
    terms = Terms(most=1, noise=Noise(vocabulary=6))
    found = design(blocks, terms)
    for index, block in enumerate(blocks):
        for one in block.candidates:
            other = [*found.anchors[:index], (one.word,), *found.anchors[index + 1 :]]
            assert information_bits(other, terms.noise) <= found.information_bits + 1e-6


@given(small())
def test_choice_is_never_far_below_the_best_of_all_and_its_parts_add_up(blocks: list[Named]) -> None:
    terms = Terms(most=1, noise=Noise(vocabulary=6))
    found = design(blocks, terms)
    every = product(*([(one.word,) for one in block.candidates] for block in blocks))
    best = max(information_bits(anchors, terms.noise) for anchors in every)
    assert found.information_bits >= 0.5 * best - 1e-9
    assert found.information_bits == pytest.approx(sum(found.specific_bits) / len(blocks))
    check(found, terms)


@given(small(), st.floats(0.0, 20.0))
def test_block_that_refuses_a_word_is_content(blocks: list[Named], rate: float) -> None:
    terms = Terms(noise=Noise(vocabulary=6), bits_per_fidelity=rate)
    found = design(blocks, terms)
    check(found, terms)
    for steps in found.steps:
        assert [step.is_taken for step in steps[:-1]] == [True] * (len(steps) - 1)
        for step in steps[1:]:
            assert step.is_taken == (step.fidelity * rate > step.entropy_bits)


def check(found: Design, terms: Terms) -> None:
    for anchor, steps in zip(found.anchors, found.steps, strict=True):
        assert tuple(step.word for step in steps if step.is_taken) == anchor
        assert 1 <= len(anchor) <= terms.most


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Noise(drop=0.6, swap=0.6), "sum of at most 1"),
        (lambda: Noise(vocabulary=1), "vocabulary"),
        (lambda: Terms(most=0), "1 word or more"),
        (lambda: design([], Terms()), "at least one word"),
        (lambda: design([named()], Terms()), "at least one word"),
        (lambda: specific_bits([], Noise()), "blocks to name"),
        (lambda: information_bits([("a",), ("b",), ("c",)], Noise(vocabulary=2)), "vocabulary of 3"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(make: object, expected: str) -> None:
    assert callable(make)
    with pytest.raises(AnchorError, match=expected):
        make()
