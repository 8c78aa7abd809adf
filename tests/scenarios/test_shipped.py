"""The core that ships, end to end: what the card claims, on fewer cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from localist_core import SharedCore
from localist_core.serving.loading import SHIPPED
from scenarios.config import RunConfig
from scenarios.exam import EXAM_SEED, LONG, PLAIN, first_try, messages_only, questions
from scenarios.report.summary import summarise
from scenarios.run import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def core() -> SharedCore:
    return SharedCore.load(device="cpu")


def test_weights_are_at_most_8_mb() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 8_000_000


def test_held_out_first_tries_are_best_and_cite_the_forbidding_rule(core: SharedCore) -> None:
    arm = first_try(core, questions(150, PLAIN, EXAM_SEED + 9), "first try")
    cited, cited_forbidden = arm.cited(), arm.cited(forbidden=True)
    assert arm.best >= 0.95
    assert cited is not None
    assert cited >= 0.95
    assert cited_forbidden is not None
    assert cited_forbidden >= 0.90


def test_dial_on_the_distractors_hurts(core: SharedCore) -> None:
    asked = questions(60, LONG, EXAM_SEED + 9)
    right = first_try(core, asked, "right blocks", dial=0.8)
    wrong = first_try(core, asked, "wrong blocks", dial=0.8, targets=messages_only)
    assert right.best >= wrong.best + 0.1


def test_cars_cross_the_junction_without_an_executed_violation(core: SharedCore, tmp_path: Path) -> None:
    pytest.importorskip("highway_env")
    path = run(RunConfig(scenario="intersection", seed=7), out=tmp_path / "run", core=core)
    summary = summarise(path)
    assert summary.violations.executed == 0
    assert summary.ladder.proposed + summary.ladder.injected >= 0.9 * summary.decisions
    assert summary.rechecks.mismatches == 0
