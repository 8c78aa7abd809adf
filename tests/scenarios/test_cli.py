"""The command line as a user meets it: results, exit codes, and one clear line for every mistake."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from scenarios.cli import Exit, foreign_agents, main
from scenarios.report.schema import PATH, schema_text


@pytest.fixture(scope="module")
def recorded(model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A recorded run."""
    path = str(tmp_path_factory.mktemp("runs") / "run")
    assert main(["run", "corridor", "--seed", "3", "--model", model, "--out", path, "--json"]) == Exit.PASS
    return path


def complaint(capsys: pytest.CaptureFixture[str], *argv: str, code: Exit = Exit.USAGE) -> str:
    """The one line that a mistake gives."""
    assert main(argv) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("localist: ")
    assert err.count("\n") == 1
    return err


def test_run_prints_its_table_and_passes(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "corridor", "--seed", "3", "--model", model]) == Exit.PASS
    text = capsys.readouterr().out
    for word in ("collisions", "arrivals", "first try", "safe stop", "re-decided by Z3", "tiny", "cpu, float32"):
        assert word in text
    assert (tmp_path / "runs" / "corridor-3" / "trace.jsonl").exists()


def test_json_of_a_run_keeps_its_schema(recorded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", recorded, "--json"]) == Exit.PASS
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, json.loads(PATH.read_text()))
    assert value["violations"]["executed"] == 0


def test_schema_file_is_the_one_of_the_printed_value() -> None:
    assert PATH.read_text() == schema_text()


