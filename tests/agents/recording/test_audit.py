from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.recording import Applied, Observation, RunLog, TraceError, audit_lines, audit_run, audit_trace, canonical
from agents.recording.audit import prompt_sha256
from agents.recording.events import record_hash
from localist_core.blocks import Block, BlockKind, Prompt
from symbolic.domain import State, fixed
from symbolic.facts import Facts
from tests.agents.builders import a_header, an_attempt, record_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_run(tmp_path_factory.mktemp("audit") / "run")


@pytest.fixture(scope="module")
def chains(run: Path) -> dict[str, list[bytes]]:
    return {path.stem: path.read_bytes().splitlines(keepends=True) for path in (run / "agents").glob("*.jsonl")}


def problems(chains: dict[str, list[bytes]]) -> set[str]:
    return {finding.problem for finding in audit_lines(chains, None).findings} - {"merge-mismatch"}


def test_recorded_run_is_intact(run: Path) -> None:
    audit = audit_run(run)

    assert audit.findings == ()
    assert (audit.status, audit.num_decisions) == ("complete", 6)
    assert audit_trace(run / "trace.jsonl") == audit


@given(st.data())
def test_any_changed_byte_is_found(chains: dict[str, list[bytes]], data: st.DataObject) -> None:
    owner = data.draw(st.sampled_from(sorted(chains)))
    index = data.draw(st.integers(0, len(chains[owner]) - 1))
    line = chains[owner][index]
    at = data.draw(st.integers(0, len(line) - 1))
    new = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[at]))
    tampered = line[:at] + bytes([new]) + line[at + 1 :]

    assert problems(chains | {owner: [*chains[owner][:index], tampered, *chains[owner][index + 1 :]]})


@given(st.data())
def test_any_deleted_record_is_found(chains: dict[str, list[bytes]], data: st.DataObject) -> None:
    owner = data.draw(st.sampled_from(sorted(chains)))
    index = data.draw(st.integers(0, len(chains[owner]) - 1))

    assert problems(chains | {owner: [*chains[owner][:index], *chains[owner][index + 1 :]]})


@given(st.data())
def test_any_truncation_is_found(chains: dict[str, list[bytes]], data: st.DataObject) -> None:
    owner = data.draw(st.sampled_from(sorted(chains)))
    length = data.draw(st.integers(0, len(chains[owner]) - 1))

    assert problems(chains | {owner: chains[owner][:length]})


@given(st.data())
def test_any_inserted_record_is_found(chains: dict[str, list[bytes]], data: st.DataObject) -> None:
    owner, other = data.draw(st.sampled_from(sorted(chains))), data.draw(st.sampled_from(sorted(chains)))
    line = data.draw(st.sampled_from(chains[other]))
    at = data.draw(st.integers(0, len(chains[owner])))

    assert problems(chains | {owner: [*chains[owner][:at], line, *chains[owner][at:]]})


@given(st.data())
def test_any_two_swapped_records_are_found(chains: dict[str, list[bytes]], data: st.DataObject) -> None:
    owner = data.draw(st.sampled_from([name for name, lines in sorted(chains.items()) if len(lines) > 1]))
    lines = list(chains[owner])
    left = data.draw(st.integers(0, len(lines) - 2))
    right = data.draw(st.integers(left + 1, len(lines) - 1))
    lines[left], lines[right] = lines[right], lines[left]

    assert problems(chains | {owner: lines})


def test_missing_chain_is_found(chains: dict[str, list[bytes]]) -> None:
    for owner in chains:
        assert problems({name: lines for name, lines in chains.items() if name != owner})


def rehashed(lines: list[bytes], index: int, change: Callable[[dict], None]) -> list[bytes]:
    """One record changed, and every hash after it computed anew."""
    records = [json.loads(line) for line in lines]
    change(records[index]["event"])
    for number, record in enumerate(records[index:], start=index):
        record["prev"] = records[number - 1]["hash"] if number else "0" * 64
        record["hash"] = record_hash(record)
    return [canonical(record) + b"\n" for record in records]


def test_chain_rewritten_with_new_hashes_does_not_end_where_the_run_says(chains: dict[str, list[bytes]]) -> None:
    forged = rehashed(chains["world"], 0, lambda event: event.update(reward=1.0))

    assert problems(chains | {"world": forged}) == {"head-mismatch"}


