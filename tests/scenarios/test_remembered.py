"""Rules about the past in a run: what is remembered decides, stands in the record, and is stepped again by an audit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.recording.events import DecisionRecord, Observation, RulesChanged
from agents.recording.trace import Trace
from agents.recording.verdicts import audit_verdicts
from scenarios.cli import Exit, main
from scenarios.config import Reload, RunConfig
from scenarios.corridor.rules import Cart, Move
from scenarios.reloading import identity_of
from scenarios.remembered import Memories, MemoryAudit, audit_memories
from scenarios.replay import replay
from scenarios.run import run
from scenarios.scenario import Role, load
from symbolic import UNKNOWN, Facts, RuleSet, fields, implies, once
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
    assert audit_memories(recorded, str(recorded.parent / "patient.py")) == MemoryAudit()
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
    assert [finding.problem for finding in audit_memories(copy, str(recorded.parent / "patient.py")).findings][:1] == [
        "memory-mismatch"
    ]


def test_run_is_safe_in_truth_too(tmp_path: Path) -> None:
    (tmp_path / "patient.py").write_text(SCENARIO)
    path = run(RunConfig(scenario=str(tmp_path / "patient.py"), seed=3), out=tmp_path / "run", core=LAWFUL)
    from scenarios.report.summary import summarise

    assert summarise(path).violations.executed == 0


def test_rules_that_remember_are_changed_in_a_run_which_is_audited_up_to_there(tmp_path: Path) -> None:
    for name, text in (("patient.py", SCENARIO), ("careful.py", SCENARIO.replace("<= 2", "<= 3"))):
        (tmp_path / name).write_text(text)
    new = load(str(tmp_path / "careful.py")).roles["cart"].rules
    config = RunConfig(
        scenario=str(tmp_path / "patient.py"),
        seed=3,
        reloads=(Reload(tick=4, role="cart", sha256=new.sha256, text=new.to_json()),),
        operator=identity_of(3).public,
    )
    path = run(config, out=tmp_path / "run", core=RECKLESS)
    changes = [one.event for one in Trace.read(path).records if isinstance(one.event, RulesChanged)]
    assert [one.ruleset_sha256 for one in changes] == [new.sha256]
    memories = audit_memories(path, str(tmp_path / "patient.py"))
    assert (audit_verdicts(path).findings, memories.findings, replay(path)) == ((), (), None)
    assert memories.left_open.startswith("rules changed in tick 4")


def test_audit_loads_no_file_that_a_record_names(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = recorded.parent / "patient.py"
    kept = source.read_text()
    source.write_text("raise SystemExit('the record ran this')")
    try:
        assert main(["audit", str(recorded)]) == Exit.INCONCLUSIVE
    finally:
        source.write_text(kept)
    assert "memory not checked: its scenario is a file, which is not loaded for a record" in capsys.readouterr().out
    assert main(["audit", str(recorded), "--scenario", str(source)]) == Exit.PASS


def patient(*windows: int) -> Role:
    rules = RuleSet(Cart, Move)
    s, a = fields(Cart), fields(Move)
    for window in windows:
        near = once(s.rival_in <= 2, within_s=window)
        rules.add(kind="require", name=f"rest_{window}", expression=implies(near, a.step == "wait"))
    rules.add(kind="forbid", name="taken", expression=(s.free_cells < 1) & (a.step == "go"))
    return Role(goal="go", rules=rules, safe_stop=Move(step="wait"), begins_empty=True)


def cart(rival_in: int) -> Facts:
    known = {"free_cells": 5, "crossing_in": 5, "is_on_crossing": False, "must_yield": False, "rival_intent": "silent"}
    return Facts.of(Cart, rival_in=rival_in, **known)


def test_other_rules_go_on_with_what_both_remember_and_know_nothing_else() -> None:
    memories, before, after = Memories(step_s=1.0, start_s=0.0), patient(2), patient(2, 5)
    assert memories.of_perceived("cart-1", before, cart(1), 0.0).codes[-1] == 1
    found = memories.of_perceived("cart-1", after, cart(9), 1.0)
    assert [found.value(one.name) for one in after.rules.memory.operators] == [True, UNKNOWN]
    found = memories.of_perceived("cart-1", after, cart(9), 3.0 - 1.0)
    assert memories.of_perceived("cart-1", patient(), cart(9), 3.0) == cart(9)
    # Rules that remembered nothing meanwhile: what they know begins anew, and not empty.
    assert memories.of_perceived("cart-1", before, cart(9), 4.0).codes[-1] is None


def test_missed_tick_is_a_gap() -> None:
    memories, role = Memories(step_s=1.0, start_s=0.0), patient(2)
    assert memories.of_perceived("cart-1", role, cart(9), 0.0).codes[-1] == 0
    assert memories.of_perceived("cart-1", role, cart(9), 1.0).codes[-1] == 0
    assert memories.of_perceived("cart-1", role, cart(9), 3.0).codes[-1] is None


def test_audit_command_steps_the_monitors_again(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(recorded), "--scenario", str(recorded.parent / "patient.py")]) == 0
    assert capsys.readouterr().out.startswith("intact")
