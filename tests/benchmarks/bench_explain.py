"""What an explanation costs beside Z3: `python -m tests.benchmarks.bench_explain [--rules 100] [--questions 300]`.

Asked is why a drawn action is not allowed in a drawn state. Ours: the violated rules with margins and the nearest
allowed action (`explain` without states), then with the nearest states too. Z3, the way that its users write it: an
unsat core of the rules (assumptions, minimised), which names some violated rules, and Optimize for the nearest action.
Where no action complies: our minimal conflict and Z3's cores, as they come and minimised; each is tried for rules that
could be left out. Microseconds of CPU time of one thread, median / p99. Each takes turns of some questions, so that its
caches are as warm as where it works alone; the answers are compared, not trusted.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from symbolic import Facts, Metric, RuleSet, codes_of, domain_of, explain, fields
from symbolic.explaining.conflict import conflict
from symbolic.solving.smt import load_z3
from symbolic.solving.translation import Translation
from tests.benchmarks.bench_repair import Optimum
from tests.benchmarks.driving_rules import Driving, Manoeuvre, driving_rules

Codes = tuple[int, ...]

TURN = 50
"""Questions that one answers before the next has its turn."""


def tight_rules(count: int) -> RuleSet[Driving, Manoeuvre]:
    """Driving rules against as many that ask for the opposite, so that in many states no action complies."""
    rng, rules = Random(1), RuleSet(Driving, Manoeuvre)
    s, a = fields(Driving), fields(Manoeuvre)
    for rule in driving_rules(count // 2).rules:
        rules.add(kind="forbid", name=rule.name, expression=rule.violation)
    for place in range(count - count // 2):
        slow, least, few = rng.randint(5, 60), rng.randint(-6, 3), rng.randint(20, 200)
        body = [
            (s.v < slow) & (a.acceleration < least),
            (s.gap > few) & (a.acceleration <= least),
            s.rain & (s.lane == place % 4) & (a.change == place % 3 - 1),
        ][place % 3]
        rules.add(kind="forbid", name=f"against_{place}", expression=body)
    return rules


class Cores:
    """Unsat cores of rules that are told to hold, over known states and known or open actions."""

    def __init__(self, rules: RuleSet[Any, Any], *, is_minimised: bool) -> None:
        self.z3, self.rules = load_z3(), rules
        self.owned = [domain_of(rules.state).fields, domain_of(rules.action).fields]
        self.variables = [
            [self.z3.Int(f"{name}_{one.name}") for one in owned] for name, owned in zip("sa", self.owned, strict=True)
        ]
        self.solver = self.z3.Solver()
        self.solver.set("core.minimize", is_minimised)
        translation = Translation(self.z3, self.z3.main_ctx(), *self.variables)
        self.holds = [self.z3.Bool(rule.anchor) for rule in rules.rules]
        for holds, rule in zip(self.holds, rules.rules, strict=True):
            self.solver.add(self.z3.Implies(holds, self.z3.Not(translation.truth(rule.violation))))
        for variable, one in zip(self.variables[1], self.owned[1], strict=True):
            self.solver.add(variable >= one.low, variable <= one.high)

    def core(self, state: Codes, action: Codes | None) -> frozenset[str]:
        """Anchors of rules that cannot all hold."""
        self.solver.push()
        known = [*zip(self.variables[0], state, strict=True), *zip(self.variables[1], action or (), strict=False)]
        self.solver.add([variable == code for variable, code in known])
        answer = self.solver.check(*self.holds)
        assert answer == self.z3.unsat, "asked only where they cannot"
        found = frozenset(map(str, self.solver.unsat_core()))
        self.solver.pop()
        return found


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its microseconds of CPU time."""
    started = time.process_time_ns()
    found = call()
    return found, (time.process_time_ns() - started) / 1e3


def shown(times: list[float]) -> str:
    """Median and p99."""
    return f"{statistics.median(times):,.0f} / {sorted(times)[int(0.99 * (len(times) - 1))]:,.0f}"


def in_turns(ask: dict[str, Callable[[Any], Any]], questions: list[Any]) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Each one's answers and times, some questions at a time."""
    found: dict[str, list[Any]] = {name: [] for name in ask}
    times: dict[str, list[float]] = {name: [] for name in ask}
    for start in range(0, len(questions), TURN):
        for name, call in ask.items():
            for question in questions[start : start + TURN]:
                answer, spent = timed(lambda: call(question))  # noqa: B023 - called at once
                found[name].append(answer)
                times[name].append(spent)
    return found, {name: shown(spent) for name, spent in times.items()}


