from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.messaging import (
    MAX_BYTES,
    MAX_NOTE_CHARS,
    Claim,
    ClaimError,
    Envelope,
    EnvelopeError,
    compose,
    decode,
    encode,
)
from agents.recording import canonical, canonical_sha256
from tests.agents.builders import RUN, an_envelope

FIELDS = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True),
    max_size=8,
)


@given(FIELDS, st.integers(0, 2**53 - 1), st.floats(0, 1e9), st.floats(0, 1e9))
def test_envelope_survives_its_bytes(fields: dict[str, Any], tick: int, t_sim: float, valid_s: float) -> None:
    claim = Claim(kind="intent", sender="car-1", fields=fields, tick=tick)
    envelope = an_envelope("car-1", tick=tick, t_sim=t_sim, valid_until=t_sim + valid_s, lamport=1, body=claim)

    received = decode(encode(envelope))

    assert received == envelope
    assert received.claim() == claim
    assert encode(received) == encode(envelope)


@given(st.text(max_size=200))
def test_note_survives_its_bytes(text: str) -> None:
    assert decode(encode(an_envelope("car-1", body=text))).body == {"text": text}


@given(st.data())
def test_any_changed_byte_is_refused_or_an_envelope_of_its_own(data: st.DataObject) -> None:
    original = encode(an_envelope("car-1"))
    at = data.draw(st.integers(0, len(original) - 1))
    new = data.draw(st.integers(0, 255).filter(lambda byte: byte != original[at]))
    changed = original[:at] + bytes([new]) + original[at + 1 :]

    try:
        received = decode(changed)
    except EnvelopeError:
        return
    assert encode(received) == changed
    assert received.body == json.loads(original)["body"]


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode(data)


def changed(**fields: Any) -> bytes:
    return canonical(json.loads(encode(an_envelope("car-1"))) | fields)


BODY = {"kind": "intent", "sender": "car-1", "fields": {}, "tick": 0}
PLAIN = encode(an_envelope("car-1"))

REFUSED = {
    "nothing": b"",
    "no JSON": b"hello",
    "no UTF-8": b"\xff\xfe",
    "a list": b"[]",
    "deep nesting": b'{"body":' * 5_000,
    "deep lists": b"[" * 60_000,
    "unknown field": changed(extra=1),
    "missing field": canonical({k: v for k, v in json.loads(PLAIN).items() if k != "tick"}),
    "another version": changed(v=2),
    "a number as text": changed(tick="0"),
    "a flag as number": changed(tick=True),
    "a negative tick": changed(tick=-1),
    "a tick beyond JSON": changed(tick=2**53),
    "a name with a slash": changed(src="car/1"),
    "a name with a wildcard": changed(src="+"),
    "a long name": changed(src="a" * 33),
    "an id of another": changed(id="car-2.0.0"),
    "a topic of another": changed(topic=f"localist/1/{RUN}/a/car-2/claim"),
    "an unknown type": changed(type="command", topic=f"localist/1/{RUN}/a/car-1/command"),
    "expired when sent": changed(t_sim=5.0, valid_until=4.0),
    "another body": changed(body=BODY),
    "a claim of another sender": changed(
        body=BODY | {"sender": "car-2"}, body_sha256=canonical_sha256(BODY | {"sender": "car-2"})
    ),
    "a claim of another tick": changed(body=BODY | {"tick": 3}, body_sha256=canonical_sha256(BODY | {"tick": 3})),
    "a body that is no claim": changed(body={"text": "go"}, body_sha256=canonical_sha256({"text": "go"})),
    "a claim with a sentence": changed(
        body=BODY | {"fields": {"x": "you may go"}},
        body_sha256=canonical_sha256(BODY | {"fields": {"x": "you may go"}}),
    ),
    "NaN": PLAIN.replace(b'"t_sim":0.0', b'"t_sim":NaN'),
    "infinity": PLAIN.replace(b'"valid_until":1.0', b'"valid_until":1e999'),
    "a blank": PLAIN.replace(b'"t_sim":0.0', b'"t_sim": 0.0'),
    "another spelling of a number": PLAIN.replace(b'"t_sim":0.0', b'"t_sim":0'),
    "a doubled key": PLAIN.replace(b'"tick":0,', b'"tick":0,"tick":0,'),
    "something behind": PLAIN + b"\n",
    "too many bytes": b" " * (MAX_BYTES + 1),
    "too many parents": changed(parents=["car-1.0.0"] * 257),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bytes_are_refused(case: str) -> None:
    assert REFUSED[case] != PLAIN

    with pytest.raises(EnvelopeError, match=r"^expected[^\n]*$"):
        decode(REFUSED[case])


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": -1},
        {"t_sim": float("nan")},
        {"valid_until": -1.0},
        {"run": "demo"},
        {"body": "x" * (MAX_NOTE_CHARS + 1)},
    ],
)
def test_invalid_message_cannot_be_composed(changes: dict[str, Any]) -> None:
    with pytest.raises(EnvelopeError, match="expected a valid message of `car-1`"):
        an_envelope("car-1", **changes)


def test_note_holds_no_claim() -> None:
    with pytest.raises(ClaimError, match=r"expected a claim, got a note in message `car-1.0.0`"):
        an_envelope("car-1", body="hello").claim()


def test_message_expires_with_simulation_time() -> None:
    envelope = an_envelope("car-1", t_sim=2.0, valid_until=3.0)

    assert [envelope.is_valid_at(t_sim) for t_sim in (2.0, 3.0, 3.5)] == [True, True, False]


def test_message_of_one_seed_is_the_same_twice() -> None:
    def message() -> Envelope:
        body = Claim(kind="intent", sender="car-1", fields={"b": 1, "a": 2}, tick=0)
        return compose(
            run=RUN, src="car-1", seq=0, tick=0, t_sim=0.0, valid_until=1.0, lamport=1, prev="0" * 64, body=body
        )

    assert encode(message()) == encode(message())
    assert message().sha256 == message().sha256
