"""Laws of attention by block, and the packed path against the float64 reference."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from localist_core.attending.packed import packed
from localist_core.attending.reference import reference
from localist_core.attending.segments import Attended, Group, Segments, entropy_bits, layout_of, rest_bias
from localist_core.dial import floor_bias

BLOCK_GROUPS = (Group.NEUTRAL, Group.TARGET, Group.REST, Group.TARGET, Group.REST, Group.NEUTRAL)


@dataclass(frozen=True)
class Case:
    query: Tensor
    key: Tensor
    value: Tensor
    segments: Segments
    sink: Tensor | None

    def packed(self, floor: float | None = None):
        return self._run(packed, floor)

    def reference(self, floor: float | None = None):
        return self._run(reference, floor)

    def _run(self, function, floor):
        segments = self.segments if floor is None else at(self.segments, floor)
        return function(self.query, self.key, self.value, segments, scale=0.5, sink=self.sink)


def at(segments: Segments, floor: float) -> Segments:
    """The same segments with every floor at this value."""
    return replace(segments, floor=torch.full_like(segments.floor, floor), has_floor=floor > 0.0, has_cut=floor == 1.0)


def case(
    seed: int,
    *,
    spread: float = 1.0,
    sink: bool = False,
    odds: bool = False,
    by_head: bool = False,
    batch: int = 2,
    keys: int = 19,
    rows: int = 5,
) -> Case:
    """Random heads (4, in 2 groups); blocks of random places; rows that see a neutral and a target token at least."""
    g = torch.Generator().manual_seed(seed)
    block_of = torch.randint(len(BLOCK_GROUPS), (batch, keys), generator=g)
    block_of[:, :3] = torch.tensor([0, 1, 2])
    membership = torch.nn.functional.one_hot(block_of, len(BLOCK_GROUPS)).float()
    hidden = torch.rand(batch, 1, rows, keys, generator=g) < 0.3
    hidden[..., :2] = False
    membership[1, -3:] = 0.0
    hidden[1, ..., -3:] = True
    floors = torch.tensor([0.0, 0.3, 0.8, 0.99])[torch.randint(4, (batch, 4 if by_head else 1), generator=g)]
    return Case(
        query=torch.randn(batch, 4, rows, 8, generator=g) * spread,
        key=torch.randn(batch, 2, keys, 8, generator=g),
        value=torch.randn(batch, 2, keys, 8, generator=g),
        segments=Segments(
            layout=layout_of(membership, torch.tensor(BLOCK_GROUPS)[block_of]),
            hidden=hidden,
            floor=floors,
            has_floor=bool(floors.max() > 0.0),
            has_cut=False,
            is_odds=torch.rand(batch, generator=g) < 0.5 if odds else None,
        ),
        sink=torch.randn(4, generator=g) if sink else None,
    )


seeds = st.integers(0, 2**31)
dials = st.sampled_from([0.0, 0.05, 0.5, 0.9, 0.999, 1.0])
spreads = st.sampled_from([0.1, 1.0, 10.0])
cases = st.builds(case, seeds, spread=spreads, sink=st.booleans())
mixed = st.builds(case, seeds, spread=spreads, sink=st.booleans(), odds=st.booleans(), by_head=st.booleans())
FIELDS = tuple(field.name for field in fields(Attended))


def neutral_mass(masses: Tensor, one: Case) -> Tensor:
    """Of each row; a sink is neutral."""
    neutral = [b for b, group in enumerate(BLOCK_GROUPS) if group == Group.NEUTRAL]
    return masses[..., neutral + list(range(len(BLOCK_GROUPS), masses.shape[-1]))].sum(-1)


@given(mixed, st.none() | dials)
def test_packed_agrees_with_the_reference(one, floor) -> None:
    """Under one dial, or under one of its own for each entry or each head."""
    ours, exact = one.packed(floor), one.reference(floor)
    for name in FIELDS:
        torch.testing.assert_close(
            getattr(ours, name).double(), getattr(exact, name), atol=3e-5, rtol=1e-5, equal_nan=True, msg=name
        )


@given(cases)
def test_without_a_dial_output_and_masses_are_those_of_softmax(one) -> None:
    ours = one.packed(0.0)
    key, value = (t.repeat_interleave(2, 1) for t in (one.key, one.value))
    scores = (one.query @ key.mT * 0.5).masked_fill(one.segments.hidden, -torch.inf)
    if one.sink is not None:
        scores = torch.cat([scores, one.sink[None, :, None, None].expand(*scores.shape[:-1], 1)], -1)
    weights = scores.softmax(-1)[..., : key.shape[2]]
    torch.testing.assert_close(ours.output, weights @ value, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        ours.raw[..., : len(BLOCK_GROUPS)], weights @ one.segments.layout.membership[:, None], atol=1e-5, rtol=1e-5
    )


@given(cases, dials)
def test_fidelity_is_the_higher_of_raw_fidelity_and_dial(one, floor) -> None:
    ours = one.packed(floor)
    has_rest = (~one.segments.hidden & (one.segments.layout.groups == Group.REST)[:, None, None]).any(-1)
    expected = torch.where(has_rest, ours.raw_fidelity.clamp(min=floor), 1.0)
    torch.testing.assert_close(ours.steered_fidelity, expected, atol=1e-5, rtol=0)


@given(st.builds(case, seeds, spread=spreads, sink=st.booleans(), by_head=st.booleans()))
def test_fidelity_holds_for_bfloat16_inputs_too(one) -> None:
    """Scores and log-sum-exps are float32 whatever the inputs are, so the floor is exact, head by head."""
    half = replace(one, query=one.query.bfloat16(), key=one.key.bfloat16(), value=one.value.bfloat16())
    ours = half.packed()
    expected = torch.maximum(ours.raw_fidelity, one.segments.floor[..., None].expand_as(ours.raw_fidelity))
    torch.testing.assert_close(ours.steered_fidelity, expected, atol=1e-5, rtol=0)


@given(cases, dials)
def test_odds_dial_moves_fidelity_and_neutral_mass_by_their_formulas(one, dial) -> None:
    ours = replace(one, segments=replace(one.segments, is_odds=torch.ones(2).bool())).packed(dial)
    F, neutral = ours.raw_fidelity.double(), neutral_mass(ours.raw, one).double()
    torch.testing.assert_close(ours.steered_fidelity.double(), F / (F + (1.0 - dial) * (1.0 - F)), atol=1e-5, rtol=0)
    kept = 1.0 - dial + dial * (neutral + F - neutral * F)  # 1 - dial * p_R, where p_R may be 1 but for 1e-14
    torch.testing.assert_close(neutral_mass(ours.steered, one).double(), neutral / kept, atol=1e-5, rtol=0)


@given(cases, dials)
def test_floor_dial_moves_the_neutral_mass_by_its_formula(one, dial) -> None:
    """N / (N + S / max(F, dial)): whatever the rest holds where the floor bites."""
    ours = one.packed(dial)
    N, F = neutral_mass(ours.raw, one).double(), ours.raw_fidelity.double()
    S = (1.0 - N) * F
    expected = N / (N + S / ours.steered_fidelity.double())
    seen = S > 1e-4  # below it, S in float32 says little
    torch.testing.assert_close(neutral_mass(ours.steered, one).double()[seen], expected[seen], atol=1e-5, rtol=1e-3)


@given(mixed, st.none() | dials)
def test_no_hidden_position_is_ever_opened(one, dial) -> None:
    weights = replace(one, value=torch.eye(one.key.shape[2]).expand(2, 2, -1, -1)).packed(dial).output
    assert not weights.masked_select(one.segments.hidden).any()


@given(mixed, st.none() | dials)
def test_entropies_are_those_of_the_weights_themselves(one, dial) -> None:
    ours = replace(one, value=torch.eye(one.key.shape[2]).expand(2, 2, -1, -1)).packed(dial)
    weights = ours.output.double()
    inner = weights * (one.segments.layout.groups != Group.NEUTRAL)[:, None, None]
    inner = inner / inner.sum(-1, keepdim=True)
    sink = 1.0 - weights.sum(-1, keepdim=True).clamp(max=1.0) if one.sink is not None else weights[..., :0]
    for got, p in ((ours.token_entropy_bits, torch.cat([weights, sink], -1)), (ours.inner_entropy_bits, inner)):
        bits = -torch.xlogy(p, p).sum(-1) / math.log(2.0)
        torch.testing.assert_close(got.double(), bits, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("group", [Group.TARGET, Group.NEUTRAL])
@pytest.mark.parametrize("dial", [0.5, 1.0])
def test_a_single_block_keeps_all_of_the_mass(group, dial) -> None:
    one = case(2)
    layout = layout_of(torch.ones(2, 19, 1), torch.full((2, 19), int(group)))
    ours = replace(one, segments=replace(one.segments, layout=layout, hidden=None)).packed(dial)
    torch.testing.assert_close(ours.steered, torch.ones_like(ours.steered))
    assert not ours.bias.any()
    assert bool(ours.steered_fidelity.isnan().all()) == (group is Group.NEUTRAL)


@given(cases, dials)
def test_masses_say_the_same_as_fidelity_and_sum_to_one(one, floor) -> None:
    ours = one.packed(floor)
    for masses in (ours.raw, ours.steered):
        torch.testing.assert_close(masses.sum(-1), torch.ones_like(masses[..., 0]), atol=1e-5, rtol=0)
    target, rest = (
        ours.steered[..., [b for b, g in enumerate(BLOCK_GROUPS) if g == group]].sum(-1)
        for group in (Group.TARGET, Group.REST)
    )
    torch.testing.assert_close(target, ours.steered_fidelity * (target + rest), atol=1e-5, rtol=0)


@given(cases, dials)
def test_distribution_inside_a_block_never_changes(one, floor) -> None:
    one = replace(one, value=torch.eye(one.key.shape[2]).expand(2, 2, -1, -1))  # outputs are then the weights
    for block in (b for b, group in enumerate(BLOCK_GROUPS) if floor < 1.0 or group != Group.REST):
        inside = one.segments.layout.membership[:, None, None, :, block]
        before, after = (one.packed(f).output * inside for f in (0.0, floor))
        mass_before, mass_after = before.sum(-1, keepdim=True), after.sum(-1, keepdim=True)
        torch.testing.assert_close(before * mass_after, after * mass_before, atol=1e-6, rtol=0)


@given(mixed, st.tuples(dials, dials))
def test_fidelity_and_target_mass_rise_with_the_dial(one, pair) -> None:
    low, high = (one.packed(floor) for floor in sorted(pair))
    assert bool((high.steered_fidelity >= low.steered_fidelity - 1e-6).all())
    for block, group in enumerate(BLOCK_GROUPS):
        change = high.steered[..., block] - low.steered[..., block]
        assert bool(((change <= 1e-6) if group == Group.REST else (change >= -1e-6)).all())


@given(cases, st.sampled_from([float("inf"), float("nan"), -1e30]))
def test_at_dial_one_the_rest_contributes_nothing_whatever_it_holds(one, poison) -> None:
    is_rest = (one.segments.layout.groups == Group.REST)[:, None, :, None]
    clean = one.packed(1.0)
    poisoned = replace(one, key=one.key.masked_fill(is_rest, poison), value=one.value.masked_fill(is_rest, poison))
    for dirty in (poisoned.packed(1.0), poisoned.reference(1.0)):
        torch.testing.assert_close(dirty.output.float(), clean.output, atol=1e-5, rtol=1e-5)
    assert torch.equal(poisoned.packed(1.0).output, clean.output)
    rest = [b for b, group in enumerate(BLOCK_GROUPS) if group == Group.REST]
    assert not clean.steered[..., rest].any()


@given(cases)
def test_cut_rest_is_as_good_as_hidden(one) -> None:
    is_rest = (one.segments.layout.groups == Group.REST)[:, None, None]
    alone = replace(one, segments=replace(one.segments, hidden=one.segments.hidden | is_rest))
    torch.testing.assert_close(one.packed(1.0).output, alone.packed(0.0).output, atol=1e-6, rtol=1e-5)


def test_dial_holds_where_the_rest_towers_over_the_targets() -> None:
    one = case(0, batch=2)
    is_rest = (one.segments.layout.groups == Group.REST)[:, None, :, None]
    key = torch.where(is_rest, 100.0, -100.0).expand_as(one.key)
    sees_rest = replace(
        one.segments, hidden=one.segments.hidden & (one.segments.layout.groups != Group.REST)[:, None, None]
    )
    ours = replace(one, key=key, query=torch.ones_like(one.query), segments=sees_rest).packed(0.8)
    assert not ours.raw_fidelity.any()
    torch.testing.assert_close(ours.steered_fidelity, torch.full_like(ours.steered_fidelity, 0.8), atol=1e-5, rtol=0)


@given(st.floats(-20, 20), st.floats(-20, 20), dials)
def test_bias_of_tensors_is_that_of_floats(L_S, L_R, floor) -> None:
    L = torch.tensor([0.0, L_S, L_R], dtype=torch.float64)
    got = rest_bias(L, torch.tensor(floor, dtype=torch.float64))
    torch.testing.assert_close(got, torch.tensor(floor_bias(L_S, L_R, floor), dtype=torch.float64), atol=1e-9, rtol=0)


def test_entropy_of_even_masses_is_log2_of_their_number() -> None:
    assert float(entropy_bits(torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0]))) == pytest.approx(2.0)


def test_soft_cap_is_applied_to_the_scores() -> None:
    one = case(3, spread=10.0)
    arguments = (one.query, one.key, one.value, one.segments)
    ours, exact = (f(*arguments, scale=0.5, softcap=2.0) for f in (packed, reference))
    torch.testing.assert_close(ours.output.double(), exact.output, atol=1e-5, rtol=1e-5)
