from __future__ import annotations

import asyncio
import os
import signal
import socket
import statistics
import time
from collections.abc import AsyncIterator

import aiomqtt
import pytest

from agents.messaging import (
    BrokerAddressError,
    BrokerUnreachableError,
    BusDownError,
    BusTimeoutError,
    EmbeddedBroker,
    Envelope,
    Identity,
    MqttBus,
    encode,
    mqtt,
    propose,
)
from agents.messaging.mqtt import Address, connect, disconnect
from tests.agents.builders import RUN, an_envelope

SESSION = "5e55" * 8
WIRE = f"localist/1/{RUN}/{SESSION}/a"


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
async def bus(broker: EmbeddedBroker) -> AsyncIterator[MqttBus]:
    """A started bus with two agents of ours and one elsewhere, on a known session."""
    async with MqttBus(RUN, url=broker.url, session=SESSION, remotes=("far-1",), deadline_s=2.0) as bus:
        bus.subscribe("car-1")
        bus.subscribe("car-2")
        yield bus


@pytest.fixture
async def stranger(broker: EmbeddedBroker) -> AsyncIterator[aiomqtt.Client]:
    """Somebody else on the same broker, who even knows the session."""
    client = await connect(Address.parse(broker.url))
    yield client
    await disconnect(client)


async def test_broker_killed_before_a_publication_is_down_at_once(bus: MqttBus, broker: EmbeddedBroker) -> None:
    os.kill(broker.pid, signal.SIGKILL)
    await asyncio.sleep(0.1)
    started = time.monotonic()

    with pytest.raises(BusDownError, match=r"^expected a link to the broker at `127.0.0.1:[0-9]+`, got none any more$"):
        await bus.publish(an_envelope("car-1"))
    with pytest.raises(BusDownError):
        await bus.drain(0, {"car-1": 1})

    assert time.monotonic() - started < 1.0


async def test_broker_killed_during_a_publication_does_not_cost_the_deadline(
    bus: MqttBus, broker: EmbeddedBroker
) -> None:
    os.kill(broker.pid, signal.SIGSTOP)
    publication = asyncio.create_task(bus.publish(an_envelope("car-1")))
    await asyncio.sleep(0.1)
    assert not publication.done()
    started = time.monotonic()
    os.kill(broker.pid, signal.SIGKILL)

    with pytest.raises(BusDownError):
        await publication

    assert time.monotonic() - started < 1.0


async def test_broker_killed_during_a_barrier_gives_what_had_arrived(bus: MqttBus, broker: EmbeddedBroker) -> None:
    await bus.publish(an_envelope("car-1"))
    barrier = asyncio.create_task(bus.drain(0, {"car-1": 1, "car-2": 1}))
    await asyncio.sleep(0.1)
    started = time.monotonic()
    os.kill(broker.pid, signal.SIGKILL)

    with pytest.raises(BusDownError) as caught:
        await barrier

    assert time.monotonic() - started < 1.0
    assert caught.value.delivery is not None
    assert [envelope.id for envelope in caught.value.delivery.inboxes["car-2"]] == ["car-1.0.0"]


async def test_messages_that_arrived_before_the_broker_died_are_delivered(bus: MqttBus, broker: EmbeddedBroker) -> None:
    await bus.publish(an_envelope("car-1"))
    await asyncio.sleep(0.1)
    os.kill(broker.pid, signal.SIGKILL)
    await asyncio.sleep(0.1)

    delivery = await bus.drain(0, {"car-1": 1})

    assert len(delivery.inboxes["car-2"]) == 1


async def test_frozen_broker_is_a_timeout_and_no_hang(broker: EmbeddedBroker) -> None:
    async with MqttBus(RUN, url=broker.url, deadline_s=0.3) as bus:
        bus.subscribe("car-1")
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            with pytest.raises(BusTimeoutError, match=r"acknowledge a message within 0.3 s"):
                await bus.publish(an_envelope("car-1"))
            with pytest.raises(BusTimeoutError, match="got all but 1 of `car-1`"):
                await bus.drain(0, {"car-1": 1})
        finally:
            os.kill(broker.pid, signal.SIGCONT)


