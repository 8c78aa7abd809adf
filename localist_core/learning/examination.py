"""What a trained model does on held-out lessons under any dial: loss, accuracy, fidelity, masses, exact entropy.

One pass in float32 through the trainer's own attention, which holds all weights, so entropies are sums over them.
Fidelity under a dial is true by construction; the evidence is `raw_fidelity` at value 0 (framework, section 2).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from localist_core.attending.attention import LEAN
from localist_core.dial import DialKind
from localist_core.errors import DialError
from localist_core.learning.conditioning import Conditioning, Noted
from localist_core.learning.lessons import Lesson, answer_loss, batch_at, grouped
from localist_core.learning.objective import row_scores


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerExamined:
    """Means over heads and decision rows in one layer."""

    raw_fidelity: float
    """From the scores before the shift; above the first steered layer they are read on a steered residual."""
    steered_fidelity: float
    target_mass: float
    """Under the dial."""
    entropy_bits: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """A model on lessons under one dial. Fidelities, masses and entropies are means over layers, heads and decision
    rows of all lessons; fidelities and the inner entropy only over rows that see targets or rest, else NaN.
    """

    value: float
    gamma: float
    dial: DialKind
    num_lessons: int
    num_rows: int
    """Supervised rows."""
    loss: float
    """Mean of -log p(any right answer) over the supervised rows, each counting once, in nats."""
    perplexity: float
    """exp(loss)."""
    accuracy: dict[str, float]
    """Share of right answers by sort."""
    losses: dict[str, float]
    """Loss by sort."""
    counts: dict[str, int]
    """Rows by sort."""
    raw_fidelity: float
    """Evidence only at value 0: see `LayerExamined.raw_fidelity`."""
    steered_fidelity: float
    raw_target_mass: float
    target_mass: float
    """Under the dial."""
    neutral_mass: float
    """Under the dial."""
    entropy_bits: float
    """Attention entropy under the dial, over all tokens."""
    inner_entropy_bits: float
    """H' under the dial: over the tokens that are not neutral, renormalised."""
    target_share: float
    """Mean n_S / n of the lessons."""
    layers: tuple[LayerExamined, ...]

    @property
    def leak(self) -> float:
        """1 - raw fidelity."""
        return 1.0 - self.raw_fidelity


@torch.no_grad()
def examination(
    model: PreTrainedModel,
    lessons: Sequence[Lesson],
    *,
    value: float = 0.0,
    gamma: float = 0.0,
    dial: DialKind = "floor",
    batch_tokens: int = 8192,
) -> Examination:
    """Examine a model; it is set to the trainer's attention and back.

    Args:
        model: on any device, in float32.
        lessons: at least one, each with decision rows.
        value: the dial in [0, 1]; 0 = off, 1 = the rest is cut.
        gamma: depth exponent, >= 0.
        dial: what the value means.
        batch_tokens: most tokens of one forward.

    Raises:
        DialError: a dial out of range, no lesson, or a lesson whose decision sees no target.
    """
    if not (0.0 <= value <= 1.0 and gamma >= 0.0 and lessons):
        raise DialError(f"expected lessons, a dial in [0, 1] and a gamma of 0 or more, got `{value}` and `{gamma}`")
    kind = Conditioning(dial=dial, gammas=(gamma,))
    right: dict[str, list[bool]] = defaultdict(list)
    losses: dict[str, list[float]] = defaultdict(list)
    noted: list[list[Noted]] = []
    before = model.config._attn_implementation
    model.set_attn_implementation(LEAN)
    try:
        for group in grouped(lessons, batch_tokens):
            batch = batch_at(group, value, gamma, kind, str(model.device))
            assert batch.steering is not None
            scores = row_scores(model, batch, batch.rows, half=False)
            sorts = [sort for lesson in group for sort in lesson.sorts]
            said, lost = scores.argmax(1).tolist(), answer_loss(scores, batch.answers).tolist()
            for sort, word, answers, one in zip(sorts, said, batch.answers, lost, strict=True):
                right[sort].append(word in answers)
                losses[sort].append(one)
            noted.append(batch.steering.noted)
    finally:
        model.set_attn_implementation(before)
    layers = [_total(each) for each in zip(*noted, strict=True)]
    whole = _total(layers)
    loss = _mean([one for each in losses.values() for one in each])
    return Examination(
        value=value,
        gamma=gamma,
        dial=dial,
        num_lessons=len(lessons),
        num_rows=sum(map(len, losses.values())),
        loss=loss,
        perplexity=math.exp(loss),
        accuracy={sort: _mean(marks) for sort, marks in sorted(right.items())},
        losses={sort: _mean(each) for sort, each in sorted(losses.items())},
        counts={sort: len(each) for sort, each in sorted(losses.items())},
        raw_fidelity=_share(whole.raw_fidelity, whole.num_defined),
        steered_fidelity=_share(whole.steered_fidelity, whole.num_defined),
        raw_target_mass=_share(whole.raw_target_mass, whole.num_rows),
        target_mass=_share(whole.target_mass, whole.num_rows),
        neutral_mass=_share(whole.neutral_mass, whole.num_rows),
        entropy_bits=_share(whole.entropy_bits, whole.num_rows),
        inner_entropy_bits=_share(whole.inner_entropy_bits, whole.num_defined),
        target_share=_mean([lesson.target_share for lesson in lessons]),
        layers=tuple(
            LayerExamined(
                raw_fidelity=_share(one.raw_fidelity, one.num_defined),
                steered_fidelity=_share(one.steered_fidelity, one.num_defined),
                target_mass=_share(one.target_mass, one.num_rows),
                entropy_bits=_share(one.entropy_bits, one.num_rows),
            )
            for one in layers
        ),
    )


def _total(noted: Sequence[Noted]) -> Noted:
    return Noted(
        num_rows=sum(one.num_rows for one in noted),
        num_defined=sum(one.num_defined for one in noted),
        raw_fidelity=math.fsum(one.raw_fidelity for one in noted),
        steered_fidelity=math.fsum(one.steered_fidelity for one in noted),
        raw_target_mass=math.fsum(one.raw_target_mass for one in noted),
        target_mass=math.fsum(one.target_mass for one in noted),
        neutral_mass=math.fsum(one.neutral_mass for one in noted),
        entropy_bits=math.fsum(one.entropy_bits for one in noted),
        inner_entropy_bits=math.fsum(one.inner_entropy_bits for one in noted),
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _share(total: float, count: int) -> float:
    return total / count if count else math.nan
