"""What a change of rules does: against trying every point, and laws that every comparison keeps."""

from __future__ import annotations

from random import Random

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symbolic import Action, Facts, RuleError, RuleSet, RuleStore, State, batch, fields, whole
from symbolic.proving.report import Answer
from symbolic.reloading.diff import diff
from symbolic.reloading.difference import Change, Difference, Relation, Side
from symbolic.remembering.monitor import migrated
from symbolic.remembering.terms import once
from symbolic.solving.smt import Solver
from tests.symbolic import drawn
from tests.symbolic.strategies import ALL_READS, Operate, Plant, conditions, rule_sets
from tests.symbolic.test_batch import DONE, STATES

SOLVER = Solver()
MIRRORED = {Relation.STRICTER: Relation.LOOSER, Relation.LOOSER: Relation.STRICTER}


def compared(old: RuleSet[Plant, Operate], new: RuleSet[Plant, Operate], *, is_census: bool = True) -> Difference:
    found = diff(old, new, solver=SOLVER) if is_census else diff(old, new, solver=SOLVER, complete=0, sample=1)
    assert found.faults == ()
    assert found.is_complete is is_census
    return found


def copy(rules: RuleSet[Plant, Operate], *, without: int | None = None) -> RuleSet[Plant, Operate]:
    """The same rules declared in the opposite order, one left out where it has a place."""
    again = RuleSet(Plant, Operate)
    for place, rule in reversed(list(enumerate(rules.rules))):
        if place != without:
            again.declare(rule.declared)
    for permit in rules.permits:
        again.declare(permit)
    return again


def tried(old: RuleSet[Plant, Operate], new: RuleSet[Plant, Operate]) -> tuple[set[str], set[str]]:
    """Names of the rules by which something becomes forbidden, and allowed, by trying every point."""
    views = [(batch(old), batch(new), new), (batch(new), batch(old), old)]
    found: list[set[str]] = []
    for before, after, rules in views:
        hit = numpy.zeros(len(rules.rules), dtype=bool)
        for action in DONE:
            hit |= (after(STATES, action) & ~before(STATES, action).any(1)[:, None]).any(0)
        found.append({rule.name for rule, is_hit in zip(rules.rules, hit, strict=True) if is_hit})
    return found[0], found[1]


def agree(old: RuleSet[Plant, Operate], new: RuleSet[Plant, Operate], found: Difference) -> None:
    for side, names, rules in zip((found.forbidden, found.allowed), tried(old, new), (new, old), strict=True):
        assert side.unknown == ()
        assert (side.answer is Answer.YES, set(side.rules)) == (bool(names), names)
        if side.example is not None:
            assert set(side.example.rules) <= {rule.name for rule in rules.rules}
            assert set(side.example.rules) & names


def pair(rng: Random) -> tuple[RuleSet[Plant, Operate], RuleSet[Plant, Operate]]:
    """Two sets that have some rules in common."""
    sets = RuleSet(Plant, Operate), RuleSet(Plant, Operate)
    for number in range(rng.randint(1, 4)):
        condition = drawn.condition(rng, ALL_READS, 2)
        kind = rng.choice(["forbid", "forbid", "require"])
        for rules in rng.choice([sets, sets, sets[:1], sets[1:]]):
            rules.add(kind=kind, name=f"r{number}", expression=condition, priority=rng.randint(0, 99))
    for rules in sets:
        if not rules.rules:
            return pair(rng)
    return sets


def test_two_hundred_pairs_are_compared_as_by_trying_every_point() -> None:
    rng = Random(7)
    relations = set()
    for _ in range(200):
        old, new = pair(rng)
        found = compared(old, new)
        agree(old, new, found)
        relations.add(found.relation)
    assert relations == {Relation.EQUAL, Relation.STRICTER, Relation.LOOSER, Relation.INCOMPARABLE}


