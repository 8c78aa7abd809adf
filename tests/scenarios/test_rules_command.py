"""`localist rules diff`: exit codes, text and JSON for rules in every form that they come in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios.cli import main
from scenarios.corridor.rules import rules
from symbolic import to_text


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The corridor's rules as they are, in two forms, and stricter ones."""
    (tmp_path / "old.rules").write_text(to_text(rules), encoding="utf-8")
    (tmp_path / "old.json").write_text(rules.to_json(), encoding="utf-8")
    stricter = to_text(rules).replace("rival_in < 2", "rival_in < 3")
    (tmp_path / "new.rules").write_text(stricter, encoding="utf-8")
    return tmp_path


def test_equal_rules_in_three_forms_differ_in_nothing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "diff", str(files / "old.rules"), str(files / "old.json")]) == 0
    assert main(["rules", "diff", "corridor", str(files / "old.rules")]) == 0
    assert capsys.readouterr().out.count("equal: the new rules allow exactly what the old ones allow") == 2


def test_stricter_rules_are_told_with_an_example_and_exit_code_1(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", "diff", "corridor", str(files / "new.rules"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["roles"]["cart"]
    assert (found["format"], found["relation"]) == ("localist-rules-diff", "stricter")
    assert found["forbidden"]["rules"] == ["give_way", "heed_intent"]
    assert ["rival_in", "2"] in found["forbidden"]["example"]["state"]
    assert found["allowed"]["answer"] == "no"


@pytest.mark.parametrize(
    ("other", "said"),
    [("none.rules", "expected a rules file"), ("broken.json", "expected a rule set as JSON")],
)
def test_what_cannot_be_read_is_one_line_and_exit_code_2(
    files: Path, capsys: pytest.CaptureFixture[str], other: str, said: str
) -> None:
    (files / "broken.json").write_text("{", encoding="utf-8")
    assert main(["rules", "diff", "corridor", str(files / other)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
