"""The executable specification: what past-time operators mean, by naive quantifiers over a whole history.

A history is a sequence of moments: microseconds and facts. Nothing is known of what lies between two moments that are
further apart than `max_gap`: there stand two moments, at its ends, of which every condition is unknown. The same holds
for all time before the first moment, unless the history is declared to begin empty: then there was nothing before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from symbolic.expression import Past, Remaining, Tense
from symbolic.facts import Facts
from symbolic.field import Code
from symbolic.reading.reference import MAYBE, NO, YES, Truth, opposite, truth
from symbolic.remembering.memory import Memory, Operator
from symbolic.remembering.terms import moments

BEGINNING: Final = -(1 << 62)
"""A time before all others, in microseconds."""

Moment = tuple[int, Facts | None]
"""Microseconds, and what was perceived; None where nothing is known."""


def remembered(memory: Memory, history: Sequence[tuple[int, Facts]], *, max_gap: int, begins_empty: bool) -> Facts:
    """The facts of the last moment, with what is remembered there."""
    every = _with_gaps(history, max_gap, begins_empty)
    seen: list[Moment] = []
    for time, facts in every:
        if facts is not None:
            codes = list(facts.codes)
            for one in memory.operators:
                known = Facts.from_codes(memory.state, (*codes, *(None,) * (len(memory.operators))))
                codes.append(_code(one, [*seen, (time, known)]))
            facts = Facts.from_codes(memory.state, tuple(codes), facts.age_s)
        seen.append((time, facts))
    last = seen[-1][1]
    assert last is not None, "the last moment was perceived"
    return last


def _with_gaps(history: Sequence[tuple[int, Facts]], max_gap: int, begins_empty: bool) -> list[Moment]:
    found: list[Moment] = []
    before = None if begins_empty else BEGINNING
    for time, facts in history:
        if before is not None and time - before > max_gap:
            found += [(before, None), (time, None)]
        found.append((time, facts))
        before = time
    return found


def _code(one: Operator, seen: Sequence[Moment]) -> Code:
    """What an operator remembers at the last moment."""
    parts = [[MAYBE if facts is None else truth(arg, facts) for _, facts in seen] for arg in one.args]
    times = [time for time, _ in seen]
    if isinstance(one.node, Remaining):
        low, high = (_steps_left(one.node, times, *parts, is_least=is_least) for is_least in (True, False))
        return low if low == high else (low, high)
    found = _truth(one.node, times, parts)
    return None if found is MAYBE else int(found is YES)


def _truth(node: Past, times: Sequence[int], parts: Sequence[Sequence[Truth]]) -> Truth:
    now, first, last = times[-1], parts[0], len(times) - 1
    window = None if node.window_s is None else moments(node.window_s)
    inside = [j for j, time in enumerate(times) if window is None or now - time <= window]
    match node.op:
        case Tense.PREV:
            return first[-2] if last else NO
        case Tense.RISING:
            return _all([first[-1], opposite(first[-2] if last else NO)])
        case Tense.ONCE:
            return _any([first[j] for j in inside])
        case Tense.HISTORICALLY:
            return _all([first[j] for j in inside])
        case Tense.SINCE:
            return _any([_all([parts[1][j], *first[j + 1 :]]) for j in inside])
        case Tense.HELD_FOR:
            return _any(
                [_all(first[j:]) for j, time in enumerate(times) if window is not None and now - time >= window]
            )


def _steps_left(
    node: Remaining, times: Sequence[int], trigger: Sequence[Truth], done: Sequence[Truth], *, is_least: bool
) -> int:
    """Fewest or most steps that may be left, rounded down; -1 where the deadline is missed."""
    window, step = moments(node.window_s), moments(node.step_s)
    left = [window // step]
    for j, time in enumerate(times):
        is_due = trigger[j] is not NO if is_least else trigger[j] is YES
        is_done = any(one is YES if is_least else one is not NO for one in done[j:])
        if is_due and not is_done:
            left.append(max(-1, (window - (times[-1] - time)) // step))
    return min(left)


def _all(parts: Sequence[Truth]) -> Truth:
    return Truth(min((part.value for part in parts), default=YES.value))


def _any(parts: Sequence[Truth]) -> Truth:
    return Truth(max((part.value for part in parts), default=NO.value))