def states(rules: RuleSet[Any, Any], rng: Random) -> Iterator[Codes]:
    """Drawn states without end."""
    while True:
        yield tuple(rng.randint(one.low, one.high) for one in domain_of(rules.state).fields)


def one_action(rules: RuleSet[Any, Any], count: int) -> None:
    """Why is this action not allowed, and what would be?"""
    rng, metric = Random(3), Metric.steps(rules.action)
    cores, optimum = Cores(rules, is_minimised=True), Optimum(rules, metric)
    drawn = ((state, rng.choice(rules.actions)) for state in states(rules, rng))
    asked = ((Facts.from_codes(rules.state, state), state, action, codes_of(action)) for state, action in drawn)
    kept = (one for one in asked if rules.compiled(one[1], one[3]) and any(rules.compliant(one[0])))
    questions = list(itertools.islice(kept, count))
    found, times = in_turns(
        {
            "ours": lambda one: explain(rules, one[0], one[2], is_state_asked=False),
            "ours, with states": lambda one: explain(rules, one[0], one[2]),
            "Z3": lambda one: (cores.core(one[1], one[3]), optimum.asked(optimum.made(one[1], one[3]))),
        },
        questions,
    )
    exact = named = nearest = 0
    for (_, state, _, codes), ours, (core, best) in zip(questions, found["ours"], found["Z3"], strict=True):
        anchors = [one.rule for one in ours.verdict.violations]
        exact += anchors == [rules.rules[place].anchor for place in rules.compiled(state, codes)]
        named += set(anchors) == core
        nearest += ours.nearest is not None and ours.nearest.distance * metric.scale == metric.away(codes, best)
    proved = sum(one.state.is_smallest for one in found["ours, with states"])
    print(
        f"| explanation of one action, {count} questions | microseconds | all violated rules named | nearest action |"
    )
    print("|---|---|---|---|")
    print(f"| ours: violated rules, margins, nearest action | {times['ours']} | {exact} | {nearest} |")
    print(f"| ours, with states ({proved} proved nearest) | {times['ours, with states']} | {exact} | {nearest} |")
    print(f"| Z3: minimised core, and Optimize | {times['Z3']} | {named} | {count} |\n")


def no_action(rules: RuleSet[Any, Any], count: int) -> None:
    """Why does no action comply?"""
    plain, minimised = Cores(rules, is_minimised=False), Cores(rules, is_minimised=True)
    asked = ((Facts.from_codes(rules.state, state), state) for state in states(rules, Random(4)))
    questions = list(itertools.islice((one for one in asked if not any(rules.compliant(one[0]))), count))
    found, times = in_turns(
        {
            "ours": lambda one: frozenset(_conflicting(rules, one[0])),
            "Z3 core": lambda one: plain.core(one[1], None),
            "Z3 core, minimised": lambda one: minimised.core(one[1], None),
        },
        questions,
    )
    print(f"| conflict where no action complies, {count} questions | microseconds | rules, mean | minimal |")
    print("|---|---|---|---|")
    for name, answers in found.items():
        minimal = sum(map(is_minimal, itertools.repeat(rules), (state for _, state in questions), answers))
        size = statistics.mean(map(len, answers))
        print(f"| {name} | {times[name]} | {size:.1f} | {minimal} |")


def is_minimal(rules: RuleSet[Any, Any], state: Codes, core: frozenset[str]) -> bool:
    """Whether some rules forbid every action, and without any one of them do not."""
    broken = [{rules.rules[p].anchor for p in rules.compiled(state, codes_of(one))} for one in rules.actions]
    assert all(places & core for places in broken), "a core forbids every action"
    return not any(all(places & (core - {one}) for places in broken) for one in core)


def _conflicting(rules: RuleSet[Any, Any], facts: Facts) -> tuple[str, ...]:
    found = conflict(rules, facts)
    assert found is not None, "asked only where no action complies"
    return found.rules


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Compare explanations with Z3's.")
    parser.add_argument("--rules", type=int, default=100)
    parser.add_argument("--questions", type=int, default=300)
    given = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, one thread, CPU time, {given.rules} rules\n")
    gc.disable()
    one_action(driving_rules(given.rules), given.questions)
    no_action(tight_rules(given.rules), given.questions)


if __name__ == "__main__":
    main()
