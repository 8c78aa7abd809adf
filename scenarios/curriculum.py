"""The curriculum that cores are trained and examined on: random domains, rule sets, goals, states and distractors.

A `Case` is one decision to make, rendered by the code that renders prompts at run time, with the symbolic layer as the
teacher: for each action the rules that forbid it, and the most wanted action that none forbids. `lesson` turns a case
into supervised tokens. Everything is a function of a seed; held-out cases use names that training never sees.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal, cast

from pydantic import create_model

from agents.deciding.lexicon import Lexicon
from agents.deciding.prompting import (
    Detail,
    Grounding,
    Injection,
    Message,
    Resting,
    Style,
    applying_lines,
    render,
    resting_on,
)
from localist_core.blocks import NEUTRAL_KINDS, PROMPT_ORDER, Prompt
from localist_core.learning.lessons import Lesson
from localist_core.prompting.encoding import Encoder
from localist_core.tokenizer import NO_RULE, SLOTS, load_tokenizer
from scenarios.names import Names
from symbolic import (
    Action,
    Facts,
    FieldSpec,
    Kind,
    RuleSet,
    State,
    Truth,
    domain_of,
    fields,
    fixed,
    ground,
    implies,
    whole,
)
from symbolic.terms import TruthTerm

MAX_RULES = 8
"""Most rules of a generated set."""
MAX_ACTIONS = 6
"""Most actions of a generated domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """How large and how distracting generated cases are."""

    max_rules: int = MAX_RULES
    raw: float = 0.0
    """Share of prompts without truth values."""
    injected: float = 0.3
    """Share of prompts with an injected rule, where some action is forbidden."""
    messages: float = 0.4
    """Share of prompts with messages."""
    short_names: float = 0.8
    """Share of training domains whose names have two letters: short prompts train faster, and names decide nothing."""
    message_words: int = 8
    """Most words of one message."""
    max_messages: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One decision to make and its right answers."""

    words: Lexicon
    facts: Facts
    goal: tuple[int, ...]
    """Indices of all actions, most wanted first."""
    forbidding: tuple[tuple[int, ...], ...]
    """For each action the indices of the rules that forbid it."""
    messages: tuple[Message, ...] = ()
    injections: tuple[Injection, ...] = ()
    style: Style = field(default_factory=Style)
    role: str = "agent"
    """Name of the role in the prompt."""

    @property
    def best(self) -> int | None:
        """Index of the most wanted action that no rule forbids; None if every action is forbidden."""
        return next((action for action in self.goal if not self.forbidding[action]), None)

    def prompt(self, style: Style | None = None, injections: Sequence[Injection] | None = None) -> Prompt:
        """The prompt, in another style or with other injections if given."""
        return render(
            self.words,
            self.facts,
            self.goal,
            role=self.role,
            injections=self.injections if injections is None else injections,
            messages=self.messages,
            style=style or self.style,
        )

    def targets(self, prompt: Prompt, resting: Resting = Resting.TRUSTED) -> frozenset[str]:
        """The target blocks of the dial for the case's own injections."""
        return resting_on(prompt, self.words, self.facts, self.injections, resting)

    def allowed(self) -> tuple[int, ...]:
        """Indices of the actions that no rule forbids."""
        return tuple(action for action, rules in enumerate(self.forbidding) if not rules)


def cases(seed: int, *, held_out: bool, difficulty: Difficulty, states_per_domain: int = 4) -> Iterator[Case]:
    """An endless stream of cases; some states of one random domain after another.

    Args:
        seed: root of all randomness of the stream.
        held_out: use the names that training never sees.
        difficulty: sizes and shares.
        states_per_domain: cases drawn from each domain before the next is made.
    """
    rng = random.Random(seed)
    while True:
        is_short = not held_out and rng.random() < difficulty.short_names
        names = Names(rng, held_out=held_out, is_short=is_short)
        ruleset = random_rules(rng, names, difficulty.max_rules)
        for _ in range(states_per_domain):  # each with slots of its own: what is learned is to copy, not a slot
            yield random_case(rng, names, random_lexicon(rng, ruleset), difficulty)


