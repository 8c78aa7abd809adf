"""A short corridor run by a scripted core and what its trace comes to. README.md tells how to renew it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from pathlib import Path

from pydantic import JsonValue

from agents.recording import RUN_OWNER, DecisionRecord, Trace
from localist_core import Request, ScriptedCore
from scenarios.config import RunConfig
from scenarios.run import run
from tests.scenarios.policies import contrite, reckless

GOLDEN = Path(__file__).with_suffix(".json")


def mixed(request: Request) -> str:
    """Three carts take a rule to heart once it is injected, the second never does, so that it is overruled."""
    return reckless(request) if request.agent == "cart-2" else contrite(request)


def figures(folder: Path) -> dict[str, JsonValue]:
    """The hash of the trace and a few counts, which tell what has changed where the hash differs.

    The chain of `run` is left out: its header names the versions of installed packages.
    """
    config = RunConfig(scenario="corridor", seed=3, episodes=3)
    path = run(config, out=folder / "run", core=ScriptedCore(mixed, name="mixed"))
    trace = Trace.read(path)
    kept = [record for record in trace.records if record.agent != RUN_OWNER]
    lines = (path / "trace.jsonl").read_bytes().splitlines(keepends=True)
    own = [line for line, record in zip(lines, trace.records, strict=True) if record.agent != RUN_OWNER]
    decisions = [record.event for record in kept if isinstance(record.event, DecisionRecord)]
    return {
        "actions": dict(sorted(Counter(f"{one.rung.value} {one.action}" for one in decisions).items())),
        "records": dict(sorted(Counter(record.event.kind for record in kept).items())),
        "run": trace.header.run,
        "sha256": hashlib.sha256(b"".join(own)).hexdigest(),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(json.dumps(figures(Path(folder)), indent=2) + "\n")
