"""Commitments of one tick: who waits for whom, and what is known when the turn comes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from agents.deciding.committing import Commits
from agents.recording import Applied, Chain, Record
from symbolic import UNKNOWN, Action, Commitment, Facts, Joint, JointRules, RuleSet, State, absolute, whole


class Cell(State):
    x: int = whole(ge=0, le=9)


class Move(Action):
    to: Literal["stay", "go"]


RULES = RuleSet(Cell, Move)
RULES.forbid(id="edge")(lambda s, a: (s.x == 9) & (a.to == "go"))
NEAR = JointRules(Cell, Move)
NEAR.in_range(lambda i, j: absolute(i.x - j.x) <= 1)
NEAR.forbid(id="both", is_symmetric=True)(lambda i, a, j, b: (a.to == "go") & (b.to == "go"))


def known(name: str, x: int) -> Commitment:
    return Commitment(name=name, rules=RULES, facts=Facts.exact(Cell(x=x)), action=None)


class Tick:
    """Agents `a`, `b`, ... at cells of a line."""

    def __init__(self, *cells: int, silent: str = "", ranks: dict[str, int] | None = None) -> None:
        self.seen = {name: known(name, x) for name, x in zip("abcd", cells, strict=False)}
        self.waiting: list[str] = []
        self.commits = Commits(
            Joint(NEAR), self.seen, dict.fromkeys(self.seen, 0) | (ranks or {}), silent=silent, aside=self.aside
        )

    @contextmanager
    def aside(self, agent: str) -> Iterator[None]:
        self.waiting.append(agent)
        yield
        self.waiting.remove(agent)

    async def act(self, name: str, to: Literal["stay", "go"]) -> dict[str, object]:
        facts = self.seen[name].facts
        assert facts is not None
        held = await self.commits.turn(name, facts)
        self.commits.commit(name, Move(to=to), record(name))
        told = {peer: held.bound.facts.value(f"peer_{n}_to") for n, peer in enumerate(held.bound.peers, start=1)}
        assert [peer.agent for peer in held.peers] == list(held.bound.peers)
        return told


def record(name: str) -> Record:
    return Chain(name).append(0, Applied(action="A1", fields={}, decision_seq=None))


async def test_turn_comes_when_the_peers_before_have_committed_whatever_the_order_of_tasks() -> None:
    tick = Tick(3, 4, 5)
    last, middle, first = await asyncio.gather(tick.act("c", "stay"), tick.act("b", "stay"), tick.act("a", "go"))
    assert (first, middle, last) == ({}, {"a": "go"}, {"b": "stay"})
    assert tick.waiting == []


async def test_turn_of_a_higher_rank_comes_first() -> None:
    tick = Tick(3, 4, ranks={"b": 1})
    first, second = await asyncio.gather(tick.act("a", "stay"), tick.act("b", "go"))
    assert (first, second) == ({"b": "go"}, {})


async def test_turn_of_agents_out_of_range_waits_for_nobody() -> None:
    tick = Tick(0, 5)
    assert await asyncio.wait_for(tick.act("b", "go"), 1.0) == {}


async def test_turn_waits_while_a_peer_before_is_still_deciding() -> None:
    tick = Tick(3, 4)
    task = asyncio.create_task(tick.act("b", "go"))
    await asyncio.sleep(0)
    assert tick.waiting == ["b"]
    assert not task.done()
    await tick.act("a", "stay")
    assert await task == {"a": "stay"}


async def test_peer_that_gives_up_without_a_word_is_unknown() -> None:
    tick = Tick(3, 4)
    tick.commits.close("a")
    assert await tick.act("b", "stay") == {"a": UNKNOWN}


async def test_silent_peer_binds_all_others_and_is_bound_by_none() -> None:
    tick = Tick(3, 9, silent="b")
    assert await tick.act("b", "stay") == {}
    assert await tick.act("a", "stay") == {"b": UNKNOWN}
