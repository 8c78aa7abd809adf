"""A question put to the solver, in a context of its own: the answer then depends on nothing that was asked before."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

from symbolic.expression import Expr, Join, Junction, Owner
from symbolic.solving.question import Point, Question
from symbolic.solving.translation import Translation


def exists(
    module: ModuleType, question: Question, rlimit: int, watch: Callable[[Callable[[], None] | None], None]
) -> Point | Literal[False] | None:
    """A point where all conditions hold; False where there is none, None if the solver does not know.

    Args:
        module: the solver's.
        question: what is asked.
        rlimit: steps that it may take.
        watch: told how to interrupt the query while it runs, None before and after.
    """
    z3: Any = module
    context = z3.Context()
    state, action = (
        [z3.Int(f"{letter}{field.index}", context) for field in domain.fields]
        for letter, domain in (("s", question.state), ("a", question.action))
    )
    translation = Translation(z3, context, state, action)
    solver = z3.SimpleSolver(ctx=context)  # starts in half the time, and answers more products than tactics do
    solver.set("rlimit", rlimit)
    solver.set("random_seed", 0)
    variables = [(state if read.owner is Owner.STATE else action)[read.field.index] for read in question.fields]
    for variable, (low, high) in zip(variables, map(question.span, question.fields), strict=True):
        solver.add(variable >= low, variable <= high)
    known: dict[Expr, Any] = {}
    for condition in question.conditions:
        solver.add(_term(translation, condition, known))
    watch(context.interrupt)
    try:
        answer = solver.check()
    finally:
        watch(None)
    if answer == z3.sat:
        model = solver.model()
        return question.point([model.eval(one, model_completion=True).as_long() for one in variables])
    return False if answer == z3.unsat else None


def _term(translation: Translation, expr: Expr, known: dict[Expr, Any]) -> Any:
    """A condition as a term; parts that occur again, as under several actions, are translated once."""
    if isinstance(expr, Join) and expr.op in (Junction.AND, Junction.OR):
        return translation.join(expr.op, [_term(translation, arg, known) for arg in expr.args])
    if expr not in known:
        known[expr] = translation.truth(expr)
    return known[expr]