CONTENT = [
    ("observation", lambda event: event["facts"].update(gap_m=1.0), "facts-mismatch"),
    ("text", lambda event: event.update(text="another text"), "text-mismatch"),
    ("message-sent", lambda event: event["envelope"].update(tick=9), "envelope-mismatch"),
    ("message-received", lambda event: event.update(id="car-2.0.99"), "message-unsent"),
    ("decision", lambda event: event.update(observation_seq=1_000), "reference-missing"),
    ("decision", lambda event: event.update(parents=["car-2.0.99"]), "reference-missing"),
    ("decision", lambda event: event["attempts"][0].update(prompt_sha256="1" * 64), "prompt-mismatch"),
    ("decision", lambda event: event["attempts"][0]["blocks"][0].update(text_sha256="1" * 64), "text-missing"),
]


@pytest.mark.parametrize(("kind", "change", "problem"), CONTENT, ids=[f"{kind}-{what}" for kind, _, what in CONTENT])
def test_content_that_contradicts_itself_is_found_behind_good_hashes(
    chains: dict[str, list[bytes]], kind: str, change: Callable[[dict], None], problem: str
) -> None:
    lines = chains["car-1"]
    index = next(number for number, line in enumerate(lines) if json.loads(line)["event"]["kind"] == kind)

    assert problem in problems(chains | {"car-1": rehashed(lines, index, change)})


def test_merged_trace_in_another_order_is_found(run: Path, chains: dict[str, list[bytes]]) -> None:
    lines = (run / "trace.jsonl").read_bytes().splitlines(keepends=True)
    world_first = [*lines[2:], *lines[:2]]

    assert [f.problem for f in audit_lines(chains, world_first).findings] == ["merge-mismatch"]
    assert [f.problem for f in audit_lines(chains, None).findings] == ["merge-mismatch"]


def test_second_header_and_records_after_the_end_are_found(tmp_path: Path) -> None:
    with RunLog.open(tmp_path, a_header()) as log:
        log.chain("run").append(0, a_header())
        log._end("complete")

    found = {finding.problem for finding in audit_run(tmp_path).findings}
    assert found == {"second-header", "after-end"}


def test_unrounded_float_is_no_canonical_record(tmp_path: Path) -> None:
    with RunLog.open(tmp_path, a_header()) as log:
        log.chain("car-1").append(0, Observation(facts={}, facts_sha256="0" * 64, age_s=0.5))
    path = tmp_path / "agents" / "car-1.jsonl"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.50000001"))

    assert "unreadable" in {finding.problem for finding in audit_run(tmp_path).findings}


def test_prompt_hash_is_that_of_the_prompt_itself(tmp_path: Path) -> None:
    with RunLog.open(tmp_path, a_header()) as log:
        attempt = an_attempt(log.chain("car-1"), 0, "F1 is ü")
    prompt = Prompt(
        (
            Block(kind=BlockKind.SCHEMA, name="schema", text="act on the rules"),
            Block(kind=BlockKind.OBSERVATION, name="observation", text="F1 is ü"),
            Block(kind=BlockKind.DECISION, name="decision", text="act"),
        )
    )
    texts = {ref.text_sha256: block.text for ref, block in zip(attempt.blocks, prompt.blocks, strict=True)}

    assert prompt_sha256(attempt, texts) == prompt.sha256


def test_facts_of_the_rules_keep_their_hash_in_a_trace(tmp_path: Path) -> None:
    class Car(State):
        gap_m: float = fixed(ge=0, le=200, step=0.5)
        light: Literal["red", "grün"]

    facts = Facts.of(Car, gap_m=12.5, light="grün")
    with RunLog.open(tmp_path, a_header()) as log:
        log.chain("car-1").append(0, Observation(facts=json.loads(facts.to_json()), facts_sha256=facts.sha256))

    assert audit_run(tmp_path).is_intact


@pytest.mark.parametrize("line", [b"[" * 60_000 + b"\n", b"\xff\n", b"{}\n", b"null\n", b"1e999\n"])
def test_hostile_line_is_a_finding_and_no_crash(chains: dict[str, list[bytes]], line: bytes) -> None:
    assert "unreadable" in problems(chains | {"car-1": [line, *chains["car-1"]]})


def test_nothing_to_audit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="expected chains"):
        audit_run(tmp_path)
    with pytest.raises(TraceError, match="no such file"):
        audit_trace(tmp_path / "trace.jsonl")


def test_audit_of_an_applied_action_alone_is_intact(tmp_path: Path) -> None:
    with RunLog.open(tmp_path, a_header()) as log:
        log.chain("car-1").append(0, Applied(action="A1", fields={"speed": 1.0}, decision_seq=None))

    assert audit_run(tmp_path).is_intact
