"""The child process of `EmbeddedBroker`: an amqtt broker on a free loopback port. Started by broker.py, never imported.

Protocol: reads the password from the first line of its input, writes its port as the first line of its output, and ends
as soon as its input ends, which happens at the latest when its parent dies, however it dies.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import sys

from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

HOST = "127.0.0.1"
USER = "localist"


class TokenPlugin(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is untyped here
    """Lets in who knows this run's random password."""

    password = ""

    async def authenticate(self, *, session: Session) -> bool:
        given = f"{session.username}:{session.password}".encode()
        return hmac.compare_digest(given, f"{USER}:{self.password}".encode())


async def serve(password: str) -> None:
    """Serve until the input ends."""
    TokenPlugin.password = password
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:0"}},
            "plugins": {f"{__name__}.TokenPlugin": {}},
        }
    )
    await broker.start()
    try:
        sys.stdout.write(f"{bound_port(broker)}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    finally:
        await broker.shutdown()


def bound_port(broker: Broker) -> int:
    """The port behind port 0, which amqtt tells only by a private attribute."""
    return int(broker._servers["default"].instance.sockets[0].getsockname()[1])


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(serve(sys.stdin.readline().strip()))
