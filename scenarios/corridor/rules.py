"""What a cart in the corridor perceives and may do, and the four rules that it must keep."""

from __future__ import annotations

from typing import Literal

from symbolic import Action, RuleSet, State, claimed, whole


class Cart(State):
    """What one cart perceives; `rival_intent` is a claim and may be false."""

    free_cells: int = whole(ge=0, le=9)
    """Free cells ahead in its own corridor; 9 or more."""
    crossing_in: int = whole(ge=0, le=9)
    """Steps to the crossing cell; 0 on it and beyond, 9 or more."""
    is_on_crossing: bool
    """It stands on the crossing cell."""
    rival_in: int = whole(ge=0, le=9)
    """Steps of the nearest cart of the other corridor to the crossing cell; 9 or more, or none."""
    must_yield: bool
    """The other corridor has right of way."""
    rival_intent: Literal["silent", "yield", "go"] = claimed(by="cart", silent="silent")
    """What that cart announces; silent without a message."""


class Move(Action):
    """One step or none."""

    step: Literal["wait", "go"]
    """Stay, or move one cell."""


rules = RuleSet(Cart, Move)


@rules.forbid(priority=90, source="ISO 3691-4, personnel and obstacle detection")
def occupied(s: Cart, a: Move) -> bool:
    """Do not move into a cell that is taken."""
    return (s.free_cells < 1) & (a.step == "go")


@rules.forbid(priority=80, source="site rule 2, main corridor first")
def give_way(s: Cart, a: Move) -> bool:
    """Let the main corridor go first."""
    return s.must_yield & (s.crossing_in == 1) & (s.rival_in < 2) & (a.step == "go")


@rules.forbid(priority=70, source="site rule 3, announced entries")
def heed_intent(s: Cart, a: Move) -> bool:
    """Do not enter the crossing together with a cart that announces to go."""
    return (s.rival_intent == "go") & (s.crossing_in == 1) & (s.rival_in < 2) & (a.step == "go")


@rules.forbid(priority=60, source="site rule 4, keep the crossing clear")
def clear_crossing(s: Cart, a: Move) -> bool:
    """Do not wait on the crossing while the way is free."""
    # Whoever is on the crossing has 0 steps to it: said here too, so that the rules above never ask for the opposite.
    return s.is_on_crossing & (s.crossing_in == 0) & (s.free_cells >= 1) & (a.step == "wait")
