"""One call of the attention function, as its parts hand it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from localist_core.attending.plan import Sight


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the attention function."""

    module: nn.Module
    query: Tensor
    key: Tensor
    value: Tensor
    before: tuple[Tensor, Tensor] | None
    """Keys and values of a prefix that is apart."""
    floor: Tensor
    """(batch, 1 or head), see `Segments`."""
    scale: float
    arguments: dict[str, Any]
    """What the family passes beside query, key, value and mask."""
    sight: Sight

    @property
    def softcap(self) -> float | None:
        """See `packed`."""
        return self.arguments.get("softcap")

    @property
    def sink(self) -> Tensor | None:
        """See `packed`."""
        return self.arguments.get("s_aux")
