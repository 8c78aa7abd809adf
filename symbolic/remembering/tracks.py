"""Past-time operators with two truths and one number of memory: what `monitor.py` runs twice for three truths.

Every operator grows with its conditions (or falls: see `operands`), so what it is for certain follows from what they
are for certain, and what it may be from what they may be. Each keeps one time, or none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from symbolic.expression import Past, Remaining, Tense
from symbolic.remembering.history import BEGINNING
from symbolic.remembering.terms import moments

Kept: TypeAlias = "int | None"
"""A time in microseconds, or none."""

Track: TypeAlias = Callable[[Kept, int, bool, bool], tuple[Kept, int]]
"""What was kept, the time and two truths, to what is kept and the code of the operator."""

FOREVER: Final = 1 << 63
"""A window that reaches back to the beginning."""


def track_of(node: Past | Remaining) -> Track:
    """How an operator moves on by one moment."""
    if isinstance(node, Remaining):
        return _remaining(moments(node.window_s), moments(node.step_s))
    window = FOREVER if node.window_s is None else moments(node.window_s)
    match node.op:
        case Tense.ONCE:  # keeps when the condition last held
            return lambda kept, now, p, q: _within(now if p else kept, now, window)
        case Tense.HISTORICALLY:  # keeps when it last did not
            return lambda kept, now, p, q: _beyond(kept if p else now, now, window)
        case Tense.SINCE:  # keeps when the start last was, if the condition has held since
            return lambda kept, now, p, q: _within(now if q else kept if p else None, now, window)
        case Tense.HELD_FOR:  # keeps when it began to hold
            return lambda kept, now, p, q: _from(kept if kept is not None else now, now, window) if p else (None, 0)
        case Tense.PREV:  # keeps whether it held
            return lambda kept, now, p, q: (now if p else None, int(kept is not None))
        case Tense.RISING:  # keeps whether it held, as the other track sees it: it falls with the moment before
            return lambda kept, now, p, q: (now if q else None, int(p and kept is None))


# What is kept is forgotten where it makes no difference any more, so that two tracks meet again after the unknown.


def _within(kept: Kept, now: int, window: int) -> tuple[Kept, int]:
    return (None, 0) if kept is None or now - kept > window else (kept, 1)


def _beyond(kept: Kept, now: int, window: int) -> tuple[Kept, int]:
    return (None, 1) if kept is None or now - kept > window else (kept, 0)


def _from(kept: int, now: int, window: int) -> tuple[Kept, int]:
    return (BEGINNING, 1) if now - kept >= window else (kept, 0)


def _remaining(window: int, step: int) -> Track:
    """Keeps the earliest trigger that is not done."""

    def move(kept: Kept, now: int, trigger: bool, done: bool) -> tuple[Kept, int]:
        if done or (kept is None and not trigger):
            return None, window // step
        kept = now if kept is None else kept
        return kept, max(-1, (window - (now - kept)) // step)

    return move


Operands: TypeAlias = "tuple[tuple[bool, bool], tuple[bool, bool]]"


def operands(node: Past | Remaining, sure: tuple[bool, ...], maybe: tuple[bool, ...]) -> Operands:
    """The two truths of the lower and the upper track, from what conditions are for certain and may be."""
    if isinstance(node, Remaining):
        return (maybe[0], sure[1]), (sure[0], maybe[1])
    match node.op:
        case Tense.SINCE:
            return (sure[0], sure[1]), (maybe[0], maybe[1])
        case Tense.RISING:
            return (sure[0], maybe[0]), (maybe[0], sure[0])
        case _:
            return (sure[0], False), (maybe[0], False)
