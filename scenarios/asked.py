"""Prompts on which settings of a core are tried: held-out cases of the curriculum, or states of a scenario's rules.

Four kinds of prompt, of which three are hard: distractors, no truth values, an injected rule. Everything is a function
of a seed; splits of other names are drawn independently, so that what is chosen on one is reported on another.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice

from agents.deciding import Grounding, Injection, Resting, Style
from agents.deciding.lexicon import lexicon
from agents.deciding.prompting import resting_on
from localist_core import DialSchedule, Request
from scenarios.assess import draw_state
from scenarios.config import ConfigError
from scenarios.curriculum import Case, Difficulty, cases, forbidden_by, random_messages
from scenarios.exam import LONG, PLAIN, Question
from scenarios.names import Names
from scenarios.scenario import Scenario

DRAWS = 1000
"""Cases looked at for each one that is wanted, at most."""


class PromptKind(StrEnum):
    """What a prompt is like."""

    PLAIN = "plain"
    """As the shipped core was trained on them."""
    LONG = "long"
    """With distractors four times longer than in training."""
    RAW = "raw"
    """Without truth values."""
    INJECTED = "injected"
    """The most wanted action is forbidden, and the first rule that forbids it stands injected."""


HARD = (PromptKind.LONG, PromptKind.RAW, PromptKind.INJECTED)


class NoCaseError(ConfigError):
    """A scenario that has no case of a kind: one line, with what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question that can be put under any setting."""

    kind: PromptKind
    question: Question
    injections: tuple[Injection, ...] = ()

    def request(self, steering: Steering) -> Request:
        """The question under a setting; an injection counts as one violation."""
        case = self.question.case
        prompt = case.prompt(injections=self.injections)
        targets = resting_on(prompt, case.words, case.facts, self.injections, steering.resting)
        dial = steering.schedule.dial(len(self.injections), targets)
        return Request(agent="examinee", prompt=prompt, actions=case.words.actions, dial=dial)


@dataclass(frozen=True, slots=True)
class Steering:
    """A setting under trial."""

    schedule: DialSchedule
    resting: Resting = Resting.TRUSTED


OFF = Steering(DialSchedule(start=0.0, step=0.0, top=0.0))
"""The dial at 0."""


@dataclass(frozen=True, slots=True)
class Split:
    """Questions that serve one purpose."""

    name: str
    """Equal names of one source and seed mean equal questions."""
    questions: tuple[Asked, ...]

    def part(self, start: int, stop: int) -> Split:
        """The questions from one index up to another, as a split of their own."""
        return Split(f"{self.name}[{start}:{stop}]", self.questions[start:stop])


def split(scenario: Scenario | None, kinds: Sequence[PromptKind], count: int, seed: int, name: str) -> Split:
    """That many questions of each kind, kinds taking turns; a longer split begins with the shorter one.

    Args:
        scenario: whose roles' rules are asked about; None = the curriculum's random domains.
        kinds: of prompt.
        count: questions of each kind, 1 or more.
        seed: root of all randomness.
        name: of the split.

    Raises:
        NoCaseError: too few states of the scenario make such a case.
    """
    columns = [list(islice(_questions(scenario, kind, f"{seed}/{name}/{kind}"), count)) for kind in kinds]
    return Split(name, tuple(one for row in zip(*columns, strict=True) for one in row))


def _questions(scenario: Scenario | None, kind: PromptKind, root: str) -> Iterator[Asked]:
    style = Style(grounding=Grounding.RAW if kind is PromptKind.RAW else Grounding.TRUTH)
    difficulty = LONG if kind is PromptKind.LONG else PLAIN
    stream = _random_cases(difficulty, root) if scenario is None else _cases_of(scenario, difficulty, root)
    unfit = 0
    for case in stream:
        unfit += 1
        allowed = tuple(not rules for rules in case.forbidding)
        wanted = case.goal[0]
        if any(allowed) and (kind is not PromptKind.INJECTED or not allowed[wanted]):
            unfit = 0
            rules = case.forbidding[wanted][:1] if kind is PromptKind.INJECTED else ()
            injections = tuple(Injection(rule=rule, action=wanted) for rule in rules)
            yield Asked(kind=kind, question=Question(replace(case, style=style), allowed), injections=injections)
        if unfit >= DRAWS:
            raise NoCaseError(f"expected a case of the kind `{kind}` among {DRAWS} states, got none; leave it out")


def _random_cases(difficulty: Difficulty, root: str) -> Iterator[Case]:
    seed = int.from_bytes(hashlib.sha256(root.encode()).digest()[:6])
    return cases(seed, held_out=True, difficulty=difficulty, states_per_domain=1)


def _cases_of(scenario: Scenario, difficulty: Difficulty, root: str) -> Iterator[Case]:
    """States of the roles in turn, each drawn so that one rule after another matters."""
    rng = random.Random(root)
    roles = sorted(scenario.roles.items())
    words = {name: lexicon(role.rules) for name, role in roles}
    number = 0
    while True:
        for name, role in roles:
            facts, goal = draw_state(role, number, rng)
            says = rng.random() < difficulty.messages
            names = Names(rng, held_out=True, is_short=False)
            yield Case(
                words=words[name],
                facts=facts,
                goal=goal,
                forbidding=forbidden_by(words[name], facts),
                messages=random_messages(rng, names, words[name], difficulty) if says else (),
                role=name,
            )
        number += 1
