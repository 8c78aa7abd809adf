"""Optional fields, neighbours and quantifiers: one meaning in every reading, whoever stands in which slot."""

# ruff: noqa: E501 - tables hold one case a line

from __future__ import annotations

import itertools
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symbolic import (
    MAYBE,
    NO,
    UNKNOWN,
    YES,
    Action,
    DomainError,
    ExpressionError,
    Facts,
    Interval,
    RuleError,
    RuleSet,
    State,
    all_of,
    any_of,
    batch,
    codes_of,
    count_of,
    diff,
    domain_of,
    fields,
    fixed,
    formatted,
    known,
    load_rules,
    many,
    parse,
    to_text,
    truth,
    value_of,
    verify,
    whole,
)
from symbolic.canonical import sha256, to_json
from symbolic.certifying.certificate import verdict_certificate
from symbolic.certifying.checker import RefusedError, check
from symbolic.decoding import from_json
from symbolic.expression import Expr, Quantified, walk
from symbolic.reading.compiled import compile_rules
from symbolic.reading.residual import residual
from symbolic.solving.smt import Solver
from symbolic.unrolling import unrolled
from symbolic.writing.text import expression_text, namer
from tests.symbolic.crowd import DOMAIN, RIDERS, Crowd, Rider, crowd_rules, crowds, declared, permuted, quantified
from tests.symbolic.strategies import ACTIONS, Operate, actions

s: Any = fields(Crowd)
a: Any = fields(Operate)
NAMES = namer(DOMAIN, domain_of(Operate))


def every_state(facts: Facts) -> list[Facts]:
    """Some of the exact facts that some facts allow, as codes."""
    spans = [range(low, high + 1) for low, high in map(facts.span, DOMAIN.fields)]
    return [Facts.from_codes(Crowd, codes) for codes in itertools.islice(itertools.product(*spans), 300)]


# Readings


@given(declared(), crowds(opened=3), actions)
def test_written_out_quantifiers_mean_what_they_are(expr: Expr, facts: Facts, action: Operate) -> None:
    plain = unrolled(expr)
    assert not any(isinstance(node, Quantified) for node in walk(plain))
    assert truth(plain, facts, action) is truth(expr, facts, action)


@given(quantified, st.lists(crowds(), min_size=1, max_size=3), actions)
def test_compiled_quantifiers_equal_the_reference(expr: Expr, facts: list[Facts], action: Operate) -> None:
    compiled = compile_rules([unrolled(expr)], DOMAIN, domain_of(Operate))
    for one in facts:
        for state in every_state(one)[:20]:
            assert compiled(state.codes, codes_of(action)) == [0] * (truth(expr, state, action) is YES)  # type: ignore[arg-type]


@given(quantified, crowds(), actions, st.booleans())
def test_what_is_left_of_a_quantifier_keeps_its_truth(
    expr: Expr, facts: Facts, action: Operate, is_negated: bool
) -> None:
    left = residual(expr, codes_of(action), is_negated=is_negated)
    for state in every_state(facts)[:20]:
        assert (truth(left, state) is YES) is ((truth(expr, state, action) is YES) is not is_negated)


@given(quantified)
def test_json_of_quantifiers_reads_back_equal(expr: Expr) -> None:
    back = from_json(to_json(expr), Crowd, Operate)
    assert (back, sha256(back)) == (expr, sha256(expr))


@given(quantified, crowds(opened=3), actions)
def test_text_of_quantifiers_means_what_the_tree_means(expr: Expr, facts: Facts, action: Operate) -> None:
    def read_back(one: Expr) -> Expr:
        text = f"forbid it when {expression_text(one, NAMES)}"
        return parse(text, state=Crowd, action=Operate).rules[0].declared.expression

    again = read_back(expr)
    assert truth(again, facts, action) is truth(expr, facts, action)
    assert to_json(read_back(again)) == to_json(again)


@settings(max_examples=40)
@given(crowd_rules())
def test_a_whole_set_with_neighbours_comes_back_from_text_and_json(rules: RuleSet[Crowd, Operate]) -> None:
    again = parse(to_text(rules))  # numbers as written are folded here, once
    text = to_text(again)
    assert (parse(text).sha256, formatted(text)) == (again.sha256, text)
    back = RuleSet.from_json(again.to_json(), again.state, again.action)
    assert (back.sha256, [one.sentence for one in back.rules]) == (again.sha256, [one.sentence for one in again.rules])


