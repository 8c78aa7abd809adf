"""Injected faults: each ends in a compliant action or the declared safe stop, within the deadline, and is told of."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from symbolic import (
    UNKNOWN,
    Facts,
    FaultKind,
    Guard,
    Guarded,
    Ladder,
    Metric,
    Mode,
    RuleError,
    RuleSet,
    Rung,
    apart,
    fields,
)
from symbolic.guarding.calling import MAX_STUCK, SteppedClock, StuckError, WallClock, in_thread
from symbolic.guarding.record import audit
from symbolic.solving.session import Budget
from symbolic.solving.smt import Solver
from tests.symbolic.guarding.test_guard import FAST, HERE, LADDER, SLOW, STATE, STOP, outline, plant_rules
from tests.symbolic.guarding.test_proposal import Other
from tests.symbolic.strategies import Operate, Plant
from tests.symbolic.test_apart import FAULTS as PROCESSES
from tests.symbolic.test_apart import python
from tests.symbolic.test_smt import FAULTS, FOG, STAY, UNSURE, calm_rules, faulty

DEADLINE_S = 0.4
SLACK_S = 0.5
"""What a machine that is busy may add; `bench_faults` measures without it."""
DROPPED = "no answer within the deadline"


def kinds(done: Guarded[Operate]) -> list[FaultKind]:
    return [fault.kind for fault in done.faults]


def acted(propose: Any, facts: Any = HERE, **more: Any) -> Guarded[Operate]:
    """What a guard with a clock that jumps does about a proposer."""
    on = Guard(plant_rules(), LADDER, DEADLINE_S, clock=SteppedClock(patience_s=0.25), **more)
    return asyncio.run(on.act(facts, propose))


async def never(facts: Facts, feedback: object) -> Operate:
    await asyncio.Event().wait()
    return FAST


async def stubborn(facts: Facts, feedback: object) -> Operate:
    """Ignores being cancelled, once."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return FAST


async def raising(facts: Facts, feedback: object) -> Operate:
    raise MemoryError("out\nof memory")


async def cancelling(facts: Facts, feedback: object) -> Operate:
    raise asyncio.CancelledError


async def groaning(facts: Facts, feedback: object) -> Any:
    return object()


def sleepy(facts: Facts, feedback: object) -> Operate:
    time.sleep(1.0)
    return FAST


def failing(facts: Facts, feedback: object) -> Operate:
    raise ConnectionError("no route")


PROPOSERS: dict[str, tuple[Any, list[FaultKind]]] = {
    "never returns": (never, [FaultKind.PROPOSER_LATE]),
    "ignores being cancelled": (stubborn, [FaultKind.PROPOSER_LATE]),
    "raises": (raising, [FaultKind.PROPOSER_FAILED]),
    "cancels itself": (cancelling, [FaultKind.PROPOSER_FAILED]),
    "plain function that sleeps": (sleepy, [FaultKind.PROPOSER_LATE]),
    "plain function that raises": (failing, [FaultKind.PROPOSER_FAILED]),
    "proposes no action at all": (groaning, []),
    "cannot be called so": (lambda: FAST, [FaultKind.PROPOSER_FAILED]),
}


@pytest.mark.parametrize(("propose", "told"), PROPOSERS.values(), ids=PROPOSERS)
def test_faulty_proposer_ends_in_a_compliant_action(propose: Any, told: list[FaultKind]) -> None:
    done = acted(propose)
    assert (done.is_compliant, done.rung, kinds(done)) == (True, Rung.REPAIRED, told)


def test_late_proposal_is_dropped_even_where_it_complies() -> None:
    clock = SteppedClock()

    async def late(facts: Facts, feedback: object) -> Operate:
        clock.step(DEADLINE_S * 0.9)
        return SLOW

    on = Guard(plant_rules(), LADDER, DEADLINE_S, clock=clock)
    done = asyncio.run(on.act(HERE, late))
    assert (done.rung, kinds(done), done.attempts) == (Rung.REPAIRED, [FaultKind.PROPOSER_LATE], ())


