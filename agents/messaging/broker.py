"""An MQTT broker of our own for one run on one machine, in its own process so that deciding never stalls it.

    async with EmbeddedBroker() as broker, MqttBus(run, url=broker.url) as bus: ...

It binds a free port of 127.0.0.1, asks for a random password, keeps nothing, and dies with its parent. For development:
it holds no truth, and its library neither limits what a client may send nor speaks TLS as one would want (README).
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from agents.messaging.errors import BrokerError, BrokerFailedError

START_S = 10.0
"""How long the process may take to name its port, in seconds; usually half a second."""
STOP_S = 2.0
"""How long it may take to end by itself, in seconds."""
USER = "localist"
CHILD = Path(__file__).with_name("broker_process.py")


class EmbeddedBroker:
    """A broker process; an asynchronous context manager that starts and stops it."""

    def __init__(self) -> None:
        self._password = secrets.token_hex(32)
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where to connect, with the password.

        Raises:
            BrokerError: the broker is not running.
        """
        if self._process is None:
            raise BrokerError("expected a started broker, got a stopped one; use it inside `async with`")
        return f"mqtt://{USER}:{self._password}@127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Process id.

        Raises:
            BrokerError: the broker is not running.
        """
        if self._process is None:
            raise BrokerError("expected a started broker, got a stopped one; use it inside `async with`")
        return self._process.pid

    async def start(self) -> None:
        """Start the process and wait for its port.

        Raises:
            BrokerFailedError: it ended or named no port in time.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-W",
            "ignore",
            str(CHILD),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us alone: the broker outlives the last messages
        )
        try:
            self._port = await self._handshake(self._process)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the process: by ending its input, then by force. A second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
        finally:
            await process.communicate()  # reads the pipes to their ends, so that they close

    async def _handshake(self, process: asyncio.subprocess.Process) -> int:
        """Hand over the password and read the port."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                process.stdin.write(f"{self._password}\n".encode())
                await process.stdin.drain()
                return int(await process.stdout.readline())
        except (TimeoutError, ValueError, ConnectionError) as error:
            raise BrokerFailedError(
                f"expected the embedded broker to name its port within {START_S:g} s, got nothing; "
                "use --bus local or name a broker with --broker"
            ) from error

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
