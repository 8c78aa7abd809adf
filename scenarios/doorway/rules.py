"""What a cart must keep by itself, and what two carts must keep together."""

from __future__ import annotations

from scenarios.corridor.rules import Cart, Move
from symbolic import Joint, JointRules, RuleSet

rules = RuleSet(Cart, Move)


@rules.forbid(priority=90, source="ISO 3691-4, personnel and obstacle detection")
def occupied(s: Cart, a: Move) -> bool:
    """Do not move into a cell that is taken."""
    return (s.free_cells < 1) & (a.step == "go")


@rules.forbid(priority=60, source="site rule 4, keep the crossing clear")
def clear_crossing(s: Cart, a: Move) -> bool:
    """Do not wait on the crossing while the way is free."""
    # Whoever is on the crossing has 0 steps to it: without that, `localist verify` finds carts with no way out.
    return s.is_on_crossing & (s.crossing_in == 0) & (s.free_cells >= 1) & (a.step == "wait")


crossing = JointRules(Cart, Move)


@crossing.in_range
def both_near(i: Cart, j: Cart) -> bool:
    """Carts that could enter the crossing in this step."""
    return (i.crossing_in == 1) & (j.crossing_in == 1)


@crossing.forbid(priority=80, source="site rule 5, one cart at a time", is_symmetric=True)
def enter_together(i: Cart, a: Move, j: Cart, b: Move) -> bool:
    """Do not enter the crossing in the same step as another cart."""
    return (a.step == "go") & (b.step == "go")


joint = Joint(crossing)
