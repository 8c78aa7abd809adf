"""A profile finds the heads that help, chooses on one split and reports on another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from agents.deciding import Resting
from localist_core import DialSchedule, Request, ScriptedCore
from scenarios.asked import OFF, PromptKind, Steering, split
from scenarios.cli import main
from scenarios.profiling import Sized, enough, groups_of, profile, sizes_up_to
from scenarios.setting import Setting
from scenarios.trials import Ledger

CHOOSING = split(None, (PromptKind.PLAIN,), 6, 0, "choose")
REPORTING = split(None, (PromptKind.PLAIN,), 9, 0, "report")
BEST = {
    one.request(OFF).prompt.sha256: one.request(OFF).actions[one.question.best]
    for part in (CHOOSING, REPORTING)
    for one in part.questions
}
STEERING = Steering(DialSchedule(start=0.8, step=0.0, top=0.8), Resting.APPLYING)
HELPS = {(0, 1): 2.0, (1, 0): 5.0, (1, 1): -0.5}
"""What the dial on a head adds to the weight of the right action, from 1."""


def headed(request: Request) -> Mapping[str, float]:
    steered = (request.dial.heads or HELPS) if request.dial.value else ()
    right = BEST[request.prompt.sha256]
    other = next(action for action in request.actions if action != right)
    return {right: 1.0 + sum(HELPS.get(head, 0.0) for head in steered), other: 1.0}


CORE = ScriptedCore(headed)


def found(core: ScriptedCore = CORE, *, by_layer: bool = False):
    groups = groups_of(2, 2, by_layer=by_layer)
    return profile(core, groups, STEERING, choosing=CHOOSING, reporting=REPORTING, seed=0, ledger=Ledger())


def test_heads_are_ranked_by_what_each_gains_alone() -> None:
    ranking = found().ranking
    assert [row.heads for row in ranking] == [((1, 0),), ((0, 1),), ((0, 0),), ((1, 1),)]
    assert ranking[0].nats > ranking[1].nats > ranking[2].nats == 0.0 > ranking[3].nats


def test_best_two_are_chosen_and_stand_beside_none_all_random_and_bottom() -> None:
    profiled = found()
    assert profiled.chosen == ((0, 1), (1, 0))
    assert profiled.helps
    names = [arm.name for arm in profiled.arms]
    assert names == ["none", "all", "profiled", "random 1", "random 2", "random 3", "bottom"]
    nats = {arm.name: arm.trial.nats for arm in profiled.arms}
    assert nats["profiled"] > nats["all"] > nats["none"]
    assert nats["bottom"] < nats["none"]
    assert {len(arm.heads) for arm in profiled.arms[2:]} == {2}
    assert {len(arm.trial.marks) for arm in profiled.arms} == {9}


def test_layers_are_ranked_whole() -> None:
    profiled = found(by_layer=True)
    assert profiled.ranking[0].heads == ((1, 0), (1, 1))


def test_core_that_no_head_helps_is_said_to_be_so() -> None:
    deaf = ScriptedCore(lambda request: BEST[request.prompt.sha256])
    profiled = found(deaf)
    assert not profiled.helps
    assert len(profiled.chosen) == 1


@pytest.mark.parametrize(("count", "sizes"), [(1, (1,)), (5, (1, 2, 4, 5)), (8, (1, 2, 4, 8))])
def test_sizes_double_up_to_all(count: int, sizes: tuple[int, ...]) -> None:
    assert sizes_up_to(count) == sizes


def test_smallest_number_with_nearly_the_largest_gain_is_taken() -> None:
    def sized(*gains: float) -> tuple[Sized, ...]:
        return tuple(Sized(size=index, nats=nats) for index, nats in enumerate(gains, 1))

    assert enough(sized(0.5, 0.99, 1.0)).size == 2
    assert enough(sized(-0.5, -0.2, -0.3)).size == 2
    assert enough(sized(0.0, 0.0)).size == 1


def test_command_leaves_a_profile_that_a_run_can_name(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "profile.json"
    counts = ("--choose", "2", "--report", "2", "--prompts", "plain", "--by", "layer", "--model", model)
    assert main(["profile", "corridor", *counts, "--out", str(out), "--json"]) in (0, 3)
    printed = json.loads(capsys.readouterr().out)
    assert printed["made"]["command"] == "profile"
    assert len(printed["made"]["ranking"]) == 2
    assert not (tmp_path / "profile.json.ledger").exists()
    setting = Setting.load(out)
    assert setting.heads
    argv = ["run", "corridor", "--seed", "3", "--model", model, "--profile", str(out), "--out", str(tmp_path / "run")]
    assert main([*argv, "--json"]) == 0
    capsys.readouterr()
    assert main(["run", "corridor", "--profile", str(out)]) == 2
    assert "profile this core" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--choose", "0"], "--choose"),
        (["--dial", "0"], "--dial"),
        (["--prompts", "hard"], "--prompts"),
        (["--resume"], "--resume"),
    ],
)
def test_wrong_argument_is_told_in_one_line(
    argv: list[str], expected: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--choose", "1", "--report", "1", "--model", model, *argv]
    assert main(["profile", "corridor", "--out", str(tmp_path / "p.json"), *arguments]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
