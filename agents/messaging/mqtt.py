"""The bus over an MQTT broker: the same mailbox as `LocalBus`, with a wire in front of it.

    async with MqttBus(run, url="mqtt://broker.example:1883") as bus: ...

One connection for all agents of a process, which also hears its own messages back through the broker. At QoS 1 and
with clean sessions: the broker holds no truth. aiomqtt hides three failures, each handled here: a publication in flight
when the link breaks (raced with the disconnection), a publication that the broker refuses silently (the barrier misses
it), dropped messages of a bounded queue (the queue is unbounded; the mailbox behind it is not).
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Collection, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiomqtt

from agents.messaging.bus import DEADLINE_S, arrival, closed, require_next
from agents.messaging.envelope import Envelope, encode
from agents.messaging.errors import (
    BrokerAddressError,
    BrokerUnreachableError,
    BusClosedError,
    BusDownError,
    BusTimeoutError,
)
from agents.messaging.mailbox import Delivery, Mailbox

DEFAULT_PORT = 1883
CONNECT_S = 2.5
"""How long connecting may take in all, in seconds."""
KEEPALIVE_S = 60
"""Longer than any batch of decisions blocks the loop; silence is noticed by the barrier long before."""
QOS = 1

_URL = re.compile(
    r"mqtt://(?:(?P<user>[^:@/\s]+):(?P<password>[^@/\s]+)@)?(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?/?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a broker is; its text shows no password."""

    host: str
    port: int = DEFAULT_PORT
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """The address in `mqtt://[user:password@]host[:port]`.

        Raises:
            BrokerAddressError: anything else; TLS (`mqtts://`) is not spoken yet.
        """
        match = _URL.fullmatch(url)
        port = int(match["port"] or DEFAULT_PORT) if match else 0
        if match is None or not 0 < port < 65_536:
            shown = re.sub(r"//[^@]*@", "//...@", url)
            raise BrokerAddressError(f"expected a broker as mqtt://[user:password@]host[:port], got `{shown}`")
        return cls(host=match["host"].strip("[]"), port=port, user=match["user"], password=match["password"])

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class MqttBus:
    """The bus over a broker. Nothing reconnects: a lost link is `BusDownError` once and for all."""

    def __init__(
        self,
        run: str,
        *,
        url: str,
        session: str | None = None,
        remotes: Collection[str] = (),
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Prepare a bus; `start` connects it.

        Args:
            run: identity of the run.
            url: the broker, `mqtt://[user:password@]host[:port]`.
            session: a secret word in every topic, so that equal runs on one broker stay apart; random where None.
                Processes that share a run share it.
            remotes: agents of other processes that may be heard.
            deadline_s: how long a barrier or a publication waits, in seconds.

        Raises:
            BrokerAddressError: the address is none.
        """
        self._address = Address.parse(url)
        self._run = run
        self._wire_prefix = f"localist/1/{run}/{session or secrets.token_hex(16)}/"
        self._prefix = f"localist/1/{run}/"
        self._mailbox = Mailbox(run, remotes=remotes)
        self._deadline_s = deadline_s
        self._changed = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self._reader: asyncio.Task[None] | None = None
        self._kept: set[str] = set()
        """Topics that the broker retains something of ours under."""

    async def start(self) -> None:
        client = await connect(self._address)
        try:
            await _subscribe(client, self._wire_prefix + "a/+/+", self._address)
        except BaseException:
            await disconnect(client)
            raise
        self._client = client
        self._reader = asyncio.create_task(self._read(client), name="mqtt-bus-reader")

    async def stop(self) -> None:
        client, reader = self._client, self._reader
        self._client = self._reader = None
        if client is None or reader is None:
            return
        reader.cancel()
        await asyncio.wait({reader})
        with suppress(aiomqtt.MqttError):  # a broker that is gone keeps nothing for us
            for topic in sorted(self._kept):
                await client.publish(topic, b"", qos=QOS, retain=True, timeout=self._deadline_s)
        self._kept.clear()
        await disconnect(client)
        if not reader.cancelled() and reader.exception() is not None:
            raise BusDownError("expected to read from the broker, got an error of our own") from reader.exception()

    def subscribe(self, agent: str, *, hears: Collection[str] | None = None) -> None:
        self._mailbox.subscribe(agent, hears)

    async def publish(self, envelope: Envelope) -> None:
        client, reader = self._link()
        data = encode(envelope)
        self._mailbox.post(envelope, data)
        wire_topic = self._wire_prefix + envelope.topic.removeprefix(self._prefix)
        # Rules are retained by the broker, so that whoever joins later hears of them; `stop` takes them back.
        is_kept = envelope.type == "rules"
        if is_kept:
            self._kept.add(wire_topic)
        await self._race(client.publish(wire_topic, data, qos=QOS, retain=is_kept, timeout=self._deadline_s), reader)

    async def drain(self, tick: int, expected: Mapping[str, int]) -> Delivery:
        _, reader = self._link(may_be_down=True)
        require_next(self._mailbox, tick)
        await arrival(self._mailbox, self._changed, tick, expected, deadline_s=self._deadline_s, is_over=reader.done)
        try:
            return closed(self._mailbox, tick, expected, deadline_s=self._deadline_s)
        except BusTimeoutError as error:
            if reader.done():
                raise self._down(error.delivery) from error
            raise

    @property
    def standing(self) -> tuple[Envelope, ...]:
        return self._mailbox.standing

    async def _read(self, client: aiomqtt.Client) -> None:
        """Let arriving messages in until the link is gone."""
        try:
            async for message in client.messages:
                payload = message.payload
                topic = message.topic.value.replace(self._wire_prefix, self._prefix, 1)
                data = bytes(payload) if isinstance(payload, bytes | bytearray) else b""
                if message.retain:
                    self._mailbox.stand(topic, data)
                elif data or not topic.endswith("/rules"):  # an empty one takes retained rules back
                    self._mailbox.admit(topic, data)
                self._changed.set()
        except aiomqtt.MqttError:
            return  # the end of this task is what "down" means
        finally:
            # A waiting barrier looks again once this task is done.
            asyncio.get_running_loop().call_soon(self._changed.set)

    async def _race(self, publication: Coroutine[None, None, None], reader: asyncio.Task[None]) -> None:
        """Wait for a publication, but never past the loss of the link."""
        task = asyncio.ensure_future(publication)
        try:
            await asyncio.wait({task, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_done = task.done()
            if not is_done:
                task.cancel()
                await asyncio.wait({task})
        if not is_done:
            raise self._down()
        if isinstance(task.exception(), aiomqtt.MqttError):
            await asyncio.sleep(0)  # the reader learns of a broken link one turn later
            if reader.done() or isinstance(task.exception(), aiomqtt.MqttCodeError):
                raise self._down() from task.exception()
            raise BusTimeoutError(
                f"expected the broker to acknowledge a message within {self._deadline_s:g} s, got nothing"
            ) from task.exception()
        task.result()

    def _link(self, *, may_be_down: bool = False) -> tuple[aiomqtt.Client, asyncio.Task[None]]:
        if self._client is None or self._reader is None:
            raise BusClosedError("expected a started bus, got a closed one; use it inside `async with`")
        if self._reader.done() and not may_be_down:
            raise self._down()
        return self._client, self._reader

    def _down(self, delivery: Delivery | None = None) -> BusDownError:
        return BusDownError(f"expected a link to the broker at `{self._address}`, got none any more", delivery)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def connect(address: Address) -> aiomqtt.Client:
    """A connected client with a random identifier and without Nagle's delay; give it to `disconnect` in the end.

    Raises:
        BrokerUnreachableError: nobody answers there as a broker within `CONNECT_S`, or it turns us away.
    """
    client = aiomqtt.Client(
        address.host,
        address.port,
        username=address.user,
        password=address.password,
        identifier=f"localist-{secrets.token_hex(16)}",
        protocol=aiomqtt.ProtocolVersion.V311,  # the embedded broker speaks no other
        timeout=CONNECT_S,
        keepalive=KEEPALIVE_S,
        # Without TCP_NODELAY a QoS 1 round trip takes 88 ms instead of under 1 ms.
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )
    client.pending_calls_threshold = 100_000  # a whole tick is published at once, which is no reason to warn
    try:
        async with asyncio.timeout(CONNECT_S):
            await _knock(address)
            await client.__aenter__()
    except (OSError, aiomqtt.MqttError) as error:  # TimeoutError is an OSError
        await _abandon(client)
        raise _unreachable(address, error) from error
    except BaseException:
        await _abandon(client)
        raise
    return client


async def disconnect(client: aiomqtt.Client) -> None:
    """Part from the broker, whatever state the link is in."""
    with suppress(aiomqtt.MqttError):
        await client.__aexit__(None, None, None)
    await _abandon(client)


async def _knock(address: Address) -> None:
    """Open and close a connection: unlike paho's own, this attempt can be cancelled at the deadline."""
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _abandon(client: aiomqtt.Client) -> None:
    """Close what a client that failed half-way leaves open; aiomqtt has no public call for that."""
    client._client.disconnect()
    client._client._sock_close()
    await asyncio.sleep(0)  # its housekeeping task is cancelled in the next turn


async def _subscribe(client: aiomqtt.Client, pattern: str, address: Address) -> None:
    try:
        granted = await client.subscribe(pattern, qos=QOS, timeout=CONNECT_S)
    except aiomqtt.MqttError as error:
        raise _unreachable(address, error) from error
    if any((code if isinstance(code, int) else code.value) > QOS for code in granted):
        raise BrokerUnreachableError(
            f"expected the broker at `{address}` to let us read and write under localist/1/, got a refusal; "
            "allow it in the broker's access list"
        )


def _unreachable(address: Address, error: Exception) -> BrokerUnreachableError:
    reason = "no answer in time" if isinstance(error, TimeoutError) else _reason(error)
    return BrokerUnreachableError(
        f"expected an MQTT broker at `{address}`, got: {reason}; start one there, correct --broker, or leave it out"
    )


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.errno is not None:
        text = os.strerror(error.errno) if error.errno > 0 else error.strerror or text  # names are looked up below 0
    return text.partition("\n")[0].lower()
