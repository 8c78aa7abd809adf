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
from localist_core.errors import DialError
from localist_core.learning.conditioning import FORBIDDEN, PLAIN, Conditioning, Steering

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
    """Lessons as tensors, padded on the right; a row holds one lesson, or several that are packed."""

    ids: Tensor
    """(batch, position)."""
    kinds: Tensor
    positions: Tensor
    mask: Tensor
    """Added to attention scores: causality, padding, other lessons of the row and a plain dial;
    (batch, 1, query, key), bfloat16."""
    followed: Tensor
    """(batch, position) bool: tokens that another of the same lesson follows."""
    rows: Tensor
    """Flat indices of the supervised tokens."""
    answers: list[tuple[int, ...]]
    weights: Tensor
    """Of the supervised tokens."""
    steering: Steering | None
    """A dial that the mask cannot hold, and what is to be learned or noted of the attention; None = nothing."""


def collate(
    lessons: Sequence[Lesson],
    rng: Random,
    dialled: float,
    device: str,
    *,
    conditioning: Conditioning = PLAIN,
    pack_tokens: int | None = None,
) -> Batch:
    """Lessons as a batch; each with chance `dialled` gets a dial lambda drawn evenly from [0, 1).

    The plain dial of training is the odds dial: log(1 - lambda) is added to the rest's scores on the decision rows
    (framework, section 3), because where the floor dial bites its gradient does not train raw fidelity.

    Args:
        lessons: in the order in which the batch lists their rows and answers.
        rng: draws the dials, and nothing else.
        dialled: share of lessons under a dial, in [0, 1].
        device: where the tensors go.
        conditioning: which dial, and what is asked of the attention.
        pack_tokens: several lessons share a row of at most so many tokens (see `seats_of`); None = a row for each.

    Raises:
        DialError: a lesson under a dial without decision rows, or without a target that its decision sees.
    """
    values, gammas = [], []
    for _ in lessons:
        values.append(rng.random() if rng.random() < dialled else 0.0)
        gammas.append(rng.choice(conditioning.gammas) if len(conditioning.gammas) > 1 else conditioning.gammas[0])
    seats = seats_of(lessons, pack_tokens)
    if conditioning.is_plain:
        return _padded(lessons, seats, values, None, device)
    steering = steering_of(lessons, values, gammas, conditioning, device, seats=seats)
    return _padded(lessons, seats, [0.0] * len(lessons), steering, device)


def batch_at(lessons: Sequence[Lesson], value: float, gamma: float, conditioning: Conditioning, device: str) -> Batch:
    """Lessons as a batch under one dial, in [0, 1], whose attention is noted by layer."""
    values, gammas = [value] * len(lessons), [gamma] * len(lessons)
    steering = steering_of(lessons, values, gammas, conditioning, device, notes=True)
    return _padded(lessons, seats_of(lessons), [0.0] * len(lessons), steering, device)


def steering_of(
    lessons: Sequence[Lesson],
    values: Sequence[float],
    gammas: Sequence[float],
    conditioning: Conditioning,
    device: str,
    *,
    seats: Sequence[Seat] | None = None,
    notes: bool = False,
) -> Steering:
    """Which rows of a batch are steered, and how far; each lesson has a row of its own unless seats say otherwise."""
    seats = seats_of(lessons) if seats is None else seats
    num_rows, width = _shape(lessons, seats)
    starts = [lesson.first_decision_row for lesson in lessons]
    anchors = [
        lesson.anchor_rows if lesson.anchor_rows is not None else range(start, len(lesson.ids))
        for lesson, start in zip(lessons, starts, strict=True)
    ]
    first = min(
        seat.offset + row for seat, start, rows in zip(seats, starts, anchors, strict=True) for row in (start, *rows)
    )
    decides, anchored = (torch.zeros(num_rows, width - first, dtype=torch.bool) for _ in range(2))
    dials, exponents = (torch.zeros(num_rows, width - first) for _ in range(2))
    targets, rest = (torch.zeros(num_rows, width, dtype=torch.bool) for _ in range(2))
    for index, (lesson, seat, start) in enumerate(zip(lessons, seats, starts, strict=True)):
        of_target = lesson.targets
        if values[index] > 0.0 and not any(of_target[: start + 1]):
            raise DialError("expected a target that the first decision row sees, got a lesson with none")
        own = slice(seat.offset, seat.offset + len(lesson.ids))
        deciding = slice(max(0, own.start + start - first), own.stop - first)
        decides[seat.row, deciding] = True
        dials[seat.row, deciding] = values[index]
        exponents[seat.row, deciding] = gammas[index]
        anchored[seat.row, [own.start + row - first for row in anchors[index]]] = True
        targets[seat.row, own] = torch.tensor(of_target)
        rest[seat.row, own] = torch.tensor(lesson.is_rest)
    return Steering(
        conditioning=conditioning,
        first=first,
        decides=decides[:, None].to(device),
        anchored=anchored[:, None].to(device),
        targets=targets[:, None, None].to(device),
        rest=rest[:, None, None].to(device),
        values=dials[:, None].to(device),
        gammas=exponents[:, None].to(device),
        notes=notes,
    )


