"""Rechecks a recorded run without model, rules or broker: chains, texts, prompts, messages and the merge itself.

    audit = audit_run(Path("runs/demo"))
    audit.is_intact, audit.findings

Found: a record changed, deleted, inserted, moved or cut off; a text, prompt, fact or envelope that is not what its
hash says; a message received that nobody sent; a trace that is not the merge of its chains. Not found without a
signature or an outside witness: a run rewritten as a whole by someone who recomputes every hash, which is why
`Audit.trace_sha256` is worth keeping elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, ValidationError

from agents.recording.canonical import CanonicalError, canonical, canonical_sha256, sha256_hex
from agents.recording.errors import TraceError
from agents.recording.events import (
    GENESIS,
    RUN_OWNER,
    AttemptRecord,
    BoundTo,
    ChainHead,
    DecisionRecord,
    End,
    Header,
    MessageReceived,
    MessageSent,
    Observation,
    PeerCommitment,
    Record,
    Text,
    record_hash,
)
from agents.recording.merge import TRACE, chain_paths, place

Problem = Literal[
    "unreadable",
    "torn",
    "changed",
    "broken-link",
    "out-of-order",
    "wrong-owner",
    "no-header",
    "second-header",
    "no-end",
    "after-end",
    "head-mismatch",
    "text-mismatch",
    "text-missing",
    "prompt-mismatch",
    "facts-mismatch",
    "envelope-mismatch",
    "message-unsent",
    "reference-missing",
    "peer-mismatch",
    "merge-mismatch",
    "verdict-mismatch",
    "rules-mismatch",
    "rung-mismatch",
    "memory-mismatch",
]
"""What an audit can find; FORMAT.md says what each means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as a trace must be."""

    problem: Problem
    owner: str
    """Owner of the chain; `trace` for the merged file."""
    index: int
    """Index of the record or line, from 0."""
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The result of an audit."""

    num_records: int
    num_decisions: int
    status: Literal["complete", "interrupted", "unfinished"]
    """`unfinished`: no end, because the run was killed or its end was cut off; also a finding."""
    findings: tuple[Finding, ...]
    trace_sha256: str
    """Hash of the merged trace; kept outside, it witnesses the run as a whole."""

    @property
    def is_intact(self) -> bool:
        return not self.findings


@dataclass(slots=True)
class _Chain:
    """The readable records of one chain and what was found while reading it."""

    owner: str
    records: list[Record] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def find(self, problem: Problem, index: int, detail: str) -> None:
        self.findings.append(Finding(problem=problem, owner=self.owner, index=index, detail=detail))


def audit_run(run: Path) -> Audit:
    """Recheck a run directory: its chains, and its merged trace against them.

    Raises:
        TraceError: there are no chains to audit.
    """
    paths = chain_paths(run)
    if not paths:
        raise TraceError(f"expected chains in `{run}`, got none; name a run directory or a trace file")
    chains = {path.stem: path.read_bytes().splitlines(keepends=True) for path in paths}
    trace = run / TRACE
    return audit_lines(chains, trace.read_bytes().splitlines(keepends=True) if trace.exists() else None)


def audit_trace(path: Path) -> Audit:
    """Recheck a merged trace on its own: every chain in it and their order.

    Raises:
        TraceError: the file cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise TraceError(f"expected a trace at `{path}`, got {(error.strerror or '').lower()}") from error
    chains: dict[str, list[bytes]] = {}
    for line in lines:
        chains.setdefault(_owner(line), []).append(line)
    return audit_lines(chains, lines)


def audit_lines(chains: dict[str, list[bytes]], trace: list[bytes] | None) -> Audit:
    """Recheck chains given as lines with their newlines; and the merged trace, where there is one."""
    read = [_read_chain(owner, lines) for owner, lines in sorted(chains.items())]
    records = [record for chain in read for record in chain.records]
    findings = [finding for chain in read for finding in chain.findings]
    findings += _check_run(read)
    findings += _check_messages(records)
    findings += _check_peers(records)
    merged = sorted((line for lines in chains.values() for line in lines if line.endswith(b"\n")), key=_sort_key)
    findings += _check_merge(merged, trace)
    ends = [record.event.status for record in records if isinstance(record.event, End)]
    return Audit(
        num_records=len(records),
        num_decisions=sum(isinstance(record.event, DecisionRecord) for record in records),
        status=ends[0] if ends else "unfinished",
        findings=tuple(findings),
        trace_sha256=sha256_hex(b"".join(merged)),
    )


def _read_chain(owner: str, lines: list[bytes]) -> _Chain:
    """Parse one chain and recheck every record's bytes, hash, link and place."""
    chain = _Chain(owner)
    prev, order = GENESIS, (-1, -1)
    for index, line in enumerate(lines):
        if not line.endswith(b"\n"):
            chain.find("torn", index, "the last line has no end; the run was killed while writing")
            continue
        try:
            fields = json.loads(line)
            if canonical(fields) + b"\n" != line:
                raise CanonicalError("the line is not in canonical form")
            record = Record.model_validate_json(line)
            if record.model_dump(mode="json") != fields:
                raise CanonicalError("the line holds values that no record of this version can have")
        except (ValueError, TypeError, RecursionError) as error:
            chain.find("unreadable", index, _first_complaint(error))
            continue
        if record_hash(fields) != record.hash:
            chain.find("changed", index, "the record is not what its hash says")
        if record.prev != prev:
            chain.find("broken-link", index, "the record does not follow the one before it")
        if record.seq != index or (record.tick, record.lamport) <= order or record.tick < order[0]:
            chain.find("out-of-order", index, f"seq {record.seq}, tick {record.tick}, lamport {record.lamport}")
        if record.agent != owner:
            chain.find("wrong-owner", index, f"the record says `{record.agent}`")
        prev, order = record.hash, (record.tick, record.lamport)
        chain.records.append(record)
    _check_contents(chain)
    return chain


