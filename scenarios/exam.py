"""The held-out examination of a core: domains, rules and names that training never saw, asked in many arms.

An arm is a list of answers to the same cases, so that any two can be compared case by case. Right answers come from the
symbolic layer. `python -m tests.benchmarks.bench_exam` prints the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from agents.deciding import Detail, Grounding, Injection, Ladder, Resting, Situation, Style, decide
from agents.deciding.prompting import resting_on
from agents.recording.events import Rung
from localist_core import BlockKind, Choice, Core, CoreError, Dial, DialSchedule, Prompt, Request
from scenarios.curriculum import Case, Difficulty, cases
from scenarios.statistics import Bounds, binomial_bounds, mcnemar

EXAM_SEED = 500_000_003
"""Root of the examined cases; neither the curriculum nor the watch during training draws from it."""
CHUNK = 32
"""Requests in one call of the core."""

PLAIN = Difficulty(raw=0.0, injected=0.0)
"""As in training, messages included, with truth values and before any injection."""
LONG = replace(PLAIN, messages=1.0, message_words=32, max_messages=3)
"""Distractors four times longer than in training, in every prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One case and what was answered."""

    is_compliant: bool
    """The answered action breaks no rule."""
    is_best: bool
    """And no action that breaks no rule is wanted more."""
    citations: tuple[tuple[bool, bool], ...] = ()
    """For each action (is it forbidden, is the citation right): a rule that forbids it, or none where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """The answers of one way of asking, case by case."""

    name: str
    answered: tuple[Answered, ...]

    def rate(self, what: Callable[[Answered], bool]) -> tuple[float, Bounds]:
        """Share of cases, with its exact 95 % interval."""
        count = sum(map(what, self.answered))
        return count / len(self.answered), binomial_bounds(count, len(self.answered))

    @property
    def best(self) -> float:
        """Share of answers that are compliant and goal-best."""
        return self.rate(lambda one: one.is_best)[0]

    @property
    def compliant(self) -> float:
        """Share of answers that are compliant."""
        return self.rate(lambda one: one.is_compliant)[0]

    def cited(self, *, forbidden: bool | None = None) -> float | None:
        """Share of right citations: of all actions, or only of those that are forbidden, or are not."""
        marks = [right for one in self.answered for is_bad, right in one.citations if forbidden in (None, is_bad)]
        return sum(marks) / len(marks) if marks else None

    def against(self, other: Arm) -> tuple[int, int, float]:
        """Cases best only here, only there, and the exact McNemar probability of so uneven a split by chance."""
        pairs = list(zip(self.answered, other.answered, strict=True))
        here = sum(one.is_best and not two.is_best for one, two in pairs)
        there = sum(two.is_best and not one.is_best for one, two in pairs)
        return here, there, mcnemar(here, there)


@dataclass(frozen=True, slots=True)
class Question:
    """A case with the symbolic layer's word on each of its actions."""

    case: Case
    allowed: tuple[bool, ...]

    @property
    def best(self) -> int:
        """Index of the most wanted action that is allowed."""
        return next(action for action in self.case.goal if self.allowed[action])


def questions(count: int, difficulty: Difficulty, seed: int = EXAM_SEED) -> list[Question]:
    """That many held-out cases in which some action is allowed."""
    return list(islice(_answerable(cases(seed, held_out=True, difficulty=difficulty, states_per_domain=1)), count))


def _answerable(stream: Iterator[Case]) -> Iterator[Question]:
    for case in stream:
        allowed = case.words.ruleset.compliant(case.facts)
        if any(allowed):
            yield Question(case, allowed)


def judged(question: Question, action: int, choice: Choice | None = None) -> Answered:
    """The marks of one answer."""
    citations: list[tuple[bool, bool]] = []
    if choice is not None and choice.citations is not None:
        words = question.case.words
        for index, cited in enumerate(choice.citations):
            forbidding = {words.rules[rule] for rule in question.case.forbidding[index]}
            citations.append((bool(forbidding), cited in forbidding if forbidding else cited is None))
    return Answered(
        is_compliant=question.allowed[action],
        is_best=action == question.best,
        citations=tuple(citations),
    )


# Ways of asking


