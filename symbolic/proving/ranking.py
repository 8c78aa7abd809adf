"""Ties are an error before a set runs: two rules of one priority that clash, with the state that shows it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from symbolic.declaration import RuleError
from symbolic.proving.conflicts import clashes, pairs
from symbolic.proving.named import Named
from symbolic.proving.report import Answer
from symbolic.proving.totality import totality
from symbolic.proving.verify import prover_of
from symbolic.solving.smt import Solver

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

GLANCE: Final = 10_000
"""Points that are tried first: a tenth of what a report tries, since this runs at every start."""


def demand_ranked(ruleset: RuleSet[Any, Any], *, solver: Solver | None = None) -> tuple[tuple[str, str], ...]:
    """Refuse a set in which two rules of one priority cannot both be kept in some state, though each can.

    Costs nothing where no two such rules forbid all actions between them, and one proof where the set is total.

    Returns:
        Anchors of the pairs of which that is not known; `verify` reports them too.

    Raises:
        RuleError: there are such rules; the text names them and shows the state.
    """
    if solver is not None:
        return _ranked(Named(ruleset), solver)
    return _kept(Named(ruleset))


@lru_cache(maxsize=64)
def _kept(named: Named) -> tuple[tuple[str, str], ...]:
    return _ranked(named, None)


def _ranked(named: Named, solver: Solver | None) -> tuple[tuple[str, str], ...]:
    prover = prover_of(named.ruleset, solver=solver, sample=GLANCE)
    candidates = pairs(prover, is_equal_rank=True)
    if not candidates:
        return ()
    total, _, stuck = totality(prover)
    if total is Answer.YES:
        return ()
    states = [*prover.seen.stuck, *(() if stuck is None else (stuck,))]
    unknown = []
    for pair, state in clashes(prover, candidates, states):
        one, other = (prover.ruleset.rules[rule] for rule in pair)
        if state is None:
            unknown.append((one.anchor, other.anchor))
            continue
        read = {read.field.name for rule in (one, other) for read in rule.reads}
        shown = ", ".join(f"{f.name} {f.show(state[f.index])}" for f in prover.state.fields if f.name in read)
        raise RuleError(
            f"expected different priorities of rules that clash, got {one.priority} for both `{one.name}` and "
            f"`{other.name}`, which no action keeps together where {shown}; rank one above the other"
        )
    return tuple(unknown)
