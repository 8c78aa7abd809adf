"""All readings of drawn conditions at many points: `python -m tests.symbolic.differential [--points N] [--seed N]`.

A point is one condition at one state and one action. The reference walk is the oracle. Counted for each reading are the
points at which it was compared, and those at which it said something else. The text of a set is parsed and compiled
again; the solver is slow and sees one state and action of each set. One set in four speaks of neighbours and optional
fields: there the reference walks the quantifiers, and the other readings see them written out.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

import numpy
import numpy.typing
import torch

from symbolic import BatchError, Facts, RuleSet, State, batch, codes_of, domain_of, parse, to_text, truth
from symbolic.canonical import to_json
from symbolic.decoding import from_json
from symbolic.reading.masks import compile_masks
from symbolic.reading.reference import YES
from symbolic.reading.residual import residual
from symbolic.solving.smt import Solver
from tests.symbolic.crowd import DONE, OWN, RIDERS, Crowd
from tests.symbolic.drawn import condition, declared
from tests.symbolic.strategies import ACTIONS, ALL_READS, Operate, Plant

Bools: TypeAlias = "numpy.typing.NDArray[numpy.bool_]"

POINTS = 1_000_000
STATES = 64
"""States of each drawn set; every action is taken in each."""
RULES = 12
"""Conditions of each drawn set."""
READINGS = ("compiled", "masks", "numpy", "torch", "residual", "solver", "text", "json")


@dataclass(slots=True)
class Tally:
    """Points compared and mismatches, by reading."""

    points: int = 0
    """Points at which the reference was asked."""
    compared: dict[str, int] = field(default_factory=lambda: dict.fromkeys(READINGS, 0))
    mismatches: dict[str, int] = field(default_factory=lambda: dict.fromkeys(READINGS, 0))
    refused: int = 0
    """Sets that the arrays refuse, since their numbers may not fit."""

    def add(self, reading: str, is_equal: object) -> None:
        """Count one array of comparisons."""
        found = numpy.asarray(is_equal)
        self.compared[reading] += found.size
        self.mismatches[reading] += int(found.size - numpy.count_nonzero(found))


def drawn_set(rng: Random) -> RuleSet[Any, Operate]:
    """A set of drawn rules without exceptions."""
    has_neighbours = rng.random() < 0.25
    rules: RuleSet[Any, Operate] = RuleSet(Crowd if has_neighbours else Plant, Operate)
    for place in range(RULES):
        kind = rng.choice(["forbid", "require"])
        drawn = declared(rng, [*OWN, *DONE], RIDERS) if has_neighbours else condition(rng, ALL_READS)
        rules.add(kind=kind, name=f"rule_{place:02}", expression=drawn)  # type: ignore[arg-type]
    return rules


def drawn_states(rng: Random, schema: type[State], count: int) -> list[tuple[int, ...]]:
    """Codes of states."""
    fields = domain_of(schema).fields
    return [tuple(rng.randint(one.low, one.high) for one in fields) for _ in range(count)]


def compiled(rules: RuleSet[Any, Any], states: list[tuple[int, ...]]) -> Bools:
    """What the compiled function finds: (state and action, rule)."""
    pairs = [(state, codes_of(action)) for state in states for action in ACTIONS]
    found = numpy.zeros((len(pairs), len(rules.rules)), dtype=numpy.bool_)
    for row, pair in enumerate(pairs):
        found[row, rules.compiled(*pair)] = True
    return found


def masked(rules: RuleSet[Any, Any], states: list[tuple[int, ...]]) -> Bools:
    """What the reading for all actions at once finds of each rule: (state and action, rule)."""
    done, domains = [codes_of(action) for action in ACTIONS], (domain_of(rules.state), domain_of(Operate))
    every = [compile_masks([rule.violation], done, *domains) for rule in rules.rules]
    return numpy.array(
        [
            [found >> place & 1 == 1 for found in row]
            for row in ([broken(state) for broken in every] for state in states)
            for place in range(len(done))
        ]
    )


def compare(rng: Random, tally: Tally, solver: Solver) -> None:
    """Draw one set and hold all readings against the reference."""
    rules = drawn_set(rng)
    codes, done = drawn_states(rng, rules.state, STATES), [codes_of(action) for action in ACTIONS]
    states = [Facts.from_codes(rules.state, one) for one in codes]
    expected = numpy.array(
        [
            [truth(rule.declared.violation, facts, action) is YES for rule in rules.rules]
            for facts in states
            for action in ACTIONS
        ]
    )
    tally.points += expected.size
    tally.add("compiled", compiled(rules, codes) == expected)
    tally.add("masks", masked(rules, codes) == expected)
    tally.add("text", compiled(parse(to_text(rules)), codes) == expected)
    pairs = numpy.repeat(numpy.array(codes), len(done), 0), numpy.tile(numpy.array(done), (len(codes), 1))
    try:
        arrays = batch(rules)
    except BatchError:
        tally.refused += 1
    else:
        tally.add("numpy", arrays(*pairs) == expected)
        tally.add("torch", arrays(*map(torch.from_numpy, pairs)).numpy() == expected)
    for place, rule in enumerate(rules.rules):
        state = rng.randrange(len(states))
        left = [truth(residual(rule.violation, action), states[state]) is YES for action in done]
        tally.add("residual", left == expected[state * len(done) : (state + 1) * len(done), place])
        expression = rule.declared.expression
        tally.add("json", from_json(to_json(expression), rules.state, Operate) == expression)
    row = rng.randrange(len(expected))
    facts, action = states[row // len(done)], ACTIONS[row % len(done)]
    solved = solver.decide(rules, facts, action)
    tally.add("solver", [one is YES for one in solved] == expected[row])


def main(arguments: list[str]) -> int:
    """Print the table; 1 where anything differs."""
    parser = argparse.ArgumentParser(description="Hold all readings of drawn rules against the reference.")
    parser.add_argument("--points", type=int, default=POINTS, help="points of the reference at least")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    tally = Tally()
    with Solver() as solver:
        rng = Random(given.seed)
        while tally.points < given.points:
            compare(rng, tally, solver)
    print(f"reference: {tally.points:,} points; sets that arrays refuse: {tally.refused}\n")
    print("| reading | compared | mismatches |\n|---|---|---|")
    for reading in READINGS:
        print(f"| {reading} | {tally.compared[reading]:,} | {tally.mismatches[reading]} |")
    return int(any(tally.mismatches.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
