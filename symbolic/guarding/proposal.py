"""Proposals and states as they come from outside, read strictly: every fault has its own message, nothing is coerced.

What is right is read by tables of values seen before; whatever is not found there is read by the fields themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from json.scanner import make_scanner
from typing import Any, Final, Generic, Never, TypeAlias, TypeVar, cast

from pydantic import ValidationError

from symbolic.domain import Action, Domain, State, action_of, codes_of, domain_of, is_wide
from symbolic.facts import Facts, written
from symbolic.field import MAX_TEXTS, DomainError, FieldSpec, show_value
from symbolic.reading.compiled import Codes
from symbolic.rules import RuleSet

MAX_PROPOSAL: Final = 4096
"""Characters of a proposal as text; a longer one is refused unread."""

MAX_STATE: Final = 1 << 20
"""Characters of a state as text."""

Proposal: TypeAlias = Action | Mapping[str, object] | str | bytes
"""An action, its fields by name, or JSON text of them."""

Given: TypeAlias = Facts | State | Mapping[str, object] | str | bytes
"""Facts, or one exact state: itself, its fields by name, or JSON text of them."""

S = TypeVar("S", bound=State)
A = TypeVar("A", bound=Action)


class Reader(Generic[S, A]):
    """Reads states and actions of one rule set."""

    def __init__(self, rules: RuleSet[S, A]) -> None:
        self.rules = rules
        self._state, self._action = rules.state, rules.action
        self.states, self._actions = _Codes(domain_of(rules.state)), _Codes(domain_of(rules.action))
        self.compiled, self.ruleset_sha256 = rules.compiled, rules.sha256
        self.is_quick = bool(rules.rules) and rules.assumption is None
        """Whether the compiled function alone decides exact facts: there are rules, and nothing is remembered."""
        listed = () if is_wide(rules.action) else rules.actions
        self.listed = {rules.codes_of(one): one for one in listed}
        """The actions of the list by their codes; none where they are too many to list."""

    def facts(self, given: Given) -> Facts:
        """What is perceived.

        Raises:
            DomainError: no state of the rule set's type.
        """
        if type(given) is Facts:
            return _within(given)
        if isinstance(given, State):
            return Facts.exact(given)
        text = given if isinstance(given, str | bytes) else None
        plain = decoded(text, MAX_STATE) if text is not None else given
        codes = self.states.quick(plain)
        if codes is not None:
            return Facts.from_codes(self._state, codes)
        try:
            if text is not None:
                return Facts.exact(self._state.model_validate_json(text))
            return Facts.exact(self._state.model_validate(plain))
        except ValidationError as error:
            raise DomainError(_complaint(self._state.__name__, error)) from None

    def action(self, given: Proposal) -> A:
        """What is proposed.

        Raises:
            DomainError: no action of the rule set's type.
        """
        if isinstance(given, Action):
            if type(given) is not self._action:
                wanted, got = self._action.__name__, type(given).__name__
                raise DomainError(f"expected an action of `{wanted}`, got one of `{got}`; propose what can be done")
            codes = codes_of(given)
        else:
            plain = decoded(given, MAX_PROPOSAL) if isinstance(given, str | bytes) else given
            codes = self._actions.quick(plain) or self._actions.exact(plain)
        listed = self.listed.get(codes)
        return action_of(self._action, codes) if listed is None else listed

    def quick(self, given: object) -> Codes | None:
        """Codes of an action that is plain JSON text; None of anything else, right or wrong."""
        if type(given) is not str or len(given) > MAX_PROPOSAL:
            return None
        try:
            plain, end = _scanned(given, 0)
        except (ValueError, StopIteration, RecursionError):
            return None
        return self._actions.quick(plain) if end == len(given) else None


def _within(facts: Facts) -> Facts:
    """The facts, if every code lies in its field: `Facts.from_codes` trusts its caller, this does not."""
    fields = domain_of(facts.schema).fields
    if len(facts.codes) != len(fields):
        raise DomainError(f"expected {len(fields)} facts, got {len(facts.codes)}; give UNKNOWN for what is not known")
    for field in fields:
        low, high = facts.span(field)
        if type(low) is not int or type(high) is not int or not field.low <= low <= high <= field.high:
            raise DomainError(f"expected a range inside `{field.name}`, got `{low}` to `{high}`; facts contradict")
    return facts


class _Codes:
    """Codes of values by name."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._tables = [(field.name, _Table(field)) for field in domain.fields]

    def quick(self, values: object) -> Codes | None:
        """Codes of a plain dict that is right, None of anything else."""
        if type(values) is not dict or len(values) != len(self._tables):
            return None
        try:
            return tuple([table[(value := values[name]).__class__, value] for name, table in self._tables])
        except (KeyError, TypeError, DomainError):
            return None

    def text(self, codes: Codes) -> str:
        """Canonical JSON of exact facts of age 0."""
        return written(self._domain, codes)

    def exact(self, values: object) -> Codes:
        """Codes of any mapping, or a `DomainError` that says what is wrong with it."""
        domain = self._domain
        if not isinstance(values, Mapping):
            raise DomainError(
                f"expected the fields of `{domain.name}` by name, got {show_value(values)}; give them all"
            )
        for name in values:
            domain.field(str(name))
        missing = [field.name for field in domain.fields if field.name not in values]
        if missing:
            raise DomainError(f"expected a value for `{missing[0]}`, got none; give every field of `{domain.name}`")
        return domain.codes(values)


class _Table(dict[tuple[type, object], int]):
    """Codes of the values of a field that were seen before. The type counts too: True is not 1."""

    def __init__(self, field: FieldSpec) -> None:
        super().__init__()
        self._field = field

    def __missing__(self, key: tuple[type, object]) -> int:
        code = self._field.encode(key[1])
        if len(self) < MAX_TEXTS:
            self[key] = code
        return code


def decoded(text: str | bytes, most: int) -> object:
    """JSON text as plain values: no repeated keys, no NaN or infinities, no more than `most` characters.

    Raises:
        DomainError: anything else.
    """
    if len(text) > most:
        raise DomainError(f"expected at most {most} characters, got {len(text)}; send the fields alone")
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError) as error:
        raise DomainError(
            f"expected JSON, got {show_value(text)}; send one object of fields ({_short(error)})"
        ) from None


def _short(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error).partition(":")[0].lower()


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key is repeated")
    return record


def _refused(constant: str) -> Never:
    raise ValueError(f"{constant} is no number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_refused)
_scanned: Final[Callable[[str, int], tuple[object, int]]] = make_scanner(cast(Any, _DECODER))
"""The value that begins at a place, and the place behind it: `decode` without its search for blanks."""


def _complaint(name: str, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or name
    said = first["msg"].removeprefix("Value error, ").partition("\n")[0]
    said = said[:1].lower() + said[1:]
    return f"expected a state of `{name}`, got {show_value(first['input'])} at `{place}`; {said}"


def text_of(given: object) -> str:
    """A proposal that is no action, as short text for records and feedback."""
    text = given.decode(errors="replace") if isinstance(given, bytes) else given
    return text if isinstance(text, str) else repr(text)
