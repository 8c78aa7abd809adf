"""What joint rules cost an agent, and their proofs at load: `python -m tests.benchmarks.bench_joint`.

Cost per agent: the check of its own rules alone (the baseline), then of what binds it beside 1 to 7 peers that have
committed, beside as many of which one is silent, and of finding out who is in range. Median CPU time of one thread,
interleaved. Proofs: CPU seconds of `verify_joint` for groups of 2, and of 3 with those of 2 in it.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from statistics import median
from typing import Any, Literal

from scenarios.scenario import load
from symbolic import (
    Action,
    Commitment,
    Facts,
    Joint,
    JointReport,
    JointRules,
    RuleSet,
    State,
    absolute,
    domain_of,
    ite,
    verify_joint,
    whole,
)
from tests.benchmarks.driving_rules import Driving, Manoeuvre, driving_rules
from tests.symbolic.joint_sets import world


def driving_joint() -> Joint:
    """Two joint rules over pairs of cars: not into the same lane side by side, not faster into a car that brakes."""
    rules = JointRules(Driving, Manoeuvre)
    rules.in_range(lambda i, j: absolute(i.gap - j.gap) <= 20)

    @rules.forbid(priority=95, is_symmetric=True)
    def same_lane(i: Driving, a: Manoeuvre, j: Driving, b: Manoeuvre) -> bool:
        """Do not change into the lane that a car beside takes."""
        is_moving = (a.change != 0) | (b.change != 0)
        return is_moving & (i.lane + a.change == j.lane + b.change) & (absolute(i.gap - j.gap) < 8)

    @rules.forbid(priority=90)
    def behind_braking(i: Driving, a: Manoeuvre, j: Driving, b: Manoeuvre) -> bool:
        """Do not speed up behind a car that brakes hard."""
        return (i.lane == j.lane) & (i.gap > j.gap) & (a.acceleration > 0) & (b.acceleration < -4)

    return Joint(rules)


class Spot(State):
    x: int = whole(ge=0, le=4)
    y: int = whole(ge=0, le=4)


class Go(Action):
    to: Literal["stay", "north", "east", "south", "west"]


def yard(*, is_polite: bool) -> tuple[RuleSet[Any, Any], Joint]:
    """Carts on 5 x 5 cells: never two in one cell; if polite, nobody enters a cell in which another stands."""
    own: RuleSet[Any, Any] = RuleSet(Spot, Go)
    own.forbid(id="walls")(
        lambda s, a: (
            ((s.x == 0) & (a.to == "west"))
            | ((s.x == 4) & (a.to == "east"))
            | ((s.y == 0) & (a.to == "south"))
            | ((s.y == 4) & (a.to == "north"))
        )
    )
    rules: JointRules[Any, Any, Any, Any] = JointRules(Spot, Go)
    rules.in_range(lambda i, j: absolute(i.x - j.x) + absolute(i.y - j.y) <= 2)

    def x(s: Any, a: Any) -> Any:
        return s.x + ite(a.to == "east", 1, 0) - ite(a.to == "west", 1, 0)

    def y(s: Any, a: Any) -> Any:
        return s.y + ite(a.to == "north", 1, 0) - ite(a.to == "south", 1, 0)

    def are_apart(i: Any, j: Any) -> Any:
        return (i.x != j.x) | (i.y != j.y)  # two in one cell already: no rule can help

    @rules.forbid(id="one_cell", priority=90, is_symmetric=True)
    def one_cell(i: Any, a: Any, j: Any, b: Any) -> Any:
        """Two carts in one cell."""
        return are_apart(i, j) & (x(i, a) == x(j, b)) & (y(i, a) == y(j, b))

    if is_polite:

        @rules.forbid(id="taken", priority=80)
        def taken(i: Any, a: Any, j: Any, b: Any) -> Any:
            """Into a cell in which another stands."""
            return are_apart(i, j) & (x(i, a) == j.x) & (y(i, a) == j.y)

    return own, Joint(rules)


# Cost per agent


def costs(num_rules: int, repeats: int) -> None:
    """One row for each number of peers."""
    own, joint, rng = driving_rules(num_rules), driving_joint(), Random(1)
    cars = [_car(own, f"car-{n}", rng) for n in range(8)]
    alone = _timed(lambda: own.check(_facts(cars[0]), own.actions[7]), repeats)
    print(f"\n{num_rules} rules of the agent's own, 2 joint rules, all peers in range; alone {alone:.1f} us a check\n")
    print("| peers | rules | first use, ms | bind, us | check, us | both / alone | one silent: check, us | range, us |")
    print("|---|---|---|---|---|---|---|---|")
    for count in range(1, 8):
        print(_row(own, joint, cars[: count + 1], alone, repeats), flush=True)


def _row(own: RuleSet[Any, Any], joint: Joint, cars: list[Commitment], alone: float, repeats: int) -> str:
    facts, peers = _facts(cars[0]), cars[1:]
    silent = [*peers[:-1], Commitment(name="silent", rules=own, facts=None, action=None)]
    start = time.process_time()
    bound = joint.bind(own, facts, peers)
    bound.rules.check(bound.facts, own.actions[7])
    first = time.process_time() - start
    beside = joint.bind(own, facts, silent)
    bind, check, worst, near = (
        _timed(run, repeats)
        for run in (
            lambda: joint.bind(own, facts, peers),
            lambda: bound.rules.check(bound.facts, own.actions[7]),
            lambda: beside.rules.check(beside.facts, own.actions[7]),
            lambda: joint.peers({car.name: car for car in cars}),
        )
    )
    return (
        f"| {len(peers)} | {len(bound.rules.rules)} | {1e3 * first:.1f} | {bind:.1f} | {check:.1f} "
        f"| {(bind + check) / alone:.1f} | {worst:.0f} | {near / len(cars):.1f} |"
    )


def _car(own: RuleSet[Any, Any], name: str, rng: Random) -> Commitment:
    codes = tuple(
        rng.randint(90, 100) if field.name == "gap" else rng.randint(field.low, field.high)
        for field in domain_of(Driving).fields
    )
    return Commitment(name=name, rules=own, facts=Facts.from_codes(Driving, codes), action=rng.choice(own.actions))


def _facts(car: Commitment) -> Facts:
    assert car.facts is not None, "every car here is seen"
    return car.facts


def _timed(run: Callable[[], object], repeats: int) -> float:
    """Median CPU time of one call in microseconds, over rounds of ten."""
    run()
    rounds = []
    for _ in range(max(3, repeats // 10)):
        start = time.process_time_ns()
        for _ in range(10):
            run()
        rounds.append((time.process_time_ns() - start) / 1e4)
    return median(rounds)


# Proofs


def proofs() -> None:
    """One row for each set of joint rules."""
    doorway = load("doorway")
    assert doorway.joint is not None, "the doorway is joint rules"
    sets = {
        "doorway": ({"cart": doorway.roles["cart"].rules}, doorway.joint),
        "yard": _alone(yard(is_polite=False)),
        "yard, polite": _alone(yard(is_polite=True)),
        "10 driving rules": ({"car": driving_rules(10)}, driving_joint()),
        "100 driving rules": ({"car": driving_rules(100)}, driving_joint()),
    }
    print(
        "\n| joint rules | k = 2, s | k = 2 and 3, s | exists, k = 2, 3 | in turn, k = 2, 3 | any size "
        "| beside silent | queries |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, (roles, joint) in sets.items():
        (two, _), (three, report) = (_proved(joint, roles, largest) for largest in (2, 3))
        exists = ", ".join(one.exists.value for one in report.groups)
        in_turn = ", ".join(one.in_turn.value for one in report.groups)
        print(
            f"| {name} | {two:.2f} | {three:.2f} | {exists} | {in_turn} | {report.any_size.value} "
            f"| {report.beside_silent.value} | {report.num_queries} |",
            flush=True,
        )


def _alone(made: tuple[RuleSet[Any, Any], Joint]) -> tuple[dict[str, RuleSet[Any, Any]], Joint]:
    return {"cart": made[0]}, made[1]


def _proved(joint: Joint, roles: dict[str, RuleSet[Any, Any]], largest: int) -> tuple[float, JointReport]:
    start = time.process_time()
    report = verify_joint(joint, roles, largest=largest)
    return time.process_time() - start, report


def random_sets(count: int) -> None:
    """What is found in random sets: how often a joint action exists, and deciding in turn still gets stuck."""
    found: Counter[tuple[str, ...]] = Counter()
    for seed in range(count):
        here = world(seed, with_counts=seed % 3 == 0)
        pair = verify_joint(here.joint, {"walker": here.own}, largest=2).groups[0]
        found[pair.exists.value, pair.in_turn.value] += 1
    print(f"\n{count} random sets, groups of 2:")
    for (exists, in_turn), number in sorted(found.items(), reverse=True):
        print(f"- a joint action exists: {exists}, each finds one in turn: {in_turn}: {number}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--sets", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, CPU time of one thread")
    for count in arguments.rules:
        costs(count, arguments.repeats)
    proofs()
    random_sets(arguments.sets)


if __name__ == "__main__":
    main()
