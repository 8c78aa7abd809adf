"""Decisions per second of 1, 8 and 64 agents, and where the time goes: python -m tests.benchmarks.bench_decisions.

Every decision is proposed by the core, checked, injected and asked again where it fails, published, recorded, and
decided again by Z3. Ratios are to one agent of the same run; medians over the repeats.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from localist_core import Core
from scenarios.config import CoreConfig, RunConfig
from scenarios.run import load_core, run
from tests.benchmarks.fleet import TICKS

FLEETS = (1, 8, 64)
PARTS = ("core", "rules and prompts", "bus", "log")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    core = load_core(CoreConfig(model=arguments.model))
    out = Console(file=sys.stdout, width=120)
    table = Table(title=f"{core.capabilities.name} on {core.capabilities.device}, {platform.machine()}, one thread")
    for column in ("agents", "decisions/s", "to 1 agent", *(f"{part} %" for part in PARTS)):
        table.add_column(column, justify="right")
    base = 0.0
    for cars in FLEETS:
        sides = [measure(cars, seed, core) for seed in range(arguments.repeats)]
        rate = statistics.median(cars * TICKS / side["wall_s"] for side in sides)
        base = base or rate
        shares = [statistics.median(100 * s["spent_s"].get(part, 0.0) / s["wall_s"] for s in sides) for part in PARTS]
        table.add_row(str(cars), f"{rate:.0f}", f"{rate / base:.2f}", *(f"{share:.1f}" for share in shares))
    out.print(table)


def measure(cars: int, seed: int, core: Core) -> dict[str, Any]:
    """The side file of one run."""
    reference = f"{Path(__file__).parent / 'fleet.py'}:fleet_{cars}"
    with tempfile.TemporaryDirectory() as folder:
        path = run(RunConfig(scenario=reference, seed=seed), out=Path(folder) / "run", core=core)
        return cast(dict[str, Any], json.loads((path / "run.json").read_text()))


if __name__ == "__main__":
    main()
