"""Runs a recorded run again, its answers taken from the record: bit-equal, or where it first differs."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from agents.recording.errors import ReplayError, TraceError
from agents.recording.events import End
from agents.recording.replay import Divergence, first_divergence
from agents.recording.trace import Trace
from scenarios.config import BusConfig, RunConfig
from scenarios.recorded import RecordedCore
from scenarios.reloading import recorded_proposals
from scenarios.run import run


def replay(path: Path) -> str | None:
    """Where a replay leaves the record, in one line; None if every record is equal, hash by hash.

    World, rules and agents run as they are now; messages go over the local bus, whatever they went over then.

    Raises:
        TraceError: no whole run there.
        ScenarioError: its scenario cannot be found any more.
    """
    recorded = Trace.read(path)
    if not isinstance(recorded.end, End) or recorded.end.status != "complete":
        raise TraceError(f"expected a complete run in `{path}`, got one that was cut short; replay a whole one")
    settings = RunConfig.from_json(recorded.header.config)
    config = replace(settings, bus=BusConfig())
    core = RecordedCore(recorded)
    with tempfile.TemporaryDirectory(prefix="localist-replay-") as folder:
        try:
            again = run(
                config, out=Path(folder) / "run", core=core, header=recorded.header, source=recorded_proposals(recorded)
            )
        except ReplayError as error:
            return str(error)
        divergence = first_divergence(recorded, Trace.read(again))
    return None if divergence is None else text_of(divergence)


def text_of(divergence: Divergence) -> str:
    """A divergence in one line."""
    record = divergence.recorded or divergence.replayed
    assert record is not None
    kinds = [one.event.kind if one else "nothing" for one in (divergence.recorded, divergence.replayed)]
    place = f"record {divergence.index}, `{record.agent}` in tick {record.tick}"
    return f"{place}: recorded {kinds[0]}, replayed {kinds[1]}" + (", of other content" if kinds[0] == kinds[1] else "")
