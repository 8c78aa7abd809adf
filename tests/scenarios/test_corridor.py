"""The corridor: its rules leave a way out, and with them carts cross without touching."""

from __future__ import annotations

import itertools

import pytest

from scenarios.baselines import always, evaluate, greedy_compliant, shielded_uniform, uniform
from scenarios.corridor import CorridorWorld, scenario
from scenarios.corridor.rules import Cart, rules
from scenarios.world import WorldError
from symbolic import Facts, lines

STOP = scenario.roles["cart"].safe_stop


def test_every_state_has_a_compliant_action() -> None:
    numbers, flags, words = (0, 1, 2, 9), (False, True), ("silent", "yield", "go")
    for free, ahead, on, rival, must, said in itertools.product(numbers, numbers, flags, numbers, flags, words):
        facts = Facts.of(
            Cart,
            free_cells=free,
            crossing_in=ahead,
            is_on_crossing=on and ahead == 0,
            rival_in=rival,
            must_yield=must,
            rival_intent=said,
        )
        assert any(rules.compliant(facts)), facts


def test_rules_are_small_enough_to_be_read() -> None:
    assert len(rules.rules) == 4
    assert all(len(line.conditions) <= 3 for rule in rules.rules for line in lines(rule, rules.actions))


def test_every_rule_fires_in_a_reached_state() -> None:
    fired: set[str] = set()

    def spy(facts: Facts, goal: tuple[int, ...], rng: object) -> int:
        verdicts = [rules.check(facts, action) for action in rules.actions]
        fired.update(violation.name for verdict in verdicts for violation in verdict.violations)
        return 1 if verdicts[1].is_safe else 0

    evaluate(CorridorWorld, spy, range(20))
    assert fired == {rule.name for rule in rules.rules}


def test_greedy_compliant_carts_all_arrive_and_never_touch() -> None:
    greedy = evaluate(CorridorWorld, greedy_compliant(rules, STOP), range(50))
    assert (sum(greedy.collided), greedy.arrival_rate) == (0, 1.0)


def test_greedy_beats_every_baseline() -> None:
    greedy, shielded, chance, go, wait = (
        evaluate(CorridorWorld, policy, range(40))
        for policy in (greedy_compliant(rules, STOP), shielded_uniform(rules, STOP), uniform, always(1), always(0))
    )
    assert sum(chance.collided) > sum(greedy.collided) < sum(go.collided)
    assert sum(shielded.collided) == sum(wait.collided) == 0
    assert greedy.arrivals > max(shielded.arrivals, chance.arrivals, go.arrivals)
    assert wait.arrivals == 0


def test_blur_costs_progress_and_no_safety() -> None:
    blurred = evaluate(lambda: CorridorWorld(blur_cells=1), greedy_compliant(rules, STOP), range(20))
    assert sum(blurred.collided) == 0


@pytest.mark.parametrize("wrong", [{"carts": 0}, {"carts": 9}, {"num_ticks": 0}, {"blur_cells": 10}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(WorldError, match="expected"):
        CorridorWorld(**wrong)
