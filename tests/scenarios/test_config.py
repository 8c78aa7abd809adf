from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.config import BusConfig, ConfigError, CoreConfig, Part, RunConfig, parts_of


def test_settings_come_back_from_their_json() -> None:
    config = RunConfig(
        scenario="corridor",
        seed=3,
        episodes=2,
        core=CoreConfig(model=Path("model"), device="cuda:1", dtype="bfloat16"),
        bus=BusConfig(kind="mqtt", broker="mqtt://broker:1884"),
        without=frozenset({Part.DIAL, Part.RULES}),
    )
    assert RunConfig.from_json(config.to_json()) == config


def test_password_of_a_broker_stays_out_of_the_trace() -> None:
    assert BusConfig(kind="mqtt", broker="mqtt://me:secret@b:1883").to_json()["broker"] == "mqtt://...@b:1883"


def test_broker_without_mqtt_bus_is_refused() -> None:
    with pytest.raises(ConfigError, match="--bus mqtt"):
        BusConfig(broker="mqtt://broker:1883")


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: RunConfig(scenario="x", seed=-1), "--seed"),
        (lambda: RunConfig(scenario="x", episodes=0), "--episodes"),
        (lambda: CoreConfig(device="gpu"), "--device"),
        (lambda: CoreConfig(device="cuda:x"), "--device"),
        (lambda: CoreConfig(dtype="float16"), "--dtype"),
        (lambda: CoreConfig(threads=0), "--threads"),
    ],
)
def test_setting_out_of_range_is_refused_and_names_its_option(make: object, place: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigError, match=place):
        make()


def test_parts_may_stand_in_one_word_or_several() -> None:
    assert parts_of(["dial,rules", "shield"]) == {Part.DIAL, Part.RULES, Part.SHIELD}


def test_unknown_part_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean `shield`"):
        parts_of(["sheild"])
