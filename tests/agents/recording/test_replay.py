from __future__ import annotations

from pathlib import Path

import pytest

from agents.recording import Cassette, ReplayError, Trace, first_divergence
from tests.agents.builders import record_run


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace.read(record_run(tmp_path / "run"))


def attempts(trace: Trace, agent: str) -> list:
    return [attempt for step in trace.steps(agent) if step.decision for attempt in step.decision.attempts]


def test_recorded_answers_come_back_without_a_model(trace: Trace) -> None:
    cassette = Cassette(trace)

    for agent in ("car-2", "car-1"):
        for attempt in attempts(trace, agent):
            assert cassette.answer(agent, attempt.prompt_sha256, 0.2) == attempt

    assert cassette.num_left() == 0


def test_another_prompt_is_named_with_its_place(trace: Trace) -> None:
    with pytest.raises(ReplayError, match="of `car-1` in tick 0, attempt 1, got 111111111111"):
        Cassette(trace).answer("car-1", "1" * 64, 0.2)


def test_another_dial_is_a_divergence(trace: Trace) -> None:
    first = attempts(trace, "car-1")[0]

    with pytest.raises(ReplayError, match=r"expected dial 0.2 of `car-1`"):
        Cassette(trace).answer("car-1", first.prompt_sha256, 0.5)


def test_question_beyond_the_record_is_a_divergence(trace: Trace) -> None:
    with pytest.raises(ReplayError, match="expected no further question of `car-9`"):
        Cassette(trace).answer("car-9", "1" * 64, 0.2)


def test_equal_runs_do_not_diverge(trace: Trace, tmp_path: Path) -> None:
    assert first_divergence(trace, Trace.read(record_run(tmp_path / "again"))) is None


def test_first_differing_record_is_shown(trace: Trace, tmp_path: Path) -> None:
    other = Trace.read(record_run(tmp_path / "other", gap_m=9.0))

    found = first_divergence(trace, other)

    assert found is not None
    assert found.recorded == trace.records[found.index]
    assert found.recorded != found.replayed
    assert trace.records[: found.index] == other.records[: found.index]


def test_shorter_run_diverges_where_it_ends(trace: Trace) -> None:
    short = Trace(trace.records[:-1])

    found = first_divergence(trace, short)

    assert found is not None
    assert (found.index, found.replayed) == (len(short.records), None)
