"""Permits, exceptions and overrides: the flat condition of a rule means what the definition says, in every reading."""

# ruff: noqa: E501 - tables hold one case a line

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given

from symbolic import (
    YES,
    Action,
    Facts,
    Outcome,
    RuleError,
    RuleSet,
    State,
    Truth,
    codes_of,
    fields,
    parse,
    to_text,
    truth,
)
from symbolic.declaration import Declaration
from symbolic.solving.smt import Solver
from tests.symbolic.strategies import ACTIONS, Operate, Plant, actions, conditions, exact_facts, rule_sets


class Car(State):
    light: Literal["red", "green"]
    siren: bool
    is_blocked: bool


class Drive(Action):
    manoeuvre: Literal["stop", "go"]


STOP, GO = Drive(manoeuvre="stop"), Drive(manoeuvre="go")


def junction() -> RuleSet[Car, Drive]:
    rules = RuleSet(Car, Drive)

    @rules.permit(priority=95, source="StVO 38")
    def siren(s: Car, a: Drive) -> bool:
        return s.siren

    @rules.forbid(priority=90, source="StVO 37", unless=[siren])
    def enter_on_red(s: Car, a: Drive) -> bool:
        return (s.light == "red") & (a.manoeuvre == "go")

    @rules.require(priority=40, id="keep_moving")
    def moves(s: Car, a: Drive) -> bool:
        return a.manoeuvre == "go"

    @rules.forbid(priority=60, overrides=["keep_moving"])
    def hit(s: Car, a: Drive) -> bool:
        return s.is_blocked & (a.manoeuvre == "go")

    return rules


def car(light: str, siren: bool, is_blocked: bool) -> Facts:
    return Facts.of(Car, light=light, siren=siren, is_blocked=is_blocked)


def broken(rules: RuleSet[Any, Any], facts: Facts, action: Any) -> list[str]:
    return [violation.name for violation in rules.check(facts, action).violations]


def test_a_permit_sets_the_rule_that_names_it_aside_and_no_other() -> None:
    assert broken(junction(), car("red", False, True), GO) == ["enter_on_red", "hit"]
    assert broken(junction(), car("red", True, True), GO) == ["hit"]


def test_an_override_holds_in_every_state_in_which_its_rule_forbids_something() -> None:
    assert broken(junction(), car("green", False, False), STOP) == ["keep_moving"]
    assert broken(junction(), car("green", False, True), STOP) == []


def test_sentences_and_order_tell_the_exceptions() -> None:
    assert [(rule.anchor, rule.sentence) for rule in junction().rules] == [
        ("R1", "Forbidden when light is red and manoeuvre is go and not siren."),
        ("R2", "Forbidden when is_blocked and manoeuvre is go."),
        ("R3", "Required: manoeuvre is go or is_blocked."),
    ]
    assert [permit.name for permit in junction().permits] == ["siren"]


def in_force(declared: dict[str, Declaration], name: str, facts: Facts, action: Any) -> bool:
    """The definition, walked over the declarations."""
    rule = declared[name]
    if rule.kind == "permit":
        has_effect = truth(rule.expression, facts, action) is YES
    else:
        has_effect = any(truth(rule.violation, facts, other) is YES for other in ACTIONS)
    return has_effect and not is_defeated(declared, name, facts, action)


def is_defeated(declared: dict[str, Declaration], name: str, facts: Facts, action: Any) -> bool:
    others = {*declared[name].unless, *(one.name for one in declared.values() if name in one.overrides)}
    return any(in_force(declared, other, facts, action) for other in others)


@given(rule_sets(), exact_facts, actions)
def test_a_flat_condition_means_what_the_definition_says(
    rules: RuleSet[Plant, Operate], facts: Facts, action: Operate
) -> None:
    declared = {one.name: one for one in (*rules.permits, *(rule.declared for rule in rules.rules))}
    expected = [
        rule.name
        for rule in rules.rules
        if truth(rule.declared.violation, facts, action) is YES and not is_defeated(declared, rule.name, facts, action)
    ]
    assert broken(rules, facts, action) == expected


@given(rule_sets(), exact_facts, actions)
def test_the_solver_sees_the_exceptions_too(rules: RuleSet[Plant, Operate], facts: Facts, action: Operate) -> None:
    found = SOLVER.decide(rules, facts, action)
    places = rules.compiled(facts.codes, codes_of(action))  # type: ignore[arg-type]
    assert [index for index, one in enumerate(found) if one is Truth.YES] == places


SOLVER = Solver()


@given(rule_sets(), conditions, exact_facts, actions)
def test_one_more_forbid_never_allows_and_one_more_exception_never_forbids(
    rules: RuleSet[Plant, Operate], more: Any, facts: Facts, action: Operate
) -> None:
    declared = [*rules.permits, *(rule.declared for rule in rules.rules)]
    stricter, looser = RuleSet(Plant, Operate), RuleSet(Plant, Operate)
    for one in declared:
        stricter.declare(one)
    stricter.add(kind="forbid", name="more", expression=more)
    assert set(broken(rules, facts, action)) <= set(broken(stricter, facts, action))
    looser.add(kind="permit", name="more", priority=100, expression=more)
    last = rules.rules[-1].declared
    for one in declared:
        # Only a rule that defeats nobody: an exception to an override would put another rule back in force.
        is_loosened = one is last and not one.overrides
        extra = {"unless": (*one.unless, "more")} if is_loosened else {}
        looser.declare(Declaration(**{**_plain(one), **extra}))
    assert set(broken(looser, facts, action)) <= set(broken(rules, facts, action))


