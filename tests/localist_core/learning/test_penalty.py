"""Group sparsity: the proximal step against its closed form, KKT, scale, independence, and zeros of a run."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from localist_core.attending.attention import LEAN
from localist_core.learning.optimisers import Optimisers, ProximalDescent
from localist_core.learning.penalty import (
    LocalistGroups,
    Penalty,
    PenaltyError,
    Side,
    kkt_residuals,
    norms,
    penalty_of,
    shrink,
)
from localist_core.learning.sparsity import SPARSITY, count_groups, count_zero
from localist_core.learning.training import HISTORY, train
from localist_core.model import LocalistForCausalLM, small_config
from localist_core.proving.theory import proximal_factor
from tests.localist_core.learning.test_training import assert_equal_weights, thread, weights
from tests.localist_core.lessons import TINY, VOCAB, Recital, tokenizer

KINDS, WIDTH = 10, 1
numbers = st.floats(-3, 3, width=32)


def model(**shape) -> LocalistForCausalLM:
    torch.manual_seed(0)
    made = LocalistForCausalLM(small_config(VOCAB, layers=2, width=32, heads=2, hidden=24, block_width=WIDTH, **shape))
    made.set_attn_implementation(LEAN)
    return made.eval()


def blocks(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape or (2, 3, 4, 2), generator=torch.Generator().manual_seed(seed))


def scores_loss(made) -> torch.Tensor:
    """Some loss of the logits."""
    ids = torch.arange(24).view(2, 12) % VOCAB
    kinds = (torch.arange(24).view(2, 12) * KINDS // 12) % KINDS
    mask = torch.full((12, 12), -1e4).triu(1).expand(2, 1, 12, 12)
    logits = made(ids, attention_mask=mask, block_kinds=kinds.sort(1).values).logits
    return -logits.double().log_softmax(-1)[..., 3].mean()


# The step


@given(st.integers(0, 999), st.floats(0, 5))
def test_shrinking_scales_each_block_by_the_closed_form(seed, threshold) -> None:
    before = blocks(seed)
    after = before.clone()
    shrink(after, torch.full((4,), threshold))
    for head in range(2):
        for kind in range(4):
            size = float(before[head, :, kind].norm())
            factor = proximal_factor(size, step=1.0, strength=threshold, weight=1.0)
            torch.testing.assert_close(after[head, :, kind], before[head, :, kind] * factor, rtol=1e-4, atol=1e-6)


@given(st.integers(0, 999), st.floats(0.01, 5))
def test_shrunk_block_minimises_distance_plus_penalty(seed, threshold) -> None:
    before = blocks(seed, 1, 3, 1, 2).double()
    best = before.clone()
    shrink(best, torch.tensor([threshold]))

    def objective(point: torch.Tensor) -> float:
        return float((point - before).square().sum() / 2 + threshold * point.norm())

    for other in (torch.zeros_like(best), before, best + 0.01 * blocks(seed + 1, 1, 3, 1, 2).double()):
        assert objective(best) <= objective(other) + 1e-9


def test_zero_block_stays_zero_and_is_no_nan() -> None:
    zero = torch.zeros(2, 3, 4, 2)
    shrink(zero, torch.zeros(4))
    assert torch.equal(zero, torch.zeros(2, 3, 4, 2))


@given(st.integers(0, 999), st.floats(0.1, 3))
def test_kkt_residual_is_0_exactly_at_the_solution_of_a_quadratic(seed, force) -> None:
    # loss = ||W - C||^2 / 2 has the gradient W - C, and the solution of the penalised problem is shrink(C).
    centre = blocks(seed).double()
    solution = centre.clone()
    shrink(solution, torch.full((4,), force).double())
    forces = torch.full((4,), force).double()
    assert float(kkt_residuals(solution, solution - centre, forces).max()) < 1e-9
    elsewhere = solution + 0.1
    assert float(kkt_residuals(elsewhere, elsewhere - centre, forces).min()) > 1e-3


def test_penalty_is_the_weighted_sum_of_the_norms_of_both_factors() -> None:
    groups = LocalistGroups(model())
    expected = 0.0
    for one in groups.penalised:
        for head in range(2):
            rows = one.parameter.detach()[16 * head : 16 * head + 16]
            expected += sum((2.0 if kind == 6 else 1.0) * float(rows[:, kind].norm()) for kind in range(KINDS))
    weighted = Penalty(weights=(("message", 2.0),)).weight_of
    assert penalty_of(groups, weighted).item() == pytest.approx(expected, rel=1e-5)


# Who moves what


def test_penalised_columns_move_by_plain_descent_and_the_others_by_muon() -> None:
    made, stock = model(), model()
    groups = LocalistGroups(made)
    optimisers = Optimisers(made, muon_lr=0.02, adam_lr=0.003, penalty=Penalty(strength=1e-9, lr=0.5), groups=groups)
    plain = Optimisers(stock, muon_lr=0.02, adam_lr=0.003, penalty=Penalty(), groups=None)
    before = {one.layer: one.parameter.detach().clone() for one in groups.penalised if one.side is Side.QUERY}
    for each in (made, stock):
        scores_loss(each).backward()
    gradients = {one.layer: one.parameter.grad.clone() for one in groups.penalised if one.side is Side.QUERY}
    size = math.sqrt(sum(float(p.grad.square().sum()) for p in stock.parameters()))
    optimisers.step(1.0)
    plain.step(1.0)
    for one in groups.penalised:
        if one.side is Side.QUERY:
            step = 0.5 * min(1.0, 1.0 / size) * gradients[one.layer][:, :KINDS]
            torch.testing.assert_close(one.parameter[:, :KINDS], before[one.layer][:, :KINDS] - step)
            assert not torch.allclose(one.parameter[:, KINDS:], before[one.layer][:, KINDS:])
    own, others = made.model.layers[1].mlp.up_proj.weight, stock.model.layers[1].mlp.up_proj.weight
    assert torch.equal(own, others)


def test_zero_factor_is_left_only_by_a_gradient_beyond_its_force_and_not_when_frozen() -> None:
    made = model()
    groups = LocalistGroups(made)
    one = groups.penalised[0]
    descent = ProximalDescent([one], Penalty(strength=1.0, lr=0.1))
    one.parameter.data.zero_()
    one.parameter.grad = torch.zeros_like(one.parameter)
    one.gradient[0, :, 0, 0], one.gradient[0, :, 1, 0] = 0.3, 0.2  # norms 1.2 and 0.8
    descent.step(1.0)
    assert one.norms[0, :2].tolist() == pytest.approx([0.1 * 0.2, 0.0])
    one.parameter.data.zero_()
    descent.step(1.0, freezes=True)
    assert float(one.norms.max()) == 0.0
    assert descent.thaw() == 1
    resumed = ProximalDescent([one], Penalty(strength=1.0, lr=0.1))
    resumed.load_state_dict(descent.state_dict())
    resumed.step(1.0, freezes=True)
    assert (one.norms > 0.0).nonzero().tolist() == [[0, 0]]


@given(st.floats(0.1, 1.0), st.floats(0.1, 1.0))
def test_shrinkage_belongs_to_the_step_that_was_taken(scale, clipped) -> None:
    one = LocalistGroups(model()).penalised[0]
    before = one.norms
    one.parameter.grad = torch.zeros_like(one.parameter)
    ProximalDescent([one], Penalty(strength=0.01, lr=0.2)).step(scale, clipped=clipped)
    expected = (before - 0.2 * scale * clipped * 0.01).clamp(min=0.0)
    torch.testing.assert_close(one.norms, expected, rtol=1e-4, atol=1e-6)


# Scale


def test_scaling_a_whole_head_leaves_the_loss_and_shrinks_the_penalty_so_the_scale_is_held() -> None:
    made = model().double()
    groups = LocalistGroups(made)
    ones = torch.ones(KINDS).double()
    loss, penalty = scores_loss(made).item(), penalty_of(groups, ones).item()
    with torch.no_grad():
        for one in groups.penalised:
            one.parameter.mul_(0.5)
    assert scores_loss(made).item() == pytest.approx(loss, abs=1e-5)
    assert penalty_of(groups, ones).item() == pytest.approx(penalty / 2)
    groups.fix_scale()
    once = penalty_of(groups, ones).item()
    groups.fix_scale()
    groups.hold()
    assert penalty_of(groups, ones).item() == pytest.approx(once)
    assert scores_loss(made).item() == pytest.approx(loss, abs=1e-5)


def test_gains_of_reserved_coordinates_go_over_into_the_columns_that_read_them() -> None:
    made = model().double()
    groups = LocalistGroups(made)
    with torch.no_grad():
        for layer in made.model.layers:
            layer.input_layernorm.weight[:KINDS] = 3.0
    loss = scores_loss(made).item()
    groups.fix_scale()
    assert scores_loss(made).item() == pytest.approx(loss, abs=1e-5)
    assert all(bool((layer.input_layernorm.weight == 1.0).all()) for layer in made.model.layers)


def test_model_without_reserved_coordinates_cannot_be_penalised() -> None:
    bare = LocalistForCausalLM(small_config(VOCAB, layers=1, width=32, heads=2, hidden=24, block_width=0))
    with pytest.raises(PenaltyError, match="got `0` reserved of `32`; choose another block width"):
        LocalistGroups(bare)


# Independence


def queries_of_changed_group(made, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries before their own norm, of one layer whose group 6 is zero, for an input and one with group 6 scaled."""
    layer = made.model.layers[0]
    with torch.no_grad():
        layer.self_attn.q_proj.weight[:, 6 * WIDTH : 7 * WIDTH] = 0.0
        hidden = blocks(1, 2, 12, 32).to(layer.self_attn.q_proj.weight)
        changed = hidden.clone()
        changed[..., 6 * WIDTH : 7 * WIDTH] *= scale
        return tuple(layer.self_attn.q_proj(layer.input_layernorm(each)) for each in (hidden, changed))