@settings(max_examples=40)
@given(crowd_rules(), crowds(opened=6), actions)
def test_check_of_open_crowds_equals_enumeration(rules: RuleSet[Crowd, Operate], facts: Facts, action: Operate) -> None:
    verdict, states = rules.check(facts, action), every_state(facts)
    seen = {place for state in states for place in rules.compiled(state.codes, codes_of(action))}  # type: ignore[arg-type]
    expected = [rule.anchor for place, rule in enumerate(rules.rules) if place in seen]
    found = [one.rule for one in verdict.violations]
    assert verdict.undecided == ()
    assert found == expected if len(states) < 300 else set(expected) <= set(found)


@settings(max_examples=20)
@given(crowd_rules(most=2), crowds(opened=8), actions)
def test_solver_decides_crowds_as_the_check_does(rules: RuleSet[Crowd, Operate], facts: Facts, action: Operate) -> None:
    broken = {one.rule for one in rules.check(facts, action).violations}
    found = SOLVER.decide(rules, facts, action)
    assert [one is not NO for one in found] == [rule.anchor in broken for rule in rules.rules]


@settings(max_examples=40)
@given(crowd_rules(), crowds(opened=6), actions)
def test_checker_confirms_verdicts_on_neighbours_and_refuses_their_opposites(
    rules: RuleSet[Crowd, Operate], facts: Facts, action: Operate
) -> None:
    text = verdict_certificate(rules, facts, rules.check(facts, action))
    assert check(text, rules.to_json()) == "verdict"
    forged = text.replace('"safe"', '"unsafe"').replace('"violated":[]', '"violated":["R1"]')
    if forged != text:
        with pytest.raises(RefusedError):
            check(forged, rules.to_json())


@settings(max_examples=30)
@given(crowd_rules(), st.lists(crowds(), min_size=2, max_size=4), actions)
def test_arrays_read_neighbours_as_the_compiled_function_does(
    rules: RuleSet[Crowd, Operate], facts: list[Facts], action: Operate
) -> None:
    import numpy

    codes = [state.codes for one in facts for state in every_state(one)[:2]]
    found = batch(rules)(numpy.array(codes), numpy.array(codes_of(action)))
    assert [row.nonzero()[0].tolist() for row in found] == [rules.compiled(one, codes_of(action)) for one in codes]  # type: ignore[arg-type]


def test_types_with_neighbours_are_rebuilt_from_json() -> None:
    rules = RuleSet(Crowd, Operate)
    rules.add(kind="forbid", name="it", expression=any_of(s.riders, lambda o: known(o.gap) & (o.gap < s.level)))  # type: ignore[arg-type]
    again = load_rules(rules.to_json())
    assert (again.to_json(), again.sha256) == (rules.to_json(), rules.sha256)
    assert to_text(again) == to_text(rules)
    with pytest.raises(RuleError, match="expected the declaration of a State with bounded fields"):
        load_rules(rules.to_json().replace('["riders",2,', '["riders",3,'))


def test_report_names_a_field_of_neighbours_once_and_the_safe_stop_by_quantifiers() -> None:
    rules = RuleSet(Crowd, Operate)
    a_hold: Any = a.hold
    rules.add(
        kind="require", name="it", expression=~a_hold | any_of(s.riders, lambda o: (o.gap < 0.5) & known(s.level))
    )  # type: ignore[arg-type]
    stop = next(action for action in ACTIONS if action.hold)
    said = [finding.text for finding in verify(rules, safe_stop=stop, complete=1000, sample=1000).findings]
    assert [text for text in said if text.startswith("no rule reads")] == [
        f"no rule reads `{name}`" for name in ("mode", "alarm", "riders.mode", "riders.yields")
    ]
    assert "the safe stop breaks R1 wherever all(o in riders: o.gap >= 0.5 or not known(level))" in said


# Laws of neighbours


@given(crowd_rules(), crowds(opened=4), actions)
def test_who_stands_in_which_slot_does_not_matter(
    rules: RuleSet[Crowd, Operate], facts: Facts, action: Operate
) -> None:
    here, there = rules.check(facts, action), rules.check(permuted(facts), action)
    assert [one.rule for one in here.violations] == [one.rule for one in there.violations]
    assert here.undecided == there.undecided