def _padded(
    lessons: Sequence[Lesson],
    seats: Sequence[Seat],
    values: Sequence[float],
    steering: Steering | None,
    device: str,
) -> Batch:
    num_rows, width = _shape(lessons, seats)
    ids, kinds, positions = (torch.zeros(num_rows, width, dtype=torch.long) for _ in range(3))
    mask = torch.full((width, width), FORBIDDEN).triu(1).repeat(num_rows, 1, 1)
    followed = torch.zeros(num_rows, width, dtype=torch.bool)
    for lesson, seat, value in zip(lessons, seats, values, strict=True):
        own = slice(seat.offset, seat.offset + len(lesson.ids))
        ids[seat.row, own] = torch.tensor(lesson.ids)
        kinds[seat.row, own] = torch.tensor(lesson.kinds)
        positions[seat.row, own] = torch.tensor(lesson.positions)
        followed[seat.row, own.start : own.stop - 1] = True
        mask[seat.row, own.start :, : own.start] = FORBIDDEN  # nobody looks back beyond its own lesson
        if value > 0.0:
            shift = max(math.log1p(-value), FORBIDDEN)
            deciding = slice(own.start + lesson.first_decision_row, own.stop)
            mask[seat.row, deciding, own] += torch.tensor(lesson.is_rest) * shift
    starts = [seat.row * width + seat.offset for seat in seats]
    rows = [start + row for lesson, start in zip(lessons, starts, strict=True) for row in lesson.rows]
    return Batch(
        ids=ids.to(device),
        kinds=kinds.to(device),
        positions=positions.to(device),
        mask=mask[:, None].to(device, torch.bfloat16),
        followed=followed.to(device),
        rows=torch.tensor(rows).to(device),
        answers=[right for lesson in lessons for right in lesson.answers],
        weights=torch.tensor([weight for lesson in lessons for weight in lesson.weights], device=device),
        steering=steering,
    )


# Rows


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a lesson stands in its batch."""

    row: int
    offset: int
    """Index of its first token in the row."""


def seats_of(lessons: Sequence[Lesson], pack_tokens: int | None = None) -> list[Seat]:
    """A seat for each lesson: a row of its own, or packed whole into rows of at most `pack_tokens` tokens.

    Packed lessons see nothing of each other, and each keeps its own positions. The longest lesson is seated first, each
    in the first row that has room (first-fit decreasing); one that is longer than `pack_tokens` has a row of its own.
    """
    if pack_tokens is None:
        return [Seat(row, 0) for row in range(len(lessons))]
    seats: dict[int, Seat] = {}
    taken: list[int] = []
    for index in sorted(range(len(lessons)), key=lambda each: (-len(lessons[each].ids), each)):
        size = len(lessons[index].ids)
        row = next((row for row, used in enumerate(taken) if used + size <= pack_tokens), len(taken))
        if row == len(taken):
            taken.append(0)
        seats[index] = Seat(row, taken[row])
        taken[row] += size
    return [seats[index] for index in range(len(lessons))]


def width_of(lessons: Sequence[Lesson], seats: Sequence[Seat] | None = None) -> int:
    """Tokens of each row of the padded batch."""
    seats = seats_of(lessons) if seats is None else seats
    longest = max(seat.offset + len(lesson.ids) for lesson, seat in zip(lessons, seats, strict=True))
    return -(-longest // ALIGNED) * ALIGNED


def _shape(lessons: Sequence[Lesson], seats: Sequence[Seat]) -> tuple[int, int]:
    return 1 + max(seat.row for seat in seats), width_of(lessons, seats)


def grouped(lessons: Sequence[Lesson], batch_tokens: int, *, pack_tokens: int | None = None) -> list[list[Lesson]]:
    """The lessons of each batch.

    Lessons of like length stand together, at most `batch_tokens` in each group when padded to its longest. With packing
    they keep the order in which they came, and a group has at most `batch_tokens` tokens without padding. A lesson
    longer than that makes a group of its own; `collate` pads a little further, to a multiple of `ALIGNED`.
    """
    groups: list[list[Lesson]] = [[]]
    used = 0
    for lesson in sorted(lessons, key=lambda one: len(one.ids)) if pack_tokens is None else lessons:
        size = len(lesson.ids)
        used = (len(groups[-1]) + 1) * size if pack_tokens is None else used + size
        if groups[-1] and used > batch_tokens:
            groups.append([])
            used = size
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
