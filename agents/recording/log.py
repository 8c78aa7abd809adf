"""The record while a run goes on: one hash chain for each owner, on disk after every tick.

    with RunLog.open(Path("runs/demo"), header) as log:
        log.chain("car-1").append(0, Observation(...))
        log.flush()                                   # once a tick

`RUN/agents/<owner>.jsonl` hold the chains, which are the truth; closing writes their merge `RUN/trace.jsonl`. A run
that is killed leaves every flushed tick behind: `merge_run` then makes the trace.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from pydantic import JsonValue

from agents.recording.canonical import canonical, sha256_hex
from agents.recording.errors import LogWriteError, RunDirectoryError
from agents.recording.events import (
    GENESIS,
    RUN_OWNER,
    WORLD_OWNER,
    ChainHead,
    DecisionRecord,
    End,
    Event,
    Header,
    Record,
    Text,
)
from agents.recording.merge import CHAINS, TRACE, merge_run, write_whole

LOCK = ".lock"
RULES = "rules"
"""Folder of the rule sets in a run directory."""
SIDE = "run.json"
"""Wall times and whatever else may differ between two runs of one seed."""


class Chain:
    """The hash chain of one owner: appends records, keeps its head and its Lamport clock."""

    def __init__(self, owner: str, *, lamport: int = 0) -> None:
        self.owner = owner
        self.head = GENESIS
        """Hash of the last record."""
        self.num_records = 0
        self.num_decisions = 0
        self.tick = 0
        """Tick of the last record."""
        self.lamport = lamport
        """Lamport time of the last record."""
        self._texts: set[str] = set()
        self._unwritten: list[bytes] = []

    def append(self, tick: int, event: Event) -> Record:
        """Place an event at the end of the chain.

        Args:
            tick: the tick it happened in; never before that of the record before.
            event: what happened.

        Raises:
            ValueError: a tick before the last one, a float that is no number.
        """
        if tick < self.tick:
            raise ValueError(f"expected tick {self.tick} or later in the chain of `{self.owner}`, got {tick}")
        record = Record(
            tick=tick,
            lamport=self.lamport + 1,
            agent=self.owner,
            seq=self.num_records,
            prev=self.head,
            hash=GENESIS,  # not known yet
            event=event,
        )
        line = _seal(record)
        record = record.model_copy(update={"hash": line.sha256})
        self._unwritten.append(line.data)
        self.head, self.tick, self.lamport = record.hash, tick, record.lamport
        self.num_records += 1
        self.num_decisions += isinstance(event, DecisionRecord)
        return record

    def text(self, tick: int, text: str) -> str:
        """Hash of a text, which is recorded here unless this chain holds it already."""
        digest = sha256_hex(text.encode())
        if digest not in self._texts:
            self.append(tick, Text(sha256=digest, text=text))
            self._texts.add(digest)
        return digest

    def observe(self, lamport: int) -> None:
        """Take note of a Lamport time received from elsewhere: the next record comes after it."""
        self.lamport = max(self.lamport, lamport)

    def take_unwritten(self) -> bytes:
        """The lines appended since the last call, for the writer."""
        data = b"".join(self._unwritten)
        self._unwritten.clear()
        return data

    def as_head(self) -> ChainHead:
        return ChainHead(records=self.num_records, hash=self.head)


class RunLog:
    """All chains of one run and the directory that they live in; open with `RunLog.open`, close with `with`."""

    def __init__(self, path: Path, resources: ExitStack) -> None:
        self.path = path
        self._resources = resources
        self._chains: dict[str, Chain] = {}
        self._files: dict[str, BinaryIO] = {}
        self._is_closed = False

    @classmethod
    def open(cls, path: Path, header: Header) -> Self:
        """Take a run directory, made if need be, and record the header.

        Raises:
            RunDirectoryError: in use by another run, not empty of an older one, or not writable.
        """
        with ExitStack() as resources:
            _lock(path, resources)
            log = cls(path, resources.pop_all())
        first = Chain(RUN_OWNER, lamport=-1)
        first.append(0, header)
        log._chains[RUN_OWNER] = first
        return log

    def chain(self, owner: str) -> Chain:
        """The chain of an owner, begun at the first call; `run` and `world` see all others, so they come after them."""
        chain = self._chains.setdefault(owner, Chain(owner))
        if owner in (RUN_OWNER, WORLD_OWNER):
            chain.observe(max(other.lamport for other in self._chains.values()))
        return chain

    def flush(self) -> None:
        """Hand everything appended so far to the operating system; call it once a tick.

        Raises:
            LogWriteError: a write failed. Nothing decided after the last good flush may act.
        """
        try:
            for owner in sorted(self._chains):
                data = self._chains[owner].take_unwritten()
                if data:
                    self._file(owner).write(data)
                    self._file(owner).flush()
        except OSError as error:
            raise LogWriteError(
                f"expected to write the log in `{self.path}`, got {_reason(error)}; the run stops here"
            ) from error

    def write_side(self, values: Mapping[str, JsonValue]) -> None:
        """Write `RUN/run.json`: wall times and other values that are no part of the trace.

        Raises:
            LogWriteError: the write failed.
        """
        try:
            write_whole(self.path / SIDE, [canonical(values) + b"\n"])
        except OSError as error:
            raise LogWriteError(f"expected to write `{self.path / SIDE}`, got {_reason(error)}") from error

    def write_rules(self, texts: Mapping[str, str]) -> None:
        """Write the rule sets that the header names by hash beside the record, each as its canonical JSON.

        Raises:
            LogWriteError: a write failed.
        """
        try:
            (self.path / RULES).mkdir(exist_ok=True)
            for name, text in texts.items():
                write_whole(self.path / RULES / f"{name}.json", [text.encode()])
        except OSError as error:
            raise LogWriteError(f"expected to write `{self.path / RULES}`, got {_reason(error)}") from error

    def close(self, status: Literal["complete", "interrupted"]) -> None:
        """Record the end, write the merged trace, give the directory back; a second call does nothing.

        Raises:
            LogWriteError: a write failed; the directory is given back all the same.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            with self._resources:
                self._end(status)
                self.flush()
                for file in self._files.values():
                    os.fsync(file.fileno())
                merge_run(self.path)
        except OSError as error:
            raise LogWriteError(f"expected to write `{self.path / TRACE}`, got {_reason(error)}") from error

    def _end(self, status: Literal["complete", "interrupted"]) -> None:
        last = max(chain.tick for chain in self._chains.values())
        acted = any(chain.num_records for owner, chain in self._chains.items() if owner != RUN_OWNER)
        self.chain(RUN_OWNER).append(
            last,
            End(
                status=status,
                ticks=last + 1 if acted else 0,
                decisions=sum(chain.num_decisions for chain in self._chains.values()),
                heads={owner: chain.as_head() for owner, chain in sorted(self._chains.items())},
            ),
        )

    def _file(self, owner: str) -> BinaryIO:
        if owner not in self._files:
            file = (self.path / CHAINS / f"{owner}.jsonl").open("ab")
            self._files[owner] = self._resources.enter_context(file)
        return self._files[owner]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("complete" if error is None else "interrupted")