@settings(max_examples=30)
@given(crowd_rules(), crowds(), actions, st.data())
def test_what_stands_in_an_empty_slot_does_not_matter(
    rules: RuleSet[Crowd, Operate], facts: Facts, action: Operate, data: st.DataObject
) -> None:
    codes = list(facts.codes)
    for slot in RIDERS.slots:
        if codes[slot.present.index] == 0:
            for field in slot.fields:
                codes[field.index] = data.draw(st.integers(field.low, field.high))
    states = every_state(facts)[0].codes, every_state(Facts.from_codes(Crowd, tuple(codes)))[0].codes
    here, there = (rules.compiled(one, codes_of(action)) for one in states)  # type: ignore[arg-type]
    assert here == there


@settings(max_examples=30)
@given(crowd_rules(), crowds(), actions)
def test_perhaps_one_more_neighbour_never_allows_more(
    rules: RuleSet[Crowd, Operate], facts: Facts, action: Operate
) -> None:
    values: dict[str, Any] = dict(domain_of(Crowd).gathered(dict(facts.items())))
    riders = list(values.pop("riders"))
    values = {name: UNKNOWN if value is None else value for name, value in values.items()}
    if len(riders) < 2:
        more = Facts.of(Crowd, **values, riders=[*riders, UNKNOWN])
        assert rules.check(facts, action).is_safe or not rules.check(more, action).is_safe


def test_whether_one_more_is_there_is_not_known() -> None:
    rules = RuleSet(Crowd, Operate)
    rules.add(kind="require", name="company", expression=count_of(s.riders, lambda o: True) >= 1)  # type: ignore[arg-type]
    rider = Rider(gap=None, mode="off", yields=True)
    at = {"nobody": [], "perhaps one": [UNKNOWN], "one": [rider], "one and perhaps one": [rider, UNKNOWN]}
    found = {
        name: rules.check(Facts.of(Crowd, **{**PLAIN, "riders": some}), ACTIONS[0]).is_safe for name, some in at.items()
    }  # type: ignore[arg-type]
    assert found == {"nobody": False, "perhaps one": False, "one": True, "one and perhaps one": True}


# Facts


@given(crowds(opened=3))
def test_json_of_a_crowd_reads_back_equal(facts: Facts) -> None:
    assert Facts.from_json(facts.to_json(), Crowd) == facts


@given(crowds(opened=4).filter(lambda facts: all(code is None or type(code) is int for code in facts.codes)))
def test_a_state_comes_back_from_its_facts(facts: Facts) -> None:
    try:
        state = facts.state()
    except DomainError:
        is_open = [facts.codes[one.index] is None and one.known is None for one in DOMAIN.fields]
        assert any(is_open)
    else:
        assert Facts.exact(state) == facts


def test_every_point_of_the_domain_has_a_text() -> None:
    for state in every_state(Facts.of(Crowd, level=UNKNOWN, mode="off", alarm=True, riders=UNKNOWN)):
        assert Facts.from_json(state.to_json(), Crowd) == state


def test_fewer_neighbours_than_at_most_are_exact_facts() -> None:
    facts = Facts.exact(Crowd(level=0.5, mode="off", alarm=True, riders=(Rider(gap=0.5, mode="off", yields=True),)))
    assert facts.is_exact
    shown = {field.name: facts.show(field) for field in DOMAIN.fields}
    assert (shown["riders_1_gap"], shown["riders_2_present"], shown["riders_2_gap"]) == ("0.5", "false", "absent")


def test_none_in_an_optional_field_is_unknown_and_its_flag_says_so() -> None:
    facts = Facts.exact(Crowd(level=None, mode="off", alarm=None, riders=()))
    assert facts.value("level") is UNKNOWN
    assert (facts.value("level_known"), facts.is_exact) == (False, False)
    assert facts.state() == Crowd(level=None, mode="off", alarm=None, riders=())


