"""Anchor design: which few words of a block name it to a noisy reader, and when one more is not worth it; no torch.

A unique name without noise always has I(anchor; block) = H(block), so information is measured through noise: every
word of an anchor is lost, or read as another word, with a stated chance. Words are taken by the information that they
add, as long as their gain in fidelity, at a stated exchange rate, exceeds their cost in entropy (framework, section 6;
Diederich, arXiv 2510.09338 and 2510.05106). The reader knows which words name which block; that a word also stands in
other blocks costs it margin, which is measured in the attention of a model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from localist_core.proving.theory import entropy_bits

SWEEPS = 8
"""How often at most all blocks are gone through in one round, each time given the others' words."""

Floats = NDArray[np.float64]
Anchor = tuple[str, ...]
"""The words that name one block, in the order in which they were taken."""


class AnchorError(ValueError):
    """A design that cannot be: one line, with what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How a reader misreads each word, independently of all others."""

    drop: float = 0.1
    """Chance that the word is lost, and seen to be lost, in [0, 1]."""
    swap: float = 0.1
    """Chance that it is read as another word of the vocabulary, each alike, in [0, 1 - drop]."""
    vocabulary: int = 64
    """Words that there are, 2 or more."""

    def __post_init__(self) -> None:
        if not (self.drop >= 0.0 and self.swap >= 0.0 and self.drop + self.swap <= 1.0):
            raise AnchorError(
                f"expected chances from 0 with a sum of at most 1, got `{self.drop}` and `{self.swap}`; lower them"
            )
        if self.vocabulary < 2:
            raise AnchorError(f"expected a vocabulary of 2 words or more, got `{self.vocabulary}`; count all words")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A word that may name a block, and what attention makes of it where the block is the right one."""

    word: str
    mass: float
    """Mean attention on it, >= 0."""
    margin: float
    """Its logit above the highest one outside the block, in nats; the median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A block whose name is to be found."""

    candidates: tuple[Candidate, ...]
    """Different words, in the order of the block."""
    outside: float
    """Mean attention on all words outside the block that are not neutral, >= 0."""

    def fidelity(self, words: Sequence[str]) -> float:
        """Mass on these words among them and all words outside; the block's other words count neither way."""
        inside = sum(one.mass for one in self.candidates if one.word in words)
        return inside / (inside + self.outside) if inside > 0.0 else 0.0

    def entropy_bits(self, words: Sequence[str]) -> float:
        """Entropy of the attention over these words alone."""
        masses = [one.mass for one in self.candidates if one.word in words]
        whole = sum(masses)
        return entropy_bits(mass / whole for mass in masses) if whole > 0.0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """When a word is taken."""

    noise: Noise = Noise()
    bits_per_fidelity: float = 8.0
    """The exchange rate: a gain in fidelity of 1 is worth so many bits of entropy, >= 0. Fidelity has no unit, so the
    rate is a choice; 8 = one point of fidelity for 0.08 bits."""
    least_margin: float = 0.0
    """Words with a lower margin are not taken, in nats; the first word of a block where none has it."""
    most: int = 3
    """Words of one anchor at most, 1 or more."""

    def __post_init__(self) -> None:
        if self.most < 1 or not self.bits_per_fidelity >= 0.0:
            raise AnchorError(
                f"expected 1 word or more and a rate of 0 or more, got `{self.most}` and `{self.bits_per_fidelity}`"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One word that was looked at as the next of its block."""

    word: str
    information_bits: float
    """What it adds to what a reading tells of this block, see `Design.specific_bits`; a block without name tells 0."""
    fidelity: float
    """What it adds to the block's fidelity."""
    entropy_bits: float
    """What it adds to the entropy of the attention over the anchor."""
    is_taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The anchors of all blocks."""

    anchors: tuple[Anchor, ...]
    """One for each block, of at least one word."""
    information_bits: float
    """I(anchor; block), all blocks being equally likely."""
    specific_bits: tuple[float, ...]
    """Of each block: sum over what is read of P(read | block) log2 (P(read | block) / P(read)); their mean is I."""
    steps: tuple[tuple[Step, ...], ...]
    """For each block the words taken, then the best word refused, if one was."""


# Information under noise


def specific_bits(anchors: Sequence[Anchor], noise: Noise) -> tuple[float, ...]:
    """What a noisy reading tells of each block, in bits, all being equally likely; the mean is I(anchor; block).

    The reader knows which place of an anchor it reads. A place that a block does not use reads as lost.

    Raises:
        AnchorError: no block, or more different words at a place than the vocabulary has.
    """
    if not anchors:
        raise AnchorError("expected blocks to name, got none")
    joint = np.ones((len(anchors), 1))
    for place in range(max(len(anchor) for anchor in anchors)):
        read = _reading([anchor[place] if place < len(anchor) else None for anchor in anchors], noise)
        joint = (joint[:, :, None] * read[:, None, :]).reshape(len(anchors), -1)
    mean = joint.mean(axis=0)
    ratio = np.divide(joint, mean, out=np.ones_like(joint), where=(joint > 0.0) & (mean > 0.0))
    return tuple(float(value) for value in (joint * np.log2(ratio)).sum(axis=1))


def information_bits(anchors: Sequence[Anchor], noise: Noise) -> float:
    """I(anchor; block) in bits through noise, all blocks being equally likely; in [0, log2 of their number]."""
    each = specific_bits(anchors, noise)
    return max(0.0, math.fsum(each) / len(each))


def confusion_bits(counts: Sequence[Sequence[int]]) -> float:
    """I(read; true) in bits from counts [true][read], less the first-order bias of small samples, at least 0.

    The bias of the plug-in estimate is (true - 1)(read - 1) / (2 n ln 2) (Miller 1955), over the rows and columns that
    occur.

    Raises:
        AnchorError: nothing was counted.
    """
    table = np.asarray(counts, dtype=np.float64)
    whole = float(table.sum())
    if not whole > 0.0:
        raise AnchorError("expected readings to count, got none; read more")
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    plugged = _entropy(rows) + _entropy(columns) - _entropy(table.ravel())
    bias = (np.count_nonzero(rows) - 1) * (np.count_nonzero(columns) - 1) / (2.0 * whole * math.log(2.0))
    return max(0.0, plugged - bias)


def _reading(words: Sequence[str | None], noise: Noise) -> Floats:
    """P(read | block) at one place, (block, reading): each word in use, any other word, lost."""
    used = sorted({word for word in words if word is not None})
    if len(used) > noise.vocabulary:
        raise AnchorError(f"expected a vocabulary of {len(used)} words or more, got `{noise.vocabulary}`; raise it")
    each = noise.swap / (noise.vocabulary - 1)
    found = np.zeros((len(words), len(used) + 2))
    for row, word in enumerate(words):
        if word is None:
            found[row, -1] = 1.0
            continue
        found[row, : len(used)] = each
        found[row, used.index(word)] = 1.0 - noise.drop - noise.swap
        found[row, -2] = each * (noise.vocabulary - len(used))
        found[row, -1] = noise.drop
    return found


def _entropy(counts: Floats) -> float:
    shares = counts[counts > 0.0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


# Greedy choice


def design(blocks: Sequence[Named], terms: Terms) -> Design:
    """Choose the anchors of all blocks, one word for each block in every round (coordinate ascent).

    The first word is the one that adds most information among those with the margin; a further word must also gain
    more in fidelity, at the exchange rate, than it costs in entropy.

    Raises:
        AnchorError: no block, or one without words.
    """
    if not blocks or not all(block.candidates for block in blocks):
        raise AnchorError("expected blocks with at least one word each, got one without; leave it out")
    anchors: list[Anchor] = [() for _ in blocks]
    steps: list[list[Step]] = [[] for _ in blocks]
    for place in range(terms.most):
        growing = [index for index, anchor in enumerate(anchors) if len(anchor) == place]
        for _ in range(SWEEPS):  # a word that was good while others had no name may be better left to them
            before = tuple(anchors)
            for index in growing:
                anchors[index] = anchors[index][:place]
                step = _next(index, blocks[index], anchors, terms)
                steps[index] = steps[index][:place] + ([] if step is None else [step])
                if step is not None and step.is_taken:
                    anchors[index] = (*anchors[index], step.word)
            if tuple(anchors) == before:
                break
    return Design(
        anchors=tuple(anchors),
        information_bits=information_bits(anchors, terms.noise),
        specific_bits=specific_bits(anchors, terms.noise),
        steps=tuple(map(tuple, steps)),
    )


def _next(index: int, block: Named, anchors: Sequence[Anchor], terms: Terms) -> Step | None:
    """The best next word of a block: of those worth taking the most informative, else the most informative of all."""
    own = anchors[index]
    left = [one for one in block.candidates if one.word not in own]
    fit = [one for one in left if one.margin >= terms.least_margin]
    if not own and not fit:
        fit = [max(left, key=lambda one: one.margin)]
    if not fit:
        return None
    looked = [_look(index, block, one, anchors, terms) for one in fit]
    worth = [each for each in looked if each.step.is_taken]
    return max(worth or looked, key=lambda each: each.rank).step


@dataclass(frozen=True, slots=True)
class _Looked:
    """A step, and what it is ranked by: I of all blocks together, then attention."""

    step: Step
    rank: tuple[float, float]


def _look(index: int, block: Named, one: Candidate, anchors: Sequence[Anchor], terms: Terms) -> _Looked:
    own = anchors[index]
    longer = (*own, one.word)
    before = specific_bits(anchors, terms.noise)[index] if own else 0.0
    after = specific_bits([*anchors[:index], longer, *anchors[index + 1 :]], terms.noise)
    step = Step(
        word=one.word,
        information_bits=after[index] - before,
        fidelity=block.fidelity(longer) - block.fidelity(own),
        entropy_bits=block.entropy_bits(longer) - block.entropy_bits(own),
        is_taken=True,
    )
    is_worth = not own or step.fidelity * terms.bits_per_fidelity > step.entropy_bits
    return _Looked(replace(step, is_taken=is_worth), (round(math.fsum(after), 9), one.mass))
