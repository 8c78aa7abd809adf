"""One generated function that moves all operators of a set on, where nothing is unknown: it keeps one time for each.

`tracks.py` says the same with two truths at a time, for what is unknown; both are held against `history.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from symbolic.domain import domain_of
from symbolic.expression import Past, Remaining, Tense
from symbolic.reading.compiled import Codes, define, truth_source
from symbolic.remembering.history import BEGINNING
from symbolic.remembering.terms import moments
from symbolic.remembering.tracks import FOREVER, Kept

if TYPE_CHECKING:
    from symbolic.remembering.memory import Memory, Operator

Sharp = tuple[Kept, ...]
"""What each operator keeps, where it is known."""

Move = Callable[[Codes, int, Sharp], tuple[Codes, Sharp]]
"""Codes of the declared fields, the time and what was kept, to codes of all fields and what is kept."""


def compile_move(memory: Memory) -> Move:
    """The function of a memory; it raises `ValueError` where a code lies outside its field or codes are missing."""
    fields, count = domain_of(memory.declared).fields, len(memory.operators)
    states = [f"s{index}" for index in range(len(fields) + count)]
    kept = "".join(f"k{place}, " for place in range(count))
    guards = " and ".join(f"{one.low} <= s{one.index} <= {one.high}" for one in fields)
    body = "".join(_moved(one, place, len(fields) + place) for place, one in enumerate(memory.operators))
    source = (
        f"def move(s, now, kept):\n"
        f"    {', '.join(states[: len(fields)])}, = s\n"
        f"    ({kept}) = kept\n"
        f"    if not ({guards}):\n"
        f"        raise ValueError('expected codes within their fields, got others')\n"
        f"{body}"
        f"    return ({', '.join(states)},), ({kept})\n"
    )
    return cast(Move, define(source, "move"))


def _moved(one: Operator, place: int, index: int) -> str:
    """Statements that set `k`, what an operator keeps, and `s`, its code."""
    parts = [truth_source(arg) for arg in one.args]
    lines = _remaining(one.node, *parts) if isinstance(one.node, Remaining) else _past(one.node, *parts)
    return "".join(f"    {line}\n" for line in lines).replace("$k", f"k{place}").replace("$s", f"s{index}")


def _past(node: Past, p: str, q: str = "") -> list[str]:
    window = FOREVER if node.window_s is None else moments(node.window_s)
    is_over = f"$k is not None and now - $k > {window}"
    match node.op:
        case Tense.ONCE:
            return [f"if {p}: $k = now", f"elif {is_over}: $k = None", "$s = 0 if $k is None else 1"]
        case Tense.HISTORICALLY:
            return [f"if not {p}: $k = now", f"elif {is_over}: $k = None", "$s = 1 if $k is None else 0"]
        case Tense.SINCE:
            return [f"if {q}: $k = now", f"elif not {p} or ({is_over}): $k = None", "$s = 0 if $k is None else 1"]
        case Tense.HELD_FOR:
            return [
                f"$k = (now if $k is None else $k) if {p} else None",
                f"if $k is not None and now - $k >= {window}: $k = {BEGINNING}",
                f"$s = 1 if $k == {BEGINNING} else 0",
            ]
        case Tense.PREV:
            return ["$s = 0 if $k is None else 1", f"$k = now if {p} else None"]
        case Tense.RISING:
            return [f"held = {p}", "$s = 1 if held and $k is None else 0", "$k = now if held else None"]


def _remaining(node: Remaining, trigger: str, done: str) -> list[str]:
    window, step = moments(node.window_s), moments(node.step_s)
    return [
        f"$k = None if {done} else $k if $k is not None else now if {trigger} else None",
        f"$s = {window // step} if $k is None else max(-1, ({window} - now + $k) // {step})",
    ]
