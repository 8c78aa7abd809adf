"""How to set the dial: a grid of settings narrowed by successive halving, and how much each of them matters.

All settings meet the same questions. Of the grid's points the better third goes on to fresh questions, until three
are left; the winner is reported on questions that chose nothing. The first round is a full factorial, so it also says
how much of all differences each factor makes alone and in pairs (functional analysis of variance).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations, product

from agents.deciding import Resting
from localist_core import Core, DialKind, DialSchedule
from scenarios.asked import OFF, Split, Steering
from scenarios.trials import Ledger, Trial

KEPT = 3
"""One point in so many goes on to the next round; with as many left, none is dropped."""

Rise = tuple[float, float, float]
"""Start, step and top of a schedule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of the grid."""

    rise: Rise
    kind: DialKind
    gamma: float
    targets: Resting

    def steering(self, heads: frozenset[tuple[int, int]] | None) -> Steering:
        """The setting, on these heads; the same for all points whose dial stays at 0."""
        start, step, top = self.rise
        if top == 0.0:
            return OFF
        schedule = DialSchedule(start=start, step=step, top=top, gamma=self.gamma, kind=self.kind, heads=heads)
        return Steering(schedule, self.targets)


FACTORS = tuple(field.name for field in fields(Point))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The levels of each factor."""

    rise: tuple[Rise, ...] = (
        (0.0, 0.0, 0.0),
        (0.2, 0.0, 0.8),
        (0.2, 0.3, 0.8),
        (0.5, 0.3, 0.8),
        (0.8, 0.0, 0.8),
        (1.0, 0.0, 1.0),
    )
    kind: tuple[DialKind, ...] = ("floor", "odds")
    gamma: tuple[float, ...] = (0.0, 1.0, 3.0, 5.0)
    targets: tuple[Resting, ...] = (Resting.TRUSTED, Resting.APPLYING, Resting.RESTATED)

    def points(self) -> tuple[Point, ...]:
        """All combinations."""
        return tuple(
            Point(rise=rise, kind=kind, gamma=gamma, targets=targets)
            for rise, kind, gamma, targets in product(self.rise, self.kind, self.gamma, self.targets)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a factor, or two together, do to the mean log-probability over the grid."""

    factors: tuple[str, ...]
    share: float
    """Of the variance over all points of the first round, in [0, 1]: of a pair, what its factors do not do alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """One step away from the winner, on all questions for choosing."""

    factor: str
    level: object
    trial: Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What was found."""

    first_round: tuple[tuple[Point, Trial], ...]
    """The whole grid on the first questions."""
    rounds: tuple[tuple[int, int], ...]
    """(points, questions seen so far) of each round."""
    winner: Point
    chosen_by: Trial
    """The winner on all questions for choosing."""
    effects: tuple[Effect, ...]
    """Single factors, then pairs, each group by falling share."""
    together: Mapping[tuple[object, object], float]
    """Of the first of these pairs: its levels -> mean log-probability over the grid's first round."""
    sensitivity: tuple[Sensitivity, ...]
    reported: Mapping[str, Trial]
    """`dial 0`, `default` and `tuned` on the split for reporting."""


def tune(
    core: Core,
    grid: Grid,
    heads: frozenset[tuple[int, int]] | None,
    *,
    choosing: Split,
    reporting: Split,
    first: int,
    ledger: Ledger,
) -> Tuning:
    """Find the setting under which the right action is most probable.

    Args:
        core: the tuned core.
        grid: what is tried.
        heads: that are steered; None = all.
        choosing: questions to choose by.
        reporting: questions for the figures.
        first: how many of the questions for choosing the whole grid meets.
        ledger: keeps the trials.

    Raises:
        CoreError: of any question.
    """
    points = grid.points()
    results = {point: ledger.trial(core, choosing.part(0, first), point.steering(heads)) for point in points}
    first_round = tuple(results.items())
    rounds = [(len(points), first)]
    seen = first
    while seen < len(choosing.questions) and len(results) > KEPT:
        upto = min(KEPT * seen, len(choosing.questions))
        kept = better(results, max(KEPT, len(results) // KEPT))
        part = choosing.part(seen, upto)
        results = {point: results[point] + ledger.trial(core, part, point.steering(heads)) for point in kept}
        rounds.append((len(kept), upto))
        seen = upto
    winner = better(results, 1)[0]
    values = {point: trial.nats for point, trial in first_round}
    shares = effects(values, grid)
    pair = next(effect.factors for effect in shares if len(effect.factors) == 2)
    whole = ledger.trial(core, choosing, winner.steering(heads))
    return Tuning(
        first_round=first_round,
        rounds=tuple(rounds),
        winner=winner,
        chosen_by=whole,
        effects=shares,
        together={(one, two): mean for (one, two), mean in means_over(values, grid, pair).items()},
        sensitivity=tuple(
            Sensitivity(factor=factor, level=level, trial=ledger.trial(core, choosing, near.steering(heads)))
            for factor, level, near in neighbours(winner, grid)
        ),
        reported={
            "dial 0": ledger.trial(core, reporting, OFF),
            "default": ledger.trial(core, reporting, Steering(DialSchedule())),
            "tuned": ledger.trial(core, reporting, winner.steering(heads)),
        },
    )


def better(results: Mapping[Point, Trial], count: int) -> tuple[Point, ...]:
    """The points with the highest mean log-probability; of equals the first of the grid."""
    return tuple(sorted(results, key=lambda point: -results[point].nats)[:count])


def neighbours(winner: Point, grid: Grid) -> list[tuple[str, object, Point]]:
    """Every point that differs from the winner in one factor; nothing where that is no other setting."""
    found: list[tuple[str, object, Point]] = []
    for factor in FACTORS:
        for level in getattr(grid, factor):
            near = replace(winner, **{factor: level})
            if near.steering(None) != winner.steering(None):
                found.append((factor, level, near))
    return found


def effects(values: Mapping[Point, float], grid: Grid) -> tuple[Effect, ...]:
    """Functional analysis of variance over a full factorial with equal weights (Sobol 1993).

    The variance of the means over one factor's levels is its main share; of the means over two factors' levels, less
    their main shares, that of the pair. What three or more do together is what is left to 1.
    """
    mean = sum(values.values()) / len(values)
    whole = sum((value - mean) ** 2 for value in values.values()) / len(values)
    if whole == 0.0:
        flat = [(factor,) for factor in FACTORS] + list(combinations(FACTORS, 2))
        return tuple(Effect(factors=factors, share=0.0) for factors in flat)
    single = {factor: _variance_of_means(values, grid, (factor,)) / whole for factor in FACTORS}
    pairs = {
        pair: _variance_of_means(values, grid, pair) / whole - sum(single[factor] for factor in pair)
        for pair in combinations(FACTORS, 2)
    }
    alone = [Effect(factors=(factor,), share=share) for factor, share in single.items()]
    together = [Effect(factors=pair, share=max(0.0, share)) for pair, share in pairs.items()]
    return (*_falling(alone), *_falling(together))


def means_over(values: Mapping[Point, float], grid: Grid, factors: Sequence[str]) -> dict[tuple[object, ...], float]:
    """For each combination of these factors' levels the mean over all others."""
    found: dict[tuple[object, ...], float] = {}
    for levels in product(*(getattr(grid, factor) for factor in factors)):
        own = [value for point, value in values.items() if levels_of(point, factors) == levels]
        found[levels] = sum(own) / len(own)
    return found


def levels_of(point: Point, factors: Sequence[str]) -> tuple[object, ...]:
    """The point's levels of these factors."""
    return tuple(getattr(point, factor) for factor in factors)


def _variance_of_means(values: Mapping[Point, float], grid: Grid, factors: Sequence[str]) -> float:
    mean = sum(values.values()) / len(values)
    means = means_over(values, grid, factors).values()
    return sum((one - mean) ** 2 for one in means) / len(means)


def _falling(found: Sequence[Effect]) -> list[Effect]:
    return sorted(found, key=lambda effect: -effect.share)
