"""What a training run minimises, on one batch and on all data: answers, other prompt tokens, losses on attention.

The penalty is no part of it: its gradient does not exist at zero, so `ProximalDescent` takes it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from localist_core.learning.adapters import reads_kinds
from localist_core.learning.lessons import Batch, Lesson, answer_loss, collate, grouped
from localist_core.learning.train_config import TrainConfig


@dataclass(frozen=True, slots=True)
class Outcome:
    """One batch under a model."""

    loss: Tensor
    """What is minimised: mean over supervised rows, in nats; with a gradient."""
    scores: Tensor
    """Log-probabilities at the supervised rows, (row, token) float32."""


def outcome(
    model: PreTrainedModel, batch: Batch, config: TrainConfig, rng: Random, *, learns_language: bool, half: bool = True
) -> Outcome:
    """A batch under a model.

    Args:
        model: set to the trainer's attention.
        batch: lessons.
        config: weights of the losses.
        rng: draws the other prompt tokens that are predicted.
        learns_language: whether any are.
        half: forward in bfloat16; the loss is in float32 in either case.
    """
    language = other_rows(batch, rng) if learns_language else batch.rows[:0]
    scores = row_scores(model, batch, torch.cat([batch.rows, language]), half=half)
    count = len(batch.rows)
    loss = (answer_loss(scores[:count], batch.answers) * batch.weights).mean()
    if len(language):
        following = batch.ids.flatten()[language + 1]
        loss = loss + config.language_weight * nn.functional.nll_loss(scores[count:], following)
    of_attention = None if batch.steering is None else batch.steering.loss()
    return Outcome(loss if of_attention is None else loss + of_attention, scores[:count])


def accumulate(
    model: PreTrainedModel,
    lessons: Sequence[Lesson],
    config: TrainConfig,
    *,
    learns_language: bool,
    device: str,
) -> float:
    """Add the gradient of the loss over all these lessons to the parameters; gives the loss.

    Each batch counts with its share of the supervised rows, in float32. Dials and other prompt tokens are drawn from a
    seed of their own: equal calls see equal data.
    """
    groups = grouped(lessons, config.batch_tokens, pack_tokens=config.pack_tokens)
    num_rows = sum(len(lesson.rows) for lesson in lessons)
    total = 0.0
    for index, group in enumerate(groups):
        rng = Random(f"{config.seed}/all/{index}")
        batch = batch_of(group, config, rng, device)
        found = outcome(model, batch, config, rng, learns_language=learns_language, half=False)
        share = found.loss * (len(batch.rows) / num_rows)
        share.backward()  # type: ignore[no-untyped-call]
        total += float(share.detach())
    return total


def batch_of(lessons: Sequence[Lesson], config: TrainConfig, rng: Random, device: str) -> Batch:
    """The lessons of one batch, under dials that `rng` draws."""
    return collate(
        lessons,
        rng,
        config.dialled,
        device,
        conditioning=config.conditioning,
        pack_tokens=config.pack_tokens,
    )


def row_scores(model: PreTrainedModel, batch: Batch, rows: Tensor, *, half: bool = True) -> Tensor:
    """Log-probabilities at some flat rows, (row, token) in float32, or float64 if the model is."""
    arguments: dict[str, Any] = {"steering": batch.steering}
    if reads_kinds(model):
        arguments["block_kinds"] = batch.kinds
    is_localist = model.config.model_type == "localist"
    arguments |= {"rows": rows} if is_localist else {"use_cache": False}
    with torch.autocast(batch.ids.device.type, dtype=torch.bfloat16, enabled=half):
        logits: Tensor = model(
            batch.ids,
            attention_mask=batch.mask if half else batch.mask.float(),
            position_ids=batch.positions,
            **arguments,
        ).logits
    if not is_localist:
        logits = logits.flatten(0, 1)[rows]
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return wide.log_softmax(-1)


def other_rows(batch: Batch, rng: Random) -> Tensor:
    """A quarter of the rows that are not supervised and have a next token."""
    usable = batch.followed.clone()
    usable.view(-1)[batch.rows] = False
    places = usable.flatten().nonzero().flatten()
    generator = torch.Generator().manual_seed(rng.getrandbits(62))
    chosen = torch.randperm(len(places), generator=generator)[: len(places) // 4]
    return places[chosen.to(places.device)]


def marks(scores: Tensor, batch: Batch, lessons: Sequence[Lesson]) -> list[tuple[str, bool]]:
    """For each supervised row what was asked, and whether the most probable token was right."""
    said = scores.argmax(1).tolist()
    sorts = [sort for lesson in lessons for sort in lesson.sorts]
    return [(sort, word in right) for sort, word, right in zip(sorts, said, batch.answers, strict=True)]
