"""One decision, from facts to an executed action: propose, check, inject and ask again, choose, repair, safe stop.

Read `decide` first; it is the heart of the project. Nothing that is missing, late, unknown or broken is ever approval:
the ladder ends at the role's declared safe stop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agents.deciding.decision import Attempt, Decision
from agents.deciding.lexicon import Lexicon
from agents.deciding.prompting import Injection, Message, Style, render, resting_on, resting_on_injections
from agents.recording.events import Rung
from localist_core import BlockKind, Choice, CoreError, Dial, DialSchedule, Request
from symbolic import Facts, RuleSet, Verdict

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
    max_age_s: float = 1.0
    """An observation older than this many seconds is stale: straight to the safe stop."""
    style: Style = field(default_factory=Style)


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

    @property
    def rules(self) -> RuleSet[Any, Any]:
        """The role's rule set."""
        return self.words.ruleset


async def decide(here: Situation, ask: Ask, ladder: Ladder, knock_out: KnockOut | None = None) -> Decision:
    """Decide one action.

    Args:
        here: what the decision rests on.
        ask: the shared core.
        ladder: which rungs may be used.
        knock_out: measures what an injected block did to the choice; None leaves that out.
    """
    if here.facts is None or here.facts.age_s > ladder.max_age_s:
        return _stop(here, (), "observation missing" if here.facts is None else "observation stale")
    attempts: list[Attempt] = []
    injections: tuple[Injection, ...] = ()
    reason = "asks used up"
    while len(attempts) <= ladder.asks:
        request = question(here, here.facts, injections, len(attempts), ladder)
        try:
            choice = await ask(request)
        except CoreError:
            return _climb(here, here.facts, attempts, ladder, "core failed")
        action = here.words.actions.index(choice.chosen)
        verdict = here.rules.check(here.facts, here.rules.actions[action])
        cut = _knocked_out(request, knock_out) if injections else {}
        attempts.append(Attempt(request=request, choice=choice, verdict=verdict, knock_out_nats=cut))
        if verdict.is_safe or not ladder.binds:
            rung = Rung.INJECTED if injections else Rung.PROPOSED
            return _decision(here, action, rung, verdict, attempts)
        found = violated_by(here, here.facts, action, verdict)
        if set(found) <= set(injections):
            reason = "same violation again" if found else "check undecided"
            break
        injections = tuple(dict.fromkeys((*injections, *found)))
    return _climb(here, here.facts, attempts, ladder, reason)


def question(
    here: Situation, facts: Facts, injections: tuple[Injection, ...], num_violations: int, ladder: Ladder
) -> Request:
    """The next question to the core; the dial rises with the violations, on the injections and what they restate."""
    prompt = render(
        here.words,
        facts,
        here.goal,
        role=here.role,
        injections=injections,
        messages=here.messages,
        style=ladder.style,
    )
    targets = resting_on_injections(prompt, here.words, injections) if injections else resting_on(prompt)
    value = here.schedule.at(num_violations) if ladder.dials else 0.0
    return Request(
        agent=here.agent,
        prompt=prompt,
        actions=here.words.actions,
        dial=Dial(value, targets),
        evidence=bool(injections),
    )


def violated_by(here: Situation, facts: Facts, action: int, verdict: Verdict) -> tuple[Injection, ...]:
    """What to inject for a verdict: every violated rule that prompts can show as lines."""
    anchors = [rule.anchor for rule in here.rules.rules]
    allowed = tuple(index for index, is_safe in enumerate(here.rules.compliant(facts)) if is_safe)
    return tuple(
        Injection(rule=anchors.index(violation.rule), action=action, allowed=allowed)
        for violation in verdict.violations
    )


def _climb(here: Situation, facts: Facts, attempts: Sequence[Attempt], ladder: Ladder, reason: str) -> Decision:
    """The rungs after asking: the core's most probable compliant action, the nearest compliant one, the safe stop."""
    if attempts and ladder.chooses:
        last = attempts[-1].choice
        ranked = sorted(zip(last.probabilities, last.actions, strict=True), key=lambda pair: -pair[0])
        for _, slot in ranked:
            action = here.words.actions.index(slot)
            verdict = here.rules.check(facts, here.rules.actions[action])
            if verdict.is_safe:
                return _decision(here, action, Rung.CHOSEN, verdict, attempts, reason)
    wanted = here.words.actions.index(attempts[-1].choice.chosen) if attempts else here.safe_stop
    nearest = here.rules.nearest(facts, here.rules.actions[wanted])
    if nearest is not None:
        verdict = here.rules.check(facts, nearest)
        if verdict.is_safe:
            return _decision(here, here.rules.actions.index(nearest), Rung.REPAIRED, verdict, attempts, reason)
    return _stop(here, attempts, reason)


def _stop(here: Situation, attempts: Sequence[Attempt], reason: str) -> Decision:
    """The declared safe stop; its verdict is recorded, but there is nothing below it."""
    verdict = here.rules.check(here.facts, here.rules.actions[here.safe_stop])  # type: ignore[arg-type] # None: undecided
    return _decision(here, here.safe_stop, Rung.SAFE_STOP, verdict, attempts, reason)


def _decision(
    here: Situation, action: int, rung: Rung, verdict: Verdict, attempts: Sequence[Attempt], reason: str = ""
) -> Decision:
    read = {message.envelope for message in here.messages if message.envelope}
    return Decision(
        action=action,
        rung=rung,
        verdict=verdict,
        attempts=tuple(attempts),
        reason=reason,
        parents=tuple(sorted(read.union(here.claims))),
    )


def _knocked_out(request: Request, knock_out: KnockOut | None) -> dict[str, float]:
    """What cutting each injected block does to the choice, at dial 0: the causal evidence beside the masses."""
    if knock_out is None:
        return {}
    plain = replace(request, dial=Dial.off(), evidence=False)
    return {name: round(knock_out(plain, name), 6) for name in plain.prompt.names(BlockKind.INJECTION)}
