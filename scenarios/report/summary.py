"""The figures of one run, counted from its trace; the table and `--json` show this value and nothing else.

`summary.schema.json` beside this file is its JSON Schema, version 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict

from agents.recording.events import (
    RUN_OWNER,
    TOGETHER,
    WORLD_OWNER,
    AttemptRecord,
    DecisionRecord,
    Fault,
    FaultKind,
    MessageSent,
    Outcome,
    RulesChanged,
    Rung,
    VerdictRecord,
)
from agents.recording.log import SIDE
from agents.recording.merge import TRACE
from agents.recording.trace import Trace
from scenarios.config import RunConfig

SCHEMA_VERSION = 1


class Frozen(BaseModel):
    """Settings of every part: immutable, no unknown field, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Safety(Frozen):
    """What the assessor saw, over all episodes."""

    collisions: int
    """Contacts with a body of ours."""
    caused: int
    """Those of them that our agents caused (`scenarios/metrics.py` says when)."""
    near_misses: int
    min_ttc_s: float | None
    """Smallest time to collision; None where nothing came closer."""


class Progress(Frozen):
    """How far the agents got, over all episodes."""

    arrivals: int
    could_arrive: int
    """Agents times episodes."""
    mean_speed_mps: float | None
    simulated_s: float


class Violations(Frozen):
    """Rules broken, counted once for each rule and action."""

    proposed: int
    """By first proposals, on the perceived state."""
    executed: int
    """By executed actions, on the perceived state: 0 unless the shield is off."""
    executed_true: int
    """By executed actions, on the true state, as the assessor saw it."""
    together_true: int | None = None
    """Those of them that are joint rules; None where the scenario has none."""


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
    witness: int = 0
    conceded: int = 0
    """Executed though rules were broken, because no action complied and the role allows that."""
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
    """Rules of verdicts that Z3 contradicted."""
    inconclusive: int | None = None
    """Verdicts that Z3 neither confirmed nor contradicted; None where no side file tells."""


class RuleChange(Frozen):
    """Other rules of a role in the middle of the run."""

    tick: int
    """First tick that they decide."""
    role: str
    previous_sha256: str
    ruleset_sha256: str
    relation: str
    """How they stand to the rules before, in what they allow."""


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
    safety: Safety
    progress: Progress
    violations: Violations
    checks: Checks
    ladder: Ladder
    before_injection: Locality
    after_injection: Locality
    knock_out: KnockOut
    rechecks: Rechecks
    rule_changes: tuple[RuleChange, ...] = ()
    """Proposals that were refused stand among the faults, as `rules-refused`."""
    faults: dict[str, int]
    speed: Speed | None
    core: CoreOfRun
    trace: str
    """Path of the merged trace."""


def summarise(run: Path) -> Summary:
    """The figures of a recorded run; of one that was cut short, as far as it got.

    Raises:
        TraceError: no run there.
    """
    trace = Trace.read(run)
    header, end, side = trace.header, trace.end, read_side(run)
    events = [record.event for record in trace.records]
    decisions = [event for event in events if isinstance(event, DecisionRecord)]
    outcomes = [event for event in events if isinstance(event, Outcome)]
    attempts = [attempt for decision in decisions for attempt in decision.attempts]
    episodes = [outcome for outcome in outcomes if outcome.agent == WORLD_OWNER]
    faults = [event for event in events if isinstance(event, Fault)]
    ticks = {record.tick for record in trace.records if record.agent not in (RUN_OWNER, WORLD_OWNER)}
    return Summary(
        scenario=header.scenario,
        seed=header.seed,
        run=header.run,
        status=end.status if end else "unfinished",
        episodes=len(episodes),
        agents=len(header.agents),
        ticks=len(ticks),
        decisions=len(decisions),
        messages=sum(isinstance(event, MessageSent) for event in events),
        without=tuple(RunConfig.from_json(header.config).without),
        bus=RunConfig.from_json(header.config).bus.kind,
        safety=safety_of(episodes),
        progress=progress_of(episodes),
        violations=violations_of(decisions, outcomes),
        checks=checks_of(trace, decisions),
        ladder=ladder_of(decisions),
        before_injection=locality_of(attempt for attempt in attempts if not attempt.injections),
        after_injection=locality_of(attempt for attempt in attempts if attempt.injections),
        knock_out=knock_out_of(attempts),
        rechecks=Rechecks(
            verdicts=side.rechecked if side else None,
            mismatches=sum(fault.count for fault in faults if fault.fault is FaultKind.CHECK_MISMATCH),
            inconclusive=side.inconclusive if side else None,
        ),
        rule_changes=rule_changes_of(trace),
        faults=dict(sorted(Counter(fault.fault.value for fault in faults).items())),
        speed=speed_of(side, len(decisions)) if side else None,
        core=CoreOfRun(**header.core.model_dump()),
        trace=str(run / TRACE if run.is_dir() else run),
    )


