"""Laws between the readings: the reference walk is the oracle for compiled rules, lines, intervals and the solver."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from symbolic import MAYBE, NO, YES, Facts, RuleSet, Truth, codes_of, domain_of, ground, lines, truth, violated
from symbolic.canonical import sha256, to_json
from symbolic.decoding import from_json
from symbolic.expression import Expr
from symbolic.reading.compiled import compile_conditions, compile_rules
from symbolic.reading.grounding import disjuncts, ground_condition
from symbolic.reading.residual import residual
from symbolic.solving.redecision import redecide
from symbolic.solving.smt import Solver
from tests.symbolic.strategies import (
    ACTIONS,
    Operate,
    Plant,
    actions,
    conditions,
    every_state,
    exact_facts,
    open_facts,
    rule_sets,
    state_conditions,
)


def exactly(facts: Facts) -> tuple[int, ...]:
    return tuple(code for code in facts.codes if isinstance(code, int))


def is_true(expr: Expr, facts: Facts, action: Operate | None = None) -> bool:
    found = truth(expr, facts, action)
    assert found is not MAYBE
    return found is YES


@settings(max_examples=300)
@given(conditions, st.lists(exact_facts, min_size=1, max_size=5), actions)
def test_compiled_condition_equals_the_reference(expr: Expr, facts: list[Facts], action: Operate) -> None:
    compiled = compile_rules([expr], domain_of(Plant), domain_of(Operate))
    for one in facts:
        assert compiled(exactly(one), codes_of(action)) == ([0] if is_true(expr, one, action) else [])


@settings(max_examples=300)
@given(conditions, st.lists(exact_facts, min_size=1, max_size=4))
def test_lines_forbid_exactly_what_the_condition_does(expr: Expr, facts: list[Facts]) -> None:
    grounded = ground_condition(expr, [codes_of(action) for action in ACTIONS])
    for one in facts:
        held = [line for line in grounded if all(found is YES for found in ground(line, one))]
        forbidden = {index for line in held for index in line.actions}
        assert forbidden == {index for index, action in enumerate(ACTIONS) if is_true(expr, one, action)}


@given(rule_sets(), exact_facts)
def test_rule_is_violated_where_one_of_its_lines_holds(rules: RuleSet[Plant, Operate], facts: Facts) -> None:
    for rule in rules.rules:
        held = [line for line in lines(rule, rules.actions) if all(found is YES for found in ground(line, facts))]
        for index, action in enumerate(rules.actions):
            assert violated(rule, facts.state(), action) is any(index in line.actions for line in held)


@given(conditions, exact_facts, actions, st.booleans())
def test_residual_keeps_the_truth_and_loses_the_action(
    expr: Expr, facts: Facts, action: Operate, is_negated: bool
) -> None:
    left = residual(expr, codes_of(action), is_negated=is_negated)
    assert is_true(left, facts) is (is_true(expr, facts, action) is not is_negated)


@given(state_conditions, exact_facts)
def test_disjuncts_keep_the_truth(expr: Expr, facts: Facts) -> None:
    found = disjuncts(residual(expr, None))
    assert any(all(is_true(atom, facts) for atom in one) for one in found) is is_true(expr, facts)
    assert len(found) <= 6


@given(conditions, open_facts, actions)
def test_three_truths_are_sound_for_every_allowed_state(expr: Expr, facts: Facts, action: Operate) -> None:
    found = truth(expr, facts, action)
    for one in itertools.islice(every_state(facts), 200):
        assert found is MAYBE or found is truth(expr, one, action)


@given(state_conditions, open_facts)
def test_grounded_conditions_of_open_facts_are_sound(expr: Expr, facts: Facts) -> None:
    for line in ground_condition(expr, [()]):
        found = ground(line, facts)
        for one in itertools.islice(every_state(facts), 50):
            assert all(a is MAYBE or a is b for a, b in zip(found, ground(line, one), strict=True))


def brute(rules: RuleSet[Plant, Operate], facts: Facts, action: Operate) -> tuple[Truth, ...]:
    """Truth of each rule's violation by enumeration."""
    compiled = [rules.compiled(exactly(one), codes_of(action)) for one in every_state(facts)]
    broken = [[place in found for found in compiled] for place in range(len(rules.rules))]
    return tuple(YES if all(one) else MAYBE if any(one) else NO for one in broken)


