"""What a tick costs on every bus, as a ratio to the local one of the same run: `python tests/benchmarks/bench_bus.py`.

A tick: every agent publishes one claim at once, the barrier gives them out. `--url` measures a broker of yours too.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from agents.messaging import Bus, EmbeddedBroker, LocalBus, MqttBus
from tests.agents.builders import RUN, an_envelope

AGENTS = (1, 4, 16)
TICKS = 300


async def measure(bus: Bus, num_agents: int) -> list[float]:
    """Milliseconds of every tick, sorted."""
    names = [f"car-{number}" for number in range(num_agents)]
    taken = []
    async with bus:
        for name in names:
            bus.subscribe(name)
        for tick in range(TICKS):
            messages = [an_envelope(name, tick, tick) for name in names]
            started = time.perf_counter()
            await asyncio.gather(*(bus.publish(message) for message in messages))
            await bus.drain(tick, dict.fromkeys(names, 1))
            taken.append(1e3 * (time.perf_counter() - started))
    return sorted(taken)


async def main(url: str | None) -> None:
    """Write a table of medians, 99th percentiles and ratios."""
    sys.stdout.write(f"{platform.machine()}, Python {platform.python_version()}, {TICKS} ticks\n")
    async with EmbeddedBroker() as broker:
        urls = {"embedded": broker.url} | ({"yours": url} if url else {})
        for num_agents in AGENTS:
            buses: dict[str, Bus] = {"local": LocalBus(RUN)}
            buses |= {name: MqttBus(RUN, url=where) for name, where in urls.items()}
            baseline = 0.0
            for name, bus in buses.items():
                taken = await measure(bus, num_agents)
                median = statistics.median(taken)
                baseline = baseline or median
                sys.stdout.write(
                    f"{num_agents:3} agents  {name:9} median {median:7.2f} ms  p99 {taken[int(0.99 * TICKS)]:7.2f} ms  "
                    f"{median / baseline:5.1f} x local\n"
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="mqtt://host:port of a broker to measure as well")
    asyncio.run(main(parser.parse_args().url))
