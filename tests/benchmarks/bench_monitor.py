"""What remembering costs: `python -m tests.benchmarks.bench_monitor [--moments 20000] [--equal 0]`.

`--equal N` holds N remembered values of drawn conditions and histories (gaps, unknowns, uneven steps) against the
specification first.

Nanoseconds of CPU time of one operator at one moment, for a monitor of each operator and of eight conditions, exact and
with every fifth moment unknown, beside a window of the history kept as a list (the baseline: what `once` costs where it
looks back); and that a step costs the same after a long history as after a short one. Runs take turns; medians.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from symbolic import (
    Facts,
    RuleSet,
    fields,
    held_for,
    historically,
    once,
    prev,
    remaining_s,
    rising,
    since,
)
from symbolic.reading.compiled import compile_conditions
from symbolic.remembering.history import remembered
from tests.symbolic.past_sets import STEP, Gauge, Turn

STEP_S = 0.1
WINDOW_S = 5.0
REPEATS = 7
s: Any = fields(Gauge)
a: Any = fields(Turn)
PARTS = [
    s.alarm,
    s.level > 1,
    s.level < 0.5,
    s.mode == "off",
    s.mode == "fast",
    s.mode == "slow",
    ~s.alarm,
    s.level > 0,
]
OPERATORS: dict[str, Callable[[Any], Any]] = {
    "prev": prev,
    "rising": rising,
    "once": lambda p: once(p, within_s=WINDOW_S),
    "historically": lambda p: historically(p, within_s=WINDOW_S),
    "held_for": lambda p: held_for(p, WINDOW_S),
    "since": lambda p: since(p, s.mode == "slow", within_s=WINDOW_S),
    "remaining_s": lambda p: remaining_s(p, s.mode == "slow", within_s=WINDOW_S, step_s=0.5) < 1,
}


def rules_of(operator: Callable[[Any], Any]) -> RuleSet[Gauge, Turn]:
    """A set with one operator over each of eight conditions."""
    rules: RuleSet[Gauge, Turn] = RuleSet(Gauge, Turn)
    for place, part in enumerate(PARTS):
        rules.add(kind="forbid", name=f"r{place}", expression=operator(part) & (a.valve == "open"))
    return rules


def history(count: int, *, unknown: bool) -> list[Facts]:
    """Facts of as many moments."""
    rng, found = Random(0), []
    for number in range(count):
        codes = (rng.randint(0, 4), rng.randint(0, 1), rng.randint(0, 2))
        found.append(Facts.from_codes(Gauge, (None, None, None) if unknown and number % 5 == 0 else codes))
    return found


def stepped(rules: RuleSet[Gauge, Turn], facts: list[Facts]) -> float:
    """Nanoseconds of one operator at one moment."""
    monitor = rules.monitor(max_gap_s=2 * STEP_S)
    start = time.thread_time_ns()
    for number, one in enumerate(facts):
        monitor.step(one, number * STEP_S)
    return (time.thread_time_ns() - start) / len(facts) / len(rules.memory.operators)


def looked_back(facts: list[Facts]) -> float:
    """The same for `once` over a kept window of exact facts, two truths only."""
    test = compile_conditions([part.expr for part in PARTS])
    window: deque[tuple[float, tuple[bool, ...]]] = deque()
    start = time.thread_time_ns()
    for number, one in enumerate(facts):
        now = number * STEP_S
        window.append((now, test(one.codes)))  # type: ignore[arg-type] # exact
        while window[0][0] < now - WINDOW_S:
            window.popleft()
        for place in range(len(PARTS)):
            any(truths[place] for _, truths in window)
    return (time.thread_time_ns() - start) / len(facts) / len(PARTS)


def drawn(rng: Random, depth: int) -> Any:
    """A condition with operators nested up to a depth."""
    if depth == 0:
        return rng.choice(PARTS)
    p, q, window = drawn(rng, depth - 1), drawn(rng, depth - 1), rng.choice([None, 0.5, 1, 1.5, 2.5])
    match rng.randrange(9):
        case 0:
            return prev(p)
        case 1:
            return rising(p)
        case 2:
            return once(p, within_s=window)
        case 3:
            return historically(p, within_s=window)
        case 4:
            return since(p, q, within_s=window)
        case 5:
            return held_for(p, window or 2)
        case 6:
            return remaining_s(p, q, within_s=window or 2, step_s=0.5) <= 0.5
        case 7:
            return p & ~q
        case _:
            return p | q


def equal(count: int) -> int:
    """How many values were held against the specification; a difference is an `AssertionError` with its seed."""
    total = seed = 0
    while total < count:
        rng = Random(seed)
        rules: RuleSet[Gauge, Turn] = RuleSet(Gauge, Turn)
        rules.add(kind="forbid", name="r", expression=drawn(rng, 3) & (a.valve == "open"))
        gap, begins_empty, time_us = rng.randint(1, 4) * STEP, rng.random() < 0.5, 0
        monitor = rules.monitor(max_gap_s=gap / 1e6, begins_empty=begins_empty)
        past: list[tuple[int, Facts]] = []
        for _ in range(12):
            time_us += rng.randint(1, 5) * STEP // rng.choice([1, 2])
            ranges = ((0, 4), (0, 1), (0, 2))
            codes = tuple(None if rng.random() < 0.15 else rng.randint(low, high) for low, high in ranges)
            past.append((time_us, Facts.from_codes(Gauge, codes)))
            expected = remembered(rules.memory, past, max_gap=gap, begins_empty=begins_empty)
            found = monitor.step(past[-1][1], time_us / 1e6)
            assert found == expected, f"seed {seed}: expected {expected}, got {found}"
            total += len(rules.memory.operators)
        seed += 1
    return total


def main(count: int) -> None:
    """Write the table."""
    exact, opened = history(count, unknown=False), history(count, unknown=True)
    sets = {name: rules_of(operator) for name, operator in OPERATORS.items()}
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(REPEATS):
        taken.setdefault(("kept window", "exact"), []).append(looked_back(exact))
        for name, rules in sets.items():
            taken.setdefault((name, "exact"), []).append(stepped(rules, exact))
            taken.setdefault((name, "1 of 5 unknown"), []).append(stepped(rules, opened))
    baseline = statistics.median(taken["kept window", "exact"])
    sys.stdout.write(
        f"{platform.machine()}, Python {platform.python_version()}, {count} moments, median of {REPEATS}\n"
    )
    for (name, sort), values in taken.items():
        median = statistics.median(values)
        sys.stdout.write(f"{name:14} {sort:15} {median:8.0f} ns  {median / baseline:5.2f} x kept window\n")
    first, last = (stepped(sets["once"], part) for part in (exact[: count // 10], exact))
    sys.stdout.write(f"once, {count // 10} moments {first:.0f} ns, {count} moments {last:.0f} ns\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20_000)
    parser.add_argument("--equal", type=int, default=0)
    options = parser.parse_args()
    if options.equal:
        sys.stdout.write(f"{equal(options.equal)} values equal to the specification\n")
    main(options.moments)
