"""What a certificate costs, beside the verdict it is of: `python -m tests.benchmarks.bench_certificate`.

For sets of 10 and 100 synthetic rules and for the junction's own: microseconds of CPU time (median / p99) of a verdict,
of making its certificate and of checking it; its size; and forgeries accepted, with one rule told wrongly in each.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from random import Random
from typing import Any

from scenarios.scenario import load
from symbolic import Facts, RuleSet, domain_of
from symbolic.certifying.certificate import verdict_certificate
from symbolic.certifying.checker import RefusedError, Rules, check
from tests.benchmarks.driving_rules import driving_rules

SAMPLES = 500


def timed(call: Callable[[], object]) -> float:
    """Microseconds of CPU time of one call."""
    started = time.process_time_ns()
    call()
    return (time.process_time_ns() - started) / 1e3


def shown(values: list[float]) -> str:
    """Median / 99th percentile."""
    return f"{statistics.median(values):.1f} / {statistics.quantiles(values, n=100)[98]:.1f}"


def is_accepted(text: str, rules: Rules) -> bool:
    try:
        check(text, rules)
    except RefusedError:
        return False
    return True


def forged(text: str, anchor: str) -> str:
    """The certificate with one rule told wrongly, and an outcome that fits."""
    plain = json.loads(text)
    order = sorted({*plain["violated"]} ^ {anchor}, key=lambda name: int(name[1:]))
    plain |= {"violated": order, "outcome": "unsafe" if order else "safe"}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def measure(name: str, rules: RuleSet[Any, Any]) -> None:
    """Print one row."""
    rng, known = Random(0), Rules(rules.to_json())
    fields = domain_of(rules.state).fields
    verdicts, made, checked, sizes, forgeries = [], [], [], [], 0
    for _ in range(SAMPLES):
        facts = Facts.from_codes(rules.state, tuple(rng.randint(field.low, field.high) for field in fields))
        action = rng.choice(rules.actions)
        verdicts.append(timed(lambda: rules.check(facts, action)))  # noqa: B023 - called at once
        verdict = rules.check(facts, action)
        made.append(timed(lambda: verdict_certificate(rules, facts, verdict)))  # noqa: B023
        text = verdict_certificate(rules, facts, verdict)
        checked.append(timed(lambda: check(text, known)))  # noqa: B023
        sizes.append(len(text))
        forgeries += is_accepted(forged(text, rng.choice(rules.rules).anchor), known)
    ratio = statistics.median(made) / statistics.median(verdicts)
    print(
        f"| {name} | {shown(verdicts)} | {shown(made)} | {ratio:.2f} | {shown(checked)} | {max(sizes)} "
        f"| {forgeries} of {SAMPLES} |"
    )


def main() -> None:
    """Print the table."""
    print(f"{platform.machine()}, Python {platform.python_version()}, one thread, CPU time\n")
    print("| rules | verdict, us | make, us | make / verdict | check, us | largest, bytes | forgeries accepted |")
    print("|---|---|---|---|---|---|---|")
    junction = next(iter(load("intersection").roles.values())).rules
    for name, rules in (("10", driving_rules(10)), ("junction", junction), ("100", driving_rules(100))):
        measure(name, rules)


if __name__ == "__main__":
    main()
