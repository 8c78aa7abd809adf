"""The history of a run: rows, comma-separated values, and what a resumed run drops."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localist_core.learning.history import Progress, Tally, csv_of, cut_back, note, rows_of

numbers = st.floats(-1e6, 1e6, allow_subnormal=False) | st.integers(-9, 9)
tables = st.lists(st.dictionaries(st.sampled_from("abcdef"), numbers, min_size=1), min_size=1, max_size=9)


def progress(step: int, **parts) -> Progress:
    known = {"tokens": 10 * step, "total_tokens": 99, "seconds": 1.0, "loss": 0.5, "accuracy": {}, "held_out": {}}
    return Progress(step=step, **{**known, **parts})


@given(tables)
def test_table_holds_every_number_and_leaves_empty_what_was_not_measured(rows) -> None:
    read = list(csv.DictReader(io.StringIO(csv_of(rows))))
    assert [{name: float(text) for name, text in row.items() if text} for row in read] == rows


def test_report_is_read_as_it_was_noted(tmp_path) -> None:
    path = tmp_path / "history.jsonl"
    full = progress(50, accuracy={"act": 0.25}, held_out={"act": 1 / 3}, raw_fidelity=0.5, zero_groups=3, groups=9)
    note(path, full)
    expected = {"act": 0.25, "held_out_act": 0.3333, "held_out_raw_fidelity": 0.5, "zero_groups": 3, "groups": 9}
    assert rows_of(path) == [{"step": 50, "tokens": 500, "seconds": 1.0, "loss": 0.5, **expected}]


def test_resumed_run_drops_the_reports_behind_its_checkpoint(tmp_path) -> None:
    path = tmp_path / "history.jsonl"
    cut_back(path, 0)
    for step in (50, 100, 150):
        note(path, progress(step))
    cut_back(path, 100)
    assert [row["step"] for row in rows_of(path)] == [50, 100]


@pytest.mark.parametrize("line", ["{", "[]", '{"loss": 1}', '{"step": "x"}'])
def test_line_that_is_no_report_is_named(tmp_path, line) -> None:
    path = tmp_path / "history.jsonl"
    note(path, progress(50))
    with path.open("a") as file:
        file.write(line)
    with pytest.raises(ValueError, match=r"in line 2 of `.*`, got .*; train again$"):
        rows_of(path)


def test_tally_is_the_mean_of_losses_and_the_share_of_right_answers() -> None:
    tally = Tally()
    assert (tally.loss, tally.accuracy) == (0.0, {})
    tally.add(1.0, [("act", True), ("cite", False)])
    tally.add(2.0, [("act", False), ("act", True)])
    assert (tally.loss, tally.accuracy) == (1.5, {"act": 2 / 3, "cite": 0.0})
