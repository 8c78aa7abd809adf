"""The dial curve: its points, its files, its table, its plot, and the comparison of two of them."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from localist_core.errors import DialError
from localist_core.model import LocalistForCausalLM, small_config
from scenarios import report
from scenarios.comparison import MEASURES, Pair, figures
from scenarios.config import ConfigError
from scenarios.curve import PUBLISHED, Curve, Point, dial_curve
from scenarios.curve_files import read_json, write_csv, write_json
from scenarios.report.curve import curve_tables, plot
from scenarios.shares import held_out


@pytest.fixture(scope="module")
def curve() -> Curve:
    """Of a random model."""
    from localist_core.serving.loading import SHIPPED

    torch.manual_seed(0)
    model = LocalistForCausalLM(small_config(588, layers=2, width=32, heads=2, hidden=32, block_width=1)).eval()
    lessons = held_out(SHIPPED, 0.5, 3, 1)
    return dial_curve(model, lessons, name="tiny", data="made", seed=1, values=(0.5, 1.0), gammas=(0.0, 5.0))


def test_points_lie_on_the_whole_grid_and_share_the_pass_at_dial_0(curve) -> None:
    assert [(point.gamma, point.value) for point in curve.points] == [
        (gamma, value) for gamma in (0.0, 5.0) for value in (0.0, 0.5, 1.0)
    ]
    assert replace(curve.at(0.0, 5.0), gamma=0.0) == curve.at(0.0)
    assert {point.raw_fidelity for point in curve.points} == {curve.at(0.0).steered_fidelity}


def test_uniform_dial_is_a_floor_and_1_a_cut(curve) -> None:
    assert curve.at(0.5).steered_fidelity >= 0.5
    assert curve.at(1.0).steered_fidelity == pytest.approx(1.0)
    assert curve.at(1.0).entropy_bits < curve.at(0.0).entropy_bits
    assert curve.target_share == pytest.approx(0.5, abs=0.01)


def test_accuracy_is_taken_over_options_and_actions(curve) -> None:
    point = curve.at(0.0)
    options = curve.num_rows - curve.num_lessons
    expected = (point.citation * options + point.best * curve.num_lessons) / curve.num_rows
    assert point.accuracy == pytest.approx(expected)


def test_json_is_read_back_as_it_was(curve, tmp_path: Path) -> None:
    write_json(curve, tmp_path / "curve.json")
    assert read_json(tmp_path / "curve.json") == curve
    assert len(json.loads((tmp_path / "curve.json").read_text())["published"]) == len(PUBLISHED)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "null"])
def test_file_that_is_no_curve_is_one_clear_line(text, tmp_path: Path) -> None:
    (tmp_path / "curve.json").write_text(text)
    with pytest.raises(ConfigError, match=r"^expected a curve"):
        read_json(tmp_path / "curve.json")


def test_curve_of_another_version_is_refused(curve, tmp_path: Path) -> None:
    write_json(curve, tmp_path / "curve.json")
    (tmp_path / "curve.json").write_text((tmp_path / "curve.json").read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(ConfigError, match=r"^expected a curve of version 1 at `.*`, got `2`; make it anew$"):
        read_json(tmp_path / "curve.json")


def test_csv_has_a_line_for_each_point_and_numbers_that_read_back(curve, tmp_path: Path) -> None:
    write_csv(curve, tmp_path / "curve.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "curve.csv").read_text())))
    assert len(rows) == len(curve.points)
    for row, point in zip(rows, curve.points, strict=True):
        assert float(row["entropy_bits"]) == point.entropy_bits
        assert (row["model"], row["version"]) == ("tiny", "1")


def test_description_of_the_files_names_every_column() -> None:
    text = Path(report.__file__).with_name("CURVE.md").read_text()
    assert all(f"`{name}`" in text for name in Point.__dataclass_fields__)


def test_table_shows_every_gamma_and_what_was_published(curve) -> None:
    console = Console(width=80, file=io.StringIO())
    console.print(curve_tables(curve))
    text = console.file.getvalue()
    assert "gamma 0" in text
    assert "gamma 5" in text
    assert "AILA" in text
    assert "…" not in text


def test_plot_is_drawn_and_equal_for_equal_curves(curve, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot([curve], tmp_path / "one.svg")
    plot([curve], tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    with pytest.raises(ConfigError, match="expected a plot as"):
        plot([curve], tmp_path / "one.nonsense")


def test_figures_of_a_pair_are_ratios_of_its_points(curve) -> None:
    half = replace(
        curve,
        points=tuple(
            replace(point, entropy_bits=point.entropy_bits / 2, raw_fidelity=(1 + point.raw_fidelity) / 2)
            for point in curve.points
        ),
    )
    found = {figure.name: figure for figure in figures([Pair(seed=0, plain=curve, localist=half)], MEASURES)}
    assert len(found) == len(MEASURES)
    assert found["raw entropy, localist / plain"].mean == pytest.approx(0.5)
    assert found["raw leak, localist / plain"].mean == pytest.approx(0.5)
    assert found["loss at dial 0, localist - plain (nats)"].values == (0.0,)
    assert math.isclose(
        found["entropy, localist dial 1 / plain dial 0"].mean,
        curve.at(1.0).entropy_bits / 2 / curve.at(0.0).entropy_bits,
    )


def test_dial_out_of_range_is_refused(curve) -> None:
    from localist_core.serving.loading import SHIPPED

    model = LocalistForCausalLM(small_config(588, layers=1, width=32, heads=2, hidden=32, block_width=1))
    with pytest.raises(DialError):
        dial_curve(model, held_out(SHIPPED, 0.5, 1, 1), name="", data="", seed=0, values=(1.5,), gammas=(0.0,))
