"""The dial while a core learns or is examined, and what may be asked of its attention: margin, raw fidelity, focus.

Unlike the dial at inference (`segments.py`), gradients flow through it. The shift of the rest is detached: where the
floor bites, F' = lambda whatever the scores are, and a shift with a gradient would train nothing (framework, 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from localist_core.dial import DialKind

FORBIDDEN = -1e4
"""Stands for -infinity in masks: exp of it is exactly 0 beside any visible score, and no gradient becomes NaN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditioning:
    """Under which dials a core learns, and what is asked of its attention."""

    dial: DialKind = "odds"
    """`odds` adds log(1 - lambda) to the rest; `floor` makes F' = max(F, lambda), with a detached shift."""
    gammas: tuple[float, ...] = (0.0,)
    """Depth exponents, >= 0, one of them drawn for each lesson; layer l of n has lambda * ((l + 1) / n) ** gamma."""
    margin_weight: float = 0.0
    """Weight of the anchor margin loss, >= 0: the mean of max(0, delta - (lowest target score - highest score of the
    rest)) over layers, heads, and anchor rows that see both."""
    margin: float = 2.0
    """delta of that loss, in nats."""
    leak_weight: float = 0.0
    """Weight of the raw leak loss, >= 0: the mean of -log F over layers, heads and decision rows that see both targets
    and rest. F is read from the scores before the shift, dial or not."""
    focus_weight: float = 0.0
    """Weight of the focus loss, >= 0: the mean entropy, in nats, of attention with the rest cut off, over layers, heads
    and decision rows. It is what dial 1 would leave; the scores of the rest get no gradient from it."""
    heads: tuple[tuple[int, int], ...] = ()
    """(layer, head) of which margin, leak and focus are asked; empty = of all."""

    def __post_init__(self) -> None:
        if not self.gammas or not all(gamma >= 0.0 and math.isfinite(gamma) for gamma in self.gammas):
            raise ValueError(f"expected depth exponents of 0 or more, got `{self.gammas}`")
        weights = self.margin_weight, self.leak_weight, self.focus_weight
        if not all(weight >= 0.0 for weight in weights):
            raise ValueError(f"expected weights of 0 or more, got `{weights}`")

    @property
    def is_plain(self) -> bool:
        """The odds dial, equal in all layers, and no loss on attention: an additive mask holds all of it."""
        return self.dial == "odds" and self.gammas == (0.0,) and not self.asks

    @property
    def asks(self) -> bool:
        """Whether anything is asked of the attention itself."""
        return self.margin_weight > 0.0 or self.leak_weight > 0.0 or self.focus_weight > 0.0


