"""The queue before a core: batches, bounds, deadlines, cancellation, faults; time is a number that the tests move."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from localist_core import (
    Block,
    BlockKind,
    Choice,
    ClosedError,
    CoreError,
    DeadlineError,
    Dial,
    NumericsError,
    Prompt,
    Queue,
    Request,
    RequestError,
    ScriptedCore,
)
from localist_core.serving.queue import PATIENCE, answers

PROMPT = Prompt(
    (
        Block(kind=BlockKind.OPTIONS, name="options", text="A1 A2"),
        Block(kind=BlockKind.DECISION, name="decision", text="act"),
    )
)


def ask(agent: str) -> Request:
    return Request(agent=agent, prompt=PROMPT, actions=("A1", "A2"), dial=Dial.off())


class StillClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time_s

    async def sleep_until(self, time_s: float) -> None:
        if time_s > self.time_s:
            future = asyncio.get_running_loop().create_future()
            self._sleeping.append((time_s, future))
            await future

    async def advance(self, seconds: float) -> None:
        self.time_s += seconds
        for time_s, future in self._sleeping:
            if time_s <= self.time_s and not future.done():
                future.set_result(None)
        await settle()


async def settle() -> None:
    """Let every task run until it waits for something from outside the loop."""
    for _ in range(20):
        await asyncio.sleep(0)


class GatedCore:
    """A scripted core that notes its batches, stops at a gate while it is shut, and fails where it is told to."""

    def __init__(self, fails: Callable[[Sequence[Request]], Exception | None] = lambda _: None) -> None:
        self._inner = ScriptedCore(lambda _: "A1")
        self._fails = fails
        self.capabilities = self._inner.capabilities
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def decide(self, requests: Sequence[Request]) -> tuple[Choice, ...]:
        self.batches.append([request.agent for request in requests])
        assert self.gate.wait(5.0)
        error = self._fails(requests)
        if error is not None:
            raise error
        return self._inner.decide(requests)

    def knock_out(self, request: Request, block: str) -> float:
        return 0.0


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


def start(*coroutines) -> list[asyncio.Task[Choice]]:
    return [asyncio.ensure_future(one) for one in coroutines]


async def outcomes(tasks) -> list[str]:
    done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5.0)
    return [one.chosen if isinstance(one, Choice) else type(one).__name__ for one in done]


async def test_batch_closes_when_all_registered_agents_have_asked(clock) -> None:
    core = GatedCore()
    async with Queue(core, agents=("car-1", "car-2"), clock=clock) as queue:
        first = start(queue.decide(ask("car-2")))
        await settle()
        assert core.batches == []
        assert await outcomes([*first, *start(queue.decide(ask("car-1")))]) == ["A1", "A1"]
    assert core.batches == [["car-1", "car-2"]]


async def test_batch_closes_when_the_oldest_has_waited_long_enough(clock) -> None:
    core = GatedCore()
    async with Queue(core, agents=("car-1", "car-2"), max_wait_s=0.005, clock=clock) as queue:
        tasks = start(queue.decide(ask("car-1")))
        await settle()
        await clock.advance(0.004)
        assert core.batches == []
        await clock.advance(0.001)
        assert await outcomes(tasks) == ["A1"]
    assert core.batches == [["car-1"]]


async def test_batch_closes_at_its_greatest_size(clock) -> None:
    core = GatedCore()
    async with Queue(core, max_batch=2, clock=clock) as queue:
        assert await outcomes(start(*(queue.decide(ask(f"car-{n}")) for n in range(4)))) == ["A1"] * 4
    assert core.batches == [["car-0", "car-1"], ["car-2", "car-3"]]


async def test_agent_that_leaves_is_not_waited_for(clock) -> None:
    core = GatedCore()
    async with Queue(core, agents=("car-1", "car-2"), clock=clock) as queue:
        tasks = start(queue.decide(ask("car-1")))
        await settle()
        queue.leave("car-2")
        assert await outcomes(tasks) == ["A1"]
        queue.register("car-3")
        tasks = start(queue.decide(ask("car-1")))
        await settle()
        assert len(core.batches) == 1
        assert await outcomes([*tasks, *start(queue.decide(ask("car-3")))]) == ["A1", "A1"]


async def test_earliest_deadline_goes_first_and_of_equals_the_first_name(clock) -> None:
    core = GatedCore()
    core.gate.clear()
    async with Queue(core, max_batch=1, capacity=8, clock=clock) as queue:
        tasks = start(queue.decide(ask("car-0")))
        await settle()
        tasks += start(
            queue.decide(ask("car-4")),
            queue.decide(ask("car-3")),
            queue.decide(ask("car-2"), deadline_s=9.0),
            queue.decide(ask("car-1"), deadline_s=8.0),
        )
        await settle()
        core.gate.set()
        assert await outcomes(tasks) == ["A1"] * 5
    assert core.batches == [["car-0"], ["car-1"], ["car-2"], ["car-3"], ["car-4"]]


async def test_more_waiting_than_the_capacity_is_an_overload(clock) -> None:
    core = GatedCore()
    async with Queue(core, agents=("late",), max_batch=9, capacity=2, clock=clock) as queue:
        tasks = start(*(queue.decide(ask(f"car-{n}")) for n in range(3)))
        await settle()
        await clock.advance(1.0)
        assert await outcomes(tasks) == ["A1", "A1", "OverloadError"]
        assert await outcomes(start(queue.decide(ask("late")))) == ["A1"]  # and it goes on afterwards


async def test_second_question_of_an_agent_is_refused_wherever_the_first_is(clock) -> None:
    core = GatedCore()
    core.gate.clear()
    async with Queue(core, max_wait_s=1.0, clock=clock) as queue:
        tasks = start(queue.decide(ask("car-1")))
        await settle()
        with pytest.raises(RequestError, match="one question at a time"):
            await queue.decide(ask("car-1"))
        await clock.advance(1.0)  # now it is in the core
        with pytest.raises(RequestError, match="one question at a time"):
            await queue.decide(ask("car-1"))
        core.gate.set()
        assert await outcomes(tasks) == ["A1"]


async def test_deadline_in_the_past_is_refused_at_once(clock) -> None:
    async with Queue(GatedCore(), clock=clock) as queue:
        for late in (0.0, -1.0, float("nan")):
            with pytest.raises(DeadlineError, match="in the future"):
                await queue.decide(ask("car-1"), deadline_s=late)


async def test_deadline_that_passes_while_waiting_never_reaches_the_core(clock) -> None:
    core = GatedCore()
    core.gate.clear()
    async with Queue(core, max_wait_s=0.0, clock=clock) as queue:
        tasks = start(queue.decide(ask("car-1")))
        await settle()
        tasks += start(queue.decide(ask("car-2"), deadline_s=0.5))
        await settle()
        await clock.advance(0.5)
        assert tasks[1].done()  # it hears while the core is still busy
        core.gate.set()
        assert await outcomes(tasks) == ["A1", "DeadlineError"]
    assert core.batches == [["car-1"]]


async def test_answer_after_the_deadline_does_not_count(clock) -> None:
    core = GatedCore()
    core.gate.clear()
    async with Queue(core, agents=("car-1", "car-2"), clock=clock) as queue:
        tasks = start(queue.decide(ask("car-1"), deadline_s=0.5), queue.decide(ask("car-2")))
        await settle()
        await clock.advance(0.6)
        core.gate.set()
        assert await outcomes(tasks) == ["DeadlineError", "A1"]


async def test_deadline_and_answer_at_once_is_still_late(clock) -> None:
    """Time moves while the core works, and nobody was woken for it."""
    core = GatedCore(fails=lambda _: setattr(clock, "time_s", 1.0))
    async with Queue(core, max_batch=1, clock=clock) as queue:
        assert await outcomes(start(queue.decide(ask("car-1"), deadline_s=0.5))) == ["DeadlineError"]


async def test_question_withdrawn_while_waiting_never_reaches_the_core(clock) -> None:
    core = GatedCore()
    async with Queue(core, agents=("car-1", "car-2"), clock=clock) as queue:
        tasks = start(queue.decide(ask("car-1")), queue.decide(ask("x")))
        await settle()
        tasks[1].cancel()
        assert await outcomes([*tasks, *start(queue.decide(ask("car-2")))]) == ["A1", "CancelledError", "A1"]
    assert core.batches == [["car-1", "car-2"]]


async def test_question_withdrawn_in_the_core_leaves_its_neighbour_and_may_be_asked_again(clock) -> None:
    core = GatedCore()
    core.gate.clear()
    async with Queue(core, agents=("car-1", "car-2"), clock=clock) as queue:
        tasks = start(queue.decide(ask("car-1")), queue.decide(ask("car-2")))
        await settle()
        assert core.batches == [["car-1", "car-2"]]
        tasks[0].cancel()
        await settle()
        again = start(queue.decide(ask("car-1")))
        await settle()
        core.gate.set()
        assert await outcomes(tasks) == ["CancelledError", "A1"]
        queue.leave("car-2")
        assert await outcomes(again) == ["A1"]


def poisoned(requests: Sequence[Request]) -> Exception | None:
    return NumericsError("inf") if any(request.agent.startswith("bad") for request in requests) else None


async def test_request_that_fails_does_not_poison_the_others(clock) -> None:
    core = GatedCore(fails=poisoned)
    async with Queue(core, max_batch=5, clock=clock) as queue:
        names = ["car-1", "bad-1", "car-2", "bad-2", "car-3"]
        found = await outcomes(start(*(queue.decide(ask(name)) for name in names)))
    assert found == ["A1", "NumericsError", "A1", "NumericsError", "A1"]


@pytest.mark.parametrize("error", [CoreError("lost"), RuntimeError("out of memory"), ZeroDivisionError()])
async def test_core_that_fails_altogether_is_heard_by_all_and_not_asked_forever(clock, error) -> None:
    core = GatedCore(fails=lambda _: error)
    async with Queue(core, max_batch=64, clock=clock) as queue:
        found = await outcomes(start(*(queue.decide(ask(f"car-{n:02}")) for n in range(64))))
        assert found == [type(error).__name__] * 64
        assert len(core.batches) <= 2 * PATIENCE + 8


def test_core_that_answers_too_few_is_an_error_of_all() -> None:
    class Forgetful(GatedCore):
        def decide(self, requests: Sequence[Request]) -> tuple[Choice, ...]:
            return ()

    assert [type(one) for one in answers(Forgetful(), [ask("car-1"), ask("car-2")])] == [CoreError, CoreError]


async def test_close_answers_those_that_wait_and_refuses_others(clock) -> None:
    core = GatedCore()
    core.gate.clear()
    queue = Queue(core, agents=("never",), max_batch=2, capacity=8, clock=clock)
    async with queue:
        tasks = start(*(queue.decide(ask(f"car-{n}")) for n in range(5)))
        await settle()
        closing = asyncio.ensure_future(queue.close())
        await settle()
        with pytest.raises(ClosedError, match="open queue"):
            await queue.decide(ask("car-9"))
        assert not closing.done()
        core.gate.set()
        assert await outcomes(tasks) == ["A1"] * 5
        await closing
    await queue.close()  # a second time is no error
    assert [len(batch) for batch in core.batches] == [2, 2, 1]


async def test_question_to_a_queue_that_was_never_opened_is_refused() -> None:
    with pytest.raises(ClosedError):
        await Queue(GatedCore()).decide(ask("car-1"))


async def test_queue_whose_server_dies_leaves_nobody_waiting(clock) -> None:
    queue = Queue(GatedCore(), agents=("never",), clock=clock)
    async with queue:
        tasks = start(queue.decide(ask("car-1")))
        await settle()
        queue._server.cancel()
        assert await outcomes(tasks) == ["ClosedError"]
        with pytest.raises(ClosedError):
            await queue.decide(ask("car-2"))


@pytest.mark.parametrize("bad", [{"max_wait_s": -1.0}, {"max_wait_s": float("nan")}, {"max_batch": 0}, {"capacity": 0}])
def test_numbers_out_of_range_are_refused(bad) -> None:
    with pytest.raises(RequestError, match="got"):
        Queue(GatedCore(), **bad)


async def test_wall_clock_queue_answers() -> None:
    async with Queue(GatedCore(), max_wait_s=0.001) as queue:
        assert queue.capabilities.name == "scripted"
        assert await outcomes(start(*(queue.decide(ask(f"car-{n}"), deadline_s=5.0) for n in range(9)))) == ["A1"] * 9
