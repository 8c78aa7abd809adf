from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from agents.recording import audit_run
from agents.recording.events import DecisionRecord, Fault, FaultKind, Rung
from agents.recording.trace import Trace
from localist_core import Choice, Core, OverloadError, Request, ScriptedCore
from scenarios.cli import verdict_of
from scenarios.commands.arguments import Exit
from scenarios.config import BusConfig, Part, RunConfig
from scenarios.recheck import Rechecks
from scenarios.replay import replay
from scenarios.report.summary import Summary, summarise
from scenarios.run import free_path, run
from scenarios.stage import Pulse
from symbolic.solving.redecision import Inconclusive, Mismatch, Redecision
from tests.scenarios.policies import CONTRITE, LAWFUL, RECKLESS, reckless


def corridor(*without: Part, seed: int = 3, episodes: int = 1, bus: BusConfig | None = None) -> RunConfig:
    return RunConfig(
        scenario="corridor", seed=seed, episodes=episodes, without=frozenset(without), bus=bus or BusConfig()
    )


def summary_of(path: Path, config: RunConfig, core: Core) -> Summary:
    return summarise(run(config, out=path / "run", core=core))


def decisions_of(path: Path) -> list[DecisionRecord]:
    return [record.event for record in Trace.read(path).records if isinstance(record.event, DecisionRecord)]


def test_lawful_core_crosses_on_first_tries(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, corridor(episodes=3), LAWFUL)
    assert (summary.status, summary.episodes, summary.progress.arrivals) == ("complete", 3, 12)
    assert summary.violations.proposed == summary.violations.executed == 0
    assert summary.ladder.proposed == summary.decisions
    assert summary.rechecks.verdicts == summary.checks.verdicts == summary.decisions
    assert summary.rechecks.mismatches == 0


def test_contrite_core_is_corrected_by_injection_and_the_dial_rises(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, corridor(), CONTRITE)
    assert summary.ladder.injected > 0
    assert summary.violations.proposed > 0
    assert summary.violations.executed == 0
    assert summary.before_injection.dial == 0.2
    assert summary.after_injection.dial is not None
    assert summary.after_injection.dial >= 0.5


def test_reckless_core_is_overruled_by_lower_rungs(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, corridor(), RECKLESS)
    assert summary.violations.executed == 0
    assert summary.ladder.chosen > 0