HOSTILE = [
    b"",
    b"\x00" * 100,
    b"\xff" * 1_000,
    b"[" * 60_000,
    b'{"v":1}',
    b"x" * 300_000,
    encode(an_envelope("car-1"))[:-1],
    encode(an_envelope("far-1", run="f" * 32)),
    encode(an_envelope("stranger")),
    encode(an_envelope("far-1", tick=9)),
]


async def test_run_goes_on_under_hostile_bytes(bus: MqttBus, stranger: aiomqtt.Client) -> None:
    for number in range(60):
        await stranger.publish(f"{WIRE}/car-1/claim", HOSTILE[number % len(HOSTILE)], qos=1)
    await bus.publish(an_envelope("car-1"))
    await asyncio.sleep(0.2)

    delivery = await bus.drain(0, {"car-1": 1})

    assert [envelope.id for envelope in delivery.inboxes["car-2"]] == ["car-1.0.0"]
    assert [(str(refused.reason), refused.src, refused.count) for refused in delivery.refused] == [
        ("malformed", "unknown", 36),
        ("oversized", "unknown", 6),
        ("wrong-run", "far-1", 6),
        ("wrong-topic", "far-1", 6),
        ("wrong-topic", "unknown", 6),
    ]


async def test_message_forged_or_repeated_on_the_wire_is_refused(bus: MqttBus, stranger: aiomqtt.Client) -> None:
    own = an_envelope("car-1")
    await bus.publish(own)
    await stranger.publish(f"{WIRE}/car-1/claim", encode(own), qos=1)
    await stranger.publish(f"{WIRE}/car-2/claim", encode(an_envelope("car-2")), qos=1)
    await asyncio.sleep(0.2)

    delivery = await bus.drain(0, {"car-1": 1})

    assert delivery.inboxes["car-2"] == (own,)
    assert [(str(r.reason), r.src) for r in delivery.refused] == [("duplicate", "car-1"), ("forged", "car-2")]


async def test_equal_runs_on_one_broker_stay_apart(broker: EmbeddedBroker) -> None:
    async with MqttBus(RUN, url=broker.url) as one, MqttBus(RUN, url=broker.url) as other:
        for bus in (one, other):
            bus.subscribe("car-1")
            bus.subscribe("car-2")
            await bus.publish(an_envelope("car-1"))

        deliveries = [await bus.drain(0, {"car-1": 1}) for bus in (one, other)]

    assert [len(delivery.inboxes["car-2"]) for delivery in deliveries] == [1, 1]
    assert [delivery.refused for delivery in deliveries] == [(), ()]


async def test_two_processes_of_one_run_hear_each_other(bus: MqttBus, broker: EmbeddedBroker) -> None:
    async with MqttBus(RUN, url=broker.url, session=SESSION, remotes=("car-1", "car-2")) as far:
        far.subscribe("far-1")
        await bus.publish(an_envelope("car-1"))
        await far.publish(an_envelope("far-1"))

        here = await bus.drain(0, {"car-1": 1, "far-1": 1})
        there = await far.drain(0, {"car-1": 1, "far-1": 1})

    assert [envelope.id for envelope in here.inboxes["car-2"]] == ["car-1.0.0", "far-1.0.0"]
    assert [envelope.id for envelope in there.inboxes["far-1"]] == ["car-1.0.0"]


async def test_round_trip_does_not_wait_for_nagle(bus: MqttBus) -> None:
    taken = []
    for tick in range(20):
        started = time.perf_counter()
        await bus.publish(an_envelope("car-1", tick, tick))
        await bus.drain(tick, {"car-1": 1})
        taken.append(time.perf_counter() - started)

    assert statistics.median(taken) < 0.06  # 0.088 s with Nagle


async def test_client_is_unguessable_and_undelayed(broker: EmbeddedBroker) -> None:
    clients = [await connect(Address.parse(broker.url)) for _ in range(2)]

    assert len({client.identifier for client in clients}) == 2
    for client in clients:
        assert len(client.identifier) >= 32
        wire = client._client.socket()
        assert isinstance(wire, socket.socket)
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await disconnect(client)


