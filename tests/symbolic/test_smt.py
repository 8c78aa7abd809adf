"""The solver: faults give no answer, forged records are found, threads and recycling change nothing."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from symbolic import MAYBE, NO, UNKNOWN, YES, Facts, Interval, Outcome, RuleSet, Verdict, fields
from symbolic.solving.redecision import MAX_FAULTS, Inconclusive, Redecision, redecide
from symbolic.solving.session import Budget
from symbolic.solving.smt import MAX_STUCK, Solver, decide, load_z3
from symbolic.solving.worker import SolverError
from tests.symbolic.strategies import ACTIONS, Operate, Plant

s: Any = fields(Plant)
a: Any = fields(Operate)
STAY = Operate(valve=0.0, mode="off", hold=True)
HERE = Facts.of(Plant, level=0.5, rate=0.3, count=2, mode="slow", wanted="fast", alarm=False)
FOG = Facts.of(Plant, level=Interval(-1, 2), rate=UNKNOWN, count=UNKNOWN, mode="slow", wanted=UNKNOWN, alarm=False)
ODD = s.level + s.rate + s.count - (s.count + s.rate + s.level)
"""Zero everywhere, which neither the walk nor trying a few states of FOG can tell."""
LATE = Budget(watchdog_s=0.05)


def plant_rules(decider: Any = None) -> RuleSet[Plant, Operate]:
    rules = RuleSet(Plant, Operate, decider=decider)
    rules.add(kind="forbid", name="all", priority=9, expression=(ODD == 0) & a.hold)
    rules.add(kind="forbid", name="some", priority=8, expression=(s.level * s.rate > 0.2) & a.hold)
    rules.add(kind="forbid", name="none", priority=7, expression=(ODD > 0) & a.hold)
    return rules


def calm_rules(decider: Any) -> RuleSet[Plant, Operate]:
    """One rule that is kept, which only a solver can tell."""
    rules = RuleSet(Plant, Operate, decider=decider)
    rules.add(kind="forbid", name="odd", expression=(abs(ODD) > s.rate * s.rate) & a.hold)
    return rules


@pytest.fixture
def solver() -> Iterator[Solver]:
    with Solver() as opened:
        yield opened


def faulty(check: Callable[[Any], Any]) -> Callable[[], Any]:
    """A loader of Z3 whose solvers check in another way; `check` is given the real check of the query."""

    def load() -> Any:
        real = load_z3()

        class Faulty(real.Solver):  # type: ignore[name-defined,misc]
            def check(self, *assumptions: Any) -> Any:
                return check(super().check)

        module = ModuleType("faulty_z3")
        module.__dict__.update({**real.__dict__, "Solver": Faulty})
        return module

    return load


def absent() -> Any:
    raise ImportError("no module named z3")


def stuck() -> Any:
    time.sleep(0.7)
    return load_z3()


def fail(*_: object) -> Any:
    raise MemoryError("out of memory")


def late(real: Callable[[], Any]) -> Any:
    time.sleep(0.7)
    return real()


FAULTS: dict[str, Solver] = {
    "absent": Solver(load=absent),
    "stuck while loading": Solver(LATE, load=stuck),
    "exception": Solver(load=faulty(fail)),
    "late": Solver(LATE, load=faulty(late)),
}
UNSURE: dict[str, Solver] = {
    "unknown": Solver(load=faulty(lambda real: "unknown")),
    "nothing": Solver(load=faulty(lambda real: None)),
    "out of budget": Solver(Budget(rlimit=1)),
}


def test_answers_are_all_some_and_none(solver: Solver) -> None:
    assert solver.decide(plant_rules(), FOG, STAY) == (YES, MAYBE, NO)
    assert solver.decide(plant_rules(), FOG, STAY, only=[1]) == (None, MAYBE, None)
    assert decide(plant_rules(), FOG, STAY) == (YES, MAYBE, NO)


@pytest.mark.parametrize("faulty_solver", FAULTS.values(), ids=FAULTS)
def test_fault_is_no_answer_and_no_approval(faulty_solver: Solver) -> None:
    with pytest.raises(SolverError):
        faulty_solver.decide(plant_rules(), FOG, STAY)
    verdict = calm_rules(faulty_solver.decide).check(FOG, STAY)
    assert (verdict.outcome, verdict.undecided) == (Outcome.UNDECIDED, ("R1",))


@pytest.mark.parametrize("unsure", UNSURE.values(), ids=UNSURE)
def test_unknown_is_no_approval(unsure: Solver) -> None:
    assert unsure.decide(plant_rules(), FOG, STAY)[:2] == (None, None)
    verdict = calm_rules(unsure.decide).check(FOG, STAY)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNDECIDED, "the solver could not decide within its budget")


@pytest.mark.parametrize("unsure", [*UNSURE.values()], ids=[*UNSURE])
def test_record_that_cannot_be_decided_again_is_inconclusive_and_no_mismatch(unsure: Solver) -> None:
    found = redecide(plant_rules(), [(FOG, STAY, plant_rules().check(FOG, STAY))], unsure)
    assert found == Redecision(
        num_confirmed=0, mismatches=(), inconclusive=(Inconclusive(index=0, reason="the solver could not decide"),)
    )


def test_exact_checks_need_no_solver() -> None:
    rules = plant_rules(fail)
    assert rules.check(HERE, STAY).outcome is Outcome.UNSAFE
    assert rules.check(HERE, Operate(valve=0.0, mode="off", hold=False)).is_safe


def test_solver_works_again_after_a_fault() -> None:
    answers = iter([fail, fail, lambda real: real()])
    with Solver(load=faulty(lambda real: next(answers, lambda real: real())(real))) as solver:
        for _ in range(2):
            with pytest.raises(SolverError, match="MemoryError: out of memory"):
                solver.decide(plant_rules(), FOG, STAY)
        assert solver.decide(plant_rules(), FOG, STAY) == (YES, MAYBE, NO)


def test_late_answer_is_dropped_and_a_new_worker_takes_over() -> None:
    delays = iter([0.7])

    def check(real: Callable[[], Any]) -> Any:
        time.sleep(next(delays, 0.0))
        return real()

    with Solver(Budget(watchdog_s=0.1), load=faulty(check)) as solver:
        with pytest.raises(SolverError, match=r"^expected an answer within 0.1 s, got none; the worker is abandoned$"):
            solver.decide(plant_rules(), FOG, STAY)
        assert solver.decide(plant_rules(), FOG, STAY) == (YES, MAYBE, NO)


def test_closed_solver_answers_nothing() -> None:
    solver = Solver()
    solver.close()
    with pytest.raises(SolverError, match=r"^expected an open solver, got a closed one; make a new one$"):
        solver.decide(plant_rules(), FOG, STAY)


def test_contradictory_facts_are_refused(solver: Solver) -> None:
    empty = Facts.from_codes(Plant, ((2, 1), *HERE.codes[1:]))
    with pytest.raises(SolverError, match="facts contradict"):
        solver.decide(plant_rules(), empty, STAY)


@pytest.mark.parametrize(
    "budget", [{"rlimit": 0}, {"recycle_after": 0}, {"watchdog_s": 0.0}, {"watchdog_s": float("inf")}]
)
def test_budget_that_the_solver_would_ignore_is_refused(budget: Any) -> None:
    with pytest.raises(ValueError, match="raise the budget"):
        Budget(**budget)


def test_threads_share_one_solver(solver: Solver) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: solver.decide(plant_rules(), FOG, STAY), range(40)))
    assert found == [(YES, MAYBE, NO)] * 40


def test_recycled_context_gives_the_same_answers() -> None:
    with Solver(Budget(recycle_after=3)) as solver:
        assert {solver.decide(plant_rules(), FOG, STAY) for _ in range(10)} == {(YES, MAYBE, NO)}


def test_calling_thread_is_not_the_solving_thread() -> None:
    seen: set[int] = set()

    def check(real: Callable[[], Any]) -> Any:
        seen.add(threading.get_ident())
        return real()

    with Solver(load=faulty(check)) as solver:
        solver.decide(plant_rules(), FOG, STAY)
    assert seen
    assert threading.get_ident() not in seen


def test_true_records_are_confirmed(solver: Solver) -> None:
    rules = plant_rules()
    batch = [(facts, action, rules.check(facts, action)) for facts in (HERE, FOG) for action in ACTIONS]
    confirmed = Redecision(num_confirmed=len(batch), mismatches=(), inconclusive=())
    assert redecide(rules, batch, solver) == confirmed
    assert redecide(rules, batch) == confirmed


def test_forged_outcome_of_one_rule_is_found(solver: Solver) -> None:
    rules = plant_rules()
    batch = [(HERE, STAY, (YES, NO, NO)), (FOG, STAY, (YES, NO, None)), (HERE, STAY, (NO, NO, NO))]
    found = redecide(rules, batch, solver)
    assert (found.num_confirmed, found.inconclusive) == (1, ())
    assert [(one.index, one.rule, one.claimed, one.found) for one in found.mismatches] == [
        (1, "R2", NO, MAYBE),
        (2, "R1", NO, MAYBE),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"facts_sha256": "0"},
        {"ruleset_sha256": "0"},
        {"action": ACTIONS[0]},
    ],
)
def test_verdict_of_something_else_is_a_mismatch(change: Any, solver: Solver) -> None:
    rules = plant_rules()
    verdict: Verdict = dataclasses.replace(rules.check(HERE, STAY), **change)
    found = redecide(rules, [(HERE, STAY, verdict)], solver)
    assert [(one.rule, one.reason) for one in found.mismatches] == [
        ("", "the verdict speaks of another rule set, other facts or another action")
    ]


def test_record_without_every_rule_is_a_mismatch(solver: Solver) -> None:
    found = redecide(plant_rules(), [(HERE, STAY, (YES,))], solver)
    assert [one.reason for one in found.mismatches] == ["the record does not name every rule once"]


def test_deciding_again_stays_cheap(solver: Solver) -> None:
    rules = plant_rules()
    batch = [(HERE, action, rules.check(HERE, action)) for action in ACTIONS] * 10
    redecide(rules, batch[:1], solver)
    start = time.perf_counter()
    assert redecide(rules, batch, solver).num_confirmed == len(batch)
    cost_ms = (time.perf_counter() - start) / len(batch) * 1e3
    assert cost_ms < 50


def test_absent_solver_confirms_nothing_and_contradicts_nothing() -> None:
    rules = plant_rules()
    batch = [(HERE, STAY, rules.check(HERE, STAY))] * (MAX_FAULTS + 2)
    found = redecide(rules, batch, Solver(load=absent))
    reason = "ImportError: no module named z3"
    assert (found.num_confirmed, found.mismatches) == (0, ())
    assert found.inconclusive == tuple(Inconclusive(index=index, reason=reason) for index in range(len(batch)))


def test_undecided_record_is_inconclusive(solver: Solver) -> None:
    rules = calm_rules(fail)
    undecided = rules.check(FOG, STAY)
    assert undecided.outcome is Outcome.UNDECIDED
    found = redecide(rules, [(FOG, STAY, undecided)], solver)
    assert found.inconclusive == (Inconclusive(index=0, reason="undecided then"),)


def test_record_after_a_fault_is_decided_again() -> None:
    rules, answers = plant_rules(), iter([fail])
    with Solver(load=faulty(lambda real: next(answers, lambda real: real())(real))) as solver:
        found = redecide(rules, [(HERE, STAY, rules.check(HERE, STAY))] * 3, solver)
    assert (found.num_confirmed, [one.index for one in found.inconclusive]) == (2, [0])


def test_record_of_contradictory_facts_is_a_mismatch(solver: Solver) -> None:
    empty = Facts.from_codes(Plant, ((2, 1), *HERE.codes[1:]))
    found = redecide(plant_rules(), [(empty, STAY, (NO, NO, NO))], solver)
    assert [one.reason for one in found.mismatches] == ["the facts are out of range or contradict"]


def test_stuck_workers_are_not_replaced_without_end() -> None:
    gate = threading.Event()
    with Solver(Budget(watchdog_s=0.01), load=faulty(lambda real: gate.wait())) as solver:
        for _ in range(MAX_STUCK):
            with pytest.raises(SolverError, match="the worker is abandoned"):
                solver.decide(plant_rules(), FOG, STAY)
        with pytest.raises(
            SolverError, match=r"^expected workers that end, got 4 that are stuck; restart the process$"
        ):
            solver.decide(plant_rules(), FOG, STAY)
        gate.set()
