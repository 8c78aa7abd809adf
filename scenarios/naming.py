"""Ways to name the rules in a prompt, and what each does to a core's raw fidelity and to its answers.

The blocks are the same; their names stand in other places, are said twice, or are left out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import torch

from localist_core import BlockKind, Dial, Prompt, Request, SharedCore
from localist_core.blocks import NEUTRAL_KINDS
from localist_core.serving.scoring import Scored, probabilities_of
from scenarios.asked import OFF, Asked, Split
from scenarios.statistics import Bounds, bootstrap_difference
from scenarios.wording import Head, rows_of_options, scored_in_chunks


class Naming(StrEnum):
    """Where a rule's block is named, and by which words."""

    AS_IS = "as it is"
    """The rule's slot behind each action that it forbids: `if F1 < 15 yes : not A2 R1`."""
    NONE = "no name"
    """`if F1 < 15 yes : not A2`."""
    FIRST = "slot first"
    """Once, as the block's first word: `R1 if F1 < 15 yes : not A2`."""
    TWICE = "slot twice"
    """Said again wherever it stands: `if F1 < 15 yes : not A2 R1 R1`."""
    END = "slot at the end"
    """Said again as the block's last word: `if F1 < 15 yes : not A2 R1 R1`, once for a block of several lines."""
    DESIGNED = "anchors at the end"
    """The designed words repeated as the block's last ones."""
    RANDOM = "random words at the end"
    """As many words of the block, drawn at random, in their place."""


def renamed(prompt: Prompt, naming: Naming, anchors: Mapping[str, tuple[str, ...]], seed: int = 0) -> Prompt:
    """The prompt with its rules named in this way.

    Args:
        prompt: as `render` made it.
        naming: which way.
        anchors: the designed words of each rule, by its slot.
        seed: of the random words.
    """
    blocks = tuple(
        replace(block, text=named(block.text, block.name, naming, anchors.get(block.name, ()), seed))
        if block.kind is BlockKind.RULEBOOK
        else block
        for block in prompt.blocks
    )
    return Prompt(blocks)


def named(text: str, slot: str, naming: Naming, anchor: tuple[str, ...], seed: int) -> str:
    """The text of one rule's block, named in this way."""
    words = text.split()
    bare = [word for word in words if word != slot]
    match naming:
        case Naming.AS_IS:
            return text
        case Naming.NONE:
            return " ".join(bare)
        case Naming.FIRST:
            return " ".join([slot, *bare])
        case Naming.TWICE:
            return " ".join(f"{word} {word}" if word == slot else word for word in words)
        case Naming.END:
            return f"{text} {slot}"
        case Naming.DESIGNED:
            return " ".join([text, *anchor])
        case Naming.RANDOM:
            return " ".join([text, *drawn(text, len(anchor), seed)])


def drawn(text: str, count: int, seed: int) -> tuple[str, ...]:
    """Different words of a text, drawn at random: the same for the same text and seed."""
    words = list(dict.fromkeys(text.split()))
    return tuple(random.Random(f"{seed}/{text}").sample(words, min(count, len(words))))


# What a naming does


@dataclass(frozen=True, slots=True, kw_only=True)
class NamingArm:
    """Prompts whose rules are named in one way, at dial 0."""

    naming: Naming
    fidelity: float
    """Raw fidelity of the head at forbidden options, on the blocks of the rules that forbid them; mean over states."""
    against: Bounds
    """95 % interval of its difference to the names as they are."""
    all_heads: float
    """Raw fidelity on the rules that forbid anything, mean over all heads and decision rows."""
    right: float
    """Share of forbidden options at which the head rests most on a rule that forbids them."""
    best: int
    """States in which the most wanted compliant action is chosen."""
    states: int


@dataclass(frozen=True, slots=True)
class _State:
    """One state under one naming."""

    fidelity: float
    all_heads: float
    right: tuple[bool, ...]
    is_best: bool


def naming_arms(
    core: SharedCore,
    asked: Split,
    head: Head,
    anchors: Mapping[str, tuple[str, ...]],
    watch: Callable[[str], None],
) -> tuple[NamingArm, ...]:
    """Every naming on the same states in which a rule forbids something.

    Args:
        core: whose attention is read, at dial 0.
        asked: the states.
        head: which rests on rules.
        anchors: the designed words of each rule, by its slot.
        watch: hears of each naming before it is tried.

    Raises:
        CoreError: of any prompt.
    """
    questions = [one for one in asked.questions if any(one.question.case.forbidding)]
    found: dict[Naming, list[_State]] = {}
    for naming in Naming:
        watch(f"rules named: {naming}")
        plain = [one.request(OFF) for one in questions]
        requests = [replace(r, prompt=renamed(r.prompt, naming, anchors), dial=Dial.off()) for r in plain]
        found[naming] = [
            _state_of(core, one, request, scored, head)
            for one, request, scored in zip(questions, requests, scored_in_chunks(core, requests), strict=True)
        ]
    base = [state.fidelity for state in found[Naming.AS_IS]]
    return tuple(_naming_arm(naming, states, base) for naming, states in found.items())


def _naming_arm(naming: Naming, states: Sequence[_State], base: Sequence[float]) -> NamingArm:
    own = [state.fidelity for state in states]
    right = [mark for state in states for mark in state.right]
    return NamingArm(
        naming=naming,
        fidelity=sum(own) / len(own),
        against=bootstrap_difference(own, base, seed=0, draws=2000),
        all_heads=sum(state.all_heads for state in states) / len(states),
        right=sum(right) / len(right),
        best=sum(state.is_best for state in states),
        states=len(states),
    )


def _state_of(core: SharedCore, one: Asked, request: Request, scored: Scored, head: Head) -> _State:
    case, blocks = one.question.case, scored.row.prompt.blocks
    place = {block.name: index for index, block in enumerate(blocks)}
    counted = [index for index, block in enumerate(blocks) if block.kind not in NEUTRAL_KINDS]
    book = [place[name] for name in scored.row.prompt.names(BlockKind.RULEBOOK)]
    fidelities, right = [], []
    for action, at in enumerate(rows_of_options(core, one, scored)):
        rules = [place[case.words.rules[rule]] for rule in case.forbidding[action]]
        if rules:
            masses = scored.heads[head[0], head[1], at]
            fidelities.append(float(masses[rules].sum() / masses[counted].sum()))
            right.append(book[int(masses[book].argmax())] in rules)
    every = sorted({place[case.words.rules[rule]] for rules in case.forbidding for rule in rules})
    decided = scored.heads[:, :, : scored.row.num_decision_rows]
    shares = decided[..., every].sum(-1) / decided[..., counted].sum(-1)
    probabilities = probabilities_of(request, scored)
    chosen = max(range(len(probabilities)), key=lambda index: probabilities[index])
    return _State(
        fidelity=sum(fidelities) / len(fidelities),
        all_heads=float(torch.nan_to_num(shares).mean()),
        right=tuple(right),
        is_best=chosen == one.question.best,
    )
