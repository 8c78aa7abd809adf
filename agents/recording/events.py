"""The events of a trace, schema version 2: what a run writes down, as frozen pydantic models. FORMAT.md explains them.

An event says what happened; a `Record` places it: tick, Lamport time, owner, index in the owner's chain, hashes. This
file knows no model, no rule engine and no broker: the deciding layer fills these values, and a trace is read with
nothing but this package.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from agents.recording.canonical import canonical_sha256

SCHEMA_VERSION = 2
"""Version of the trace; a reader refuses any other."""

FORMAT_NAME = "localist-trace"
GENESIS = "0" * 64
"""`prev` of the first record of every chain."""

RUN_OWNER = "run"
"""Owner of the header, the end and the faults that belong to no agent."""
OPERATOR_OWNER = "operator"
"""Owner of the proposals of rules: whoever may change rules while a run goes on; it never acts."""
WORLD_OWNER = "world"
"""Owner of the outcomes: the assessor's chain, never read by an agent."""
TOGETHER = "broken_together"
"""Measure of an agent's outcome: how many joint rules its action broke in truth."""

FLOAT_DIGITS = 6
"""Decimal places of every measured float in a trace."""


def _rounded(value: float) -> float:
    return round(value, FLOAT_DIGITS) + 0.0  # + 0.0 turns -0.0 into 0.0


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
"""An agent or owner: `[a-z0-9-]{1,32}`."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Rounded = Annotated[float, AfterValidator(_rounded)]
"""A float that enters the trace with `FLOAT_DIGITS` decimal places."""
Probability = Annotated[float, Field(ge=0.0, le=1.0), AfterValidator(_rounded)]
Count = Annotated[int, Field(ge=0)]
Scalar = bool | int | float | str


class Frozen(BaseModel):
    """Settings of every model here: immutable, no coercion, no unknown field, no NaN."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


# Parts of the header


class CoreCard(Frozen):
    """The core that proposed the actions."""

    name: str
    device: str
    dtype: str
    fingerprint: str
    """Hash of weights and tokenizer, or a name for a scripted core."""


class RuleCard(Frozen):
    """One rule, as people read it."""

    rule: str
    """Anchor token, such as `R3`."""
    name: str
    kind: Literal["forbid", "require"]
    title: str
    source: str
    priority: int
    sentence: str


class RoleCard(Frozen):
    """What all agents of one role share."""

    goal: str
    ruleset_sha256: Sha256
    rules: tuple[RuleCard, ...]
    actions: dict[str, dict[str, Scalar]]
    """Label such as `A1` -> the action's fields."""
    safe_stop: str
    """Label of the declared safe stop."""


# Parts of a decision


class BlockRef(Frozen):
    """One block of a prompt, its text named by hash (see `Text`)."""

    name: str
    kind: str
    trust: Annotated[int, Field(ge=0, le=1)]
    """1 trusted, 0 untrusted."""
    text_sha256: Sha256


class DialRecord(Frozen):
    """The dial that an attempt was made with."""

    value: Probability
    gamma: Rounded = 0.0
    targets: tuple[str, ...] = ()
    """Names of the target blocks, sorted."""


class LayerRecord(Frozen):
    """Block fidelity in one layer; None where neither targets nor rest hold mass."""

    raw_fidelity: Probability | None
    steered_fidelity: Probability | None


class MassRecord(Frozen):
    """Attention of the decision rows by block, averaged over rows, layers and heads."""

    blocks: tuple[str, ...]
    raw: tuple[Probability, ...]
    """Masses before the dial, in the order of `blocks`."""
    steered: tuple[Probability, ...]
    """Masses with the dial, in the order of `blocks`."""
    raw_fidelity: Probability | None
    steered_fidelity: Probability | None
    target_mass: Probability
    entropy_bits: Annotated[float, Field(ge=0.0), AfterValidator(_rounded)]
    is_raw_from_dial_zero: bool
    layers: tuple[LayerRecord, ...] = ()


