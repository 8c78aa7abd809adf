"""Expressions as canonical JSON, version 1: equal trees have equal texts and hashes."""

from __future__ import annotations

import hashlib
import json

from symbolic.expression import (
    Choose,
    Compare,
    Compute,
    Constant,
    Expr,
    Join,
    Member,
    Not,
    Number,
    Past,
    Quantified,
    Read,
    Remaining,
    Same,
    children,
)


def to_plain(expr: Expr) -> list[object]:
    """The expression as nested lists; the first item names the node."""
    match expr:
        case Number():
            return ["number", str(expr.value)]
        case Read():
            return ["read", expr.of or expr.owner.value, expr.field.name]
        case Constant():
            return ["constant", expr.value]
        case Member():
            return ["member", to_plain(expr.read), *(expr.read.field.words[code] for code in expr.codes)]
        case Compare() | Compute() | Join():
            return [expr.op.value, *map(to_plain, children(expr))]
        case Same():
            return ["same", *map(to_plain, children(expr))]
        case Not():
            return ["not", *map(to_plain, children(expr))]
        case Quantified():
            return [expr.op.value, expr.over.name, expr.name, to_plain(expr.body)]
        case Past():
            window = None if expr.window_s is None else str(expr.window_s)
            return ["past", expr.op.value, window, *map(to_plain, expr.args)]
        case Remaining():
            return ["remaining", str(expr.window_s), str(expr.step_s), *map(to_plain, children(expr))]
        case Choose():
            return ["choose", *map(to_plain, children(expr))]


def to_json(expr: Expr) -> str:
    """Canonical JSON text: equal trees have equal texts."""
    return json.dumps(to_plain(expr), separators=(",", ":"))


def sha256(expr: Expr) -> str:
    """Hash of the canonical JSON, as hexadecimal text."""
    return hashlib.sha256(to_json(expr).encode()).hexdigest()
