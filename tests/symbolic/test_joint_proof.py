"""What is proved of joint rules, against every joint state and action of small domains."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from symbolic import Answer, Joint, JointRules, RuleSet, Sort, once, verify_joint
from symbolic.joining.asking import Proof
from symbolic.joining.blockade import blockade
from symbolic.solving.smt import Solver, default_solver
from tests.symbolic.joint_sets import STATES, Pace, Walker, World, world

NUM_SETS = 200


def exists(here: World, size: int) -> bool:
    """By brute force: in every joint state some joint action keeps every rule."""
    joint_acts = list(itertools.product(here.acts, repeat=size))
    return all(
        any(here.is_good(states, acts) for acts in joint_acts) for states in itertools.product(STATES, repeat=size)
    )


def in_turn(here: World, size: int) -> bool:
    """By brute force: each finds an action in turn, whatever those before it chose among what they might."""
    return all(
        any(here.is_good(states, (*before, act)) for act in here.acts)
        for states in itertools.product(STATES, repeat=size)
        for place in range(size)
        for before in itertools.product(here.acts, repeat=place)
        if here.is_good(states, before)
    )


def absent() -> Solver:
    def load() -> Any:
        raise ImportError("no solver")

    return Solver(load=load)


@pytest.mark.parametrize("part", range(4))
def test_verify_joint_random_sets_agrees_with_brute_force(part: int) -> None:
    for seed in range(part * NUM_SETS // 4, (part + 1) * NUM_SETS // 4):
        here = world(seed, with_counts=seed % 3 == 0)
        wanted = [(yes(exists(here, size)), yes(in_turn(here, size))) for size in (2, 3)]
        solved = verify_joint(here.joint, {"walker": here.own}, complete=0, sample=1)
        swept = verify_joint(here.joint, {"walker": here.own}, solver=NO_SOLVER)
        for report in (solved, swept):
            assert [(one.exists, one.in_turn) for one in report.groups] == wanted, seed
            assert not [one for one in report.findings if one.sort is Sort.FAULT], seed
        if not here.counts:
            assert solved.any_size is yes(in_turn(here, 1) and all(both is Answer.YES for _, both in wanted)), seed


def is_free_beside_silent(here: World) -> bool:
    """By brute force: in every state some action that no peer can break, whatever it perceives and does."""
    return all(
        any(
            not any(broken(state, act) for broken in here.may)
            and all(
                here.is_mine((state, act), (peer, other))
                and all(not (does(state, act) and does(peer, other)) for _, does in here.counts)
                for peer in STATES
                for other in here.acts
            )
            for act in here.acts
        )
        for state in STATES
    )


def test_verify_joint_beside_silent_peers_agrees_with_brute_force() -> None:
    found = set()
    for seed in range(100):
        here = world(seed, num_acts=2 + seed % 2, with_counts=seed % 3 == 0)
        if in_turn(here, 1):
            asked = blockade(
                Proof(joints=here.joint.sets, solver=default_solver(), complete=0, sample=1),
                here.own,
                [here.own],
                is_compliant=False,
            )
            assert (asked.found is False) is is_free_beside_silent(here), seed
            found.add(asked.found is False)
    assert found == {True, False}


NO_SOLVER = absent()


def yes(found: bool) -> Answer:
    return Answer.YES if found else Answer.NO


@pytest.mark.parametrize("seed", range(12))
def test_verify_joint_any_size_three_actions_holds_for_four_agents(seed: int) -> None:
    here = world(seed, num_acts=3, with_counts=seed % 2 == 0)
    report = verify_joint(here.joint, {"walker": here.own}, complete=0, sample=1)
    if report.any_size is Answer.YES:
        assert all(in_turn(here, size) for size in (1, 2, 3))
        assert is_never_stuck_of_four(here)
    warned = any("shown for groups of up to 3 only" in one.text for one in report.findings)
    assert warned is (report.any_size is Answer.UNKNOWN and not report.unknowns)


def is_never_stuck_of_four(here: World) -> bool:
    """Whether the last of four agents finds an action, at some of the joint states."""
    joint_states = list(itertools.product(STATES, repeat=4))[::29]
    return all(
        any(here.is_good(states, (*before, act)) for act in here.acts)
        for states in joint_states
        for before in itertools.product(here.acts, repeat=3)
        if here.is_good(states, before)
    )


def test_verify_joint_without_solver_and_too_many_points_says_unknown_or_what_is_true() -> None:
    found = set()
    for seed in range(10):
        here = world(seed)
        report = verify_joint(here.joint, {"walker": here.own}, solver=NO_SOLVER, complete=0, sample=1)
        for size, one in zip((2, 3), report.groups, strict=True):
            assert one.exists in (Answer.UNKNOWN, yes(exists(here, size))), seed
            assert one.in_turn in (Answer.UNKNOWN, yes(in_turn(here, size))), seed
            found |= {one.exists, one.in_turn}
        assert Answer.UNKNOWN not in [one.in_turn for one in report.groups] or report.unknowns or report.errors
    assert Answer.UNKNOWN in found


def squeeze() -> tuple[RuleSet[Any, Any], Joint]:
    """Agents of which two may stand still, and a third may not, with nowhere to go: the case that a pair hides."""
    own = RuleSet(Walker, Pace)
    own.require(id="stay")(lambda s, a: a.to == "stay")
    rules = JointRules(Walker, Pace)
    rules.at_most(2, id="crowd")(lambda s, a: a.to == "stay")
    return own, Joint(rules)


def test_verify_joint_third_agent_too_many_shows_the_state_and_its_rules() -> None:
    own, joint = squeeze()
    report = verify_joint(joint, {"walker": own})
    assert [one.exists for one in report.groups] == [Answer.YES, Answer.NO]
    assert report.any_size is Answer.NO
    stuck = next(one for one in report.errors if one.sort is Sort.STUCK)
    assert stuck.text.endswith("here: stay breaks crowd; go breaks stay")
    assert dict(stuck.state)["agent_1_to"] == "stay"


@pytest.mark.parametrize(("complete", "sample"), [(10**6, 1), (0, 1)], ids=["sweep", "solver"])
def test_verify_joint_states_that_memory_excludes_are_no_counterexample(complete: int, sample: int) -> None:
    """Who was never tired must go, who is tired must stay; without what the present says of memory both would bind."""
    own = RuleSet(Walker, Pace)
    own.forbid(id="fresh")(lambda s, a: ~once(s.tired) & (a.to == "stay"))
    own.forbid(id="tired")(lambda s, a: s.tired & (a.to == "go"))
    rules = JointRules(Walker, Pace)
    rules.forbid(id="both")(lambda i, a, j, b: (i.place < j.place) & (a.to == "go") & (b.to == "go") & j.tired)
    report = verify_joint(Joint(rules), {"walker": own}, complete=complete, sample=sample)
    assert [(one.exists, one.in_turn) for one in report.groups] == [(Answer.YES, Answer.YES)] * 2
    assert (report.any_size, report.beside_silent, report.errors) == (Answer.YES, Answer.NO, ())


def test_verify_joint_role_without_joint_rules_is_refused() -> None:
    own, joint = squeeze()
    other = RuleSet(type(own.state.__name__, (Walker,), {}), type("Other", (Pace,), {}))
    with pytest.raises(ValueError, match="a role that some joint rule is about"):
        verify_joint(joint, {"other": other})
