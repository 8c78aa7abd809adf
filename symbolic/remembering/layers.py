"""Operators by depth, and what each is given at a moment: what conditions are for certain, and what they may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from symbolic.expression import reads
from symbolic.facts import Facts
from symbolic.field import Code
from symbolic.reading.compiled import compile_conditions
from symbolic.reading.reference import NO, YES, truth
from symbolic.remembering.memory import Memory, Operator
from symbolic.remembering.tracks import Operands, operands


class Layer:
    """Operators that look at declared fields and at operators of earlier layers only."""

    __slots__ = ("_test", "args", "places", "used")

    def __init__(self, members: Sequence[tuple[int, Operator]]) -> None:
        self.places = [(place, one.node, len(one.args)) for place, one in members]
        self.args = [arg for _, one in members for arg in one.args]
        self.used = sorted({read.field.index for arg in self.args for read in reads(arg)})
        self._test = compile_conditions(self.args)

    def operands(self, memory: Memory, codes: list[Code]) -> list[tuple[int, Operands]]:
        """Place of each operator, and what it is given at a moment."""
        if all(type(codes[index]) is int for index in self.used):
            sure = maybe = self._test(cast("tuple[int, ...]", codes))
        else:
            facts = Facts.from_codes(memory.state, tuple(codes))
            found = [truth(arg, facts) for arg in self.args]
            sure, maybe = tuple([one is YES for one in found]), tuple([one is not NO for one in found])
        given, start = [], 0
        for place, node, size in self.places:
            given.append((place, operands(node, sure[start : start + size], maybe[start : start + size])))
            start += size
        return given


def layers_of(memory: Memory) -> list[Layer]:
    """Operators by depth: one call of generated code decides the conditions of a layer."""
    depths: dict[str, int] = {}
    for one in memory.operators:
        inner = [depths[read.field.name] for arg in one.args for read in reads(arg) if read.field.name in depths]
        depths[one.name] = max(inner, default=-1) + 1
    members = list(enumerate(memory.operators))
    return [Layer([one for one in members if depths[one[1].name] == depth]) for depth in sorted({*depths.values()})]
