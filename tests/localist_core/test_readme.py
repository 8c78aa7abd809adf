"""The README of the package keeps its word."""

from __future__ import annotations

import re
from pathlib import Path

import localist_core

README = Path(localist_core.__file__).parent / "README.md"


def test_python_in_the_readme_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(README), "exec", dont_inherit=True), {})


def test_readme_names_every_file() -> None:
    named = set(re.findall(r"`(\w+\.py)`", README.read_text()))
    assert named == {path.name for path in README.parent.glob("*.py")} - {"__init__.py"}
