"""Messaging and recording together: a small run whose agents only talk, over either bus, with a fault."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from agents.messaging import (
    Bus,
    BusDownError,
    Claim,
    Delivery,
    EmbeddedBroker,
    Envelope,
    LocalBus,
    MqttBus,
    compose,
    encode,
)
from agents.recording import (
    Applied,
    Fault,
    FaultKind,
    MessageReceived,
    MessageSent,
    RunLog,
    Trace,
    audit_run,
    sha256_hex,
)
from agents.recording.log import Chain
from tests.agents.builders import RUN, a_header

AGENTS = ("car-1", "car-2", "car-3")


async def talk(bus: Bus, path: Path, *, ticks: int = 6, meanwhile: Callable[[int], None] = lambda tick: None) -> Path:
    """Every agent goes one step beyond the fastest that it has heard of, says so, and acts on it."""
    inboxes: dict[str, tuple[Envelope, ...]] = dict.fromkeys(AGENTS, ())
    with RunLog.open(path, a_header(agents=AGENTS)) as log:
        for agent in AGENTS:
            bus.subscribe(agent)
        for tick in range(ticks):
            messages = [say(log.chain(agent), tick, inboxes[agent]) for agent in AGENTS]
            meanwhile(tick)
            try:
                await asyncio.gather(*(bus.publish(message) for message in messages))
                delivery: Delivery | None = await bus.drain(tick, dict.fromkeys(AGENTS, 1))
            except BusDownError as error:
                delivery = error.delivery
                log.chain("run").append(tick, Fault(fault=FaultKind.BUS_DOWN, detail="no link to the broker"))
            inboxes = dict(delivery.inboxes) if delivery else dict.fromkeys(AGENTS, ())
            log.flush()
    return path


def say(chain: Chain, tick: int, inbox: tuple[Envelope, ...]) -> Envelope:
    for envelope in inbox:
        chain.observe(envelope.lamport)
        chain.append(
            tick, MessageReceived(id=envelope.id, sha256=envelope.sha256, src=envelope.src, type=envelope.type)
        )
    speed = 1 + max((int(envelope.claim().fields["speed"]) for envelope in inbox), default=int(chain.owner[-1]))
    chain.append(tick, Applied(action="A1", fields={"speed": speed}, decision_seq=None))
    envelope = compose(
        run=RUN,
        src=chain.owner,
        seq=tick,
        tick=tick,
        t_sim=float(tick),
        valid_until=tick + 1.0,
        lamport=chain.lamport + 1,
        prev=chain.head,
        parents=tuple(heard.id for heard in inbox),
        body=Claim(kind="intent", sender=chain.owner, fields={"speed": speed}, tick=tick),
    )
    chain.append(
        tick,
        MessageSent(id=envelope.id, sha256=sha256_hex(encode(envelope)), envelope=envelope.model_dump(mode="json")),
    )
    return envelope


async def test_run_over_a_broker_leaves_the_same_trace_as_a_local_one(tmp_path: Path) -> None:
    async with LocalBus(RUN) as bus:
        local = await talk(bus, tmp_path / "local")
    async with EmbeddedBroker() as broker, MqttBus(RUN, url=broker.url) as bus:
        over_mqtt = await talk(bus, tmp_path / "mqtt")

    assert (over_mqtt / "trace.jsonl").read_bytes() == (local / "trace.jsonl").read_bytes()
    assert audit_run(local).is_intact


async def test_run_goes_on_and_says_so_when_the_broker_is_killed(tmp_path: Path) -> None:
    async with EmbeddedBroker() as broker, MqttBus(RUN, url=broker.url) as bus:

        def kill(tick: int) -> None:
            if tick == 3:
                os.kill(broker.pid, signal.SIGKILL)

        async with asyncio.timeout(10.0):
            await talk(bus, tmp_path, meanwhile=kill)

    trace = Trace.read(tmp_path)
    assert [record.tick for record in trace.faults()] == [3, 4, 5]
    assert [len(step.received) for step in trace.steps("car-1")] == [0, 2, 2, 2, 0, 0]
    assert trace.end is not None
    assert trace.end.status == "complete"
    assert audit_run(tmp_path).is_intact
