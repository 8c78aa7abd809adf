"""Mutants of the compiler, and whether the differential tests see them: `python -m tests.symbolic.mutants`.

Each mutant is `symbolic/reading/compiled.py` with one small fault: a comparison, an operator or a connective exchanged,
a constant shifted, a condition turned round, a statement left out, a keyword in the generated source exchanged. It is
killed by a wrong answer, or by an exception where the compiler has an answer.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from symbolic import Facts, codes_of, domain_of, truth
from symbolic.expression import Constant, Expr
from symbolic.reading import compiled
from symbolic.reading.reference import YES
from tests.symbolic.drawn import condition
from tests.symbolic.strategies import ACTIONS, ALL_READS, STATE_READS, Operate, Plant

SOURCE = Path(compiled.__file__)
CONDITIONS = 240
STATES = 6

SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Add, ast.FloorDiv), ast.FloorDiv: (ast.Mult, ast.Mod),
    ast.BitOr: (ast.BitAnd,),
}  # fmt: skip
TEXTS = {
    "or": "and", "and": "or", "not ": "", "==": "!=", "<=": "<", " in ": " not in ", " is ": " is not ", "//": "%",
    "%": "//", "+": "-", "-": "+", "*": "+", "min": "max", "max": "min", "abs": "", "s": "a", "a": "s",
}  # fmt: skip
"""What is exchanged in literal pieces of generated source."""

NAMES = {
    "numerator": "denominator", "denominator": "numerator", "low": "high", "high": "low", "left": "right",
    "right": "left", "then": "otherwise", "otherwise": "then", "lcm": "gcd",
}  # fmt: skip
"""What is exchanged among attributes."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One faulty compiler."""

    line: int
    """Line of the source that was changed."""
    change: str
    """What was changed."""
    tree: ast.Module


def mutants(source: str) -> Iterator[Mutant]:
    """All mutants of a source, in its order; docstrings and annotations stay."""
    tree = ast.parse(source)
    skipped = {id(node) for one in ast.walk(tree) for node in _annotations(one)}
    for place, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            continue
        for change, apply in _changes(node):
            changed = copy.deepcopy(tree)
            target = next(other for index, other in enumerate(ast.walk(changed)) if index == place)
            apply(target)
            yield Mutant(getattr(node, "lineno", 0), change, ast.fix_missing_locations(changed))


def _annotations(node: ast.AST) -> Iterator[ast.AST]:
    """Parts of a node that are types, docstrings or imports: nothing of them runs when rules are compiled."""
    parts: list[ast.AST | None] = []
    match node:
        case ast.FunctionDef():
            parts = [node.returns, *(argument.annotation for argument in node.args.args)]
        case ast.AnnAssign():
            parts = [node.annotation]
        case ast.Expr(value=ast.Constant(value=str())):
            parts = [node.value]
        case ast.Call(func=ast.Name(id="cast")):
            parts = [node.args[0]]
        case ast.Raise():
            parts = [node]
        case ast.Assign(targets=[ast.Name(id="Codes")]):
            parts = [node]
    return (inner for part in parts if part is not None for inner in ast.walk(part))


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    match node:
        case ast.Compare(ops=[op]):
            yield from ((f"{_name(op)} -> {_name(new())}", _put("ops", [new()])) for new in SWAPS.get(type(op), ()))
        case ast.BoolOp() | ast.BinOp():
            yield from (
                (f"{_name(node.op)} -> {_name(new())}", _put("op", new())) for new in SWAPS.get(type(node.op), ())
            )
        case ast.Constant(value=bool(value)):
            yield f"{value} -> {not value}", _put("value", not value)
        case ast.Constant(value=int(value)):
            yield f"{value} -> {value + 1}", _put("value", value + 1)
        case ast.Constant(value=str(text)):
            for old, new_text in TEXTS.items():
                if old in text and (len(old) > 1 or old in "+-*%" or text == old):
                    yield f"`{text}`: `{old}` -> `{new_text}`", _put("value", text.replace(old, new_text, 1))
        case ast.IfExp() | ast.If():
            yield "condition turned round", _turn_round
        case ast.Attribute(attr=name) if name in NAMES:
            yield f"{name} -> {NAMES[name]}", _put("attr", NAMES[name])
        case ast.Subscript(slice=ast.Constant(value=int())):
            return
        case ast.match_case(pattern=ast.MatchAs(pattern=None)):
            return  # the last resort of a match raises: no expression comes there
        case ast.match_case():
            yield "case left out", _put("guard", ast.Constant(value=False))
        case ast.Call(args=[first, second, *rest]) if not (
            isinstance(node.func, ast.Attribute) and node.func.attr == "lcm"
        ):
            yield "arguments exchanged", _put("args", [second, first, *rest])
        case ast.Tuple(elts=[first, second], ctx=ast.Load()):
            yield "items exchanged", _put("elts", [second, first])


