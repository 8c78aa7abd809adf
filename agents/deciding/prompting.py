"""The prompt of one decision: blocks rendered from a rule set, facts, a goal, injections and messages.

The same code renders every prompt: at run time, in assessments, and in the curriculum of the shipped core.

    schema       A1 slow A2 keep F1 gap_m F2 light V1 red ...
    role, goal   role car; goal A2 A1                        (actions, most wanted first)
    observation  F1 12.5 F2 V1 F3 8 to 9.5 F4 unknown
    R1, R2, ...  if F1 < 15 yes and F2 is V1 no : not A2 R1  (each condition with what the facts say of it)
    I1, ...      an injected rule: its line that applies, with this agent's numbers
    M1, ...      messages of other agents, untrusted
    options, act options A2 A1; act
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agents.deciding.lexicon import Lexicon, LineText
from localist_core.blocks import Block, BlockKind, Prompt, Trust
from symbolic import Facts, Truth, domain_of, ground
from symbolic.expression import reads

MARKS = {Truth.YES: "yes", Truth.NO: "no", Truth.MAYBE: "maybe"}
RAW_MARK = "?"
"""Stands for a truth value that the core has to work out itself."""


class Grounding(StrEnum):
    """How a rule's conditions meet the facts."""

    TRUTH = "truth"
    """Each condition is followed by its truth value, as the symbolic layer reads it from the facts."""
    RAW = "raw"
    """No truth values: the core compares the observation with the conditions itself."""


class Detail(StrEnum):
    """How much an injection tells."""

    SENTENCE = "sentence"
    """The rule's line that applies."""
    NUMBERS = "numbers"
    """And the values of the fields it speaks of."""
    RANGE = "range"
    """And all compliant actions."""
    NEAREST = "nearest"
    """Instead of all compliant actions only the nearest to the one that was forbidden."""
    WRONG_RANGE = "wrong-range"
    """And the forbidden actions, called allowed: only to measure how much a core trusts the range."""


class Resting(StrEnum):
    """Which blocks a decision should rest on: the target set of the dial."""

    TRUSTED = "trusted"
    """Role, goal, observation, the whole rulebook, and what was injected: everything but what others say."""
    APPLYING = "applying"
    """The same without the rules that forbid nothing in the perceived state."""
    RESTATED = "restated"
    """After an injection only what it speaks of: the injections, the rules that they restate, and the observation.
    Measured to cost a sixth of the answers: the other rules are what the next action may break (docs/figures.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How prompts are rendered; the defaults are what the shipped core was trained for."""

    grounding: Grounding = Grounding.TRUTH
    detail: Detail = Detail.NUMBERS
    has_rulebook: bool = True
    """False leaves the rulebook out: what does the core do without rules?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One violated rule that goes into the next prompt."""

    rule: int
    """Index into `ruleset.rules`."""
    action: int
    """Index of the action that violated it."""
    allowed: tuple[int, ...] = ()
    """Indices of the actions that the text calls allowed; told only with a detail of range or nearest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What another agent said, as text; untrusted."""

    sender: str
    text: str
    envelope: str = ""
    """Id of the envelope that carried it."""


def render(
    words: Lexicon,
    facts: Facts,
    goal: Sequence[int],
    *,
    role: str = "",
    injections: Sequence[Injection] = (),
    messages: Sequence[Message] = (),
    style: Style = Style(),
) -> Prompt:
    """The prompt of one decision.

    Args:
        words: slots of the rule set.
        facts: what the agent perceives.
        goal: indices of all actions, most wanted first.
        role: name of the agent's role.
        injections: violated rules, in the order they were found.
        messages: what other agents said, oldest first.
        style: how to render.
    """
    blocks = [Block(kind=BlockKind.SCHEMA, name="schema", text=words.schema)]
    if role:
        blocks.append(Block(kind=BlockKind.ROLE, name="role", text=f"role {role}"))
    wanted = " ".join(words.actions[index] for index in goal)
    blocks.append(Block(kind=BlockKind.GOAL, name="goal", text=f"goal {wanted}"))
    blocks.append(Block(kind=BlockKind.OBSERVATION, name="observation", text=observed(words, facts)))
    if style.has_rulebook:
        blocks.extend(rulebook(words, facts, style.grounding))
    for number, injection in enumerate(injections, 1):
        text = injected(words, facts, injection, style)
        blocks.append(Block(kind=BlockKind.INJECTION, name=f"I{number}", text=text))
    for number, message in enumerate(messages, 1):
        text = _encodable(f"{message.sender} : {message.text}")
        blocks.append(Block(kind=BlockKind.MESSAGE, name=f"M{number}", text=text, trust=Trust.UNTRUSTED))
    blocks.append(Block(kind=BlockKind.OPTIONS, name="options", text=f"options {wanted}"))
    blocks.append(Block(kind=BlockKind.DECISION, name="act", text="act"))
    return Prompt(tuple(blocks))


