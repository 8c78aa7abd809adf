"""Settings of a training run as a file: what is written is read again, and every mistake is one clear line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localist_core.learning.conditioning import Conditioning
from localist_core.learning.penalty import Penalty
from localist_core.learning.train_config import TrainConfig, TrainingError, config_in, json_of

configs = st.builds(
    TrainConfig,
    tokens=st.integers(1, 10**9),
    pack_tokens=st.none() | st.integers(1, 999),
    grouped_norm=st.booleans(),
    dialled=st.floats(0, 1),
    conditioning=st.builds(
        Conditioning,
        dial=st.sampled_from(["odds", "floor"]),
        gammas=st.lists(st.floats(0, 5), min_size=1, max_size=3).map(tuple),
        heads=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=2).map(tuple),
    ),
    penalty=st.builds(
        Penalty,
        strength=st.floats(0, 9),
        weights=st.lists(st.tuples(st.sampled_from(["message", "rulebook"]), st.floats(0.1, 9)), max_size=2).map(tuple),
    ),
)


@given(configs)
def test_settings_that_are_written_are_read_again(tmp_path_factory, config) -> None:
    path = tmp_path_factory.mktemp("settings") / "training.json"
    path.write_text(json_of(config))
    assert config_in(path, TrainConfig(seed=9)) == config


def test_missing_settings_are_those_of_the_base(tmp_path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"width": 64, "penalty": {"strength": 1}}')
    base = TrainConfig(layers=2, penalty=Penalty(lr=0.7))
    assert config_in(path, base) == replace(base, width=64, penalty=Penalty(strength=1.0, lr=0.7))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"widht": 64}, "expected known settings in `.*`, got `widht`; did you mean `width`"),
        ({"penalty": {"strenght": 1.0}}, "expected known settings in `.*: penalty`, got `strenght`; did you mean `str"),
        ({"width": "64"}, 'expected a whole number at `.*: width`, got `"64"`; correct it'),
        ({"width": True}, "expected a whole number at `.*: width`, got `true`; correct it"),
        ({"width": 0}, "expected `width` of 1 or more, got `0`; correct the settings"),
        ({"dialled": 1.5}, r"expected shares `dialled` and `cool_down` in \[0, 1\], got `1.5`"),
        ({"penalty": 3}, "expected an object at `.*: penalty`, got `3`; correct it"),
        ({"penalty": {"strength": -1}}, "expected a strength >= 0, .*; correct `.*: penalty`"),
        ({"conditioning": {"dial": "soft"}}, 'expected floor or odds at `.*: conditioning: dial`, got `"soft"`'),
        ({"conditioning": {"gammas": 1.0}}, "expected a list at `.*: conditioning: gammas`, got `1.0`; correct it"),
        ({"version": 2}, "expected settings of version 1 at `.*`, got `2`; write them anew"),
        ([1], r"expected a JSON object of settings at `.*`, got `\[1\]`; correct it"),
    ],
)
def test_mistake_in_the_settings_is_one_clear_line(tmp_path, settings, complaint) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings))
    with pytest.raises(TrainingError, match=f"^{complaint}"):
        config_in(path, TrainConfig())


@pytest.mark.parametrize("content", [None, "{", "\xff"])
def test_file_that_cannot_be_read_is_one_clear_line(tmp_path, content) -> None:
    path = tmp_path / "settings.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(TrainingError, match=r"^expected settings in JSON at `.*`, got \w+; correct it$"):
        config_in(path, TrainConfig())
