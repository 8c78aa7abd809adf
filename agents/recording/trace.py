"""A recorded run to read: every table, report and replay is a function of this value alone.

trace = Trace.read(Path("runs/demo"))
trace.header.seed, trace.end
step = trace.step("car-1", tick=12)
step.decision, step.received, step.outcome
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from agents.recording.errors import TraceError
from agents.recording.events import (
    FORMAT_NAME,
    OPERATOR_OWNER,
    RUN_OWNER,
    SCHEMA_VERSION,
    WORLD_OWNER,
    Applied,
    BoundRules,
    BoundTo,
    DecisionRecord,
    End,
    Fault,
    Header,
    MessageReceived,
    MessageSent,
    Observation,
    Outcome,
    Record,
    RuleCard,
    RulesChanged,
    Text,
)
from agents.recording.merge import TRACE, merged_lines, whole_lines


@dataclass(slots=True, kw_only=True)
class Step:
    """Everything recorded about one agent in one tick; what is missing was not recorded."""

    agent: str
    tick: int
    observation: Observation | None = None
    received: list[MessageReceived] = field(default_factory=list)
    bound: BoundTo | None = None
    """The peers that the decision was held to; None where there were none."""
    decision: DecisionRecord | None = None
    sent: list[MessageSent] = field(default_factory=list)
    applied: Applied | None = None
    outcome: Outcome | None = None
    """The assessor's truth, from the chain of `world`."""
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True)
class Trace:
    """The records of a run in trace order; the first is the header."""

    records: tuple[Record, ...]

    def __post_init__(self) -> None:
        if not self.records or not isinstance(self.records[0].event, Header):
            raise TraceError("expected a trace that begins with a header, got none; check it with `localist audit`")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a run directory or a trace file; a run that was killed is read as far as it got.

        Raises:
            TraceError: nothing there, another schema version, or a line that is no record.
        """
        try:
            with ExitStack() as files:
                target = path / TRACE if path.is_dir() else path
                if path.is_dir() and not target.exists():
                    return cls(tuple(parse_records(merged_lines(path, files), str(path))))
                return cls(tuple(parse_records(whole_lines(files.enter_context(target.open("rb"))), str(target))))
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise TraceError(f"expected a recorded run at `{path}`, got {reason}; name a run directory") from error

    @property
    def header(self) -> Header:
        event = self.records[0].event
        assert isinstance(event, Header)
        return event

    @property
    def end(self) -> End | None:
        """The end, or None where the run was killed."""
        event = self.records[-1].event
        return event if isinstance(event, End) else None

    @cached_property
    def texts(self) -> dict[str, str]:
        """Hash -> text, for the blocks of prompts."""
        return {record.event.sha256: record.event.text for record in self.records if isinstance(record.event, Text)}

    @cached_property
    def rules(self) -> dict[str, tuple[RuleCard, ...]]:
        """Hash -> rules, of the roles, of what decisions were bound to beside them, and of what they changed to."""
        bound = (record.event for record in self.records if isinstance(record.event, BoundRules | RulesChanged))
        own = {role.ruleset_sha256: role.rules for role in self.header.roles.values()}
        return own | {one.ruleset_sha256: one.rules for one in bound}

    @cached_property
    def _steps(self) -> dict[tuple[int, str], Step]:
        steps: dict[tuple[int, str], Step] = {}
        for record in self.records:
            owner = record.event.agent if isinstance(record.event, Outcome) else record.agent
            if owner not in (RUN_OWNER, WORLD_OWNER, OPERATOR_OWNER):
                step = steps.setdefault((record.tick, owner), Step(agent=owner, tick=record.tick))
                _enter(step, record)
        return steps

    def steps(self, agent: str | None = None) -> Iterator[Step]:
        """The steps in order of tick and agent; of one agent only, where one is named."""
        return (step for (_, owner), step in sorted(self._steps.items()) if agent in (None, owner))

    def step(self, agent: str, *, tick: int) -> Step:
        """One agent's step.

        Raises:
            KeyError: nothing was recorded about that agent in that tick.
        """
        return self._steps[(tick, agent)]

    def faults(self) -> tuple[Record, ...]:
        """All faults, of agents and of the run."""
        return tuple(record for record in self.records if isinstance(record.event, Fault))


def parse_records(lines: Iterable[bytes], source: str) -> Iterator[Record]:
    """Records of the lines of one trace or chain.

    Args:
        lines: whole lines.
        source: what to call them in an error.

    Raises:
        TraceError: a line that is no record of this schema version.
    """
    for number, line in enumerate(lines, start=1):
        try:
            yield Record.model_validate_json(line)
        except (ValidationError, ValueError) as error:
            raise TraceError(f"{source}, line {number}: {_complaint(line, error)}") from error


def _enter(step: Step, record: Record) -> None:
    match record.event:
        case Observation():
            step.observation = record.event
        case MessageReceived():
            step.received.append(record.event)
        case BoundTo():
            step.bound = record.event
        case DecisionRecord():
            step.decision = record.event
        case MessageSent():
            step.sent.append(record.event)
        case Applied():
            step.applied = record.event
        case Outcome():
            step.outcome = record.event
        case Fault():
            step.faults.append(record.event)
        case Text() | Header() | End() | BoundRules() | RulesChanged():
            pass


def _complaint(line: bytes, error: ValueError) -> str:
    """What is wrong with a line, in one line: another version first, then the first complaint of the schema."""
    try:
        event = json.loads(line)["event"]
        version = event.get("schema_version", SCHEMA_VERSION)
        if event.get("format", FORMAT_NAME) != FORMAT_NAME or version != SCHEMA_VERSION:
            return f"expected a {FORMAT_NAME} of schema version {SCHEMA_VERSION}, got version {version}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "expected a record, got something else; check it with `localist audit`"
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"expected a record, got `{place}`: {first['msg'].lower()}"
    return "expected a record, got something else; check it with `localist audit`"