def test_real_deadline_holds_against_a_proposer_that_never_returns() -> None:
    on = Guard(plant_rules(), LADDER, 0.2)
    start = time.monotonic()
    done = asyncio.run(on.act(HERE, never))
    assert (done.is_compliant, kinds(done)) == (True, [FaultKind.PROPOSER_LATE])
    assert done.took_s <= 0.2 or FaultKind.DEADLINE_PASSED in kinds(done)
    assert time.monotonic() - start < 5


async def blocking(facts: Facts, feedback: object) -> Operate:
    time.sleep(0.5)
    return FAST


def test_proposer_that_blocks_the_loop_is_late_and_its_answer_dropped() -> None:
    on = Guard(plant_rules(), LADDER, 0.2)
    done = asyncio.run(on.act(HERE, blocking))
    assert (done.is_compliant, done.attempts) == (True, ())
    assert kinds(done) == [FaultKind.PROPOSER_LATE, FaultKind.DEADLINE_PASSED]


def test_proposer_apart_cannot_block_the_loop() -> None:
    async def beside() -> tuple[Guarded[Operate], int]:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.01)
                beats += 1

        task = asyncio.ensure_future(beat())
        done = await Guard(plant_rules(), LADDER, 0.2).act(HERE, apart(blocking))
        task.cancel()
        return done, beats

    done, beats = asyncio.run(beside())
    assert (done.is_compliant, kinds(done)[0]) == (True, FaultKind.PROPOSER_LATE)
    assert beats > 2


def test_stuck_calls_are_not_added_to_without_end() -> None:
    gate = threading.Event()
    try:
        with pytest.raises(StuckError):  # noqa: PT012 - other tests may have left some
            for _ in range(MAX_STUCK + 1):
                in_thread(gate.wait)
        assert kinds(acted(sleepy)) == [FaultKind.PROPOSER_STUCK]
    finally:
        gate.set()
    time.sleep(0.1)


def test_cancelled_caller_is_cancelled_and_so_is_the_proposer() -> None:
    async def scene() -> bool:
        on = Guard(plant_rules(), LADDER, 30.0)
        asked, ended = asyncio.Event(), asyncio.Event()

        async def propose(facts: Facts, feedback: object) -> Operate:
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return SLOW

        task = asyncio.ensure_future(on.act(HERE, propose))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(ended.wait(), 5)
        return on.counts.decisions == 0

    assert asyncio.run(scene())


STATES: dict[str, Any] = {
    "not a number": {**STATE, "level": float("nan")},
    "infinite": {**STATE, "level": float("inf")},
    "out of range": {**STATE, "count": 99},
    "missing": {"level": 0.5},
    "extra": {**STATE, "x": 1},
    "wrong type": {**STATE, "alarm": "no"},
    "no json": "unclear",
    "nothing": None,
    "contradictory": Facts.from_codes(Plant, ((2, 1), *HERE.codes[1:])),
    "code out of range": Facts.from_codes(Plant, (99, *HERE.codes[1:])),
    "too few codes": Facts.from_codes(Plant, HERE.codes[1:]),
    "codes that are no numbers": Facts.from_codes(Plant, ("x", *HERE.codes[1:])),  # type: ignore[arg-type]
    "stale": HERE.aged(5.0),
    "another type": Facts.exact(Operate(valve=0.0, mode="off", hold=False)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("facts", STATES.values(), ids=STATES)
@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.SHADOW])
def test_unclear_facts_end_in_the_safe_stop_and_in_a_record(facts: Any, mode: Mode) -> None:
    records: list[str] = []

    async def propose(facts: Facts, feedback: object) -> Operate:
        return STOP

    done = acted(propose, facts, mode=mode, write=records.append)
    assert (done.action, done.rung, done.is_compliant) == (STOP, Rung.SAFE_STOP, False)
    assert done.faults
    assert list(audit(records, [plant_rules().to_json()])) == []


