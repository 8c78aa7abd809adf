"""Rules about the past in a run: what is remembered decides, stands in the record, and is stepped again by an audit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.recording.events import DecisionRecord, Observation
from agents.recording.trace import Trace
from agents.recording.verdicts import audit_verdicts
from scenarios.config import RunConfig
from scenarios.remembered import audit_memories
from scenarios.replay import replay
from scenarios.run import run
from tests.scenarios.policies import LAWFUL, RECKLESS

SCENARIO = """
from scenarios.corridor.rules import Cart, Move
from scenarios.corridor.world import CorridorWorld
from scenarios.scenario import Role, Scenario
from symbolic import RuleSet, implies, once

rules = RuleSet(Cart, Move)


@rules.require(priority=80)
def rest(s: Cart, a: Move) -> bool:
    "Wait for a moment after the rival was near."
    return implies(once(s.rival_in <= 2, within_s=2), a.step == "wait")


scenario = Scenario(
    name="patient",
    world=lambda: CorridorWorld(carts=2, num_ticks=12),
    roles={"cart": Role(goal="go", rules=rules, safe_stop=Move(step="wait"), begins_empty=True)},
)
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("patient")
    (path / "patient.py").write_text(SCENARIO)
    return run(RunConfig(scenario=str(path / "patient.py"), seed=3, episodes=2), out=path / "run", core=RECKLESS)


def test_what_is_remembered_stands_in_the_recorded_facts_and_decides(recorded: Path) -> None:
    trace = Trace.read(recorded)
    seen = [one.event for one in trace.records if isinstance(one.event, Observation)]
    remembered = [one.facts["fields"] for one in seen]
    assert {one.facts["schema"] for one in seen} == {"CartRemembering"}
    values = {value for fields in remembered for name, value in dict(fields).items() if name.startswith("once_")}
    assert values == {True, False}
    decisions = [one.event for one in trace.records if isinstance(one.event, DecisionRecord)]
    assert any(one.rung != "proposed" for one in decisions)
    assert all(one.verdict.outcome == "safe" for one in decisions)


def test_run_with_memory_is_audited_and_replayed(recorded: Path) -> None:
    verdicts = audit_verdicts(recorded)
    assert (verdicts.num_open, verdicts.findings) == (0, ())
    assert audit_memories(recorded) == []
    assert replay(recorded) is None


def test_forged_memory_is_found(recorded: Path, tmp_path: Path) -> None:
    trace = Trace.read(recorded)
    text = (recorded / "trace.jsonl").read_text()
    line = next(one for one in text.splitlines() if '"observation"' in one and ":true" in one and '"once_' in one)
    record = json.loads(line)
    fields = record["event"]["facts"]["fields"]
    name = next(key for key in fields if key.startswith("once_"))
    fields[name] = not fields[name]
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "trace.jsonl").write_text(text.replace(line, json.dumps(record, sort_keys=True, separators=(",", ":"))))
    assert trace.header.scenario == "patient"
    assert [finding.problem for finding in audit_memories(copy)][:1] == ["memory-mismatch"]


def test_run_is_safe_in_truth_too(tmp_path: Path) -> None:
    (tmp_path / "patient.py").write_text(SCENARIO)
    path = run(RunConfig(scenario=str(tmp_path / "patient.py"), seed=3), out=tmp_path / "run", core=LAWFUL)
    from scenarios.report.summary import summarise

    assert summarise(path).violations.executed == 0
