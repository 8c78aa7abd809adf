"""The bounds as laws that no attention breaks, and the obvious versions that some attention does break."""

from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from localist_core.dial import odds_fidelity
from localist_core.proving import theory
from localist_core.proving.theory import TheoryError

logits = st.floats(-20, 20)
rows = st.tuples(st.lists(logits, min_size=1, max_size=8), st.lists(logits, max_size=8), st.lists(logits, max_size=4))
temperatures = st.floats(0.1, 10)
shares = st.floats(0.001, 0.999)
ROUNDING = 1e-9


def attention(row, tau: float = 1.0, odds: float = 0.0):
    """Target, rest and neutral weights of one row at a temperature and under an odds dial."""
    target, rest, neutral = row
    shift = math.log1p(-odds)
    scores = torch.tensor([*target, *rest, *neutral], dtype=torch.float64) / tau
    scores[len(target) : len(target) + len(rest)] += shift
    weights = scores.softmax(0).tolist()
    a, b = len(target), len(target) + len(rest)
    return weights[:a], weights[a:b], weights[b:]


def leak_of(row, tau: float = 1.0, odds: float = 0.0) -> float:
    target, rest, _ = attention(row, tau, odds)
    return theory.leak(sum(target), sum(rest))


@given(row=rows, tau=temperatures, odds=st.floats(0, 0.99))
def test_leak_never_exceeds_the_concentration_bounds(row, tau, odds) -> None:
    target, rest, _ = row
    n_S, r = len(target), len(rest)
    measured = leak_of(row, tau, odds)
    every, best = theory.margin(target, rest), max(target) - max(rest, default=-math.inf)
    assert measured <= theory.leak_bound(every, n_S=n_S, r=r, tau=tau, odds=odds) + ROUNDING
    assert measured <= theory.best_leak_bound(best, r=r, tau=tau, odds=odds) + ROUNDING
    assert 1 - measured >= theory.fidelity_bound(every, n_S=n_S, r=r, tau=tau, odds=odds) - ROUNDING


@given(
    delta=st.floats(-30, 30), n_S=st.integers(1, 50), r=st.integers(1, 50), tau=temperatures, odds=st.floats(0, 0.99)
)
def test_concentration_bound_is_reached_by_level_logits(delta, n_S, r, tau, odds) -> None:
    measured = leak_of(([delta] * n_S, [0.0] * r, []), tau, odds)
    assert math.isclose(measured, theory.leak_bound(delta, n_S=n_S, r=r, tau=tau, odds=odds), rel_tol=1e-6)


def test_counting_all_targets_where_only_the_best_stands_out_is_false() -> None:
    row = ([2.0, -30.0], [0.0], [])
    assert leak_of(row) > theory.leak_bound(2.0, n_S=2, r=1)
    assert leak_of(row) <= theory.best_leak_bound(2.0, r=1)


@given(wanted=shares, n_S=st.integers(1, 50), r=st.integers(0, 50), tau=temperatures)
def test_margin_for_a_wanted_leak_gives_it(wanted, n_S, r, tau) -> None:
    needed = theory.margin_for(wanted, n_S=n_S, r=r, tau=tau)
    assert theory.leak_bound(needed, n_S=n_S, r=r, tau=tau) <= wanted + ROUNDING
    if r:
        assert theory.leak_bound(needed - 0.1 * tau, n_S=n_S, r=r, tau=tau) > wanted


@given(wanted=shares, delta=st.floats(-20, 20), n_S=st.integers(1, 9), r=st.integers(1, 9), tau=st.floats(0.01, 100))
def test_temperatures_for_a_wanted_leak_are_those_that_give_it(wanted, delta, n_S, r, tau) -> None:
    allowed = theory.temperatures_for(wanted, delta, n_S=n_S, r=r)
    bound = theory.leak_bound(delta, n_S=n_S, r=r, tau=tau)
    assume(abs(bound - wanted) > ROUNDING)
    assert (allowed is not None and allowed.low <= tau <= allowed.high) == (bound < wanted)


@given(row=rows, tau=temperatures)
def test_entropy_never_exceeds_its_bounds(row, tau) -> None:
    target, rest, neutral = attention(row, tau)
    n_S, r, p_N = len(target), len(rest), sum(neutral)
    seen = sum(target) + sum(rest)
    assume(seen > 1e-6)
    inner = theory.entropy_bits([weight / seen for weight in [*target, *rest]])
    eps = theory.leak(sum(target), sum(rest))
    bounds = [
        theory.exact_leak_entropy_bound_bits(eps, n_S=n_S, r=r),
        theory.entropy_bound_bits(eps, n_S=n_S, r=r),
        theory.entropy_bound_bits(
            theory.leak_bound(theory.margin(row[0], row[1]), n_S=n_S, r=r, tau=tau), n_S=n_S, r=r
        ),
    ]
    for bound in bounds:
        assert inner <= bound + ROUNDING
        whole = theory.entropy_bits([*target, *rest, *neutral])
        assert whole <= theory.whole_entropy_bound_bits(bound, p_N=p_N, n_N=len(neutral)) + ROUNDING


