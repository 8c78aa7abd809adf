"""`localist rules explain`: what it says of one action and of all, and its exit codes."""

from __future__ import annotations

import json

import pytest

from scenarios.cli import main

SEEN = {
    "free_cells": 3, "crossing_in": 1, "is_on_crossing": False, "rival_in": 1, "must_yield": True,
    "rival_intent": "silent",
}  # fmt: skip
ASKED = ["rules", "explain", "corridor", "--state"]


def test_every_action_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASKED, json.dumps(SEEN)]) == 0
    assert capsys.readouterr().out == "step wait: allowed\nstep go: breaks R2 (crossing_in == 1 by 0)\n"


def test_one_action_is_explained_with_what_would_have_to_differ(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASKED, json.dumps(SEEN), "--action", '{"step": "go"}']) == 1
    out = capsys.readouterr().out
    assert "- The nearest allowed action has step wait instead of go.\n" in out
    assert "- This action would be allowed with crossing_in 0 instead of 1.\n" in out
    assert "- With rival_in 2 instead of 1 alone it would be allowed.\n" in out


def test_explanation_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASKED, json.dumps(SEEN), "--action", '{"step": "go"}', "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["nearest"]["action"]) == ("localist-explanation", {"step": "wait"})
    assert main([*ASKED, json.dumps(SEEN), "--json"]) == 0
    assert [one["verdict"]["outcome"] for one in json.loads(capsys.readouterr().out)] == ["safe", "unsafe"]


@pytest.mark.parametrize("action", ["go", '{"step": "fly"}', '{"step": "go", "fast": true}', "{}"])
def test_what_is_no_action_is_one_line_and_exit_code_2(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASKED, json.dumps(SEEN), "--action", action]) == 2
    error = capsys.readouterr().err
    assert "expected an action of `Move` as JSON" in error
    assert error.count("\n") == 1