def test_trace_tells_why_and_as_json_too(recorded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", recorded, "--agent", "cart-1", "--step", "2"]) == Exit.PASS
    assert "cart-1, step 2" in capsys.readouterr().out
    assert main(["trace", recorded, "--agent", "cart-1", "--step", "2", "--json"]) == Exit.PASS
    assert json.loads(capsys.readouterr().out)["decision"]["kind"] == "decision"


def test_audit_and_replay_of_a_run_pass(recorded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", recorded]) == Exit.PASS
    assert main(["replay", recorded]) == Exit.PASS
    text = capsys.readouterr().out
    assert "intact" in text
    assert "equal" in text


def test_audit_of_a_changed_trace_fails(recorded: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (Path(recorded) / "trace.jsonl").read_text().replace('"age_s":0.0', '"age_s":1.0', 1)
    (tmp_path / "trace.jsonl").write_text(lines)
    assert main(["audit", str(tmp_path / "trace.jsonl")]) == Exit.FAILED
    assert "changed" in capsys.readouterr().out


def test_assessment_counts_every_rule(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assess", "corridor", "--model", model, "--states", "40", "--json"]) == Exit.PASS
    role = json.loads(capsys.readouterr().out)["roles"][0]
    assert role["states"] == 40
    assert [rule["name"] for rule in role["rules"]] == ["occupied", "give_way", "heed_intent", "clear_crossing"]
    assert all(rule["states"] >= 10 and rule["first_try"] <= rule["states"] for rule in role["rules"])


RULE = """
from typing import Literal
from scenarios.corridor.world import CorridorWorld
from scenarios.scenario import Role, Scenario
from symbolic import Action, RuleSet, State, claimed, fixed

class Car(State):
    gap_m: float = {field}

class Drive(Action):
    pace: Literal["stop", "go"]

rules = RuleSet(Car, Drive)
{rule}
scenario = Scenario(name="mine", world=CorridorWorld,
                    roles={{"cart": Role(goal="go", rules=rules, safe_stop=Drive(pace="stop"))}})
"""
GOOD_FIELD = "fixed(ge=0, le=10, step=1)"
TIED = "".join(
    f"rules.forbid(id='{name}')(lambda s, a: (s.gap_m < 2) & (a.pace == '{pace}'))\n"
    for name, pace in (("a", "go"), ("b", "stop"))
)
LOOSE = "rules.forbid(id='far')(lambda s, a: (s.told == False) & (a.pace == 'go'))"
GOOD_RULE = "rules.forbid()(lambda s, a: s.gap_m < 2)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scenario = ", "mine.py:1: expected Python"),
        ("x = 1", "expected a Scenario in"),
        (RULE.format(field=GOOD_FIELD, rule="@rules.forbid()\ndef near(s, a):\n    return s.gap < 2"), "gap"),
        (RULE.format(field="fixed(ge=0, le=10, step=3)", rule=""), "gap_m"),
        (RULE.format(field=GOOD_FIELD, rule=""), "empty rule set"),
        (RULE.format(field=GOOD_FIELD, rule="Car(gap_m=99)"), "gap_m"),
        (RULE.format(field=GOOD_FIELD, rule="1 / 0"), "division by zero"),
        (RULE.format(field=GOOD_FIELD, rule=TIED), "both `a` and `b`, which no action keeps together where gap_m 0"),
        (
            RULE.format(field=f"{GOOD_FIELD}\n    told: bool = claimed(by='cart')", rule=LOOSE),
            "a message allows pace go here",
        ),
    ],
    ids=["syntax", "no scenario", "unknown field", "bounds", "no rules", "value", "crash", "tie", "claim"],
)
def test_malformed_scenario_file_is_told_in_one_line(
    text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert expected in complaint(capsys, "run", str(tmp_path / "mine.py"))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["run", "junktion"], "`corridor`, `doorway`, `intersection`"),
        (["run", "intersektion"], "did you mean `intersection`"),
        (["run", "missing.py"], "no file `missing.py`"),
        (["run", "corridor", "--without", "sheild"], "did you mean `shield`"),
        (["run", "corridor", "--device", "tpu"], "--device"),
        (["run", "corridor", "--seed", "-1"], "--seed"),
        (["run", "corridor", "--seed", "x"], "--seed"),
        (["run", "corridor", "--broker", "mqtt://localhost"], "--bus mqtt"),
        (["run", "corridor", "--model", "no-such-directory"], "no-such-directory"),
        (["run"], "scenario"),
        ([], "COMMAND"),
        (["fly"], "fly"),
        (["trace", "no-run", "--agent", "car-1", "--step", "1"], "expected a recorded run at `no-run`"),
        (["report", "no-run"], "expected a recorded run at `no-run`"),
        (["audit", "no-run"], "no-run"),
        (["replay", "no-run"], "expected a recorded run at `no-run`"),
        (["assess", "corridor", "--states", "0"], "--states"),
        (["train", "--out", "x", "--minutes", "0"], "--minutes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_argument_is_told_in_one_line(
    argv: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in complaint(capsys, *argv)


def test_empty_model_directory_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert str(tmp_path) in complaint(capsys, "run", "corridor", "--model", str(tmp_path))


def test_model_of_a_family_that_cannot_be_steered_is_told_in_one_line(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import BloomConfig, BloomForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    tokenizer.save_pretrained(tmp_path)
    BloomForCausalLM(BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=1, n_head=2)).save_pretrained(
        tmp_path
    )
    assert "bloom" in complaint(capsys, "run", "corridor", "--model", str(tmp_path))


def test_unreachable_broker_is_told_in_one_line(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ("run", "corridor", "--model", model, "--bus", "mqtt", "--broker", "mqtt://127.0.0.1:9")
    assert "127.0.0.1:9" in complaint(capsys, *argv)
    assert not (tmp_path / "runs").exists()


def test_used_run_directory_is_told_in_one_line(model: str, recorded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out" in complaint(capsys, "run", "corridor", "--model", model, "--out", recorded)


def test_run_directory_that_cannot_be_made_is_told_in_one_line(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert "--out" in complaint(capsys, "run", "corridor", "--model", model, "--out", str(tmp_path / "file" / "run"))


def test_unknown_agent_and_step_are_told_in_one_line(recorded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cart-1, cart-2" in complaint(capsys, "trace", recorded, "--agent", "car-1", "--step", "1")
    assert "were recorded" in complaint(capsys, "trace", recorded, "--agent", "cart-1", "--step", "999")


def test_ctrl_c_gives_one_line_and_its_own_exit_code(model: str, tmp_path: Path) -> None:
    argv = ["run", "corridor", "--episodes", "1000", "--model", model, "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "scenarios", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    chain = tmp_path / "run" / "agents" / "cart-1.jsonl"
    while not (chain.exists() and chain.stat().st_size > 10_000):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (Exit.INTERRUPTED, "")
    assert err == f"localist: interrupted; what was decided until then is in `{tmp_path / 'run'}`\n"
    assert main(["audit", str(tmp_path / "run")]) == Exit.PASS


def test_training_a_tiny_core_gives_one_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--smoke", "--out", str(tmp_path / "core")]) == Exit.PASS
    assert capsys.readouterr().out.endswith(f"trained: {tmp_path / 'core'}\n")
    argv = ["run", "corridor", "--seed", "3", "--model", str(tmp_path / "core"), "--out", str(tmp_path / "run")]
    assert main(argv) == Exit.PASS


def test_reading_a_trace_loads_no_model(recorded: str) -> None:
    code = (
        "import sys; from scenarios.cli import main; "
        f"main(['trace', {recorded!r}, '--agent', 'cart-1', '--step', '1']); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_package_agents_is_ours() -> None:
    assert foreign_agents() is None
