"""One check by several engines, same rules and states: `python -m tests.benchmarks.bench_rules [--rules 10 100 1000]`.

For 10, 100 and 1,000 synthetic rules: microseconds of CPU time of one check that finds all violations (median / p99),
and the ratio to ours. Engines take turns of some checks each in one run, and must agree at every state, or the run
fails. Cedar and Rego read the policies once; what each is told of the state is prepared before the clock starts, as are
our facts. What reading the clock costs is taken off.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import time
from collections.abc import Callable
from random import Random
from typing import Any

import cedarpy
import numpy
import regopy
import z3

from symbolic import Facts, RuleSet, batch, codes_of, domain_of
from tests.benchmarks.driving_rules import driving_rules
from tests.benchmarks.foreign_rules import cedar, closures, facts_of, rego, terms, walked

BATCH = 1024
ROUNDS = {"fast": 2000, "slow": 150}
TURN = 50
"""Checks of one engine before the next has its turn: caches are then as warm as where it works alone."""


class Asked:
    """One state and action, prepared for every engine."""

    def __init__(self, rules: RuleSet[Any, Any], rng: Random) -> None:
        codes = tuple(rng.randint(field.low, field.high) for field in domain_of(rules.state).fields)
        self.facts = Facts.from_codes(rules.state, codes)
        self.codes, self.state = codes, self.facts.state()
        self.action = rng.choice(rules.actions)
        self.done = codes_of(self.action)
        self.record = facts_of(self.state, self.action)
        self.request = {
            "principal": 'Agent::"a"', "action": 'Action::"act"', "resource": 'World::"w"', "context": self.record,
        }  # fmt: skip
        self.arrays = numpy.array([codes]), numpy.array(self.done)


Engine = Callable[[Asked], list[int]]


def cedar_engine(rules: RuleSet[Any, Any]) -> Engine:
    policies = cedarpy.PolicySet.from_str(cedar(rules))

    def ask(one: Asked) -> list[int]:
        found = cedarpy.is_authorized(one.request, policies, [])
        if found.diagnostics.errors:
            raise RuntimeError(str(found.diagnostics.errors))
        return sorted(place for name in found.diagnostics.reasons if (place := int(name[6:]) - 1) >= 0)

    return ask


def rego_engine(rules: RuleSet[Any, Any]) -> Engine:
    builder = regopy.Interpreter()
    builder.add_module("rules.rego", rego(rules))
    bundle, interpreter = builder.build("x = data.rules.violated", []), regopy.Interpreter()

    def ask(one: Asked) -> list[int]:
        interpreter.set_input(one.record)
        return sorted(int(str(item)) for item in interpreter.query_bundle(bundle).binding("x"))

    return ask


def z3_engine(rules: RuleSet[Any, Any], *, is_fresh: bool) -> Engine:
    values, violations = terms(z3, rules)
    kept = z3.Solver()
    flags = [z3.Bool(f"violated_{place}") for place in range(len(violations))]
    definitions = [flag == violation for flag, violation in zip(flags, violations, strict=True)]
    kept.add(definitions)

    def ask(one: Asked) -> list[int]:
        solver = kept
        if is_fresh:
            solver = z3.Solver()
            solver.add(definitions)
        solver.push()
        solver.add([values[name] == value for name, value in one.record.items() if name in values])
        solver.check()
        model = solver.model()
        solver.pop()
        return [place for place, flag in enumerate(flags) if z3.is_true(model[flag])]

    return ask


def python_engine(rules: RuleSet[Any, Any]) -> Engine:
    functions = closures(rules)
    return lambda one: [place for place, call in enumerate(functions) if call(one.state, one.action)]


def numpy_engine(rules: RuleSet[Any, Any]) -> Engine:
    arrays = batch(rules)
    return lambda one: numpy.flatnonzero(arrays(*one.arrays)[0]).tolist()


def engines(rules: RuleSet[Any, Any]) -> dict[str, tuple[Engine, str]]:
    """Name -> what asks it, and how many rounds it gets."""
    return {
        "compiled function (ours)": (lambda one: rules.compiled(one.codes, one.done), "fast"),
        "the same with margins (ours)": (
            lambda one: [found[0] for found in rules.measure.function(one.codes, one.done)],
            "fast",
        ),
        "whole verdict (ours)": (lambda one: _places(rules, one), "fast"),
        "list of Python functions": (python_engine(rules), "fast"),
        "numpy, one state (ours)": (numpy_engine(rules), "fast"),
        "cedarpy, parsed once": (cedar_engine(rules), "slow"),
        "regopy, compiled once": (rego_engine(rules), "slow"),
        "Z3, push / add / check / pop": (z3_engine(rules, is_fresh=False), "slow"),
        "Z3, a new solver": (z3_engine(rules, is_fresh=True), "slow"),
    }


def _places(rules: RuleSet[Any, Any], one: Asked) -> list[int]:
    return [int(violation.rule[1:]) - 1 for violation in rules.check(one.facts, one.action).violations]


def timed(ask: Engine, one: Asked) -> tuple[float, list[int]]:
    started = time.process_time_ns()
    found = ask(one)
    return (time.process_time_ns() - started) / 1e3, found


def shown(values: list[float]) -> str:
    return f"{statistics.median(values):,.1f} / {statistics.quantiles(values, n=100)[98]:,.1f}"


def measure(count: int) -> None:
    """Print one table."""
    rules, rng = driving_rules(count), Random(count)
    asked = [Asked(rules, rng) for _ in range(ROUNDS["fast"])]
    every = engines(rules)
    times: dict[str, list[float]] = {name: [] for name in every}
    slowest = ROUNDS["slow"] // (3 if count >= 1000 else 1)
    clock = statistics.median(timed(lambda one: [], asked[0])[0] for _ in range(999))
    for start in range(0, len(asked), TURN):
        turn = asked[start : start + TURN]
        expected = [walked(rules, one.facts, one.done) for one in turn]
        for name, (ask, pace) in every.items():
            if pace == "slow" and start >= slowest:
                continue
            ask(turn[0])
            answers = [timed(ask, one) for one in turn]
            times[name] += [spent - clock for spent, _ in answers]
            if [found for _, found in answers] != expected:
                raise RuntimeError(f"{name} differs from the reference in states {start} to {start + TURN}")
    base = statistics.median(times["compiled function (ours)"])
    print(f"\n{count} rules\n\n| engine | us, median / p99 | x ours |\n|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {shown(values)} | {statistics.median(values) / base:,.1f} |")
    spent = [_batched(rules, asked) for _ in range(100)]
    print(
        f"| numpy, {BATCH} states at once, per state (ours) | {shown(spent)} | {statistics.median(spent) / base:.2f} |"
    )


def _batched(rules: RuleSet[Any, Any], asked: list[Asked]) -> float:
    """Microseconds for each of `BATCH` states."""
    arrays = batch(rules)
    states = numpy.array([one.codes for one in asked[:BATCH]])
    done = numpy.array([one.done for one in asked[:BATCH]])
    started = time.process_time_ns()
    arrays(states, done)
    return (time.process_time_ns() - started) / 1e3 / len(states)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Compare rule engines.")
    parser.add_argument("--rules", type=int, nargs="+", default=[10, 100, 1000])
    given = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, one thread, CPU time")
    gc.disable()
    for count in given.rules:
        measure(count)


if __name__ == "__main__":
    main()
