"""Exact statistics of campaigns: an interval for a rate, a paired test of two rates, a paired interval of a mean.

All three are exact or seeded; none assumes a normal distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np


class StatisticsError(ValueError):
    """Counts that cannot have been counted: one line, with what to do."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """An interval, both ends included."""

    low: float
    high: float


def binomial_bounds(count: int, trials: int, confidence: float = 0.95) -> Bounds:
    """Two-sided Clopper-Pearson interval of a rate (Clopper and Pearson 1934).

    Covers the true rate with at least `confidence`, whatever it is. The ends solve the binomial tails exactly, by
    bisection on log-summed terms; the error is below 1e-12.

    Args:
        count: how often it happened, 0 <= count <= trials.
        trials: how often it could have, >= 1.
        confidence: in (0, 1).

    Raises:
        StatisticsError: an argument out of its range.
    """
    _demand_counts(count, trials)
    tail = _tail(confidence) / 2
    low = 0.0 if count == 0 else _solve(lambda rate: _upper_tail(count, trials, rate) - tail)
    high = 1.0 if count == trials else _solve(lambda rate: tail - _lower_tail(count, trials, rate))
    return Bounds(low, high)


def upper_bound(count: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided Clopper-Pearson upper bound of a rate: what a safety claim rests on. Arguments as above."""
    _demand_counts(count, trials)
    tail = _tail(confidence)
    return 1.0 if count == trials else _solve(lambda rate: tail - _lower_tail(count, trials, rate))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar test of two rates measured on the same seeds.

    Args:
        only_first: pairs in which it happened in the first arm alone, >= 0.
        only_second: pairs in which it happened in the second arm alone, >= 0.

    Returns:
        The p-value: the probability of a split at least as uneven if both directions are equally likely; 1 without
        discordant pairs.

    Raises:
        StatisticsError: a negative count.
    """
    if only_first < 0 or only_second < 0:
        raise StatisticsError(f"expected counts of 0 or more, got `{only_first}` and `{only_second}`; count pairs")
    trials, fewer = only_first + only_second, min(only_first, only_second)
    ways = sum(math.comb(trials, k) for k in range(fewer + 1))
    return float(min(Fraction(1), Fraction(2 * ways, 2**trials)))


def bootstrap_difference(
    first: Sequence[float], second: Sequence[float], *, seed: int, draws: int = 10_000, confidence: float = 0.95
) -> Bounds:
    """Paired percentile bootstrap of the mean of `first - second`, measured on the same seeds.

    Args:
        first: one value per seed.
        second: the other arm's values, in the same order.
        seed: of the resampling.
        draws: number of resamples, >= 1.
        confidence: in (0, 1).

    Raises:
        StatisticsError: samples that are empty or of different length, or an argument out of range.
    """
    if len(first) != len(second) or not first:
        raise StatisticsError(
            f"expected two samples of one length, got {len(first)} and {len(second)}; pair them by seed"
        )
    if draws < 1:
        raise StatisticsError(f"expected at least 1 draw, got `{draws}`; some thousands are usual")
    tail = _tail(confidence) / 2
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, len(differences), size=(draws, len(differences)))
    low, high = np.quantile(differences[picks].mean(axis=1), (tail, 1 - tail))
    return Bounds(float(low), float(high))


def _tail(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise StatisticsError(f"expected a confidence between 0 and 1, got `{confidence}`; 0.95 is usual")
    return 1.0 - confidence


def _demand_counts(count: int, trials: int) -> None:
    if trials < 1 or not 0 <= count <= trials:
        raise StatisticsError(f"expected 0 <= count <= trials and trials >= 1, got `{count}` of `{trials}`; recount")


def _lower_tail(count: int, trials: int, rate: float) -> float:
    """P(X <= count)."""
    return _sum(range(count + 1), trials, rate)


def _upper_tail(count: int, trials: int, rate: float) -> float:
    """P(X >= count)."""
    return _sum(range(count, trials + 1), trials, rate)


def _sum(counts: range, trials: int, rate: float) -> float:
    if rate in (0.0, 1.0):
        return float((0 if rate == 0.0 else trials) in counts)
    log_rate, log_rest, log_all = math.log(rate), math.log1p(-rate), math.lgamma(trials + 1)
    return math.fsum(
        math.exp(log_all - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log_rate + (trials - k) * log_rest)
        for k in counts
    )


def _solve(rising: Callable[[float], float]) -> float:
    """Root in [0, 1] of a function that rises through 0."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2
