"""A recorded run computed again, attempt by attempt, in the library and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.recording.errors import TraceError
from agents.recording.trace import Trace
from localist_core import Request, ScriptedCore
from scenarios.cli import Exit, main
from scenarios.config import ConfigError, RunConfig
from scenarios.recompute import recompute_run
from scenarios.report.recomputation import recomputed_json
from scenarios.run import run
from tests.scenarios.policies import CONTRITE, LAWFUL, contrite


def a_run(folder: Path) -> Path:
    return run(RunConfig(scenario="corridor", seed=3), out=folder / "run", core=CONTRITE)


def wavering(request: Request) -> dict[str, float]:
    """Contrite, but never quite sure."""
    best = contrite(request)
    return {action: 0.501 if action == best else 0.499 / (len(request.actions) - 1) for action in request.actions}


def test_every_attempt_of_a_run_is_computed_again(tmp_path) -> None:
    path = a_run(tmp_path)
    told: list[tuple[int, int]] = []
    found = recompute_run(path, core=CONTRITE, watch=lambda done, total: told.append((done, total)))
    decisions = [step.decision for step in Trace.read(path).steps() if step.decision]
    attempts = sum(len(decision.attempts) for decision in decisions)
    assert attempts > len(decisions)
    assert found.is_equal
    assert len(found.attempts) == attempts
    assert told[-1] == (attempts, attempts)


def test_core_that_answers_otherwise_is_found_out(tmp_path) -> None:
    found = recompute_run(a_run(tmp_path), core=ScriptedCore(wavering, name="contrite"))
    values = recomputed_json(found)
    assert not found.is_equal
    assert values["equal"] == 0
    assert values["largest_difference"] == pytest.approx(0.499)
    assert values["differing"] == {"probabilities": values["compared"]}


def test_another_core_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"\(contrite\) that the run was made with, got .* \(lawful\), another model"):
        recompute_run(a_run(tmp_path), core=LAWFUL)


def test_text_that_is_not_in_the_trace_is_an_error(tmp_path) -> None:
    path = a_run(tmp_path)
    lines = (path / "trace.jsonl").read_text().splitlines(keepends=True)
    trace = tmp_path / "cut.jsonl"
    trace.write_text("".join(line for line in lines if '"kind":"text"' not in line))
    with pytest.raises(TraceError, match="expected the whole prompt of"):
        recompute_run(trace, core=CONTRITE)


def test_command_recomputes_a_run_of_a_model(model: str, tmp_path: Path, capsys) -> None:
    path = str(tmp_path / "run")
    assert main(["run", "corridor", "--seed", "3", "--model", model, "--out", path, "--json"]) == Exit.PASS
    capsys.readouterr()
    assert main(["recompute", path, "--json"]) == Exit.PASS
    values = json.loads(capsys.readouterr().out)
    assert values["is_equal"]
    assert values["is_batch_invariant"]
    assert values["compared"] == values["equal"] > 0
    assert main(["recompute", path]) == Exit.PASS
    assert "largest difference of a probability" in capsys.readouterr().out


def test_command_with_another_core_is_one_clear_line(tmp_path: Path, capsys) -> None:
    path = a_run(tmp_path)
    assert main(["recompute", str(path)]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "(contrite) that the run was made with, got" in err
