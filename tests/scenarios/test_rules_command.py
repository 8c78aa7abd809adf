"""`localist rules diff`: exit codes, text and JSON for rules in every form that they come in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios.cli import main
from scenarios.corridor.rules import rules
from symbolic import parse, to_text


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


def test_actions_that_comply_are_printed_as_schema_or_grammar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "near.rules"
    path.write_text(
        "neighbour Other { gap_m: optional whole 0 to 50 }\nstate Car { others: many Other at most 2 }\n"
        "action Drive { move: stop | go }\nforbid close when any(o in others: o.gap_m < 5) and move is go\n"
    )
    for state, moves in (
        ('{"others": []}', {"enum": ["stop", "go"]}),
        ('{"others": [{"gap_m": null}]}', {"const": "stop"}),
    ):
        assert main(["rules", "actions", str(path), "--state", state]) == 0
        assert json.loads(capsys.readouterr().out)["properties"] == {"move": moves}
    assert main(["rules", "actions", str(path), "--state", '{"others": null}', "--grammar"]) == 0
    assert capsys.readouterr().out == 'root ::= choice0\nchoice0 ::= "{\\"move\\":" ("\\"stop\\"" "}")\n'


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("[]", "expected a state as a JSON object, got `[]`"),
        ('{"light": 1}', "expected a field of"),
        ("{}", "expected a fact for"),
    ],
)
def test_a_wrong_state_is_one_line_and_exit_code_2(state: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "actions", "corridor", "--state", state]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def store_of(files: Path, *arguments: str) -> int:
    action, *rest = arguments
    return main(["rules", action, str(files / "store"), *rest])


def test_a_store_by_hand_is_made_changed_and_rolled_back(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = rules.sha256, parse((files / "new.rules").read_text(encoding="utf-8")).sha256
    assert store_of(files, "propose", "corridor", "--by", "ada") == 0
    assert store_of(files, "propose", str(files / "new.rules"), "--activate") == 0
    assert f"accepted and live: {new[:16]}" in capsys.readouterr().out
    assert store_of(files, "rollback") == 0
    assert capsys.readouterr().out == f"live: {old[:16]}, before: {new[:16]}\n"
    assert store_of(files, "activate", new[:12]) == 1
    assert "propose it again" in capsys.readouterr().out
    assert store_of(files, "versions", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["live"] == old
    happenings = [(entry["happening"], entry["sha256"]) for entry in told["entries"]]
    assert happenings == [("created", old), ("accepted", new), ("activated", new), ("rolled-back", old)]
    assert told["entries"][0]["by"] == "ada"


def test_rules_that_are_not_total_make_no_store_and_change_none(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (files / "old.rules").read_text(encoding="utf-8").replace("crossing_in == 0 and", "")
    (files / "gap.rules").write_text(text, encoding="utf-8")
    assert store_of(files, "propose", str(files / "gap.rules")) == 1
    assert not (files / "store").exists()
    assert store_of(files, "propose", "corridor") == 0
    capsys.readouterr()
    assert store_of(files, "propose", str(files / "gap.rules"), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["live"], told["rejection"]["cause"]) == (rules.sha256, "refuted")
    assert store_of(files, "versions") == 0


@pytest.mark.parametrize("arguments", [("versions",), ("rollback",), ("activate", "12345678")])
def test_a_store_that_is_not_there_or_damaged_is_one_line_and_exit_code_2(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert store_of(files, *arguments) == 2
    assert store_of(files, "propose", "corridor") == 0
    journal = files / "store" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"created", b"CREATED"))
    capsys.readouterr()
    assert store_of(files, *arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
