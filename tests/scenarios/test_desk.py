from __future__ import annotations

import asyncio

import pytest

from localist_core import Block, BlockKind, Choice, CoreError, Dial, OverloadError, Prompt, Request, ScriptedCore
from scenarios.desk import Desk

PROMPT = Prompt((Block(kind=BlockKind.DECISION, name="act", text="act"),))


def question(agent: str) -> Request:
    return Request(agent=agent, prompt=PROMPT, actions=("A1", "A2"), dial=Dial.off())


class Counting(ScriptedCore):
    """Answers `A1` and remembers the batches."""

    def __init__(self) -> None:
        super().__init__(lambda request: "A1")
        self.batches: list[list[str]] = []

    def decide(self, requests: object) -> tuple[Choice, ...]:
        self.batches.append([request.agent for request in requests])
        return super().decide(requests)


async def test_questions_of_one_tick_are_one_batch_in_order_of_names() -> None:
    core = Counting()
    desk = Desk(core, ["car-1", "car-2", "car-3"])

    async def decide(agent: str, asks: int) -> None:
        for _ in range(asks):
            await desk.ask(question(agent))
        desk.leave(agent)

    await asyncio.gather(decide("car-3", 1), decide("car-1", 2), decide("car-2", 0))
    assert core.batches == [["car-1", "car-3"], ["car-1"]]


async def test_failure_of_the_core_reaches_everybody_that_asked() -> None:
    def fail(request: Request) -> str:
        raise OverloadError("expected fewer requests, got many")

    desk = Desk(ScriptedCore(fail), ["car-1", "car-2"])
    answers = await asyncio.gather(*map(desk.ask, map(question, ("car-1", "car-2"))), return_exceptions=True)
    assert all(isinstance(answer, CoreError) for answer in answers)


async def test_agent_that_is_not_deciding_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a deciding agent"):
        await Desk(Counting(), []).ask(question("car-1"))


async def test_agent_that_stands_aside_is_not_waited_for() -> None:
    core = Counting()
    desk = Desk(core, ["car-1", "car-2"])
    told = asyncio.Event()

    async def first() -> None:
        await desk.ask(question("car-1"))
        await desk.ask(question("car-1"))
        told.set()
        desk.leave("car-1")

    async def second() -> None:
        await desk.ask(question("car-2"))
        with desk.aside("car-2"):
            await told.wait()
        await desk.ask(question("car-2"))
        desk.leave("car-2")

    await asyncio.wait_for(asyncio.gather(first(), second()), 1.0)
    assert core.batches == [["car-1", "car-2"], ["car-1"], ["car-2"]]