class MarginRecord(Frozen):
    """By how much a rule is broken."""

    comparison: str
    """The comparison that the amount is of, as people read it."""
    amount: str
    """Exact, in the unit of the comparison's sides: a decimal such as `2.5`, or a fraction such as `1/3`."""


class CounterexampleRecord(Frozen):
    """A state that open facts allow and in which a rule is broken."""

    fields: dict[str, Scalar]
    is_first: bool
    """Whether it is proved that none comes before it, by codes, field by field as declared."""


class ViolationRecord(Frozen):
    """One violated rule with the numbers that it was judged on."""

    rule: str
    """Anchor token, such as `R3`."""
    name: str
    title: str
    source: str
    priority: int
    sentence: str
    numbers: tuple[tuple[str, str], ...]
    """Field -> value as shown to people, in the rule's order."""
    margin: MarginRecord | None = None
    """In the counterexample where there is one; None where no number decides."""
    counterexample: CounterexampleRecord | None = None
    """None where the facts are exact, or no state was found."""


class VerdictRecord(Frozen):
    """What the rules say about one action."""

    outcome: Literal["safe", "unsafe", "undecided"]
    action: str
    """Label of the judged action."""
    violations: tuple[ViolationRecord, ...] = ()
    undecided: tuple[str, ...] = ()
    """Rules that could not be decided, or the reason why nothing could."""
    facts_sha256: Sha256
    ruleset_sha256: Sha256


class AttemptRecord(Frozen):
    """One question to the core, its answer, and the verdict on it."""

    prompt_sha256: Sha256
    blocks: tuple[BlockRef, ...]
    """The prompt, in order."""
    injections: tuple[str, ...] = ()
    """Names of the injected blocks among them."""
    dial: DialRecord
    actions: tuple[str, ...]
    """Labels that could be chosen."""
    probabilities: tuple[Probability, ...]
    """In the order of `actions`."""
    chosen: str
    margin: Probability
    citations: tuple[str | None, ...] | None = None
    """For each of `actions` the rule that the core says forbids it; None as a whole where the core cannot cite."""
    masses: MassRecord | None = None
    """None where the core cannot trace."""
    knock_out_nats: dict[str, Rounded] = {}
    """Block -> change of the chosen action's log-probability with that block cut, where it was asked for."""
    verdict: VerdictRecord


class Rung(StrEnum):
    """The step of the ladder that gave the executed action, in the order of the climb."""

    PROPOSED = "proposed"
    """The first proposal was safe."""
    INJECTED = "injected"
    """Safe after a rule was injected and the core asked again."""
    CHOSEN = "chosen"
    """The most probable compliant action of the core's own distribution."""
    REPAIRED = "repaired"
    """The nearest compliant action."""
    WITNESS = "witness"
    """A compliant action among the witnesses of the proof that there always is one."""
    CONCEDED = "conceded"
    """The least bad action where none complies: it breaks rules, none of them critical; the role allows that."""
    SAFE_STOP = "safe-stop"
    """The role's declared safe stop."""


class FaultKind(StrEnum):
    """What went wrong without stopping the record."""

    BUS_DOWN = "bus-down"
    BUS_TIMEOUT = "bus-timeout"
    MESSAGE_REFUSED = "message-refused"
    CLAIM_REFUSED = "claim-refused"
    RULES_REFUSED = "rules-refused"
    """Proposed rules that are forged, sent again, late, or not proved: the live ones stay."""
    CORE_FAILED = "core-failed"
    CHECK_FAILED = "check-failed"
    CHECK_MISMATCH = "check-mismatch"
    """Two readings of the rules disagree about a verdict."""
    OBSERVATION_STALE = "observation-stale"
    OBSERVATION_MISSING = "observation-missing"
    DEADLINE_PASSED = "deadline-passed"
    """A wall-clock deadline acted on the run, which is therefore time-dependent."""
    INJECTED_FAULT = "injected-fault"
    """A fault that the scenario asked for."""


