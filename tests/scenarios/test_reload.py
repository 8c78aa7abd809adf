"""Rules that change in the middle of a run: one boundary for all, nothing unproved or forged, replay and audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.messaging import Identity, Proposal
from agents.recording.audit import audit_run
from agents.recording.events import FaultKind, MessageReceived, RulesChanged
from agents.recording.trace import Trace
from agents.recording.verdicts import audit_verdicts
from scenarios.cli import main
from scenarios.config import BusConfig, ConfigError, Part, Reload, RunConfig
from scenarios.corridor.rules import Cart, Move, rules
from scenarios.reloading import identity_of, signing
from scenarios.replay import replay
from scenarios.report.summary import summarise
from scenarios.run import run
from symbolic import RuleSet, parse, to_text
from tests.scenarios.policies import CONTRITE

TEXT = to_text(rules)
STRICTER: RuleSet[Any, Any] = parse(TEXT.replace("rival_in < 2", "rival_in < 3"))
GAP: RuleSet[Any, Any] = parse(TEXT.replace("crossing_in == 0 and", ""))


def corridor(*reloads: tuple[int, RuleSet[Any, Any]], bus: BusConfig | None = None) -> RunConfig:
    planned = tuple(Reload(tick=tick, role="cart", sha256=one.sha256, text=one.to_json()) for tick, one in reloads)
    return RunConfig(
        scenario="corridor", seed=3, reloads=planned, operator=identity_of(3).public, bus=bus or BusConfig()
    )


def versions(trace: Trace) -> dict[int, set[str]]:
    """Tick -> hashes of the rules that any verdict of it names."""
    found: dict[int, set[str]] = {}
    for step in trace.steps():
        if step.decision is not None:
            said = [attempt.verdict for attempt in step.decision.attempts] + [step.decision.verdict]
            found.setdefault(step.tick, set()).update(verdict.ruleset_sha256 for verdict in said)
    return found


def refusals(trace: Trace) -> list[str]:
    faults = [record.event for record in trace.faults()]
    return [one.detail for one in faults if getattr(one, "fault", None) is FaultKind.RULES_REFUSED]


@pytest.mark.parametrize("bus", [BusConfig(), BusConfig(kind="mqtt")])
def test_every_agent_swaps_at_one_boundary_and_the_run_replays_and_audits(tmp_path: Path, bus: BusConfig) -> None:
    path = run(corridor((4, STRICTER), (8, rules), bus=bus), out=tmp_path / "run", core=CONTRITE)
    trace = Trace.read(path)
    found = versions(trace)
    assert {tick: found[tick] for tick in (3, 4, 7, 8)} == {
        3: {rules.sha256},
        4: {STRICTER.sha256},
        7: {STRICTER.sha256},
        8: {rules.sha256},
    }
    changes = [(record.tick, record.event) for record in trace.records if isinstance(record.event, RulesChanged)]
    assert [(tick, change.relation) for tick, change in changes] == [(4, "stricter"), (8, "looser")]
    heard = [record for record in trace.records if isinstance(record.event, MessageReceived)]
    assert {record.agent for record in heard if record.event.type == "rules"} == set(trace.header.agents)
    assert refusals(trace) == []
    assert replay(path) is None
    assert audit_run(path).is_intact
    audited = audit_verdicts(path)
    assert (audited.findings, audited.num_open) == ((), 0)


def test_rules_that_are_not_proved_leave_the_old_ones_live(tmp_path: Path) -> None:
    path = run(corridor((4, GAP)), out=tmp_path / "run", core=CONTRITE)
    trace = Trace.read(path)
    assert set().union(*versions(trace).values()) == {rules.sha256}
    assert [detail.partition(":")[0] for detail in refusals(trace)] == ["operator.0.0"]
    assert "refuted" in refusals(trace)[0]
    assert replay(path) is None


def forged(proposal: Proposal) -> Proposal:
    return proposal.model_copy(update={"rules": rules.to_json() + " "})


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        (forged, "not of these bytes"),
        (lambda proposal: proposal.model_copy(update={"signature": "0" * 128}), "not of these bytes"),
        (lambda proposal: proposal.model_copy(update={"signer": "cart-1"}), "one of `cart-1`"),
    ],
)
def test_a_forged_proposal_is_an_event_and_changes_nothing(tmp_path: Path, bend: Any, said: str) -> None:
    def source(tick: int, live: Mapping[str, str]) -> Sequence[Proposal]:
        return [bend(one) for one in real(tick, live)]

    config = corridor((4, STRICTER))
    run_id = Trace.read(run(config, out=tmp_path / "first", core=CONTRITE)).header.run
    real = signing(config, run_id, identity_of(3))
    trace = Trace.read(run(config, out=tmp_path / "run", core=CONTRITE, source=source))
    assert set().union(*versions(trace).values()) == {rules.sha256}
    assert len(refusals(trace)) == 1
    assert said in refusals(trace)[0]


def test_an_old_proposal_sent_again_rolls_nothing_back(tmp_path: Path) -> None:
    sent: list[Proposal] = []

    def source(tick: int, live: Mapping[str, str]) -> Sequence[Proposal]:
        new = real(tick, live)
        sent.extend(new)
        return new or (sent[:1] if tick == 5 else [])

    config = corridor((4, STRICTER))
    run_id = Trace.read(run(config, out=tmp_path / "first", core=CONTRITE)).header.run
    real = signing(config, run_id, identity_of(3))
    trace = Trace.read(run(config, out=tmp_path / "run", core=CONTRITE, source=source))
    assert versions(trace)[7] == {STRICTER.sha256}
    assert len(refusals(trace)) == 1
    assert "again" in refusals(trace)[0]


def test_another_key_than_the_declared_one_changes_nothing(tmp_path: Path) -> None:
    path = run(corridor((4, STRICTER)), out=tmp_path / "run", core=CONTRITE, identity=Identity.generate())
    assert "not of these bytes" in refusals(Trace.read(path))[0]


QUOTA = """
from dataclasses import replace
from scenarios.corridor.rules import Cart, Move
from scenarios.doorway import scenario as doorway
from symbolic import Joint, JointRules
crossing = JointRules(Cart, Move)
@crossing.at_most(1)
def single(s, a):
    return (s.crossing_in == 1) & (a.step == "go")
