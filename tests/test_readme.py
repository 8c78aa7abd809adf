"""The README keeps its word: its Python runs, the commands and files that it names exist."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return [text for kind, text in BLOCK.findall(README) if kind == language]


def commands() -> list[list[str]]:
    """Every command line in the `console` blocks, split as a shell would, comments left out."""
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if line.startswith("$ ")]


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_block_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "block.py").write_text(blocks("python")[number])
    runpy.run_path("block.py")


def test_scenario_file_of_a_user_runs(tmp_path: Path) -> None:
    from scenarios.config import RunConfig
    from scenarios.report.summary import summarise
    from scenarios.run import run
    from tests.scenarios.policies import CONTRITE

    path = tmp_path / "pumps.py"
    path.write_text(next(block for block in blocks("python") if "Scenario(" in block))
    summary = summarise(run(RunConfig(scenario=str(path), seed=7), out=tmp_path / "run", core=CONTRITE))
    assert (summary.progress.arrivals, summary.violations.executed) == (2, 0)
    assert summary.ladder.injected > 0


def test_named_make_targets_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {words[1] for words in commands() if words[:1] == ["make"]} | set(re.findall(r"`make (\w+)`", README))
    assert {"run", "test"} <= named <= targets


def test_named_localist_commands_are_understood() -> None:
    from scenarios.cli import parser

    for words in commands():
        if words[:1] == ["localist"]:
            parser().parse_args(words[1:])


def test_tree_names_only_what_exists() -> None:
    tree = next(block for block in blocks("text") if "localist_core/" in block)
    folder = Path()
    for line in tree.splitlines():
        name = line.split()[0] if line.strip() else ""
        if name.endswith("/") and not line.startswith(" "):
            folder = Path(name)
            name = ""
        elif not line.startswith(" "):
            folder = Path()
        assert (ROOT / folder / name).exists(), f"the tree names `{folder / name}`, which does not exist"


def test_pictures_and_linked_files_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
