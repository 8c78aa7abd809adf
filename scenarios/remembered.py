"""What agents remember in a run: monitors that are stepped every tick, and again from the record when it is audited."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agents.recording.audit import Finding
from agents.recording.events import WORLD_OWNER, Observation, Outcome, RulesChanged
from agents.recording.trace import Trace
from scenarios.scenario import SHIPPED, Role, Scenario, load
from scenarios.world import Truths
from symbolic import DomainError, Facts, Monitor, MonitorError, RuleSet, migrated
from symbolic.remembering.memory import REMEMBERING

ROUNDING_S = 1e-6
"""Simulated times are rounded to whole microseconds."""


@dataclass(slots=True, kw_only=True)
class Memories:
    """The monitors of one episode: of what each agent perceives, and of what is true of it."""

    step_s: float
    """Simulated time of one tick."""
    start_s: float
    """When the episode began."""
    perceived: dict[str, Monitor] = field(default_factory=dict)
    true: dict[str, Monitor] = field(default_factory=dict)

    def of_perceived(self, name: str, role: Role, facts: Facts, t_s: float) -> Facts:
        """What an agent perceives, with what it remembers.

        Raises:
            MonitorError: facts that are no next moment.
        """
        return self._stepped(self.perceived, name, role, facts, t_s)

    def of_truths(self, truths: Truths, roles: Mapping[str, Role], t_s: float) -> Truths:
        """What is true of some agents, with what was; for the assessor alone."""
        agents = dict(truths.agents)
        for name, role in roles.items():
            facts = agents[name].facts
            if facts is not None:
                agents[name] = replace(agents[name], facts=self._stepped(self.true, name, role, facts, t_s))
        return replace(truths, agents=agents)

    def _stepped(self, monitors: dict[str, Monitor], name: str, role: Role, facts: Facts, t_s: float) -> Facts:
        memory = role.rules.memory
        if not memory.operators:
            monitors.pop(name, None)
            return facts
        known = monitors.get(name)
        if known is None:
            monitors[name] = monitor_of(role, self.step_s, is_first=t_s == self.start_s)
        elif known.memory != memory:  # other rules since the last tick: what both remember goes on
            monitors[name] = migrated(memory, known.snapshot())
        return monitors[name].step(facts, t_s)


def monitor_of(role: Role, step_s: float, *, is_first: bool) -> Monitor:
    """A monitor for a role: nothing is known of a tick in which nothing was perceived.

    Only a history that begins with the episode can begin empty.
    """
    return role.rules.monitor(max_gap_s=step_s + ROUNDING_S, begins_empty=role.begins_empty and is_first)


def has_memory(trace: Trace) -> bool:
    """Whether any recorded facts hold what is remembered: their type says so."""
    seen = [record.event for record in trace.records if isinstance(record.event, Observation)]
    return any(str(event.facts.get("schema", "")).endswith(REMEMBERING) for event in seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAudit:
    """What stepping the monitors again found."""

    findings: tuple[Finding, ...] = ()
    left_open: str = ""
    """Why some of what was remembered was not looked at; empty where all of it was."""


def audit_memories(run: Path, scenario: str = "") -> MemoryAudit:
    """Step the monitors again over the recorded facts; what agents said to remember and the monitors do not is found.

    Time between ticks and how a history begins are those of the scenario as it is now. Where rules changed in the run,
    it is audited up to there.

    Args:
        run: the recorded run.
        scenario: reference of its scenario. A shipped one is known from the record; a file that a record names is
            never loaded, since an audit must not run what a stranger's record asks for.

    Raises:
        TraceError: no trace there.
        ScenarioError: no such scenario.
    """
    trace = Trace.read(run)
    if not has_memory(trace):
        return MemoryAudit()
    if not scenario and trace.header.scenario not in SHIPPED:
        return MemoryAudit(left_open="its scenario is a file, which is not loaded for a record; give it by --scenario")
    known = load(scenario or trace.header.scenario)
    remembering = {name: role for name, role in known.roles.items() if role.rules.memory.operators}
    if not remembering:
        return MemoryAudit(left_open=f"the scenario `{known.name}` remembers nothing, the record does")
    changed = min((one.tick for one in trace.records if isinstance(one.event, RulesChanged)), default=None)
    said = "" if changed is None else f"rules changed in tick {changed}; what is remembered from there on"
    return MemoryAudit(findings=tuple(_mismatches(trace, known, remembering)), left_open=said)


def _mismatches(trace: Trace, scenario: Scenario, remembering: Mapping[str, Role]) -> Iterator[Finding]:
    step_s, monitors, first = scenario.world().step_s, dict[str, Monitor](), 0
    changed = min((one.tick for one in trace.records if isinstance(one.event, RulesChanged)), default=None)
    for record in trace.records:
        event = record.event
        if changed is not None and record.tick >= changed:
            return  # what is remembered from here on is that of rules that the scenario does not have
        if isinstance(event, Outcome) and event.agent == WORLD_OWNER:
            monitors, first = {}, record.tick + 1  # an episode ended
        name = record.agent.rpartition("-")[0] or record.agent
        if not isinstance(event, Observation) or name not in remembering:
            continue
        rules = remembering[name].rules
        if event.facts.get("schema") != rules.state.__name__:
            continue  # what an agent and its peers perceive together, beside its own
        if record.agent not in monitors:
            monitors[record.agent] = monitor_of(remembering[name], step_s, is_first=record.tick == first)
        try:
            said = Facts.from_json(_text(event), rules.state)
            found = monitors[record.agent].step(_perceived(rules, said), round(record.tick * step_s, 6))
            detail = "" if found == said else _differences(rules, said, found)
        except (DomainError, MonitorError) as error:
            detail = str(error)
        if detail:
            yield Finding(problem="memory-mismatch", owner=record.agent, index=record.seq, detail=detail)


def _text(event: Observation) -> str:
    return json.dumps(event.facts)


def _perceived(rules: RuleSet[Any, Any], said: Facts) -> Facts:
    """The facts without what is remembered."""
    return Facts.from_codes(rules.declared_state, said.codes[: -len(rules.memory.operators)], said.age_s)


def _differences(rules: RuleSet[Any, Any], said: Facts, found: Facts) -> str:
    names = [one.name for one in rules.memory.operators if said.value(one.name) != found.value(one.name)]
    return f"expected what the recorded facts say of {', '.join(names) or 'the past'}, got another memory"
