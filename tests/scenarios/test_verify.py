"""`localist verify`: what it prints, and what it tells the shell."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from scenarios.cli import main
from scenarios.commands.verify import verdict_of
from scenarios.report.verification import MOST_SHOWN, shortened
from symbolic import Answer, Finding, Level, Report, Sort, parse, verify

JUNCTION = """\
state Car {
  light: red | green
  siren: flag
}

action Drive {
  manoeuvre: stop | go
}

permit siren priority 95
  when state.siren

forbid enter_on_red critical priority 90 unless siren
  when light is red and manoeuvre is go
"""
STUCK = (
    JUNCTION
    + """
require keep_moving priority 80
  that manoeuvre is go
"""
)


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    return tmp_path / "junction.rules"


def test_a_total_set_passes_and_names_its_witness(rules_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules_file.write_text(JUNCTION)
    assert main(["verify", str(rules_file)]) == 0
    assert "manoeuvre stop" in capsys.readouterr().out


def test_a_set_with_a_gap_fails_and_shows_the_state(rules_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules_file.write_text(STUCK)
    assert main(["verify", str(rules_file), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)["roles"]["junction"]
    gap = next(one for one in report["findings"] if one["sort"] == "not-total")
    assert (report["total"], gap["state"]) == ("no", [["light", "red"], ["siren", "false"]])


def test_shipped_scenarios_are_total(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("intersection", "corridor"):
        assert main(["verify", name, "--json"]) == 0
        roles = json.loads(capsys.readouterr().out)["roles"]
        assert {report["total"] for report in roles.values()} == {"yes"}


def test_kept_answers_serve_the_next_report_and_others_are_passed_over(
    rules_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules_file.write_text(
        STUCK + "\nforbid never priority 10\n  when light is red and light is green and manoeuvre is go\n"
    )
    cache = tmp_path / "kept" / "answers.json"
    command = ["verify", str(rules_file), "--json", "--cache", str(cache)]
    reports = []
    for _ in range(2):
        assert main(command) == 1
        reports.append(json.loads(capsys.readouterr().out)["roles"]["junction"])
    assert (reports[0].pop("num_kept"), reports[1].pop("num_kept") > 0) == (0, True)
    assert reports[0] == reports[1]
    cache.write_text(cache.read_text().replace("enumerated", "sampled", 1))
    assert main(command) == 1
    printed = capsys.readouterr()
    assert printed.err == (
        f"localist: answers in `{cache}` are passed over: expected answers that fit their hash, got others; "
        "all is asked anew\n"
    )
    assert json.loads(printed.out)["roles"]["junction"]["num_kept"] == 0


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("nowhere.rules", None, "expected a rules file at `nowhere.rules`, got FileNotFoundError; correct the path"),
        ("empty.rules", JUNCTION.partition("permit")[0], "expected rules in `empty.rules`, got none; declare some"),
        ("bad.rules", "forbid", "bad.rules:1:1: expected a name, got the end of the text; see the grammar of rules"),
    ],
)
def test_bad_input_is_one_line(
    name: str, text: str | None, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    assert main(["verify", str(path)]) == 2
    assert capsys.readouterr().err.replace(f"{tmp_path}/", "") == f"localist: {line}\n"


def test_what_is_not_known_is_inconclusive_and_fails_in_strict_mode() -> None:
    unknown = Finding(sort=Sort.NOT_TOTAL, level=Level.UNKNOWN, rules=(), text="not known")
    report = Report(
        ruleset_sha256="0" * 64, num_rules=1, consistent=Answer.YES, total=Answer.UNKNOWN, witnesses=(),
        findings=(unknown,), num_queries=1, num_kept=0, num_points=0, denials={},
    )  # fmt: skip
    assert (verdict_of([report], is_strict=False), verdict_of([report], is_strict=True)) == (3, 1)


def test_the_page_shows_all_and_trusts_no_text(rules_file: Path, tmp_path: Path) -> None:
    hostile = 'source "<script>alert(1)</script> & more" '
    rules_file.write_text(STUCK.replace("priority 90 unless", f"priority 90 {hostile}unless"))
    file = tmp_path / "page.html"
    assert main(["verify", str(rules_file), "--html", str(file)]) == 1
    text = file.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text
    assert not re.search(r"https?:|src=|@import|url\(", text)
    told = json.loads(json.dumps(verify(parse(rules_file.read_text())).record()))
    for part in (told["ruleset_sha256"], *(html.escape(one["text"]) for one in told["findings"])):
        assert part in text
    assert "light red, siren false" in text
    assert "Permitted when" in text


def test_the_page_is_well_formed_and_names_joint_rules(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    assert main(["verify", "doorway", "--html", str(file)]) == 0
    text = file.read_text()
    opened = Counter(re.findall(r"<(\w+)", text))
    closed = Counter(re.findall(r"</(\w+)", text))
    assert opened - closed == Counter({"meta": 3, "br": opened["br"]})
    assert "<h2>joint rules</h2>" in text


def test_of_many_findings_of_one_sort_the_first_are_shown() -> None:
    one = Finding(sort=Sort.CONFLICT, level=Level.WARNING, rules=("R1", "R2"), text="clash")
    other = Finding(sort=Sort.TITLE, level=Level.WARNING, rules=("R1",), text="title")
    shown, left_out = shortened([*[one] * (MOST_SHOWN + 3), other])
    assert (len(shown), shown[-1], left_out) == (MOST_SHOWN + 1, other, {"conflict": 3})
