"""Tuning finds the best of a grid, says what each factor does, and reports on other questions."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deciding import Resting
from localist_core import Request, ScriptedCore
from scenarios.asked import OFF, PromptKind, split
from scenarios.calibration import Answer, fit, nats
from scenarios.cli import main
from scenarios.commands.tune import temperatures_of
from scenarios.config import ConfigError
from scenarios.setting import Setting
from scenarios.trials import Ledger
from scenarios.tuning import FACTORS, Grid, Point, effects, neighbours, tune

CHOOSING = split(None, (PromptKind.PLAIN,), 12, 0, "choose")
REPORTING = split(None, (PromptKind.PLAIN,), 7, 0, "report")
BEST = {
    one.request(OFF).prompt.sha256: one.request(OFF).actions[one.question.best]
    for part in (CHOOSING, REPORTING)
    for one in part.questions
}
GRID = Grid(rise=((0.0, 0.0, 0.0), (0.2, 0.3, 0.8), (1.0, 0.0, 1.0)), gamma=(0.0, 3.0))


def liking(request: Request) -> Mapping[str, float]:
    """Likes a low dial of the odds kind and a high gamma."""
    right = BEST[request.prompt.sha256]
    other = next(action for action in request.actions if action != right)
    dial = request.dial
    scale = 0.0 if dial.value == 0.0 else 2.0 if dial.value < 0.5 else 0.5
    return {right: 1.0 + scale * (1.0 + (dial.kind == "odds") + dial.gamma), other: 1.0}


def tuned():
    core = ScriptedCore(liking)
    return tune(core, GRID, None, choosing=CHOOSING, reporting=REPORTING, first=2, ledger=Ledger())


def test_best_point_of_the_grid_wins_and_is_reported_beside_off_and_default() -> None:
    found = tuned()
    assert (found.winner.rise, found.winner.kind, found.winner.gamma) == ((0.2, 0.3, 0.8), "odds", 3.0)
    assert found.rounds == ((36, 2), (12, 6), (4, 12))
    reported = {name: trial.nats for name, trial in found.reported.items()}
    assert reported["tuned"] > reported["default"] > reported["dial 0"]
    assert {len(trial.marks) for trial in found.reported.values()} == {7}


def test_every_step_away_from_the_best_is_worse_or_equal_here() -> None:
    found = tuned()
    steps = {(row.factor, row.level) for row in found.sensitivity}
    assert ("kind", "floor") in steps
    assert ("gamma", 0.0) in steps
    assert all(row.trial.nats <= found.chosen_by.nats for row in found.sensitivity)


def test_two_way_table_holds_the_means_of_the_pair_that_matters_most() -> None:
    found = tuned()
    pair = next(effect.factors for effect in found.effects if len(effect.factors) == 2)
    assert len(found.together) == math.prod(len(getattr(GRID, factor)) for factor in pair)
    whole = sum(trial.nats for _, trial in found.first_round) / len(found.first_round)
    assert sum(found.together.values()) / len(found.together) == pytest.approx(whole)


def test_neighbours_differ_in_one_factor_and_are_other_settings() -> None:
    off = Point(rise=(0.0, 0.0, 0.0), kind="floor", gamma=0.0, targets=Resting.TRUSTED)
    assert {factor for factor, _, _ in neighbours(off, GRID)} == {"rise"}


def test_shares_of_an_additive_function_are_single_and_of_a_product_in_pairs() -> None:
    points = GRID.points()
    added = {point: point.gamma + 2.0 * (point.kind == "odds") for point in points}
    shares = {effect.factors: effect.share for effect in effects(added, GRID)}
    assert shares[("gamma",)] == pytest.approx(9.0 / 13.0)
    assert shares[("kind",)] == pytest.approx(4.0 / 13.0)
    assert sum(shares.values()) == pytest.approx(1.0)
    crossed = {point: (1.0 if point.gamma else -1.0) * (1.0 if point.kind == "odds" else -1.0) for point in points}
    shares = {effect.factors: effect.share for effect in effects(crossed, GRID)}
    assert shares[("kind", "gamma")] == pytest.approx(1.0)


@given(st.lists(st.floats(-20.0, 0.0), min_size=36, max_size=36))
def test_shares_lie_between_0_and_1_and_make_at_most_1(values: list[float]) -> None:
    found = effects(dict(zip(GRID.points(), values, strict=True)), GRID)
    assert all(-1e-9 <= effect.share <= 1.0 + 1e-9 for effect in found)
    assert sum(effect.share for effect in found) <= 1.0 + 1e-6
    assert [e.factors for e in found if len(e.factors) == 1] == sorted(
        ((factor,) for factor in FACTORS), key=lambda f: -next(e.share for e in found if e.factors == f)
    )


def test_fitted_temperature_brings_overconfident_answers_down() -> None:
    bold = [Answer((0.99, 0.01), 0)] * 7 + [Answer((0.99, 0.01), 1)] * 3
    fitted = fit(bold)
    assert fitted > 1.0
    assert nats(bold, fitted) > nats(bold, 1.0)
    assert nats(bold, 1.0) == pytest.approx(0.7 * math.log(0.99) + 0.3 * math.log(0.01))
    assert fit([Answer((0.5, 0.5), 0)]) == 1.0


def test_probability_of_0_counts_as_the_least() -> None:
    assert nats([Answer((0.0, 1.0), 0)], 2.0) == -20.0


@pytest.mark.parametrize("text", ["0", "-1", "warm", "nan"])
def test_temperature_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--temperatures"):
        temperatures_of(text)
    assert temperatures_of("") == ()


def test_command_leaves_a_setting_a_table_and_rows(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, rows = tmp_path / "setting.json", tmp_path / "rows.csv"
    counts = ("--choose", "2", "--report", "2", "--prompts", "plain", "--temperatures", "2", "--model", model)
    assert main(["tune", "corridor", *counts, "--out", str(out), "--csv", str(rows), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["tau"] for row in printed["made"]["attention_temperature"]] == [2.0]
    assert Setting.load(out).dial is not None
    parts = [row["part"] for row in csv.DictReader(rows.read_text().splitlines())]
    assert parts.count("grid") == len(Grid().points())
    assert parts.count("best") == 1
