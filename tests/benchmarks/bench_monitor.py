"""What remembering costs: `python -m tests.benchmarks.bench_monitor [--moments 20000]`.

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
from tests.symbolic.past_sets import Gauge, Turn

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
    main(parser.parse_args().moments)