def _plain(one: Declaration) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Declaration.__dataclass_fields__}


@given(rule_sets())
def test_json_pickle_and_text_keep_exceptions(rules: RuleSet[Plant, Operate]) -> None:
    again = RuleSet.from_json(rules.to_json(), Plant, Operate)
    assert (again.sha256, again.rules, again.permits) == (rules.sha256, rules.rules, rules.permits)
    assert pickle.loads(pickle.dumps(rules)).sha256 == rules.sha256
    written = parse(to_text(rules))
    assert [(one.unless, one.overrides) for one in _declared(written)] == [
        (one.unless, one.overrides) for one in _declared(rules)
    ]


def _declared(rules: RuleSet[Any, Any]) -> list[Declaration]:
    return [*rules.permits, *(rule.declared for rule in rules.rules)]


TEXT = """\
state Car {
  light: red | green
  siren: flag
  is_blocked: flag
}

action Drive {
  manoeuvre: stop | go
}

permit siren priority 95 source "StVO 38"
  when state.siren

forbid enter_on_red critical priority 90 source "StVO 37" unless siren
  when light is red and manoeuvre is go

forbid hit priority 60 overrides keep_moving "Hit nobody."
  when is_blocked and manoeuvre is go

require keep_moving priority 40
  that manoeuvre is go
"""


def test_the_text_language_holds_all_of_it() -> None:
    rules = parse(TEXT)
    assert to_text(rules) == TEXT.replace("state.siren", "siren")
    assert [rule.is_critical for rule in rules.rules] == [True, False, False]
    assert [rule.sentence for rule in rules.rules] == [rule.sentence for rule in junction().rules]


def test_a_mistake_between_rules_in_a_text_names_the_text() -> None:
    with pytest.raises(
        RuleError, match=r"^j\.rules: rule `enter_on_red`: expected a permit after `unless`, got `bell`"
    ):
        parse(TEXT.replace("unless siren", "unless bell"), place="j.rules")


def declared(*changes: dict[str, Any]) -> RuleSet[Plant, Operate]:
    rules = RuleSet(Plant, Operate)
    for place, change in enumerate(changes):
        rules.add(**{"kind": "forbid", "name": f"r{place}", "expression": fields(Plant).alarm, **change})
    return rules


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{"unless": ["p"]}], "rule `r0`: expected a permit after `unless`, got `p`, no rule of that name; name a permit"),
        ([{}, {"unless": ["r0"]}], "rule `r1`: expected a permit after `unless`, got `r0`, a `forbid`; name a permit"),
        ([{"kind": "permit"}, {"unless": ["r0"]}], "rule `r1`: expected its exception `r0` to rank above 50, got 50; raise the permit's priority"),
        ([{"overrides": ["x"]}], "rule `r0`: expected a rule after `overrides`, got `x`; correct the name"),
        ([{"is_critical": True}, {"overrides": ["r0"]}], "rule `r1`: expected to override rules that are not critical, got `r0`; a critical rule yields only to the permits in its own `unless`"),
        ([{}, {"kind": "permit", "overrides": ["r0"]}], "rule `r1`: expected a permit that overrides `r0` to rank above 50, got 50; raise its priority"),
        ([{"overrides": ["r1"]}, {"overrides": ["r2"]}, {"overrides": ["r0"]}], "expected no circle of rules that defeat each other, got r0 -> r1 -> r2 -> r0; remove one of them from `unless` or `overrides`"),
        ([{"overrides": ["r0"]}], "expected no circle of rules that defeat each other, got r0 -> r0; remove one of them from `unless` or `overrides`"),
    ],
)  # fmt: skip
def test_rules_that_do_not_fit_together_are_one_line_errors(changes: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(RuleError) as caught:
        assert declared(*changes).rules
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "permit", "is_critical": True}, "rule `r0`: expected a permit without `unless` and not critical, got one; only rules are broken"),
        ({"unless": "p"}, "rule `r0`: expected a list of rules, got `p`; write `[p]`"),
        ({"unless": [len]}, "rule `r0`: expected rules of this set, got another function; declare it here first"),
    ],
)  # fmt: skip
def test_a_declaration_that_cannot_be_read_is_refused_at_once(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError) as caught:
        declared(change)
    assert str(caught.value) == message


def test_a_set_that_cannot_be_put_in_force_approves_nothing() -> None:
    rules = declared({"overrides": ["r1"]}, {"overrides": ["r0"]})
    facts = Facts.of(Plant, level=0, rate=0, count=0, mode="off", wanted="slow", alarm=False)
    verdict = rules.check(facts, ACTIONS[0])
    assert verdict.outcome is Outcome.UNDECIDED
    assert "expected no circle" in verdict.reason


def test_names_of_functions_stand_for_their_ids() -> None:
    rules = RuleSet(Plant, Operate)

    def condition(s: Any, a: Any) -> Any:
        return s.alarm

    one: Callable[..., Any] = rules.permit(priority=90, id="bell")(condition)
    rules.forbid(id="ring", unless=[one])(lambda s, a: a.hold)
    assert rules.rules[0].declared.unless == ("bell",)
