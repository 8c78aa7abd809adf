"""What the load-time report costs: `python -m tests.benchmarks.bench_verify [--rules 10 100 ...]`.

Synthetic driving rules over whole numbers, most of them redundant, and rules on fine grids that clash
(`fine_rules.py`). CPU seconds of one thread: the whole report, its shares, and the report after one rule was changed,
removed or added (the slowest of six), with the answers of the one before. Baseline of the ratio: the census, which is
what trying points alone would cost.

`--sets 1040` compares every sort of finding with brute force instead, on random sets with planted defects.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from symbolic import Report, RuleSet, verify
from symbolic.proving.answers import Answers
from tests.benchmarks.driving_rules import driving_rules
from tests.benchmarks.fine_rules import fine_rules
from tests.symbolic.brute import DEFECTS, STOP, differences, planted

Made = Callable[[int, int], RuleSet[Any, Any]]
"""A set of so many rules, from a seed."""

EDITS = 6
"""Changed sets of which the slowest counts."""


def measure(name: str, make: Made, count: int) -> str:
    """One row of the table."""
    answers = Answers.empty()
    report, spent = _timed(make(count, 0), answers)
    whole, census, totality = (sum(spent.values()), spent["points"], spent["totality"])
    again: list[tuple[float, int]] = []
    for place in range(EDITS):
        changed, spent = _timed(edited(make, count, place), Answers(dict(answers.known), {}))
        again.append((sum(spent.values()), changed.num_queries))
    slowest, queries = max(again)
    return (
        f"| {name} | {count} | {whole:.2f} | {census:.2f} | {totality:.2f} | {whole - census - totality:.2f} "
        f"| {whole / census:.1f} | {report.num_queries} | {report.total.value} | {len(report.unknowns)} "
        f"| {slowest:.2f} | {queries} |"
    )


def _timed(rules: RuleSet[Any, Any], answers: Answers) -> tuple[Report, dict[str, float]]:
    """A report, and the CPU seconds of each of its steps."""
    began: list[tuple[str, float]] = []
    report = verify(rules, answers=answers, watch=lambda step: began.append((step, time.process_time())))
    ends = [*(start for _, start in began[1:]), time.process_time()]
    return report, {step: end - start for (step, start), end in zip(began, ends, strict=True)}


def edited(make: Made, count: int, place: int) -> RuleSet[Any, Any]:
    """The same rules with one of them, by number of the edit, changed, left out, or added."""
    old, other = make(count, 0), make(count, 1)
    chosen = (place + 1) * count // (EDITS + 2)
    drafts = [rule.declared for rule in old.rules]
    fresh = next(rule.declared for rule in other.rules if rule.name == drafts[chosen].name)
    match place % 3:
        case 0:
            drafts[chosen] = fresh
        case 1:
            del drafts[chosen]
        case _:
            drafts.append(replace(fresh, name="added"))
    new: RuleSet[Any, Any] = RuleSet(old.state, old.action)
    for draft in drafts:
        new.declare(draft)
    return new


def against_brute_force(count: int) -> None:
    """Print how often each sort of finding is right on so many random sets with planted defects."""
    sets, same, findings, planted_in = Counter[str](), 0, Counter[str](), Counter[str]()
    for seed in range(count):
        rules, defect = planted(seed)
        wrong, found = differences(rules, verify(rules, safe_stop=STOP))
        planted_in[defect] += 1
        same += not wrong
        findings += found
        sets.update(set(found))
        for line in wrong:
            print(f"set {seed}: {line}")
    print(f"{same} of {count} sets: the report says what trying every point says\n")
    print("| sort | sets it was planted in | sets that have it | findings |\n|---|---|---|---|")
    for sort in DEFECTS:
        print(f"| {sort} | {planted_in[sort]} | {sets[sort]} | {findings[sort]} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, help="compare so many random sets with brute force instead")
    parser.add_argument("--rules", type=int, nargs="+", default=[10, 100])
    arguments = parser.parse_args()
    if arguments.sets is not None:
        against_brute_force(arguments.sets)
        return
    print(f"{platform.machine()}, Python {platform.python_version()}, CPU time\n")
    print(
        "| set | rules | report, s | census, s | totality, s | rest, s | report / census | queries | total | unknown "
        "| one rule changed, s | its queries |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name, make in (("driving", driving_rules), ("fine", fine_rules)):
        for count in arguments.rules:
            print(measure(name, make, count), flush=True)


if __name__ == "__main__":
    main()