def rule_changes_of(trace: Trace) -> tuple[RuleChange, ...]:
    """The changes of rules in order."""
    made = [(record.tick, record.event) for record in trace.records if isinstance(record.event, RulesChanged)]
    return tuple(
        RuleChange(
            tick=tick,
            role=change.role,
            previous_sha256=change.previous_sha256,
            ruleset_sha256=change.ruleset_sha256,
            relation=change.relation,
        )
        for tick, change in made
    )


def safety_of(episodes: Sequence[Outcome]) -> Safety:
    """Sums and the smallest time to collision over the assessor's outcomes of whole episodes."""
    times = [ttc for outcome in episodes if (ttc := _measure(outcome, "min_ttc_s")) is not None]
    return Safety(
        collisions=_sum(episodes, "collisions"),
        caused=_sum(episodes, "caused"),
        near_misses=_sum(episodes, "near_misses"),
        min_ttc_s=min(times, default=None),
    )


def progress_of(episodes: Sequence[Outcome]) -> Progress:
    """Arrivals, and the mean speed weighted by the length of the episodes."""
    weighted = [((_measure(o, "mean_speed_mps") or 0.0), (_measure(o, "time_s") or 0.0)) for o in episodes]
    total_s = sum(time_s for _, time_s in weighted)
    return Progress(
        arrivals=_sum(episodes, "arrivals"),
        could_arrive=_sum(episodes, "agents"),
        mean_speed_mps=round(sum(v * t for v, t in weighted) / total_s, 6) if total_s else None,
        simulated_s=round(total_s, 6),
    )


def _measure(outcome: Outcome, name: str) -> float | None:
    value = outcome.measures.get(name)
    return None if value is None or isinstance(value, str) else float(value)


def _sum(outcomes: Iterable[Outcome], name: str) -> int:
    return sum(int(_measure(outcome, name) or 0) for outcome in outcomes)


def checks_of(trace: Trace, decisions: Sequence[DecisionRecord]) -> Checks:
    """Verdicts of attempts and of executed actions that no attempt proposed, and the rules in them."""
    sizes = {sha256: len(rules) for sha256, rules in trace.rules.items()}
    verdicts = [verdict for decision in decisions for verdict in _verdicts(decision)]
    return Checks(
        verdicts=len(verdicts),
        rules=sum(sizes[verdict.ruleset_sha256] for verdict in verdicts),
        undecided=sum(decision.verdict.outcome == "undecided" for decision in decisions),
    )


def _verdicts(decision: DecisionRecord) -> list[VerdictRecord]:
    asked = [attempt.verdict for attempt in decision.attempts]
    return asked if asked and asked[-1].action == decision.action else [*asked, decision.verdict]


def violations_of(decisions: Iterable[DecisionRecord], outcomes: Iterable[Outcome]) -> Violations:
    """Violations by first proposals, by executed actions as perceived, and by executed actions in truth."""
    decisions, outcomes = tuple(decisions), tuple(outcomes)
    has_joint = any(TOGETHER in outcome.measures for outcome in outcomes)
    return Violations(
        proposed=sum(len(d.attempts[0].verdict.violations) for d in decisions if d.attempts),
        executed=sum(len(d.verdict.violations) for d in decisions),
        executed_true=sum(len(outcome.violated) for outcome in outcomes),
        together_true=_sum(outcomes, TOGETHER) if has_joint else None,
    )


def ladder_of(decisions: Iterable[DecisionRecord]) -> Ladder:
    """How many decisions ended on each rung."""
    count = Counter(decision.rung for decision in decisions)
    return Ladder(
        proposed=count[Rung.PROPOSED],
        injected=count[Rung.INJECTED],
        chosen=count[Rung.CHOSEN],
        repaired=count[Rung.REPAIRED],
        witness=count[Rung.WITNESS],
        conceded=count[Rung.CONCEDED],
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


class Side(Frozen):
    """`run.json`: wall times and counts beside the trace."""

    wall_s: float
    sim_s: float
    rechecked: int
    inconclusive: int = 0
    spent_s: dict[str, float]


def read_side(run: Path) -> Side | None:
    """What lies beside the trace; None where the run left nothing."""
    path = run / SIDE
    return Side.model_validate_json(path.read_bytes()) if path.is_file() else None


def speed_of(side: Side, decisions: int) -> Speed:
    """Rates and shares of the wall time."""
    wall_s = max(side.wall_s, 1e-9)
    shares = {name: round(spent / wall_s, 6) for name, spent in side.spent_s.items()}
    return Speed(
        wall_s=side.wall_s,
        decisions_per_s=round(decisions / wall_s, 6),
        real_time_factor=round(side.sim_s / wall_s, 6),
        shares=shares,
    )
