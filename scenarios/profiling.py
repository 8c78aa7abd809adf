"""Which heads to steer: ranked by what the dial on each alone does to the right answer.

They are chosen on one split and reported on another, beside all heads, none, random ones and the last of the ranking.
Ranking heads one by one is how PASTA profiles (arXiv 2311.02262); there, steering all heads is worse than none.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from localist_core import Core
from scenarios.asked import OFF, Split, Steering
from scenarios.trials import Ledger, Trial

Heads = tuple[tuple[int, int], ...]
"""(layer, head) pairs in order, from 0."""

ENOUGH = 0.98
"""Share of the largest gain of any number of groups with which the smallest number is taken."""
NUM_RANDOM = 3
"""Random sets of heads beside the profiled one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A group of heads and what the dial on it alone does, on the split for choosing."""

    heads: Heads
    nats: float
    """Mean gain in log-probability of the right action over the dial at 0."""
    only_here: int
    """Questions that are best only under the dial."""
    only_off: int
    """Questions that are best only without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """The best groups together, on the split for choosing."""

    size: int
    """How many groups."""
    nats: float
    """Mean gain as above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileArm:
    """One set of heads on the split for reporting."""

    name: str
    heads: Heads
    """Those under the dial; empty = the dial at 0."""
    trial: Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadProfile:
    """What was found."""

    steering: Steering
    """The dial that every set of heads was put under; its own heads do not count."""
    ranking: tuple[Ranked, ...]
    """All groups, the most helpful first."""
    sizes: tuple[Sized, ...]
    chosen: Heads
    arms: tuple[ProfileArm, ...]
    """`none`, `all`, `profiled`, and, unless the chosen ones are all, `random 1`, ..., and `bottom`."""

    @property
    def helps(self) -> bool:
        """Whether the chosen heads gained on the split for reporting: the 95 % interval of the mean gain is above 0."""
        none, profiled = self.arms[0].trial, self.arms[2].trial
        return profiled.gain_bounds(none).low > 0.0


def groups_of(num_layers: int, num_heads: int, *, by_layer: bool) -> tuple[Heads, ...]:
    """Every head alone, or the heads of each layer."""
    layers = tuple(tuple((layer, head) for head in range(num_heads)) for layer in range(num_layers))
    return layers if by_layer else tuple((place,) for heads in layers for place in heads)


def profile(
    core: Core,
    groups: Sequence[Heads],
    steering: Steering,
    *,
    choosing: Split,
    reporting: Split,
    seed: int,
    ledger: Ledger,
) -> HeadProfile:
    """Rank groups of heads, choose how many of the best, and report them beside all, none, random ones and the worst.

    Args:
        core: the profiled core.
        groups: disjoint groups of its heads.
        steering: dial and targets.
        choosing: questions by which groups are ranked and their number is chosen.
        reporting: questions for the figures.
        seed: of the random sets.
        ledger: keeps the trials.

    Raises:
        CoreError: of any question.
    """
    off = ledger.trial(core, choosing, OFF)

    def gain(heads: Heads) -> float:
        return ledger.trial(core, choosing, on(steering, heads)).nats - off.nats

    ranking = ranked(groups, [ledger.trial(core, choosing, on(steering, heads)) for heads in groups], off)
    sizes = tuple(Sized(size=size, nats=gain(_joined(ranking[:size]))) for size in sizes_up_to(len(groups)))
    best = enough(sizes)
    chosen = _joined(ranking[: best.size])
    sets = {"none": (), "all": _joined(ranking), "profiled": chosen}
    if best.size < len(groups):
        rng = random.Random(seed)
        for number in range(1, NUM_RANDOM + 1):
            sets[f"random {number}"] = _joined(rng.sample(ranking, best.size))
        sets["bottom"] = _joined(ranking[-best.size :])
    arms = [
        ProfileArm(name=name, heads=heads, trial=ledger.trial(core, reporting, on(steering, heads)))
        for name, heads in sets.items()
    ]
    return HeadProfile(steering=steering, ranking=ranking, sizes=sizes, chosen=chosen, arms=tuple(arms))


def num_trials(num_groups: int) -> int:
    """Trials of a profile at most."""
    return 1 + num_groups + len(sizes_up_to(num_groups)) + 3 + NUM_RANDOM + 1


def ranked(groups: Sequence[Heads], trials: Sequence[Trial], off: Trial) -> tuple[Ranked, ...]:
    """Groups by mean gain; of equals the first."""
    rows = []
    for heads, one in zip(groups, trials, strict=True):
        here, there, _ = one.against(off)
        rows.append(Ranked(heads=heads, nats=one.nats - off.nats, only_here=here, only_off=there))
    return tuple(sorted(rows, key=lambda row: -row.nats))


def enough(sizes: Sequence[Sized]) -> Sized:
    """The smallest number of groups with nearly the largest gain; where none gains, the one that loses least."""
    most = max(sized.nats for sized in sizes)
    return next(sized for sized in sizes if sized.nats >= min(most, ENOUGH * most))


def sizes_up_to(count: int) -> tuple[int, ...]:
    """1, 2, 4, ... and the count itself."""
    return tuple(dict.fromkeys([*(2**n for n in range(count.bit_length()) if 2**n <= count), count]))


def on(steering: Steering, heads: Heads) -> Steering:
    """The setting on these heads alone; off where there are none."""
    if not heads:
        return OFF
    return Steering(replace(steering.schedule, heads=frozenset(heads)), steering.resting)


def _joined(rows: Sequence[Ranked]) -> Heads:
    return tuple(sorted(place for row in rows for place in row.heads))
