"""The load-time report: what can be proved of a rule set before it runs. Read `verify` first.

A statement is about all states at once. Points that are tried (`census.py`) show most that can be; what they do not
show is asked (`prover.py`), and an answer that does not survive being tried is a fault. Unknown stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from symbolic.claiming.monotone import monotony
from symbolic.claiming.trust import trusts
from symbolic.domain import Action, codes_of
from symbolic.mending.invariant import InvariantError, largest
from symbolic.mending.transition import Transition
from symbolic.proving.answers import Answers
from symbolic.proving.census import COMPLETE, SAMPLE, Census, census
from symbolic.proving.conflicts import conflicts
from symbolic.proving.effects import edges, effects
from symbolic.proving.notes import safe_stop, titles, unused
from symbolic.proving.prover import PROVING, Prover
from symbolic.proving.report import Answer, Finding, Level, Report, Sort
from symbolic.proving.totality import consistency, gap, totality
from symbolic.reading.batch import BatchError
from symbolic.solving.question import Codes
from symbolic.solving.smt import Solver, shared_solver

if TYPE_CHECKING:
    from symbolic.rules import RuleSet

Watch = Callable[[str], None]


def verify(
    ruleset: RuleSet[Any, Any],
    *,
    safe_stop: Action | None = None,
    transition: Transition | None = None,
    solver: Solver | None = None,
    answers: Answers | None = None,
    complete: int = COMPLETE,
    sample: int = SAMPLE,
    watch: Watch = lambda step: None,
) -> Report:
    """Look for everything that is wrong with a rule set.

    Args:
        ruleset: the rules.
        safe_stop: the declared safe stop, looked at too where given.
        transition: a model of one step; where given, states that lead to one without a safe action are looked for.
        solver: answers; one of the process with a budget for proofs if None.
        answers: those of earlier reports, by content; what is found is put there.
        complete: most points that are all tried for one question.
        sample: points that are tried where there are more, and before anything is asked.
        watch: told what is being looked at.

    Raises:
        RuleError: rules that do not fit together.
        ValueError: no rule at all.
    """
    if not ruleset.rules:
        raise ValueError("expected at least one rule to verify, got none; declare the rules first")
    watch("points")
    prover = prover_of(ruleset, solver=solver, answers=answers, complete=complete, sample=sample)
    watch("consistency")
    consistent, findings = consistency(prover)
    watch("totality")
    total, witnesses, stuck = totality(prover)
    findings += gap(prover, total, stuck)
    for name, found in _steps(prover, total, stuck, safe_stop, transition):
        watch(name)
        findings += found
    findings += [prover.finding(Sort.FAULT, Level.ERROR, (), text) for text in prover.faults]
    return Report(
        ruleset_sha256=ruleset.sha256,
        num_rules=len(ruleset.rules),
        consistent=consistent,
        total=total,
        witnesses=tuple(
            tuple((one.name, one.show(codes[one.index])) for one in prover.action.fields) for codes in witnesses
        ),
        trusts=trusts(ruleset),
        findings=tuple(findings),
        num_queries=prover.num_queries,
        num_kept=prover.num_kept,
        num_points=prover.seen.num_points,
        denials={how.value: count for how, count in sorted(prover.denials.items())},
    )


def prover_of(
    ruleset: RuleSet[Any, Any],
    *,
    solver: Solver | None = None,
    answers: Answers | None = None,
    complete: int = COMPLETE,
    sample: int = SAMPLE,
) -> Prover:
    """What answers questions about a rule set, after a census of it; arguments as `verify`."""
    assumption = ruleset.assumption
    try:
        seen = census(ruleset, assumption=assumption, sample=sample)
    except BatchError:
        seen = Census()
    solver = solver or shared_solver(PROVING)
    return Prover(ruleset, seen, solver, answers=answers, assumption=assumption, complete=complete, sample=sample)


def _steps(
    prover: Prover, total: Answer, stuck: Codes | None, stop: Action | None, transition: Transition | None
) -> Iterable[tuple[str, Iterable[Finding]]]:
    """What is looked at after totality, with its findings, which are made when they are asked for."""
    yield "conflicts", conflicts(prover, is_total=total is Answer.YES, stuck=stuck)
    yield "effects", effects(prover)
    yield "edges", edges(prover)
    yield "titles", titles(prover)
    yield "fields", unused(prover)
    yield "claims", monotony(prover)
    if stop is not None:
        yield "safe stop", safe_stop(prover, codes_of(stop))
    if transition is not None:
        yield "look-ahead", _traps(prover, transition)


def _traps(prover: Prover, transition: Transition) -> Sequence[Finding]:
    """States in which some action is safe, and which lead to one without whatever is done."""
    try:
        return largest(prover.ruleset, transition).report()
    except (InvariantError, BatchError) as error:
        return [prover.finding(Sort.TRAP, Level.UNKNOWN, (), f"not known which states are lost: {error}")]