def first_try(
    core: Core, asked: Sequence[Question], name: str, *, style: Style | None = None, dial: float = 0.0,
    targets: Callable[[Case, Prompt], frozenset[str]] | None = None,
) -> Arm:  # fmt: skip
    """The core's first answers.

    Args:
        core: the examined core.
        asked: the cases.
        name: of the arm.
        style: how prompts are rendered; as the case says where None.
        dial: the dial of every question.
        targets: its target blocks; the trusted ones of the case where None.
    """

    def request(question: Question) -> Request:
        prompt = question.case.prompt(style)
        chosen = (targets or Case.targets)(question.case, prompt)
        return _request(question, prompt, Dial(dial, chosen) if dial else Dial.off())

    return _arm(core, asked, name, request)


def injected(
    core: Core, asked: Sequence[Question], name: str, detail: Detail, schedule: DialSchedule,
    resting: Resting = Resting.TRUSTED,
) -> Arm:  # fmt: skip
    """Answers after the rule that forbids the most wanted action was injected, whatever the core said first.

    Args:
        core: the examined core.
        asked: cases whose most wanted action is forbidden.
        name: of the arm.
        detail: how much the injection tells.
        schedule: the dial after one violation is taken from it.
        resting: which blocks that dial holds the answer to.
    """

    def request(question: Question) -> Request:
        case = question.case
        wrong = detail is Detail.WRONG_RANGE
        shown = tuple(action for action, is_allowed in enumerate(question.allowed) if is_allowed is not wrong)
        wanted = case.goal[0]
        injections = (Injection(rule=case.forbidding[wanted][0], action=wanted, allowed=shown),)
        prompt = case.prompt(Style(detail=detail), injections)
        targets = resting_on(prompt, case.words, case.facts, injections, resting)
        return _request(question, prompt, schedule.dial(1, targets))

    return _arm(core, asked, name, request)


def laddered(core: Core, asked: Sequence[Question], name: str, ladder: Ladder, schedule: DialSchedule) -> Arm:
    """What the core comes to on the run-time ladder: the executed action, or its last answer where that was refused.

    Repairs and safe stops are not the core's own and earn it nothing.

    Raises:
        CoreError: the core failed before any answer.
    """

    async def ask(request: Request) -> Choice:
        return core.decide([request])[0]

    def answer(question: Question) -> Answered:
        case = question.case
        here = Situation(
            agent="examinee",
            role="agent",
            words=case.words,
            facts=case.facts,
            goal=case.goal,
            safe_stop=0,
            messages=case.messages,
            schedule=schedule,
        )
        decision = asyncio.run(decide(here, ask, ladder))
        asking = decision.rung in (Rung.PROPOSED, Rung.INJECTED) or ladder.chooses
        if asking:
            return judged(question, decision.action)
        if not decision.attempts:
            raise CoreError(f"expected an answer from the core, got none: {decision.reason}; examine another core")
        last = decision.attempts[-1].choice
        return judged(question, case.words.actions.index(last.chosen), last)

    return Arm(name=name, answered=tuple(map(answer, asked)))


def masked(core: Core, asked: Sequence[Question], name: str) -> Arm:
    """The most probable compliant action of the first answer: a mask over the core instead of asking again."""

    def pick(question: Question, choice: Choice) -> Answered:
        ranked = sorted(range(len(choice.probabilities)), key=lambda index: -choice.probabilities[index])
        return judged(question, next(index for index in ranked if question.allowed[index]))

    requests = [_request(question, question.case.prompt(), Dial.off()) for question in asked]
    choices = ask_all(core, requests)
    answered = (pick(question, choice) for question, choice in zip(asked, choices, strict=True))
    return Arm(name=name, answered=tuple(answered))


def copied(asked: Sequence[Question], name: str, style: Style) -> Arm:
    """No model: a reader of the prompt's words, which forbids the actions of every line without a `no`.

    With truth values in the prompt this is all that reading takes; without them it takes every line as firing.
    """

    def answer(question: Question) -> Answered:
        prompt = question.case.prompt(style)
        banned: set[str] = set()
        for name in prompt.names(BlockKind.RULEBOOK):
            for line in prompt[name].text.split(" ; "):
                conditions, _, conclusion = line.rpartition(" : not ")
                if "no" not in conditions.split():
                    banned.update(conclusion.split()[::2])
        words = question.case.words
        wanted = [index for index in question.case.goal if words.actions[index] not in banned]
        return judged(question, wanted[0] if wanted else question.case.goal[0])

    return Arm(name=name, answered=tuple(map(answer, asked)))


def messages_only(case: Case, prompt: Prompt) -> frozenset[str]:
    """The wrong targets: the distractors."""
    return frozenset(prompt.names(BlockKind.MESSAGE))


