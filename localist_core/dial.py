"""The locality dial: how much of a decision's attention must rest on its target blocks; no torch.

Dial 0 is the model as it was trained, dial 1 cuts everything but the targets off. In between the floor dial is a floor
under the pointer fidelity F = m_S / (m_S + m_R) (framework, sections 2 and 3): F' = max(F, dial). The odds dial weakens
the rest by one factor instead. Tensor versions of the closed forms stand in `segments.py` and are tested against these.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Literal, get_args

from localist_core.errors import DialError

DialKind = Literal["floor", "odds"]
"""`floor`: F' = max(F, dial). `odds`: log(1 - dial) on every logit of the rest, F' = F / (F + (1 - dial) * (1 - F))."""

Scope = Literal["decision", "all"]
"""Which rows are steered. `decision`: the decision rows. `all`: every row of the prompt from the first target token on,
and the decision rows; rows before it see no target and stay as they are."""


class Status(StrEnum):
    """What the dial did in one head of one layer. That a row sees no target is no status but a `DialError`."""

    OFF = "off"
    """Not steered: dial 0, or the head is not among `Dial.heads`."""
    MET = "met"
    """Steered, and no decision row had to be changed: its fidelity was high enough, or it saw no rest."""
    APPLIED = "applied"
    """The rest was weakened or cut in at least one decision row."""


@dataclass(frozen=True, slots=True)
class Dial:
    """A dial setting for one decision."""

    value: float
    """Lambda, in [0, 1]: under the floor dial the least fidelity; 0 = off, 1 = hard cut, whatever the kind."""
    targets: frozenset[str] = frozenset()
    """Names of the blocks that the decision should rest on; required above 0. At 0 they are only measured."""
    gamma: float = 0.0
    """Depth exponent, >= 0: layer l of n has the dial value * ((l + 1) / n) ** gamma; 0 = the same in every layer."""
    _: KW_ONLY
    kind: DialKind = "floor"
    heads: frozenset[tuple[int, int]] | None = None
    """(layer, head) pairs that are steered, both counted from 0; the others are only measured. None = all."""
    scope: Scope = "decision"

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise DialError(f"expected a dial between 0 and 1, got `{self.value}`")
        if not (self.gamma >= 0.0 and math.isfinite(self.gamma)):
            raise DialError(f"expected a depth exponent of 0 or more, got `{self.gamma}`")
        if self.value > 0.0 and not self.targets:
            raise DialError(f"expected target blocks for dial `{self.value}`, got none; name them or use Dial.off()")
        if self.kind not in get_args(DialKind):
            raise DialError(f"expected a dial of kind {' or '.join(get_args(DialKind))}, got `{self.kind}`")
        if self.scope not in get_args(Scope):
            raise DialError(f"expected a scope of {' or '.join(get_args(Scope))}, got `{self.scope}`")
        if self.heads is not None:
            _check_heads(self.heads)

    @property
    def touches_prefix(self) -> bool:
        """Whether keys and values before the decision rows depend on the dial, so that no other request may use them.

        They then also depend on targets, kind and heads: a cache that shares them must key them by all of these.
        """
        return self.scope == "all" and self.value > 0.0

    @property
    def is_whole_cut(self) -> bool:
        """Whether the rest is cut off in every layer and head (framework, section 3, condition c)."""
        return self.value == 1.0 and self.gamma == 0.0 and self.heads is None

    @staticmethod
    def off() -> Dial:
        """The dial at 0 without targets: the stock model."""
        return Dial(0.0)


def _check_heads(heads: frozenset[tuple[int, int]]) -> None:
    if not heads:
        raise DialError("expected at least one head to steer, got none; leave `heads` out for all of them")
    for place in sorted(heads):
        if len(place) != 2 or not all(isinstance(n, int) and n >= 0 for n in place):
            raise DialError(f"expected heads as pairs of layer and head from 0 on, got `{place}`")


@dataclass(frozen=True, slots=True, kw_only=True)
class DialSchedule:
    """How the dial rises with the violations found so far in one decision."""

    start: float = 0.2
    """Dial of the first attempt, in [0, top]."""
    step: float = 0.3
    """Added for each violation, >= 0."""
    top: float = 0.8
    """Highest dial, in [start, 1]."""
    gamma: float = 0.0
    """Depth exponent of every dial, see `Dial.gamma`."""
    kind: DialKind = "floor"
    heads: frozenset[tuple[int, int]] | None = None
    """Heads that are steered, see `Dial.heads`; None = all."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= self.top <= 1.0:
            raise DialError(f"expected 0 <= start <= top <= 1, got start `{self.start}` and top `{self.top}`")
        if not (self.step >= 0.0 and math.isfinite(self.step)):
            raise DialError(f"expected a step of 0 or more, got `{self.step}`")
        Dial(0.0, gamma=self.gamma, kind=self.kind, heads=self.heads)  # refuses what no dial can have

    def at(self, violations: int) -> float:
        """The dial after this many violations (0, 1, ...)."""
        if violations < 0:
            raise DialError(f"expected 0 or more violations, got `{violations}`")
        return min(self.top, self.start + self.step * violations)

    def dial(self, violations: int, targets: frozenset[str]) -> Dial:
        """The dial setting after this many violations, on these target blocks."""
        return Dial(self.at(violations), targets, self.gamma, kind=self.kind, heads=self.heads)


