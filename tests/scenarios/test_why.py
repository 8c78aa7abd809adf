from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from agents.recording.audit import audit_run
from agents.recording.trace import Trace
from scenarios.report.bars import bar
from scenarios.report.why import why, why_json
from tests.scenarios.recorded import record_run


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return Trace.read(record_run(tmp_path_factory.mktemp("run") / "demo"))


def text_of(trace: Trace, agent: str) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(why(trace, trace.step(agent, tick=3)))
    console.file.close()
    return console.export_text()


def test_hand_made_run_is_one_that_an_audit_accepts(tmp_path: Path) -> None:
    assert audit_run(record_run(tmp_path / "demo")).findings == ()


def test_why_of_corrected_decision_tells_rule_numbers_injection_and_change(trace: Trace) -> None:
    text = text_of(trace, "car-1")
    assert "car-1, step 3: A1 manoeuvre=stop" in text
    assert "injected R1" in text or "injected inject-1: R1 forbids go now" in text
    assert "dial 0.20 → 0.50, choice A2 → A1, probability of A1 0.250 → 0.750" in text
    assert "light = red, manoeuvre = go" in text
    assert "-0.40 nats" in text
    assert "3.0 to 5.0" in text


def test_why_of_rule_that_holds_shows_the_numbers_its_sentence_speaks_of(trace: Trace) -> None:
    line = next(line for line in text_of(trace, "car-2").splitlines() if "gap_m < 2" in line)
    assert "holds" in line
    assert "gap_m = 4.5" in line


def test_why_as_json_holds_every_text_that_its_prompts_name(trace: Trace) -> None:
    value = why_json(trace, trace.step("car-1", tick=3))
    texts = value["texts"]
    assert isinstance(texts, dict)
    assert set(texts.values()) == {"light red", "Forbidden when light is red and manoeuvre is go.", "R1 forbids go now"}


def test_bar_is_as_wide_as_asked_and_full_at_one() -> None:
    assert [bar(0.0, 4), bar(0.5, 4), bar(1.0, 4)] == ["    ", "██  ", "████"]
    with pytest.raises(ValueError, match="between 0 and 1"):
        bar(1.1)