def _encodable(text: str) -> str:
    """Untrusted text with what no encoding knows (lone surrogates) replaced by `?`."""
    return text.encode("utf-8", "replace").decode()


def observed(words: Lexicon, facts: Facts) -> str:
    """Text of the observation block: every field and what is known of it, of neighbours only where they are there."""
    some = [spec for spec in domain_of(facts.schema).fields if not facts.is_absent(spec)]
    return " ".join(fact_text(words, facts, spec.name) for spec in some)


def fact_text(words: Lexicon, facts: Facts, name: str) -> str:
    """One field's slot and what is known of it: a value, `LOW to HIGH`, `unknown`, or `absent` with its neighbour."""
    spec = domain_of(facts.schema).field(name)
    slot, code = words.fields[name], facts.codes[spec.index]
    if facts.is_absent(spec):
        return f"{slot} absent"
    if code is None:
        return f"{slot} unknown"
    if isinstance(code, int):
        return f"{slot} {words.show(spec, code)}"
    return f"{slot} {words.show(spec, code[0])} to {words.show(spec, code[1])}"


def rulebook(words: Lexicon, facts: Facts, grounding: Grounding) -> list[Block]:
    """One block for each rule that can forbid anything, in the order of the rules."""
    blocks = []
    for slot, parts in zip(words.rules, words.line_texts, strict=True):
        if parts:
            text = " ; ".join(line_text(part, facts, grounding) for part in parts)
            blocks.append(Block(kind=BlockKind.RULEBOOK, name=slot, text=text))
    return blocks


def line_text(part: LineText, facts: Facts, grounding: Grounding) -> str:
    """One line: conditions with their marks, then each forbidden action with the rule's slot."""
    if grounding is Grounding.RAW:
        marks = [RAW_MARK] * len(part.conditions)
    else:
        marks = [MARKS[truth] for truth in ground(part.line, facts)]
    conditions = " and ".join(f"{text} {mark}" for text, mark in zip(part.conditions, marks, strict=True))
    return f"if {conditions or 'always'} : {part.conclusion}"


def injected(words: Lexicon, facts: Facts, injection: Injection, style: Style) -> str:
    """Text of an injection: the lines of the rule that forbid the action now, and as much more as the style tells."""
    applying = applying_lines(words, facts, injection.rule, injection.action)
    if not applying:
        slots = words.rules[injection.rule], words.actions[injection.action]
        raise ValueError(
            f"expected a rule that may forbid the action, got `{slots[0]}` for `{slots[1]}`; inject another"
        )
    text = " ; ".join(line_text(part, facts, style.grounding) for part in applying)
    if style.detail is not Detail.SENTENCE:
        names = dict.fromkeys(r.field.name for part in applying for c in part.line.conditions for r in reads(c))
        values = " ".join(fact_text(words, facts, name) for name in names)
        text += f" ; with {values}" if values else ""
    is_told = style.detail is Detail.NEAREST and injection.allowed  # with nothing compliant there is nothing to tell
    if is_told or style.detail in (Detail.RANGE, Detail.WRONG_RANGE):
        text += f" ; allowed {' '.join(words.actions[index] for index in injection.allowed)}"
    return text


def applying_lines(words: Lexicon, facts: Facts, rule: int, action: int) -> list[LineText]:
    """The lines of a rule that forbid an action in the perceived state, or may forbid it."""
    named = (part for part in words.line_texts[rule] if action in part.line.actions)
    return [part for part in named if Truth.NO not in ground(part.line, facts)]


def resting_on(
    prompt: Prompt, words: Lexicon, facts: Facts, injections: Sequence[Injection], resting: Resting
) -> frozenset[str]:
    """Names of the target blocks of a decision: they follow from facts, rules and injections, never from text.

    Args:
        prompt: rendered from the others.
        words: slots of the rule set.
        facts: what the agent perceives.
        injections: violated rules in the prompt.
        resting: which blocks are wanted.
    """
    injected = frozenset(prompt.names(BlockKind.INJECTION))
    trusted = injected.union(prompt.names(BlockKind.ROLE, BlockKind.GOAL, BlockKind.OBSERVATION))
    rulebook = frozenset(prompt.names(BlockKind.RULEBOOK))
    match resting:
        case Resting.TRUSTED:
            return trusted | rulebook
        case Resting.APPLYING:
            return trusted | (rulebook & _applying(words, facts))
        case Resting.RESTATED if injections:
            restated = rulebook & {words.rules[injection.rule] for injection in injections}
            return injected.union(restated, prompt.names(BlockKind.OBSERVATION))
        case Resting.RESTATED:
            return trusted | rulebook


def _applying(words: Lexicon, facts: Facts) -> frozenset[str]:
    """Slots of the rules that forbid some action in the perceived state, or may forbid it."""
    return frozenset(
        slot
        for slot, parts in zip(words.rules, words.line_texts, strict=True)
        if any(Truth.NO not in ground(part.line, facts) for part in parts)
    )
