"""Which rules are in force: permits, exceptions and overrides, flattened into one condition for each rule.

A rule is in force where it applies and no rule that defeats it is in force. A permit applies where its expression
holds; a forbid or require applies, in a state, where it forbids some action of the list. A rule is defeated by the
permits in its `unless`, and by every rule that `overrides` it. What is left of a rule is a plain condition again, so
every reading (compiled, arrays, solver, sentence) sees exceptions without knowing of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import networkx as nx

from symbolic.declaration import Declaration, RuleError, opposite
from symbolic.expression import MAX_NODES, Constant, Expr, ExpressionError, Join, Junction, demand_budget
from symbolic.reading.compiled import Codes
from symbolic.reading.residual import residual


def flattened(
    declarations: Iterable[Declaration], actions: Sequence[Codes] | None, *, most: int = MAX_NODES
) -> dict[str, Expr]:
    """For each forbid and require, by name, its expression with all exceptions in it.

    Args:
        declarations: all rules of a set, with different names.
        actions: codes of the actions of the list; None where they are too many to list, so that only permits defeat.
        most: nodes of one condition.

    Raises:
        RuleError: a name that is no rule or no permit, an exception that ranks no higher than its rule, an override of
            a critical rule, or by a rule where actions are not listed, rules that defeat each other in a circle, or a
            condition beyond the budget.
    """
    by_name = {one.name: one for one in declarations}
    defeaters = _defeaters(by_name)
    order = _acyclic(defeaters)
    in_force: dict[str, Expr] = {}
    flat: dict[str, Expr] = {}
    for name in order:
        own = by_name[name]
        exceptions = [in_force[other] for other in defeaters[name]]
        if any(name in others for others in defeaters.values()):
            in_force[name] = _all([applies(own, actions), *map(opposite, exceptions)])
        if own.kind == "forbid":
            flat[name] = _all([own.expression, *map(opposite, exceptions)])
        elif own.kind == "require":
            flat[name] = _any([own.expression, *exceptions])
    for name, expr in flat.items():
        try:
            demand_budget(expr, most)
        except ExpressionError as error:
            raise RuleError(f"rule `{name}` with its exceptions: {error}") from None
    return flat


def applies(declaration: Declaration, actions: Sequence[Codes] | None) -> Expr:
    """Where a rule has something to say: a permit where it holds, others in states where they forbid some action."""
    if declaration.kind == "permit":
        return declaration.expression
    if actions is None:
        raise RuleError(
            f"rule `{declaration.name}`: expected permits to override where actions are too many to list, "
            f"got a `{declaration.kind}`; declare its condition as a permit too"
        )
    left = dict.fromkeys(residual(declaration.violation, action) for action in actions)
    if Constant(True) in left:
        return Constant(True)
    return _any([part for part in left if part != Constant(False)] or [Constant(False)])


def _defeaters(by_name: Mapping[str, Declaration]) -> dict[str, tuple[str, ...]]:
    """For each rule the names of the rules that defeat it, sorted."""
    found: dict[str, set[str]] = {name: set() for name in by_name}
    for one in by_name.values():
        for name in one.unless:
            _demand_exception(one, by_name.get(name), name)
            found[one.name].add(name)
        for name in one.overrides:
            _demand_override(one, by_name.get(name), name)
            found[name].add(one.name)
    return {name: tuple(sorted(others)) for name, others in found.items()}


def _demand_exception(rule: Declaration, permit: Declaration | None, name: str) -> None:
    if permit is None or permit.kind != "permit":
        got = "no rule of that name" if permit is None else f"a `{permit.kind}`"
        raise RuleError(f"rule `{rule.name}`: expected a permit after `unless`, got `{name}`, {got}; name a permit")
    if permit.priority <= rule.priority:
        raise RuleError(
            f"rule `{rule.name}`: expected its exception `{name}` to rank above {rule.priority}, "
            f"got {permit.priority}; raise the permit's priority"
        )


def _demand_override(rule: Declaration, other: Declaration | None, name: str) -> None:
    if other is None:
        raise RuleError(f"rule `{rule.name}`: expected a rule after `overrides`, got `{name}`; correct the name")
    if other.is_critical:
        raise RuleError(
            f"rule `{rule.name}`: expected to override rules that are not critical, got `{name}`; "
            f"a critical rule yields only to the permits in its own `unless`"
        )
    if rule.kind == "permit" and rule.priority <= other.priority:
        raise RuleError(
            f"rule `{rule.name}`: expected a permit that overrides `{name}` to rank above {other.priority}, "
            f"got {rule.priority}; raise its priority"
        )


def _acyclic(defeaters: Mapping[str, Sequence[str]]) -> list[str]:
    """The names, each after all that defeat it."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(defeaters)
    graph.add_edges_from((other, name) for name, others in defeaters.items() for other in others)
    try:
        return list(nx.lexicographical_topological_sort(graph))
    except nx.NetworkXUnfeasible:
        circle = [edge[0] for edge in nx.find_cycle(graph)]
        raise RuleError(
            f"expected no circle of rules that defeat each other, got {' -> '.join([*circle, circle[0]])}; "
            f"remove one of them from `unless` or `overrides`"
        ) from None


def _all(parts: Sequence[Expr]) -> Expr:
    return _joined(Junction.AND, parts)


def _any(parts: Sequence[Expr]) -> Expr:
    return _joined(Junction.OR, parts)


def _joined(op: Junction, parts: Sequence[Expr]) -> Expr:
    """The parts in one junction, as operators would build it."""
    if len(parts) == 1:
        return parts[0]
    first, *rest = parts
    return Join(op, (*(first.args if isinstance(first, Join) and first.op is op else (first,)), *rest))