def test_run_leaves_a_trace_that_an_audit_accepts(tmp_path: Path) -> None:
    path = run(corridor(episodes=2), out=tmp_path / "run", core=CONTRITE)
    assert audit_run(path).findings == ()


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    one, two, other = (
        run(corridor(seed=seed), out=tmp_path / name, core=CONTRITE) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert (one / "trace.jsonl").read_bytes() == (two / "trace.jsonl").read_bytes()
    assert (one / "trace.jsonl").read_bytes() != (other / "trace.jsonl").read_bytes()


def test_mqtt_gives_the_same_decisions_as_the_local_bus(tmp_path: Path) -> None:
    local = run(corridor(), out=tmp_path / "local", core=CONTRITE)
    mqtt = run(corridor(bus=BusConfig(kind="mqtt")), out=tmp_path / "mqtt", core=CONTRITE)
    assert decisions_of(local) == decisions_of(mqtt)


def test_replay_of_a_run_is_equal_record_by_record(tmp_path: Path) -> None:
    assert replay(run(corridor(), out=tmp_path / "run", core=RECKLESS)) is None


@pytest.mark.parametrize(
    ("part", "core", "expected"),
    [
        (Part.INJECTION, CONTRITE, lambda s: s.ladder.injected == 0 and s.ladder.chosen > 0),
        (Part.DIAL, CONTRITE, lambda s: s.before_injection.dial == s.after_injection.dial == 0),
        (Part.CHOOSE, RECKLESS, lambda s: s.ladder.chosen == 0 and s.ladder.repaired > 0),
        (Part.SHIELD, RECKLESS, lambda s: s.violations.executed == s.violations.proposed > 0),
        (Part.MESSAGES, LAWFUL, lambda s: s.messages == 0),
        (Part.RULES, LAWFUL, lambda s: s.violations.proposed > 0 and s.violations.executed == 0),
    ],
    ids=lambda value: value.value if isinstance(value, Part) else "",
)
def test_part_switched_off_shows_in_the_figures(part: Part, core: Core, expected: object, tmp_path: Path) -> None:
    assert callable(expected)
    assert expected(summary_of(tmp_path, corridor(part), core))


def test_failing_core_ends_in_compliant_actions_and_in_the_record(tmp_path: Path) -> None:
    def fail(request: Request) -> str:
        raise OverloadError("expected fewer requests, got many")

    summary = summary_of(tmp_path, corridor(), ScriptedCore(fail))
    assert summary.violations.executed == 0
    assert summary.ladder.proposed == summary.ladder.injected == 0
    assert {decision.reason for decision in decisions_of(tmp_path / "run")} == {"core failed"}


def test_watch_is_told_once_a_tick(tmp_path: Path) -> None:
    pulses: list[Pulse] = []
    path = run(corridor(), out=tmp_path / "run", core=LAWFUL, watch=pulses.append)
    assert [pulse.tick for pulse in pulses] == list(range(1, summarise(path).ticks + 1))
    assert pulses[-1].agents == 0


class Interrupting(ScriptedCore):
    """Presses Ctrl-C in its fourth batch."""

    def __init__(self) -> None:
        super().__init__(reckless)
        self._batches = 0

    def decide(self, requests: Sequence[Request]) -> tuple[Choice, ...]:
        self._batches += 1
        if self._batches == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return super().decide(requests)


def test_ctrl_c_in_mid_run_leaves_a_closed_trace_of_all_that_was_decided(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match="interrupted; what was decided until then is in"):
        run(corridor(), out=tmp_path / "run", core=Interrupting())
    audit, summary = audit_run(tmp_path / "run"), summarise(tmp_path / "run")
    assert (audit.findings, summary.status) == ((), "interrupted")
    assert summary.decisions > 0


def test_first_free_run_directory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "corridor-3").mkdir()
    (tmp_path / "corridor-3-2").mkdir()
    assert free_path(tmp_path, "corridor-3") == tmp_path / "corridor-3-3"


def test_verdict_that_z3_contradicts_stops_every_agent_safely(tmp_path: Path) -> None:
    class Doubting(Rechecks):
        async def settle(self, *, is_last: bool = False) -> list[Mismatch]:
            return [] if is_last else [Mismatch(index=0, rule="R1", claimed=None, found=None, reason="a test")]

    path = run(corridor(), out=tmp_path / "run", core=LAWFUL, rechecks=Doubting())
    found = decisions_of(path)
    assert {decision.rung for decision in found[4:]} == {Rung.SAFE_STOP}
    faults = [record.event.fault for record in Trace.read(path).faults() if isinstance(record.event, Fault)]
    assert faults[0] is FaultKind.CHECK_MISMATCH


def test_verdicts_that_z3_cannot_decide_again_stop_nobody_and_make_the_run_inconclusive(tmp_path: Path) -> None:
    def unsure(rules: object, notes: Sequence[object]) -> Redecision:
        doubts = tuple(Inconclusive(index=index, reason="a test") for index in range(len(notes)))
        return Redecision(num_confirmed=0, mismatches=(), inconclusive=doubts)

    summary = summarise(run(corridor(), out=tmp_path / "run", core=LAWFUL, rechecks=Rechecks(unsure)))
    assert (summary.rechecks.mismatches, summary.rechecks.inconclusive) == (0, summary.rechecks.verdicts)
    assert (summary.ladder.safe_stop, verdict_of(summary)) == (0, Exit.INCONCLUSIVE)