def layer_floor(value: float, layer: int, num_layers: int, gamma: float) -> float:
    """The dial of layer 0 <= layer < num_layers, value * ((layer + 1) / num_layers) ** gamma."""
    return value * float(((layer + 1) / num_layers) ** gamma)


def fidelity(L_S: float, L_R: float) -> float:
    """Pointer fidelity F = m_S / (m_S + m_R) from log-sum-exps of targets and rest in nats; -inf = not visible.

    Raises:
        DialError: neither targets nor rest are visible, F is undefined.
    """
    if L_S == L_R == -math.inf:
        raise DialError("expected visible targets or rest, got neither; fidelity is undefined")
    return _sigmoid(L_S - L_R)


def floor_bias(L_S: float, L_R: float, value: float) -> float:
    """The shift of the rest in nats, <= 0, that makes F' = max(F, value) (framework, section 3).

    Raises:
        DialError: no visible target while the dial is above 0.
    """
    if value == 0.0:
        return 0.0
    if math.isinf(L_S):
        raise DialError(f"expected a visible target token for dial `{value}`, got none")
    if value == 1.0:
        return -math.inf
    if math.isinf(L_R):
        return 0.0
    return min(0.0, L_S - L_R - _logit(value))


def floor_fidelity(F: float, value: float) -> float:
    """Fidelity under the floor dial."""
    return max(F, value)


def floor_neutral_mass(N: float, S: float, F: float, value: float) -> float:
    """Mass of the neutral tokens under the floor dial, from exp(L_N), exp(L_S), raw fidelity, and 0 < value <= 1.

    Where the floor bites it is N / (N + S / value), whatever the rest holds.
    """
    return N / (N + S / max(F, value))


def odds_bias(value: float) -> float:
    """The shift of the rest in nats under the odds dial: log(1 - value), -inf at 1."""
    return math.log1p(-value) if value < 1.0 else -math.inf


def odds_fidelity(F: float, value: float) -> float:
    """Fidelity under the odds dial, F > 0 or value < 1; reaches the floor `value` only if F >= value / (1 + value)."""
    return F / (F + (1.0 - value) * (1.0 - F))


def odds_neutral_mass(p_N: float, p_R: float, value: float) -> float:
    """Mass of the neutral tokens under the odds dial, from the raw masses of neutral tokens and rest."""
    return p_N / (1.0 - value * p_R)


def _logit(value: float) -> float:
    return math.log(value) - math.log1p(-value)


def _sigmoid(x: float) -> float:
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    odds = math.exp(x)
    return odds / (1.0 + odds)
