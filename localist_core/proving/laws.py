"""The laws of the framework about one row of attention: identities of sections 2 and 3, bounds of section 5.

Those of section 4 are about gradients (`thresholds.py`), retry and shield about decisions: no row can show them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from localist_core.dial import (
    fidelity,
    floor_bias,
    floor_fidelity,
    floor_neutral_mass,
    odds_bias,
    odds_fidelity,
    odds_neutral_mass,
)
from localist_core.proving.bounds import Law, Seen, Sides
from localist_core.proving.theory import (
    best_leak_bound,
    block_masses,
    bounded_logit_fidelity,
    distance_to_cut_bound,
    entropy_bits,
    entropy_bound_bits,
    entropy_from_blocks_bits,
    exact_leak_entropy_bound_bits,
    fidelity_bound,
    inner_entropy_nats,
    leak_bound,
    log_sum_exp,
    margin,
    margin_for,
    neutral_keeping_bias,
    temperatures_for,
    total_variation,
    whole_entropy_bound_bits,
)

DIAL = 0.7
"""Of the laws about a dial."""


def softmax(logits: Sequence[float]) -> tuple[float, ...]:
    """Weights of logits; () for none."""
    whole = log_sum_exp(logits)
    return tuple(math.exp(logit - whole) for logit in logits)


def steered(row: Seen, *, target: float = 0.0, rest: float = 0.0) -> tuple[float, float, float]:
    """Masses of targets, rest and neutral tokens after shifts in nats."""
    S, R, N = block_masses([log_sum_exp(row.S) + target, log_sum_exp(row.R) + rest, log_sum_exp(row.N)])
    return S, R, N


# Section 2


def _masses(row: Seen) -> Sides:
    return Sides(row.target_mass, steered(row)[0])


def _entropy_of_blocks(row: Seen) -> Sides:
    groups = [logits for logits in (row.S, row.R, row.N) if logits]
    inner = [inner_entropy_nats(log_sum_exp(group), _mean(group)) for group in groups]
    masses = block_masses([log_sum_exp(group) for group in groups])
    return Sides(
        entropy_bits((*row.target_weights, *row.rest_weights, *row.neutral_weights)),
        entropy_from_blocks_bits(masses, inner),
    )


# Section 3


def _floor(row: Seen) -> Sides:
    S, R, _ = steered(row, rest=floor_bias(log_sum_exp(row.S), log_sum_exp(row.R), DIAL))
    return Sides(S / (S + R), floor_fidelity(_raw(row), DIAL))


def _floor_neutral(row: Seen) -> Sides | None:
    if not row.N:
        return None
    top = log_sum_exp((*row.S, *row.R, *row.N))
    N, S = math.exp(log_sum_exp(row.N) - top), math.exp(log_sum_exp(row.S) - top)
    mass = steered(row, rest=floor_bias(log_sum_exp(row.S), log_sum_exp(row.R), DIAL))[2]
    return Sides(mass, floor_neutral_mass(N, S, _raw(row), DIAL))


def _odds(row: Seen) -> Sides:
    S, R, _ = steered(row, rest=odds_bias(DIAL))
    return Sides(S / (S + R), odds_fidelity(_raw(row), DIAL))


def _odds_neutral(row: Seen) -> Sides:
    _, p_R, p_N = steered(row)
    return Sides(steered(row, rest=odds_bias(DIAL))[2], odds_neutral_mass(p_N, p_R, DIAL))


def _neutral_kept(row: Seen) -> Sides | None:
    F = _raw(row)
    if not (row.N and 0.0 < F < 1.0):
        return None
    bias = neutral_keeping_bias(F, DIAL)
    return Sides(steered(row, target=bias.target, rest=bias.rest)[2], steered(row)[2])


def _distance_to_cut(row: Seen) -> Sides:
    shift = floor_bias(log_sum_exp(row.S), log_sum_exp(row.R), DIAL)
    under = softmax((*row.S, *row.N, *(logit + shift for logit in row.R)))
    cut = softmax((*row.S, *row.N))
    return Sides(total_variation(under, (*cut, *[0.0] * row.num_rest)), distance_to_cut_bound(DIAL))


# Section 5


def _concentration(row: Seen) -> Sides | None:
    return _against(row.leak, leak_bound(margin(row.S, row.R), n_S=row.num_targets, r=row.num_rest))


def _best_concentration(row: Seen) -> Sides | None:
    return _against(row.leak, best_leak_bound(_best_margin(row), r=row.num_rest))


def _odds_concentration(row: Seen) -> Sides | None:
    if row.leak is None:
        return None
    leak = (1.0 - DIAL) * row.leak / (1.0 - DIAL * row.leak)  # 1 - odds_fidelity, exact for leaks near 0
    return Sides(leak, leak_bound(margin(row.S, row.R), n_S=row.num_targets, r=row.num_rest, odds=DIAL))


def _margin_of_leak(row: Seen) -> Sides | None:
    if row.leak is None or not 0.0 < row.leak < 1.0:
        return None
    return Sides(margin(row.S, row.R), margin_for(row.leak, n_S=row.num_targets, r=row.num_rest))


def _temperature(row: Seen) -> Sides | None:
    """At the last temperature that assures a leak; half that of even attention, or half-way from it to 1."""
    delta, even = margin(row.S, row.R), row.num_rest / (row.num_targets + row.num_rest)
    if not row.num_rest or delta == 0.0:
        return None
    wanted = even / 2.0 if delta > 0.0 else (1.0 + even) / 2.0
    span = temperatures_for(wanted, delta, n_S=row.num_targets, r=row.num_rest)
    return None if span is None else Sides(_leak_at(row, span.high if delta > 0.0 else span.low), wanted)


def _fidelity(row: Seen) -> Sides | None:
    F = None if row.leak is None else 1.0 - row.leak
    return _against(F, fidelity_bound(margin(row.S, row.R), n_S=row.num_targets, r=row.num_rest))


def _entropy_of_leak(row: Seen) -> Sides | None:
    H = _inner_entropy(row)
    if H is None or row.leak is None:
        return None
    return Sides(H, exact_leak_entropy_bound_bits(row.leak, n_S=row.num_targets, r=row.num_rest))


def _entropy_of_bound(row: Seen) -> Sides | None:
    eps = leak_bound(margin(row.S, row.R), n_S=row.num_targets, r=row.num_rest)
    return _against(_inner_entropy(row), entropy_bound_bits(eps, n_S=row.num_targets, r=row.num_rest))


def _whole_entropy(row: Seen) -> Sides | None:
    if row.leak is None:
        return None
    inside = exact_leak_entropy_bound_bits(row.leak, n_S=row.num_targets, r=row.num_rest)
    H = entropy_bits((*row.target_weights, *row.rest_weights, *row.neutral_weights))
    return Sides(H, whole_entropy_bound_bits(inside, p_N=math.fsum(row.neutral_weights), n_N=len(row.N)))


def _bounded_logits(row: Seen) -> Sides | None:
    F = None if row.leak is None else 1.0 - row.leak
    return _against(F, bounded_logit_fidelity(row.reach, n_S=row.num_targets, r=row.num_rest))


def _bounded_logits_odds(row: Seen) -> Sides | None:
    F = None if row.leak is None else odds_fidelity(1.0 - row.leak, DIAL)
    return _against(F, bounded_logit_fidelity(row.reach, n_S=row.num_targets, r=row.num_rest, odds=DIAL))


# What they share


def _mean(logits: Sequence[float]) -> float:
    """Mean logit under the attention inside a block."""
    return math.fsum(logit * weight for logit, weight in zip(logits, softmax(logits), strict=True))


def _against(measured: float | None, bound: float) -> Sides | None:
    return None if measured is None else Sides(measured, bound)


def _raw(row: Seen) -> float:
    return fidelity(log_sum_exp(row.S), log_sum_exp(row.R))


def _best_margin(row: Seen) -> float:
    return max(row.S) - max(row.R, default=-math.inf)


def _leak_at(row: Seen, tau: float) -> float:
    S, R = (log_sum_exp([logit / tau for logit in logits]) for logits in (row.S, row.R))
    return fidelity(R, S)


def _inner_entropy(row: Seen) -> float | None:
    inside = row.target_mass + row.rest_mass
    return (
        entropy_bits([weight / inside for weight in (*row.target_weights, *row.rest_weights)]) if inside > 0.0 else None
    )


def _law(name: str, section: int, relation: str, sides: Callable[[Seen], Sides | None], absolute: float) -> Law:
    return Law(name=name, section=section, relation=relation, sides=sides, absolute=absolute)  # type: ignore[arg-type]


MASS, LEAK, BITS, NATS = 1e-5, 1e-12, 1e-3, 1e-3
"""Absolute slacks, by unit."""

IDENTITIES: tuple[Law, ...] = (
    _law("mass of the targets = exp(L_S - L)", 2, "==", _masses, MASS),
    _law("H from block entropies = H of the weights", 2, "==", _entropy_of_blocks, BITS),
    _law("floor dial: F' = max(F, dial)", 3, "==", _floor, MASS),
    _law("floor dial: neutral mass", 3, "==", _floor_neutral, MASS),
    _law("odds dial: F'", 3, "==", _odds, MASS),
    _law("odds dial: neutral mass", 3, "==", _odds_neutral, MASS),
    _law("neutral-keeping variant: neutral mass", 3, "==", _neutral_kept, MASS),
    _law("floor dial: distance to the cut", 3, "<=", _distance_to_cut, MASS),
)
"""What holds by construction, and one bound of section 3; every `==` would show a mistake of ours at once."""

BOUNDS: tuple[Law, ...] = (
    _law("concentration: leak, every target", 5, "<=", _concentration, LEAK),
    _law("concentration: leak, best target", 5, "<=", _best_concentration, LEAK),
    _law("concentration under the odds dial", 5, "<=", _odds_concentration, LEAK),
    _law("margin that a leak allows", 5, "<=", _margin_of_leak, NATS),
    _law("leak at the temperature that assures it", 5, "<=", _temperature, LEAK),
    _law("fidelity from the margin", 5, ">=", _fidelity, MASS),
    _law("H' from the measured leak", 5, "<=", _entropy_of_leak, BITS),
    _law("H' from the bound of the leak", 5, "<=", _entropy_of_bound, BITS),
    _law("H from neutral mass and leak", 5, "<=", _whole_entropy, BITS),
    _law("fidelity from bounded logits", 5, ">=", _bounded_logits, MASS),
    _law("the same under the odds dial", 5, ">=", _bounded_logits_odds, MASS),
)

LAWS = (*IDENTITIES, *BOUNDS)