PLAIN: dict[str, Any] = {"level": 0.5, "mode": "off", "alarm": True, "riders": []}


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"riders": 3}, "expected at most 2 neighbours in `riders`, got `3`; give a list of those that matter"),
        ({"riders": [UNKNOWN] * 3}, "expected at most 2 neighbours in `riders`"),
        ({"riders": [{"gap": 0.5}]}, "expected a fact for `mode` of each of `riders`, got none"),
        ({"riders": [{"gap": 0.5, "mode": "off", "yields": True, "speed": 1}]}, "expected a field of `Rider` (`gap`, `mode`, `yields`), got `speed`"),
        ({"riders": ["one"]}, "expected `Rider` in `riders`, got `'one'`"),
        ({"riders_1_gap": 0.5}, "expected `riders_1_gap` at its lowest, got another value of a neighbour who is not there"),
        ({"level_known": False}, "expected `level_known` to say whether `level` is known, got the opposite"),
        ({"speed": 1}, "expected a field of `Crowd` (`level`, `mode`, `alarm`, `riders`), got `speed`"),
    ],
)  # fmt: skip
def test_wrong_facts_of_neighbours_are_named(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(DomainError) as caught:
        Facts.of(Crowd, **{**PLAIN, **given_})
    assert str(caught.value).startswith(message)


def test_neighbours_may_be_given_as_states_facts_or_values() -> None:
    one = Rider(gap=0.5, mode="off", yields=True)
    ways: list[Any] = [one, Facts.exact(one), {"gap": 0.5, "mode": "off", "yields": True}]
    assert len({Facts.of(Crowd, **{**PLAIN, "riders": [way]}) for way in ways}) == 1
    missing = {name: value for name, value in PLAIN.items() if name != "riders"}
    with pytest.raises(DomainError, match="expected a fact for `riders`, got none"):
        Facts.of(Crowd, **missing)


# Rules


def test_a_rule_on_what_is_not_known_is_decided_by_the_flag() -> None:
    condition = known(s.level) & (s.level < 0)
    at: dict[Any, Any] = {UNKNOWN: NO, -1.0: YES, 1.0: NO, Interval(-1, 0): MAYBE}
    assert {level: truth(condition.expr, Facts.of(Crowd, **{**PLAIN, "level": level})) for level in at} == at  # type: ignore[attr-defined]


def test_sentences_speak_of_neighbours() -> None:
    rules = RuleSet(Crowd, Operate)
    pairs = any_of(s.riders, lambda o: any_of(s.riders, lambda p: (o.gap < p.gap) & (o.mode == p.mode)))
    rules.add(kind="forbid", name="a", expression=a.hold & all_of(s.riders, lambda o: known(o.gap) & ~known(s.level)))
    rules.add(kind="require", name="b", expression=(count_of(s.riders, lambda o: o.yields) >= 1) | pairs)  # type: ignore[arg-type]
    assert [rule.sentence for rule in rules.rules] == [
        "Forbidden when hold and ( for every o of riders: o.gap is known and level is not known ).",
        "Required: ( number of o of riders with o.yields ) >= 1 or ( for some o of riders: for some p of riders: o.gap < p.gap and o.mode is p.mode ).",
    ]


def test_type_checkers_read_optional_fields_as_values() -> None:
    rules = RuleSet(Crowd, Operate)

    @rules.forbid()
    def near(s: Crowd, a: Operate) -> bool:
        return any_of(s.riders, lambda o: value_of(o.gap) < 0.5) & a.hold

    assert rules.rules[0].sentence == "Forbidden when ( for some o of riders: o.gap < 0.5 ) and hold."


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (lambda: any_of(s.mode, lambda o: True), "expected neighbours in `any_of`"),
        (lambda: any_of(s.riders, lambda: True), "expected a condition of one neighbour, got one of 0"),  # type: ignore[arg-type,misc]
        (lambda: any_of(s.riders, lambda state: state.yields), "expected a new name for one of `riders`, not `state` or `action`, got `state`"),
        (lambda: any_of(s.riders, lambda o: any_of(s.riders, lambda o: o.yields)), "expected a new name for one of `riders`"),
        (lambda: any_of(s.riders, lambda o: o.gap), "expected a condition, got a number"),
        (lambda: any_of(s.riders, lambda o: o.speed > 1), "expected a field of `Rider`"),
        (lambda: any_of(s.riders, lambda o: any_of(s.riders, lambda p: any_of(s.riders, lambda q: q.yields))), "expected at most 2 quantifiers within each other"),
        (lambda: s.riders_1_gap < 1, "expected neighbours to be read by `all_of`, `any_of` or `count_of`, got `riders_1_gap`"),
        (lambda: known(s.mode), "expected an optional field in `known`, got `mode`; declare it with `| None`"),
        (lambda: known(3), "expected an optional field in `known`, got `3`; give the field itself"),
        (lambda: s.riders > 1, "'>' not supported"),
    ],
)  # fmt: skip
def test_a_misuse_of_neighbours_is_named(condition: Any, message: str) -> None:
    with pytest.raises((ExpressionError, TypeError)) as caught:
        condition()
    assert str(caught.value).startswith(message)


def test_a_field_of_a_neighbour_outside_its_quantifier_is_refused() -> None:
    kept: list[Any] = []
    any_of(s.riders, lambda o: kept.append(o.yields) or o.yields)
    with pytest.raises(RuleError, match=r"expected `o\.yields` inside the quantifier that names `o`, got it outside"):
        RuleSet(Crowd, Operate).add(kind="forbid", name="it", expression=kept[0])