PLAIN = Conditioning()


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Attention of the decision rows in one layer, summed over lessons, heads and rows."""

    num_rows: int
    """Rows times heads."""
    num_defined: int
    """Of them, those that see targets or rest: over these the fidelities are summed."""
    raw_fidelity: float
    steered_fidelity: float
    raw_target_mass: float
    target_mass: float
    neutral_mass: float
    entropy_bits: float
    """Over all tokens, of the weights as used; exact, from the weights themselves."""
    inner_entropy_bits: float
    """H': over the tokens that are not neutral, renormalised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """One batch under its dials; handed through the model to its attention, which calls `steer` and then `note`."""

    conditioning: Conditioning
    first: int
    """The first row that any lesson steers or anchors; rows are counted from it."""
    decides: Tensor
    """(batch, 1, row) bool: decision rows."""
    anchored: Tensor
    """(batch, 1, row) bool: rows of the margin loss."""
    targets: Tensor
    """(batch, 1, 1, key) bool."""
    rest: Tensor
    """(batch, 1, 1, key) bool."""
    values: Tensor
    """(batch, 1, row) float32: the dial of the lesson that decides there, in [0, 1]; 0 = off, 1 = the rest is cut."""
    gammas: Tensor
    """(batch, 1, row) float32."""
    notes: bool = False
    """Whether attention is noted; costs several passes over the weights."""
    leaks: list[Tensor] = field(default_factory=list)
    """Mean -log F of each layer that is asked."""
    margins: list[Tensor] = field(default_factory=list)
    """Mean hinge of each layer that is asked."""
    entropies: list[Tensor] = field(default_factory=list)
    """Mean entropy without the rest of each layer that is asked."""
    noted: list[Noted] = field(default_factory=list)
    """One for each layer, in order."""

    def steer(self, scores: Tensor, mask: Tensor, layer: int, num_layers: int) -> Tensor:
        """Scores (batch, head, query, key) with the rest shifted on the decision rows, in place; losses are kept.

        `mask` (batch, 1, query, key) is added later by the caller: here it tells what is visible.
        """
        asked = self.conditioning
        values = self.values * ((layer + 1) / num_layers) ** self.gammas
        if asked.asks or asked.dial == "floor":
            visible = mask[:, :, self.first :] > FORBIDDEN / 2
            own = scores[:, :, self.first :].float()
            is_target, is_rest = self.targets & visible, self.rest & visible
            L_S = own.masked_fill(~is_target, FORBIDDEN).logsumexp(-1)
            L_R = own.masked_fill(~is_rest, FORBIDDEN).logsumexp(-1)
            both = is_target.any(-1) & is_rest.any(-1)
            if asked.leak_weight > 0.0:
                self._keep(self.leaks, nn.functional.softplus(L_R - L_S), both & self.decides, layer)
            if asked.margin_weight > 0.0:
                low = own.masked_fill(~is_target, -FORBIDDEN).amin(-1)
                high = own.masked_fill(~is_rest, FORBIDDEN).amax(-1)
                self._keep(self.margins, (asked.margin - low + high).relu(), both & self.anchored, layer)
            if asked.focus_weight > 0.0:
                log_kept = own.masked_fill(self.rest | ~visible, FORBIDDEN).log_softmax(-1)
                self._keep(self.entropies, -(log_kept.exp() * log_kept).sum(-1), self.decides, layer)
        if not bool((self.values > 0.0).any()):
            return scores
        if asked.dial == "floor":
            shift = (L_S - L_R - torch.logit(values)).clamp(max=0.0).detach()  # logit(0) = -inf gives 0
        else:
            shift = torch.log1p(-values).expand(-1, scores.shape[1], -1)
        shift = torch.where(values < 1.0, shift, FORBIDDEN).clamp(min=FORBIDDEN)
        shift = torch.where(self.decides, shift, 0.0)
        scores[:, :, self.first :] += (shift[..., None] * self.rest).to(scores.dtype)
        return scores

    @torch.no_grad()
    def note(self, raw: Tensor, weights: Tensor) -> None:
        """Note one layer from weights (batch, head, row, key) without and with the dial, rows counted from `first`."""
        decides = self.decides.expand(weights.shape[:3])
        lesson = decides.nonzero()[:, 0]
        raw, weights = raw[decides].double(), weights[decides].double()
        targets, rest = self.targets[lesson, 0, 0].double(), self.rest[lesson, 0, 0].double()
        before_S, before_R = (raw * targets).sum(-1), (raw * rest).sum(-1)
        m_S, m_R = (weights * targets).sum(-1), (weights * rest).sum(-1)
        inside = m_S + m_R
        defined = (before_S + before_R > 0.0) & (inside > 0.0)
        plogp = torch.xlogy(weights, weights)
        of_inside = (plogp * (targets + rest)).sum(-1)
        inner = (inside.log() - of_inside / inside)[defined]
        self.noted.append(
            Noted(
                num_rows=int(decides.sum()),
                num_defined=int(defined.sum()),
                raw_fidelity=float((before_S / (before_S + before_R))[defined].sum()),
                steered_fidelity=float((m_S / inside)[defined].sum()),
                raw_target_mass=float(before_S.sum()),
                target_mass=float(m_S.sum()),
                neutral_mass=float((1.0 - inside).sum()),
                entropy_bits=float(-plogp.sum() / math.log(2.0)),
                inner_entropy_bits=float(inner.sum() / math.log(2.0)),
            )
        )

    def loss(self) -> Tensor | None:
        """Weighted margin, leak and focus losses; None if none is asked."""
        asked = self.conditioning
        weighted = (
            (asked.margin_weight, self.margins),
            (asked.leak_weight, self.leaks),
            (asked.focus_weight, self.entropies),
        )
        parts = [weight * torch.stack(kept).mean() for weight, kept in weighted if kept]
        return torch.stack(parts).sum() if parts else None

    def _keep(self, into: list[Tensor], values: Tensor, counted: Tensor, layer: int) -> None:
        chosen = [head for at, head in self.conditioning.heads if at == layer]
        if self.conditioning.heads and not chosen:
            return
        if chosen:
            values = values[:, chosen]
        counted = counted.expand(values.shape)
        into.append((values * counted).sum() / counted.sum().clamp(min=1))
