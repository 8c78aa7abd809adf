"""Facts: what one agent perceives, each field exact, an interval or unknown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from symbolic.domain import Domain, State, domain_of
from symbolic.field import (
    UNKNOWN,
    Code,
    DomainError,
    FieldSpec,
    Interval,
    Kind,
    Known,
    Unknown,
    Value,
    is_finite,
    show_value,
)


@dataclass(frozen=True, slots=True, init=False)
class Facts:
    """What one agent perceives: for each field of a state type an exact value, an interval or `UNKNOWN`.

    Build with `exact`, `of` or `from_json`, which validate; `from_codes` trusts its caller.
    """

    schema: type[State]
    codes: tuple[Code, ...]
    """Per field: the code, the lowest and highest code, or None for unknown."""
    age_s: float
    """Age of the observation in seconds, >= 0."""
    is_exact: bool
    """True when every field has one value."""

    def __init__(self, schema: type[State], codes: tuple[Code, ...], age_s: float = 0.0) -> None:
        """Trusts `codes`; see `from_codes`."""
        put = object.__setattr__
        put(self, "schema", schema)
        put(self, "codes", codes)
        put(self, "age_s", age_s)
        put(self, "is_exact", _are_exact(codes))

    @classmethod
    def from_codes(cls, schema: type[State], codes: tuple[Code, ...], age_s: float = 0.0) -> Facts:
        """Facts of already validated codes: the fast path of worlds and generators; the check guards the ranges."""
        return cls(schema, codes, age_s)

    @classmethod
    def exact(cls, state: State, age_s: float = 0.0) -> Facts:
        """Facts of a state; what is None there, in an optional field, is unknown."""
        return cls(type(state), state.__domain__.known_codes(state.__dict__), _demand_age(age_s))

    @classmethod
    def of(cls, schema: type[State], /, **fields: Known | Sequence[Neighbour]) -> Facts:
        """Facts by field name; every field must be given, if only as `UNKNOWN`.

        Neighbours are a list: each a state, facts, values by name, or `UNKNOWN` where there may be one more of whom
        nothing is known. `UNKNOWN` in place of the list: there may be any number of them.
        """
        domain = domain_of(schema)
        for name in fields:
            if name not in domain.neighbours:
                domain.field(name)
        if domain.is_plain:
            return cls._of_all(schema, fields)
        facts = cls._of_all(schema, domain.spread({name: _bare(one) for name, one in fields.items()}))
        _demand_agreement(domain, facts.codes)
        return facts

    @classmethod
    def _of_all(cls, schema: type[State], flat: Mapping[str, object]) -> Facts:
        """Facts by the names of all fields, each validated on its own."""
        domain = domain_of(schema)
        missing = [name for name in domain.by_name if name not in flat]
        if missing:
            firsts = {many.slots[0].present.name: name for name, many in domain.neighbours.items()}
            name = firsts.get(missing[0], missing[0])
            raise DomainError(f"expected a fact for `{name}`, got none; give UNKNOWN for what is not known")
        return cls(schema, tuple(_encode_known(field, cast(Known, flat[field.name])) for field in domain.fields))

    def aged(self, age_s: float) -> Facts:
        """The same facts with another age in seconds."""
        return Facts(self.schema, self.codes, _demand_age(age_s))

    def value(self, name: str) -> Known:
        """What is known of one field."""
        field = domain_of(self.schema).field(name)
        return _decode_known(field, self.codes[field.index])

    def items(self) -> Iterator[tuple[str, Known]]:
        """Name and knowledge of every field, in declaration order."""
        for field, code in zip(domain_of(self.schema).fields, self.codes, strict=True):
            yield field.name, _decode_known(field, code)

    def span(self, field: FieldSpec) -> tuple[int, int]:
        """Lowest and highest code that the facts allow for a field."""
        code = self.codes[field.index]
        if code is None:
            return field.low, field.high
        return (code, code) if isinstance(code, int) else code

    def is_absent(self, field: FieldSpec) -> bool:
        """Whether it is a field of a neighbour who is not there."""
        return field.present not in (None, field.index) and self.codes[field.present] == 0

    def show(self, field: FieldSpec) -> str:
        """Text of what is known of a field: `12.5`, `3 to 4`, `red`, `unknown`, `absent`."""
        code = self.codes[field.index]
        if self.is_absent(field):
            return ABSENT
        if code is None:
            return "unknown"
        return field.show(code) if isinstance(code, int) else f"{field.show(code[0])} to {field.show(code[1])}"

    def state(self) -> State:
        """The one state that the facts describe, None where an optional field is unknown; otherwise a `DomainError`."""
        domain = domain_of(self.schema)
        for field, code in zip(domain.fields, self.codes, strict=True):
            if not (isinstance(code, int) or (code is None and field.known is not None)):
                raise DomainError(
                    "expected exact facts, got an interval or unknown field; ask for single values instead"
                )
        flat = dict(self.items())
        return self.schema.model_validate(flat if domain.is_plain else domain.gathered(flat))

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, intervals as pairs, unknown as null."""
        return written(self.schema.__domain__, self.codes, repr(_demand_age(self.age_s)))

    @classmethod
    def from_json(cls, text: str, schema: type[State]) -> Facts:
        """Read `to_json` text back, validating every value; anything else is a `DomainError`.

        Every point of the declared domain has a text, also those that only proofs name: a value of a field that is not
        known, or of a neighbour who is not there.
        """
        try:
            record = json.loads(text, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            raise DomainError(
                f"expected facts as JSON, got {show_value(text)}; give the text of to_json ({error})"
            ) from None
        if not isinstance(record, dict) or set(record) != {"age_s", "fields", "schema", "version"}:
            raise DomainError(
                f"expected keys age_s, fields, schema, version, got {show_value(record)}; give the text of to_json"
            )
        if record["version"] != 1 or record["schema"] != schema.__name__ or not isinstance(record["fields"], dict):
            raise DomainError(
                f"expected version 1 of `{schema.__name__}`, got {show_value((record['version'], record['schema']))}; "
                "read it with its own state type"
            )
        domain, given = domain_of(schema), record["fields"]
        flat = {name: _from_field(domain.field(name), value) for name, value in given.items()}
        return cls._of_all(schema, flat).aged(record["age_s"])

    @classmethod
    def from_values(cls, schema: type[State], values: Mapping[str, object]) -> Facts:
        """Facts from values as JSON holds them, by name; anything else is a `DomainError`.

        None is unknown, a list of two numbers an interval; neighbours are a list of values by name, None among them
        where there may be one more.
        """
        domain = domain_of(schema)
        return cls.of(schema, **{name: _from_plain(domain, name, value) for name, value in values.items()})

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON, as hexadecimal text."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


ABSENT: Final = "absent"
"""Text of what is known of a neighbour who is not there."""

Neighbour: TypeAlias = "Facts | State | Mapping[str, Known] | Unknown"
"""What is known of one neighbour."""


def written(domain: Domain, codes: tuple[Code, ...], age: str = "0.0") -> str:
    """Canonical JSON of facts that are codes only, with the text of their age in seconds; see `Facts.to_json`."""
    # Written by hand: this is on the path of every check, and json.dumps takes three times as long.
    if len(codes) != len(domain.fields):
        raise DomainError(f"expected {len(domain.fields)} facts, got {len(codes)}; give UNKNOWN for the rest")
    parts = [key + (texts.get(codes[index]) or write(codes[index])) for key, index, texts, write in domain.writers]
    return f'{{"age_s":{age},"fields":{{{",".join(parts)}}},"schema":"{domain.name}","version":1}}'


def _are_exact(codes: tuple[Code, ...]) -> bool:
    return set(map(type, codes)) == _EXACT


_EXACT: Final = {int}


def _bare(given: object) -> object:
    """What is given of a field; of neighbours, facts as their values by name."""
    if not isinstance(given, (list, tuple)):
        return given
    return [dict(one.items()) if isinstance(one, Facts) else one for one in given]


def _demand_agreement(domain: Domain, codes: tuple[Code, ...]) -> None:
    """Refuse flags that contradict what they speak of, and values of neighbours who are not there."""
    for field in domain.fields:
        code = codes[field.index]
        if field.present not in (None, field.index) and codes[field.present] == 0:
            if code != field.low:
                raise DomainError(
                    f"expected `{field.name}` at its lowest, got another value of a neighbour who is not there; "
                    "leave it or say that it may be there"
                )
        elif field.known is not None and codes[field.known.index] != int(code is not None):
            raise DomainError(
                f"expected `{field.known.name}` to say whether `{field.name}` is known, got the opposite; leave it out"
            )


def _demand_age(age_s: float) -> float:
    if isinstance(age_s, bool) or not isinstance(age_s, (int, float)) or not (is_finite(age_s) and age_s >= 0):
        raise DomainError(f"expected an age of 0 s or more, got {show_value(age_s)}; drop facts of unknown age")
    return float(age_s)


def _encode_known(field: FieldSpec, known: Known) -> Code:
    if known is UNKNOWN:
        return None
    if not isinstance(known, Interval):
        return field.encode(known)
    if field.kind is not Kind.NUMBER:
        raise DomainError(f"expected a value or UNKNOWN for `{field.name}`, got an interval; only numbers have one")
    low, high = field.encode(_whole(field, known.low)), field.encode(_whole(field, known.high))
    return low if low == high else (low, high)


def _whole(field: FieldSpec, value: float) -> float:
    return int(value) if field.is_whole and value == int(value) else value


def _decode_known(field: FieldSpec, code: Code) -> Known:
    if code is None:
        return UNKNOWN
    if isinstance(code, int):
        return field.decode(code)
    return Interval(cast(float, field.decode(code[0])), cast(float, field.decode(code[1])))


def _from_plain(domain: Domain, name: str, value: object) -> Any:
    if name not in domain.neighbours:
        return _from_field(domain.field(name), value)
    if not isinstance(value, list):
        return UNKNOWN if value is None else value
    of = cast("type[State]", domain.neighbours[name].schema).__domain__
    return [_neighbour_from_plain(of, one) for one in value]


def _from_field(field: FieldSpec, value: object) -> Known:
    if value is None:
        return UNKNOWN
    if isinstance(value, list):
        if len(value) == 2 and all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in value):
            return Interval(value[0], value[1])
        raise DomainError(
            f"expected two ends of an interval for `{field.name}`, got {show_value(value)}; give [low, high]"
        )
    return cast(Value, value)


def _neighbour_from_plain(of: Domain, value: object) -> object:
    if isinstance(value, dict):
        return {name: _from_plain(of, name, own) for name, own in value.items()}
    return UNKNOWN if value is None else value


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key is repeated")
    return record