@given(low=st.floats(0, 1), high=st.floats(0, 1), n_S=st.integers(1, 50), r=st.integers(0, 50))
def test_entropy_bound_rises_with_the_leak(low, high, n_S, r) -> None:
    low, high = sorted((low, high))
    assert theory.entropy_bound_bits(low, n_S=n_S, r=r) <= theory.entropy_bound_bits(high, n_S=n_S, r=r) + ROUNDING


def test_a_bound_of_the_leak_in_the_entropy_formula_is_false_beyond_even_attention() -> None:
    row = ([0.0] * 8, [0.0], [])
    loose = theory.best_leak_bound(-2.0, r=1)
    assert loose > leak_of(row)
    assert theory.exact_leak_entropy_bound_bits(loose, n_S=8, r=1) < theory.entropy_bits([1 / 9] * 9)
    assert theory.entropy_bound_bits(loose, n_S=8, r=1) == math.log2(9)


@given(row=rows, odds=st.floats(0, 0.99), tau=temperatures)
def test_odds_dial_on_bounded_logits_keeps_its_fidelity(row, odds, tau) -> None:
    target, rest, _ = row
    reach = max(map(abs, [*target, *rest]))
    bound = theory.bounded_logit_fidelity(reach, n_S=len(target), r=len(rest), odds=odds, tau=tau)
    assert 1 - leak_of(row, tau, odds) >= bound - ROUNDING


@given(F=shares, floor=shares)
def test_odds_dial_reaches_the_floor_from_its_reach_on_only(F, floor) -> None:
    reach = theory.odds_floor_reach(floor)
    assume(abs(F - reach) > ROUNDING)
    assert (odds_fidelity(F, floor) >= floor) == (reach < F)


@given(row=rows, floor=shares)
def test_neutral_keeping_dial_moves_fidelity_but_no_neutral_mass(row, floor) -> None:
    target, rest, neutral = attention(row)
    p_S, p_R, p_N = sum(target), sum(rest), sum(neutral)
    assume(min(p_S, p_R) > 1e-6)
    bias = theory.neutral_keeping_bias(p_S / (p_S + p_R), floor)
    S, R = p_S * math.exp(bias.target), p_R * math.exp(bias.rest)
    assert math.isclose(S / (S + R), max(p_S / (p_S + p_R), floor), abs_tol=1e-9)
    assert math.isclose(p_N / (S + R + p_N), p_N, abs_tol=1e-9)


def test_neutral_keeping_output_still_depends_on_the_rest() -> None:
    kept = [theory.neutral_keeping_bias(F, 0.999999).target for F in (0.2, 0.4)]
    assert kept[0] != pytest.approx(kept[1])
    with pytest.raises(TheoryError, match="cut at 1 instead"):
        theory.neutral_keeping_bias(0.5, 1.0)


@given(row=rows, floor=shares)
def test_floor_dial_stays_within_the_distance_to_the_cut(row, floor) -> None:
    target, rest, neutral = attention(row)
    p_S, p_R = sum(target), sum(rest)
    assume(p_S > 1e-9)
    scale = min(1.0, p_S * (1 - floor) / (floor * p_R)) if p_R else 1.0

    def normalised(rest_scale: float) -> list[float]:
        weights = [*target, *(weight * rest_scale for weight in rest), *neutral]
        return [weight / sum(weights) for weight in weights]

    bound = theory.distance_to_cut_bound(floor)
    assert theory.total_variation(normalised(scale), normalised(0.0)) <= bound + ROUNDING


@given(row=rows, cut=st.integers(0, 8))
def test_entropy_follows_from_the_insides_of_blocks(row, cut) -> None:
    values = [*row[0], *row[1], *row[2]]
    blocks = [block for block in (values[:cut], values[cut:]) if block]
    L_b = [theory.log_sum_exp(block) for block in blocks]
    masses = theory.block_masses(L_b)
    assert math.isclose(math.fsum(masses), 1.0)
    means = [
        math.fsum(math.exp(s - L) * s for s in block) for block, L in zip(blocks, L_b, strict=True)
    ]  # fmt: skip
    H_b = [theory.inner_entropy_nats(L, mean) for L, mean in zip(L_b, means, strict=True)]
    direct = theory.entropy_bits(torch.tensor(values, dtype=torch.float64).softmax(0).tolist())
    assert theory.entropy_from_blocks_bits(masses, H_b) == pytest.approx(direct, abs=1e-9)


def test_inner_entropy_by_the_mean_key_is_false_under_a_soft_cap() -> None:
    raw = [0.0, 8.0]
    capped = [2.0 * math.tanh(s / 2.0) for s in raw]
    weights = torch.tensor(capped, dtype=torch.float64).softmax(0).tolist()
    capped_mean_key = 2.0 * math.tanh(math.fsum(w * s for w, s in zip(weights, raw, strict=True)) / 2.0)
    wrong = theory.inner_entropy_nats(theory.log_sum_exp(capped), capped_mean_key) / math.log(2)
    assert abs(wrong - theory.entropy_bits(weights)) > 0.1