scenario = replace(doorway, name="quota", joint=Joint(crossing))
"""


def test_rules_that_do_not_fit_the_joint_ones_leave_the_old_ones_live(tmp_path: Path) -> None:
    (tmp_path / "quota.py").write_text(QUOTA)
    same_name = RuleSet(Cart, Move)
    same_name.forbid(id="single", priority=90)(lambda s, a: (s.free_cells < 1) & (a.step == "go"))
    planned = corridor((3, same_name))
    path = run(replace(planned, scenario=str(tmp_path / "quota.py")), out=tmp_path / "run", core=CONTRITE)
    assert [("`single`: expected a new name" in said) for said in refusals(Trace.read(path))] == [True]


def test_a_reload_after_the_end_is_told(tmp_path: Path) -> None:
    path = run(corridor((500, STRICTER)), out=tmp_path / "run", core=CONTRITE)
    assert refusals(Trace.read(path)) == ["the run ended before tick 500"]
    assert replay(path) is None


def test_settings_that_fit_no_reload_are_refused() -> None:
    with pytest.raises(ConfigError, match="tick 1 or later"):
        corridor((0, STRICTER))
    with pytest.raises(ConfigError, match="proposals are messages"):
        RunConfig(
            scenario="corridor",
            reloads=corridor((4, STRICTER)).reloads,
            operator=identity_of(3).public,
            without=frozenset({Part.MESSAGES}),
        )
    with pytest.raises(ConfigError, match="only there"):
        RunConfig(scenario="corridor", operator=identity_of(3).public)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("soon=new.rules", "expected --reload"),
        ("0=corridor", "tick 1 or later"),
        ("4:car=corridor", "expected a role among cart"),
        ("4=none.rules", "expected a rules file"),
    ],
)
def test_a_reload_that_is_none_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert main(["run", "corridor", "--reload", text]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_key_is_made_once_and_its_trust_line_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "operator.key"
    assert main(["rules", "key", str(path)]) == 0
    assert capsys.readouterr().out == f"operator {Identity.load(path).public}\n"
    assert main(["rules", "key", str(path)]) == 2


def test_the_table_of_a_run_tells_its_changes_of_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run(corridor((4, STRICTER), (6, GAP)), out=tmp_path / "run", core=CONTRITE)
    summary = summarise(path)
    assert [(one.tick, one.role, one.relation) for one in summary.rule_changes] == [(4, "cart", "stricter")]
    assert summary.faults == {"rules-refused": 1}
    main(["report", str(path)])
    assert f"cart: {rules.sha256[:8]} -> {STRICTER.sha256[:8]}" in capsys.readouterr().out