def _check_contents(chain: _Chain) -> None:
    """Recheck what the events of one chain say about themselves and each other."""
    texts: dict[str, str] = {}
    by_seq = {record.seq: record.event for record in chain.records}
    for record in chain.records:
        match record.event:
            case Text(sha256=digest, text=text):
                texts[digest] = text
                if sha256_hex(text.encode()) != digest:
                    chain.find("text-mismatch", record.seq, "the text is not what its hash says")
            case Observation(facts=facts, facts_sha256=digest):
                if canonical_sha256(facts) != digest:
                    chain.find("facts-mismatch", record.seq, "the facts are not what their hash says")
            case MessageSent(envelope=envelope, sha256=digest):
                if canonical_sha256(envelope) != digest:
                    chain.find("envelope-mismatch", record.seq, "the envelope is not what its hash says")
            case DecisionRecord():
                seen = record.event.observation_seq
                if seen is not None and not isinstance(by_seq.get(seen), Observation):
                    chain.find("reference-missing", record.seq, f"record {seen} is no observation")
                for attempt in record.event.attempts:
                    _check_prompt(chain, record.seq, attempt, texts)
            case _:
                pass


def _check_prompt(chain: _Chain, index: int, attempt: AttemptRecord, texts: dict[str, str]) -> None:
    missing = [block.name for block in attempt.blocks if block.text_sha256 not in texts]
    if missing:
        chain.find("text-missing", index, f"no text for block `{missing[0]}`")
    elif prompt_sha256(attempt, texts) != attempt.prompt_sha256:
        chain.find("prompt-mismatch", index, "the prompt's hash is not that of its blocks")


def prompt_sha256(attempt: AttemptRecord, texts: dict[str, str]) -> str:
    """Hash of an attempt's prompt from its blocks and their texts: every part with its length in 4 bytes before it."""
    digest = hashlib.sha256()
    for block in attempt.blocks:
        for part in (block.kind, block.name, str(block.trust), texts[block.text_sha256]):
            raw = part.encode()
            digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()


def _check_run(chains: list[_Chain]) -> Iterator[Finding]:
    """Recheck header, end, and the heads that the end closes the chains with."""
    run = next((chain for chain in chains if chain.owner == RUN_OWNER), _Chain(RUN_OWNER))
    events = [record.event for record in run.records]
    headers = [index for index, event in enumerate(events) if isinstance(event, Header)]
    ends = [index for index, event in enumerate(events) if isinstance(event, End)]
    if headers[:1] != [0]:
        yield _run_finding("no-header", 0, "the run does not begin with a header")
    if len(headers) > 1:
        yield _run_finding("second-header", headers[1], "a run has one header")
    if not ends:
        yield _run_finding("no-end", len(events), "the run was killed, or its end was cut off")
        return
    if ends[0] != len(events) - 1:
        yield _run_finding("after-end", ends[0] + 1, "something stands after the end")
    end = events[ends[0]]
    assert isinstance(end, End)
    found = {chain.owner: _head(chain.records) for chain in chains} | {RUN_OWNER: _head(run.records[: ends[0]])}
    for owner in sorted(found.keys() | end.heads.keys()):
        if found.get(owner) != end.heads.get(owner):
            yield Finding(
                problem="head-mismatch",
                owner=owner,
                index=found[owner].records if owner in found else 0,
                detail="the chain does not end where the run says",
            )


def _check_messages(records: Iterable[Record]) -> Iterator[Finding]:
    """Every message that was received or decided on was sent, as the same bytes."""
    records = tuple(records)
    sent = {record.event.id: record for record in records if isinstance(record.event, MessageSent)}
    heard = {(record.agent, record.event.id) for record in records if isinstance(record.event, MessageReceived)}
    for record in records:
        match record.event:
            case MessageReceived(id=name, sha256=digest, src=src):
                origin = sent.get(name)
                if origin is None or origin.agent != src or _sent_hash(origin) != digest:
                    yield _finding("message-unsent", record, f"no sent envelope `{name}` with these bytes")
                elif origin.lamport >= record.lamport:
                    yield _finding("out-of-order", record, f"`{name}` was received before it was sent")
            case DecisionRecord(parents=parents):
                for name in parents:
                    if (record.agent, name) not in heard:
                        yield _finding("reference-missing", record, f"the decision rests on `{name}`, never received")
            case _:
                pass