def test_a_slot_read_directly_is_refused() -> None:
    plain = to_json(unrolled(any_of(s.riders, lambda o: o.yields).expr))  # type: ignore[attr-defined]
    with pytest.raises(ExpressionError, match="expected neighbours to be read by `all_of`"):
        from_json(plain, Crowd, Operate)


def test_a_change_of_what_is_said_of_neighbours_is_told() -> None:
    def rules(least: float) -> RuleSet[Crowd, Operate]:
        found = RuleSet(Crowd, Operate)
        found.add(kind="forbid", name="near", expression=any_of(s.riders, lambda o: o.gap < least) & a.hold)
        return found

    assert diff(rules(0.5), rules(1)).relation == "stricter"
    assert diff(rules(1), rules(0.5)).relation == "looser"


class Crossing(State):
    riders: tuple[Rider, ...] = many(Rider, at_most=16)


def test_a_rule_too_large_once_written_out_is_refused() -> None:
    c: Any = fields(Crossing)
    pairs = all_of(c.riders, lambda o: all_of(c.riders, lambda p: (o.gap < p.gap) | o.yields | p.yields))
    with pytest.raises(RuleError, match="expected at most 2048 nodes once quantifiers are written out"):
        RuleSet(Crossing, Operate).add(kind="forbid", name="it", expression=pairs)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("any(o in riders: o.gap)", "1:33: expected a condition, got a number; compare it with a value"),
        ("any(o in others: o.yields)", "1:25: expected neighbours among riders, got `others`; declare them with `many`"),
        ("any(o in riders: p.yields)", "1:33: expected one of state, action, o before the dot, got `p`; name it first"),
        ("any(o in riders: o.speed > 1)", "1:33: expected a field of `Rider`"),
        ("any(state in riders: alarm)", "1:20: expected a new name for one of `riders`, not `state` or `action`, got `state`"),
        ("known(mode)", "1:22: expected `state.mode` or `action.mode`, got `mode`, which both have"),
        ("known(state.mode)", "1:16: expected an optional field in `known`, got `mode`"),
        ("riders > 1", "1:16: expected a field among alarm, hold, level, mode, valve, got `riders`"),
        ("any(o in riders o.yields)", "1:32: expected `:`, got `o.yields`; see the grammar of rules"),
    ],
)  # fmt: skip
def test_a_mistake_about_neighbours_in_text_is_named(condition: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(f"forbid it when {condition}", state=Crowd, action=Operate, place="p.rules")
    assert str(caught.value).startswith(f"p.rules:{message}")


# Declarations


def test_wrong_declarations_are_named() -> None:
    with pytest.raises(DomainError, match=r"expected 1 to 16 neighbours with fields in `Far\.riders`, got `17`"):
        type("Far", (State,), {"__annotations__": {"riders": tuple[Rider, ...]}, "riders": many(Rider, at_most=17)})
    with pytest.raises(DomainError, match=r"expected `Other\.riders` to be a tuple of one state type of any length"):
        type("Other", (State,), {"__annotations__": {"riders": tuple[Rider, Rider]}, "riders": many(Rider, at_most=2)})
    with pytest.raises(DomainError, match=r"expected `Deep\.crowds` to be neighbours of one plain state type"):
        type("Deep", (State,), {"__annotations__": {"crowds": tuple[Crowd, ...]}, "crowds": many(Crowd, at_most=2)})
    with pytest.raises(DomainError, match="expected different names in `Twice`"):
        type("Twice", (State,), {"__annotations__": {"on": bool | None, "on_known": bool}})
    with pytest.raises(DomainError, match="expected every field of the action `Maybe` to be known"):
        type("Maybe", (Action,), {"__annotations__": {"go": bool | None}})


def test_the_record_says_what_is_optional_and_who_the_neighbours_are() -> None:
    rules = RuleSet(Crowd, Operate)
    rules.add(kind="forbid", name="it", expression=s.mode == "off")

    class Certain(State):
        level: float = fixed(ge=-1, le=1, step=0.5)
        mode: Literal["off", "slow", "fast"]
        count: int = whole(ge=0, le=3)

    assert domain_of(Certain).extras() == {}
    assert '"optional":["level","alarm"]' in rules.to_json()
    assert '"neighbours":[["riders",2,{"fields":[["gap","number",0,2,"1/2",false,[]]' in rules.to_json()


SOLVER = Solver()
