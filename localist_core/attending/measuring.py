"""From what attention left behind in every layer to means over heads and decision rows.

While a model runs, layers only keep their sums; what follows from them is derived afterwards, for all layers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from localist_core.attending.packed import Sums, attended_of, seen_in, stacked
from localist_core.attending.segments import Attended, entropy_bits


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

    means: Tensor
    """(layer, batch, pass, mean): what the properties below show, in their order."""
    statuses: Tensor
    """(layer, batch, head) int64, index into `Status`: what the dial did on the decision rows."""
    heads: Tensor
    """(layer, batch, head, row, block): masses before the dial of every head and row, from which the pointer head is
    read.
    """

    @property
    def num_blocks(self) -> int:
        """Blocks of the padded shape, and the sink if there is one."""
        return self.heads.shape[-1]

    @property
    def raw(self) -> Tensor:
        """(layer, batch, pass, block)."""
        return self.means[..., : self.num_blocks]

    @property
    def steered(self) -> Tensor:
        """(layer, batch, pass, block)."""
        return self.means[..., self.num_blocks : 2 * self.num_blocks]

    @property
    def entropy_bits(self) -> Tensor:
        """(layer, batch, pass) of the masses as used, over blocks."""
        return self.means[..., -5]

    @property
    def token_entropy_bits(self) -> Tensor:
        """(layer, batch, pass) of the weights as used, over tokens; NaN where the back end cannot give it exactly."""
        return self.means[..., -4]

    @property
    def fidelities(self) -> Tensor:
        """(layer, batch, pass, 2) raw and steered; NaN where undefined."""
        return self.means[..., -3:-1]

    @property
    def inner_entropy_bits(self) -> Tensor:
        """(layer, batch, pass) over tokens that are not neutral; NaN also where no row sees any."""
        return self.means[..., -1]


def measured_of(passed: Sequence[Passed], share: Tensor) -> Measured:
    """What follows from the calls of one forward, at least one.

    Args:
        passed: the calls.
        share: (batch, pass, row), see `Plan.share`.
    """
    layers = sorted(passed, key=lambda one: one.layer)
    seen = _seen([one.found for one in layers])
    of_rows = torch.stack([entropy_bits(seen.steered), seen.token_entropy_bits], dim=-1)
    undefinable = torch.stack([seen.raw_fidelity, seen.steered_fidelity, seen.inner_entropy_bits], dim=-1)
    is_undefined = undefinable.isnan()
    table = [seen.raw, seen.steered, of_rows, undefinable.masked_fill(is_undefined, 0.0), (~is_undefined).to(share)]
    # Means over heads, then by share over rows; a value that is undefined in some rows is one over the others.
    means = share @ torch.cat(table, dim=-1).mean(2)
    is_applied = ((seen.bias < 0.0) & (share[:, 0] > 0.0)[:, None]).any(-1)
    is_steered = torch.stack([one.floor > 0.0 for one in layers])
    return Measured(
        means=torch.cat([means[..., :-6], means[..., -6:-3] / means[..., -3:]], dim=-1),
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
