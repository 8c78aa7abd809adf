"""The bounds of the framework against a model on lessons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from localist_core.learning.lessons import Lesson
from localist_core.model import LocalistForCausalLM
from localist_core.proving.bounds import Held, Seen, held
from localist_core.proving.laws import LAWS
from localist_core.proving.witness import captured, seen_by


def bounds_of(
    model: LocalistForCausalLM,
    lessons: Sequence[Lesson],
    *,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Held, ...]:
    """Every law against every decision row of these lessons, in every layer and head.

    Args:
        model: in float32, at dial 0.
        lessons: at least one.
        watch: told how many of how many lessons are done.
    """
    return held(_rows(model, lessons, watch), LAWS)


def _rows(model: LocalistForCausalLM, lessons: Sequence[Lesson], watch: Callable[[int, int], None]) -> Iterator[Seen]:
    for done, lesson in enumerate(lessons, 1):
        inputs = {"input_ids": lesson.ids, "position_ids": lesson.positions, "block_kinds": lesson.kinds}
        layers = captured(model, {name: torch.tensor([values]) for name, values in inputs.items()})
        rows = range(lesson.first_decision_row, len(lesson.ids))
        yield from seen_by(layers, targets=lesson.targets, rest=lesson.is_rest, rows=rows)
        watch(done, len(lessons))
