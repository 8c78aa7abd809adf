"""Every bound of the framework held against attention as it was measured: is it kept, and how tight is it.

A `Seen` is what one decision row saw in one head; a `Law` is one sentence of `theory.py` about it; `held` counts. No
torch: `capture.py` takes the rows from a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from localist_core.proving.theory import TheoryError


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Logits, in nats, and attention weights of what one row sees: targets S, rest R, neutral N."""

    S: tuple[float, ...]
    """At least one."""
    R: tuple[float, ...]
    N: tuple[float, ...]
    target_weights: tuple[float, ...]
    """Weights as the model computed them, at dial 0; with those of R and N they sum to 1."""
    rest_weights: tuple[float, ...]
    neutral_weights: tuple[float, ...]
    reach: float
    """No logit of the head can be farther from 0."""

    def __post_init__(self) -> None:
        for logits, weights in (
            (self.S, self.target_weights),
            (self.R, self.rest_weights),
            (self.N, self.neutral_weights),
        ):
            if len(logits) != len(weights):
                raise TheoryError(f"expected a weight for each logit, got `{len(weights)}` for `{len(logits)}`")
        if not self.S:
            raise TheoryError("expected a row that sees a target, got none")

    @property
    def num_targets(self) -> int:
        """Targets that the row sees."""
        return len(self.S)

    @property
    def num_rest(self) -> int:
        """Tokens of the rest that the row sees."""
        return len(self.R)

    @property
    def target_mass(self) -> float:
        """Measured mass of the targets."""
        return math.fsum(self.target_weights)

    @property
    def rest_mass(self) -> float:
        """Measured mass of the rest."""
        return math.fsum(self.rest_weights)

    @property
    def leak(self) -> float | None:
        """Measured leak; None where targets and rest both underflow."""
        return self.rest_mass / (self.target_mass + self.rest_mass) if self.target_mass + self.rest_mass > 0.0 else None


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides of a law for one row."""

    measured: float
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One sentence about a row."""

    name: str
    section: int
    """Of the framework."""
    relation: Literal["<=", ">=", "=="]
    """measured RELATION bound."""
    sides: Callable[[Seen], Sides | None]
    """None where the law says nothing of this row."""
    absolute: float
    """Slack beside the relative one, in the unit of the law: what float32 softmax weights may lose."""


RELATIVE = 1e-4
"""Slack of every law: float32 logits of size 50 are exact to 3e-6, so are the ratios of their exponentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One law over all rows."""

    name: str
    section: int
    relation: str
    count: int
    """Rows that it speaks of."""
    violations: int
    worst: float
    """Greatest excess over the bound, or greatest difference of an identity; at most 0 = not even within the slack."""
    tightness: tuple[float, float, float]
    """5th, 50th, 95th percentile of measured / bound (<=) or bound / measured (>=), 1 = tight; of
    pairs that are not negative; NaN for identities."""


def held(rows: Iterable[Seen], laws: Sequence[Law], *, relative: float = RELATIVE) -> tuple[Held, ...]:
    """Hold every law against every row.

    Args:
        rows: of any layers and heads.
        laws: such as `LAWS` of `laws.py`.
        relative: slack, a share of the bound.
    """
    sides: list[list[Sides]] = [[] for _ in laws]
    for row in rows:
        for law, found in zip(laws, sides, strict=True):
            both = law.sides(row)
            if both is not None:
                found.append(both)
    return tuple(_held(law, found, relative) for law, found in zip(laws, sides, strict=True))


def _held(law: Law, found: Sequence[Sides], relative: float) -> Held:
    excesses = [_excess(law, both) for both in found]
    slacks = [law.absolute + relative * abs(both.bound) for both in found]
    return Held(
        name=law.name,
        section=law.section,
        relation=law.relation,
        count=len(found),
        violations=sum(not excess <= slack for excess, slack in zip(excesses, slacks, strict=True)),
        worst=max(excesses, default=math.nan),
        tightness=_percentiles([_tightness(law, both) for both in found] if law.relation != "==" else []),
    )


def _excess(law: Law, both: Sides) -> float:
    if both.measured == both.bound:  # infinite margins too
        return 0.0
    difference = both.measured - both.bound
    return {"<=": difference, ">=": -difference, "==": abs(difference)}[law.relation]


def _tightness(law: Law, both: Sides) -> float:
    low, high = (both.measured, both.bound) if law.relation == "<=" else (both.bound, both.measured)
    return low / high if low >= 0.0 and 0.0 < high < math.inf else math.nan


def _percentiles(values: Iterable[float]) -> tuple[float, float, float]:
    known = sorted(value for value in values if not math.isnan(value))
    if not known:
        return math.nan, math.nan, math.nan
    low, middle, high = (known[min(len(known) - 1, int(share * len(known)))] for share in (0.05, 0.5, 0.95))
    return low, middle, high