@settings(max_examples=20)
@given(rule_sets(most=3), rule_sets(most=3))
def test_proofs_alone_say_what_trying_every_point_says(
    old: RuleSet[Plant, Operate], new: RuleSet[Plant, Operate]
) -> None:
    agree(old, new, compared(old, new, is_census=False))


@settings(max_examples=20)
@given(rule_sets(), rule_sets())
def test_the_opposite_comparison_is_the_mirror(old: RuleSet[Plant, Operate], new: RuleSet[Plant, Operate]) -> None:
    there, back = compared(old, new), compared(new, old)
    assert back.relation is MIRRORED.get(there.relation, there.relation)
    assert (there.forbidden.answer, there.forbidden.rules) == (back.allowed.answer, back.allowed.rules)
    assert (there.allowed.answer, there.allowed.rules) == (back.forbidden.answer, back.forbidden.rules)


@settings(max_examples=20)
@given(rule_sets(), conditions, st.integers(0, 99))
def test_one_more_rule_is_never_looser(rules: RuleSet[Plant, Operate], condition: object, priority: int) -> None:
    more = copy(rules)
    more.add(kind="forbid", name="more", expression=condition, priority=priority)  # type: ignore[arg-type]
    found = compared(rules, more)
    assert found.allowed == Side(answer=Answer.NO)
    assert [(edit.change, edit.rule) for edit in found.edits] == [(Change.ADDED, "more")]


@settings(max_examples=20)
@given(rule_sets())
def test_the_same_rules_in_another_order_are_equal(rules: RuleSet[Plant, Operate]) -> None:
    found = compared(rules, copy(rules), is_census=False)
    assert (found.relation, found.edits, found.num_queries) == (Relation.EQUAL, (), 0)


class Gauge(State):
    level: int = whole(ge=0, le=9)


class Valve(Action):
    is_open: bool


def gauge(*limits: int, name: str = "high", priority: int = 50, title: str = "") -> RuleSet[Gauge, Valve]:
    s, a = fields(Gauge), fields(Valve)
    rules = RuleSet(Gauge, Valve)
    for place, limit in enumerate(limits):
        rules.add(
            kind="forbid",
            name=name if place == 0 else f"{name}_{place}",
            expression=(s.level > limit) & a.is_open,
            priority=priority,
            title=title,
        )
    return rules


def test_a_lower_limit_is_stricter_and_the_example_is_the_smallest_state() -> None:
    found = diff(gauge(6), gauge(3), solver=SOLVER)
    assert found.relation is Relation.STRICTER
    assert found.forbidden.example is not None
    assert found.forbidden.example.state == (("level", "4"),)
    assert found.forbidden.example.action == (("is_open", "true"),)
    assert found.forbidden.rules == ("high",)
    assert [(e.change, e.parts, e.was, e.now) for e in found.edits] == [
        (Change.CHANGED, ("expression",), "level > 6 and is_open", "level > 3 and is_open")
    ]


def test_a_rule_under_another_name_and_rank_is_renamed_and_reranked_and_changes_nothing() -> None:
    found = diff(gauge(6), gauge(6, name="limit", priority=80), solver=SOLVER)
    assert found.relation is Relation.EQUAL
    assert [(e.change, e.rule, e.was, e.now) for e in found.edits] == [
        (Change.RERANKED, "limit", "50", "80"),
        (Change.RENAMED, "limit", "high", "limit"),
    ]


def test_a_rule_that_another_one_implies_changes_nothing_when_it_goes() -> None:
    found = diff(gauge(3, 6), gauge(3), solver=SOLVER)
    assert (found.relation, [edit.change for edit in found.edits]) == (Relation.EQUAL, [Change.REMOVED])


def broken_solver() -> Solver:
    def absent() -> object:
        raise ModuleNotFoundError("no solver here")

    return Solver(load=absent)  # type: ignore[arg-type]


