"""Every verdict of a run can be checked again from its record, without the code that gave it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.recording.trace import Trace
from agents.recording.verdicts import audit_verdicts
from scenarios.cli import main
from scenarios.config import RunConfig
from scenarios.run import run
from tests.scenarios.policies import CONTRITE


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose first proposals break rules."""
    path = tmp_path_factory.mktemp("verdicts") / "run"
    return run(RunConfig(scenario="corridor", seed=3), out=path, core=CONTRITE)


@pytest.fixture
def copy(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def test_all_verdicts_of_a_run_are_confirmed(recorded: Path) -> None:
    audit = audit_verdicts(recorded)
    decisions = sum(record.event.kind == "decision" for record in Trace.read(recorded).records)
    assert audit.findings == ()
    assert audit.num_open == 0
    assert audit.num_confirmed > decisions, "some attempts were refused, and those verdicts count too"


def test_a_forged_verdict_is_found(copy: Path) -> None:
    trace = copy / "trace.jsonl"
    lines = trace.read_text().splitlines()
    index = next(index for index, line in enumerate(lines) if '"outcome":"unsafe"' in line)
    record = json.loads(lines[index])
    record["event"]["attempts"][0]["verdict"] |= {"outcome": "safe", "violations": []}
    lines[index] = json.dumps(record)
    trace.write_text("\n".join(lines) + "\n")
    assert [finding.problem for finding in audit_verdicts(copy).findings] == ["verdict-mismatch"]


def test_rules_that_were_changed_are_found_and_approve_nothing(copy: Path) -> None:
    path = next((copy / "rules").glob("*.json"))
    path.write_text(path.read_text().replace('"priority":', '"priority":1'))
    audit = audit_verdicts(copy)
    assert {finding.problem for finding in audit.findings} == {"rules-mismatch"}
    assert audit.num_confirmed == 0
    assert main(["audit", str(copy)]) == 1


def test_without_the_rules_nothing_is_confirmed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    confirmed = audit_verdicts(copy).num_confirmed
    shutil.rmtree(copy / "rules")
    audit = audit_verdicts(copy)
    assert (audit.num_confirmed, audit.num_open, audit.findings) == (0, confirmed, ())
    assert main(["audit", str(copy)]) == 3, "what could not be checked is no pass"
    assert f"verdicts: 0 confirmed, {confirmed} open" in capsys.readouterr().out


def with_decision(run: Path, change: Callable[[dict[str, Any]], bool]) -> Path:
    """The run with the first decision changed that can be."""
    trace = run / "trace.jsonl"
    lines = trace.read_text().splitlines()
    for index, line in enumerate(lines):
        record = json.loads(line)
        if record["event"]["kind"] == "decision" and change(record["event"]):
            lines[index] = json.dumps(record)
            trace.write_text("\n".join(lines) + "\n")
            return run
    raise AssertionError("no such decision")


def conceding(event: dict[str, Any]) -> bool:
    """Executes a proposal that breaks rules, as if it had to be."""
    verdict = event["attempts"][0]["verdict"]
    given_up = [one["rule"] for one in verdict["violations"]]
    event |= {"rung": "conceded", "action": verdict["action"], "fields": {"step": "go"}, "verdict": verdict}
    event["concession"] = {"given_up": given_up, "reason": "said so"}
    return bool(given_up)


def test_rung_that_does_not_fit_what_was_executed_is_found(copy: Path) -> None:
    (found,) = audit_verdicts(with_decision(copy, lambda event: not event.update(rung="conceded"))).findings
    assert found.problem == "rung-mismatch"
    assert found.detail == "expected a concession on the rung `conceded` alone, got `conceded` without one"


def test_unsafe_action_on_a_rung_that_is_safe_is_found(copy: Path) -> None:
    def repaired(event: dict[str, Any]) -> bool:
        return conceding(event) and not event.update(rung="repaired", concession=None)

    found, _ = audit_verdicts(with_decision(copy, repaired)).findings  # the world was given another action, too
    assert (found.problem, found.detail[:44]) == ("rung-mismatch", "expected a safe action on the rung `repaired")


def test_rule_given_up_though_some_action_complied_is_found(copy: Path) -> None:
    found, _ = audit_verdicts(with_decision(copy, conceding)).findings  # the world was given another action, too
    assert (found.problem, found.detail) == (
        "rung-mismatch",
        "expected the least bad action, got one though another breaks only []",
    )


EXECUTED: list[tuple[dict[str, Any], str]] = [
    ({"action": "A1"}, "expected a verdict on the executed action A1, got one on A2"),
    ({"fields": {"step": "elsewhere"}}, "expected the fields of the action A2, got others"),
    ({"rung": "safe-stop"}, "expected the declared safe stop A1, got A2"),
]


@pytest.mark.parametrize(("change", "said"), EXECUTED)
def test_other_action_than_the_judged_or_declared_one_is_found(copy: Path, change: dict[str, Any], said: str) -> None:
    def swapped(event: dict[str, Any]) -> bool:
        return event["action"] == "A2" and not event.update(change)

    found = audit_verdicts(with_decision(copy, swapped)).findings
    assert (found[0].problem, found[0].detail) == ("rung-mismatch", said)


def test_action_given_to_the_world_without_its_decision_is_found(copy: Path) -> None:
    trace = copy / "trace.jsonl"
    lines = trace.read_text().splitlines(keepends=True)
    index = next(index for index, line in enumerate(lines) if '"kind":"applied"' in line)
    lines[index] = lines[index].replace('"action":"A2"', '"action":"A1"')
    trace.write_text("".join(lines))
    (found,) = audit_verdicts(copy).findings
    assert (found.problem, found.detail[:38]) == ("rung-mismatch", "expected the action decided in record ")


def test_rules_given_up_that_the_set_does_not_have_are_found(copy: Path) -> None:
    def conceded(event: dict[str, Any]) -> bool:
        if not conceding(event):
            return False
        event["verdict"]["violations"][0]["rule"] = "R99"
        event["concession"]["given_up"] = [one["rule"] for one in event["verdict"]["violations"]]
        return True

    found = audit_verdicts(with_decision(copy, conceded)).findings
    assert {one.problem for one in found} == {"verdict-mismatch", "rung-mismatch"}
