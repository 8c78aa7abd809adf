"""Lessons for a core and the batches made of them: tokens, right answers, and where the dial bites.

A lesson is one prompt as tokens. Its decision rows are steered by the dial; its tokens are targets, rest or neutral.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import torch
from torch import Tensor

from localist_core.blocks import DECISION_KINDS, NEUTRAL_KINDS, PROMPT_ORDER
from localist_core.conditioning import FORBIDDEN, PLAIN, Conditioning, Steering
from localist_core.errors import DialError

DECISION_RANKS = frozenset(PROMPT_ORDER.index(kind) for kind in DECISION_KINDS)
NEUTRAL_RANKS = frozenset(PROMPT_ORDER.index(kind) for kind in NEUTRAL_KINDS if kind in PROMPT_ORDER)

ALIGNED = 16
"""Batches are padded to a multiple of this width: fewer shapes, and memory that is used again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One prompt as tokens, and what a core should say at some of them."""

    ids: tuple[int, ...]
    kinds: tuple[int, ...]
    """Index into `PROMPT_ORDER`, per token."""
    positions: tuple[int, ...]
    is_rest: tuple[bool, ...]
    """Whether the dial pushes the token down: neither target nor neutral."""
    rows: tuple[int, ...]
    """Supervised tokens."""
    answers: tuple[tuple[int, ...], ...]
    """For each row the token ids that are right, all different; any of them will do."""
    sorts: tuple[str, ...]
    """For each row what is asked, such as `cite`: accuracies are reported by sort."""
    weights: tuple[float, ...]
    """For each row its weight in the loss."""
    decision_from: int | None = None
    """The first decision row: the dial steers it and all rows after it. None = the first token of a kind among
    `DECISION_KINDS`; in running text, the first token of the paragraph that is predicted."""
    is_target: tuple[bool, ...] | None = None
    """Whether the token belongs to the target set; None = all that is neither rest nor of a neutral kind."""
    anchor_rows: tuple[int, ...] | None = None
    """Rows at which the margin loss is taken; None = the decision rows."""

    @property
    def first_decision_row(self) -> int:
        """Index of the first decision row.

        Raises:
            DialError: none is given and no token is of a deciding kind.
        """
        if self.decision_from is not None:
            return self.decision_from
        found = next((place for place, kind in enumerate(self.kinds) if kind in DECISION_RANKS), None)
        if found is None:
            raise DialError("expected a lesson with decision rows, got none; give `decision_from`")
        return found

    @property
    def targets(self) -> tuple[bool, ...]:
        """Whether each token belongs to the target set."""
        if self.is_target is not None:
            return self.is_target
        return tuple(
            not rest and kind not in NEUTRAL_RANKS for rest, kind in zip(self.is_rest, self.kinds, strict=True)
        )

    @property
    def target_share(self) -> float:
        """n_S / n: targets among the tokens that are not neutral; NaN if all are neutral."""
        count, rest = sum(self.targets), sum(self.is_rest)
        return count / (count + rest) if count + rest else math.nan


class LessonSource(Protocol):
    """Makes pools of lessons; must be picklable, since another process runs it."""

    def __call__(self, pool: int) -> list[Lesson]:
        """The lessons of pool 0, 1, ...; equal numbers give equal lessons."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Lessons as tensors, padded on the right."""

    ids: Tensor
    """(batch, position)."""
    kinds: Tensor
    positions: Tensor
    mask: Tensor
    """Added to attention scores: causality, padding and a plain dial; (batch, 1, query, key), bfloat16."""
    rows: Tensor
    """Flat indices of the supervised tokens."""
    answers: list[tuple[int, ...]]
    weights: Tensor
    """Of the supervised tokens."""
    steering: Steering | None
    """A dial that the mask cannot hold, and what is to be learned or noted of the attention; None = nothing."""


def collate(
    lessons: Sequence[Lesson], rng: Random, dialled: float, device: str, *, conditioning: Conditioning = PLAIN
) -> Batch:
    """Lessons as a batch; each with chance `dialled` gets a dial lambda drawn evenly from [0, 1).

    The plain dial of training is the odds dial: log(1 - lambda) is added to the rest's scores on the decision rows
    (framework, section 3), because where the floor dial bites its gradient does not train raw fidelity.

    Raises:
        DialError: a lesson under a dial without decision rows, or without a target that its decision sees.
    """
    values, gammas = [], []
    for _ in lessons:
        values.append(rng.random() if rng.random() < dialled else 0.0)
        gammas.append(rng.choice(conditioning.gammas) if len(conditioning.gammas) > 1 else conditioning.gammas[0])
    if conditioning.is_plain:
        return _padded(lessons, values, None, device)
    return _padded(lessons, [0.0] * len(lessons), steering_of(lessons, values, gammas, conditioning, device), device)


