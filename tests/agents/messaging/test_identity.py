"""Keys, trust files and signed proposals: what is forged, replayed, stale, late or malformed is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.messaging import (
    EnvelopeError,
    Gate,
    Identity,
    KeyFileError,
    Proposal,
    ProposalError,
    SignatureError,
    Trust,
    compose,
    decode,
    encode,
    propose,
)
from tests.agents.builders import RUN

OPERATOR, MALLORY = Identity.of_seed(b"o" * 32), Identity.of_seed(b"m" * 32)
TRUST = Trust({"operator": OPERATOR.public})
OLD, NEW = "a" * 64, "b" * 64


def a_proposal(identity: Identity = OPERATOR, **changes: Any) -> Proposal:
    fields: dict[str, Any] = {"run": RUN, "role": "cart", "base": OLD, "activate_at": 5, "seq": 0}
    return propose(identity, **{**fields, "signer": "operator", "rules": "{}", **changes})


@given(st.text(max_size=20), st.binary(max_size=200))
def test_a_signature_holds_for_its_bytes_its_use_and_its_key_alone(context: str, data: bytes) -> None:
    signature = OPERATOR.sign(context, data)
    TRUST.demand("operator", context, data, signature)
    others = [
        ("operator", context + "x", data, signature),
        ("operator", context, data + b"x", signature),
        ("operator", context, data, MALLORY.sign(context, data)),
        ("operator", context, data, signature[:-2]),
        ("operator", context, data, "no hexadecimal"),
        ("mallory", context, data, signature),
    ]
    for name, use, said, given_ in others:
        with pytest.raises(SignatureError):
            TRUST.demand(name, use, said, given_)


def test_a_use_and_its_bytes_cannot_be_shifted_into_each_other() -> None:
    with pytest.raises(SignatureError):
        TRUST.demand("operator", "ab", b"c", OPERATOR.sign("a", b"bc"))


def test_a_key_file_is_its_owners_alone_and_comes_back(tmp_path: Path) -> None:
    path, identity = tmp_path / "operator.key", Identity.generate()
    identity.save(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert Identity.load(path).public == identity.public
    secret = path.read_text(encoding="ascii").split()[1]
    assert secret not in repr(identity)
    with pytest.raises(KeyFileError, match="file exists") as caught:
        identity.save(path)
    assert secret not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    OPERATOR.save(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        Identity.load(tmp_path / "key")


@pytest.mark.parametrize("text", ["", "localist-ed25519-secret-1", "localist-ed25519-secret-1 " + "g" * 64, "x" * 300])
def test_another_file_is_no_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text, encoding="ascii")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="expected a key file") as caught:
        Identity.load(path)
    assert not text or text not in str(caught.value)


def test_a_trust_file_names_keys_and_refuses_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "trust"
    path.write_text(f"# who may change rules\n\noperator {OPERATOR.public}  # the desk\n", encoding="utf-8")
    assert Trust.read(path) == TRUST
    for text in (f"operator {OPERATOR.public}\n" * 2, "operator\n", "operator abc\n", f"Op! {OPERATOR.public}\n"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(KeyFileError):
            Trust.read(path)
    with pytest.raises(KeyFileError, match="no such file"):
        Trust.read(tmp_path / "none")


# Proposals


def admit(gate: Gate, proposal: Proposal, *, tick: int = 5, live: str = OLD) -> None:
    gate.admit(proposal, tick=tick, live={"cart": live})


def test_a_signed_proposal_is_admitted_once() -> None:
    gate, proposal = Gate(RUN, TRUST), a_proposal()
    admit(gate, proposal)
    with pytest.raises(ProposalError, match="again"):
        admit(gate, proposal)


def test_an_old_proposal_sent_again_rolls_nothing_back() -> None:
    gate, first = Gate(RUN, TRUST), a_proposal()
    admit(gate, first)
    admit(gate, a_proposal(seq=1, base=NEW), live=NEW)
    with pytest.raises(ProposalError):
        admit(gate, first, tick=3, live=OLD)


@pytest.mark.parametrize(
    ("proposal", "said"),
    [
        (a_proposal(MALLORY), "not of these bytes"),
        (a_proposal(MALLORY, signer="mallory"), "one of `mallory`"),
        (a_proposal().model_copy(update={"rules": "{} "}), "not of these bytes"),
        (a_proposal().model_copy(update={"seq": 7}), "not of these bytes"),
        (a_proposal(run="f" * 32), "for run"),
        (a_proposal(activate_at=4), "for tick 5 or later"),
        (a_proposal(role="car"), "expected a role"),
        (a_proposal(base=NEW), "beside"),
    ],
)
def test_what_is_forged_or_does_not_fit_is_refused_and_uses_up_no_number(proposal: Proposal, said: str) -> None:
    gate = Gate(RUN, TRUST)
    with pytest.raises((SignatureError, ProposalError), match=said):
        admit(gate, proposal)
    admit(gate, a_proposal())


def envelope_of(body: Any) -> bytes:
    return encode(
        compose(run=RUN, src="operator", seq=0, tick=0, t_sim=0.0, valid_until=9.0, lamport=1, prev="0" * 64, body=body)
    )


def test_a_proposal_travels_in_an_envelope() -> None:
    proposal = a_proposal()
    envelope = decode(envelope_of(proposal))
    assert (envelope.type, envelope.proposal()) == ("rules", proposal)
    assert envelope.topic.endswith("/operator/rules")


@pytest.mark.parametrize("signature", [None, "", "0" * 127, "g" * 128, 7])
def test_a_body_without_a_whole_signature_is_no_proposal(signature: Any) -> None:
    body = {**a_proposal().to_body(), "signature": signature}
    with pytest.raises(ProposalError, match="signature"):
        Proposal.from_body(body)


def test_an_unsigned_malformed_or_oversized_proposal_is_no_envelope() -> None:
    data = envelope_of(a_proposal())
    signature = a_proposal().signature.encode()
    for bad in (b"", b"0" * 127, b"g" * 128):
        with pytest.raises(EnvelopeError):
            decode(data.replace(signature, bad))
    with pytest.raises(EnvelopeError, match="at most"):
        envelope_of(a_proposal(rules="x" * 70_000))