async def refused_in_time(url: str) -> str:
    """The error of a bus that cannot start, which must come within three seconds and as one line."""
    started = time.monotonic()
    with pytest.raises(BrokerUnreachableError) as caught:
        await MqttBus(RUN, url=url).start()
    assert time.monotonic() - started < 3.0
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_closed_port_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert await refused_in_time(f"mqtt://anna:geheim@127.0.0.1:{port}") == (
        f"expected an MQTT broker at `127.0.0.1:{port}`, got: connection refused; "
        "start one there, correct --broker, or leave it out"
    )


async def test_unknown_host_is_unreachable() -> None:
    assert "expected an MQTT broker at `broker.invalid:1883`, got: " in await refused_in_time("mqtt://broker.invalid")


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["silent", "another protocol"])
async def test_server_that_is_no_broker_is_unreachable(greeting: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "CONNECT_S", 0.3)

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while await reader.read(1_000):
            pass
        writer.close()
        gone.set()

    gone = asyncio.Event()
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    try:
        await refused_in_time(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await gone.wait()
    finally:
        server.close()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker",
        "broker:1883",
        "http://broker",
        "mqtts://broker",
        "mqtt://",
        "mqtt://broker:0",
        "mqtt://broker:99999",
        "mqtt://broker/topic",
        "mqtt://bro ker",
        "mqtt://anna@broker",
    ],
)
def test_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(BrokerAddressError, match=r"^expected a broker as mqtt://"):
        MqttBus(RUN, url=url)


def test_password_is_shown_nowhere() -> None:
    address = Address.parse("mqtt://anna:geheim@broker:1884")

    assert (address.host, address.port, address.user, address.password) == ("broker", 1884, "anna", "geheim")
    assert "geheim" not in f"{address} {address!r}"
    with pytest.raises(BrokerAddressError) as caught:
        Address.parse("mqtt://anna:geheim@bro ker")
    assert "geheim" not in str(caught.value)


def rules_of(seq: int, tick: int) -> Envelope:
    proposal = propose(
        Identity.of_seed(b"o" * 32),
        run=RUN,
        role="car",
        base="a" * 64,
        activate_at=tick + 1,
        seq=seq,
        signer="far-1",
        rules="{}",
    )
    return an_envelope("far-1", seq=seq, tick=tick, body=proposal)


async def test_rules_reach_whoever_joins_later_and_are_gone_when_their_sender_is(broker: EmbeddedBroker) -> None:
    async with MqttBus(RUN, url=broker.url, session=SESSION, deadline_s=2.0) as sender:
        sender.subscribe("far-1")
        for tick in (0, 1):
            await sender.publish(rules_of(2 * tick, tick))
            await sender.publish(an_envelope("far-1", seq=2 * tick + 1, tick=tick))
            await sender.drain(tick, {"far-1": 2})
        assert sender.standing == (rules_of(2, 1),)
        async with MqttBus(RUN, url=broker.url, session=SESSION, remotes=("far-1",), deadline_s=2.0) as late:
            late.subscribe("car-1")
            async with asyncio.timeout(2):
                while not late.standing:
                    await asyncio.sleep(0.01)
            assert late.standing == (rules_of(2, 1),)
            assert (await late.drain(0, {})).refused == ()
    async with MqttBus(RUN, url=broker.url, session=SESSION, remotes=("far-1",), deadline_s=2.0) as later:
        later.subscribe("car-1")
        await asyncio.sleep(0.2)
        assert later.standing == ()


async def test_retained_messages_that_are_no_rules_of_this_run_are_refused(
    broker: EmbeddedBroker, stranger: aiomqtt.Client
) -> None:
    await stranger.publish(f"{WIRE}/far-1/claim", encode(an_envelope("far-1")), qos=1, retain=True)
    await stranger.publish(f"{WIRE}/far-1/rules", b"{}", qos=1, retain=True)
    async with MqttBus(RUN, url=broker.url, session=SESSION, remotes=("far-1",), deadline_s=2.0) as bus:
        bus.subscribe("car-1")
        await asyncio.sleep(0.3)
        delivery = await bus.drain(0, {})
        assert bus.standing == ()
        assert {refused.reason.value for refused in delivery.refused} == {"malformed", "wrong-topic"}
