"""How claims enter facts: the only door. A message that is too old, unsigned or from another role is none.

facts = admit(perceived(Car, gap_m=12.5), {"other_intent": Heard(...)}).facts
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from symbolic.claiming.claim import Claimed
from symbolic.domain import State, domain_of
from symbolic.facts import Facts
from symbolic.field import UNKNOWN, Code, DomainError, FieldSpec, Known, Value, is_finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One value that a message carried."""

    sender: str
    role: str
    """Role of the sender, as the receiver knows it: never taken from the message."""
    value: Value
    age_s: float
    """Seconds since it was said, 0 or more."""
    is_signed: bool
    """Whether a signature of the sender was verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A message that does not count."""

    field: str
    sender: str
    reason: str
    """One line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Facts with what was heard, and what was refused."""

    facts: Facts
    taken: tuple[str, ...]
    """Names of the fields that a message was taken for."""
    refused: tuple[Refusal, ...]


def perceived(schema: type[State], /, **known: Known) -> Facts:
    """Facts before any message: every claim as it is in silence.

    Args:
        schema: the state type.
        known: what is perceived of every field that is no claim.

    Raises:
        DomainError: a claim among what is perceived, or what `Facts.of` refuses.
    """
    domain = domain_of(schema)
    for name in known:
        if domain.field(name).claim is not None:
            raise DomainError(f"expected perceived fields alone, got the claim `{name}`; let it in by `admit`")
    return Facts.of(schema, **known, **{one.name: _silence(one) for one in domain.fields if one.claim is not None})


def admit(facts: Facts, heard: Mapping[str, Heard]) -> Admitted:
    """The facts with each claim as heard; what may not count, or is no value of its field, leaves it as in silence.

    Raises:
        DomainError: a field that is no claim of this state type.
    """
    domain = domain_of(facts.schema)
    codes: list[Code] = list(facts.codes)
    for field in domain.fields:
        if field.claim is not None:
            codes[field.index] = field.claim.silent
    taken, refused = [], []
    for name, one in sorted(heard.items()):
        field = domain.field(name)
        if field.claim is None:
            raise DomainError(
                f"expected a claim of `{domain.name}`, got the perceived field `{name}`; correct the name"
            )
        reason = _objection(field, field.claim, one)
        if reason:
            refused.append(Refusal(field=name, sender=one.sender, reason=reason))
        else:
            taken.append(name)
            codes[field.index] = field.encode(one.value)
    admitted = Facts.from_codes(facts.schema, tuple(codes), facts.age_s)
    return Admitted(facts=admitted, taken=tuple(taken), refused=tuple(refused))


def _silence(field: FieldSpec) -> Known:
    code = None if field.claim is None else field.claim.silent
    return UNKNOWN if code is None else field.decode(code)


def _objection(field: FieldSpec, claim: Claimed, heard: Heard) -> str:
    """Why a message does not count; empty if it does."""
    if heard.role != claim.by:
        return f"expected `{field.name}` from a `{claim.by}`, got it from a `{heard.role}`"
    if not (is_finite(heard.age_s) and heard.age_s >= 0):
        return f"expected an age of 0 s or more, got `{heard.age_s}`"
    if claim.max_age_s is not None and heard.age_s > claim.max_age_s:
        return f"expected an age of at most {claim.max_age_s} s, got {heard.age_s} s"
    if claim.is_signed and heard.is_signed is not True:
        return "expected a valid signature, got none"
    try:
        field.encode(heard.value)
    except DomainError as error:
        return str(error)
    return ""
