"""Answers kept by content: a question is asked again only if something that its answer depends on has changed.

The key of a question is a hash of its conditions and of the fields that they read, so nothing is ever out of date: an
answer to another question has another key. A kept point is replayed before it is believed; a kept "no" says how it was
confirmed. As a file: JSON, format `localist-answers` version 1, with a hash over the answers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, TypeAlias

from symbolic.expression import Owner
from symbolic.solving.question import Point, Question

FORMAT: Final = "localist-answers"
VERSION: Final = 1


class AnswersError(ValueError):
    """A text that holds no answers: one line, with what is wrong."""


class Denial(StrEnum):
    """How it was confirmed that there is no point."""

    ENUMERATED = "enumerated"
    """Every point was tried."""
    SAMPLED = "sampled"
    """The solver says so, and none of many drawn points is one."""
    PROVED = "proved"
    """The solver says so; its numbers are too large to try points."""


Kept: TypeAlias = "tuple[int, ...] | Denial"
"""Codes of the fields that a question reads, in its order, or that there are none."""


@dataclass(slots=True)
class Answers:
    """What is known, and what was needed since it was read."""

    known: dict[str, Kept]
    used: dict[str, Kept]

    @classmethod
    def empty(cls) -> Answers:
        """Nothing known."""
        return cls({}, {})

    def get(self, question: Question, key: str) -> Point | Denial | None:
        """What is known of a question; a point that does not fit its fields is None."""
        kept = self.known.get(key)
        if kept is None or isinstance(kept, Denial):
            return kept
        spans = [question.span(read) for read in question.fields]
        if len(kept) != len(spans) or not all(
            low <= code <= high for code, (low, high) in zip(kept, spans, strict=False)
        ):
            return None
        return question.point(kept)

    def put(self, question: Question, key: str, answer: Point | Denial) -> None:
        """Keep an answer."""
        if isinstance(answer, Point):
            kept: Kept = tuple(
                (answer.state if read.owner is Owner.STATE else answer.action)[read.field.index]
                for read in question.fields
            )
        else:
            kept = answer
        self.known[key] = self.used[key] = kept

    def to_json(self) -> str:
        """The answers that were needed, as text of a file."""
        plain = {key: kept.value if isinstance(kept, Denial) else list(kept) for key, kept in sorted(self.used.items())}
        record = {"answers": plain, "format": FORMAT, "schema_version": VERSION, "sha256": _digest(plain)}
        return json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Answers:
        """Read `to_json` text back.

        Raises:
            AnswersError: another text, another version, or answers that were changed.
        """
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            raise AnswersError("expected kept answers as JSON, got other text") from None
        if not isinstance(record, dict) or (record.get("format"), record.get("schema_version")) != (FORMAT, VERSION):
            raise AnswersError(f"expected format {FORMAT} version {VERSION}, got another")
        plain = record.get("answers")
        if not isinstance(plain, dict) or record.get("sha256") != _digest(plain):
            raise AnswersError("expected answers that fit their hash, got others")
        return cls({key: _kept(value) for key, value in plain.items()}, {})


def _kept(value: object) -> Kept:
    if isinstance(value, list) and all(type(code) is int for code in value):
        return tuple(value)
    try:
        return Denial(str(value))
    except ValueError:
        raise AnswersError(f"expected codes or how a `no` was confirmed, got `{value!r:.40}`") from None


def _digest(plain: dict[str, Any]) -> str:
    return sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
