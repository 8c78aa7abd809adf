"""The conditions of non-interference, and which of them a prompt and its dial break (framework, section 3).

At dial 1 the decision's logits depend neither on the content nor on the length of untrusted blocks if all eight hold.
What can be read from the prompt is judged here; what can only be seen by trying a model stands in `trials.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from localist_core.blocks import DECISION_KINDS, NEUTRAL_KINDS, Block, BlockKind, Prompt, Trust
from localist_core.core import Request
from localist_core.dial import Dial
from localist_core.prompting.encoding import Encoding


class Condition(StrEnum):
    """What must hold, by the letter that the framework gives it; `MEANINGS` says what."""

    CAUSAL = "a"
    STEERED = "b"
    CUT = "c"
    PLACES = "d"
    POSITIONS = "e"
    WINDOWS = "f"
    SOURCES = "g"
    ATTEMPTS = "h"


MEANINGS: Final = {
    Condition.CAUSAL: "causal masks in all layers, no other mixing of tokens or rows",
    Condition.STEERED: "every row from the first untrusted token on is untrusted or steered",
    Condition.CUT: "the rest is cut in all layers and heads: dial 1, no depth exponent, no head mask",
    Condition.PLACES: "targets and neutral tokens stand before the first untrusted token, or are steered rows",
    Condition.POSITIONS: "positions, and what is made of them, do not depend on the length of untrusted text",
    Condition.WINDOWS: "windows are cut by trusted position, not by index",
    Condition.SOURCES: "targets, dial, rules, options and memory do not come from untrusted text",
    Condition.ATTEMPTS: "earlier attempts that the prompt tells of were made at dial 1",
}
"""One line for each condition."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition that does not hold, and how one knows."""

    condition: Condition
    reason: str
    """One lower-case line."""


Ask = Callable[[tuple[str, ...]], Request]
"""The request as it would be with these untrusted texts in its prompt; () = none. Made anew for each call."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything of a request but its untrusted texts."""

    ask: Ask
    earlier: tuple[Dial, ...] = ()
    """Dials of the earlier attempts of which the prompt tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A request as a model would read it whole, with nothing cut."""

    request: Request
    prompt: Prompt
    """Arranged for the model."""
    encoding: Encoding


def of_dial(dial: Dial) -> list[Finding]:
    """Which part of condition (c) a dial breaks."""
    reasons = []
    if dial.value < 1.0:
        reasons.append(f"the dial is {dial.value:g}, not 1: the rest keeps some weight")
    if dial.gamma > 0.0:
        reasons.append(f"the depth exponent is {dial.gamma:g}, not 0: lower layers are cut less")
    if dial.heads is not None:
        reasons.append(f"a head mask leaves all but {len(dial.heads)} heads as they are")
    return [Finding(Condition.CUT, reason) for reason in reasons]


def of_reading(reading: Reading) -> list[Finding]:
    """Which of the conditions (b), (d), (g) one prompt breaks by itself."""
    prompt, encoding, targets = reading.prompt, reading.encoding, reading.request.dial.targets
    kinds = [prompt.blocks[block] for block in encoding.block_ids]
    first = next((n for n, block in enumerate(kinds) if _is_untrusted(block)), len(kinds))
    behind = dict.fromkeys(
        block for n, block in enumerate(kinds) if first <= n < encoding.decision_from and not _is_untrusted(block)
    )
    found = [
        Finding(Condition.STEERED, f"trusted block `{block.name}` stands behind an untrusted one and is not steered")
        for block in behind
    ]
    for block in prompt.blocks:
        if block.trust is Trust.UNTRUSTED and block.name in targets:
            found.append(Finding(Condition.PLACES, f"target `{block.name}` is untrusted"))
        elif _is_untrusted(block) and block.kind in NEUTRAL_KINDS:
            found.append(Finding(Condition.PLACES, f"neutral block `{block.name}` is untrusted"))
        elif block.trust is Trust.UNTRUSTED and block.kind in DECISION_KINDS:
            found.append(Finding(Condition.SOURCES, f"block `{block.name}` of the decision itself is untrusted"))
    found += [
        Finding(Condition.PLACES, f"`{block.name}`, which is seen, stands behind an untrusted block")
        for block in behind
        if block.name in targets or block.kind in NEUTRAL_KINDS
    ]
    return found


def of_attempts(request: Request, earlier: Sequence[Dial]) -> list[Finding]:
    """Whether what a prompt tells of earlier attempts breaks condition (h)."""
    loose = [dial for dial in earlier if not dial.is_whole_cut]
    if loose:
        return [Finding(Condition.ATTEMPTS, f"an earlier attempt was made at dial {loose[0].value:g}, not cut off")]
    telling = [b for b in request.prompt.blocks if b.kind in (BlockKind.INJECTION, BlockKind.MEMORY)]
    told = next((block for block in telling if block.trust is Trust.TRUSTED), None)
    if told is None or earlier:
        return []
    return [Finding(Condition.ATTEMPTS, f"`{told.name}` tells of an earlier attempt whose dial is not known")]


def of_change(bare: Reading, told: Reading) -> list[Finding]:
    """Which of the conditions (e), (g), (h) break between a prompt without and one with some untrusted texts."""
    found = []
    before, after = bare.request, told.request
    if before.dial != after.dial:
        what = "targets" if before.dial.targets != after.dial.targets else "dial"
        found.append(Finding(Condition.SOURCES, f"untrusted text changes the {what}"))
    if before.actions != after.actions:
        found.append(Finding(Condition.SOURCES, "untrusted text changes the actions"))
    for name in dict.fromkeys((*_trusted(bare), *_trusted(told))):
        one, other = _trusted(bare).get(name), _trusted(told).get(name)
        if one == other:
            continue
        kind = (one or other or ("", ()))[0]
        is_told = kind in (BlockKind.INJECTION, BlockKind.MEMORY)
        condition = Condition.ATTEMPTS if is_told else Condition.SOURCES
        found.append(Finding(condition, f"untrusted text changes the trusted block `{name}`"))
    if not found and _placed(bare) != _placed(told):
        found.append(Finding(Condition.POSITIONS, "positions of trusted tokens count untrusted ones"))
    return found


def _is_untrusted(block: Block) -> bool:
    """Whether its tokens are untrusted and no decision rows: those are steered whatever they say."""
    return block.trust is Trust.UNTRUSTED and block.kind not in DECISION_KINDS


def _trusted(reading: Reading) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Kind and tokens of every block that an untrusted text must not change."""
    blocks, encoding = reading.prompt.blocks, reading.encoding
    ids: dict[int, list[int]] = {index: [] for index in range(len(blocks))}
    for token, block in zip(encoding.ids, encoding.block_ids, strict=True):
        ids[block].append(token)
    return {b.name: (b.kind, tuple(ids[n])) for n, b in enumerate(blocks) if not _is_untrusted(b)}


def _placed(reading: Reading) -> list[int]:
    """Positions of all tokens that are not untrusted."""
    pairs = zip(reading.encoding.block_ids, reading.encoding.positions, strict=True)
    return [position for block, position in pairs if not _is_untrusted(reading.prompt.blocks[block])]