def open_rules(decider: Any) -> RuleSet[Plant, Operate]:
    """What only a solver can decide, and a valve that anyone can."""
    rules = calm_rules(decider)
    rules.add(kind="forbid", name="valve", priority=9, expression=fields(Operate).valve > 0)
    return rules


SLOW_SOLVER = Solver(Budget(watchdog_s=30.0), load=faulty(lambda real: time.sleep(1.0)))
SOLVERS: dict[str, Solver] = {
    **FAULTS,
    **UNSURE,
    "slower than the deadline": SLOW_SOLVER,
    "1 ms time-out that is ignored": Solver(Budget(watchdog_s=0.001), load=faulty(lambda real: time.sleep(0.7))),
    **{f"process that {name}": Solver(apart=python(source)) for name, source in PROCESSES.items()},
}


@pytest.fixture(scope="module", autouse=True)
def _end_processes() -> Iterator[None]:
    yield
    for solver in SOLVERS.values():
        if solver._apart is not None:
            solver._apart.close()


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_solver_fault_ends_in_a_compliant_action_within_the_deadline(solver: Solver) -> None:
    on = Guard(open_rules(solver.decide), LADDER, 3.0 if solver is not SLOW_SOLVER else DEADLINE_S)
    done = asyncio.run(on.act(FOG, lambda facts, feedback: STAY))
    assert done.action == STOP or done.is_compliant
    assert done.rung is not Rung.PROPOSED
    assert FaultKind.CHECK_FAILED in kinds(done)
    assert done.took_s < on.deadline_s + SLACK_S


def test_open_facts_block_a_plain_call_no_longer_than_the_deadline() -> None:
    on = Guard(open_rules(SLOW_SOLVER.decide), LADDER, DEADLINE_S)
    done = on.check(FOG, STAY)
    assert done.rung is not Rung.PROPOSED
    assert DROPPED in [fault.detail for fault in done.faults]


CLOCKS: dict[str, Callable[[SteppedClock], None]] = {
    "goes backwards": lambda clock: clock.step(-1.0),
    "tells no time": lambda clock: clock.step(float("nan")),
    "leaps to the end of time": lambda clock: clock.step(float("inf")),
}


@pytest.mark.parametrize("fault", CLOCKS.values(), ids=CLOCKS)
def test_wrong_clock_ends_the_waiting_and_not_the_guarding(fault: Callable[[SteppedClock], None]) -> None:
    clock = SteppedClock()

    async def propose(facts: Facts, feedback: object) -> Operate:
        fault(clock)
        return FAST

    done = asyncio.run(Guard(plant_rules(), LADDER, DEADLINE_S, clock=clock).act(HERE, propose))
    assert (done.is_compliant, done.rung) == (True, Rung.REPAIRED)
    assert FaultKind.CLOCK_WRONG in kinds(done)


def test_writer_that_looks_at_the_counts_blocks_nothing() -> None:
    seen: list[int] = []
    on: Guard[Plant, Operate] = Guard(plant_rules(), LADDER, 5.0, write=lambda record: seen.append(on.counts.decisions))
    jobs = [in_thread(lambda: on.check(STATE, SLOW)) for _ in range(2)]
    assert all(job.result(timeout=5).is_compliant for job in jobs)
    assert seen == [0, 1]


@pytest.mark.parametrize("shape", [STATE, HERE], ids=["quick", "climb"])
def test_record_that_cannot_be_written_ends_in_the_safe_stop(shape: Any) -> None:
    kept: list[str] = []

    def write(record: str) -> None:
        if len(kept) == 1:
            kept.append("full")
            raise OSError("no space left on device")
        kept.append(record)

    on = Guard(plant_rules(), LADDER, 5.0, write=write)
    done = [on.check(shape, SLOW.model_dump_json()) for _ in range(3)]
    assert [one.rung for one in done] == [Rung.PROPOSED, Rung.SAFE_STOP, Rung.PROPOSED]
    assert kinds(done[1]) == [FaultKind.RECORD_FAILED]
    assert list(audit([kept[0], kept[2]], [plant_rules().to_json()], head=on.head)) == []


