"""Joint rules in whole runs: kept by deciding in turn, broken without it, recorded, audited and replayed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.recording import BoundTo, DecisionRecord, Record, audit_lines, audit_run
from agents.recording.canonical import canonical
from agents.recording.events import Rung, record_hash
from agents.recording.trace import Trace
from agents.recording.verdicts import audit_verdicts
from localist_core import Core, OverloadError, Request, ScriptedCore
from scenarios.cli import main
from scenarios.config import Part, RunConfig
from scenarios.corridor.rules import Cart, Move
from scenarios.desk import Desk
from scenarios.joint import opened
from scenarios.replay import replay
from scenarios.report.summary import Summary, summarise
from scenarios.run import run
from scenarios.scenario import load
from symbolic import Facts
from tests.scenarios.policies import CONTRITE, LAWFUL, RECKLESS

SILENT = """
from dataclasses import replace
from scenarios.doorway import scenario
scenario = replace(scenario, silent=frozenset({"cart-1"}))
"""
CROWDED = """
from scenarios.corridor.world import CorridorWorld
from scenarios.corridor.rules import Cart, Move
from scenarios.doorway import scenario as doorway
from scenarios.scenario import Scenario
from symbolic import Joint, JointRules
every = JointRules(Cart, Move)
@every.forbid()
def same(i, a, j, b):
    return (i.free_cells == j.free_cells) & (i.rival_in == j.rival_in) & (i.crossing_in == j.crossing_in) & (
        a.step == "go") & (b.step == "go") & (j.is_on_crossing | j.must_yield | (j.rival_intent == "go"))
