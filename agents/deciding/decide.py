"""One decision, from facts to an executed action: propose, check, inject and ask again, then climb.

Read `decide` first; it is the heart of the project, and `climb` (climbing.py) the rungs after asking. Nothing that is
missing, late, unknown or broken is ever approval: the ladder ends at the role's declared safe stop.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from agents.deciding.climbing import Ascent, climb, concluded, one_line, stop
from agents.deciding.decision import Attempt, Decision
from agents.deciding.lexicon import Lexicon
from agents.deciding.prompting import (
    Detail,
    Injection,
    Message,
    Resting,
    Style,
    applying_lines,
    render,
    resting_on,
)
from agents.recording.events import FaultKind, Rung
from localist_core import BlockKind, Choice, CoreError, Dial, DialSchedule, Request
from symbolic import Facts, RuleSet, Shield, Verdict

Turn = Callable[["Situation"], Awaitable["Situation"]]
"""Waits until the peers before an agent have committed; what its decision rests on then."""
Ask = Callable[[Request], Awaitable[Choice]]
"""Puts a question to the shared core."""
KnockOut = Callable[[Request, str], float]
"""Change of the chosen action's log-probability, in nats, when a block is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Which rungs an agent may use, and how often; budgets are counts, so that a run does not depend on the clock."""

    asks: int = 2
    """How often at most the core is asked again after an injection, 0 or more."""
    dials: bool = True
    """False keeps the dial at 0."""
    chooses: bool = True
    """False skips the most probable compliant action."""
    binds: bool = True
    """False executes the first proposal whatever the verdict: only to measure what the rules prevent."""
    concedes: bool = False
    """True executes, where no action complies, the least bad one; never one that breaks a critical rule."""
    max_age_s: float = 1.0
    """An observation older than this many seconds is stale: straight to the safe stop."""
    style: Style = field(default_factory=Style)
    resting: Resting = Resting.TRUSTED
    """Which blocks the dial holds a decision to."""

    def __post_init__(self) -> None:
        """Refuse budgets that would leave a decision without a question or an observation without an age."""
        if self.asks < 0 or not self.max_age_s >= 0.0:  # NaN is none either
            raise ValueError(
                f"expected 0 or more asks and an age of 0 s or more, got `{self.asks}`, `{self.max_age_s}`"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that one decision rests on."""

    agent: str
    role: str
    words: Lexicon
    """Slots of the role's rule set."""
    facts: Facts | None
    """What the agent perceives; None if there is no observation."""
    goal: tuple[int, ...]
    """Indices of all actions, most wanted first."""
    safe_stop: int
    """Index of the role's declared safe stop."""
    messages: tuple[Message, ...] = ()
    claims: tuple[str, ...] = ()
    """Ids of the messages whose claims are among the facts."""
    schedule: DialSchedule = field(default_factory=DialSchedule)
    shield: Shield[Any, Any] | None = None
    """The witnesses of the proof that the role's rules leave an action in every state; None where there is no proof."""

    def __post_init__(self) -> None:
        """Refuse wishes and stops that are no actions."""
        count = len(self.words.actions)
        if sorted(self.goal) != list(range(count)):
            raise ValueError(
                f"expected a goal that names each of {count} actions once, got `{self.goal}`; rank them all"
            )
        if not 0 <= self.safe_stop < count:
            raise ValueError(f"expected a safe stop among {count} actions, got `{self.safe_stop}`; use one of them")

    @property
    def rules(self) -> RuleSet[Any, Any]:
        """The role's rule set."""
        return self.words.ruleset


async def decide(
    here: Situation, ask: Ask, ladder: Ladder, knock_out: KnockOut | None = None, turn: Turn | None = None
) -> Decision:
    """Decide one action.

    Args:
        here: what the decision rests on.
        ask: the shared core; a `CoreError` from it, or an answer to another question, is no proposal.
        ladder: which rungs may be used.
        knock_out: measures what an injected block did to the choice; None leaves that out.
        turn: waited for after the first question, so that all agents ask at once; None binds to no peer.
    """
    ascent = Ascent(here=here, ladder=ladder)
    unfit = _unfit(ascent)
    if here.facts is None or unfit:
        return stop(ascent, unfit)
    facts = here.facts
    injections: tuple[Injection, ...] = ()
    while len(ascent.attempts) <= ladder.asks:
        request = question(here, facts, injections, len(ascent.attempts), ladder)
        if knock_out is None:  # then the core cannot trace, and evidence from it would be refused
            request = replace(request, evidence=False)
        choice = await _answer(ascent, request, ask)
        if turn is not None:
            here, turn = await turn(here), None
            ascent, facts = replace(ascent, here=here), here.facts or facts
        if choice is None:
            return climb(ascent, facts, "core failed")
        action = here.words.actions.index(choice.chosen)
        verdict = here.rules.check(facts, here.rules.actions[action])
        cut = _knocked_out(ascent, request, knock_out) if injections else {}
        ascent.attempts.append(Attempt(request=request, choice=choice, verdict=verdict, knock_out_nats=cut))
        if verdict.is_safe or not ladder.binds:
            return concluded(ascent, action, Rung.INJECTED if injections else Rung.PROPOSED, verdict)
        if not verdict.violations:
            ascent.note(FaultKind.CHECK_FAILED, verdict.reason or f"undecided: {' '.join(verdict.undecided)}")
            return climb(ascent, facts, "check undecided")
        found = violated_by(here, facts, action, verdict, ladder.style.detail)
        if set(found) <= set(injections):
            return climb(ascent, facts, "same violation again" if found else "nothing to inject")
        injections = tuple(dict.fromkeys((*injections, *found)))
    return climb(ascent, facts, "asks used up")


async def _answer(ascent: Ascent, request: Request, ask: Ask) -> Choice | None:
    """The core's answer to a question; None, and noted, where it has none."""
    try:
        return answered(request, await ask(request))
    except CoreError as error:
        ascent.note(FaultKind.CORE_FAILED, error)
        return None


def question(
    here: Situation, facts: Facts, injections: tuple[Injection, ...], num_violations: int, ladder: Ladder
) -> Request:
    """The next question to the core; the dial rises with the violations."""
    prompt = render(
        here.words,
        facts,
        here.goal,
        role=here.role,
        injections=injections,
        messages=here.messages,
        style=ladder.style,
    )
    targets = resting_on(prompt, here.words, facts, injections, ladder.resting)
    return Request(
        agent=here.agent,
        prompt=prompt,
        actions=here.words.actions,
        dial=here.schedule.dial(num_violations, targets) if ladder.dials else Dial(0.0, targets),
        evidence=bool(injections),
    )


def answered(request: Request, choice: Choice) -> Choice:
    """The answer, if it is one to this question.

    Raises:
        CoreError: other actions, or probabilities that are none.
    """
    numbers = (*choice.probabilities, choice.margin)
    if (choice.actions, len(choice.probabilities)) != (request.actions, len(request.actions)):
        raise CoreError(
            f"expected a probability for each of {' '.join(request.actions)}, got {' '.join(choice.actions) or 'none'}"
        )
    if choice.chosen not in request.actions or not all(0.0 <= number <= 1.0 for number in numbers):
        raise CoreError(f"expected a chosen action and probabilities from 0 to 1, got `{choice.chosen}` with {numbers}")
    return choice


def violated_by(
    here: Situation, facts: Facts, action: int, verdict: Verdict, detail: Detail = Detail.NUMBERS
) -> tuple[Injection, ...]:
    """What to inject for a verdict: every violated rule with a line that applies."""
    anchors = [rule.anchor for rule in here.rules.rules]
    violated = [anchors.index(violation.rule) for violation in verdict.violations]
    told: tuple[int, ...] = ()
    if detail in (Detail.RANGE, Detail.WRONG_RANGE):
        is_wrong = detail is Detail.WRONG_RANGE
        told = tuple(index for index, is_safe in enumerate(here.rules.compliant(facts)) if is_safe is not is_wrong)
    if detail is Detail.NEAREST:
        nearest = here.rules.nearest(facts, here.rules.actions[action])
        told = () if nearest is None else (here.rules.actions.index(nearest),)
    return tuple(
        Injection(rule=rule, action=action, allowed=told)
        for rule in violated
        if applying_lines(here.words, facts, rule, action)
    )


def unreadable(facts: Facts, rules: RuleSet[Any, Any]) -> str:
    """Why facts can neither be shown nor recorded, in one line; empty if they can."""
    try:
        Facts.from_json(facts.to_json(), rules.state)
    except Exception as error:  # noqa: BLE001 - the decision: facts that cannot be written and read back are none
        return one_line(error)
    return ""


def _unfit(ascent: Ascent) -> str:
    """Why the observation cannot be decided on, in a few fixed words; empty if it can."""
    facts, max_age_s = ascent.here.facts, ascent.ladder.max_age_s
    if facts is None:
        return "observation missing"  # whoever perceives knows why, and records it
    fault = unreadable(facts, ascent.here.rules)
    if fault:
        ascent.note(FaultKind.OBSERVATION_MISSING, fault)
        return "observation unreadable"
    if facts.age_s > max_age_s:
        ascent.note(FaultKind.OBSERVATION_STALE, f"expected an age of at most {max_age_s} s, got {facts.age_s} s")
        return "observation stale"
    return ""


def _knocked_out(ascent: Ascent, request: Request, knock_out: KnockOut | None) -> dict[str, float]:
    """What cutting each injected block does to the choice, at dial 0: the causal evidence beside the masses.

    Evidence decides nothing, so where it fails the decision goes on without it.
    """
    if knock_out is None:
        return {}
    plain = replace(request, dial=Dial.off(), evidence=False)
    found: dict[str, float] = {}
    for name in plain.prompt.names(BlockKind.INJECTION):
        try:
            nats = knock_out(plain, name)
        except CoreError as error:
            ascent.note(FaultKind.CORE_FAILED, error)
            continue
        if math.isfinite(nats):
            found[name] = round(nats, 6)
        else:
            ascent.note(FaultKind.CORE_FAILED, f"expected a finite knock-out of `{name}`, got `{nats}`")
    return found
