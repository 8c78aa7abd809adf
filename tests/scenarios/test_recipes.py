"""Short trainings change one setting at a time, and what is trained already is kept."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from scenarios.cli import main
from scenarios.recipes import RESULT, recipes, trainings
from scenarios.report.recipes import save_trained, trained_json


def one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


def test_every_recipe_but_the_second_base_differs_from_the_base_in_one_setting() -> None:
    base, second, *others = (recipe.config for recipe in recipes(1000, 5))
    assert replace(second, seed=5) == base
    for config in others:
        is_margin = config.conditioning != base.conditioning
        assert is_margin != (config.penalty != base.penalty)
        assert replace(config, conditioning=base.conditioning, penalty=base.penalty) == base


def test_trained_recipe_is_kept_and_the_next_one_goes_on(tmp_path: Path) -> None:
    first = list(islice(trainings(tmp_path, 10_000, 0, resume=False, helper=one_thread), 1))
    assert (first[0].recipe, first[0].tokens) == ("base", 10_000)
    assert set(first[0].accuracy) == {"act", "cite", "fires"}
    stamp = (tmp_path / "base" / RESULT).stat().st_mtime_ns
    again = list(islice(trainings(tmp_path, 10_000, 0, resume=True, helper=one_thread), 1))
    assert again == first
    assert (tmp_path / "base" / RESULT).stat().st_mtime_ns == stamp
    save_trained(first, tmp_path / "rows.csv")
    (row,) = csv.DictReader((tmp_path / "rows.csv").read_text().splitlines())
    assert float(row["loss"]) == first[0].loss
    assert json.dumps(trained_json(first))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["tune", "corridor", "--training", "x"], "`curriculum`"),
        (["tune", "curriculum", "--training", "x", "--tokens", "0"], "--tokens"),
        (["tune", "curriculum"], "--out"),
    ],
)
def test_wrong_argument_is_told_in_one_line(argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
