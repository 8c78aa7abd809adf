"""Where a head rests, word by word: on the rule that forbids an option, and on everything else.

The words of every rule's block are put into blocks of their own, which changes no token, so that the mass of each is
exact. Read at the options, in the head that rests on the rule that forbids an option: there attention points at a rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from localist_core import Block, BlockKind, CoreError, Dial, Prompt, Request, SharedCore
from localist_core.blocks import NEUTRAL_KINDS
from localist_core.proving.anchors import Candidate, Named
from localist_core.serving.citing import option_rows
from localist_core.serving.pointer import Examined, profile
from localist_core.serving.scoring import Scored
from scenarios.asked import OFF, Asked, Split
from scenarios.exam import CHUNK

Head = tuple[int, int]
"""Layer and head, from 0."""


class WordsError(CoreError):
    """A tokenizer that reads the words of a rule otherwise than one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One forbidden option: where the head rests on the words of the one rule that forbids it."""

    rule: str
    """Its slot."""
    read: str
    """The slot of the rule on which the head rests most."""
    words: Mapping[str, float]
    """Mass on each different word of the rule's block, in order."""
    outside: float
    """Mass on all words outside the block that are not neutral."""
    top_outside: float
    """Mass on the one of them with the most."""
    num_outside: int

    def margin(self, words: Sequence[str]) -> float:
        """Lowest logit of these words above the highest outside, in nats."""
        least = min(self.words.get(word, 0.0) for word in words)
        return math.log(least / self.top_outside) if least > 0.0 < self.top_outside else -math.inf

    def fidelity(self, words: Sequence[str]) -> float:
        """Mass on these words among them and all outside."""
        inside = sum(self.words.get(word, 0.0) for word in words)
        return inside / (inside + self.outside) if inside > 0.0 else 0.0


def pointer_of(core: SharedCore, asked: Split) -> Head:
    """The core's pointer head; where none is known, the head that most often rests on a rule that forbids the option.

    Raises:
        CoreError: of any prompt.
    """
    known = getattr(core.model.config, "pointer_head", None)
    return (int(known[0]), int(known[1])) if known else profile(core, map(_examined, asked.questions)).best


def word_rows(core: SharedCore, asked: Split, head: Head) -> list[Row]:
    """One row for every option that exactly one rule forbids.

    Raises:
        WordsError: the tokenizer reads the words of a rule otherwise than one by one.
    """
    plain = [one.request(OFF) for one in asked.questions]
    requests = [replace(one, prompt=split_words(core, one.prompt), dial=Dial.off()) for one in plain]
    pairs = zip(asked.questions, scored_in_chunks(core, requests), strict=True)
    return [row for one, scored in pairs for row in _rows_of(core, one, scored, head)]


def split_words(core: SharedCore, prompt: Prompt) -> Prompt:
    """The prompt with every word of its rules as a block of its own, named `RULE:PLACE`."""
    blocks: list[Block] = []
    for block in prompt.blocks:
        if block.kind is BlockKind.RULEBOOK:
            words = block.text.split()
            blocks += [replace(block, name=f"{block.name}:{n}", text=word) for n, word in enumerate(words)]
        else:
            blocks.append(block)
    divided = Prompt(tuple(blocks))
    if core.read(divided)[1].ids != core.read(prompt)[1].ids:
        raise WordsError("expected a tokenizer that reads the words of a rule one by one, got other tokens")
    return divided


def named_of(rows: Sequence[Row]) -> Named:
    """A rule's block as the design sees it: the words that it has in every state, with means over states."""
    common = [word for word in rows[0].words if all(word in row.words for row in rows)]
    return Named(
        candidates=tuple(
            Candidate(
                word=word,
                mass=sum(row.words[word] for row in rows) / len(rows),
                margin=median(row.margin((word,)) for row in rows),
            )
            for word in common
        ),
        outside=sum(row.outside for row in rows) / len(rows),
    )


def _examined(one: Asked) -> Examined:
    request, case = one.request(OFF), one.question.case
    places = {name: place for place, name in enumerate(request.prompt.names(BlockKind.RULEBOOK))}
    forbidding = tuple(frozenset(places[case.words.rules[rule]] for rule in rules) for rules in case.forbidding)
    return Examined(request=request, forbidding=forbidding)


def scored_in_chunks(core: SharedCore, requests: Sequence[Request]) -> Iterator[Scored]:
    """What the core makes of the requests, in their order, some at a time."""
    for start in range(0, len(requests), CHUNK):
        yield from core.scored(requests[start : start + CHUNK])


def rows_of_options(core: SharedCore, one: Asked, scored: Scored) -> list[int]:
    """The decision row of each action, at its slot in the options block."""

    def word(text: str) -> int | None:
        ids = core.tokenizer(text, add_special_tokens=False)["input_ids"]
        return int(ids[0]) if len(ids) == 1 else None

    return option_rows(one.request(OFF), scored, word)


def _rows_of(core: SharedCore, one: Asked, scored: Scored, head: Head) -> Iterator[Row]:
    case, blocks = one.question.case, scored.row.prompt.blocks
    counted = [index for index, block in enumerate(blocks) if block.kind not in NEUTRAL_KINDS]
    for action, at in enumerate(rows_of_options(core, one, scored)):
        if len(case.forbidding[action]) != 1:
            continue
        masses: list[float] = scored.heads[head[0], head[1], at].tolist()
        own = case.words.rules[case.forbidding[action][0]]
        words: dict[str, float] = {}
        of_rule: dict[str, float] = {}
        outside = []
        for index in counted:
            slot, colon, _ = blocks[index].name.partition(":")
            if colon:
                of_rule[slot] = of_rule.get(slot, 0.0) + masses[index]
            if colon and slot == own:
                words[blocks[index].text] = words.get(blocks[index].text, 0.0) + masses[index]
            else:
                outside.append(masses[index])
        yield Row(
            rule=own,
            read=max(of_rule, key=lambda slot: of_rule[slot]),
            words=words,
            outside=sum(outside),
            top_outside=max(outside),
            num_outside=len(outside),
        )
