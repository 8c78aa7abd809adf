"""Groups of agents looked at point by point, all points where they are few: tries every answer of the solver."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy
from numpy.typing import NDArray

from symbolic.domain import codes_of, domain_of
from symbolic.joining.table import Table
from symbolic.reading.batch import BatchError, batch
from symbolic.reading.compiled import Codes

COMPLETE: Final = 10_000_000
"""Most points (joint states times joint actions) that are all visited."""

SAMPLE: Final = 100_000
"""Points visited where there are more."""

CHUNK: Final = 1 << 14
"""Rows in one go, about."""


@dataclass(slots=True, kw_only=True)
class Sweep:
    """What was seen of a group whose last agent decides."""

    is_complete: bool
    """Whether every point was visited."""
    num_points: int = 0
    stuck: Codes | None = None
    """A state of the table in which those before have kept every rule, and the last agent cannot."""
    lacking: Codes | None = None
    """Its first fields, without acts: a state in which those up to the agent have no joint action that keeps all."""


def sweep(group: Table, rules: Any, *, complete: int, sample: int, seed: int = 0) -> Sweep:
    """Visit points of a table in which one agent decides.

    Args:
        group: the table.
        rules: its rules as a set in the order of its steps, see `proof.rules_of`.
        complete: most points that are all visited.
        sample: else so many.
        seed: of the sample.
    """
    spans = [(one.low, one.high) for one in domain_of(group.layout.state).fields]
    count = len(spans) - group.layout.num_acts
    num_states, num_acts = (math.prod(high - low + 1 for low, high in part) for part in (spans[:count], spans[count:]))
    actions = [codes_of(action) for action in group.deciding[0].actions]
    weight = num_acts * len(actions)
    found = Sweep(is_complete=num_states * weight <= complete)
    try:
        violated = batch(rules)
        for states in _states(spans[:count], num_states, found, max(1, CHUNK // num_acts), sample // weight, seed):
            _look(found, violated, _crossed(states, spans[count:]), actions, group, num_acts, count)
            found.num_points += len(states) * weight
    except BatchError:
        return Sweep(is_complete=False)
    return found


def _look(
    found: Sweep, violated: Any, rows: NDArray[Any], actions: list[Codes], group: Table, num_acts: int, count: int
) -> None:
    """Look at some states, each with all acts of those before; states that cannot be lack nothing."""
    num_kept, num_never = group.num_kept, len(group.never)
    has_kept, can_keep = numpy.ones(len(rows), dtype=bool), numpy.zeros(len(rows), dtype=bool)
    is_real = numpy.ones(len(rows), dtype=bool)
    for action in actions:
        broken: NDArray[Any] = violated(rows, numpy.array(action))
        is_real &= ~broken[:, :num_never].any(1)
        has_kept &= ~broken[:, :num_kept].any(1)  # these rules read no action of the last agent
        can_keep |= ~broken[:, num_kept:].any(1)
    is_stuck = has_kept & ~can_keep
    if found.stuck is None and is_stuck.any():
        found.stuck = tuple(rows[int(numpy.argmax(is_stuck))].tolist())
    is_lacking = is_real.reshape(-1, num_acts)[:, 0] & ~(has_kept & can_keep).reshape(-1, num_acts).any(1)
    if found.lacking is None and is_lacking.any():
        found.lacking = tuple(rows[int(numpy.argmax(is_lacking)) * num_acts, :count].tolist())


def _states(spans: Sequence[tuple[int, int]], total: int, found: Sweep, chunk: int, sample: int, seed: int) -> Any:
    if found.is_complete:
        for start in range(0, total, chunk):
            yield grid(spans, start, min(start + chunk, total))
        return
    rng = Random(seed)
    rows = [
        [rng.choice((low, high)) if rng.random() < 0.25 else rng.randint(low, high) for low, high in spans]
        for _ in range(max(1, sample))
    ]
    for start in range(0, len(rows), chunk):
        yield numpy.array(rows[start : start + chunk]).reshape(-1, len(spans))


def grid(spans: Sequence[tuple[int, int]], start: int, stop: int) -> NDArray[Any]:
    """Points number `start` to `stop` of all, the last field varying fastest."""
    if not spans:
        return numpy.zeros((stop - start, 0), dtype=int)
    places = numpy.unravel_index(numpy.arange(start, stop), [high - low + 1 for low, high in spans])
    return numpy.stack([place + low for place, (low, _) in zip(places, spans, strict=True)], axis=1)


def _crossed(states: NDArray[Any], acts: Sequence[tuple[int, int]]) -> NDArray[Any]:
    """Each state with each combination of acts, the acts varying fastest."""
    every = grid(acts, 0, math.prod(high - low + 1 for low, high in acts))
    return numpy.hstack([states.repeat(len(every), axis=0), numpy.tile(every, (len(states), 1))])