@dataclass(frozen=True, slots=True)
class _Line:
    """A record's hash, and its line with it."""

    sha256: str
    data: bytes


def _seal(record: Record) -> _Line:
    """Hash a record and write it down. The canonical bytes are put together here, so that the event, which may be long,
    is spelled once and not once without and once with the hash.
    """
    event = canonical(record.event.model_dump(mode="json"))
    # INVARIANT: keys in sorted order, owner and hashes free of anything that JSON escapes; an audit checks both.
    before = b'{"agent":"%s","event":%s' % (record.agent.encode(), event)
    after = b',"lamport":%d,"prev":"%s","seq":%d,"tick":%d}' % (
        record.lamport,
        record.prev.encode(),
        record.seq,
        record.tick,
    )
    digest = sha256_hex(before + after)
    return _Line(digest, before + b',"hash":"%s"' % digest.encode() + after + b"\n")


def _lock(path: Path, resources: ExitStack) -> None:
    """Make the directory, lock it for this process (a killed process gives its lock back), refuse an older run."""
    try:
        (path / CHAINS).mkdir(parents=True, exist_ok=True)
        lock = resources.enter_context((path / LOCK).open("wb"))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_used = (path / TRACE).exists() or any((path / CHAINS).iterdir())
    except BlockingIOError as error:
        raise RunDirectoryError(
            f"expected a free run directory, got `{path}`, which another run is writing; choose another with --out"
        ) from error
    except OSError as error:
        raise RunDirectoryError(
            f"expected a writable run directory, got `{path}`: {_reason(error)}; choose another with --out"
        ) from error
    if is_used:
        raise RunDirectoryError(
            f"expected an empty run directory, got `{path}`, which holds a recorded run; "
            "choose another with --out or remove it"
        )


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
