"""The answer of `localist anchors`: the words of each rule, what they are worth, and other ways of naming."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.text import Text

from localist_core import Capabilities
from localist_core.proving.anchors import Step
from scenarios.anchoring import Anchoring, RuleAnchor
from scenarios.report.trials import compact


def anchors_json(scenario: str, core: Capabilities, roles: Sequence[Anchoring]) -> dict[str, JsonValue]:
    """The figures as data; a number that is not finite is null."""
    found: dict[str, JsonValue] = {
        "format": "localist-anchors",
        "schema_version": 1,
        "scenario": scenario,
        "core": {"name": core.name, "device": core.device, "dtype": core.dtype, "fingerprint": core.fingerprint},
        "roles": [_plain(asdict(role)) for role in roles],
    }
    return found


def anchors_report(scenario: str, core: Capabilities, roles: Sequence[Anchoring]) -> RenderableType:
    """The figures for people."""
    return Group(Text(f"{scenario}, read by {core.name}", "bold"), *(part for role in roles for part in _role(role)))


def _role(role: Anchoring) -> Iterator[RenderableType]:
    noise, layer, head = role.terms.noise, *role.head
    yield Text(
        f"role {role.role}, head {layer}.{head}; noise: a word is lost with {noise.drop:g}, read as another of "
        f"{noise.vocabulary} with {noise.swap:g}; exchange rate: {role.terms.bits_per_fidelity:g} bits of entropy "
        "for 1 of fidelity"
    )
    table = compact(
        "rule", "anchor", "I, bits", "n", "margin, nats", "tau", "fidelity", "read right %", title="anchors"
    )
    for rule in role.rules:
        table.add_row(*_cells(rule))
    yield table
    yield Text(
        f"I(anchor; rule) = {role.found.information_bits:.3f} of {math.log2(len(role.rules)):.3f} bits under noise; "
        f"the head's own readings: {role.reader_bits:.3f} of {role.block_bits:.3f} bits"
    )
    steps = compact("rule", "word: bits, fidelity, entropy; refused in brackets", title="marginal gains")
    for rule, taken in zip(role.rules, role.found.steps, strict=True):
        steps.add_row(rule.rule, "  ".join(map(_step, taken)))
    yield steps
    words = compact("words", "fidelity", "difference (95 %)", title="where attention rests, prompts unchanged")
    for word in role.words:
        words.add_row(word.name, f"{word.fidelity:.3f}", f"{word.against.low:+.3f} to {word.against.high:+.3f}")
    yield words
    title = "rules named in another way, dial 0"
    namings = compact("named", "raw fidelity", "difference (95 %)", "all heads", "read right %", "best", title=title)
    for arm in role.namings:
        namings.add_row(
            arm.naming.value,
            f"{arm.fidelity:.3f}",
            f"{arm.against.low:+.3f} to {arm.against.high:+.3f}",
            f"{arm.all_heads:.3f}",
            f"{100 * arm.right:.1f}",
            f"{arm.best} of {arm.states}",
        )
    yield namings


def _cells(rule: RuleAnchor) -> tuple[str, ...]:
    return (
        rule.rule,
        " ".join(rule.words),
        f"{rule.specific_bits:.2f}",
        str(rule.rows),
        _number(rule.margin, "+.2f"),
        _number(rule.temperature, ".2f"),
        _number(rule.fidelity, ".3f"),
        "-" if rule.right is None else f"{100 * rule.right:.1f}",
    )


def _step(step: Step) -> str:
    told = f"{step.word}: {step.information_bits:+.2f}, {step.fidelity:+.3f}, {step.entropy_bits:+.2f}"
    return told if step.is_taken else f"[{told}]"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, form)


def _plain(value: object) -> JsonValue:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value if isinstance(value, int | str) or value is None else str(value)
