"""Every bound of the framework against attention: random rows, random models of many families, the core that ships."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from localist_core.dial import odds_bias
from localist_core.errors import UnsupportedModelError
from localist_core.proving.bounds import Law, Seen, Sides, held
from localist_core.proving.laws import BOUNDS, DIAL, LAWS, softmax, steered
from localist_core.proving.theory import (
    TheoryError,
    entropy_bits,
    exact_leak_entropy_bound_bits,
    leak_bound,
    margin,
)
from localist_core.proving.witness import captured, seen_by
from tests.localist_core import tiny

logits = st.lists(st.floats(-30.0, 30.0), min_size=1, max_size=8).map(tuple)
EXACT = 1e-9
"""Relative slack of rows that are computed in float64."""


def row_of(S, R, N, reach=30.0) -> Seen:
    weights = softmax((*S, *R, *N))
    return Seen(
        S=S,
        R=R,
        N=N,
        target_weights=weights[: len(S)],
        rest_weights=weights[len(S) : len(S) + len(R)],
        neutral_weights=weights[len(S) + len(R) :],
        reach=reach,
    )


rows = st.builds(row_of, logits, st.one_of(st.just(()), logits), st.one_of(st.just(()), logits))


@given(rows)
def test_no_law_is_broken_by_random_attention(row) -> None:
    assert [one for one in held([row], LAWS, relative=EXACT) if one.violations] == []


@given(rows)
def test_measured_sides_lie_where_float64_puts_them(row) -> None:
    """Without any slack the bounds of leaks and entropies hold to rounding: the slack hides nothing."""
    found = held([row], [law for law in BOUNDS if law.relation == "<=" and "margin" not in law.name])
    assert all(one.count == 0 or one.worst <= 1e-9 for one in found)


# False variants are caught


def best_margin_with_all_targets(row: Seen) -> Sides | None:
    """The best target alone stands above the rest, yet n_S is put into the denominator: false (framework, 5)."""
    if row.leak is None or not row.R:
        return None
    return Sides(row.leak, leak_bound(max(row.S) - max(row.R), n_S=row.num_targets, r=row.num_rest))


def entropy_of_bound_beyond_even(row: Seen) -> Sides | None:
    """A bound stands for the leak where it is above r / n: false (framework, 5)."""
    eps = leak_bound(margin(row.S, row.R), n_S=row.num_targets, r=row.num_rest)
    inside = [*row.target_weights, *row.rest_weights]
    return Sides(
        entropy_bits([weight / sum(inside) for weight in inside]),
        exact_leak_entropy_bound_bits(eps, n_S=row.num_targets, r=row.num_rest),
    )


def odds_without_neutral(row: Seen) -> Sides | None:
    """The odds dial is said to keep the neutral mass: false."""
    return Sides(steered(row, rest=odds_bias(DIAL))[2], steered(row)[2])


@pytest.mark.parametrize(
    ("relation", "sides", "row"),
    [
        ("<=", best_margin_with_all_targets, row_of((2.0, -9.0, -9.0), (0.0,), ())),
        ("<=", entropy_of_bound_beyond_even, row_of((0.0, 0.0, 0.0, -5.0), (0.0,), ())),
        ("==", odds_without_neutral, row_of((0.0,), (1.0,), (0.5,))),
    ],
)
def test_false_variant_of_a_law_is_caught(relation, sides, row) -> None:
    law = Law(name="false", section=5, relation=relation, sides=sides, absolute=1e-3)
    assert held([row], [law])[0].violations == 1


def test_weight_that_the_model_lost_is_caught() -> None:
    """Attention that leaks more than its logits say breaks concentration and the identity of the masses."""
    wrong = Seen(
        S=(9.0,),
        R=(0.0,),
        N=(),
        target_weights=(0.9,),
        rest_weights=(0.1,),
        neutral_weights=(),
        reach=9.0,
    )
    broken = {one.name for one in held([wrong], LAWS) if one.violations}
    assert {"mass of the targets = exp(L_S - L)", "concentration: leak, every target"} <= broken


def test_undefined_sides_are_counted_as_violations_and_not_passed() -> None:
    law = Law(name="nan", section=5, relation="<=", sides=lambda row: Sides(math.nan, 1.0), absolute=1.0)
    assert held([row_of((0.0,), (), ())], [law])[0].violations == 1


def test_row_without_a_target_is_refused() -> None:
    with pytest.raises(TheoryError, match="expected a row that sees a target"):
        row_of((), (1.0,), ())


@given(rows)
def test_tightness_is_a_share_of_the_bound(row) -> None:
    for one in held([row], BOUNDS):
        known = [share for share in one.tightness if not math.isnan(share)]
        assert all(-1e-9 <= share <= 1.0 + 1e-4 for share in known)
    assume(row.leak is not None and row.leak > 0.0)
    assert math.isnan(held([row], LAWS)[0].tightness[1])


# Models

SERVED = sorted(set(tiny.CONFIGS) - {"bloom", "gptj"})
PLACES = range(20)


def seen_of(model, ids):
    targets, rest = [0 < place < 8 or place > 15 for place in PLACES], [7 < place < 16 for place in PLACES]
    return list(seen_by(captured(model, {"input_ids": ids}), targets=targets, rest=rest, rows=(9, 14, 18, 19)))


@pytest.mark.parametrize("family", SERVED)
def test_no_law_is_broken_by_a_random_model(family) -> None:
    model = tiny.model(family)
    seen = seen_of(model, torch.randint(3, 90, (1, 20), generator=torch.Generator().manual_seed(1)))
    assert len(seen) >= 2 * model.config.num_attention_heads * model.config.num_hidden_layers
    assert [one for one in held(seen, LAWS) if one.violations] == []


@pytest.mark.parametrize("family", SERVED)
def test_captured_weights_are_those_of_the_eager_attention(family) -> None:
    model = tiny.model(family)
    ids = torch.randint(3, 90, (1, 20), generator=torch.Generator().manual_seed(2))
    before = model.config._attn_implementation
    layers = captured(model, {"input_ids": ids})
    assert model.config._attn_implementation == before
    model.set_attn_implementation("eager")
    with torch.no_grad():
        eager = model(ids, output_attentions=True).attentions
    for layer, weights in zip(layers, eager, strict=True):
        torch.testing.assert_close(layer.weights, weights[0], rtol=1e-4, atol=1e-5)
        greatest = layer.logits.masked_fill(layer.logits.isinf(), 0.0).abs().amax((1, 2))
        assert (greatest <= layer.reach * (1 + 1e-5)).all()


def test_family_whose_attention_is_its_own_is_refused() -> None:
    with pytest.raises((UnsupportedModelError, ValueError, KeyError)):
        captured(tiny.model("bloom"), {"input_ids": torch.ones(1, 4, dtype=torch.long)})
