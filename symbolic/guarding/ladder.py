"""What a guard may do about an unsafe proposal, in which order, and whether it acts or only looks on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from symbolic.domain import Action
from symbolic.mending.metric import Metric

A = TypeVar("A", bound=Action)


class Mode(StrEnum):
    """What a guard does with what it finds."""

    ENFORCE = "enforce"
    """Execute nothing but a compliant action or the safe stop."""
    SHADOW = "shadow"
    """Execute what was proposed first, and record what would have been executed.

    On facts that cannot be read, or are stale, nothing is proposed: the safe stop, as in every mode.
    """
    DRY_RUN = "dry-run"
    """Execute nothing: recorded situations gone through again, see `rehearsal.py`."""


class Rung(StrEnum):
    """The step of the ladder that gave the compliant action, in the order of the climb."""

    PROPOSED = "proposed"
    """The first proposal complied."""
    ASKED = "asked"
    """A later proposal complied, after feedback."""
    REPAIRED = "repaired"
    """The nearest compliant action."""
    WITNESS = "witness"
    """A witness of the totality proof."""
    SAFE_STOP = "safe-stop"
    """The declared safe stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder(Generic[A]):
    """Which rungs a guard may use.

    The ladder of `agents` is another value of the same idea: it knows a core with a dial and a distribution over
    actions, this one knows nothing of who proposes.
    """

    safe_stop: A
    """Executed where no other rung gives a compliant action; `verify` says where it breaks rules itself."""
    asks: int = 2
    """How often at most the proposer is asked again, 0 or more."""
    repairs: bool = True
    """Whether the nearest compliant action may be executed."""
    metric: Metric | None = None
    """How far apart two actions are, for the nearest one; steps of the grid where None."""
    witness: tuple[A, ...] = ()
    """Witnesses of a totality proof (`Shield.witnesses`), in the order in which they are tried."""
    max_age_s: float = 1.0
    """Facts older than this many seconds are stale: straight to the safe stop."""

    def __post_init__(self) -> None:
        """Refuse a ladder without an end, or with actions of several types."""
        if not isinstance(self.safe_stop, Action) or {type(one) for one in self.witness} - {type(self.safe_stop)}:
            raise ValueError("expected a safe stop and witnesses of one Action type, got others; declare the safe stop")
        if self.metric is not None and self.metric.schema is not type(self.safe_stop):
            raise ValueError("expected a metric of the safe stop's own type, got another; declare its own")
        if type(self.asks) is not int or self.asks < 0 or not self.max_age_s >= 0.0:  # NaN is none either
            raise ValueError(
                f"expected 0 or more asks and an age of 0 s or more, got `{self.asks}`, `{self.max_age_s}`"
            )
