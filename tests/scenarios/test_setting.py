"""A setting keeps what was measured, refuses every other model, and reaches each dial of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from agents.deciding import Resting
from agents.recording import Trace
from localist_core import DialSchedule, Request, ScriptedCore
from scenarios.cli import main
from scenarios.config import ConfigError, Part, RunConfig
from scenarios.run import run
from scenarios.setting import DialPart, Setting, SettingError, TargetSet, model_of
from tests.scenarios.policies import reckless

CORE = ScriptedCore(reckless, name="reckless")
OTHER = ScriptedCore(reckless, name="other")
SCHEDULE = DialSchedule(start=0.4, step=0.1, top=0.9, gamma=3.0, kind="odds")
SETTING = Setting(
    core="reckless",
    model=model_of(CORE.capabilities),
    heads=((0, 1), (2, 3)),
    dial=DialPart.of(SCHEDULE),
    targets="applying",
    made={"command": "localist tune"},
)


def test_setting_comes_back_from_its_file(tmp_path: Path) -> None:
    SETTING.save(tmp_path / "setting.json")
    assert Setting.load(tmp_path / "setting.json") == SETTING


def test_schedule_of_a_setting_replaces_the_role_s_or_only_its_heads() -> None:
    heads = frozenset({(0, 1), (2, 3)})
    assert SETTING.schedule_for(DialSchedule()) == DialSchedule(
        start=0.4, step=0.1, top=0.9, gamma=3.0, kind="odds", heads=heads
    )
    bare = SETTING.model_copy(update={"dial": None})
    assert bare.schedule_for(DialSchedule(start=0.1)) == DialSchedule(start=0.1, heads=heads)


def test_names_of_target_sets_are_those_of_the_agents() -> None:
    assert set(get_args(TargetSet)) == {one.value for one in Resting}


def test_another_model_is_refused() -> None:
    SETTING.check(CORE.capabilities)
    with pytest.raises(SettingError, match=f"got `{model_of(OTHER.capabilities)}` \\(other\\)"):
        SETTING.check(OTHER.capabilities)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema_version": 2}, "`schema_version`"),
        ({"heads": [[0]]}, "`heads.0.1`"),
        ({"heads": []}, "at least one head"),
        ({"targets": "all"}, "`targets`"),
        ({"dial": {**DialPart.of(SCHEDULE).model_dump(), "top": 0.1}}, "start <= top"),
        ({"layers": 3}, "`layers`"),
    ],
)
def test_other_content_is_told_in_one_line(
    change: dict[str, object], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "setting.json"
    path.write_text(json.dumps(SETTING.model_dump(mode="json") | change))
    assert main(["run", "corridor", "--profile", str(path)]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_missing_file_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "corridor", "--profile", str(tmp_path / "none.json")]) == 2
    assert "expected a profile at" in capsys.readouterr().err


def test_setting_beside_a_dial_that_is_off_is_refused() -> None:
    with pytest.raises(ConfigError, match="got both"):
        RunConfig(scenario="corridor", without=frozenset({Part.DIAL}), setting=SETTING)


def test_setting_reaches_every_dial_of_a_run_and_its_header(tmp_path: Path) -> None:
    seen: list[Request] = []

    def noting(request: Request) -> str:
        seen.append(request)
        return str(reckless(request))

    core = ScriptedCore(noting, name="reckless")
    config = RunConfig(scenario="corridor", seed=3, setting=SETTING)
    path = run(config, out=tmp_path / "run", core=core)
    assert {(r.dial.gamma, r.dial.kind, r.dial.heads) for r in seen} == {(3.0, "odds", frozenset({(0, 1), (2, 3)}))}
    assert {r.dial.value for r in seen} >= {0.4, 0.5}
    settings = RunConfig.from_json(Trace.read(path).header.config)
    assert settings.setting == SETTING.model_copy(update={"made": {}})


def test_run_with_a_setting_of_another_model_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="profile this core"):
        run(RunConfig(scenario="corridor", setting=SETTING), out=tmp_path / "run", core=OTHER)
    assert not (tmp_path / "run").exists()