def _name(op: ast.AST) -> str:
    return type(op).__name__


def _put(name: str, value: object) -> Callable[[Any], None]:
    return lambda node: setattr(node, name, value)


def _turn_round(node: Any) -> None:
    node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)


def loaded(mutant: Mutant) -> ModuleType:
    """The faulty compiler as a module of its own."""
    module = ModuleType("symbolic.reading.mutant")
    sys.modules[module.__name__] = module
    exec(compile(mutant.tree, "<mutant>", "exec"), module.__dict__)
    return module


@dataclass(frozen=True, slots=True)
class Case:
    """One question to a compiler, and the answer of the reference."""

    ask: Callable[[ModuleType], object]
    answer: object


REFUSED = "refused"


def _refusal(call: Callable[[], object]) -> object:
    try:
        return call()
    except ValueError:
        return REFUSED


@cache
def cases(seed: int = 0) -> Sequence[Case]:
    """The questions, the cheapest first."""
    rng = Random(seed)
    return [*_bounds(rng), *(_set(rng) for _ in range(CONDITIONS)), *(_states(rng) for _ in range(CONDITIONS // 4))]


def _bounds(rng: Random) -> Iterator[Case]:
    """Codes at and beyond each end of each field, and too few or many."""
    fields = domain_of(Plant).fields, domain_of(Operate).fields
    low = tuple(tuple(field.low for field in one) for one in fields)
    tries = [low, (low[0][:-1], low[1]), (low[0], low[1][:-1]), ((*low[0], 0), low[1]), (low[0], (*low[1], 0))]
    for owner in (0, 1):
        for field in fields[owner]:
            for code in (field.low - 1, field.low, field.high, field.high + 1):
                changed = list(low[owner])
                changed[field.index] = code
                tries.append((tuple(changed), low[1]) if owner == 0 else (low[0], tuple(changed)))
    for state, action in tries:
        is_inside = all(
            len(codes) == len(one) and all(f.low <= code <= f.high for f, code in zip(one, codes, strict=True))
            for one, codes in zip(fields, (state, action), strict=True)
        )
        yield Case(_asked([Constant(True)], state, action), [0] if is_inside else REFUSED)


def _asked(exprs: Sequence[Expr], state: tuple[int, ...], action: tuple[int, ...]) -> Callable[[ModuleType], object]:
    def ask(module: ModuleType) -> object:
        return _refusal(lambda: module.compile_rules(exprs, domain_of(Plant), domain_of(Operate))(state, action))

    return ask


def _state(rng: Random) -> tuple[int, ...]:
    return tuple(rng.randint(field.low, field.high) for field in domain_of(Plant).fields)


def _set(rng: Random) -> Case:
    """Two conditions at a few states and actions."""
    exprs = [condition(rng, ALL_READS) for _ in range(2)]
    points = [(_state(rng), rng.choice(ACTIONS)) for _ in range(STATES)]

    def ask(module: ModuleType) -> object:
        check = module.compile_rules(exprs, domain_of(Plant), domain_of(Operate))
        return [check(state, codes_of(action)) for state, action in points]

    answer = [
        [k for k, expr in enumerate(exprs) if truth(expr, Facts.from_codes(Plant, state), action) is YES]
        for state, action in points
    ]
    return Case(ask, answer)


def _states(rng: Random) -> Case:
    """Conditions that read the state alone."""
    exprs = [condition(rng, STATE_READS) for _ in range(2)]
    states = [_state(rng) for _ in range(STATES)]

    def ask(module: ModuleType) -> object:
        check = module.compile_conditions(exprs)
        return [tuple(check(state)) for state in states]

    return Case(ask, [tuple(truth(e, Facts.from_codes(Plant, state)) is YES for e in exprs) for state in states])


def is_killed(mutant: Mutant) -> bool:
    """Whether some question has another answer, or none."""
    try:
        module = loaded(mutant)
        return any(case.ask(module) != case.answer for case in cases())
    except Exception:  # noqa: BLE001 - whatever it raises: the compiler has an answer
        return True


def main() -> int:
    """Print the mutants that live, and the share that was killed; 1 below 95 %."""
    lines = SOURCE.read_text().split("\n")
    assert all(case.ask(compiled) == case.answer for case in cases()), "the compiler itself must pass"
    every = list(mutants(SOURCE.read_text()))
    alive = [mutant for mutant in every if not is_killed(mutant)]
    for mutant in alive:
        print(f"line {mutant.line}: {mutant.change}\n    {lines[mutant.line - 1].strip()}")
    share = 1 - len(alive) / len(every)
    print(f"{len(every) - len(alive)} of {len(every)} mutants killed ({share:.1%})")
    return int(share < 0.95)


if __name__ == "__main__":
    sys.exit(main())
