"""The figures of one run, counted from its trace; the table and `--json` show this value and nothing else.

`summary.schema.json` beside this file is its JSON Schema, version 1.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict

from agents.recording.events import AttemptRecord, DecisionRecord, Outcome, Rung
from agents.recording.log import SIDE

SCHEMA_VERSION = 1


class Frozen(BaseModel):
    """Settings of every part: immutable, no unknown field, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Violations(Frozen):
    """Rules broken, counted once for each rule and action."""

    proposed: int
    """By first proposals, on the perceived state."""
    executed: int
    """By executed actions, on the perceived state: 0 unless the shield is off."""
    executed_true: int
    """By executed actions, on the true state, as the assessor saw it."""


class Checks(Frozen):
    """Verdicts of the symbolic layer."""

    verdicts: int
    """Actions judged."""
    rules: int
    """Rules checked in them."""
    undecided: int
    """Decisions whose executed action was not decided by the rules."""


class Ladder(Frozen):
    """Which step of the ladder gave the executed action, in decisions."""

    proposed: int
    injected: int
    chosen: int
    repaired: int
    safe_stop: int


class Locality(Frozen):
    """Means over attempts that were traced; None where none was."""

    attempts: int
    dial: float | None
    """Mean dial, in [0, 1]."""
    raw_fidelity: float | None
    """Mean raw pointer fidelity; evidence."""
    steered_fidelity: float | None
    """Mean steered fidelity; true by construction."""
    target_mass: float | None
    """Mean raw mass on the target blocks."""


class KnockOut(Frozen):
    """What cutting the injected rule does to the chosen action."""

    attempts: int
    """Attempts for which it was measured."""
    mean_nats: float | None
    """Mean change of the chosen action's log-probability; negative = the injection made it more probable."""


class Rechecks(Frozen):
    """Run-time verdicts decided again by Z3, off the hot path."""

    verdicts: int | None
    """None where no side file tells."""
    mismatches: int


class Speed(Frozen):
    """Wall times: no part of the trace, from `run.json` beside it."""

    wall_s: float
    decisions_per_s: float
    real_time_factor: float
    """Simulated seconds per wall-clock second."""
    shares: dict[str, float]
    """Part -> share of the wall time, in [0, 1]."""


class CoreOfRun(Frozen):
    """The core that proposed."""

    name: str
    device: str
    dtype: str
    fingerprint: str


class Summary(Frozen):
    """The figures of one run."""

    format: Literal["localist-summary"] = "localist-summary"
    schema_version: Literal[1] = 1
    scenario: str
    seed: int
    run: str
    status: Literal["complete", "interrupted", "unfinished"]
    episodes: int
    agents: int
    ticks: int
    decisions: int
    messages: int
    without: tuple[str, ...]
    bus: str
    safety: dict[str, float | None]
    """Figures of the world's own, such as collisions and the minimum time to collision."""
    progress: dict[str, float | None]
    """Figures of the world's own, such as arrivals and mean speed."""
    violations: Violations
    checks: Checks
    ladder: Ladder
    before_injection: Locality
    after_injection: Locality
    knock_out: KnockOut
    rechecks: Rechecks
    faults: dict[str, int]
    speed: Speed | None
    core: CoreOfRun
    trace: str
    """Path of the merged trace."""


def violations_of(decisions: Iterable[DecisionRecord], outcomes: Iterable[Outcome]) -> Violations:
    """Violations by first proposals, by executed actions as perceived, and by executed actions in truth."""
    decisions = tuple(decisions)
    return Violations(
        proposed=sum(len(d.attempts[0].verdict.violations) for d in decisions if d.attempts),
        executed=sum(len(d.verdict.violations) for d in decisions),
        executed_true=sum(len(outcome.violated) for outcome in outcomes),
    )


def ladder_of(decisions: Iterable[DecisionRecord]) -> Ladder:
    """How many decisions ended on each rung."""
    count = Counter(decision.rung for decision in decisions)
    return Ladder(
        proposed=count[Rung.PROPOSED],
        injected=count[Rung.INJECTED],
        chosen=count[Rung.CHOSEN],
        repaired=count[Rung.REPAIRED],
        safe_stop=count[Rung.SAFE_STOP],
    )


def locality_of(attempts: Iterable[AttemptRecord]) -> Locality:
    """Means of dial, fidelities and target mass."""
    attempts = tuple(attempts)
    masses = [attempt.masses for attempt in attempts if attempt.masses is not None]
    return Locality(
        attempts=len(attempts),
        dial=_mean(attempt.dial.value for attempt in attempts),
        raw_fidelity=_mean(m.raw_fidelity for m in masses),
        steered_fidelity=_mean(m.steered_fidelity for m in masses),
        target_mass=_mean(m.target_mass for m in masses),
    )


def knock_out_of(attempts: Iterable[AttemptRecord]) -> KnockOut:
    """Mean knock-out of the injected blocks."""
    nats = [
        attempt.knock_out_nats[b] for attempt in attempts for b in attempt.injections if b in attempt.knock_out_nats
    ]
    return KnockOut(attempts=len(nats), mean_nats=_mean(nats))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), 6) if known else None


def read_side(run: Path) -> Mapping[str, float]:
    """Wall times and counts beside the trace; empty where the run left none."""
    path = run / SIDE
    if not path.exists():
        return {}
    values: Mapping[str, float] = json.loads(path.read_bytes())
    return values
