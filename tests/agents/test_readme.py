"""The README of the package keeps its word: its decision comes about as told, and it names every file once."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Literal

import pytest

import agents
import symbolic
from agents import deciding
from agents.recording import Rung
from localist_core import Choice, Request, ScriptedCore

FOLDER = Path(agents.__file__).parent
TEXT = (FOLDER / "README.md").read_text()
SECTIONS = {part.partition(":")[0]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]}


async def test_decision_of_the_readme_comes_about() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", SECTIONS["deciding"], re.DOTALL)
    core = ScriptedCore(lambda request: "A1" if request.prompt.names("injection") else "A2")

    async def ask(request: Request) -> Choice:
        return core.decide([request])[0]

    names = {"Literal": Literal, "ask": ask, **vars(symbolic), **vars(deciding)}
    code = compile(block, "agents/README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    await eval(code, names)
    decision = names["decision"]
    assert (decision.rung, decision.action) == ("injected", 0)
    assert decision.attempts[1].request.prompt["I1"].text in block


def test_every_part_has_its_section() -> None:
    assert sorted(SECTIONS) == sorted(path.parent.name for path in FOLDER.glob("*/__init__.py"))


@pytest.mark.parametrize("part", SECTIONS)
def test_every_file_is_named(part: str) -> None:
    cells = re.findall(r"^\| (`\w+\.py`.*?) \|", SECTIONS[part], re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`(\w+\.py)`", cell)]
    files = (path.name for path in (FOLDER / part).glob("*.py") if path.name != "__init__.py")
    assert sorted(named) == sorted(files)


def test_every_rung_of_the_ladder_is_told_in_its_order() -> None:
    assert re.findall(r"^\| `([a-z-]+)` \|", SECTIONS["deciding"], re.MULTILINE) == [rung.value for rung in Rung]