@settings(max_examples=60)
@given(rule_sets(most=3), open_facts, actions)
def test_solver_equals_enumeration(rules: RuleSet[Plant, Operate], facts: Facts, action: Operate) -> None:
    assert SOLVER.decide(rules, facts, action) == brute(rules, facts, action)


@settings(max_examples=60)
@given(rule_sets(most=3), open_facts, actions)
def test_check_of_open_facts_equals_enumeration(rules: RuleSet[Plant, Operate], facts: Facts, action: Operate) -> None:
    verdict = rules.check(facts, action)
    expected = [
        rule.anchor for rule, found in zip(rules.rules, brute(rules, facts, action), strict=True) if found is not NO
    ]
    assert ([one.rule for one in verdict.violations], verdict.undecided) == (expected, ())
    assert verdict.is_safe is (not expected)


@settings(max_examples=40)
@given(rule_sets(), st.lists(exact_facts, min_size=1, max_size=3), actions)
def test_solver_confirms_exact_verdicts_and_finds_every_forged_one(
    rules: RuleSet[Plant, Operate], facts: list[Facts], action: Operate
) -> None:
    batch = [(one, action, rules.check(one, action)) for one in facts]
    assert redecide(rules, batch, SOLVER).num_confirmed == len(batch)
    for one in facts:
        broken = rules.compiled(exactly(one), codes_of(action))
        truths = [YES if place in broken else NO for place in range(len(rules.rules))]
        forged = [NO if truths[0] is YES else YES, *truths[1:]]
        found = redecide(rules, [(one, action, forged)], SOLVER).mismatches
        assert [(m.index, m.rule, m.claimed) for m in found] == [(0, "R1", forged[0])]


@given(conditions)
def test_json_of_an_expression_reads_back_equal(expr: Expr) -> None:
    back = from_json(to_json(expr), Plant, Operate)
    assert (back, sha256(back)) == (expr, sha256(expr))


@given(rule_sets())
def test_json_of_a_rule_set_reads_back_equal(rules: RuleSet[Plant, Operate]) -> None:
    back = RuleSet.from_json(rules.to_json(), Plant, Operate)
    assert (back.sha256, back.rules) == (rules.sha256, rules.rules)


@given(open_facts)
def test_json_of_facts_reads_back_equal(facts: Facts) -> None:
    back = Facts.from_json(facts.to_json(), Plant)
    assert (back, back.sha256) == (facts, facts.sha256)


@given(rule_sets(), exact_facts)
def test_compliant_equals_the_checks_one_by_one(rules: RuleSet[Plant, Operate], facts: Facts) -> None:
    assert rules.compliant(facts) == tuple(rules.check(facts, action).is_safe for action in rules.actions)


@given(rule_sets(), rule_sets(most=1), exact_facts)
def test_another_rule_never_allows_what_was_forbidden(
    rules: RuleSet[Plant, Operate], more: RuleSet[Plant, Operate], facts: Facts
) -> None:
    both = RuleSet(Plant, Operate)
    for place, rule in enumerate((*rules.rules, *more.rules)):
        both.add(kind=rule.kind, name=f"r{place}", priority=rule.priority, expression=rule.expression)
    assert all(before or not after for before, after in zip(rules.compliant(facts), both.compliant(facts), strict=True))


@settings(max_examples=30)
@given(rule_sets(), open_facts, exact_facts)
def test_knowing_less_never_allows_more(rules: RuleSet[Plant, Operate], facts: Facts, exact: Facts) -> None:
    wider = Facts.from_codes(
        Plant,
        tuple(
            known if known is None or isinstance(known, tuple) else one
            for known, one in zip(facts.codes, exact.codes, strict=True)
        ),
    )
    narrow = next(every_state(wider))
    assert all(known or not wide for known, wide in zip(rules.compliant(narrow), rules.compliant(wider), strict=True))


@given(conditions)
def test_compiled_condition_is_the_same_alone_and_in_a_set(expr: Expr) -> None:
    left = residual(expr, codes_of(ACTIONS[0]))
    facts = Facts.from_codes(Plant, tuple(field.low for field in domain_of(Plant).fields))
    assert compile_conditions([left, left])(exactly(facts)) == (is_true(left, facts),) * 2


SOLVER = Solver()
