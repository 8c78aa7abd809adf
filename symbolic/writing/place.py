"""A place in a text: what errors name, and the words that stand there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn, cast

import lark

from symbolic.declaration import RuleError


@dataclass(frozen=True, slots=True)
class Place:
    """A text by the name that errors call it."""

    name: str

    def fail(self, at: lark.Tree[Any] | lark.Token, message: str) -> NoReturn:
        """Refuse what stands at a line and column."""
        where = at if isinstance(at, lark.Token) else at.meta
        raise RuleError(f"{self.name}:{where.line}:{where.column}: {message}")


def token_of(tree: lark.Tree[Any]) -> lark.Token:
    """The one token of a name or value."""
    return cast(lark.Token, tree.children[0])


def word_of(tree: lark.Tree[Any]) -> str:
    """The word of a value, quotes taken off."""
    token = token_of(tree)
    return unquoted(token) if token.type == "TEXT" else str(token)


def unquoted(token: str) -> str:
    """The text between quotes."""
    return token[1:-1].replace('\\"', '"').replace("\\\\", "\\")