def test_without_a_solver_what_a_sample_did_not_see_is_unknown() -> None:
    found = diff(gauge(3, 6), gauge(3), solver=broken_solver(), complete=0, sample=1)
    assert (found.relation, found.allowed.answer) == (Relation.UNKNOWN, Answer.UNKNOWN)


def test_without_a_solver_a_visit_to_all_points_is_enough() -> None:
    assert diff(gauge(3, 6), gauge(3), solver=broken_solver()).relation is Relation.EQUAL
    assert diff(gauge(3), gauge(6), solver=broken_solver()).relation is Relation.LOOSER


def test_sets_over_other_types_are_refused() -> None:
    other = RuleSet(Plant, Operate)
    other.add(kind="forbid", name="hold", expression=fields(Plant).alarm & fields(Operate).hold)
    with pytest.raises(RuleError, match="equally declared types"):
        diff(gauge(3), other)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(RuleError, match="at least one rule"):
        diff(gauge(3), RuleSet(Gauge, Valve))


def test_numbers_too_large_for_arrays_are_compared_by_proof_alone() -> None:
    class Far(State):
        x: int = whole(ge=-(2**33), le=2**33)

    old, new = RuleSet(Far, Valve), RuleSet(Far, Valve)
    s, a = fields(Far), fields(Valve)
    old.add(kind="forbid", name="far", expression=(s.x * s.x > 2**60) & a.is_open)
    new.add(kind="forbid", name="far", expression=(s.x * s.x > 2**59) & a.is_open)
    found = diff(old, new, solver=SOLVER)
    assert (found.num_points, found.is_complete, found.relation) == (0, False, Relation.STRICTER)


# Past-time operators


def remembering(window_s: float, *, also_s: float | None = None) -> RuleSet[Gauge, Valve]:
    """The valve stays shut for some time after the level was high; a second such rule where `also_s` is given."""
    s, a = fields(Gauge), fields(Valve)
    rules = RuleSet(Gauge, Valve)
    for name, window in (("after", window_s), ("also", also_s)):
        if window is not None:
            rules.add(kind="forbid", name=name, expression=once(s.level > 6, within_s=window) & a.is_open)
    return rules


def test_sets_that_remember_the_same_are_compared_as_others_are() -> None:
    found = diff(remembering(3), remembering(3), solver=SOLVER)
    assert (found.relation, found.edits) == (Relation.EQUAL, ())


def test_one_more_operator_is_stricter_and_never_looser() -> None:
    found = diff(remembering(3), remembering(3, also_s=9), solver=SOLVER)
    assert (found.relation, found.forbidden.rules) == (Relation.STRICTER, ("also",))
    back = diff(remembering(3, also_s=9), remembering(3), solver=SOLVER)
    assert (back.relation, back.allowed.rules) == (Relation.LOOSER, ("also",))


def test_a_rule_about_the_present_is_implied_by_one_about_what_was_once() -> None:
    s, a = fields(Gauge), fields(Valve)
    more = remembering(3)
    more.add(kind="forbid", name="now", expression=(s.level > 6) & a.is_open)
    assert diff(remembering(3), more, solver=SOLVER).relation is Relation.EQUAL


def test_a_set_with_other_operators_takes_the_place_of_one_and_the_memory_goes_on() -> None:
    with RuleStore(remembering(3)) as store:
        monitor = store.live.monitor(max_gap_s=2, begins_empty=True)
        monitor.step(Facts.exact(Gauge(level=9)), 0.0)
        judgement = store.propose(remembering(3, also_s=9).to_json()).result()
        assert judgement.is_accepted, judgement.rejection
        store.activate(judgement.sha256)
        moved = migrated(store.live.memory, monitor.snapshot())
        facts = moved.step(Facts.exact(Gauge(level=0)), 1.0)
        verdict = store.check(facts, Valve(is_open=True))
        assert verdict.ruleset_sha256 == judgement.sha256
        assert "after" in [violation.name for violation in verdict.violations]
        assert store.check(facts, Valve(is_open=False)).is_safe