# Events


class JointCard(Frozen):
    """One set of joint rules, as people read it."""

    sha256: Sha256
    """Hash of its canonical JSON, which lies beside the record."""
    rules: tuple[RuleCard, ...]
    """Rules over pairs, `peer_` standing before what is of the other agent; then what few of a group may do."""


class Header(Frozen):
    """First event of a run: all that it depends on."""

    kind: Literal["header"] = "header"
    format: Literal["localist-trace"] = "localist-trace"
    schema_version: Literal[2] = 2
    run: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    """Identity of the run; `run_id` derives it from seed, scenario and configuration."""
    seed: Annotated[int, Field(ge=0)]
    scenario: str
    config: dict[str, JsonValue]
    versions: dict[str, str]
    core: CoreCard
    agents: tuple[Name, ...]
    """All agents that may ever act, sorted."""
    roles: dict[str, RoleCard]
    joint: tuple[JointCard, ...] = ()
    """Rules over several agents; none where each decides for itself."""


class Observation(Frozen):
    """What an agent perceived in this tick."""

    kind: Literal["observation"] = "observation"
    facts: dict[str, JsonValue]
    """The facts as their own canonical JSON value."""
    facts_sha256: Sha256
    age_s: Annotated[float, Field(ge=0.0), AfterValidator(_rounded)] = 0.0


class Text(Frozen):
    """A text that later records of this chain name by hash; once per chain and hash."""

    kind: Literal["text"] = "text"
    sha256: Sha256
    text: str


class MessageSent(Frozen):
    """An envelope that this agent published, in full."""

    kind: Literal["message-sent"] = "message-sent"
    id: str
    sha256: Sha256
    """Hash of the envelope's canonical bytes."""
    envelope: dict[str, JsonValue]


class MessageReceived(Frozen):
    """An envelope that this agent may decide on from this tick on; its text stands in the sender's chain."""

    kind: Literal["message-received"] = "message-received"
    id: str
    sha256: Sha256
    src: Name
    type: str


class ConcessionRecord(Frozen):
    """What was given up where no action complied with all rules."""

    given_up: tuple[str, ...]
    """Anchors of the rules that the executed action breaks, most important first."""
    reason: str


class DecisionRecord(Frozen):
    """One decision: its attempts, the rung, and what goes to the world."""

    kind: Literal["decision"] = "decision"
    observation_seq: Count | None
    """Index of the observation in this chain; None where there was none."""
    attempts: tuple[AttemptRecord, ...]
    rung: Rung
    action: str
    """Label of the executed action."""
    fields: dict[str, Scalar]
    """Fields of the executed action."""
    verdict: VerdictRecord
    """The verdict on the executed action."""
    parents: tuple[str, ...] = ()
    """Ids of the envelopes that the prompt or the facts rest on, sorted."""
    reason: str = ""
    """Why the ladder went further than the first proposal, in a few fixed words."""
    concession: ConcessionRecord | None = None
    """Stands beside the rung `conceded`, and nowhere else."""


class BoundRules(Frozen):
    """A rule set that decisions of this chain are held to beside peers that have committed; once per chain and hash."""

    kind: Literal["bound-rules"] = "bound-rules"
    ruleset_sha256: Sha256
    rules: tuple[RuleCard, ...]


class PeerCommitment(Frozen):
    """A peer that binds a decision."""

    agent: Name
    decision_seq: Count | None
    """Index of its decision in its chain; None where it has not committed."""
    decision_sha256: Sha256 | None
    """Hash of that record."""
    is_silent: bool = False
    """It says nothing, so that it may do anything; one that is not and has no decision yet is only seen."""


