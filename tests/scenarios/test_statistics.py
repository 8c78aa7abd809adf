"""Exact intervals and tests against published or hand-computed values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.statistics import (
    Bounds,
    StatisticsError,
    binomial_bounds,
    bootstrap_difference,
    mcnemar,
    upper_bound,
)


@pytest.mark.parametrize(
    ("count", "trials", "percent"), [(0, 100, 2.95), (1, 300, 1.57), (3, 1000, 0.774), (10, 3000, 0.565)]
)
def test_upper_bound_gives_the_tabled_values(count: int, trials: int, percent: float) -> None:
    assert 100 * upper_bound(count, trials) == pytest.approx(percent, abs=0.006)


def test_two_sided_bound_without_events_has_a_closed_form() -> None:
    assert binomial_bounds(0, 200) == Bounds(0.0, pytest.approx(1 - 0.025 ** (1 / 200), abs=1e-12))


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_bounds_of_the_complement_are_mirrored(pair: tuple[int, int]) -> None:
    count, trials = pair
    one, other = binomial_bounds(count, trials), binomial_bounds(trials - count, trials)
    assert (one.low, one.high) == (pytest.approx(1 - other.high, abs=1e-9), pytest.approx(1 - other.low, abs=1e-9))


@given(st.integers(1, 25), st.floats(0.02, 0.98))
def test_interval_covers_the_true_rate_at_least_as_often_as_said(trials: int, rate: float) -> None:
    ways = [math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(trials + 1)]
    bounds = [binomial_bounds(k, trials) for k in range(trials + 1)]
    covered = sum(way for way, bound in zip(ways, bounds, strict=True) if bound.low <= rate <= bound.high)
    assert covered >= 0.95 - 1e-9


def test_mcnemar_of_ten_to_two_is_the_binomial_tail() -> None:
    assert mcnemar(10, 2) == mcnemar(2, 10) == pytest.approx(2 * (1 + 12 + 66) / 2**12)


def test_mcnemar_without_discordant_pairs_says_nothing() -> None:
    assert mcnemar(0, 0) == 1.0


def test_mcnemar_of_thousands_does_not_overflow() -> None:
    assert mcnemar(0, 3000) == 0.0


def test_bootstrap_of_a_constant_difference_is_that_difference() -> None:
    assert bootstrap_difference([3, 4, 5], [1, 2, 3], seed=1) == Bounds(2.0, 2.0)


def test_bootstrap_with_one_seed_gives_one_interval() -> None:
    first, second = [1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]
    bounds = bootstrap_difference(first, second, seed=7, draws=500)
    assert bounds == bootstrap_difference(first, second, seed=7, draws=500)
    assert bounds.low <= 0.5 <= bounds.high


@pytest.mark.parametrize(("count", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_counts_that_cannot_be_are_an_error(count: int, trials: int) -> None:
    with pytest.raises(StatisticsError, match="expected 0 <= count <= trials"):
        binomial_bounds(count, trials)


def test_samples_of_different_length_are_an_error() -> None:
    with pytest.raises(StatisticsError, match="pair them by seed"):
        bootstrap_difference([1.0], [], seed=0)
