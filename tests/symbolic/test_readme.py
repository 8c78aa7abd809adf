"""The README of the package keeps its word: its Python runs, and it names every file once."""

from __future__ import annotations

import re
from pathlib import Path

import symbolic

FOLDER = Path(symbolic.__file__).parent
TEXT = (FOLDER / "README.md").read_text()


def test_python_blocks_run_one_after_another() -> None:
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile("\n".join(blocks), "symbolic/README.md", "exec", dont_inherit=True), {"__name__": "readme"})


def test_every_file_is_named() -> None:
    named = re.findall(r"^\| `(\w+\.py)` \|", TEXT, re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in FOLDER.rglob("*.py") if path.name != "__init__.py")


def test_every_folder_has_a_section() -> None:
    titles = re.findall(r"^### `(\w+)/`", TEXT, re.MULTILINE)
    assert sorted(titles) == sorted(path.parent.name for path in FOLDER.glob("*/__init__.py"))


def test_public_names_are_sorted_and_exist() -> None:
    assert sorted(symbolic.__all__, key=lambda name: (not name.isupper(), name.islower(), name)) == symbolic.__all__
    assert all(hasattr(symbolic, name) for name in symbolic.__all__)