def random_case(rng: random.Random, names: Names, words: Lexicon, difficulty: Difficulty) -> Case:
    """One case over a rule set: state, goal, style, injection and messages."""
    facts = random_facts(rng, words.ruleset.state)
    goal = list(range(len(words.actions)))
    rng.shuffle(goal)
    forbidding = forbidden_by(words, facts)
    is_raw = rng.random() < difficulty.raw
    detail = rng.choices([Detail.NUMBERS, Detail.SENTENCE, Detail.RANGE], [6, 3, 1])[0]
    style = Style(grounding=Grounding.RAW if is_raw else Grounding.TRUTH, detail=detail)
    case = Case(words=words, facts=facts, goal=tuple(goal), forbidding=forbidding, style=style)
    injections = random_injections(rng, case) if rng.random() < difficulty.injected else ()
    messages = random_messages(rng, names, words, difficulty) if rng.random() < difficulty.messages else ()
    return Case(
        words=words, facts=facts, goal=case.goal, forbidding=forbidding, style=style,
        injections=injections, messages=messages,
    )  # fmt: skip


def forbidden_by(words: Lexicon, facts: Facts) -> tuple[tuple[int, ...], ...]:
    """For each action the rules that forbid it, or may forbid it where facts are not exact."""
    found: list[list[int]] = [[] for _ in words.actions]
    for rule, parts in enumerate(words.line_texts):
        hit = {action for part in parts if Truth.NO not in ground(part.line, facts) for action in part.line.actions}
        for action in hit:
            found[action].append(rule)
    return tuple(tuple(rules) for rules in found)


# Domains


def random_rules(rng: random.Random, names: Names, max_rules: int) -> RuleSet[State, Action]:
    """A random domain and a random rule set over it."""
    state = random_state_type(rng, names)
    action = random_action_type(rng, names)
    ruleset = RuleSet(state, action)
    s, a = fields(state), fields(action)
    specs, choices = domain_of(state).fields, domain_of(action).fields
    for index in range(min(rng.randint(1, max_rules), rng.randint(1, max_rules + 4))):
        condition = random_condition(rng, s, specs)
        deed = random_deed(rng, a, choices)
        kind: Literal["forbid", "require"] = "forbid"
        expression = condition & deed
        if rng.random() < 0.3:
            kind, expression = "require", implies(condition, ~deed)
        if rng.random() < 0.03:
            kind, expression = "forbid", deed
        ruleset.add(kind=kind, name=f"rule_{index}", priority=rng.randint(0, 100), expression=expression)
    return ruleset


def random_state_type(rng: random.Random, names: Names) -> type[State]:
    """Two to seven fields: numbers, booleans and choices."""
    made: dict[str, object] = {}
    for name in names.some(rng.randint(2, 7)):
        sort = rng.random()
        if sort < 0.5:
            made[name] = random_number(rng)
        elif sort < 0.75:
            made[name] = (bool, ...)
        else:
            made[name] = (Literal[names.some(rng.randint(2, 4))], ...)
    return cast(type[State], create_model("Sensed", __base__=State, **made))  # type: ignore[call-overload]


def random_number(rng: random.Random) -> tuple[type, object]:
    """A bounded number: whole, or with a step of 0.5 or 0.1."""
    top = rng.choice([9, 20, 40, 99, 200, 500])
    if rng.random() < 0.5:
        return int, whole(ge=0, le=top)
    return float, fixed(ge=0, le=top, step=rng.choice([0.5, 0.1]))


def random_action_type(rng: random.Random, names: Names) -> type[Action]:
    """One choice of two to six deeds, or two small choices together."""
    first = names.some(rng.randint(2, MAX_ACTIONS))
    made: dict[str, object] = {names.one(): (Literal[first], ...)}
    if len(first) <= MAX_ACTIONS // 2 and rng.random() < 0.3:
        made[names.one()] = (Literal[names.some(2)], ...)
    return cast(type[Action], create_model("Deed", __base__=Action, **made))  # type: ignore[call-overload]


def random_deed(rng: random.Random, a: object, specs: Sequence[FieldSpec]) -> TruthTerm:
    """A condition on the action: it is one of some values, or (seldom) none of some."""
    spec = rng.choice(specs)
    count = min(rng.choice([1, 1, 1, 1, 2, 2]), len(spec.words) - 1)
    term: TruthTerm = getattr(a, spec.name).isin(*rng.sample(spec.words, count))
    return ~term if rng.random() < 0.1 else term


def random_condition(rng: random.Random, s: object, specs: Sequence[FieldSpec]) -> TruthTerm:
    """A condition on the state: an atom, a conjunction of up to three, or with a disjunction or negation in it."""
    count = rng.choice([1, 1, 2, 2, 2, 3])
    atoms = [random_atom(rng, s, specs) for _ in range(count)]
    condition = atoms[0]
    for atom in atoms[1:]:
        condition = condition | atom if rng.random() < 0.12 else condition & atom
    return ~condition if rng.random() < 0.05 else condition


