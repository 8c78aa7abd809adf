"""A shield of a total set always answers, its answers are safe, and one that would have gaps cannot be built."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from symbolic import UNKNOWN, Answer, Facts, RuleSet, Shield, ShieldError, codes_of, fields, once, verify
from symbolic.certifying.checker import check
from symbolic.solving.smt import Solver
from tests.symbolic.strategies import ACTIONS, Operate, Plant, every_state, open_facts, rule_sets
from tests.symbolic.test_deontic import GO, STOP, Car, Drive, car, junction
from tests.symbolic.test_verify import SOLVER

EVERY_STATE = list(every_state(Facts.of(Plant, **dict.fromkeys(Plant.model_fields, UNKNOWN))))
s: Any = fields(Car)
d: Any = fields(Drive)


def crossing() -> RuleSet[Car, Drive]:
    """Total: it may go or it may stop, by what it sees."""
    rules = RuleSet(Car, Drive)
    rules.add(kind="forbid", name="red", expression=(s.light == "red") & (d.manoeuvre == "go"))
    rules.add(kind="forbid", name="linger", expression=(s.light == "green") & s.siren & (d.manoeuvre == "stop"))
    return rules


@settings(max_examples=20)
@given(rule_sets(most=3), open_facts)
def test_a_total_set_has_a_shield_that_always_answers(rules: RuleSet[Plant, Operate], seen: Facts) -> None:
    report = verify(rules, solver=SOLVER)
    if report.total is not Answer.YES:
        with pytest.raises(ShieldError, match=r"^expected rules that are proved total"):
            Shield.of(rules, report)
        return
    shield = Shield.of(rules, report)
    for facts in EVERY_STATE:
        found = shield.action(facts)
        assert found is not None
        assert rules.compiled(facts.codes, codes_of(found)) == []  # type: ignore[arg-type]
    found = shield.action(seen)
    assert found is None or all(not rules.compiled(f.codes, codes_of(found)) for f in every_state(seen))  # type: ignore[arg-type]


def test_open_facts_get_the_first_witness_that_is_safe_in_all_of_them() -> None:
    shield = Shield.of(crossing(), verify(crossing()))
    assert set(shield.witnesses) == {STOP, GO}
    assert shield.action(car("red", True, False)) == STOP
    assert shield.action(Facts.of(Car, light=UNKNOWN, siren=False, is_blocked=False)) == STOP
    assert shield.action(Facts.of(Car, light=UNKNOWN, siren=True, is_blocked=False)) is None


def test_what_is_preferred_is_tried_first_and_checked_too() -> None:
    shield = Shield.of(crossing(), verify(crossing()), preferred=[GO])
    assert shield.action(car("green", False, False)) == GO
    assert shield.action(car("red", False, False)) == STOP


def test_a_shield_reads_back_and_its_certificate_holds_for_the_checker() -> None:
    shield = Shield.of(crossing(), verify(crossing()), preferred=[GO])
    again = Shield.from_json(shield.to_json(), crossing())
    assert (again.witnesses, again.preferred) == (shield.witnesses, shield.preferred)
    assert check(shield.certificate, crossing().to_json()) == "totality"


def test_states_that_memory_excludes_need_no_witness() -> None:
    rules = RuleSet(Car, Drive)
    rules.add(kind="forbid", name="alone", expression=s.siren & ~once(s.siren) & (s.is_blocked | ~s.is_blocked))
    rules.add(kind="forbid", name="red", expression=once(s.light == "red") & (d.manoeuvre == "go"))
    shield = Shield.of(rules, verify(rules))
    assert shield.witnesses == (STOP,)
    assert Shield.from_json(shield.to_json(), rules).witnesses == (STOP,)


def test_a_shield_with_a_witness_taken_out_is_refused() -> None:
    plain = json.loads(Shield.of(crossing(), verify(crossing())).to_json())
    for left in ([], plain["certificate"]["witnesses"][:1]):
        plain["certificate"]["witnesses"] = left
        with pytest.raises(ShieldError, match=r"^expected a proof that the witnesses cover every state"):
            Shield.from_json(json.dumps(plain), crossing())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "localist-shield"}', "[" * 9999])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ShieldError, match=r"^expected a shield as JSON"):
        Shield.from_json(text, crossing())


def test_a_shield_for_other_rules_is_refused() -> None:
    report, text = verify(crossing()), Shield.of(crossing(), verify(crossing())).to_json()
    with pytest.raises(ShieldError, match=r"^expected the report of these rules"):
        Shield.of(junction(), report)
    with pytest.raises(ShieldError, match=r"^expected a shield of version 1 for these rules"):
        Shield.from_json(text, junction())


@pytest.mark.parametrize("answer", [Answer.NO, Answer.UNKNOWN])
def test_totality_that_is_not_proved_is_refused(answer: Answer) -> None:
    with pytest.raises(ShieldError, match=f"^expected rules that are proved total, got `{answer}`"):
        Shield.of(crossing(), replace(verify(crossing()), total=answer))


def test_witnesses_that_are_no_actions_are_refused() -> None:
    with pytest.raises(ShieldError, match=r"^expected witnesses that are actions of the rules"):
        Shield.of(crossing(), replace(verify(crossing()), witnesses=((("manoeuvre", "fly"),),)))


def test_a_shield_is_not_read_where_the_solver_is_absent() -> None:
    def absent() -> Any:
        raise ModuleNotFoundError("no module named z3")

    text = Shield.of(crossing(), verify(crossing())).to_json()
    with Solver(load=absent) as solver, pytest.raises(ShieldError, match="got none: ModuleNotFoundError"):
        Shield.from_json(text, crossing(), solver=solver)


def test_a_rule_set_without_any_rule_is_never_answered() -> None:
    empty = RuleSet(Plant, Operate)
    assert Shield(empty, ACTIONS).action(EVERY_STATE[0]) is None