@given(st.sampled_from([-7.0, 0.0, 100.0]))
def test_zero_group_is_not_read_at_all_with_a_norm_for_each_group(scale) -> None:
    one, other = queries_of_changed_group(model(grouped_norm=True), scale)
    assert torch.equal(one, other)


@given(st.sampled_from([-7.0, 0.0, 100.0]))
def test_zero_group_is_read_through_the_shared_norm_alone_and_the_norm_of_queries_takes_that_out(scale) -> None:
    made = model().double()
    one, other = queries_of_changed_group(made, scale)
    assert not torch.allclose(one, other)
    ratio = other / one
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio), rtol=1e-4, atol=1e-5)  # one factor a token
    norm = made.model.layers[0].self_attn.q_norm
    norm.variance_epsilon = 1e-12  # the only thing that stays
    torch.testing.assert_close(
        norm(one.unflatten(-1, (2, 16))), norm(other.unflatten(-1, (2, 16))), rtol=1e-3, atol=1e-3
    )


def test_weights_of_a_model_load_into_one_with_grouped_norm(tmp_path) -> None:
    made = model()
    other = model(grouped_norm=True)
    other.load_state_dict(made.state_dict())
    assert not torch.allclose(scores_loss(made), scores_loss(other), atol=1e-9)


# Runs

