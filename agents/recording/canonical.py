r"""One spelling for every value: canonical JSON, and the hash of it.

Keys sorted by code point, no blanks, ASCII with `\u` escapes, floats in their shortest decimal form (`repr` of an
IEEE 754 double), whole floats with `.0`, no NaN and no infinity. Equal values have equal bytes and equal hashes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pydantic import JsonValue

MAX_DEPTH = 64
"""Deepest nesting that has a canonical form; deeper data is refused before a parser's stack is at stake."""


class CanonicalError(ValueError):
    """A value without canonical form: NaN, infinity, a foreign type, nesting beyond `MAX_DEPTH`."""


def canonical(value: Mapping[str, JsonValue] | JsonValue) -> bytes:
    """The canonical JSON bytes of a value made of JSON types.

    Raises:
        CanonicalError: where the value has no canonical form.
    """
    try:
        if _depth(value) > MAX_DEPTH:
            raise CanonicalError(f"expected at most {MAX_DEPTH} levels of nesting, got more")
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CanonicalError(f"expected JSON values with a canonical form, got {_first_line(error)}") from error


def sha256_hex(data: bytes) -> str:
    """SHA-256 as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def canonical_sha256(value: Mapping[str, JsonValue] | JsonValue) -> str:
    """SHA-256 of the canonical bytes, in hex."""
    return sha256_hex(canonical(value))


def _depth(value: object) -> int:
    if isinstance(value, Mapping):
        return 1 + max((_depth(item) for item in value.values()), default=0)
    if isinstance(value, list | tuple):
        return 1 + max((_depth(item) for item in value), default=0)
    return 0


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
