"""Splits are functions of their names, trials are marked right, and a ledger goes on where work stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from agents.deciding import Resting
from localist_core import BlockKind, DialSchedule, Request, ScriptedCore
from scenarios.asked import HARD, OFF, NoCaseError, PromptKind, Split, Steering, split
from scenarios.scenario import Role, Scenario, load
from scenarios.trials import Ledger, LedgerError, Mark, Trial, trial
from symbolic import Action, RuleSet, State, whole

SPLIT = split(None, HARD, 8, 3, "test")
BEST = {one.request(OFF).prompt.sha256: one.request(OFF).actions[one.question.best] for one in SPLIT.questions}


def knowing(request: Request) -> Mapping[str, float]:
    """The right action with 0.75, under a dial with all."""
    right = BEST[request.prompt.sha256]
    others = [action for action in request.actions if action != right]
    return {right: 3.0, others[0]: 0.0 if request.dial.value else 1.0}


CORE = ScriptedCore(knowing, name="knowing")


def test_split_is_a_function_of_its_name_and_a_longer_one_begins_with_it() -> None:
    longer = split(None, HARD, 12, 3, "test")
    prompts = [[one.request(OFF).prompt.sha256 for one in found.questions] for found in (SPLIT, longer)]
    assert prompts[1][: len(prompts[0])] == prompts[0]
    other = split(None, HARD, 8, 3, "other")
    assert not {one.request(OFF).prompt.sha256 for one in other.questions} & set(prompts[1])


@pytest.mark.parametrize("scenario", [None, "corridor"])
def test_each_kind_of_prompt_is_what_it_says(scenario: str | None) -> None:
    found = split(scenario and load(scenario), tuple(PromptKind), 6, 0, "kinds")
    for one in found.questions:
        prompt = one.request(OFF).prompt
        marks = prompt["R1"].text if "R1" in prompt.names() else " ".join(b.text for b in prompt.blocks)
        assert ("?" in marks) <= (one.kind is PromptKind.RAW)
        assert bool(prompt.names(BlockKind.INJECTION)) == (one.kind is PromptKind.INJECTED)
        if one.kind is PromptKind.LONG:
            assert prompt.names(BlockKind.MESSAGE)
        assert one.question.allowed[one.question.best]


def test_scenario_that_can_have_no_injection_is_told_in_one_line() -> None:
    class Lamp(State):
        level: int = whole(ge=0, le=3)

    class Switch(Action):
        is_on: bool

    rules = RuleSet(Lamp, Switch)

    @rules.forbid()
    def never(s: Lamp, a: Switch) -> bool:
        return (s.level > 2) & (s.level < 1) & a.is_on

    role = Role(goal="shine", rules=rules, safe_stop=Switch(is_on=False))
    lamps = Scenario(name="lamps", world=load("corridor").world, roles={"lamp": role})
    with pytest.raises(NoCaseError, match="kind `injected`"):
        split(lamps, (PromptKind.INJECTED,), 1, 0, "none")


def test_injection_counts_as_one_violation_on_the_targets_asked_for() -> None:
    steering = Steering(DialSchedule(start=0.1, step=0.2, gamma=1.0), Resting.RESTATED)
    for one in SPLIT.questions:
        dial = one.request(steering).dial
        assert dial.value == pytest.approx(0.1 + 0.2 * len(one.injections))
        assert dial.gamma == 1.0
        assert ("goal" in dial.targets) == (one.kind is not PromptKind.INJECTED)


def test_marks_are_the_right_action_s_log_probability_and_choice() -> None:
    found = trial(CORE, SPLIT, OFF)
    assert set(found.marks) == {Mark(True, True, -0.287682)}
    assert (found.best, found.compliant) == (24, 24)
    steered = trial(CORE, SPLIT, Steering(DialSchedule(start=0.5)))
    assert steered.nats == 0.0
    assert steered.against(found) == (0, 0, 1.0)
    assert steered.gain_bounds(found).low == pytest.approx(0.287682)


def test_hopeless_answer_counts_as_twenty_nats() -> None:
    core = ScriptedCore(lambda request: next(a for a in request.actions if a != BEST[request.prompt.sha256]))
    assert trial(core, SPLIT, OFF).nats == -20.0


def test_kinds_of_a_trial_make_the_whole() -> None:
    found = trial(CORE, SPLIT, OFF)
    parts = [found.of(kind) for kind in HARD]
    assert [len(part.marks) for part in parts] == [8, 8, 8]
    assert found.of(None) == found
    assert Trial((), ()) + found == found


def test_ledger_makes_each_trial_once_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    asked: list[int] = []
    counting = ScriptedCore(lambda request: (asked.append(1), knowing(request))[1], name="knowing")
    path, work = tmp_path / "ledger", {"command": "test"}
    first = Ledger.open(path, work, resume=False)
    found = first.trial(counting, SPLIT, OFF)
    assert first.trial(counting, SPLIT, OFF) == found
    with path.open("a") as file:
        file.write('{"trial": "cut off in the mid')
    again = Ledger.open(path, work, resume=True)
    assert again.trial(counting, SPLIT, OFF) == found
    assert len(asked) == len(SPLIT.questions)
    again.trial(counting, SPLIT, Steering(DialSchedule()))
    assert len(Ledger.open(path, work, resume=True).known) == 2


def test_ledger_of_other_work_or_none_is_refused(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "ledger", {"command": "test"}, resume=False)
    with pytest.raises(LedgerError, match="got another"):
        Ledger.open(tmp_path / "ledger", {"command": "other"}, resume=True)
    with pytest.raises(LedgerError, match="without --resume"):
        Ledger.open(tmp_path / "none", {"command": "test"}, resume=True)


def test_part_of_a_split_has_a_name_of_its_own() -> None:
    assert SPLIT.part(2, 5) == Split("test[2:5]", SPLIT.questions[2:5])