PENALISED = replace(TINY, tokens=2_800, penalty=Penalty(strength=0.01, lr=1.0, freeze_from=0.5, recheck_tokens=300))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run under a penalty that some groups survive."""
    out = tmp_path_factory.mktemp("penalised")
    assert train(PENALISED, Recital(), tokenizer(), out, helper=thread)
    return out


def test_run_under_a_penalty_leaves_true_zeros_and_says_which(whole) -> None:
    told = json.loads((whole / SPARSITY).read_text())
    assert 0 < told["num_zero"] < told["num_groups"] == 2 * KINDS
    loaded = load_file(whole / "model.safetensors")
    for group in told["groups"]:
        for side, name in (("query", "q_proj"), ("key", "k_proj")):
            weight = loaded[f"model.layers.{group['layer']}.self_attn.{name}.weight"]
            kind = [one["kind"] for one in told["groups"] if one["head"] == 0].index(group["kind"])
            block = weight[10 * group["head"] : 10 * group["head"] + 10, kind]
            assert float(block.norm()) == pytest.approx(group[f"{side}_norm"], abs=1e-7)


def test_run_under_a_penalty_stopped_and_resumed_ends_with_the_same_weights(whole, tmp_path) -> None:
    stops = 0

    def go_on() -> bool:
        minutes = 0.0 if stops < 9 else math.inf
        return train(PENALISED, Recital(), tokenizer(), tmp_path, resume=stops > 0, minutes=minutes, helper=thread)

    while not go_on():
        stops += 1
    assert stops == 9
    assert_equal_weights(weights(whole), weights(tmp_path))
    assert (whole / SPARSITY).read_text() == (tmp_path / SPARSITY).read_text()


def test_held_shared_columns_keep_their_norm_through_a_run(whole) -> None:
    weight = load_file(whole / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"]
    expected = 0.02 * math.sqrt(10 * 10)
    assert weight[:10, 10:].norm() == pytest.approx(expected, rel=1e-5)
    assert weight[10:, 10:].norm() == pytest.approx(expected, rel=1e-5)


def test_gains_of_reserved_coordinates_stand_still_through_a_run(whole) -> None:
    gains = load_file(whole / "model.safetensors")["model.layers.0.input_layernorm.weight"]
    assert torch.equal(gains[:KINDS], torch.ones(KINDS))
    assert not torch.equal(gains[KINDS:], torch.ones(20 - KINDS))


def test_strength_beyond_every_gradient_makes_every_group_zero(tmp_path) -> None:
    config = replace(PENALISED, tokens=7_000, penalty=Penalty(strength=50.0, lr=0.5))
    train(config, Recital(), tokenizer(), tmp_path, helper=thread)
    told = json.loads((tmp_path / SPARSITY).read_text())
    assert told["num_zero"] == told["num_groups"]
    assert told["num_wrong"] == 0
    rows = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert rows[-1]["zero_groups"] == rows[-1]["groups"] == 2 * KINDS


def test_counting_needs_both_factors_to_be_zero() -> None:
    groups = LocalistGroups(model())
    query, key = groups.penalised[:2]
    query.blocks(query.parameter.data)[1, :, 3] = 0.0
    assert (count_zero(groups), count_groups(groups)) == (0, 40)
    key.blocks(key.parameter.data)[1, :, 3] = 0.0
    assert count_zero(groups) == 1
    assert norms(key.blocks(key.parameter))[1, 3].item() == 0.0


@pytest.mark.parametrize(
    "wrong",
    [{"strength": -1.0}, {"lr": 0.0}, {"freeze_from": 1.5}, {"recheck_tokens": 0}, {"weights": (("rules", 1.0),)}],
)
def test_penalty_out_of_range_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match=r"^expected .*, got "):
        Penalty(**wrong)
