"""Rules over arrays: every state at once, equal to the compiled function; refusals of what arrays could get wrong."""

from __future__ import annotations

import itertools
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings

from symbolic import Action, BatchError, RuleSet, State, batch, codes_of, domain_of, fields, fixed, whole
from tests.symbolic.strategies import ACTIONS, Operate, Plant, rule_sets

STATES = numpy.array(list(itertools.product(*(range(f.low, f.high + 1) for f in domain_of(Plant).fields))))
"""All 2,016 states."""
DONE = numpy.array([codes_of(action) for action in ACTIONS])
EVERY_PAIR = numpy.repeat(STATES, len(DONE), 0), numpy.tile(DONE, (len(STATES), 1))


def plain(rules: RuleSet[Any, Any], states: Any, actions: Any) -> list[list[bool]]:
    found = [rules.compiled(tuple(s), tuple(a)) for s, a in zip(states.tolist(), actions.tolist(), strict=True)]
    return [[place in one for place in range(len(rules.rules))] for one in found]


@settings(max_examples=30)
@given(rule_sets())
def test_arrays_say_what_the_compiled_function_says_of_every_state_and_action(rules: RuleSet[Plant, Operate]) -> None:
    states, actions = EVERY_PAIR
    some = slice(len(rules.sha256) % 7, None, 7)
    found = batch(rules)(states[some], actions[some])
    assert found.tolist() == plain(rules, states[some], actions[some])


@settings(max_examples=20)
@given(rule_sets())
def test_torch_arrays_say_what_numpy_arrays_say(rules: RuleSet[Plant, Operate]) -> None:
    found = batch(rules)(torch.from_numpy(STATES), torch.tensor(codes_of(ACTIONS[3])))
    assert isinstance(found, torch.Tensor)
    assert (found.numpy() == batch(rules)(STATES, numpy.array(codes_of(ACTIONS[3])))).all()


def test_rules_that_differ_in_constants_alone_are_one_template() -> None:
    s, a = fields(Plant), fields(Operate)
    rules = RuleSet(Plant, Operate)
    for place, level in enumerate([-1, 0.5, 2]):
        rules.add(kind="forbid", name=f"level_{place}", expression=(s.level > level) & a.hold)
    rules.add(kind="forbid", name="other", expression=s.alarm & a.hold)
    assert sorted(len(template.rules) for template in batch(rules).templates) == [1, 3]
    found = batch(rules)(STATES, DONE[0]).tolist()
    assert found == plain(rules, STATES, numpy.tile(DONE[0], (len(STATES), 1)))


class Far(State):
    x: int = whole(ge=-(2**33), le=2**33)
    y: float = fixed(ge=-1, le=1, step=0.001)


class Go(Action):
    go: bool


def far(condition: Any) -> RuleSet[Far, Go]:
    rules = RuleSet(Far, Go)
    rules.add(kind="forbid", name="far", expression=condition)
    return rules


def test_numbers_beyond_32_bits_are_computed_in_64() -> None:
    found = batch(far(fields(Far).x * 7 > 2**35 + 1))(numpy.array([[2**33, 0], [2**32, 0]]), numpy.array([0]))
    assert found.tolist() == [[True], [False]]


class Near(State):
    x: int = whole(ge=-100, le=100)


@pytest.mark.parametrize("factor", [1, 163, 164, 327, 328, 10_737_418, 10_737_419, 21_474_836, 21_474_837])
def test_products_at_the_edge_of_each_width_are_exact(factor: int) -> None:
    """100 times the factor lies on both sides of 2**14, 2**15, 2**30 and 2**31."""
    rules, x = RuleSet(Near, Go), fields(Near).x
    rules.add(kind="forbid", name="exact", expression=(x * factor == 100 * factor) | (x * factor == -100 * factor))
    states = numpy.arange(-100, 101)[:, None]
    assert numpy.flatnonzero(batch(rules)(states, numpy.array([0]))[:, 0]).tolist() == [0, 200]
    assert batch(rules).bits == (16 if factor < 164 else 32 if factor < 10_737_419 else 64)


def test_a_sum_that_leaves_64_bits_on_the_way_is_refused() -> None:
    x = fields(Far).x
    with pytest.raises(BatchError, match=r"^rule `far`: expected numbers below 2\*\*62, got larger ones"):
        batch(far(x * 2**29 + x * 2**29 - x * 2**29 > 3))
    with pytest.raises(BatchError, match="below"):
        batch(far(x * x > 3))


@pytest.mark.parametrize(
    ("states", "actions", "message"),
    [
        ([[0, 0, 0]], [0], r"expected states as whole numbers of shape \(n, 2\), got 1x3 int64; use codes"),
        ([[0.5, 0]], [0], r"got 1x2 float64"),
        ([[0, 1001]], [0], "expected codes -1000 to 1000 in column 1 of the states, got others; check them"),
        ([[0, 0]], [2], "expected codes 0 to 1 in column 0 of the actions"),
        ([[0, 0]] * 3, [[0], [1]], "expected 1 or 3 actions, got 2"),
    ],
)
def test_wrong_arrays_are_refused(states: Any, actions: Any, message: str) -> None:
    with pytest.raises(BatchError, match=message):
        batch(far(fields(Far).y > 0.5))(numpy.array(states), numpy.array(actions))


def test_no_states_give_no_rows() -> None:
    assert batch(far(fields(Far).y > 0.5))(numpy.zeros((0, 2), dtype=int), numpy.array([0])).shape == (0, 1)
