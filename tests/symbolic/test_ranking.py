"""Ties are refused before a set runs, with the state that shows them; what the report says is the oracle."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from symbolic import RuleError, RuleSet, Sort, State, demand_ranked, fields, fixed, verify
from symbolic.solving.smt import Solver
from tests.symbolic.strategies import Operate, Plant, rule_sets
from tests.symbolic.test_verify import Valve, t, tank, v

SOLVER = Solver()


def test_two_rules_that_clash_without_a_rank_are_refused_with_the_state() -> None:
    tied = tank(a=(50, (t.level > 90) & (v.turn == "shut")), b=(50, (t.level > 95) & (v.turn == "open")))
    line = (
        r"expected different priorities of rules that clash, got 50 for both `a` and `b`, which no action keeps "
        r"together where level (96|97|98|99|100); rank one above the other"
    )
    with pytest.raises(RuleError, match=line):
        demand_ranked(tied)


def test_a_rank_an_exception_or_no_clash_passes() -> None:
    shut, opened = (t.level > 90) & (v.turn == "shut"), (t.level > 95) & (v.turn == "open")
    assert demand_ranked(tank(a=(51, shut), b=(50, opened))) == ()
    assert demand_ranked(tank(a=(50, (t.level < 90) & (v.turn == "shut")), b=(50, opened))) == ()
    rules = tank(b=(50, opened))
    rules.add(kind="permit", name="vent", priority=60, expression=t.level > 90)
    rules.add(kind="forbid", name="a", priority=50, expression=shut, unless=["vent"])
    assert demand_ranked(rules) == ()


@settings(max_examples=25)
@given(rule_sets())
def test_what_is_refused_is_what_the_report_calls_a_tie(rules: RuleSet[Plant, Operate]) -> None:
    ties = {one.rules for one in verify(rules, solver=SOLVER).errors if one.sort is Sort.TIE}
    try:
        assert demand_ranked(rules, solver=SOLVER) == ()
        is_refused = False
    except RuleError:
        is_refused = True
    assert is_refused == bool(ties)


def test_without_a_solver_pairs_that_nobody_knows_of_are_named() -> None:
    class Wide(State):
        x: float = fixed(ge=0, le=1000, step=0.001)
        y: float = fixed(ge=0, le=1000, step=0.001)

    w: Any = fields(Wide)
    rules = RuleSet(Wide, Valve)
    rules.add(kind="forbid", name="a", expression=(w.x * w.y > 999_999) & (v.turn == "open"))
    rules.add(kind="forbid", name="b", expression=(w.x * w.y < 0.1) & (w.x > 999) & (w.y > 999) & (v.turn == "shut"))
    assert demand_ranked(rules, solver=Solver(load=lambda: __import__("no_such_module"))) == (("R1", "R2"),)
