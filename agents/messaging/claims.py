"""Typed claims: what an agent may say to another so that a rule can read it.

A claim is numbers, booleans and enumerated words under declared names, never free text: a field of type `str` must be
one of the words that its declaration lists. `checked` is the gate: nothing enters an agent's facts but through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from agents.messaging.errors import ClaimError
from symbolic import Heard

AgentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""An enumerated value: one short word, so that no sentence passes for one."""
ClaimValue = bool | int | float | Word
MAX_FIELDS = 32


class Claim(BaseModel):
    """What one agent claims in one tick: its intent, or that it has right of way."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    kind: FieldName
    """What is claimed, such as `intent` or `right_of_way`."""
    sender: AgentName
    fields: Annotated[dict[FieldName, ClaimValue], Field(max_length=MAX_FIELDS)]
    """Declared claim field -> value."""
    tick: Annotated[int, Field(ge=0)]
    """Tick in which it was made; the receiver knows it from the next tick on."""

    @classmethod
    def from_body(cls, body: Mapping[str, JsonValue]) -> Self:
        """The claim in an envelope's body.

        Raises:
            ClaimError: the body is no claim.
        """
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise ClaimError(f"expected a claim of typed fields, got {first_complaint(error)}") from error

    def to_body(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimField:
    """Declaration of one claim field: the most that a receiver is ready to believe about it."""

    kind: str
    """Kind of the claims that may carry the field."""
    type: Literal["bool", "int", "float", "str"]
    low: float = 0.0
    """Lowest number allowed."""
    high: float = 0.0
    """Highest number allowed."""
    words: tuple[str, ...] = ()
    """All words allowed, for `str`."""

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ClaimError(f"expected low <= high in a claim field of `{self.kind}`, got {self.low} and {self.high}")
        if bool(self.words) != (self.type == "str"):
            raise ClaimError(f"expected words for a claim field of type `str` and no other, got `{self.type}`")

    def admits(self, value: bool | int | float | str) -> bool:
        """Whether a value is of the declared type and within bounds; a bool is no number, an int may be a float."""
        match self.type:
            case "bool":
                return isinstance(value, bool)
            case "str":
                return isinstance(value, str) and value in self.words
            case "int":
                return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high
            case "float":
                is_number = isinstance(value, int | float) and not isinstance(value, bool)
                return is_number and self.low <= float(value) <= self.high


def checked(claim: Claim, declared: Mapping[str, ClaimField]) -> Claim:
    """The same claim, if every field is declared for its kind and within bounds.

    Args:
        claim: what was said.
        declared: claim field -> declaration, as the receiving agent's world gives it.

    Raises:
        ClaimError: naming the first field that is not; the claim is then refused as a whole.
    """
    for name, value in sorted(claim.fields.items()):
        field = declared.get(name)
        if field is None or field.kind != claim.kind:
            raise ClaimError(f"expected declared fields in a claim of `{claim.kind}`, got `{name}`")
        if not field.admits(value):
            raise ClaimError(f"expected `{name}` within its declaration, got `{value}` from `{claim.sender}`")
    return claim


def heard_of(
    claim: Claim | None, names: Mapping[str, str], *, role: str, age_s: float, is_signed: bool = False
) -> dict[str, Heard]:
    """What a claim says of the fields of a state, ready for `symbolic.admit`; nothing where there is no claim.

    Args:
        claim: as `checked` passed it.
        names: field of the state -> field of the claim.
        role: of the sender, as the receiver knows it.
        age_s: seconds since it was made.
        is_signed: whether the sender's signature was verified.
    """
    if claim is None:
        return {}
    return {
        field: Heard(sender=claim.sender, role=role, value=claim.fields[name], age_s=age_s, is_signed=is_signed)
        for field, name in names.items()
        if name in claim.fields
    }


def first_complaint(error: ValidationError) -> str:
    """The first complaint of a failed validation in one line, without the input."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"`{place}`: {first['msg'].lower()}"
