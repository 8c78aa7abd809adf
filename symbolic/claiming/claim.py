"""What makes a field a claim: whose messages carry it, what it is without one, and which messages count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from pydantic import Field
from pydantic.fields import FieldInfo

KEY: Final = "claim"
"""Where a field's declaration says that it is a claim."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A field is not perceived but told by others."""

    by: str
    """Role of the agents whose messages carry it."""
    silent: int | None
    """Its code without a message; None: unknown."""
    max_age_s: float | None
    """A message older than so many seconds is none; None: of any age."""
    is_signed: bool
    """Whether a message without a valid signature is none."""

    def record(self) -> list[object]:
        """The declaration as a plain list, for canonical JSON."""
        return ["claimed", self.by, self.silent, self.max_age_s, self.is_signed]


def claimed(
    of: V | None = None,
    *,
    by: str,
    silent: V | None = None,
    max_age_s: float | None = None,
    is_signed: bool = False,
) -> V:
    """Declare that a field holds what others say, not what is perceived.

    Args:
        of: the bounds of a number: `fixed(...)` or `whole(...)`.
        by: role of the agents whose messages carry it.
        silent: its value without a message; unknown if None.
        max_age_s: a message older than so many seconds counts as none.
        is_signed: whether a message without a valid signature counts as none.
    """
    told: Any = {"by": by, "silent": silent, "max_age_s": max_age_s, "is_signed": is_signed}
    if isinstance(of, FieldInfo) and isinstance(of.json_schema_extra, dict):
        of.json_schema_extra[KEY] = told  # in place: pydantic reads what the field was made with
        return of
    return cast(V, Field(json_schema_extra={KEY: told}))
