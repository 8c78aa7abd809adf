from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agents.messaging import BrokerError, BrokerFailedError, BrokerUnreachableError, EmbeddedBroker, MqttBus, broker
from tests.agents.builders import RUN


def is_alive(pid: int) -> bool:
    """Whether a process runs, zombies excepted."""
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(status.stdout.strip()) and not status.stdout.startswith("Z")


async def test_broker_starts_on_loopback_and_is_gone_afterwards() -> None:
    async with EmbeddedBroker() as embedded:
        pid, url = embedded.pid, embedded.url
        async with MqttBus(RUN, url=url):
            assert "@127.0.0.1:" in url

    assert not is_alive(pid)
    with pytest.raises(BrokerError, match="expected a started broker"):
        _ = embedded.url


async def test_broker_of_ours_asks_for_its_password() -> None:
    async with EmbeddedBroker() as embedded:
        port = embedded.url.rpartition(":")[2]
        for url in (f"mqtt://127.0.0.1:{port}", f"mqtt://localist:wrong@127.0.0.1:{port}"):
            with pytest.raises(BrokerUnreachableError, match=r"^expected an MQTT broker at `127.0.0.1:"):
                await MqttBus(RUN, url=url).start()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_broker_dies_with_its_parent(end: signal.Signals) -> None:
    script = (
        "import asyncio, sys\n"
        "from agents.messaging import EmbeddedBroker\n"
        "async def main():\n"
        "    async with EmbeddedBroker() as broker:\n"
        "        sys.stdout.write(f'{broker.pid}\\n'); sys.stdout.flush()\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        os.kill(parent.pid, end)

    deadline = time.monotonic() + 5.0
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


async def test_frozen_broker_is_ended_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "STOP_S", 0.2)
    embedded = EmbeddedBroker()
    await embedded.start()
    pid = embedded.pid
    os.kill(pid, signal.SIGSTOP)

    async with asyncio.timeout(3.0):
        await embedded.stop()
        await embedded.stop()

    assert not is_alive(pid)


async def test_broker_that_cannot_start_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit(1)")
    monkeypatch.setattr(broker, "CHILD", tmp_path / "broken.py")

    with pytest.raises(BrokerFailedError, match=r"^expected the embedded broker to name its port[^\n]*$"):
        await EmbeddedBroker().start()
