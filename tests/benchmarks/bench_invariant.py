"""What looking ahead costs: `python -m tests.benchmarks.bench_invariant`.

A car behind an obstacle (gap, speed, four accelerations), exact and with noise of the gap, on larger and larger grids:
CPU seconds of the largest safe invariant set and of its audit, the greatest memory of the process, rounds, and states
that differ from the closed form (braking distance <= gap). Baseline on the smallest grid: the same game over Python
sets.
Then microseconds (median / p99) of an answer of the shield from witnesses, and of the one that looks ahead.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import resource
import statistics
import time
from collections.abc import Callable
from random import Random
from typing import Any

import numpy

from symbolic import (
    Action,
    Facts,
    Keeper,
    RuleSet,
    Shield,
    State,
    Transition,
    actions_of,
    becomes,
    codes_of,
    domain_of,
    fields,
    fixed,
    largest,
    maximum,
    verify,
    whole,
)
from symbolic.mending.fixpoint import INSIDE
from tests.benchmarks.driving_rules import driving_rules


class Pedal(Action):
    """What the driver may do."""

    change: int = whole(ge=-2, le=1)


def car(most_gap: int, most_speed: int, name: str) -> type[State]:
    """A state type on a grid of half metres."""
    body = {
        "__annotations__": {"gap": float, "speed": int},
        "gap": fixed(ge=0, le=most_gap, step=0.5),
        "speed": whole(ge=0, le=most_speed),
    }
    return type(name, (State,), {**body, "__module__": __name__})


def game(schema: type[State], noise: float) -> tuple[RuleSet[Any, Pedal], Transition]:
    """Never drive further than the gap; the gap shrinks by the speed, give or take the noise."""
    s, a, rules = fields(schema), fields(Pedal), RuleSet(schema, Pedal)
    rules.add(kind="forbid", name="hit", expression=s.gap < s.speed + a.change)
    speed = maximum(s.speed + a.change, 0)
    gap = becomes(s.gap - speed, least=0, most=noise, is_held=True)
    return rules, Transition.of(schema, Pedal, gap=gap, speed=becomes(speed, is_held=True))


def by_sets(rules: RuleSet[Any, Pedal], model: Transition) -> set[tuple[int, ...]]:
    """The same set by trying everything."""
    inside = set(itertools.product(*(range(one.low, one.high + 1) for one in domain_of(rules.state).fields)))
    ways: dict[tuple[int, ...], list[set[tuple[int, ...]]]] = {}
    for state in inside:
        facts = Facts.from_codes(rules.state, state)
        safe = [action for action in map(codes_of, actions_of(Pedal)) if not rules.compiled(state, action)]
        boxes = [model.box(facts, action) for action in safe]
        ways[state] = [set(itertools.product(*(range(low, high + 1) for low, high in box))) for box in boxes]
    while True:
        left = {state for state in inside if any(found <= inside for found in ways[state])}
        if left == inside:
            return inside
        inside = left


def cpu(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its seconds of CPU time."""
    started = time.process_time()
    found = call()
    return found, time.process_time() - started


def stopping(speed: int) -> int:
    """Distance covered while braking by 2 a step."""
    return sum(range(speed - 2, 0, -2))


def grid(most_gap: int, most_speed: int, noise: float, *, with_sets: bool) -> str:
    """One row of the table."""
    rules, model = game(car(most_gap, most_speed, f"Car{most_gap}"), noise)
    bare, spent = cpu(lambda: largest(rules, model, tried=1))
    _, audited = cpu(lambda: largest(rules, model))
    distance = numpy.array([2 * stopping(speed) for speed in range(most_speed + 1)])
    expected = numpy.arange(2 * most_gap + 1)[:, None] >= distance[None, :]
    wrong = int(((bare.rounds == INSIDE) != expected).sum())
    baseline = f"{cpu(lambda: by_sets(rules, model))[1] / spent:.0f}" if with_sets else ""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"| {bare.rounds.size * 4:,} | {noise} | {spent:.2f} | {max(audited - spent, 0):.2f} | {memory:.0f} "
        f"| {bare.rounds.max()} | {wrong} | {bare.num_doomed:,} | {baseline} |"
    )


def shown(values: list[float]) -> str:
    """Median / 99th percentile."""
    return f"{statistics.median(values):.0f} / {statistics.quantiles(values, n=100)[98]:.0f}"


def asked(answer: Callable[[Facts], Any], every: list[Facts]) -> str:
    """Microseconds of wall time of an answer."""
    times = []
    for facts in every:
        started = time.perf_counter_ns()
        answer(facts)
        times.append((time.perf_counter_ns() - started) / 1e3)
    return shown(times)


def drawn(rules: RuleSet[Any, Any], count: int) -> list[Facts]:
    """Exact facts at random."""
    rng, every = Random(0), domain_of(rules.state).fields
    return [Facts.from_codes(rules.state, tuple(rng.randint(f.low, f.high) for f in every)) for _ in range(count)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=1000)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, one thread\n")
    print("| points | noise, m | set, s | audit, s | memory, MB | rounds | wrong | safe now but lost | sets / ours |")
    print("|---|---|---|---|---|---|---|---|---|")
    for most_gap, most_speed, noise in ((300, 40, 0), (300, 40, 2), (6000, 80, 2), (12000, 100, 0), (12000, 100, 2)):
        print(grid(most_gap, most_speed, noise, with_sets=most_gap == 300), flush=True)
    rules = driving_rules(100)
    print("\n| answer of | rules | us |\n|---|---|---|")
    shield = Shield.of(rules, verify(rules, complete=0, sample=1000))
    times = asked(shield.action, drawn(rules, arguments.questions))
    print(f"| the shield, {len(shield.witnesses)} witnesses | 100 | {times} |")
    ahead, model = game(car(300, 40, "Short"), 2)
    keeper, full = Keeper(largest(ahead, model)), Pedal(change=1)
    times = asked(lambda facts: keeper.action(facts, full), drawn(ahead, arguments.questions))
    print(f"| the keeper, nearest to full speed | 1 | {times} |")


if __name__ == "__main__":
    main()