def _check_peers(records: Iterable[Record]) -> Iterator[Finding]:
    """Every decision of a peer that binds another was made before it, in the same tick, and is what was told of it."""
    by_place = {(record.agent, record.seq): record for record in records}
    decided = {(one.agent, one.tick): one.lamport for one in by_place.values() if isinstance(one.event, DecisionRecord)}
    for record in by_place.values():
        if not isinstance(record.event, BoundTo):
            continue
        if not _is_kept(record.event, record, by_place):
            yield _finding("peer-mismatch", record, "the decision behind it was made on other facts, or by other rules")
        seen = by_place.get((record.agent, record.event.observation_seq))
        facts = seen.event.facts if seen is not None and isinstance(seen.event, Observation) else None
        if facts is None:
            yield _finding("reference-missing", record, f"record {record.event.observation_seq} is no observation")
            continue
        for number, peer in enumerate(record.event.peers, start=1):
            made = None if peer.decision_seq is None else by_place.get((peer.agent, peer.decision_seq))
            if peer.decision_seq is not None and not _is_decided(made, record, peer):
                yield _finding(
                    "reference-missing", record, f"`{peer.agent}` had not decided so in record {peer.decision_seq}"
                )
            elif made is None and not peer.is_silent:  # it is still to come, so it comes later
                if decided.get((peer.agent, record.tick), record.lamport) < record.lamport:
                    yield _finding("peer-mismatch", record, f"`{peer.agent}` had decided already")
            elif not _is_told(facts, f"peer_{number}_", made):
                yield _finding("peer-mismatch", record, f"what was told of `{peer.agent}` is not what it decided")


def _is_kept(bound: BoundTo, record: Record, by_place: Mapping[tuple[str, int], Record]) -> bool:
    """Whether the next decision of the chain was made on what binds it; a chain may end before it."""
    seq = record.seq + 1
    while (behind := by_place.get((record.agent, seq))) is not None:
        if isinstance(behind.event, DecisionRecord):
            made = behind.event
            said = {verdict.ruleset_sha256 for verdict in (made.verdict, *(one.verdict for one in made.attempts))}
            return made.observation_seq == bound.observation_seq and said == {bound.ruleset_sha256}
        seq += 1
    return True


def _is_decided(made: Record | None, bound: Record, peer: PeerCommitment) -> bool:
    """Whether a record is the decision that a peer had committed to."""
    if made is None or not isinstance(made.event, DecisionRecord) or made.hash != peer.decision_sha256:
        return False
    return made.tick == bound.tick and made.lamport < bound.lamport


def _is_told(facts: dict[str, JsonValue], prefix: str, made: Record | None) -> bool:
    """Whether facts hold the fields of a peer's action as it decided; of a silent peer nothing is known."""
    fields = facts.get("fields")
    told = (
        {name: value for name, value in fields.items() if name.startswith(prefix)} if isinstance(fields, dict) else {}
    )
    if made is None or not isinstance(made.event, DecisionRecord):
        return all(value is None for value in told.values())
    return all(told.get(f"{prefix}{name}", value) == value for name, value in made.event.fields.items())


def _check_merge(merged: list[bytes], trace: list[bytes] | None) -> Iterator[Finding]:
    if trace is None:
        if any(b'"kind":"end"' in line for line in merged):
            yield Finding(problem="merge-mismatch", owner="trace", index=0, detail="the merged trace is missing")
        return
    for index in range(max(len(merged), len(trace))):
        if merged[index : index + 1] != trace[index : index + 1]:
            detail = "the merged trace is not the merge of the chains"
            yield Finding(problem="merge-mismatch", owner="trace", index=index, detail=detail)
            return


def _head(records: list[Record]) -> ChainHead:
    return ChainHead(records=len(records), hash=records[-1].hash if records else GENESIS)


def _sent_hash(record: Record) -> str:
    assert isinstance(record.event, MessageSent)
    return record.event.sha256


def _finding(problem: Problem, record: Record, detail: str) -> Finding:
    return Finding(problem=problem, owner=record.agent, index=record.seq, detail=detail)


def _run_finding(problem: Problem, index: int, detail: str) -> Finding:
    return Finding(problem=problem, owner=RUN_OWNER, index=index, detail=detail)


def _first_complaint(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return error.errors(include_url=False, include_input=False)[0]["msg"].lower()
    return str(error).partition("\n")[0]


def _owner(line: bytes) -> str:
    try:
        return place(line)[2]
    except TraceError:
        return "trace"


def _sort_key(line: bytes) -> tuple[int, int, str, int]:
    try:
        return place(line)
    except TraceError:
        return (-1, -1, "", -1)
