"""Lessons of the curriculum in which the targets hold a fixed share of the tokens, n_S / n.

Before the options stands chatter of other agents, as many tokens as bring the share about; nothing else is rest. One
model may learn several shares: each case of a training pool gets one of them by turns.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from localist_core.blocks import PROMPT_ORDER, Block, BlockKind, Trust
from localist_core.learning.lessons import Lesson
from localist_core.prompting.encoding import Encoder
from scenarios.curriculum import Case, Difficulty, cases, encoder_of, lesson, random_messages
from scenarios.names import Names

SHARES = (0.25, 0.5, 0.75)
"""Shares of the study."""
BARE = Difficulty(max_rules=3, injected=0.0, messages=0.0)
"""Cases before their chatter: no injections, so that all trusted blocks but schema and options are targets."""
TALK = Difficulty(messages=1.0, max_messages=3)
Value = TypeVar("Value")
MESSAGE = PROMPT_ORDER.index(BlockKind.MESSAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLessons:
    """A source of lessons with fixed shares: pool k is a function of the seed and k."""

    tokenizer: Path
    """Directory of the tokenizer."""
    seed: int
    size: int = 1024
    """Cases of one pool."""
    shares: tuple[float, ...] = SHARES
    """Given to the cases by turns."""
    difficulty: Difficulty = field(default_factory=lambda: BARE)

    def __call__(self, pool: int) -> list[Lesson]:
        """The lessons of one pool."""
        seed = self.seed * 1_000_003 + pool
        stream = cases(seed, held_out=False, difficulty=self.difficulty)
        rng, encoder = random.Random(f"{seed}/chatter"), encoder_of(self.tokenizer)
        names = Names(rng, held_out=False)
        return [
            with_share(case, encoder, self.shares[index % len(self.shares)], names, rng)
            for index, case in enumerate(islice(stream, self.size))
        ]


def held_out(tokenizer: Path, share: float, count: int, seed: int) -> list[Lesson]:
    """Lessons of domains and names that training never sees, on which only the decision is asked.

    Rows of three sorts: `act`, right = the most wanted action that no rule forbids; `comply`, the same row, right = any
    action that none forbids; `cite`, each option, right = a rule that forbids it, or that none does.
    """
    rng, encoder = random.Random(f"{seed}/chatter"), encoder_of(tokenizer)
    names = Names(rng, held_out=True)
    stream = cases(seed, held_out=True, difficulty=BARE, states_per_domain=1)
    answerable = (case for case in stream if case.best is not None)
    return [asked(with_share(c, encoder, share, names, rng), c, encoder) for c in islice(answerable, count)]


def with_share(case: Case, encoder: Encoder, share: float, names: Names, rng: random.Random) -> Lesson:
    """A case as a lesson whose targets hold this share of the tokens that are not neutral, to the nearest token.

    Raises:
        ValueError: a share outside (0, 1], or a case with rest of its own.
    """
    bare = lesson(case, encoder)
    if not 0.0 < share <= 1.0 or any(bare.is_rest):
        raise ValueError(f"expected a share in (0, 1] and a case without injections and messages, got `{share}`")
    n_S = sum(bare.targets)
    chatter = random_chatter(case, encoder, round(n_S * (1.0 - share) / share), names, rng)
    first, r = bare.first_decision_row, len(chatter)
    untrusted_from = bare.positions[first]
    return replace(
        bare,
        ids=bare.ids[:first] + chatter + bare.ids[first:],
        kinds=bare.kinds[:first] + (MESSAGE,) * r + bare.kinds[first:],
        positions=bare.positions[:first] + tuple(range(untrusted_from, untrusted_from + r)) + bare.positions[first:],
        is_rest=bare.is_rest[:first] + (True,) * r + bare.is_rest[first:],
        rows=tuple(row + r if row >= first else row for row in bare.rows),
    )


def random_chatter(case: Case, encoder: Encoder, count: int, names: Names, rng: random.Random) -> tuple[int, ...]:
    """Exactly that many tokens of what other agents say, as untrusted text."""
    ids: list[int] = []
    while len(ids) < count:
        for message in random_messages(rng, names, case.words, TALK):
            text = f"{message.sender} : {message.text}"
            ids += encoder.block(Block(kind=BlockKind.MESSAGE, name="M1", text=text, trust=Trust.UNTRUSTED))
    return tuple(ids[:count])


def asked(one: Lesson, case: Case, encoder: Encoder) -> Lesson:
    """The same lesson with its decision alone asked, and compliance beside the best action."""
    kept = [index for index, sort in enumerate(one.sorts) if sort in ("act", "cite")]
    act = one.rows[one.sorts.index("act")]
    allowed = encoder.ids([case.words.actions[action] for action in case.allowed()])

    def of(values: Sequence[Value]) -> tuple[Value, ...]:
        return tuple(values[index] for index in kept)

    return replace(
        one,
        rows=(*of(one.rows), act),
        answers=(*of(one.answers), allowed),
        sorts=(*of(one.sorts), "comply"),
        weights=(*of(one.weights), 1.0),
    )
