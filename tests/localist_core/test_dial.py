"""The closed forms of the dial, as laws over floats."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localist_core.dial import (
    Dial,
    DialSchedule,
    fidelity,
    floor_bias,
    floor_fidelity,
    floor_neutral_mass,
    layer_floor,
    odds_bias,
    odds_fidelity,
    odds_neutral_mass,
)
from localist_core.errors import DialError

nats = st.floats(-30, 30)
inner = st.floats(0.01, 0.99)


@given(L_S=nats, L_R=nats, value=inner)
def test_floor_bias_gives_the_higher_of_fidelity_and_dial(L_S, L_R, value) -> None:
    steered = fidelity(L_S, L_R + floor_bias(L_S, L_R, value))
    assert math.isclose(steered, floor_fidelity(fidelity(L_S, L_R), value), abs_tol=1e-12)


@given(L_S=nats, L_R=nats, L_N=nats, value=inner)
def test_floor_dial_moves_the_neutral_mass_as_the_formula_says(L_S, L_R, L_N, value) -> None:
    rest = L_R + floor_bias(L_S, L_R, value)
    measured = math.exp(L_N) / (math.exp(L_N) + math.exp(L_S) + math.exp(rest))
    formula = floor_neutral_mass(math.exp(L_N), math.exp(L_S), fidelity(L_S, L_R), value)
    assert math.isclose(measured, formula, rel_tol=1e-9)


@given(L_S=nats, L_R=nats, L_N=nats, value=inner)
def test_odds_dial_moves_fidelity_and_neutral_mass_as_the_formulas_say(L_S, L_R, L_N, value) -> None:
    steered = fidelity(L_S, L_R + odds_bias(value))
    assert math.isclose(steered, odds_fidelity(fidelity(L_S, L_R), value), rel_tol=1e-9)
    N, S, R = math.exp(L_N), math.exp(L_S), math.exp(L_R)
    expected = odds_neutral_mass(N / (N + S + R), R / (N + S + R), value)
    assert math.isclose(N / (N + S + R * (1 - value)), expected, rel_tol=1e-9)


@given(L_S=nats, L_R=nats, one=st.floats(0, 1), other=st.floats(0, 1))
def test_floor_bias_falls_as_the_dial_rises(L_S, L_R, one, other) -> None:
    low, high = sorted((one, other))
    assert floor_bias(L_S, L_R, high) <= floor_bias(L_S, L_R, low) <= 0.0


def test_floor_bias_at_the_ends() -> None:
    assert floor_bias(0.0, 5.0, 0.0) == 0.0
    assert floor_bias(50.0, 0.0, 1.0) == -math.inf
    assert floor_bias(0.0, -math.inf, 0.5) == 0.0
    with pytest.raises(DialError, match="expected a visible target token"):
        floor_bias(-math.inf, 0.0, 0.5)
    with pytest.raises(DialError, match="undefined"):
        fidelity(-math.inf, -math.inf)


@pytest.mark.parametrize(
    ("gamma", "floors"), [(0, [0.8] * 4), (1, [0.2, 0.4, 0.6, 0.8]), (3, [0.0125, 0.1, 0.3375, 0.8])]
)
def test_layer_floor_follows_the_depth_schedule(gamma, floors) -> None:
    assert [layer_floor(0.8, layer, 4, gamma) for layer in range(4)] == pytest.approx(floors)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((1.2, frozenset({"goal"})), "expected a dial between 0 and 1, got `1.2`"),
        ((float("nan"), frozenset({"goal"})), "got `nan`"),
        ((0.5,), "expected target blocks for dial `0.5`, got none"),
        ((0.5, frozenset({"goal"}), -1.0), "depth exponent"),
    ],
)
def test_dial_that_cannot_be_honoured_is_not_built(arguments, reason) -> None:
    with pytest.raises(DialError, match=reason):
        Dial(*arguments)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"kind": "soft"}, "expected a dial of kind floor or odds, got `soft`"),
        ({"scope": "rows"}, "expected a scope of decision or all, got `rows`"),
        ({"heads": frozenset()}, "at least one head to steer, got none"),
        ({"heads": frozenset({(0, -1)})}, r"pairs of layer and head from 0 on, got `\(0, -1\)`"),
    ],
)
def test_dial_of_unknown_kind_scope_or_heads_is_not_built(more, reason) -> None:
    with pytest.raises(DialError, match=reason):
        Dial(0.5, frozenset({"goal"}), **more)


def test_dial_says_whether_it_reaches_the_prefix_and_whether_it_cuts_everywhere() -> None:
    targets = frozenset({"goal"})
    assert Dial(0.5, targets, scope="all").touches_prefix
    assert not any(dial.touches_prefix for dial in (Dial(1.0, targets), Dial(0.0, targets, scope="all")))
    assert Dial(1.0, targets, kind="odds").is_whole_cut
    partial = (Dial(0.9, targets), Dial(1.0, targets, 1.0), Dial(1.0, targets, heads=frozenset({(0, 0)})))
    assert not any(dial.is_whole_cut for dial in partial)


def test_schedule_rises_to_its_top() -> None:
    assert [DialSchedule().at(n) for n in range(4)] == pytest.approx([0.2, 0.5, 0.8, 0.8])
    with pytest.raises(DialError, match="start <= top"):
        DialSchedule(start=0.9, top=0.8)


def test_schedule_gives_dials_of_its_own_kind_depth_and_heads() -> None:
    heads, targets = frozenset({(0, 1), (2, 3)}), frozenset({"goal"})
    schedule = DialSchedule(start=0.1, step=0.2, gamma=3.0, kind="odds", heads=heads)
    assert schedule.dial(2, targets) == Dial(0.5, targets, 3.0, kind="odds", heads=heads)
    with pytest.raises(DialError, match="at least one head"):
        DialSchedule(heads=frozenset())
    with pytest.raises(DialError, match="depth exponent"):
        DialSchedule(gamma=-1.0)
