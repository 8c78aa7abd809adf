"""From what attention left behind in every layer to means over heads and decision rows.

While a model runs, layers only keep their sums; what follows from them is derived afterwards, for all layers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from localist_core.packed import Sums, attended_of, seen_in, stacked
from localist_core.segments import Attended, entropy_bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """One call of the attention function."""

    layer: int
    found: Sums | Attended
    """Of the decision rows: their sums, or all of it where a back end derives it itself."""
    floor: Tensor
    """(batch, 1 or head), see `Segments`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Means over heads and decision rows, layers in order; pass 0 is the decision, pass 1 its twin."""

    raw: Tensor
    """(layer, batch, pass, block)"""
    steered: Tensor
    """(layer, batch, pass, block)"""
    fidelities: Tensor
    """(layer, batch, pass, 2) raw and steered; NaN where undefined."""
    entropy_bits: Tensor
    """(layer, batch, pass) of the masses as used, over blocks."""
    token_entropy_bits: Tensor
    """(layer, batch, pass) of the weights as used, over tokens; NaN where the back end cannot give it exactly."""
    inner_entropy_bits: Tensor
    """(layer, batch, pass) likewise, over tokens that are not neutral; NaN also where no row sees any."""
    statuses: Tensor
    """(layer, batch, head) int64, index into `Status`: what the dial did on the decision rows."""
    heads: Tensor
    """(layer, batch, head, row, block): masses before the dial of every head and row, from which the pointer head is
    read.
    """


def measured_of(passed: Sequence[Passed], share: Tensor) -> Measured:
    """What follows from the calls of one forward, at least one.

    Args:
        passed: the calls.
        share: (batch, pass, row), see `Plan.share`.
    """
    layers = sorted(passed, key=lambda one: one.layer)
    seen = _seen([one.found for one in layers])
    undefinable = torch.stack([seen.raw_fidelity, seen.steered_fidelity, seen.inner_entropy_bits], dim=-1)
    defined = ~undefinable.isnan()
    means = _mean(undefinable.nan_to_num(nan=0.0), share) / _mean(defined.to(share), share)
    entropies = _mean(torch.stack([entropy_bits(seen.steered), seen.token_entropy_bits], dim=-1), share)
    is_applied = ((seen.bias < 0.0) & (share[:, 0] > 0.0)[:, None]).any(-1)
    is_steered = torch.stack([one.floor > 0.0 for one in layers])
    return Measured(
        raw=_mean(seen.raw, share),
        steered=_mean(seen.steered, share),
        fidelities=means[..., :2],
        entropy_bits=entropies[..., 0],
        token_entropy_bits=entropies[..., 1],
        inner_entropy_bits=means[..., 2],
        statuses=is_steered.long() + is_applied,
        heads=seen.raw,
    )


def _seen(found: Sequence[Sums | Attended]) -> Attended:
    """All layers in one, with an axis (layer, ...) in front of every tensor, and no output."""
    of_sums = [one for one in found if isinstance(one, Sums)]
    if len(of_sums) == len(found):
        return seen_in(stacked(of_sums))
    whole = [attended_of(one) for one in found]
    names = [field.name for field in fields(Attended) if field.name != "output"]
    return Attended(output=None, **{name: torch.stack([getattr(one, name) for one in whole]) for name in names})


def _mean(values: Tensor, share: Tensor) -> Tensor:
    """(layer, batch, head, row, x) to the mean over heads and, by share, over rows: (layer, batch, pass, x)."""
    return share @ values.mean(2)
