"""A signed proposal of rules: which set, for which role of which run, in the place of which, from which tick on.

What travels is the canonical JSON of the rule set. A proposal can be used once: it counts up for its signer, names the
version that it replaces, and expires; an old one sent again can roll nothing back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from agents.messaging.claims import AgentName, first_complaint
from agents.messaging.errors import ProposalError
from agents.messaging.identity import Identity, Trust
from agents.recording.canonical import canonical

CONTEXT: Final = "localist rules proposal 1"
"""What a signature is for; it fits nothing else that the same key signs."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]


class Proposal(BaseModel):
    """A rule set that shall take the place of another; make one with `propose`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    v: Literal[1] = 1
    run: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    role: AgentName
    """Role whose rules it replaces."""
    base: Sha256
    """The version that it replaces; another one being live refuses it."""
    activate_at: Count
    """The tick from which on every agent of the role decides by it."""
    seq: Count
    """Count of the signer's proposals in this run, from 0."""
    signer: AgentName
    rules: Annotated[str, StringConstraints(min_length=1)]
    """Canonical JSON of the rule set."""
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
    """Ed25519, of all other fields."""

    @classmethod
    def from_body(cls, body: Mapping[str, JsonValue]) -> Self:
        """The proposal in an envelope's body.

        Raises:
            ProposalError: the body is none; one without a signature is none.
        """
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise ProposalError(f"expected a signed proposal of rules, got {first_complaint(error)}") from error

    def to_body(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json")

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is of."""
        return _signed(self.model_dump(mode="json", exclude={"signature"}))


def propose(
    identity: Identity, *, run: str, role: str, base: str, activate_at: int, seq: int, signer: str, rules: str
) -> Proposal:
    """A signed proposal; arguments as the fields of `Proposal`.

    Raises:
        ProposalError: a value out of its range.
    """
    fields: dict[str, JsonValue] = {
        "v": 1,
        "run": run,
        "role": role,
        "base": base,
        "activate_at": activate_at,
        "seq": seq,
        "signer": signer,
        "rules": rules,
    }
    return Proposal.from_body({**fields, "signature": identity.sign(CONTEXT, _signed(fields))})


def _signed(fields: Mapping[str, JsonValue]) -> bytes:
    return canonical(fields)


class Gate:
    """Lets each proposal in once: signed by whom we trust, new, for this run, in time, beside the live version."""

    def __init__(self, run: str, trust: Trust) -> None:
        """`run` is the run that proposals must be for, `trust` names who may sign."""
        self._run, self._trust = run, trust
        self._next: dict[str, int] = {}

    def admit(self, proposal: Proposal, *, tick: int, live: Mapping[str, str]) -> None:
        """Refuse a proposal, or take it and remember its number.

        Args:
            proposal: what came.
            tick: the tick that is about to be decided.
            live: role -> hash of the live version.

        Raises:
            SignatureError: not signed by whom we trust.
            ProposalError: of another run, seen before or older, too late, for no role, or beside another version.
        """
        self._trust.demand(proposal.signer, CONTEXT, proposal.signed, proposal.signature)
        if proposal.run != self._run:
            raise ProposalError(f"expected a proposal for run {self._run[:8]}, got one for {proposal.run[:8]}")
        if proposal.seq < self._next.get(proposal.signer, 0):
            raise ProposalError(f"expected a new proposal of `{proposal.signer}`, got number {proposal.seq} again")
        if proposal.activate_at < tick:
            raise ProposalError(f"expected a proposal for tick {tick} or later, got one for {proposal.activate_at}")
        if proposal.role not in live:
            raise ProposalError(f"expected a role among {', '.join(live)}, got `{proposal.role}`")
        if proposal.base != live[proposal.role]:
            raise ProposalError(
                f"expected a proposal beside {live[proposal.role][:16]}, got one beside {proposal.base[:16]}"
            )
        self._next[proposal.signer] = proposal.seq + 1