class BoundTo(Frozen):
    """What the next decision of this chain is held to."""

    kind: Literal["bound-to"] = "bound-to"
    ruleset_sha256: Sha256
    observation_seq: Count
    """Index of the observation that holds what is known of the peers: `peer_1_...` is the first of them."""
    peers: Annotated[tuple[PeerCommitment, ...], Field(min_length=1)]


class RulesChanged(Frozen):
    """Other rules of a role are live from this tick on, for every agent that has it; owner `run`."""

    kind: Literal["rules-changed"] = "rules-changed"
    role: Name
    previous_sha256: Sha256
    ruleset_sha256: Sha256
    """Hash of their canonical JSON, which lies beside the record."""
    rules: tuple[RuleCard, ...]
    proposal: str
    """Id of the signed message that proposed them."""
    relation: Literal["equal", "stricter", "looser", "incomparable", "unknown"]
    """How they stand to the rules before, in what they allow."""


class Applied(Frozen):
    """The action that the world was given for this agent."""

    kind: Literal["applied"] = "applied"
    action: str
    fields: dict[str, Scalar]
    decision_seq: Count | None
    """Index of the decision in this chain; None where no decision stands behind it."""


class Outcome(Frozen):
    """The assessor's truth about one agent after the step; owner `world`."""

    kind: Literal["outcome"] = "outcome"
    agent: Name
    violated: tuple[str, ...] = ()
    """Names of the rules that the executed action violated in the true state."""
    measures: dict[str, bool | int | Rounded | str] = {}
    """What the world measures, such as `min_gap_m` or `has_crashed`."""
    reward: Rounded = 0.0
    is_terminated: bool = False
    is_truncated: bool = False


class Fault(Frozen):
    """Something went wrong and was handled; the detail is free of wall-clock times and addresses."""

    kind: Literal["fault"] = "fault"
    fault: FaultKind
    detail: str
    count: Annotated[int, Field(ge=1)] = 1


class ChainHead(Frozen):
    """Length and last hash of one chain."""

    records: Count
    hash: Sha256


class End(Frozen):
    """Last event of a run; closes every chain by its head."""

    kind: Literal["end"] = "end"
    status: Literal["complete", "interrupted"]
    ticks: Count
    decisions: Count
    heads: dict[str, ChainHead]
    """Owner -> head of its chain; the run's own chain is counted up to, and without, this event."""


Event = Annotated[
    Header
    | Observation
    | Text
    | MessageSent
    | MessageReceived
    | DecisionRecord
    | BoundRules
    | BoundTo
    | RulesChanged
    | Applied
    | Outcome
    | Fault
    | End,
    Field(discriminator="kind"),
]
"""Anything that a chain may hold, told apart by `kind`."""


class Record(Frozen):
    """One line of a trace: an event in its place."""

    tick: Count
    lamport: Count
    agent: Name
    """Owner of the chain: an agent, `run` or `world`."""
    seq: Count
    """Index in the owner's chain, from 0 without gaps."""
    prev: Sha256
    """Hash of the record before it in the chain, `GENESIS` for the first."""
    hash: Sha256
    """Hash of the canonical JSON of all other fields."""
    event: Event

    @property
    def key(self) -> tuple[int, int, str, int]:
        """Place in the merged trace; unique, and the order of every chain."""
        return (self.tick, self.lamport, self.agent, self.seq)


def record_hash(fields: dict[str, JsonValue]) -> str:
    """Hash that a record with these JSON fields must carry; a `hash` among them is left out."""
    return canonical_sha256({name: value for name, value in fields.items() if name != "hash"})


def run_id(*, seed: int, scenario: str, config: dict[str, JsonValue], core: CoreCard) -> str:
    """Identity of a run in 32 hex digits: equal inputs give equal ids, so that a trace depends on nothing else."""
    identity: dict[str, JsonValue] = {
        "seed": seed,
        "scenario": scenario,
        "config": config,
        "core": core.model_dump(mode="json"),
    }
    return canonical_sha256(identity)[:32]
