"""Pairs of rules of which each can be kept in some state, and both cannot; where neither ranks higher, a tie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

from symbolic.expression import Expr, Junction
from symbolic.proving.prover import Prover
from symbolic.proving.report import Finding, Level, Sort
from symbolic.reading.residual import junction, residual
from symbolic.solving.question import Codes, Point

AT_ONCE: Final = 32
"""Pairs of one rule that are asked about in one question."""

Pair = tuple[int, int]


def pairs(prover: Prover, *, is_equal_rank: bool = False) -> list[Pair]:
    """Pairs that forbid all actions between them, as far as the declared ranges tell; no others can clash."""
    every = (1 << len(prover.actions)) - 1
    ranks = [rule.priority for rule in prover.ruleset.rules]
    return [
        (one, other)
        for one, other in combinations(prover.rules, 2)
        if prover.forbids[one] | prover.forbids[other] == every and not (is_equal_rank and ranks[one] != ranks[other])
    ]


def clashes(prover: Prover, candidates: Sequence[Pair], stuck: Sequence[Codes]) -> Iterator[tuple[Pair, Codes | None]]:
    """The pairs that clash, each with a state; None where it is not known whether one does.

    Args:
        prover: answers.
        candidates: pairs, in order.
        stuck: states that are looked at before anything is asked.
    """
    found: dict[Pair, Codes | None] = {}
    left = dict.fromkeys(candidates)
    for state in stuck:
        _note(prover, left, state, found)
    while left:
        first = next(iter(left))
        together = [pair for pair in left if pair[0] == first[0]][:AT_ONCE]
        match prover.ask(junction(Junction.OR, [_clash(prover, pair) for pair in together])):
            case Point() as point:
                _note(prover, left, point.state, found)
            case False:
                for pair in together:
                    del left[pair]
            case _ if len(together) == 1:
                found[first] = None
                del left[first]
            case _:
                for pair in together:  # one by one where all at once is too much
                    answer = prover.ask(_clash(prover, pair))
                    if answer is not False:
                        found[pair] = None if answer is None else answer.state
                    del left[pair]
    return iter(sorted(found.items()))


def _clash(prover: Prover, pair: Pair) -> Expr:
    """That every action breaks one of two rules, and for each of them some action keeps it."""
    both = [prover.breaks_one(pair, action) for action in prover.actions]
    each = [
        junction(Junction.OR, [residual(prover.left(rule, action), None, is_negated=True) for action in prover.actions])
        for rule in pair
    ]
    return junction(Junction.AND, [*both, *each])


def _note(prover: Prover, left: dict[Pair, None], state: Codes, found: dict[Pair, Codes | None]) -> None:
    """Move the pairs that clash in a state from those left to those found."""
    broken = [prover.broken(state, action) for action in prover.actions]
    kept = [sum(1 << place for place, rules in enumerate(broken) if rule not in rules) for rule in prover.rules]
    for pair in [(one, other) for one, other in left if kept[one] and kept[other] and not kept[one] & kept[other]]:
        found[pair] = state
        del left[pair]


def conflicts(prover: Prover, *, is_total: bool, stuck: Codes | None) -> Iterator[Finding]:
    """Pairs that cannot be kept together; none where some action keeps all rules in every state."""
    if is_total:
        return
    states = [*prover.seen.stuck, *(() if stuck is None else (stuck,))]
    for (one, other), state in clashes(prover, pairs(prover), states):
        first, second = prover.ruleset.rules[one], prover.ruleset.rules[other]
        is_tie = first.priority == second.priority
        sort = Sort.TIE if is_tie else Sort.CONFLICT
        if state is None:
            text = f"not known whether {first.anchor} and {second.anchor} can always be kept together"
            yield prover.finding(sort, Level.UNKNOWN, (one, other), text)
        else:
            rank = "and neither ranks higher" if is_tie else f"and {first.anchor} ranks higher"
            text = f"{first.anchor} and {second.anchor} cannot both be kept here, {rank}"
            yield prover.finding(sort, Level.ERROR if is_tie else Level.WARNING, (one, other), text, state)
