from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from agents.recording import Trace, TraceError, canonical
from agents.recording.events import record_hash
from agents.recording.schema import SCHEMA_PATH, schema_text
from tests.agents.builders import a_header, record_run


def test_step_holds_all_that_happened_to_an_agent_in_a_tick(tmp_path: Path) -> None:
    step = Trace.read(record_run(tmp_path)).step("car-1", tick=1)

    assert step.observation is not None
    assert step.observation.facts == {"gap_m": 13.5}
    assert [message.id for message in step.received] == ["car-2.0.0"]
    assert [message.id for message in step.sent] == ["car-1.0.1"]
    assert step.decision is not None
    assert step.decision.parents == ("car-2.0.0",)
    assert step.applied is not None
    assert step.outcome is not None
    assert step.outcome.reward == 0.333333


def test_trace_reads_the_same_from_directory_and_file(tmp_path: Path) -> None:
    record_run(tmp_path)

    assert Trace.read(tmp_path) == Trace.read(tmp_path / "trace.jsonl")


def test_trace_knows_its_header_and_end(tmp_path: Path) -> None:
    trace = Trace.read(record_run(tmp_path, ticks=2))

    assert trace.header == a_header()
    assert trace.end is not None
    assert (trace.end.status, trace.end.ticks, trace.end.decisions) == ("complete", 2, 4)


def test_missing_run_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(
        TraceError, match=r"^expected a recorded run at .*no such file or directory; name a run directory$"
    ):
        Trace.read(tmp_path / "none")


def test_trace_of_another_version_is_refused_by_its_version(tmp_path: Path) -> None:
    record_run(tmp_path)
    lines = (tmp_path / "trace.jsonl").read_bytes().splitlines()
    header = json.loads(lines[0])
    header["event"]["schema_version"] = 3
    header["hash"] = record_hash(header)
    (tmp_path / "trace.jsonl").write_bytes(canonical(header) + b"\n" + b"\n".join(lines[1:]) + b"\n")

    with pytest.raises(TraceError, match="line 1: expected a localist-trace of schema version 2, got version 3"):
        Trace.read(tmp_path)


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"event":{"kind":"unheard-of"}}\n', b'{"event":7}\n'])
def test_line_that_is_no_record_is_named_by_its_number(tmp_path: Path, line: bytes) -> None:
    path = record_run(tmp_path) / "trace.jsonl"
    path.write_bytes(path.read_bytes() + line)
    number = len(path.read_bytes().splitlines())

    with pytest.raises(TraceError, match=f"line {number}: expected a record"):
        Trace.read(tmp_path)


def test_trace_without_header_is_refused(tmp_path: Path) -> None:
    path = record_run(tmp_path) / "trace.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))

    with pytest.raises(TraceError, match="begins with a header"):
        Trace.read(path)


def test_published_schema_is_current() -> None:
    assert SCHEMA_PATH.read_text() == schema_text(), "run `python -m agents.recording.schema`"


def test_every_line_of_a_trace_meets_the_published_schema(tmp_path: Path) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))

    for line in (record_run(tmp_path) / "trace.jsonl").read_bytes().splitlines():
        validator.validate(json.loads(line))
