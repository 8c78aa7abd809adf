"""Deciding in turn: what one agent is held to, and that agents which all commit this way keep every joint rule."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbolic import (
    UNKNOWN,
    Action,
    Commitment,
    Facts,
    Interval,
    Joint,
    JointRules,
    Outcome,
    RuleError,
    RuleSet,
    State,
    absolute,
    all_of,
    in_order,
    many,
    once,
    whole,
)
from tests.symbolic.joint_sets import STATES, Pace, Values, Walker, World, world

seeds = st.integers(0, 10_000)
several = st.lists(st.sampled_from(STATES), min_size=2, max_size=5)


def commitments(here: World, states: list[Values], acts: list[str | None]) -> dict[str, Commitment]:
    """What is known of agents `a`, `b`, ...: an act of None is not committed yet, or silent."""
    return {
        name: Commitment(
            name=name, rules=here.own, facts=here.facts(state), action=None if act is None else here.action(act)
        )
        for name, state, act in zip("abcde", states, acts, strict=False)
    }


@given(seed=seeds, states=several, ranks=st.permutations(range(5)), choices=st.randoms(use_true_random=False))
def test_commit_in_turn_all_agents_comply_with_every_joint_rule(
    seed: int, states: list[Values], ranks: list[int], choices: Random
) -> None:
    """The theorem: who commits later keeps the rules with those before, both ways round, so all pairs and groups do."""
    here = world(seed, with_counts=seed % 2 == 0)
    seen = commitments(here, states, [None] * len(states))
    peers, done = here.joint.peers(seen), dict[str, str]()
    for name in in_order({one: ranks[n] for n, one in enumerate(seen)}):
        place = "abcde".index(name)
        before = [
            Commitment(name=one, rules=here.own, facts=seen[one].facts, action=here.action(done[one]))
            for one in done
            if one in peers[name]
        ]
        after = [seen[one] for one in seen if one not in done and one != name and one in peers[name]]
        bound = here.joint.bind(here.own, here.facts(states[place]), before, after)
        free = [act for act in here.acts if bound.rules.check(bound.facts, here.action(act)).is_safe]
        if not free and (here.own.rules or bound.peers):
            return  # stuck: whether that can happen is what the proof says
        done[name] = choices.choice(free or list(here.acts))
    assert here.is_good(states, [done[name] for name in seen])


@given(seed=seeds, states=several, data=st.data())
def test_bind_committed_peers_check_is_exactly_what_the_pairs_and_groups_say(
    seed: int, states: list[Values], data: st.DataObject
) -> None:
    """For an agent among peers that comply so far: an action is safe if and only if they all comply with it."""
    here = world(seed, with_counts=seed % 2 == 0)
    acts = [data.draw(st.sampled_from(here.acts)) for _ in states]
    if not here.is_good(states, acts[:-1]):
        return
    seen = commitments(here, states, list(acts))
    last = list(seen)[-1]
    bound = here.joint.bind(here.own, here.facts(states[-1]), [seen[one] for one in here.joint.peers(seen)[last]])
    verdict = bound.rules.check(bound.facts, here.action(acts[-1]))
    if bound.rules.rules:
        assert verdict.is_safe is here.is_good(states, acts)


@given(seed=seeds, states=st.lists(st.sampled_from(STATES), min_size=2, max_size=2), is_seen=st.booleans())
def test_bind_silent_peer_allows_what_no_behaviour_of_it_could_break(
    seed: int, states: list[Values], is_seen: bool
) -> None:
    here = world(seed)
    facts = here.facts(states[1]) if is_seen else None
    silent = Commitment(name="b", rules=here.own, facts=facts, action=None)
    bound = here.joint.bind(here.own, here.facts(states[0]), [silent])
    for act in here.acts:
        worst = [
            here.joint.bind(
                here.own,
                here.facts(states[0]),
                [Commitment(name="b", rules=here.own, facts=here.facts(state), action=here.action(other))],
            )
            for state in ([states[1]] if is_seen else STATES)
            for other in here.acts
        ]
        is_safe = all(one.rules.check(one.facts, here.action(act)).is_safe for one in worst)
        assert bound.rules.check(bound.facts, here.action(act)).is_safe is is_safe


class Lift(State):
    floor: int = whole(ge=0, le=9)


class Ride(Action):
    do: Literal["halt", "up", "down"]


class Robot(State):
    floor: int = whole(ge=0, le=9)
    has_load: bool


class Drive(Action):
    go: Literal["wait", "board"]


def two_roles() -> tuple[RuleSet[Any, Any], RuleSet[Any, Any], Joint]:
    lift, robot = RuleSet(Lift, Ride), RuleSet(Robot, Drive)
    lift.forbid(id="top")(lambda s, a: (s.floor == 9) & (a.do == "up"))
    robot.forbid(id="empty")(lambda s, a: ~s.has_load & (a.go == "board"))
    rules = JointRules(Robot, Drive, Lift, Ride)
    rules.in_range(lambda i, j: absolute(i.floor - j.floor) <= 1)

    @rules.forbid(priority=90)
    def board_moving(i: Robot, a: Drive, j: Lift, b: Ride) -> bool:
        """Do not board a lift that moves or is elsewhere."""
        return (a.go == "board") & ((b.do != "halt") | (i.floor != j.floor))

    return lift, robot, Joint(rules)


def test_bind_two_roles_binds_both_sides_by_their_own_actions() -> None:
    lift, robot, joint = two_roles()
    seen = Facts.exact(Robot(floor=3, has_load=True))
    cabin = Facts.exact(Lift(floor=3))
    boarding = Commitment(name="robot-1", rules=robot, facts=seen, action=Drive(go="board"))
    moving = Commitment(name="lift-1", rules=lift, facts=cabin, action=Ride(do="up"))
    one, other = joint.bind(lift, cabin, [boarding]), joint.bind(robot, seen, [moving])
    assert one.rules.check(one.facts, Ride(do="halt")).is_safe
    assert [v.name for v in one.rules.check(one.facts, Ride(do="up")).violations] == ["board_moving_of_peer_1"]
    assert [v.name for v in other.rules.check(other.facts, Drive(go="board")).violations] == [
        "board_moving_with_peer_1"
    ]


def test_peers_unknown_position_counts_as_in_range() -> None:
    lift, robot, joint = two_roles()
    near, far = Facts.exact(Lift(floor=1)), Facts.exact(Lift(floor=8))
    blurred = Facts.of(Robot, floor=Interval(2, 4), has_load=UNKNOWN)
    names = {"lift-1": (lift, near), "lift-2": (lift, far), "robot-1": (robot, blurred), "robot-2": (robot, None)}
    seen = {
        name: Commitment(name=name, rules=rules, facts=facts, action=None) for name, (rules, facts) in names.items()
    }
    assert joint.peers(seen) == {
        "lift-1": {"robot-1", "robot-2"},
        "lift-2": {"robot-2"},
        "robot-1": {"lift-1"},
        "robot-2": {"lift-1", "lift-2"},
    }


def test_bind_old_facts_of_a_peer_age_the_whole() -> None:
    lift, robot, joint = two_roles()
    peer = Commitment(name="b", rules=lift, facts=Facts.exact(Lift(floor=1), age_s=3.0), action=Ride(do="halt"))
    assert joint.bind(robot, Facts.exact(Robot(floor=1, has_load=True)), [peer]).facts.age_s == 3.0


def test_bind_facts_of_another_type_are_unknown_state() -> None:
    lift, robot, joint = two_roles()
    peer = Commitment(name="b", rules=lift, facts=Facts.exact(Walker(**STATES[0])), action=Ride(do="halt"))
    bound = joint.bind(robot, Facts.exact(Robot(floor=1, has_load=True)), [peer])
    assert bound.facts.value("peer_1_floor") is UNKNOWN
    assert bound.rules.check(bound.facts, Drive(go="board")).outcome is Outcome.UNSAFE


def test_bind_own_facts_of_another_type_are_undecided_and_never_safe() -> None:
    class Twin(State):
        floor: int = whole(ge=0, le=9)
        has_load: bool

    lift, robot, joint = two_roles()
    peer = Commitment(name="b", rules=lift, facts=Facts.exact(Lift(floor=1)), action=Ride(do="halt"))
    bound = joint.bind(robot, Facts.exact(Twin(floor=1, has_load=True)), [peer])
    assert bound.rules.check(bound.facts, Drive(go="wait")).outcome is Outcome.UNDECIDED


def test_symmetric_claim_that_is_false_is_refused_with_the_pair() -> None:
    rules = JointRules(Walker, Pace)
    rules.forbid(id="behind", is_symmetric=True)(lambda i, a, j, b: (i.place < j.place) & (a.to == "go"))
    with pytest.raises(RuleError, match=r"rule `behind`: expected the same both ways round.*peer_place [12]"):
        Joint(rules).circle(RuleSet(Walker, Pace), [RuleSet(Walker, Pace)])


def test_symmetric_rule_is_checked_once_and_others_both_ways() -> None:
    own, rules = RuleSet(Walker, Pace), JointRules(Walker, Pace)
    rules.in_range(lambda i, j: absolute(i.place - j.place) <= 1)
    rules.forbid(id="both", is_symmetric=True)(lambda i, a, j, b: (b.to == "go") & (a.to == "go"))
    rules.forbid(id="same")(lambda i, a, j, b: (i.place + 1 == j.place) & (a.to == "go") & (b.to == "stay"))
    rules.forbid(id="taken")(lambda i, a, j, b: (i.place + 1 == j.place) & (a.to == "go"))
    # Not alike as trees, so the solver must show it: i - j >= 1 or <= -1 is the same both ways round.
    apart = rules.require(id="apart", is_symmetric=True)
    apart(lambda i, a, j, b: (i.place - j.place >= 1) | (j.place >= 1 + i.place) | (a.to == b.to))
    names = {rule.name for rule in Joint(rules).circle(own, [own]).rules.rules}
    both_ways = {"same_with_peer_1", "same_of_peer_1"}
    assert names == {"both_with_peer_1", "apart_with_peer_1", "taken_with_peer_1"} | both_ways


def test_bind_peer_still_to_commit_binds_only_in_what_the_agent_alone_decides() -> None:
    own, rules = RuleSet(Walker, Pace), JointRules(Walker, Pace)
    rules.forbid(id="both", is_symmetric=True)(lambda i, a, j, b: (b.to == "go") & (a.to == "go"))
    rules.forbid(id="taken")(lambda i, a, j, b: (i.place + 1 == j.place) & (a.to == "go"))
    joint, behind = Joint(rules), Facts.exact(Walker(place=0, tired=False))
    ahead = Commitment(name="b", rules=own, facts=Facts.exact(Walker(place=1, tired=False)), action=None)
    bound = joint.bind(own, behind, [], [ahead])
    assert [found.name for found in bound.rules.check(bound.facts, Pace(to="go")).violations] == ["taken_with_peer_1"]
    assert [rule.name for rule in bound.rules.rules] == ["taken_with_peer_1"]
    assert ahead.facts is not None
    # Whoever is ahead has nothing to do with it, whatever the one behind it has committed to.
    late = joint.bind(own, ahead.facts, [Commitment(name="a", rules=own, facts=behind, action=Pace(to="go"))])
    assert late.rules.check(late.facts, Pace(to="stay")).is_safe


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda r: r.in_range(lambda i, j: True), "got a constant"),
        (lambda r: r.forbid(id="x")(lambda i, a, j, b: i.speed == 1), "expected a field of `Walker`"),
        (lambda r: r.at_most(0, id="x")(lambda s, a: a.to == "go"), "expected a number of 1 or more"),
        (lambda r: r.forbid(id="x")(lambda i, a, j, b: (a.to == "go") and (b.to == "go")), "rule `x`: "),
    ],
)
def test_declare_wrong_rule_says_where(declare: Any, said: str) -> None:
    with pytest.raises(RuleError, match=rf"test_joint_commit.py:\d+: .*{said}"):
        declare(JointRules(Walker, Pace))


def test_declare_look_back_or_neighbours_is_refused_with_what_to_do() -> None:
    class Crowd(State):
        tired: bool
        others: tuple[Walker, ...] = many(Walker, at_most=1)

    rules = JointRules(Crowd, Pace)
    with pytest.raises(RuleError, match="got a look back; let a rule of the role remember it"):
        rules.forbid(id="was")(lambda i, a, j, b: once(j.tired) & (a.to == "go"))
    with pytest.raises(RuleError, match="got the neighbours `others`; ask for them in the rules of the role"):
        rules.forbid(id="near")(lambda i, a, j, b: all_of(j.others, lambda o: o.tired) & (a.to == "go"))


def test_declare_fields_that_clash_are_refused() -> None:
    class Odd(Action):
        place: Literal["a", "b"]

    with pytest.raises(RuleError, match="got `peer_place` twice"):
        JointRules(Walker, Odd)


def test_in_order_ranks_first_then_names() -> None:
    assert in_order({"b": 0, "a": 0, "c": 2}) == ("c", "a", "b")


def test_joint_rules_json_tells_sets_apart() -> None:
    def declared(reach: int) -> JointRules[Any, Any, Any, Any]:
        rules = JointRules(Walker, Pace)
        rules.in_range(lambda i, j: absolute(i.place - j.place) <= reach)
        rules.forbid(id="both")(lambda i, a, j, b: (a.to == "go") & (b.to == "go"))
        return rules

    assert declared(1).sha256 == declared(1).sha256
    assert len({declared(reach).sha256 for reach in itertools.chain((1, 2))}) == 2


def lone_walkers(name: str = "worn_out") -> RuleSet[Walker, Pace]:
    """A role with one rule: who is tired stays."""
    rules = RuleSet(Walker, Pace)

    @rules.forbid(priority=90, id=name)
    def own(s: Walker, a: Pace) -> bool:
        return s.tired & (a.to == "go")

    return rules


def test_rule_of_the_role_and_quota_of_one_name_are_refused_and_neither_is_lost() -> None:
    rules, joint = lone_walkers(), JointRules(Walker, Pace)

    @joint.at_most(1, id="worn_out")
    def first(s: Walker, a: Pace) -> bool:
        return (s.place == 0) & (a.to == "go")

    with pytest.raises(RuleError, match="`worn_out`: expected a new name"):
        Joint(joint).circle(rules, [rules])


def test_joint_rules_of_one_name_in_two_sets_are_refused_and_neither_is_lost() -> None:
    rules, sets = lone_walkers(), (JointRules(Walker, Pace), JointRules(Walker, Pace))
    for place, joint in enumerate(sets):

        @joint.forbid(id="together")
        def both(i: Walker, a: Pace, j: Walker, b: Pace, place: int = place) -> bool:
            return (i.place == place) & (a.to == "go") & (b.to == "go")

    with pytest.raises(RuleError, match="expected a new name"):
        Joint(*sets).circle(rules, [rules])


def test_joint_rule_with_the_name_of_one_of_the_role_is_seen_broken() -> None:
    rules, joint = lone_walkers("together"), JointRules(Walker, Pace)

    @joint.forbid(is_symmetric=True)
    def together(i: Walker, a: Pace, j: Walker, b: Pace) -> bool:
        return (a.to == "go") & (b.to == "go")

    fresh, go = Facts.exact(Walker(place=0, tired=False)), Pace(to="go")
    one, other = (Commitment(name=name, rules=rules, facts=fresh, action=go) for name in "ab")
    assert Joint(joint).broken(one, [other]) == ("together with b",)


def test_facts_that_contradict_what_they_remember_are_undecided_beside_peers() -> None:
    rules, joint = RuleSet(Walker, Pace), JointRules(Walker, Pace)

    @rules.forbid()
    def rest(s: Walker, a: Pace) -> bool:
        return once(s.tired, within_s=2) & (a.to == "go")

    @joint.forbid(is_symmetric=True)
    def together(i: Walker, a: Pace, j: Walker, b: Pace) -> bool:
        return (a.to == "go") & (b.to == "go")

    odd = Facts.from_codes(rules.state, (0, 1, 0))  # tired now, and not within the last two seconds
    bound = Joint(joint).bind(rules, odd, [Commitment(name="b", rules=rules, facts=None, action=Pace(to="stay"))])
    assert bound.rules.check(bound.facts, Pace(to="go")).outcome is Outcome.UNDECIDED


class Drifter(Walker):
    place: int = whole(ge=0, le=5)


def test_role_that_declares_a_field_of_the_joint_rules_anew_is_refused() -> None:
    rules, joint = RuleSet(Drifter, Pace), JointRules(Walker, Pace)

    @rules.forbid()
    def edge(s: Drifter, a: Pace) -> bool:
        return (s.place == 5) & (a.to == "go")

    @joint.forbid(is_symmetric=True)
    def together(i: Walker, a: Pace, j: Walker, b: Pace) -> bool:
        return (a.to == "go") & (b.to == "go")

    with pytest.raises(RuleError, match="expected `place` of `Drifter` to have values of that of `Walker`"):
        Joint(joint).circle(rules, [rules])


def test_range_that_is_declared_after_the_first_use_is_refused() -> None:
    joint = JointRules(Walker, Pace)

    @joint.forbid()
    def together(i: Walker, a: Pace, j: Walker, b: Pace) -> bool:
        return (a.to == "go") & (b.to == "go")

    assert joint.rules
    with pytest.raises(RuleError, match="expected one range before the first use"):
        joint.in_range(lambda i, j: i.place == j.place)