@pytest.mark.parametrize("part", ["check", "compliant", "nearest", "compiled"])
def test_fault_of_the_rules_themselves_is_no_approval(part: str) -> None:
    def fail(self: object, *_: object) -> Any:
        raise MemoryError("out of memory")

    broken = type("Broken", (RuleSet,), {part: property(lambda self: fail) if part == "compiled" else fail})
    rules = broken.from_json(plant_rules().to_json(), Plant, Operate)
    on = Guard(rules, LADDER, 5.0)
    for shape in (STATE, HERE):
        done = on.check(shape, FAST.model_dump_json(), SLOW)
        assert (done.action in (SLOW, STOP), done.rung is Rung.PROPOSED) == (True, False)
    assert FaultKind.CHECK_FAILED in kinds(done) or done.rung is Rung.ASKED


def test_nearest_action_that_does_not_comply_is_not_executed() -> None:
    lying = type("Lying", (RuleSet,), {"nearest": lambda self, *_: FAST})
    rules = lying.from_json(plant_rules().to_json(), Plant, Operate)
    done = Guard(rules, LADDER, 5.0).check(HERE, FAST)
    assert (done.action, done.rung) == (STOP, Rung.SAFE_STOP)


def stricter() -> RuleSet[Plant, Operate]:
    rules = plant_rules()
    rules.add(kind="forbid", name="valve", expression=fields(Operate).valve > -0.5)
    return rules


def test_reload_during_a_decision_leaves_it_on_its_version() -> None:
    live = [plant_rules()]
    on = Guard(lambda: live[-1], LADDER, 5.0)

    async def propose(facts: Facts, feedback: object) -> Operate:
        live.append(stricter())
        return SLOW

    first = asyncio.run(on.act(HERE, propose))
    assert (first.action, first.verdict.ruleset_sha256) == (SLOW, live[0].sha256)
    second = on.check(STATE, SLOW.model_dump_json())
    assert (second.rung, second.verdict.ruleset_sha256) == (Rung.REPAIRED, live[1].sha256)


def test_rules_that_cannot_be_had_end_in_the_safe_stop() -> None:
    live: list[Any] = [plant_rules()]

    def source() -> RuleSet[Plant, Operate]:
        if not live:
            raise ConnectionError("no store")
        return live[0]  # type: ignore[no-any-return]

    on = Guard(source, LADDER, 5.0)
    live.clear()
    for shape in (STATE, HERE):
        assert outline(on.check(shape, SLOW.model_dump_json()))[:3] == (STOP, Rung.SAFE_STOP, "rules unfit")
    live.append(RuleSet(Plant, Operate))
    assert on.check(STATE, SLOW.model_dump_json()).rung is Rung.SAFE_STOP


def test_rules_that_contradict_each_other_are_told_of_at_once() -> None:
    rules = plant_rules()
    rules.add(kind="forbid", name="a", expression=fields(Operate).hold, overrides=["b"])
    rules.add(kind="forbid", name="b", expression=fields(Operate).hold, overrides=["a"])
    with pytest.raises(RuleError):
        Guard(rules, LADDER, 5.0)


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("nan"), float("inf")])
def test_deadline_that_is_none_is_refused(deadline_s: float) -> None:
    with pytest.raises(ValueError, match="expected a deadline of more than 0 s"):
        Guard(plant_rules(), LADDER, deadline_s)


@pytest.mark.parametrize(
    "wrong",
    [
        {"asks": -1},
        {"asks": True},
        {"max_age_s": float("nan")},
        {"witness": (1,)},
        {"metric": Metric.steps(Other)},
    ],
    ids=str,
)
def test_ladder_without_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        Ladder(safe_stop=STOP, **wrong)


def test_open_facts_without_need_of_a_solver_are_decided_in_time() -> None:
    fog = Facts.of(Plant, **{**STATE, "rate": UNKNOWN})
    done = asyncio.run(Guard(plant_rules(), LADDER, 5.0, clock=WallClock()).act(fog, lambda facts, feedback: SLOW))
    assert outline(done) == (SLOW, Rung.PROPOSED, "", True, ())
