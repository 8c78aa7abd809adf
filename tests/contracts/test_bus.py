"""What every transport promises, run over all of them: the local bus, MQTT over our own broker, MQTT over Mosquitto."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents.messaging import (
    Anchor,
    Bus,
    BusClosedError,
    BusError,
    BusTimeoutError,
    Claim,
    Delivery,
    EmbeddedBroker,
    Envelope,
    EnvelopeError,
    LocalBus,
    MqttBus,
)
from tests.agents.builders import RUN, an_envelope

MakeBus = Callable[..., Bus]
AGENTS = ("car-1", "car-2", "car-3")


@contextmanager
def embedded() -> Iterator[str]:
    """Our own broker, on a loop of its own."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        broker = EmbeddedBroker()
        runner.run(broker.start())
        try:
            yield broker.url
        finally:
            runner.run(broker.stop())


@contextmanager
def mosquitto(folder: Path) -> Iterator[str]:
    """A Mosquitto process on a free loopback port; skips the test where there is no binary."""
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        pytest.skip("no mosquitto binary; on Debian: apt-get install mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n")
    with subprocess.Popen([binary, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"mqtt://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            probe.settimeout(0.1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("mosquitto did not start")


@pytest.fixture(scope="module", params=["local", "embedded", "mosquitto"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBus]:
    """A maker of buses that are not started yet; one broker serves them all, each on its own secret topics."""
    match request.param:
        case "local":
            yield lambda run=RUN, **options: LocalBus(run, **options)
        case "embedded":
            with embedded() as url:
                yield lambda run=RUN, **options: MqttBus(run, url=url, **options)
        case _:
            with mosquitto(tmp_path_factory.mktemp("mosquitto")) as url:
                yield lambda run=RUN, **options: MqttBus(run, url=url, **options)


@pytest.fixture
async def bus(make: MakeBus) -> AsyncIterator[Bus]:
    """A started bus with three agents."""
    async with make(deadline_s=3.0) as bus:
        for agent in AGENTS:
            bus.subscribe(agent)
        yield bus


def ids(delivery: Delivery, agent: str) -> list[str]:
    return [envelope.id for envelope in delivery.inboxes[agent]]


async def publish_all(bus: Bus, *envelopes: Envelope) -> None:
    await asyncio.gather(*(bus.publish(envelope) for envelope in envelopes))


async def test_message_reaches_every_other_agent(bus: Bus) -> None:
    message = an_envelope("car-1")

    await bus.publish(message)
    delivery = await bus.drain(0, {"car-1": 1})

    assert delivery == Delivery(tick=0, inboxes={"car-1": (), "car-2": (message,), "car-3": (message,)}, refused=())


async def test_messages_come_in_order_of_sender_and_number(bus: Bus) -> None:
    await publish_all(bus, *(an_envelope(src, seq) for seq in (1, 0) for src in reversed(AGENTS)))

    delivery = await bus.drain(0, dict.fromkeys(AGENTS, 2))

    assert ids(delivery, "car-2") == ["car-1.0.0", "car-1.0.1", "car-3.0.0", "car-3.0.1"]


async def test_agent_hears_whom_it_wants_to_hear(make: MakeBus) -> None:
    async with make() as bus:
        bus.subscribe("car-1", hears=())
        bus.subscribe("car-2", hears=("car-3",))
        bus.subscribe("car-3")
        await publish_all(bus, *map(an_envelope, AGENTS))

        delivery = await bus.drain(0, dict.fromkeys(AGENTS, 1))

    assert [ids(delivery, agent) for agent in AGENTS] == [[], ["car-3.0.0"], ["car-1.0.0", "car-2.0.0"]]


async def test_typed_values_arrive_as_they_were_sent(bus: Bus) -> None:
    fields = {"speed": 1.0, "lane": 1, "is_waiting": True, "manoeuvre": "go", "gap_m": 0.1 + 0.2}
    claim = Claim(kind="intent", sender="car-1", fields=fields, tick=0)

    await bus.publish(an_envelope("car-1", body=claim))
    received = (await bus.drain(0, {"car-1": 1})).inboxes["car-2"][0].claim()

    assert received == claim
    assert {name: type(value) for name, value in received.fields.items()} == {
        name: type(value) for name, value in fields.items()
    }


async def test_note_arrives_as_a_note(bus: Bus) -> None:
    await bus.publish(an_envelope("car-1", body="ich warte hier, später mehr \U0001f697"))

    (note,) = (await bus.drain(0, {"car-1": 1})).inboxes["car-2"]

    assert (note.type, note.body) == ("note", {"text": "ich warte hier, später mehr \U0001f697"})


async def test_barrier_waits_for_a_slow_publisher(bus: Bus) -> None:
    async def later() -> None:
        await asyncio.sleep(0.05)
        await bus.publish(an_envelope("car-1"))

    publication = asyncio.create_task(later())
    delivery = await bus.drain(0, {"car-1": 1})
    await publication

    assert ids(delivery, "car-2") == ["car-1.0.0"]


async def test_missing_message_is_an_error_that_holds_what_arrived(make: MakeBus) -> None:
    async with make(deadline_s=0.3) as bus:
        for agent in AGENTS:
            bus.subscribe(agent)
        await bus.publish(an_envelope("car-1"))

        with pytest.raises(BusTimeoutError, match="got all but 1 of `car-2`, 2 of `car-3`") as caught:
            await bus.drain(0, {"car-1": 1, "car-2": 1, "car-3": 2})

        assert caught.value.delivery is not None
        assert ids(caught.value.delivery, "car-2") == ["car-1.0.0"]
        await bus.publish(an_envelope("car-1", 1, 1))
        assert ids(await bus.drain(1, {"car-1": 1}), "car-2") == ["car-1.0.1"]


async def test_message_that_was_not_announced_is_refused(bus: Bus) -> None:
    await publish_all(bus, *(an_envelope("car-1", seq) for seq in range(3)))
    await bus.publish(an_envelope("car-2"))
    await asyncio.sleep(0.2)  # so that all have arrived, over a broker too

    delivery = await bus.drain(0, {"car-1": 1})

    assert ids(delivery, "car-3") == ["car-1.0.0"]
    assert [(str(refused.reason), refused.src, refused.count) for refused in delivery.refused] == [
        ("unexpected", "car-1", 2),
        ("unexpected", "car-2", 1),
    ]


REFUSED_BY_PUBLISH = {
    "sender without inbox": (an_envelope("car-9"), "subscribed sender, got `car-9`"),
    "another run": (an_envelope("car-1", run="f" * 32), "got one of ffffffff"),
    "a tick far ahead": (an_envelope("car-1", tick=7), "expected a message of tick 0, got one of 7"),
    "too large": (
        an_envelope(
            "car-1",
            body="\U0001f697" * 2_000,
            anchors=(Anchor(owner="car-1", kind="decision", seq=1, sha256="0" * 64),) * 256,
            parents=(f"{'a' * 32}.1.{2**30}",) * 256,
        ),
        "expected at most 65536 bytes",
    ),
}


@pytest.mark.parametrize("case", REFUSED_BY_PUBLISH)
async def test_publish_refuses(bus: Bus, case: str) -> None:
    message, complaint = REFUSED_BY_PUBLISH[case]

    with pytest.raises(EnvelopeError, match=complaint):
        await bus.publish(message)

    assert await bus.drain(0, {}) == Delivery(tick=0, inboxes=dict.fromkeys(AGENTS, ()), refused=())


async def test_publish_refuses_an_id_used_before(bus: Bus) -> None:
    await bus.publish(an_envelope("car-1"))

    with pytest.raises(EnvelopeError, match=r"expected a new message id, got `car-1.0.0` again"):
        await bus.publish(an_envelope("car-1"))

    await bus.drain(0, {"car-1": 1})
    with pytest.raises(EnvelopeError, match="again"):
        await bus.publish(an_envelope("car-1", tick=1))


async def test_ticks_are_drained_in_turn(bus: Bus) -> None:
    await bus.drain(0, {})

    with pytest.raises(BusError, match="expected the barrier of tick 1, got 0"):
        await bus.drain(0, {})


async def test_closed_bus_says_so(make: MakeBus) -> None:
    bus = make()
    bus.subscribe("car-1")
    for _ in range(2):
        with pytest.raises(BusClosedError, match="use it inside `async with`"):
            await bus.publish(an_envelope("car-1"))
        with pytest.raises(BusClosedError):
            await bus.drain(0, {})
        await bus.start()
        await bus.stop()
        await bus.stop()


async def conversation(bus: Bus, seed: int) -> list[Delivery]:
    """Twenty ticks in which every agent says one or two things, published in an order of the seed's."""
    source, counts = random.Random(seed), dict.fromkeys(AGENTS, 0)
    deliveries = []
    for tick in range(20):
        said = {agent: 1 + (tick + number) % 2 for number, agent in enumerate(AGENTS)}
        messages = []
        for agent, count in said.items():
            for _ in range(count):
                messages.append(an_envelope(agent, counts[agent], tick))
                counts[agent] += 1
        source.shuffle(messages)
        await publish_all(bus, *messages)
        deliveries.append(await bus.drain(tick, said))
    return deliveries


async def test_every_transport_gives_the_same_deliveries_in_any_order_of_publication(bus: Bus) -> None:
    async with LocalBus(RUN) as reference:
        for agent in AGENTS:
            reference.subscribe(agent)
        expected = await conversation(reference, seed=0)

    assert await conversation(bus, seed=1) == expected
