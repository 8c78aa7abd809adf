"""Mutants of the compilers, and whether the questions see them: `python -m tests.symbolic.mutants`.

Each mutant is a file that generates source (`compiled.py`, `measured.py`, `masks.py`) with one small fault: a
comparison, an operator or a connective exchanged, a constant shifted, a condition turned round, a case left out, a
keyword in the generated source exchanged. It is killed by a wrong answer, or by an exception where the compiler has
an answer. Those that live are told with their line: shortcuts beside a general way, caches, orders that do not matter.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from symbolic.reading import compiled, masks, measured
from tests.symbolic.questions import cases

READINGS = {"compiled": compiled, "measured": measured, "masks": masks}
"""What is mutated, by name."""
LEAST = {"compiled": 0.95, "measured": 0.89, "masks": 0.95}
"""Share that must be killed: of `measured` a tenth are caches, and shortcuts that the general way answers alike."""

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


OPTIONS = frozenset({"frozen", "slots", "compare", "repr", "strict"})
"""Arguments that change no answer."""


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
            yield Mutant(
                getattr(node, "lineno", None) or getattr(getattr(node, "pattern", None), "lineno", 0),
                change,
                ast.fix_missing_locations(changed),
            )


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
        case ast.keyword(arg=name) if name in OPTIONS:
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


def is_killed(mutant: Mutant, name: str) -> bool:
    """Whether some question to a reading has another answer, or none."""
    try:
        module = loaded(mutant)
        return any(case.ask(module) != case.answer for case in cases(name))
    except Exception:  # noqa: BLE001 - whatever it raises: the compiler has an answer
        return True


def passes(name: str) -> bool:
    """Whether the reading itself answers every question as the reference does."""
    return all(case.ask(READINGS[name]) == case.answer for case in cases(name))


def main() -> int:
    """Print the mutants that live, and the share that was killed; 1 where that is below `LEAST` of a reading."""
    shares = []
    for name, module in READINGS.items():
        assert passes(name), f"{name} itself must pass"
        source = Path(module.__file__ or "").read_text()
        every = list(mutants(source))
        alive = [mutant for mutant in every if not is_killed(mutant, name)]
        for mutant in alive:
            print(f"{name}.py:{mutant.line}: {mutant.change}\n    {source.split(chr(10))[mutant.line - 1].strip()}")
        shares.append(1 - len(alive) / len(every))
        print(f"{name}: {len(every) - len(alive)} of {len(every)} mutants killed ({shares[-1]:.1%})")
    return int(any(share < least for share, least in zip(shares, LEAST.values(), strict=True)))


if __name__ == "__main__":
    sys.exit(main())