def test_little_leak_can_go_with_almost_no_mass_on_the_targets() -> None:
    target, rest, _ = attention(([0.0], [-5.0], [20.0]))
    assert theory.leak(sum(target), sum(rest)) < 0.01
    assert sum(target) < 1e-8


def test_log_ratio_rule_undershoots_its_target() -> None:
    share, wanted = 0.05, 0.8
    ratio = share * (wanted / share) / (share * (wanted / share) + (1 - share))
    bias = theory.neutral_keeping_bias(share, wanted)
    odds = share * math.exp(bias.target) / (share * math.exp(bias.target) + (1 - share) * math.exp(bias.rest))
    assert ratio == pytest.approx(0.457, abs=1e-3)
    assert odds == pytest.approx(wanted)


@given(norm=st.floats(0.01, 10), step=st.floats(0.001, 1), strength=st.floats(0, 10), weight=st.floats(0.1, 5))
def test_proximal_step_solves_its_objective(norm, step, strength, weight) -> None:
    """It minimises (z - norm)^2 / (2 step) + strength * weight * |z| along the group's direction."""
    solved = norm * theory.proximal_factor(norm, step=step, strength=strength, weight=weight)

    def objective(z: float) -> float:
        return (z - norm) ** 2 / (2 * step) + strength * weight * abs(z)

    assert all(objective(solved) <= objective(solved + nudge) + ROUNDING for nudge in (-0.01, -1e-4, 1e-4, 0.01))
    assert theory.proximal_factor(0.0, step=step, strength=strength, weight=weight) == 0.0


@given(scale=st.floats(0.1, 3), side=st.sampled_from([0.9, 1.1]))
def test_block_threshold_says_when_zero_is_a_minimum(scale, side) -> None:
    """Logistic loss of a bilinear score x W_Q y with the partner held: zero is a minimum above the threshold only."""
    x = torch.tensor([1.0, -2.0], dtype=torch.float64) * scale

    def loss(W: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.softplus(-(W @ x))

    zero = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(zero), zero)
    strength = side * theory.block_threshold(float(gradient.norm()), 1.0)
    step = -1e-3 * gradient / gradient.norm()
    moved = float(loss(step) + strength * step.norm())
    assert (moved > float(loss(zero.detach()))) == (side > 1)


def test_at_the_all_zero_head_the_threshold_reads_nothing() -> None:
    W_Q, W_K = (torch.zeros(2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    gradient, _ = torch.autograd.grad(torch.nn.functional.softplus(-((W_Q @ x) @ (W_K @ x))), (W_Q, W_K))
    assert theory.block_threshold(float(gradient.norm()), 1.0) == 0.0
    moved = 0.1 * torch.eye(2, dtype=torch.float64)
    assert torch.nn.functional.softplus(-((moved @ x) @ (moved @ x))) < math.log(2)


@given(
    chances=st.lists(shares, min_size=1, max_size=4).map(sorted),
    attempts=st.integers(0, 6),
)
def test_retry_bound_holds_for_the_least_chance(chances, attempts) -> None:
    fails = math.prod(1 - chances[index % len(chances)] for index in range(attempts))
    assert 1 - fails >= theory.retry_bound(chances[0], attempts) - ROUNDING


def test_retry_bound_with_an_average_chance_is_false() -> None:
    rng = random.Random(0)
    states = [rng.random() < 0.5 for _ in range(4000)]  # half the states are never answered well, the others always
    complied = sum(any(state for _ in range(5)) for state in states) / len(states)
    assert complied < theory.retry_bound(0.5, 5) - 0.4
    assert complied >= theory.retry_bound(0.0, 5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.leak(0.0, 0.0),
        lambda: theory.block_masses([-math.inf]),
        lambda: theory.leak_bound(1.0, n_S=0, r=3),
        lambda: theory.leak_bound(1.0, n_S=1, r=3, tau=0.0),
        lambda: theory.margin_for(0.0, n_S=1, r=1),
        lambda: theory.margin([], [1.0]),
        lambda: theory.retry_bound(1.2, 1),
        lambda: theory.block_threshold(1.0, 0.0),
        lambda: theory.bounded_logit_fidelity(-1.0, n_S=1, r=1),
        lambda: theory.whole_entropy_bound_bits(1.0, p_N=0.5, n_N=0),
    ],
)
def test_what_means_nothing_is_refused(call) -> None:
    with pytest.raises(TheoryError):
        call()


@given(st.floats(-5, 5), st.lists(st.floats(-9, 9), min_size=1), st.lists(st.floats(-9, 9)))
def test_margin_loss_is_what_the_margin_lacks(wanted: float, targets: list[float], rest: list[float]) -> None:
    found = theory.margin_loss(wanted, targets, rest)
    assert found == pytest.approx(max([0.0, *(wanted - low + high for low in targets for high in rest)]))