def ask_all(core: Core, requests: Sequence[Request]) -> list[Choice]:
    """All answers, asked in chunks of prompts of like length."""
    order = sorted(range(len(requests)), key=lambda index: sum(len(b.text) for b in requests[index].prompt.blocks))
    found: dict[int, Choice] = {}
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        found.update(zip(chunk, core.decide([requests[index] for index in chunk]), strict=True))
    return [found[index] for index in range(len(requests))]


def _arm(core: Core, asked: Sequence[Question], name: str, request: Callable[[Question], Request]) -> Arm:
    choices = ask_all(core, [request(question) for question in asked])
    answered = (
        judged(question, question.case.words.actions.index(choice.chosen), choice)
        for question, choice in zip(asked, choices, strict=True)
    )
    return Arm(name=name, answered=tuple(answered))


def _request(question: Question, prompt: Prompt, dial: Dial) -> Request:
    return Request(agent="examinee", prompt=prompt, actions=question.case.words.actions, dial=dial)


# The examination


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """All arms of an examination; arms of one group answer the same cases."""

    plain: tuple[Arm, ...]
    """As at run time, and what each part is worth."""
    after_injection: tuple[Arm, ...]
    """Cases whose most wanted action is forbidden."""
    distracted: tuple[Arm, ...]
    """Distractors four times longer than in training; the last arm is the same cases without them."""


SCHEDULE = DialSchedule()
NO_DIAL = DialSchedule(start=0.0, step=0.0, top=0.0)


def examine(core: Core, count: int, *, progress: Callable[[str], None] = lambda arm: None) -> Exam:
    """Examine a core on that many held-out cases in each group; `progress` hears the name of each arm as it begins."""

    def begin(name: str) -> str:
        progress(name)
        return name

    asked = questions(count, PLAIN)
    once, twice = Ladder(asks=0, chooses=False), Ladder(asks=2, chooses=False)
    plain = (
        first_try(core, asked, begin("first try, dial 0")),
        first_try(core, asked, begin("first try, dial 0.2"), dial=0.2),
        laddered(core, asked, begin("at most 2 injections"), twice, SCHEDULE),
        laddered(core, asked, begin("without injection"), once, SCHEDULE),
        laddered(core, asked, begin("without dial"), replace(twice, dials=False), SCHEDULE),
        masked(core, asked, begin("rule mask: most probable compliant action")),
        first_try(core, asked, begin("raw facts"), style=Style(grounding=Grounding.RAW)),
        first_try(core, asked, begin("no rulebook in the prompt"), style=Style(has_rulebook=False)),
        copied(asked, begin("copy baseline (no model), truth values"), Style()),
        copied(asked, begin("copy baseline (no model), raw facts"), Style(grounding=Grounding.RAW)),
    )
    refused = [question for question in questions(3 * count, PLAIN, EXAM_SEED + 1) if _is_refused(question)][:count]
    after_injection = (
        first_try(core, refused, begin("most wanted action forbidden: first try")),
        injected(core, refused, begin("injection: sentence"), Detail.SENTENCE, SCHEDULE),
        injected(core, refused, begin("injection: sentence + numbers"), Detail.NUMBERS, SCHEDULE),
        injected(core, refused, begin("injection: + allowed range"), Detail.RANGE, SCHEDULE),
        injected(core, refused, begin("injection: + wrong range"), Detail.WRONG_RANGE, SCHEDULE),
        injected(core, refused, begin("injection: sentence + numbers, no dial"), Detail.NUMBERS, NO_DIAL),
        injected(
            core,
            refused,
            begin("injection: sentence + numbers, dial on what it restates"),
            Detail.NUMBERS,
            SCHEDULE,
            Resting.RESTATED,
        ),
    )
    noisy = questions(count, LONG, EXAM_SEED + 2)
    quiet = [replace(question, case=replace(question.case, messages=())) for question in noisy]
    distracted = (
        first_try(core, noisy, begin("long distractors, dial 0")),
        first_try(core, noisy, begin("long distractors, dial 0.8 on the right blocks"), dial=0.8),
        first_try(core, noisy, begin("long distractors, dial 1 on the right blocks"), dial=1.0),
        first_try(core, noisy, begin("long distractors, dial 0.8 on the messages"), dial=0.8, targets=messages_only),
        first_try(core, quiet, begin("the same without distractors")),
    )
    return Exam(plain=plain, after_injection=after_injection, distracted=distracted)


def _is_refused(question: Question) -> bool:
    wanted = question.case.goal[0]
    return not question.allowed[wanted] and bool(question.case.forbidding[wanted])