def random_atom(rng: random.Random, s: object, specs: Sequence[FieldSpec]) -> TruthTerm:
    """One comparison, membership or boolean field."""
    spec = rng.choice(specs)
    term = getattr(s, spec.name)
    if spec.kind is Kind.FLAG:
        return cast(TruthTerm, ~term if rng.random() < 0.4 else term)
    if spec.kind is Kind.CHOICE:
        chosen: TruthTerm = term.isin(*rng.sample(spec.words, 1 if rng.random() < 0.8 else min(2, len(spec.words) - 1)))
        return ~chosen if rng.random() < 0.3 else chosen
    others = [other for other in specs if other.kind is Kind.NUMBER and other is not spec]
    bound = spec.decode(rng.randint(spec.low + 1, spec.high - 1))
    if others and rng.random() < 0.1:
        other = getattr(s, rng.choice(others).name)
        term, bound = (term + other, bound) if rng.random() < 0.4 else (term, other)
    compare = rng.choice([operator.lt, operator.lt, operator.le, operator.gt, operator.gt, operator.ge])
    return cast(TruthTerm, compare(term, bound))


def random_lexicon(rng: random.Random, ruleset: RuleSet[State, Action]) -> Lexicon:
    """Slots drawn without order, so that no slot means anything by itself; rules keep their order."""
    specs = domain_of(ruleset.state).fields
    keys = [f"{spec.name}={word}" for spec in specs if spec.kind is Kind.CHOICE for word in spec.words]

    def draw(letter: str, count: int) -> list[str]:
        return [f"{letter}{index}" for index in rng.sample(range(1, SLOTS[letter] + 1), count)]

    return Lexicon(
        ruleset=ruleset,
        actions=tuple(draw("A", len(ruleset.actions))),
        rules=tuple(draw("R", len(ruleset.rules))),
        fields=dict(zip((spec.name for spec in specs), draw("F", len(specs)), strict=True)),
        values=dict(zip(keys, draw("V", len(keys)), strict=True)),
    )


