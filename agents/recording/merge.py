"""Many chains, one trace: the merge by (tick, Lamport time, owner), the same bytes whatever arrived first."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from agents.recording.errors import TraceError

CHAINS = "agents"
"""Folder of the chains in a run directory, one file for each owner."""
TRACE = "trace.jsonl"
"""The merged trace in a run directory."""


def merge(chains: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """Merge the lines of chains, each in its own order, into trace order.

    Raises:
        TraceError: a line that has no place in a trace.
    """
    return heapq.merge(*chains, key=place)


def place(line: bytes) -> tuple[int, int, str, int]:
    """Where a line belongs in the merged trace: tick, Lamport time, owner, index in the owner's chain.

    Raises:
        TraceError: the line is no record.
    """
    try:
        fields = json.loads(line)
        return (int(fields["tick"]), int(fields["lamport"]), str(fields["agent"]), int(fields["seq"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise TraceError(f"expected a record with tick, lamport, agent and seq, got `{line[:60]!r}`") from error


def merge_run(run: Path) -> Path:
    """Write `RUN/trace.jsonl` from the chains and return its path; what a kill left half written is left out.

    Raises:
        TraceError: no chains there, or a line that is no record.
        OSError: the trace could not be written.
    """
    with ExitStack() as files:
        target = run / TRACE
        write_whole(target, merged_lines(run, files))
        return target


def merged_lines(run: Path, files: ExitStack) -> Iterator[bytes]:
    """The merged lines of a run directory, read as they are asked for; `files` closes what is opened.

    Raises:
        TraceError: no chains there, or a line that is no record.
    """
    paths = chain_paths(run)
    if not paths:
        raise TraceError(f"expected chains in `{run / CHAINS}`, got none; name a run directory")
    return merge([whole_lines(files.enter_context(path.open("rb"))) for path in paths])


def chain_paths(run: Path) -> list[Path]:
    """The chain files of a run directory, by name."""
    return sorted((run / CHAINS).glob("*.jsonl"))


def whole_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """All lines but a last one without its newline: the torn tail of a run that was killed while writing."""
    return (line for line in lines if line.endswith(b"\n"))


def write_whole(target: Path, lines: Iterable[bytes]) -> None:
    """Write a file so that it is there as a whole or not at all."""
    part = target.with_name(target.name + ".part")
    with part.open("wb") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
