"""The temperature of the choice: probabilities p^(1/T), scaled to sum 1. It never changes which action is chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from localist_core import Core
from scenarios.asked import Split, Steering
from scenarios.exam import ask_all
from scenarios.trials import LEAST_NATS

TEMPERATURES = tuple(math.exp2(n / 4) for n in range(-8, 13))
"""From 0.25 to 8, four to an octave."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The probabilities of one choice, and the index of the right action."""

    probabilities: tuple[float, ...]
    right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The temperature fitted on one split, and the mean log-probability of the right action on another."""

    temperature: float
    """Among `TEMPERATURES`; at either end of them a better one may lie beyond."""
    nats_before: float
    nats_after: float


def calibration(core: Core, steering: Steering, *, choosing: Split, reporting: Split) -> Calibration:
    """Fit the temperature of a core's choices under a setting."""
    fitted = fit(answers(core, steering, choosing))
    held_out = answers(core, steering, reporting)
    return Calibration(temperature=fitted, nats_before=nats(held_out, 1.0), nats_after=nats(held_out, fitted))


def answers(core: Core, steering: Steering, asked: Split) -> list[Answer]:
    """The choices of a split."""
    choices = ask_all(core, [one.request(steering) for one in asked.questions])
    return [Answer(c.probabilities, one.question.best) for one, c in zip(asked.questions, choices, strict=True)]


def fit(found: Sequence[Answer]) -> float:
    """The temperature under which the right actions are most probable; of equals the one nearest to 1."""
    return max(sorted(TEMPERATURES, key=lambda t: abs(math.log(t))), key=lambda t: nats(found, t))


def nats(found: Sequence[Answer], temperature: float) -> float:
    """Mean log-probability of the right action, each at least `LEAST_NATS`."""
    return sum(_nats(one, temperature) for one in found) / len(found)


def _nats(one: Answer, temperature: float) -> float:
    logs = [math.log(p) / temperature if p > 0.0 else -math.inf for p in one.probabilities]
    top = max(logs)
    return max(LEAST_NATS, logs[one.right] - top - math.log(math.fsum(math.exp(log - top) for log in logs)))
