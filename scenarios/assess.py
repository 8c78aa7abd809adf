"""Does this core read my rules? Sampled states, each decided as in a run, counted rule by rule.

States are drawn for one rule after another so that each rule forbids something, but not everything is forbidden, in its
share of them, wherever `DRAWS` draws find one; the order of wishes is drawn too, so that no action is right by habit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from agents.deciding.decide import Ladder, Situation, decide
from agents.deciding.decision import Decision, label
from agents.deciding.lexicon import Lexicon, lexicon
from agents.recording.events import Rung
from localist_core import Core
from scenarios.desk import Desk
from scenarios.scenario import Role, Scenario
from symbolic import Facts, domain_of

DRAWS = 200
"""States drawn at most to find one in which a given rule matters."""
BATCH = 64
"""States decided together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sampled state and what became of it."""

    facts: Facts
    goal: tuple[int, ...]
    forbidding: tuple[frozenset[str], ...]
    """For each action the anchors of the rules that forbid it."""
    decision: Decision

    @property
    def first(self) -> int | None:
        """Index of the first proposal; None where the core gave none."""
        return self._proposed(0)

    @property
    def last(self) -> int | None:
        """Index of the last proposal."""
        return self._proposed(-1)

    @property
    def best(self) -> int | None:
        """The most wanted action that no rule forbids."""
        return next((action for action in self.goal if not self.forbidding[action]), None)

    def _proposed(self, number: int) -> int | None:
        attempts = self.decision.attempts
        return int(attempts[number].choice.chosen.removeprefix("A")) - 1 if attempts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Misreading:
    """An example of a first proposal that broke a rule."""

    facts: dict[str, str]
    """Field -> value as shown to people."""
    wanted: tuple[str, ...]
    """Labels of the actions, most wanted first."""
    proposed: str
    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleReading:
    """How one rule was read, over the states in which it forbids something."""

    rule: str
    name: str
    sentence: str
    states: int
    first_try: int
    """States in which the first proposal kept it."""
    after_injection: int
    """States in which the last proposal kept it."""
    chosen: int
    """States in which no proposal complied and a lower rung of the ladder gave the action."""
    citable: int
    """Forbidden actions for which the core was asked to name a rule; 0 where it cannot cite."""
    cited: int
    """Those for which it named a rule that does forbid them."""
    example: Misreading | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleReading:
    """How the rules of one role were read."""

    role: str
    states: int
    first_try: int
    """First proposals that no rule forbids."""
    first_best: int
    """First proposals that are the most wanted of the compliant ones."""
    after_injection: int
    """Decisions whose last proposal complies."""
    chosen: int
    """Decisions left to lower rungs of the ladder."""
    blocked: int
    """States in which every action is forbidden."""
    citable: int
    """Actions for which the core was asked what forbids them; 0 where it cannot cite."""
    cited: int
    """Those answered rightly: a rule that forbids the action, or none where none does."""
    rules: tuple[RuleReading, ...]


def assess(scenario: Scenario, core: Core, *, states: int, seed: int) -> tuple[RoleReading, ...]:
    """Read every role's rules with a core.

    Args:
        scenario: whose roles.
        core: what proposes.
        states: states sampled for each role, 1 or more.
        seed: of the sampling.
    """
    return tuple(
        reading_of(name, role, sample_role(name, role, core, states=states, rng=random.Random(f"{seed}/{name}")))
        for name, role in sorted(scenario.roles.items())
    )


def sample_role(name: str, role: Role, core: Core, *, states: int, rng: random.Random) -> list[Sample]:
    """Decide sampled states of one role, batch by batch."""
    words = lexicon(role.rules)
    drawn = [draw_state(role, number, rng) for number in range(states)]
    samples: list[Sample] = []
    for start in range(0, states, BATCH):
        samples += asyncio.run(_decide_batch(name, role, words, core, drawn[start : start + BATCH]))
    return samples


def reading_of(name: str, role: Role, samples: Sequence[Sample]) -> RoleReading:
    """Count what became of the samples of one role."""
    citations = [pair for sample in samples for pair in _citations(sample)]
    return RoleReading(
        role=name,
        states=len(samples),
        first_try=sum(_complies(sample, sample.first) for sample in samples),
        first_best=sum(sample.first is not None and sample.first == sample.best for sample in samples),
        after_injection=sum(_complies(sample, sample.last) for sample in samples),
        chosen=sum(sample.decision.rung not in (Rung.PROPOSED, Rung.INJECTED) for sample in samples),
        blocked=sum(sample.best is None for sample in samples),
        citable=len(citations),
        cited=sum(cited in forbidding if forbidding else cited is None for cited, forbidding in citations),
        rules=tuple(_rule_reading(role, anchor, samples) for anchor in (rule.anchor for rule in role.rules.rules)),
    )


def draw_state(role: Role, number: int, rng: random.Random) -> tuple[Facts, tuple[int, ...]]:
    """A state in which the rule whose turn it is forbids something, if one is found, and an order of wishes."""
    rules = role.rules
    turn = rules.rules[number % len(rules.rules)].anchor
    facts = _random_facts(role, rng)
    for _ in range(DRAWS):
        forbidding = _forbidding(role, facts)
        if any(turn in anchors for anchors in forbidding) and not all(forbidding):
            break
        facts = _random_facts(role, rng)
    goal = list(range(len(rules.actions)))
    rng.shuffle(goal)
    return facts, tuple(goal)


def _random_facts(role: Role, rng: random.Random) -> Facts:
    specs = domain_of(role.rules.state).fields
    return Facts.from_codes(role.rules.state, tuple(rng.randint(spec.low, spec.high) for spec in specs))


def _forbidding(role: Role, facts: Facts) -> tuple[frozenset[str], ...]:
    return tuple(
        frozenset(violation.rule for violation in role.rules.check(facts, action).violations)
        for action in role.rules.actions
    )


async def _decide_batch(
    name: str, role: Role, words: Lexicon, core: Core, drawn: Sequence[tuple[Facts, tuple[int, ...]]]
) -> list[Sample]:
    agents = [f"{name}-{number:04d}" for number in range(len(drawn))]
    desk = Desk(core, agents)

    async def one(agent: str, facts: Facts, goal: tuple[int, ...]) -> Sample:
        here = Situation(
            agent=agent,
            role=name,
            words=words,
            facts=facts,
            goal=goal,
            safe_stop=role.rules.actions.index(role.safe_stop),
            schedule=role.dial,
        )
        try:
            decision = await decide(here, desk.ask, Ladder(asks=role.asks))
        finally:
            desk.leave(agent)
        return Sample(facts=facts, goal=goal, forbidding=_forbidding(role, facts), decision=decision)

    return list(await asyncio.gather(*(one(agent, *pair) for agent, pair in zip(agents, drawn, strict=True))))


def _complies(sample: Sample, action: int | None) -> bool:
    return action is not None and not sample.forbidding[action]


def _citations(sample: Sample) -> list[tuple[str | None, frozenset[str]]]:
    """What the first answer cites for each action, beside the rules that do forbid it."""
    cited = sample.decision.attempts[0].choice.citations if sample.decision.attempts else None
    return [] if cited is None else list(zip(cited, sample.forbidding, strict=True))


def _rule_reading(role: Role, anchor: str, samples: Sequence[Sample]) -> RuleReading:
    rule = next(rule for rule in role.rules.rules if rule.anchor == anchor)
    here = [sample for sample in samples if any(anchor in anchors for anchors in sample.forbidding)]
    broken = [sample for sample in here if not _keeps(sample, sample.first, anchor)]
    citations = [pair for sample in here for pair in _citations(sample) if anchor in pair[1]]
    return RuleReading(
        rule=anchor,
        name=rule.name,
        sentence=rule.sentence,
        states=len(here),
        first_try=len(here) - len(broken),
        after_injection=sum(_keeps(sample, sample.last, anchor) for sample in here),
        chosen=sum(sample.decision.rung not in (Rung.PROPOSED, Rung.INJECTED) for sample in here),
        citable=len(citations),
        cited=sum(cited in forbidding for cited, forbidding in citations),
        example=_misreading(role, broken[0]) if broken else None,
    )


def _keeps(sample: Sample, action: int | None, anchor: str) -> bool:
    return action is not None and anchor not in sample.forbidding[action]


def _misreading(role: Role, sample: Sample) -> Misreading:
    specs = domain_of(role.rules.state).fields
    allowed = tuple(label(index) for index, anchors in enumerate(sample.forbidding) if not anchors)
    return Misreading(
        facts={spec.name: sample.facts.show(spec) for spec in specs},
        wanted=tuple(map(label, sample.goal)),
        proposed="nothing" if sample.first is None else label(sample.first),
        allowed=allowed,
    )
