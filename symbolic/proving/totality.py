"""Whether the rules can be kept: by some action in some state, and by some action in every state."""

from __future__ import annotations

from symbolic.proving.prover import Prover
from symbolic.proving.report import Answer, Finding, Level, Sort
from symbolic.remembering.reach import MOST_MOMENTS, history_to
from symbolic.solving.question import Codes, Point, spans_of


def consistency(prover: Prover) -> tuple[Answer, list[Finding]]:
    """Whether any action is safe in any state."""
    match prover.seen.safe or prover.ask(*map(prover.keeps, prover.rules)):
        case Point():
            return Answer.YES, []
        case None:
            text = "not known whether any action is safe in any state"
            return Answer.UNKNOWN, [prover.finding(Sort.INCONSISTENT, Level.UNKNOWN, (), text)]
        case _:
            text = "no action is safe in any state"
            return Answer.NO, [prover.finding(Sort.INCONSISTENT, Level.ERROR, tuple(prover.rules), text)]


def totality(prover: Prover) -> tuple[Answer, list[Codes], Codes | None]:
    """Witnesses, one more for each state in which those found so far all break a rule, until there is none (CEGIS).

    Returns:
        Whether some action is safe in every state; witnesses, of which in every state one is safe; or a stuck state.
    """
    witnesses: list[Codes] = []
    state = prover.seen.stuck[0] if prover.seen.stuck else prover.seen.safe.state if prover.seen.safe else None
    while True:
        if state is not None:
            safe = next((action for action in prover.actions if not prover.broken(state, action)), None)
            if safe is None:
                return Answer.NO, [], state
            witnesses.append(safe)
        match prover.ask(*(prover.breaks_one(prover.rules, action) for action in witnesses)):
            case Point() as point:
                state = point.state
            case None:
                return Answer.UNKNOWN, [], None
            case _:
                return Answer.YES, witnesses, None


def gap(prover: Prover, total: Answer, stuck: Codes | None) -> list[Finding]:
    """Why the rules are not total: the smallest stuck state, and as few rules as leave no action in it."""
    if stuck is None:
        text = "not known whether some action is safe in every state"
        return [] if total is Answer.YES else [prover.finding(Sort.NOT_TOTAL, Level.UNKNOWN, (), text)]
    state = smallest(prover, stuck)
    rules = list(prover.rules)
    for rule in reversed(prover.rules):  # the least important goes first
        fewer = [other for other in rules if other != rule]
        if prover.is_stuck(state, fewer):
            rules = fewer
    anchors = " and ".join(map(prover.anchor, rules))
    return [
        prover.finding(
            Sort.NOT_TOTAL, Level.ERROR, tuple(rules), f"no action keeps {anchors} here{_reach(prover)}", state
        )
    ]


def _reach(prover: Prover) -> str:
    """Whether a history leads to a state without an action: proofs take what is remembered as almost free."""
    if not prover.ruleset.memory.operators:
        return ""
    found = history_to(prover.ruleset, prover.is_stuck)
    if found is None:
        return f"; no history of {MOST_MOMENTS} moments was found that leads to such a state, there may be none"
    return f"; a history of {len(found)} moments leads to such a state"


def smallest(prover: Prover, stuck: Codes) -> Codes:
    """The first stuck state by codes, in order of the fields; one on the way there where the solver does not know."""
    if prover.seen.is_complete and prover.seen.stuck:
        return prover.seen.stuck[0]
    conditions = [prover.breaks_one(prover.rules, action) for action in prover.actions]
    spans = list(spans_of(prover.state))
    for index, (low, _) in enumerate(spans):
        stuck = _shrunk(prover, stuck, index)
        tries = 0
        while low < stuck[index]:  # no stuck state lies below `low`
            # What was found by trying is mostly the lowest, so it is asked at once whether there is a lower one.
            middle = stuck[index] - 1 if tries < 3 else (low + stuck[index] - 1) // 2
            tries += 1
            spans[index] = (low, middle)
            answer = prover.ask(*conditions, spans=tuple(spans))
            if answer is None:
                return stuck
            if answer is False:
                low = middle + 1
            else:
                stuck = _shrunk(prover, answer.state, index)
        spans[index] = (low, low)
    return stuck


def _shrunk(prover: Prover, stuck: Codes, index: int) -> Codes:
    """A stuck state with a lower code of one field where halving finds one; later fields follow, earlier ones stay."""
    for field in prover.state.fields[index:]:
        low, high = field.low, stuck[field.index]
        while low < high:
            middle = (low + high) // 2
            lower = (*stuck[: field.index], middle, *stuck[field.index + 1 :])
            if prover.is_stuck(lower) and prover.is_assumed(lower):
                stuck, high = lower, middle
            else:
                low = middle + 1
    return stuck
