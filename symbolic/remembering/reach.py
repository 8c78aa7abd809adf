"""A bounded search for a history that leads to a state: what a proof over free memory says is possible may not be.

Every state of a history is one of a few: for each combination of conditions that operators look at, one in which it
holds, and its like at the ends of the ranges. So a history that is found is one, and where none is found there may be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import gcd
from random import Random
from typing import TYPE_CHECKING, Any, Final

from symbolic.domain import domain_of
from symbolic.expression import Remaining
from symbolic.facts import Facts
from symbolic.reading.compiled import Codes
from symbolic.remembering.memory import Memory
from symbolic.remembering.monitor import Monitor
from symbolic.remembering.terms import MOMENTS_PER_S, moments

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

MOST_MOMENTS: Final = 40
"""Moments of a history."""

MOST_MEMORIES: Final = 2000
"""Different memories that are looked at."""

MOST_STATES: Final = 24
"""States that a history is made of."""

DRAWN: Final = 2000
"""States drawn to find those."""


def history_to(ruleset: RuleSet[Any, Any], is_goal: Callable[[Codes], bool]) -> list[Codes] | None:
    """The states of a shortest history found, from one that begins empty, whose last state is the goal.

    Args:
        ruleset: the rules, with past-time operators.
        is_goal: asked of codes of `ruleset.state`.
    """
    memory = ruleset.memory
    step_s, states = float(Fraction(_step(memory), MOMENTS_PER_S)), _states(memory)
    start = Monitor(memory, max_gap_s=step_s, begins_empty=True)
    layer: list[tuple[Monitor, list[Codes]]] = [(start, [])]
    known: set[Codes] = set()
    for number in range(MOST_MOMENTS):
        following = []
        for reached, past in layer:
            for state in states:
                monitor = reached.copied()
                facts = monitor.step(Facts.from_codes(memory.declared, state), number * step_s)
                codes: Codes = facts.codes  # type: ignore[assignment] # exact states in a history that began empty
                if is_goal(codes):
                    return [*past, codes]
                key = monitor.ages(number * step_s)
                if key not in known and len(known) < MOST_MEMORIES:
                    known.add(key)
                    following.append((monitor, [*past, codes]))
        layer = following
    return None


def _step(memory: Memory) -> int:
    """A time between moments, in microseconds: all windows are multiples of it, the longest has ten of them at most."""
    spans = [moments(one.node.window_s) for one in memory.operators if one.node.window_s is not None]
    spans += [moments(one.node.step_s) for one in memory.operators if isinstance(one.node, Remaining)]
    return max(gcd(*spans), max(spans) // 10) if spans else MOMENTS_PER_S


def _states(memory: Memory) -> Sequence[Codes]:
    """States of the declared type that differ in what operators look at."""
    blank = Monitor(memory, max_gap_s=1, begins_empty=True)
    rng, fields, found = Random(0), domain_of(memory.declared).fields, dict[tuple[object, ...], Codes]()
    for _ in range(DRAWN):
        codes = tuple(
            rng.choice((one.low, one.high)) if rng.random() < 0.5 else rng.randint(one.low, one.high) for one in fields
        )
        seen = blank.copied().step(Facts.from_codes(memory.declared, codes), 0).codes[len(fields) :]
        ends = tuple(code in (one.low, one.high) for one, code in zip(fields, codes, strict=True))
        if len(found) < MOST_STATES:
            found.setdefault((*seen, *ends), codes)
    return tuple(found.values())
