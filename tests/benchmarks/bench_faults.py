"""Faults injected into guarded decisions, and what 100,000 checks with the solver do to memory.

python -m tests.benchmarks.bench_faults             some hundred injections, and how each ended
python -m tests.benchmarks.bench_faults memory      resident memory after 10,000 and after 110,000 checks, in MB
"""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from symbolic import Facts, Guard, Guarded, Interval, Ladder, RuleSet, fields
from symbolic.solving.apart import Apart
from symbolic.solving.session import Budget
from symbolic.solving.smt import Solver
from tests.symbolic.guarding.test_faults import PROPOSERS, SOLVERS, STATES
from tests.symbolic.strategies import ACTIONS, Operate, Plant
from tests.symbolic.test_smt import FOG, ODD

STOP = Operate(valve=0.0, mode="off", hold=True)
DEADLINE_S = 3.0
ROUNDS = 8
"""How often each fault is injected, with other rules and other wishes."""
CHECKS = 100_000
WARM = 10_000
"""Checks before the first look at the memory: as many as a context lives."""


def rules_of(rng: Random, decider: Any = None) -> RuleSet[Plant, Operate]:
    """A rule that only a solver can decide on open facts, not linear, beside two that anyone can."""
    s: Any = fields(Plant)
    a: Any = fields(Operate)
    rules = RuleSet(Plant, Operate, decider=decider)
    rules.add(kind="forbid", name="odd", priority=9, expression=(abs(ODD) > s.rate * s.rate) & a.hold)
    rules.add(kind="forbid", name="valve", priority=8, expression=a.valve > rng.choice([-0.5, 0.0]))
    rules.add(
        kind="forbid", name="fast", priority=7, expression=(s.level > rng.choice([0.0, 1.0])) & (a.mode == "fast")
    )
    return rules


def guard_of(rng: Random, decider: Any = None, **more: Any) -> Guard[Plant, Operate]:
    return Guard(rules_of(rng, decider), Ladder(safe_stop=STOP), more.pop("deadline_s", DEADLINE_S), **more)


def is_well(guard: Guard[Plant, Operate], done: Guarded[Operate], took_s: float) -> bool:
    """Whether a decision ended in a compliant action or the safe stop, in time."""
    return (done.is_compliant or done.action == STOP) and took_s <= guard.deadline_s


def decided(guard: Guard[Plant, Operate], facts: Any, propose: Any) -> bool:
    started = time.monotonic()
    done = asyncio.run(guard.act(facts, propose))
    return is_well(guard, done, time.monotonic() - started)


def proposer_faults(rng: Random) -> dict[str, Callable[[], bool]]:
    facts = Facts.from_codes(Plant, (rng.randint(-2, 4), 1, 0, 1, 1, 0))
    return {
        f"proposer {name}": lambda propose=propose: decided(guard_of(rng, deadline_s=0.2), facts, propose)  # type: ignore[misc]
        for name, (propose, _) in PROPOSERS.items()
    }


def state_faults(rng: Random) -> dict[str, Callable[[], bool]]:
    wish = rng.choice(ACTIONS)
    return {
        f"state {name}": lambda facts=facts: decided(guard_of(rng), facts, lambda *_: wish)  # type: ignore[misc]
        for name, facts in STATES.items()
    }


def solver_faults(rng: Random) -> dict[str, Callable[[], bool]]:
    wish = rng.choice(ACTIONS)
    return {
        f"solver {name}": lambda solver=solver: decided(guard_of(rng, solver.decide), FOG, lambda *_: wish)  # type: ignore[misc]
        for name, solver in SOLVERS.items()
    }


def killed(rng: Random, apart: Apart, sign: signal.Signals) -> bool:
    """The solver's process gets a signal at some moment of the decision."""
    solver = Solver(Budget(watchdog_s=1.0), apart=apart)

    def strike() -> None:
        time.sleep(rng.uniform(0.0, 0.05))
        if (process := apart._process) is not None and process.poll() is None:
            os.kill(process.pid, sign)

    thread = threading.Thread(target=strike)
    thread.start()
    is_fine = decided(guard_of(rng, solver.decide), FOG, lambda *_: STOP)
    thread.join()
    return is_fine


def inject() -> None:
    """Print how every kind of fault ended."""
    found: Counter[tuple[str, bool]] = Counter()
    apart = Apart()
    for round_ in range(ROUNDS):
        rng = Random(round_)
        faults = {**proposer_faults(rng), **state_faults(rng), **solver_faults(rng)}
        for sign in (signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP):
            faults[f"solver process gets {sign.name}"] = lambda sign=sign: killed(rng, apart, sign)  # type: ignore[misc] # noqa: B023
        for name, call in faults.items():
            found[name.partition(" ")[0], call()] += 1
    for solver in SOLVERS.values():
        if solver._apart is not None:
            solver._apart.close()
    apart.close()
    print("| injected into | faults | compliant or safe stop, in time |")
    print("|---|---|---|")
    for part in sorted({name for name, _ in found}):
        total = found[part, True] + found[part, False]
        print(f"| {part} | {total} | {found[part, True]} ({found[part, True] / total:.0%}) |")


def resident_mb() -> float:
    """Resident memory of this process, in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def remember() -> None:
    """Print what checks that use the solver do to memory."""
    rng = Random(0)
    s: Any = fields(Plant)
    rules = RuleSet(Plant, Operate)
    for place in range(5):  # linear: on the worker thread, whose memory is this process's
        condition = (s.level + s.rate + s.count - place / 2 > s.level + s.rate + s.count) & fields(Operate).hold
        rules.add(kind="forbid", name=f"rule_{place}", expression=condition)
    first = 0.0
    with Solver() as solver:
        for count in range(1, WARM + CHECKS + 1):
            low = rng.randint(-2, 3) / 2
            facts = Facts.of(
                Plant, level=Interval(low, low + 0.5), rate=rng.choice([0.0, 0.3, 0.6, 0.9]), count=1, mode="slow",
                wanted="fast", alarm=False,
            )  # fmt: skip
            solver.decide(rules, facts, rng.choice(ACTIONS), [count % 5], is_all_asked=False)
            if count == WARM:
                first = resident_mb()
            if count % WARM == 0:
                print(f"{count:7d} checks  {resident_mb():.1f} MB", flush=True)
    print(f"\ndrift over {CHECKS} checks: {resident_mb() - first:+.1f} MB")


def main() -> None:
    """Inject faults, or look at memory."""
    print(f"{platform.machine()}, Python {platform.python_version()}\n")
    remember() if sys.argv[1:] == ["memory"] else inject()


if __name__ == "__main__":
    main()
