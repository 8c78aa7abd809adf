"""Verdicts of a finished run decided again: confirmed, contradicted or inconclusive, and what the shell is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scenarios.cli import main
from scenarios.commands.arguments import Exit
from scenarios.config import RunConfig
from scenarios.redecided import Noted, redecide_run
from scenarios.report.summary import summarise
from scenarios.run import run
from symbolic import NO, YES, RuleSet
from symbolic.solving.redecision import Redecision, redecide
from tests.scenarios.policies import CONTRITE


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(RunConfig(scenario="corridor", seed=3), out=tmp_path_factory.mktemp("z3") / "run", core=CONTRITE)


def test_true_verdicts_are_confirmed_by_z3_with_progress(finished: Path) -> None:
    told: list[tuple[int, int]] = []
    found = redecide_run(finished, watch=lambda done, total: told.append((done, total)))
    count = summarise(finished).rechecks.verdicts
    assert (found.num_confirmed, found.num_mismatched, found.num_inconclusive) == (count, 0, 0)
    assert (found.findings, told[-1]) == ((), (count, count))


def test_false_verdicts_are_contradicted_by_z3_rule_by_rule(finished: Path) -> None:
    def lied(rules: RuleSet[Any, Any], notes: Sequence[Noted]) -> Redecision:
        """The first rule told wrongly in every record."""
        return redecide(rules, [(f, a, [NO if claims[0] is YES else YES, *claims[1:]]) for f, a, claims in notes])

    found = redecide_run(finished, decide=lied)
    assert (found.num_confirmed, found.num_mismatched) == (0, summarise(finished).rechecks.verdicts)
    assert found.findings[0].detail == "Z3: R1: recorded broken, found kept; the solver disagrees"


def test_audit_with_z3_tells_counts_and_passes(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(finished), "--z3"]) == Exit.PASS
    assert "\nZ3: " in capsys.readouterr().out
    assert main(["audit", str(finished), "--z3", "--json"]) == Exit.PASS
    told = json.loads(capsys.readouterr().out)
    assert told["z3"] == {"confirmed": told["verdicts"]["confirmed"], "mismatched": 0, "inconclusive": 0}


def test_audit_with_z3_without_rules_is_inconclusive(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "rules")
    assert main(["audit", str(tmp_path / "run"), "--z3"]) == Exit.INCONCLUSIVE
    assert "Z3: 0 confirmed, 0 mismatched, " in capsys.readouterr().out


def test_audit_of_a_trace_file_has_no_rules_for_z3(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(finished / "trace.jsonl"), "--z3"]) == Exit.USAGE
    assert "expected a run directory for --z3" in capsys.readouterr().err