scenario = Scenario(name="crowded", world=lambda: CorridorWorld(carts=8), roles=doorway.roles, joint=Joint(every))
"""


def doorway(*without: Part, seed: int = 3, episodes: int = 4, scenario: str = "doorway") -> RunConfig:
    return RunConfig(scenario=scenario, seed=seed, episodes=episodes, without=frozenset(without))


def summary_of(path: Path, config: RunConfig, core: Core) -> Summary:
    return summarise(run(config, out=path / "run", core=core))


@pytest.fixture(scope="module")
def contrite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(doorway(), out=tmp_path_factory.mktemp("joint") / "run", core=CONTRITE)


@pytest.mark.parametrize("core", [RECKLESS, CONTRITE, LAWFUL], ids=lambda core: core.capabilities.name)
def test_joint_rules_hold_for_any_core_and_break_without(core: Core, tmp_path: Path) -> None:
    kept = summary_of(tmp_path / "on", doorway(), core)
    free = summary_of(tmp_path / "off", doorway(Part.JOINT), core)
    assert (kept.violations.executed, kept.violations.together_true, kept.safety.collisions) == (0, 0, 0)
    assert kept.progress.arrivals == 16
    assert free.violations.together_true is not None
    assert free.violations.together_true > 0
    assert free.safety.collisions > 0


def test_joint_rule_is_injected_with_the_peer_and_the_core_yields(contrite: Path) -> None:
    trace = Trace.read(contrite)
    step = next(step for step in trace.steps() if step.decision and step.decision.rung is Rung.INJECTED and step.bound)
    assert step.decision is not None
    assert step.bound is not None
    first = step.decision.attempts[0].verdict.violations
    assert [one.name for one in first] == ["enter_together_with_peer_1"]
    assert ("peer_1_step", "go") in first[0].numbers
    injected = {block.name: trace.texts[block.text_sha256] for block in step.decision.attempts[1].blocks}
    assert "F7 1 F8 V5" in injected["I1"]
    assert "F7 peer_1_crossing_in F8 peer_1_step" in injected["schema"]
    peer = next(
        record.event
        for record in trace.records
        if (record.agent, record.seq) == (step.bound.peers[0].agent, step.bound.peers[0].decision_seq)
    )
    assert isinstance(peer, DecisionRecord)
    assert peer.fields == {"step": "go"}


def test_joint_run_passes_every_audit_and_its_replay_is_equal(contrite: Path) -> None:
    assert audit_run(contrite).findings == ()
    verdicts = audit_verdicts(contrite)
    assert (verdicts.findings, verdicts.num_open) == ((), 0)
    assert replay(contrite) is None


def test_joint_run_same_seed_gives_the_same_bytes(contrite: Path, tmp_path: Path) -> None:
    again = run(doorway(), out=tmp_path / "again", core=CONTRITE)
    assert (again / "trace.jsonl").read_bytes() == (contrite / "trace.jsonl").read_bytes()


def test_why_shows_the_peers_of_a_decision(contrite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = next(step for step in Trace.read(contrite).steps() if step.bound)
    assert main(["trace", str(contrite), "--agent", step.agent, "--step", str(step.tick)]) == 0
    shown = capsys.readouterr().out
    assert "Peers that it was held to" in shown
    assert step.bound is not None
    assert step.bound.peers[0].agent in shown


def test_silent_agent_is_its_worst_case_and_nobody_enters_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "silent.py"
    file.write_text(SILENT)
    summary = summary_of(tmp_path, doorway(scenario=str(file)), RECKLESS)
    assert (summary.violations.together_true, summary.safety.collisions) == (0, 0)
    bound = [record for record in Trace.read(tmp_path / "run").records if isinstance(record.event, BoundTo)]
    silent = [peer for record in bound if isinstance(record.event, BoundTo) for peer in record.event.peers]
    assert {peer.decision_seq for peer in silent if peer.agent == "cart-1"} == {None}
    assert {record.agent for record in bound} == {"cart-2", "cart-3", "cart-4"}
    assert audit_run(tmp_path / "run").findings == ()
    assert replay(tmp_path / "run") is None


def test_failing_core_under_joint_rules_still_keeps_them(tmp_path: Path) -> None:
    def fail(request: Request) -> str:
        raise OverloadError("expected fewer requests, got many")

    summary = summary_of(tmp_path, doorway(), ScriptedCore(fail))
    assert (summary.violations.executed, summary.violations.together_true) == (0, 0)


def test_more_peers_than_a_prompt_has_slots_is_refused_before_the_run(tmp_path: Path) -> None:
    file = tmp_path / "crowded.py"
    file.write_text(CROWDED)
    with pytest.raises(ValueError, match="prompts have no more slots"):
        run(doorway(scenario=str(file)), out=tmp_path / "run", core=LAWFUL)
    run(doorway(Part.JOINT, scenario=str(file), episodes=1), out=tmp_path / "free", core=LAWFUL)


YARD = """
from scenarios.corridor.world import CorridorWorld
from scenarios.doorway import scenario as doorway
from scenarios.corridor.rules import Cart, Move
from scenarios.scenario import Scenario
from symbolic import Joint, JointRules
rules = JointRules(Cart, Move)
@rules.forbid(priority=80)
def give_way(i, a, j, b):
    "Do not enter while a cart of the other corridor stands before the crossing and need not yield."
    return (i.crossing_in == 1) & i.must_yield & (j.crossing_in == 1) & ~j.must_yield & (a.step == "go")
