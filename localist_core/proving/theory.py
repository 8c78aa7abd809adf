"""What can be proved about attention by block, as functions of numbers: masses, dial, sparsity, bounds; no torch.

Notation (framework, sections 2 to 5): a decision row sees n_S target tokens, r tokens of the rest and n_N neutral ones;
n = n_S + r. Logits s and log-sum-exps L are in nats, tau > 0 is the temperature, x = e^(-delta/tau) for a margin delta
between logits of targets and rest, eps = 1 - F the leak. Entropies are in bits. The floor and odds dial themselves
stand in `dial.py`. `bounds.py` holds every bound against the attention of a model.

Sources: Diederich, arXiv 2510.09338 (concentration, entropy, fidelity, group sparsity) and 2510.05106 (retry); the
forms here were derived anew for attention with several targets, a rest and neutral tokens. Where a docstring says
what does not hold, a test holds the counterexample.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from localist_core.dial import fidelity


class TheoryError(ValueError):
    """A quantity outside the range in which a formula means anything."""


# What is measured (section 2)


def log_sum_exp(logits: Iterable[float]) -> float:
    """L = log sum_j exp(s_j) in nats; -inf for no logits."""
    values = list(logits)
    top = max(values, default=-math.inf)
    return top if math.isinf(top) else top + math.log(math.fsum(math.exp(value - top) for value in values))


def block_masses(L_b: Sequence[float]) -> tuple[float, ...]:
    """m_b = exp(L_b - L) for each block; sum 1.

    Raises:
        TheoryError: no block is visible.
    """
    whole = log_sum_exp(L_b)
    if math.isinf(whole):
        raise TheoryError("expected a visible block, got none; masses are undefined")
    return tuple(math.exp(value - whole) for value in L_b)


def leak(m_S: float, m_R: float) -> float:
    """The leak eps = m_R / (m_S + m_R), neutral mass left out.

    It says nothing of how much mass the targets have: beside a sink both masses may be near 0.

    Raises:
        TheoryError: neither has any mass.
    """
    if not m_S + m_R > 0.0:
        raise TheoryError(f"expected mass on targets or rest, got `{m_S}` and `{m_R}`; the leak is undefined")
    return m_R / (m_S + m_R)


def entropy_bits(masses: Iterable[float]) -> float:
    """-sum m log2 m over masses that sum to 1; of tokens the attention entropy, of blocks the block entropy."""
    return math.fsum(-mass * math.log2(mass) for mass in masses if mass > 0.0) + 0.0


def binary_entropy_bits(share: float) -> float:
    """h2(share) of a share in [0, 1]."""
    return entropy_bits((share, 1.0 - share))


def entropy_from_blocks_bits(weights: Sequence[float], H_b: Sequence[float]) -> float:
    """Attention entropy from block weights, sum 1, and the entropy H_b of each block's inside **in nats**.

    H = sum_b w_b (H_b - ln w_b) / ln 2; holds for any weights, hence under any dial.
    """
    terms = (w * (H - math.log(w)) for w, H in zip(weights, H_b, strict=True) if w > 0.0)
    return max(0.0, math.fsum(terms) / math.log(2.0))


def inner_entropy_nats(L_b: float, mean_logit: float) -> float:
    """H_b = L_b - (mean logit of the block under its own attention) = L_b - scale * q.kbar_b; clamped at 0.

    Only for logits that are scale * q.k, plus a constant for each block at most: with a soft cap the mean capped logit
    is not the capped mean.
    """
    return max(0.0, L_b - mean_logit)


# The dial (section 3)


@dataclass(frozen=True, slots=True)
class GroupBias:
    """Shifts of the logits of targets and rest in nats; neutral tokens keep theirs."""

    target: float
    rest: float


def neutral_keeping_bias(F: float, floor: float) -> GroupBias:
    """Shifts that bring fidelity F in (0, 1) up to a floor in (0, 1) and leave the neutral mass exactly as it was.

    No shift where F is at the floor already. Not for a floor of 1: the output still depends on the rest through F.

    Raises:
        TheoryError: F or floor outside (0, 1).
    """
    if not (0.0 < F < 1.0 and 0.0 < floor < 1.0):
        raise TheoryError(f"expected a fidelity and a floor between 0 and 1, got `{F}` and `{floor}`; cut at 1 instead")
    if floor <= F:
        return GroupBias(0.0, 0.0)
    return GroupBias(math.log(floor / F), math.log((1.0 - floor) / (1.0 - F)))


def odds_floor_reach(floor: float) -> float:
    """The least raw fidelity from which the odds dial at `floor` reaches the fidelity `floor`: floor / (1 + floor)."""
    return floor / (1.0 + floor)


def distance_to_cut_bound(floor: float) -> float:
    """Total variation between a head's attention under the floor dial and with the rest cut off: at most 1 - floor.

    The same inputs on both sides; deeper layers of a steered model see others.
    """
    return 1.0 - floor


def total_variation(one: Sequence[float], other: Sequence[float]) -> float:
    """Half the sum of absolute differences of two distributions."""
    return math.fsum(abs(p - q) for p, q in zip(one, other, strict=True)) / 2.0


# Group sparsity (section 4)


def block_threshold(gradient_norm: float, weight: float) -> float:
    """Penalty strength above which the zero group is a strict local minimum: ||full-data gradient at zero||_F / w_g.

    Everything else, the partner of W_Q or W_K included, at trained values. At a head that is zero in both, the
    gradients of both vanish and the threshold would read 0: that point is a saddle (Yuan and Lin 2006 for the convex
    case).

    Raises:
        TheoryError: a weight that is not above 0.
    """
    if not weight > 0.0:
        raise TheoryError(f"expected a group weight above 0, got `{weight}`")
    return gradient_norm / weight


def proximal_factor(norm: float, *, step: float, strength: float, weight: float) -> float:
    """W_g <- factor * W_g with factor = max(0, 1 - step * strength * w_g / ||W_g||_F); 0 stays 0.

    Solves the objective after a plain (S)GD step of the same size; not after Adam's or Muon's (Parikh and Boyd 2014).
    """
    return max(0.0, 1.0 - step * strength * weight / norm) if norm > 0.0 else 0.0


def margin(targets: Sequence[float], rest: Sequence[float]) -> float:
    """Lowest target logit minus highest logit of the rest, in nats; may be negative, inf where there is no rest.

    Raises:
        TheoryError: no target.
    """
    if not targets:
        raise TheoryError("expected a target logit, got none; the margin is undefined")
    return min(targets) - max(rest, default=-math.inf)


def margin_loss(wanted: float, targets: Sequence[float], rest: Sequence[float]) -> float:
    """Anchor margin loss of one row: max(0, wanted - margin)."""
    return max(0.0, wanted - margin(targets, rest))


# Bounds (section 5)


def leak_bound(delta: float, *, n_S: int, r: int, tau: float = 1.0, odds: float = 0.0) -> float:
    """Concentration: every target logit stands above every other by delta, so eps <= r x / (n_S + r x).

    Holds for a delta of any sign. If only the *best* target stands above the rest by delta, use `best_leak_bound`:
    with n_S in the denominator that is false.

    Args:
        delta: margin in nats.
        n_S: target tokens, >= 1.
        r: tokens of the rest, >= 0.
        tau: temperature.
        odds: an odds dial in [0, 1], for which (1 - odds) r x stands instead of r x; 0 = none.
    """
    _demand_counts(n_S, r, tau)
    if r == 0 or odds == 1.0 or delta == math.inf:
        return 0.0
    # A leak is a fidelity with targets and rest exchanged: r logits at -delta / tau against n_S at 0.
    return fidelity(math.log(r) + math.log1p(-odds) - delta / tau, math.log(n_S))


def best_leak_bound(delta: float, *, r: int, tau: float = 1.0, odds: float = 0.0) -> float:
    """Concentration: the best target logit stands above every other by delta, so eps <= r x / (1 + r x)."""
    return leak_bound(delta, n_S=1, r=r, tau=tau, odds=odds)


def margin_for(wanted: float, *, n_S: int, r: int, tau: float = 1.0) -> float:
    """The margin that assures a leak of at most `wanted`: delta >= tau log(r (1 - wanted) / (n_S wanted)).

    With n_S = 1 it is the margin of the best target alone. Read backwards it bounds what margin a measured leak allows.

    Raises:
        TheoryError: a wanted leak outside (0, 1).
    """
    _demand_counts(n_S, r, tau)
    if not 0.0 < wanted < 1.0:
        raise TheoryError(f"expected a wanted leak between 0 and 1, got `{wanted}`")
    return -math.inf if r == 0 else tau * (math.log(r / n_S) + math.log1p(-wanted) - math.log(wanted))


@dataclass(frozen=True, slots=True)
class Temperatures:
    """Temperatures tau with low <= tau <= high, and above 0."""

    low: float
    high: float


def temperatures_for(wanted: float, delta: float, *, n_S: int, r: int) -> Temperatures | None:
    """The temperatures at which a margin assures a leak of at most `wanted`; None = none does.

    Where even attention (leak r / n) leaks less than wanted, a positive margin serves at any temperature and a negative
    one from some temperature on; else a positive margin serves up to some temperature.
    """
    needed = margin_for(wanted, n_S=n_S, r=r)
    if delta >= 0.0 >= needed:
        return Temperatures(0.0, math.inf)
    if delta > 0.0:
        return Temperatures(0.0, delta / needed)
    return Temperatures(delta / needed, math.inf) if needed < 0.0 else None


def fidelity_bound(delta: float, *, n_S: int, r: int, tau: float = 1.0, odds: float = 0.0) -> float:
    """F >= 1 - the concentration bound."""
    return 1.0 - leak_bound(delta, n_S=n_S, r=r, tau=tau, odds=odds)


def entropy_bound_bits(eps: float, *, n_S: int, r: int) -> float:
    """H' <= h2(eps) + (1 - eps) log2 n_S + eps log2 r over the non-neutral tokens, for their leak or a bound of it.

    It rises with eps up to log2 n at eps = r / n and falls beyond. So a *bound* may stand for the leak only up to
    there: above, log2 n is returned, and the formula would be false.

    Args:
        eps: a leak, or an upper bound of one, in [0, 1].
        n_S: target tokens, >= 1.
        r: tokens of the rest, >= 0.
    """
    _demand_counts(n_S, r, 1.0)
    if r == 0:
        return math.log2(n_S)
    if eps >= r / (n_S + r):
        return math.log2(n_S + r)
    return exact_leak_entropy_bound_bits(eps, n_S=n_S, r=r)


def exact_leak_entropy_bound_bits(eps: float, *, n_S: int, r: int) -> float:
    """The same for the *measured* leak: valid above r / n too, and tighter; no bound of it may stand here."""
    _demand_counts(n_S, r, 1.0)
    inside_rest = eps * math.log2(r) if r else 0.0
    return binary_entropy_bits(eps) + (1.0 - eps) * math.log2(n_S) + inside_rest


def whole_entropy_bound_bits(bound_bits: float, *, p_N: float, n_N: int) -> float:
    """H <= h2(p_N) + p_N log2 n_N + (1 - p_N) * bound, from a bound of H' and the measured neutral mass p_N.

    Raises:
        TheoryError: neutral mass without neutral tokens.
    """
    if n_N == 0:
        if p_N > 0.0:
            raise TheoryError(f"expected no neutral mass without neutral tokens, got `{p_N}`")
        return bound_bits
    return binary_entropy_bits(p_N) + p_N * math.log2(n_N) + (1.0 - p_N) * bound_bits


def bounded_logit_fidelity(reach: float, *, n_S: int, r: int, odds: float = 0.0, tau: float = 1.0) -> float:
    """Odds dial on logits in [-reach, reach]: F' >= 1 / (1 + (1 - odds)(r / n_S) e^(2 reach / tau)).

    Args:
        reach: at most scale * max|q| * max|k|, or the soft cap; >= 0.
        n_S: target tokens, >= 1.
        r: tokens of the rest, >= 0.
        odds: the odds dial; 0 = none.
        tau: temperature.
    """
    if not reach >= 0.0:
        raise TheoryError(f"expected a reach of 0 or more, got `{reach}`")
    return 1.0 - leak_bound(-2.0 * reach, n_S=n_S, r=r, tau=tau, odds=odds)


def retry_bound(least: float, attempts: int) -> float:
    """Of k attempts one complies with probability >= 1 - (1 - p)^k, p = the *least* chance of any attempt.

    The least over states and over what earlier failures imply: an average is not enough, and a deterministic core that
    is asked the same prompt again has its p only once.

    Args:
        least: p in [0, 1].
        attempts: k >= 0 attempts that are all made.
    """
    if not 0.0 <= least <= 1.0 or attempts < 0:
        raise TheoryError(f"expected a chance in [0, 1] and 0 or more attempts, got `{least}` and `{attempts}`")
    if attempts == 0:
        return 0.0
    return 1.0 if least == 1.0 else -math.expm1(attempts * math.log1p(-least))


def _demand_counts(n_S: int, r: int, tau: float) -> None:
    if n_S < 1 or r < 0 or not tau > 0.0:
        raise TheoryError(
            f"expected a target token, no negative rest and a temperature above 0, got `{n_S}`, `{r}`, `{tau}`"
        )