def batch_at(lessons: Sequence[Lesson], value: float, gamma: float, conditioning: Conditioning, device: str) -> Batch:
    """Lessons as a batch under one dial, in [0, 1], whose attention is noted by layer."""
    values, gammas = [value] * len(lessons), [gamma] * len(lessons)
    steering = steering_of(lessons, values, gammas, conditioning, device, notes=True)
    return _padded(lessons, [0.0] * len(lessons), steering, device)


def steering_of(
    lessons: Sequence[Lesson],
    values: Sequence[float],
    gammas: Sequence[float],
    conditioning: Conditioning,
    device: str,
    *,
    notes: bool = False,
) -> Steering:
    """Which rows of a batch are steered, and how far."""
    width = width_of(lessons)
    starts = [lesson.first_decision_row for lesson in lessons]
    anchors = [
        lesson.anchor_rows if lesson.anchor_rows is not None else range(start, len(lesson.ids))
        for lesson, start in zip(lessons, starts, strict=True)
    ]
    first = min([*starts, *(row for rows in anchors for row in rows)])
    decides, anchored = (torch.zeros(len(lessons), width - first, dtype=torch.bool) for _ in range(2))
    targets, rest = (torch.zeros(len(lessons), width, dtype=torch.bool) for _ in range(2))
    for index, (lesson, start) in enumerate(zip(lessons, starts, strict=True)):
        size = len(lesson.ids)
        of_target = lesson.targets
        if values[index] > 0.0 and not any(of_target[: start + 1]):
            raise DialError("expected a target that the first decision row sees, got a lesson with none")
        decides[index, start - first : size - first] = True
        anchored[index, [row - first for row in anchors[index]]] = True
        targets[index, :size] = torch.tensor(of_target)
        rest[index, :size] = torch.tensor(lesson.is_rest)
    return Steering(
        conditioning=conditioning,
        first=first,
        decides=decides[:, None].to(device),
        anchored=anchored[:, None].to(device),
        targets=targets[:, None, None].to(device),
        rest=rest[:, None, None].to(device),
        values=torch.tensor(values, device=device),
        gammas=torch.tensor(gammas, device=device),
        notes=notes,
    )


def _padded(lessons: Sequence[Lesson], values: Sequence[float], steering: Steering | None, device: str) -> Batch:
    width = width_of(lessons)
    shape = len(lessons), width
    ids, kinds, positions = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
    mask = torch.full((width, width), FORBIDDEN).triu(1).repeat(len(lessons), 1, 1)
    for row, lesson in enumerate(lessons):
        size = len(lesson.ids)
        ids[row, :size] = torch.tensor(lesson.ids)
        kinds[row, :size] = torch.tensor(lesson.kinds)
        positions[row, :size] = torch.tensor(lesson.positions)
        if values[row] > 0.0:
            shift = max(math.log1p(-values[row]), FORBIDDEN)
            mask[row, lesson.first_decision_row : size, :size] += torch.tensor(lesson.is_rest) * shift
    rows = torch.tensor([number * width + row for number, lesson in enumerate(lessons) for row in lesson.rows])
    return Batch(
        ids=ids.to(device),
        kinds=kinds.to(device),
        positions=positions.to(device),
        mask=mask[:, None].to(device, torch.bfloat16),
        rows=rows.to(device),
        answers=[right for lesson in lessons for right in lesson.answers],
        weights=torch.tensor([weight for lesson in lessons for weight in lesson.weights], device=device),
        steering=steering,
    )


def width_of(lessons: Sequence[Lesson]) -> int:
    """Tokens of the padded batch."""
    return -(-max(len(lesson.ids) for lesson in lessons) // ALIGNED) * ALIGNED


def grouped(lessons: Sequence[Lesson], batch_tokens: int) -> list[list[Lesson]]:
    """Lessons of like length together, at most `batch_tokens` in each group when padded to its longest.

    A lesson longer than that makes a group of its own; `collate` pads a little further, to a multiple of `ALIGNED`.
    """
    groups: list[list[Lesson]] = [[]]
    for lesson in sorted(lessons, key=lambda one: len(one.ids)):
        if groups[-1] and (len(groups[-1]) + 1) * len(lesson.ids) > batch_tokens:
            groups.append([])
        groups[-1].append(lesson)
    return groups


def answer_loss(scores: Tensor, answers: Sequence[tuple[int, ...]]) -> Tensor:
    """-log of the probability that any right answer is given; log-probabilities (row, token) to (row,).

    The ids of one row's answers are all different, else one would count twice.
    """
    most = max(map(len, answers))
    ids = torch.tensor([[*right, *[right[0]] * (most - len(right))] for right in answers], device=scores.device)
    extra = torch.tensor([[0.0] * len(right) + [-math.inf] * (most - len(right)) for right in answers])
    return -(scores.gather(1, ids) + extra.to(scores)).logsumexp(1)
