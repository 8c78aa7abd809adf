"""What the nearest compliant action costs beside Z3's Optimize: `python -m tests.benchmarks.bench_repair`.

Synthetic rules over grids of 39 to 4,000 actions, and of 20,000, which are too many to list; states and wanted actions
are drawn among those where the wanted action breaks a rule. Microseconds (median / p99, wall time of one thread) of our
search and of Optimize, both asked the same questions in turn, and how often they agree. Optimize is given the rules
with the state put in, as any user of it would write them; making these terms is counted apart from asking.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from random import Random
from typing import Any

from symbolic import Action, Facts, Metric, RuleSet, codes_of, domain_of, fields, whole
from symbolic.domain import action_of, is_wide, num_actions
from symbolic.solving.smt import load_z3
from symbolic.solving.translation import Translation
from tests.benchmarks.driving_rules import Driving, driving_rules


def grid(steps: int, name: str) -> type[Action]:
    """An action type with so many accelerations and ten speeds of turning."""
    body = {
        "__annotations__": {"acceleration": int, "change": int},
        "acceleration": whole(ge=-steps // 2, le=steps - steps // 2 - 1),
        "change": whole(ge=-5, le=4),
    }
    return type(name, (Action,), {**body, "__module__": __name__})


def grid_rules(count: int, schema: type[Action], seed: int = 0) -> RuleSet[Driving, Any]:
    """Rules of five shapes that hold the two fields of the action against the state, some both at once."""
    rng, rules = Random(seed), RuleSet(Driving, schema)
    s, a = fields(Driving), fields(schema)
    top = domain_of(schema).field("acceleration").high
    for place in range(count):
        large, small = rng.randint(5, 60), rng.randint(-top // 2, top)
        body = [
            (s.gap * 2 < s.v - large) & (a.acceleration > small),
            (s.v + a.acceleration - a.change > s.limit + large),
            s.rain & (s.v > large) & (a.acceleration > small),
            (s.gap < large) & (s.lane + a.change > 3),
            (s.v * 2 + a.acceleration * 3 > large * 2 + 60) & (a.change * 4 - s.gap > small),
        ][place % 5]
        rules.add(kind="forbid", name=f"rule_{place}", expression=body)
    return rules


class Optimum:
    """The nearest action by Optimize, the way that its users write it."""

    def __init__(self, rules: RuleSet[Any, Any], metric: Metric) -> None:
        self.z3, self.rules, self.metric = load_z3(), rules, metric
        self.fields = domain_of(rules.action).fields
        self.action = [self.z3.Int(one.name) for one in self.fields]

    def made(self, state: tuple[int, ...], wanted: tuple[int, ...]) -> Any:
        """The question as terms."""
        z3 = self.z3
        translation = Translation(z3, z3.main_ctx(), [z3.IntVal(code) for code in state], self.action)
        optimize = z3.Optimize()
        for variable, one in zip(self.action, self.fields, strict=True):
            optimize.add(variable >= one.low, variable <= one.high)
        optimize.add(*(z3.Not(z3.simplify(translation.truth(rule.violation))) for rule in self.rules.rules))
        away = [
            z3.If(variable > code, variable - code, code - variable) * weight
            for variable, code, weight in zip(self.action, wanted, self.metric.weights, strict=True)
        ]
        optimize.minimize(z3.Sum(away))
        return optimize

    def asked(self, optimize: Any) -> tuple[int, ...] | None:
        """Its answer as codes; None where no action complies."""
        if optimize.check() != self.z3.sat:
            return None
        model = optimize.model()
        return tuple(model.eval(variable, model_completion=True).as_long() for variable in self.action)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its microseconds."""
    started = time.perf_counter_ns()
    found = call()
    return found, (time.perf_counter_ns() - started) / 1e3


def shown(values: list[float]) -> str:
    """Median / 99th percentile."""
    return f"{statistics.median(values):,.0f} / {statistics.quantiles(values, n=100)[98]:,.0f}"


def measure(name: str, rules: RuleSet[Any, Any], questions: int) -> str:
    """One row of the table."""
    rng, metric = Random(1), Metric.steps(rules.action)
    peer, agreed = Optimum(rules, metric), 0
    times: dict[str, list[float]] = {"ours": [], "made": [], "asked": []}
    while len(times["ours"]) < questions:
        codes = tuple(rng.randint(one.low, one.high) for one in domain_of(rules.state).fields)
        facts = Facts.from_codes(rules.state, codes)
        wanted = action_of(
            rules.action, tuple(rng.randint(one.low, one.high) for one in domain_of(rules.action).fields)
        )
        if not is_wide(rules.action):  # made once for a set and for a wanted action
            rules.broken(codes), metric.rings(codes_of(wanted))
        if rules.check(facts, wanted).is_safe:
            continue
        found, spent = timed(lambda: rules.nearest(facts, wanted))  # noqa: B023 - called at once
        optimize, made = timed(lambda: peer.made(codes, codes_of(wanted)))  # noqa: B023
        other, asked = timed(lambda: peer.asked(optimize))  # noqa: B023
        for key, value in (("ours", spent), ("made", made), ("asked", asked)):
            times[key].append(value)
        distances = [None if one is None else metric.away(codes_of(wanted), one) for one in (
            None if found is None else codes_of(found), other)]  # fmt: skip
        agreed += distances[0] == distances[1]
    ratio = statistics.median(times["asked"]) / statistics.median(times["ours"])
    row = [shown(times["ours"]), shown(times["asked"]), shown(times["made"]), f"{ratio:.2g}"]
    return f"| {name} | {num_actions(rules.action)} | {' | '.join(row)} | {agreed} of {questions} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=300)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, one thread, microseconds of wall time\n")
    print("| rules | actions | ours | Optimize, asked | its terms, made | asked / ours | same distance |")
    print("|---|---|---|---|---|---|---|")
    small, middle, large = grid(4, "Small"), grid(40, "Middle"), grid(400, "Large")
    for name, rules in (
        ("10 driving", driving_rules(10)),
        ("100 driving", driving_rules(100)),
        ("100 mixed", grid_rules(100, small)),
        ("100 mixed", grid_rules(100, middle)),
        ("100 mixed", grid_rules(100, large)),
        ("100 mixed", grid_rules(100, grid(2000, "Wide"))),
    ):
        print(measure(name, rules, arguments.questions), flush=True)


if __name__ == "__main__":
    main()
