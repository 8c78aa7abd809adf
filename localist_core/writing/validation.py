"""The last word on a finished text: is it a value of the schema? Shapes first, pydantic last; no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel, JsonValue, ValidationError

from localist_core.errors import TextError
from localist_core.writing.schema import Schema
from localist_core.writing.shapes import accepts, parsed


def value_of(text: bytes, schema: Schema, source: type[BaseModel] | Mapping[str, JsonValue]) -> BaseModel | JsonValue:
    """The value that a text is.

    Args:
        text: JSON.
        schema: as read from `source`.
        source: a pydantic model class, whose validators have the last word, or a JSON Schema.

    Raises:
        TextError: it is none.
    """
    try:
        letters = text.decode()  # `json` alone would let halves of surrogate pairs pass
        is_value = accepts(schema.root, parsed(letters), schema.definitions)
    except (ValueError, RecursionError) as error:
        raise TextError(f"expected a JSON text, got one that cannot be read ({error})") from error
    if not is_value:
        raise TextError("expected a text that the schema allows, got another; the grammar is at fault")
    if not isinstance(source, type):
        return cast(JsonValue, json.loads(letters))
    try:
        return source.model_validate_json(letters)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise TextError(
            f"expected a value of `{source.__name__}`, got one that it refuses at `{place}`: {first['msg']}"
        ) from error
    except Exception as error:  # a validator is the user's own code: anything may come out of it
        raise TextError(
            f"expected a value of `{source.__name__}`, got {type(error).__name__} in its validator"
        ) from error