def random_facts(rng: random.Random, state: type[State]) -> Facts:
    """A random perceived state: mostly exact, with some unknown or interval facts."""
    is_vague = rng.random() < 0.15
    codes: list[int | tuple[int, int] | None] = []
    for spec in domain_of(state).fields:
        code = rng.randint(spec.low, spec.high)
        if not is_vague or rng.random() < 0.7:
            codes.append(code)
        elif spec.kind is Kind.NUMBER and rng.random() < 0.5:
            codes.append((code, min(spec.high, code + rng.randint(0, 1 + (spec.high - spec.low) // 8))))
        else:
            codes.append(None)
    return Facts.from_codes(state, tuple(codes))


def random_injections(rng: random.Random, case: Case) -> tuple[Injection, ...]:
    """One or two violated rules of forbidden actions."""
    bad = [(rule, action) for action, rules in enumerate(case.forbidding) for rule in rules]
    rng.shuffle(bad)
    chosen: dict[int, Injection] = {}
    for rule, action in bad[: rng.choice([1, 1, 2])]:
        chosen.setdefault(rule, Injection(rule=rule, action=action, allowed=case.allowed()))
    return tuple(chosen.values())


def random_messages(rng: random.Random, names: Names, words: Lexicon, difficulty: Difficulty) -> tuple[Message, ...]:
    """Texts of other agents: chatter, claims, and now and then a forged rule."""
    slots = [*words.actions, *words.rules, *words.fields.values(), "not", "yes", "no", "if", ":"]
    made = []
    for _ in range(rng.randint(1, difficulty.max_messages)):
        count = rng.randint(2, difficulty.message_words)
        text = " ".join(rng.choice(slots) if rng.random() < 0.5 else names.word() for _ in range(count))
        made.append(Message(sender=f"{names.word()}-{rng.randint(1, 9)}", text=text))
    return tuple(made)


# Lessons


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """A source of lessons: pool k is a function of the seed and k. Runs in the trainer's worker process."""

    tokenizer: Path
    """Directory of the tokenizer."""
    seed: int
    size: int = 1024
    """Cases of one pool."""
    difficulty: Difficulty = field(default_factory=Difficulty)
    ramp: int = 7
    """Pools after which rule sets may have one rule more: short prompts first, from two rules on."""

    def __call__(self, pool: int) -> list[Lesson]:
        """The lessons of one pool."""
        most = min(self.difficulty.max_rules, 2 + pool // self.ramp)
        stream = cases(
            self.seed * 1_000_003 + pool,
            held_out=False,
            difficulty=replace(self.difficulty, max_rules=most),
        )
        encoder = encoder_of(self.tokenizer)
        return [lesson(case, encoder) for case in islice(stream, self.size)]


WEIGHTS = {"act": 2.0, "cite": 1.0, "fires": 0.5, "truth": 0.5}
"""Weight in the loss of what is asked."""


@lru_cache(maxsize=2)
def encoder_of(path: Path) -> Encoder:
    """The encoder of a tokenizer directory, kept between pools."""
    return Encoder(load_tokenizer(path), capacity=100_000)


def lesson(case: Case, encoder: Encoder) -> Lesson:
    """A case as tokens with their right answers."""
    prompt = case.prompt()
    encoding = encoder.encode(prompt)
    words_of = {block.name: encoder.words(block) for block in prompt.blocks}
    starts = {block.name: encoding.span(index)[0] for index, block in enumerate(prompt.blocks)}
    kinds = [PROMPT_ORDER.index(block.kind) for block in prompt.blocks]
    targets = case.targets(prompt)
    pushed = [block.name not in targets and block.kind not in NEUTRAL_KINDS for block in prompt.blocks]
    asked = answers(case, prompt, words_of)
    return Lesson(
        ids=encoding.ids,
        kinds=tuple(kinds[index] for index in encoding.block_ids),
        positions=encoding.positions,
        is_rest=tuple(pushed[index] for index in encoding.block_ids),
        rows=tuple(starts[answer.block] + answer.token for answer in asked),
        answers=tuple(encoder.ids(answer.words) for answer in asked),
        sorts=tuple(f"raw_{a.sort}" if case.style.grounding is Grounding.RAW else a.sort for a in asked),
        weights=tuple(WEIGHTS[answer.sort] for answer in asked),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a core should say at one token of a prompt: any of these words."""

    block: str
    token: int
    """Place of the token in its block, from 0."""
    words: tuple[str, ...]
    sort: str
    """`cite`, `act`, `fires` or `truth`."""


def answers(case: Case, prompt: Prompt, words_of: dict[str, tuple[str, ...]]) -> list[Answer]:
    """All supervised tokens of a prompt.

    Args:
        case: the case that the prompt renders.
        prompt: its prompt.
        words_of: block name -> the words of its tokens, as the tokenizer reads them.
    """
    found: list[Answer] = []
    for slot, parts in zip(case.words.rules, case.words.line_texts, strict=True):
        if slot in words_of:
            truths = [ground(part.line, case.facts) for part in parts]
            found += _line_answers(slot, words_of[slot], slot, truths)
    for number, injection in enumerate(case.injections, 1):
        slot = case.words.rules[injection.rule]
        applying = applying_lines(case.words, case.facts, injection.rule, injection.action)
        truths = [ground(part.line, case.facts) for part in applying]
        found += _line_answers(f"I{number}", words_of[f"I{number}"], slot, truths)
    for place, word in enumerate(words_of["options"]):
        if word in case.words.actions:
            rules = case.forbidding[case.words.actions.index(word)]
            right = tuple(case.words.rules[rule] for rule in rules) or (NO_RULE,)
            found.append(Answer(block="options", token=place, words=right, sort="cite"))
    if case.best is not None:
        last = len(words_of["act"]) - 1
        found.append(Answer(block="act", token=last, words=(case.words.actions[case.best],), sort="act"))
    return found


def _line_answers(
    block: str, tokens: tuple[str, ...], slot: str, truths: Sequence[Sequence[Truth]]
) -> Iterator[Answer]:
    """At each rule slot whether its line fires, and at each open mark its truth value."""
    marks = [truth for line in truths for truth in line]
    open_marks = [place for place, word in enumerate(tokens) if word == "?"]
    for place, truth in zip(open_marks, marks, strict=False):
        yield Answer(block=block, token=place, words=(_MARK[truth],), sort="truth")
    number = -1
    for place, word in enumerate(tokens):
        number += word == "if"
        if word == slot:
            fires = "idle" if Truth.NO in truths[number] else "fires"
            yield Answer(block=block, token=place, words=(fires,), sort="fires")


_MARK = {Truth.YES: "yes", Truth.NO: "no", Truth.MAYBE: "maybe"}
