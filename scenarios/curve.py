"""The dial curve of a model: entropy, fidelity, masses, perplexity, accuracy and compliance against the dial.

One examination (`localist_core/learning/examination.py`) for each dial value and depth exponent, on the same held-out
lessons. `curve_files.py` writes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from localist_core.dial import DialKind
from localist_core.learning.examination import Examination, examination
from localist_core.learning.lessons import Lesson
from localist_core.model import LocalistForCausalLM

VALUES = tuple(step / 10 for step in range(11))
"""Dial values of a curve."""
GAMMAS = (0.0, 1.0, 3.0, 5.0)
"""Depth exponents of a curve: uniform, linear, cubic, quintic."""
ASKED = ("next", "act", "cite")
"""Sorts of rows over which accuracy and perplexity are taken; `comply` asks the row of `act` again."""
BATCH_TOKENS = 1024
"""Tokens of one forward: small groups of like length waste little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A model under one dial; means over layers, heads and decision rows unless another is named."""

    gamma: float
    """Depth exponent: layer l of N has the dial value * ((l + 1) / N) ** gamma."""
    value: float
    """The dial, in [0, 1]."""
    entropy_bits: float
    """H, over all tokens."""
    inner_entropy_bits: float
    """H', over the tokens that are not neutral."""
    raw_fidelity: float
    """From the pass at dial 0, whatever the dial of the point: the evidence."""
    steered_fidelity: float
    """Under the dial; at least the dial where gamma is 0, by construction."""
    target_mass: float
    """Attention on the targets under the dial."""
    neutral_mass: float
    perplexity: float
    """exp of the mean loss of the rows that are asked: every word of the own paragraph (`next`), in the curriculum
    every option (`cite`) and the action (`act`)."""
    accuracy: float
    """Share of these rows whose most probable answer is right."""
    best: float | None
    """Share of actions that no rule forbids while all that are wanted more are forbidden; None where no rules are."""
    compliance: float | None
    """Share of actions that break no rule; None likewise."""
    citation: float | None
    """Share of options at which a rule that forbids them is named, or that none does; None likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A model on held-out lessons, under every dial of a grid."""

    model: str
    data: str
    """Which lessons, such as `curriculum, n_S / n = 0.5`."""
    dial: DialKind
    seed: int
    num_lessons: int
    num_rows: int
    """Rows that accuracy and perplexity are taken over."""
    target_share: float
    """Mean n_S / n of the lessons."""
    points: tuple[Point, ...]
    """By gamma, then by value; the point at value 0 is the same for every gamma."""

    def at(self, value: float, gamma: float = 0.0) -> Point:
        """One point; KeyError if the grid does not hold it."""
        for point in self.points:
            if (point.value, point.gamma) == (value, gamma):
                return point
        raise KeyError((value, gamma))

    def best(self, gamma: float) -> Point:
        """The point of highest accuracy among those above dial 0; of equals the one of lowest entropy."""
        above = [point for point in self.points if point.gamma == gamma and point.value > 0.0]
        return max(above, key=lambda point: (point.accuracy, -point.entropy_bits))


@dataclass(frozen=True, slots=True)
class Published:
    """A figure of a paper, on a corpus that is not ours."""

    source: str
    setting: str
    figure: str


PUBLISHED = (
    Published("AILA (arXiv 2511.03559)", "2 layers, WikiText", "entropy 7.18 bits at dial 0, 5.36 at dial 1: 0.75"),
    Published("AILA (arXiv 2511.03559)", "the same, dial 0.6", "perplexity 4.65, accuracy 84.7 %"),
    Published("Progressive (arXiv 2511.18375v1)", "GPT-2, quintic schedule", "perplexity 14.64: 1.89 x distributed"),
    Published("Progressive (arXiv 2511.18375v1)", "GPT-2, earlier uniform localist", "perplexity 6.6 x distributed"),
    Published("PASTA (arXiv 2311.02262)", "LLaMA-7B, four tasks", "67.3 zero-shot, 95.5 with profiled heads steered"),
)
"""What stands beside our curves; read from the papers, not measured here."""


def dial_curve(
    model: LocalistForCausalLM,
    lessons: Sequence[Lesson],
    *,
    name: str,
    data: str,
    seed: int,
    dial: DialKind = "floor",
    values: Sequence[float] = VALUES,
    gammas: Sequence[float] = GAMMAS,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Curve:
    """Examine a model under every dial of a grid.

    Args:
        model: in float32.
        lessons: held out; their rows are of the sorts `next`, or `act`, `comply` and `cite`.
        name: of the model.
        data: what the lessons are.
        seed: with which they were drawn; only noted.
        dial: what a value means.
        values: dials; 0 is always examined.
        gammas: depth exponents.
        watch: told how many of how many examinations are done.
    """
    grid = [(value, gamma) for gamma in gammas for value in values if value > 0.0]
    raw = examination(model, lessons, value=0.0, dial=dial, batch_tokens=BATCH_TOKENS)
    watch(1, len(grid) + 1)
    seen: dict[tuple[float, float], Examination] = {}
    for value, gamma in grid:
        seen[value, gamma] = examination(model, lessons, value=value, gamma=gamma, dial=dial, batch_tokens=BATCH_TOKENS)
        watch(len(seen) + 1, len(grid) + 1)
    points = [
        _point(seen.get((value, gamma), raw), value, gamma, raw.raw_fidelity)
        for gamma in gammas
        for value in sorted({0.0, *values})
    ]
    return Curve(
        model=name,
        data=data,
        dial=dial,
        seed=seed,
        num_lessons=len(lessons),
        num_rows=sum(sort in ASKED for one in lessons for sort in one.sorts),
        target_share=raw.target_share,
        points=tuple(points),
    )


def _point(seen: Examination, value: float, gamma: float, raw_fidelity: float) -> Point:
    counts = {sort: count for sort, count in seen.counts.items() if sort in ASKED}
    return Point(
        gamma=gamma,
        value=value,
        entropy_bits=seen.entropy_bits,
        inner_entropy_bits=seen.inner_entropy_bits,
        raw_fidelity=raw_fidelity,
        steered_fidelity=seen.steered_fidelity,
        target_mass=seen.target_mass,
        neutral_mass=seen.neutral_mass,
        perplexity=math.exp(_mean(seen.losses, counts)),
        accuracy=_mean(seen.accuracy, counts),
        best=seen.accuracy.get("act"),
        compliance=seen.accuracy.get("comply"),
        citation=seen.accuracy.get("cite"),
    )


def _mean(of: Mapping[str, float], counts: Mapping[str, int]) -> float:
    """Over rows of several sorts, each row counting once."""
    return math.fsum(of[sort] * count for sort, count in counts.items()) / sum(counts.values())
