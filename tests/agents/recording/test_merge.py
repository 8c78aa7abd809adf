from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.recording import Applied, Chain, TraceError, merge, merge_run
from agents.recording.merge import place
from tests.agents.builders import record_run

OWNERS = ("car-1", "car-2", "car-3")


def chains_of(steps: Sequence[tuple[str, int, int]]) -> dict[str, list[bytes]]:
    """Chains built by (owner, tick step, Lamport step) in the order given."""
    chains = {owner: Chain(owner) for owner in OWNERS}
    for owner, tick_step, lamport_step in steps:
        chain = chains[owner]
        chain.observe(chain.lamport + lamport_step)
        chain.append(chain.tick + tick_step, Applied(action="A1", fields={}, decision_seq=None))
    return {owner: chain.take_unwritten().splitlines(keepends=True) for owner, chain in chains.items()}


STEPS = st.lists(st.tuples(st.sampled_from(OWNERS), st.integers(0, 2), st.integers(0, 3)), max_size=30)


@given(STEPS, st.randoms())
def test_merge_does_not_depend_on_the_order_of_arrival(steps: list[tuple[str, int, int]], random) -> None:
    chains = chains_of(steps)
    by_owner = {owner: [step for step in steps if step[0] == owner] for owner in OWNERS}
    interleaved: list[tuple[str, int, int]] = []
    while any(by_owner.values()):
        interleaved.append(by_owner[random.choice([owner for owner in OWNERS if by_owner[owner]])].pop(0))
    files = list(chains_of(interleaved).values())
    random.shuffle(files)

    assert list(merge(files)) == list(merge(chains.values()))


@given(STEPS)
def test_merge_keeps_every_record_in_trace_order(steps: list[tuple[str, int, int]]) -> None:
    chains = chains_of(steps)

    merged = list(merge(chains.values()))

    assert merged == sorted(merged, key=place)
    assert all([line for line in merged if place(line)[2] == owner] == lines for owner, lines in chains.items())


def test_merging_again_gives_the_same_trace(tmp_path: Path) -> None:
    record_run(tmp_path)
    before = (tmp_path / "trace.jsonl").read_bytes()

    assert merge_run(tmp_path).read_bytes() == before


def test_directory_without_chains_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="expected chains in"):
        merge_run(tmp_path)


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b"\xff", b'{"tick":0}', b'{"tick":1e999}', b"[" * 100_000])
def test_line_that_is_no_record_has_no_place(line: bytes) -> None:
    with pytest.raises(TraceError):
        place(line)
