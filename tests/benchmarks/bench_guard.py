"""What guarding an action costs, beside the check alone: `python -m tests.benchmarks.bench_guard`.

The whole guarded path is: a state from a plain dict, an action from JSON text, every rule checked, a record with a
certificate chained by its hash. For 10, 100 and 1000 synthetic rules, on compliant actions of 3,000 drawn states:
microseconds of CPU time (median / p99, the cost of the clock taken off), the ways in turn, 250 states at a time.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from random import Random

from symbolic import Facts, Guard, Ladder, RuleSet, domain_of
from tests.benchmarks.driving_rules import Driving, Manoeuvre, driving_rules

STATES = 3_000
BLOCK = 250
STOP = Manoeuvre(acceleration=-8, change=0)

Case = tuple[dict[str, object], str, Facts, Manoeuvre]
"""A state as a dict, a compliant action as text, and both as values."""


def cases(rules: RuleSet[Driving, Manoeuvre], count: int) -> list[Case]:
    """Drawn states that have a compliant action, with the first of them."""
    rng, found = Random(0), []
    while len(found) < count:
        codes = tuple(rng.randint(field.low, field.high) for field in domain_of(Driving).fields)
        facts = Facts.from_codes(Driving, codes)
        action = next(
            (one for one, is_safe in zip(rules.actions, rules.compliant(facts), strict=True) if is_safe), None
        )
        if action is not None:
            found.append((dict(facts.items()), action.model_dump_json(), facts, action))
    return found


def timed(way: Callable[[Case], object], case: Case) -> float:
    """Microseconds of CPU time of one call."""
    started = time.thread_time_ns()
    way(case)
    return (time.thread_time_ns() - started) / 1e3


def shown(values: list[float], idle: float) -> str:
    """Median / 99th percentile, without what the clock costs."""
    return f"{statistics.median(values) - idle:.1f} / {statistics.quantiles(values, n=100)[98] - idle:.1f}"


def main() -> None:
    """Print the table."""
    nothing: Case = ({}, "", Facts.from_codes(Driving, ()), STOP)
    idle = statistics.median(timed(lambda case: None, nothing) for _ in range(10_000))
    print(f"{platform.machine()}, Python {platform.python_version()}, one thread, CPU time, us\n")
    print("| rules | check alone | guarded, dict and JSON | guarded / check | guarded, Facts and Action | repaired |")
    print("|---|---|---|---|---|---|")
    for count in (10, 100, 1000):
        rules = driving_rules(count)
        drawn = cases(rules, STATES if count < 1000 else STATES // 5)
        guard = Guard(rules, Ladder(safe_stop=STOP), 1.0)
        ways: list[Callable[[Case], object]] = [
            lambda case: rules.check(case[2], case[3]),  # noqa: B023 - called in this round
            lambda case: guard.check(case[0], case[1]),  # noqa: B023
            lambda case: guard.check(case[2], case[3]),  # noqa: B023
            lambda case: guard.check(case[0], "{}"),  # noqa: B023
        ]
        spent: list[list[float]] = [[] for _ in ways]
        for start in range(0, 2 * len(drawn), BLOCK):  # the first half warms up
            block = (drawn + drawn)[start : start + BLOCK]
            for way, values in zip(ways, spent, strict=True):
                values += [timed(way, case) for case in block]
        rows = [values[len(drawn) :] for values in spent]
        ratio = (statistics.median(rows[1]) - idle) / (statistics.median(rows[0]) - idle)
        cells = [shown(values, idle) for values in rows]
        print(f"| {count} | {cells[0]} | {cells[1]} | {ratio:.2f} | {cells[2]} | {cells[3]} |")
        assert guard.counts.interventions_on_compliant == 0


if __name__ == "__main__":
    main()