scenario = Scenario(name="yard", world=CorridorWorld, roles=doorway.roles, joint=Joint(rules))
"""


def test_rule_over_one_action_binds_before_the_peer_commits(tmp_path: Path) -> None:
    file = tmp_path / "yard.py"
    file.write_text(YARD.replace("~j.must_yield", "j.must_yield").replace("& i.must_yield", "& ~i.must_yield"))
    summary = summary_of(tmp_path, doorway(scenario=str(file)), RECKLESS)
    assert summary.violations.together_true == 0
    bound = [record.event for record in Trace.read(tmp_path / "run").records if isinstance(record.event, BoundTo)]
    pending = [peer for one in bound for peer in one.peers if peer.decision_seq is None]
    assert pending
    assert not any(peer.is_silent for peer in pending)
    assert audit_run(tmp_path / "run").findings == ()
    assert replay(tmp_path / "run") is None
    free = summary_of(tmp_path / "off", doorway(Part.JOINT, scenario=str(file)), RECKLESS)
    assert free.violations.together_true


# What an audit finds: each chain is sealed anew after the change, as a forger would


def tampered(chains: dict[str, list[Record]], change: Callable[[dict[str, object]], None]) -> set[str]:
    """Problems after the first record that binds someone is changed, all hashes behind it computed anew."""
    lines: dict[str, list[bytes]] = {}
    is_open = True
    for owner, records in chains.items():
        lines[owner], prev = [], "0" * 64
        for record in records:
            fields = record.model_dump(mode="json")
            if is_open and fields["event"]["kind"] == "bound-to":
                change(fields["event"])
                is_open = False
            fields["prev"], fields["hash"] = prev, ""
            fields["hash"] = prev = record_hash(fields)
            lines[owner].append(canonical(fields) + b"\n")
    found = audit_lines(lines, None).findings
    return {one.problem for one in found if one.problem in ("peer-mismatch", "reference-missing")}


@pytest.fixture(scope="module")
def chains(contrite: Path) -> dict[str, list[Record]]:
    found = {}
    for path in sorted((contrite / "agents").glob("*.jsonl")):
        found[path.stem] = [Record.model_validate_json(line) for line in path.read_bytes().splitlines()]
    return found


def peer(event: dict[str, object], **changes: object) -> None:
    event["peers"][0] |= changes  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (lambda event: None, set()),
        (lambda event: peer(event, decision_sha256="1" * 64), {"reference-missing"}),
        (lambda event: peer(event, decision_seq=0), {"reference-missing"}),
        (lambda event: peer(event, decision_seq=None, decision_sha256=None), {"peer-mismatch"}),
        (lambda event: peer(event, decision_seq=None, decision_sha256=None, is_silent=True), {"peer-mismatch"}),
        (lambda event: event.update(observation_seq=0), {"peer-mismatch"}),
        (lambda event: event.update(ruleset_sha256="1" * 64), {"peer-mismatch"}),
        (
            lambda event: event.update(observation_seq=event["observation_seq"] + 1),
            {"peer-mismatch", "reference-missing"},
        ),
    ],
    ids=["nothing", "hash", "place", "lateness", "silence", "facts", "rules", "no facts"],
)
def test_audit_changed_peer_of_a_decision_is_found(
    change: Callable[[dict[str, object]], None], problems: set[str], chains: dict[str, list[Record]]
) -> None:
    last = dict(sorted(chains.items(), reverse=True))  # nobody is bound to a decision of the last cart
    assert tampered(last, change) == problems


def test_verify_reports_joint_rules_of_a_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "doorway", "--json"]) == 0
    joint = json.loads(capsys.readouterr().out)["joint"]
    assert [(one["roles"], one["exists"], one["in_turn"]) for one in joint["groups"]] == [
        (["cart", "cart"], "yes", "yes"),
        (["cart", "cart", "cart"], "yes", "yes"),
    ]
    assert (joint["any_size"], joint["findings"]) == ("yes", [])
    assert main(["verify", "doorway"]) == 0
    assert "joint rules" in capsys.readouterr().out


def test_stale_observation_of_a_peer_is_not_believed() -> None:
    near = Cart(free_cells=3, crossing_in=1, is_on_crossing=False, rival_in=9, must_yield=False, rival_intent="silent")
    far = near.model_copy(update={"crossing_in": 9})
    seen = {"cart-1": Facts.exact(far, age_s=60.0), "cart-2": Facts.exact(near)}
    commits = opened(load("doorway"), doorway(), seen, Desk(LAWFUL, seen))
    assert commits is not None
    commits.close("cart-1")
    held = asyncio.run(commits.turn("cart-2", Facts.exact(near)))
    assert held.bound.peers == ("cart-1",)
    assert not held.bound.rules.check(held.bound.facts, Move(step="go")).is_safe
