"""Whether a joint rule says the same both ways round: proved, refuted by a pair, or not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from symbolic.domain import domain_of
from symbolic.expression import Expr
from symbolic.joining.alike import are_alike
from symbolic.proving.census import Census
from symbolic.proving.prover import Prover
from symbolic.solving.question import Point
from symbolic.solving.session import Atom
from symbolic.solving.smt import Solver, default_solver

if TYPE_CHECKING:
    from symbolic.rules import RuleSet


def asymmetry(
    pair: RuleSet[Any, Any], violation: Expr, swapped: Expr, solver: Solver | None = None
) -> str | Literal[False] | None:
    """A pair that breaks a rule one way only, as text; False where there is none, None where it is not known.

    Args:
        pair: the set that the rule is of.
        violation: where the rule is broken.
        swapped: the same with the two agents in each other's place.
        solver: that of the process if None.
    """
    if are_alike(violation, swapped):
        return False
    both = type(pair)(pair.state, pair.action)
    both.add(kind="forbid", name="as_declared", expression=violation)
    both.add(kind="forbid", name="swapped", expression=swapped)
    prover = Prover(both, Census(is_complete=False), solver or default_solver())
    # One question is enough: a pair that breaks the swapped rule alone breaks, swapped, the declared one alone.
    point = prover.find([(Atom(rule=0),), (Atom(rule=1, is_broken=False),)])
    if not isinstance(point, Point):
        return point
    domains = (domain_of(pair.state), point.state), (domain_of(pair.action), point.action)
    shown = (f"{one.name} {one.show(codes[one.index])}" for domain, codes in domains for one in domain.fields)
    return ", ".join(shown)
