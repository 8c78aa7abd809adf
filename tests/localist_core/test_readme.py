"""The README of the package keeps its word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import localist_core

FOLDER = Path(localist_core.__file__).parent
README = FOLDER / "README.md"
HEAD, *PARTS = re.split(r"^## ", README.read_text(), flags=re.MULTILINE)
SECTIONS = {"": HEAD} | {part.partition(":")[0]: part for part in PARTS}


def test_python_in_the_readme_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(README), "exec", dont_inherit=True), {})


@pytest.mark.parametrize(
    "folder", [FOLDER, *sorted(path.parent for path in FOLDER.glob("*/__init__.py"))], ids=lambda f: f.name
)
def test_every_file_is_named_once_where_it_lies(folder: Path) -> None:
    cells = re.findall(r"^\| (`\w+\.py`.*?) \|", SECTIONS["" if folder == FOLDER else folder.name], re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`(\w+\.py)`", cell)]
    assert sorted(named) == sorted(path.name for path in folder.glob("*.py") if path.name != "__init__.py")
