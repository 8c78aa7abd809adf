"""What a swap of rules costs the checks around it: `python -m tests.benchmarks.bench_reload`.

Checks run in 4 threads, then in 100 tasks of one event loop, while versions take each other's place. A pause is the
time between two finished checks, whoever finished them. The baseline is an equal run in which whoever would swap wakes
as often and does nothing: threads hand the interpreter over, and other processes take the cores, without any swap too.
Every verdict is held against the version that it names.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

from symbolic import Action, ApartJudge, Facts, RuleSet, RuleStore, Verdict
from symbolic.reloading.judging import Judge, Judgement, judge, sha256_of
from tests.benchmarks.driving_rules import Driving, Manoeuvre, driving_rules

VERSIONS = 40
THREADS = 4
TASKS = 100
BETWEEN_S = 0.02
"""Time between two swaps."""


def accepting(text: str, live: RuleSet[Any, Any], stop: Action | None, is_strict: bool) -> Judgement:
    """Proving is measured apart."""
    return Judgement(sha256=sha256_of(text), base=live.sha256, rejection=None)


def versions(count: int) -> list[RuleSet[Driving, Manoeuvre]]:
    """Sets of equal rules whose names tell the version."""
    found = []
    for number in range(VERSIONS):
        rules = RuleSet(Driving, Manoeuvre)
        for rule in driving_rules(count).rules:
            one = rule.declared
            rules.add(kind=one.kind, name=f"v{number}_{one.name}", expression=one.expression, priority=one.priority)
        found.append(rules)
    return found


class Run:
    """One measured run: checks, the times at which they ended, the times of swaps, and verdicts of two versions."""

    def __init__(self, store: RuleStore[Driving, Manoeuvre], marks: dict[str, str], checks: int) -> None:
        self.store, self.marks, self.checks = store, marks, checks
        self.ends: list[float] = []
        self.swaps: list[tuple[float, float]] = []
        self.num_mixed = 0
        rules = store.live
        self.points = [
            (facts, action)
            for code in range(50)
            for facts in [
                Facts.from_codes(Driving, tuple(min(f.low + code, f.high) for f in Driving.__domain__.fields))
            ]
            for action in [rules.actions[code % len(rules.actions)]]
        ]

    def some(self, start: int, count: int, ends: list[float]) -> None:
        """Check, and hold each verdict against the version that it names."""
        for number in range(start, start + count):
            verdict: Verdict = self.store.check(*self.points[number % len(self.points)])
            ends.append(time.perf_counter())
            mark = self.marks[verdict.ruleset_sha256]
            self.num_mixed += any(not one.name.startswith(mark) for one in verdict.violations)

    def wake(self, *, swaps: bool) -> None:
        """Put the version before in the place of the live one, or do nothing at the same time."""
        start = time.perf_counter()
        if swaps and self.store.history.before is not None:
            self.store.roll_back()
        self.swaps.append((start, time.perf_counter()))

    def pauses_ms(self) -> tuple[list[float], list[float]]:
        """All pauses, and those in which a swap fell."""
        ends = sorted(self.ends)
        every = [1e3 * (b - a) for a, b in pairwise(ends)]
        places = {bisect_left(ends, start) - 1 for start, _ in self.swaps if ends[0] < start < ends[-1]}
        return every, [every[place] for place in sorted(places)]


def in_threads(run: Run, *, swaps: bool) -> None:
    """Checks in threads, swaps in another one."""
    parts: list[list[float]] = [[] for _ in range(THREADS)]
    share = run.checks // THREADS
    threads = [threading.Thread(target=run.some, args=(0, share, part)) for part in parts]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(BETWEEN_S)
        run.wake(swaps=swaps)
    run.ends = [end for part in parts for end in part]


def in_tasks(run: Run, *, swaps: bool) -> None:
    """Checks in tasks of one event loop, swaps in another task."""

    async def check() -> None:
        for start in range(0, run.checks // TASKS, 10):
            run.some(start, 10, run.ends)
            await asyncio.sleep(0)

    async def main() -> None:
        tasks = [asyncio.create_task(check()) for _ in range(TASKS)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(BETWEEN_S)
            run.wake(swaps=swaps)

    asyncio.run(main())


def row(name: str, run: Run, pauses: list[float]) -> str:
    """One line of the table."""
    ranked = sorted(pauses)
    p99 = ranked[int(0.99 * (len(ranked) - 1))]
    call = 1e3 * median(b - a for a, b in run.swaps)
    return (
        f"| {name} | {len(run.ends)} | {len(run.swaps)} | {call:.3f} | {median(ranked):.4f} | {p99:.3f} "
        f"| {ranked[-1]:.3f} | {run.num_mixed} |"
    )


def measure(sets: list[RuleSet[Driving, Manoeuvre]], checks: int, act: Callable[..., None], name: str) -> None:
    """A run without swaps, one with, and two while a proposal is proved."""
    marks = {rules.sha256: f"v{number}_" for number, rules in enumerate(sets)}
    with RuleStore(sets[0], judge=accepting) as store:
        for rules in sets[1:]:
            store.activate(store.propose(rules.to_json()).result().sha256)
        still, swapped = Run(store, marks, checks), Run(store, marks, checks)
        act(still, swaps=False)
        act(swapped, swaps=True)
    for run, said in ((still, "nothing"), (swapped, "a swap")):
        every, around = run.pauses_ms()
        print(row(f"{name}, with {said}: all", run, every))
        print(row(f"{name}, with {said}: around it", run, around))
    places: tuple[tuple[str, Judge], ...] = (("in a thread", judge), ("in a process", ApartJudge()))
    for where, judges in places:
        with RuleStore(sets[0], judge=judges) as store:
            proving = Run(store, marks, checks)
            proposal = store.propose(sets[1].to_json())
            act(proving, swaps=False)
            print(row(f"{name}, with a proof {where}: all", proving, proving.pauses_ms()[0]), flush=True)
            proposal.result()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=100_000)
    parser.add_argument("--rules", type=int, default=100)
    arguments = parser.parse_args()
    sets = versions(arguments.rules)
    print(f"{platform.machine()}, Python {platform.python_version()}, {arguments.rules} rules; wall time\n")
    print("| pauses | checks | wakes | call, median ms | pause, median ms | p99 ms | longest ms | mixed verdicts |")
    print("|---|---|---|---|---|---|---|---|")
    measure(sets, arguments.checks, in_threads, f"{THREADS} threads")
    measure(sets, arguments.checks, in_tasks, f"{TASKS} tasks")


if __name__ == "__main__":
    main()
