"""Which words name each rule of a scenario to a given model, and how well.

Designed on one split of states, measured on another; what naming the rules otherwise does is in `naming.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from agents.deciding.lexicon import lexicon
from localist_core import SharedCore
from localist_core.proving.anchors import Design, Terms, confusion_bits, design
from localist_core.proving.theory import temperatures_for
from scenarios.asked import Split
from scenarios.naming import NamingArm, drawn, naming_arms
from scenarios.scenario import Role
from scenarios.statistics import Bounds, bootstrap_difference
from scenarios.wording import Head, Row, named_of, pointer_of, word_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleAnchor:
    """The anchor of one rule, and what it is worth on the split for reporting."""

    rule: str
    words: tuple[str, ...]
    specific_bits: float
    rows: int
    """Forbidden options that were read."""
    margin: float | None
    """Median, in nats; None without rows."""
    temperature: float | None
    """Highest temperature of attention at which that margin assures the wanted leak; None = at none."""
    fidelity: float | None
    """Mean fidelity of the words."""
    right: float | None
    """Share of rows in which the head rests most on this rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordArm:
    """One choice of words for all rules, on unchanged prompts of the split for reporting."""

    name: str
    fidelity: float
    """Mean over rows."""
    against: Bounds
    """95 % interval of its difference to the designed words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchoring:
    """What was found for one role."""

    role: str
    head: Head
    terms: Terms
    found: Design
    """In the order of `rules`."""
    rules: tuple[RuleAnchor, ...]
    reader_bits: float
    """I(rule read; rule that forbids) of the head, from its confusions."""
    block_bits: float
    """H(rule) over the same rows: what a perfect reader would have."""
    words: tuple[WordArm, ...]
    namings: tuple[NamingArm, ...]


def anchoring(
    core: SharedCore,
    name: str,
    role: Role,
    *,
    choosing: Split,
    reporting: Split,
    terms: Terms,
    leak: float,
    watch: Callable[[str], None] = lambda what: None,
) -> Anchoring:
    """Design the anchors of a role's rules and measure them.

    Args:
        core: whose attention is read.
        name: of the role.
        role: whose rules.
        choosing: states to design by.
        reporting: other states to measure on.
        terms: noise, exchange rate, least margin, number of words.
        leak: wanted leak in (0, 1), for the temperatures.
        watch: hears what is done next.

    Raises:
        CoreError: of any prompt; `WordsError` where the tokenizer joins words.
        AnchorError: no rule forbids any option alone in any state.
    """
    watch("which head")
    head = pointer_of(core, choosing)
    watch("words, to design by")
    by_rule = _by_rule(word_rows(core, choosing, head))
    slots = [slot for slot in lexicon(role.rules).rules if slot in by_rule]
    designed = design([named_of(by_rule[slot]) for slot in slots], terms)
    anchors = dict(zip(slots, designed.anchors, strict=True))
    watch("words, to report on")
    rows = [row for row in word_rows(core, reporting, head) if row.rule in anchors]
    return Anchoring(
        role=name,
        head=head,
        terms=terms,
        found=designed,
        rules=tuple(
            _anchor_of(slot, anchors[slot], bits, [row for row in rows if row.rule == slot], leak)
            for slot, bits in zip(slots, designed.specific_bits, strict=True)
        ),
        reader_bits=_confusion(rows, slots),
        block_bits=_confusion([replace(row, read=row.rule) for row in rows], slots),
        words=_word_arms(rows, anchors),
        namings=naming_arms(core, reporting, head, anchors, watch),
    )


def _by_rule(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.rule, []).append(row)
    return found


def _confusion(rows: Sequence[Row], slots: Sequence[str]) -> float:
    reads = sorted({row.read for row in rows})
    return confusion_bits([[sum(r.rule == slot and r.read == read for r in rows) for read in reads] for slot in slots])


def _anchor_of(slot: str, words: tuple[str, ...], bits: float, rows: Sequence[Row], leak: float) -> RuleAnchor:
    if not rows:
        return RuleAnchor(
            rule=slot, words=words, specific_bits=bits, rows=0, margin=None, temperature=None, fidelity=None, right=None
        )
    margin = median(row.margin(words) for row in rows)
    outside = round(median(row.num_outside for row in rows))
    possible = temperatures_for(leak, margin, n_S=len(words), r=outside) if math.isfinite(margin) else None
    return RuleAnchor(
        rule=slot,
        words=words,
        specific_bits=bits,
        rows=len(rows),
        margin=margin,
        temperature=None if possible is None else possible.high,
        fidelity=sum(row.fidelity(words) for row in rows) / len(rows),
        right=sum(row.read == slot for row in rows) / len(rows),
    )


def _word_arms(rows: Sequence[Row], anchors: Mapping[str, tuple[str, ...]]) -> tuple[WordArm, ...]:
    def first(row: Row) -> tuple[str, ...]:
        return tuple(row.words)[: len(anchors[row.rule])]

    choices: dict[str, Callable[[Row], Sequence[str]]] = {
        "designed": lambda row: anchors[row.rule],
        "name as it is": lambda row: (row.rule,),
        "first words, as many": first,
        "random words, as many": lambda row: drawn(" ".join(row.words), len(anchors[row.rule]), 0),
        "all words": lambda row: tuple(row.words),
    }
    values = {name: [row.fidelity(choice(row)) for row in rows] for name, choice in choices.items()}
    return tuple(
        WordArm(
            name=name,
            fidelity=sum(own) / len(own),
            against=bootstrap_difference(own, values["designed"], seed=0, draws=2000),
        )
        for name, own in values.items()
    )
