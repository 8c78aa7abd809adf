"""Plain against localist training, seed by seed, on the same held-out lessons: the figures of the study."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scenarios.curve import Curve

QUINTIC = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The curves of two models that differ in their training alone."""

    seed: int
    plain: Curve
    localist: Curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure, with a value for each seed."""

    name: str
    target: str
    """What was aimed at; empty = only reported."""
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return math.fsum(self.values) / len(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """All figures on one kind of held-out lessons."""

    name: str
    """Such as `curriculum, n_S / n = 0.5`."""
    target_share: float
    """Mean n_S / n of the lessons."""
    seeds: tuple[int, ...]
    figures: tuple[Figure, ...]


Measure = tuple[str, str, Callable[[Curve, Curve], float]]


def figures(pairs: Sequence[Pair], measures: Sequence[Measure]) -> tuple[Figure, ...]:
    """Figures of some pairs on one kind of lessons."""
    return tuple(
        Figure(name=name, target=target, values=tuple(measure(pair.plain, pair.localist) for pair in pairs))
        for name, target, measure in measures
    )


def leak(curve: Curve) -> float:
    """The raw leak: 1 - raw fidelity, at dial 0."""
    return 1.0 - curve.at(0.0).raw_fidelity


def loss(curve: Curve) -> float:
    """In nats, at dial 0."""
    return math.log(curve.at(0.0).perplexity)


MEASURES: tuple[Measure, ...] = (
    ("entropy, plain, dial 0 (bits)", "", lambda p, q: p.at(0.0).entropy_bits),
    ("entropy, plain, dial 1 (bits)", "", lambda p, q: p.at(1.0).entropy_bits),
    ("entropy, localist, dial 0 (bits)", "", lambda p, q: q.at(0.0).entropy_bits),
    ("entropy, localist, dial 1 (bits)", "", lambda p, q: q.at(1.0).entropy_bits),
    ("entropy, localist: dial 1 / dial 0", "<= 0.6", lambda p, q: q.at(1.0).entropy_bits / q.at(0.0).entropy_bits),
    ("entropy, localist dial 1 / plain dial 0", "", lambda p, q: q.at(1.0).entropy_bits / p.at(0.0).entropy_bits),
    ("raw entropy, localist / plain", "", lambda p, q: q.at(0.0).entropy_bits / p.at(0.0).entropy_bits),
    ("entropy, plain: dial 1 / dial 0", "", lambda p, q: p.at(1.0).entropy_bits / p.at(0.0).entropy_bits),
    ("accuracy, plain, dial 0 (%)", "", lambda p, q: 100 * p.at(0.0).accuracy),
    ("accuracy, localist, dial 0 (%)", "", lambda p, q: 100 * q.at(0.0).accuracy),
    ("accuracy, localist: dial 1 - dial 0 (points)", "", lambda p, q: 100 * (q.at(1.0).accuracy - q.at(0.0).accuracy)),
    (
        "accuracy, localist: best dial - dial 0 (points)",
        ">= -2",
        lambda p, q: 100 * (q.best(0.0).accuracy - q.at(0.0).accuracy),
    ),
    ("perplexity, plain, dial 0", "", lambda p, q: p.at(0.0).perplexity),
    ("perplexity, localist, dial 0", "", lambda p, q: q.at(0.0).perplexity),
    ("perplexity, plain: dial 1 / dial 0", "", lambda p, q: p.at(1.0).perplexity / p.at(0.0).perplexity),
    ("perplexity, localist: dial 1 / dial 0", "", lambda p, q: q.at(1.0).perplexity / q.at(0.0).perplexity),
    (
        "perplexity, localist: quintic dial 1 / dial 0",
        "<= 1.10",
        lambda p, q: q.at(1.0, QUINTIC).perplexity / q.at(0.0).perplexity,
    ),
    (
        "perplexity, localist quintic dial 1 / plain dial 0",
        "<= 1.10",
        lambda p, q: q.at(1.0, QUINTIC).perplexity / p.at(0.0).perplexity,
    ),
    ("raw leak, plain", "", lambda p, q: leak(p)),
    ("raw leak, localist", "", lambda p, q: leak(q)),
    ("raw leak, localist / plain", "<= 0.5", lambda p, q: leak(q) / leak(p)),
    ("loss at dial 0, localist - plain (nats)", "<= 0", lambda p, q: loss(q) - loss(p)),
)
"""Name, target, and the figure of a plain and a localist curve."""

CONTROL: tuple[Measure, ...] = (
    ("raw fidelity to random paragraphs, plain", "", lambda p, q: p.at(0.0).raw_fidelity),
    ("raw fidelity to random paragraphs, localist", "", lambda p, q: q.at(0.0).raw_fidelity),
    ("perplexity, plain: dial 1 / dial 0", "", lambda p, q: p.at(1.0).perplexity / p.at(0.0).perplexity),
    ("perplexity, localist: dial 1 / dial 0", "", lambda p, q: q.at(1.0).perplexity / q.at(0.0).perplexity),
)
"""The same of random targets: the dial on the wrong tokens must cost, or it does nothing."""
