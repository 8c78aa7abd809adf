"""The layers and confinements of the house, read from the source with `ast`: who may import what."""

from __future__ import annotations

import ast
import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("localist_core", "symbolic", "agents", "scenarios")

LAYERS = {
    "localist_core": set(),
    "symbolic": set(),
    "agents": {"localist_core", "symbolic"},
    "scenarios": {"localist_core", "symbolic", "agents"},
}
"""Which of our packages each of them may import, besides itself."""

CONFINED = {
    "z3": ("symbolic/solving/smt.py",),
    "aiomqtt": ("agents/messaging/*.py",),
    "amqtt": ("agents/messaging/*.py",),
    "cryptography": ("agents/messaging/*.py",),
    "torch": ("localist_core/*.py", "scenarios/*.py"),
    "transformers": ("localist_core/*.py", "scenarios/*.py"),
    "ray": ("scenarios/*.py",),
    "matplotlib": ("scenarios/*.py",),
    "highway_env": ("scenarios/intersection/*.py",),
    "lark": ("symbolic/writing/*.py",),
    "networkx": ("symbolic/deontic.py", "symbolic/joining/binding.py", "agents/recording/*.py", "scenarios/*.py"),
    "triton": ("localist_core/*.py",),
    "xgrammar": ("localist_core/writing/grammar.py",),
    "rich": ("scenarios/cli.py", "scenarios/report/*.py"),
}
"""Foreign package -> the only files of ours that may import it."""

ATTENTION_NAMES = frozenset(
    {"ALL_ATTENTION_FUNCTIONS", "AttentionInterface", "AttentionMaskInterface", "masking_utils"}
)
ATTENTION_FILE = "localist_core/attending/attention.py"


def sources() -> list[Path]:
    """Every Python file of the four packages."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Full dotted names imported anywhere in a file, inside functions too; `from a import b` gives `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(module), level=0):
                names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
            case ast.ImportFrom():
                pytest.fail(f"{path}:{node.lineno}: expected absolute imports only")
    return names


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_layers_import_only_downwards() -> None:
    wrong = [
        f"{relative(path)} imports {name}"
        for path in sources()
        for name in sorted(roots(path) & ({*PACKAGES, "tests"} - {path.relative_to(ROOT).parts[0]}))
        if name not in LAYERS[path.relative_to(ROOT).parts[0]]
    ]
    assert wrong == []


@pytest.mark.parametrize("library", sorted(CONFINED))
def test_library_is_imported_only_where_it_is_confined(library: str) -> None:
    wrong = [
        relative(path)
        for path in sources()
        if library in roots(path) and not any(fnmatch.fnmatch(relative(path), allowed) for allowed in CONFINED[library])
    ]
    assert wrong == []


def test_attention_interface_of_transformers_is_touched_in_one_place() -> None:
    wrong = [
        relative(path)
        for path in sources()
        if relative(path) != ATTENTION_FILE
        and any(part in ATTENTION_NAMES for name in imported(path) for part in name.split("."))
    ]
    assert wrong == []


def test_z3_is_not_loaded_by_importing_the_rules() -> None:
    tree = ast.parse((ROOT / "symbolic" / "solving" / "smt.py").read_text())
    at_import = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {a.name for node in at_import if isinstance(node, ast.Import) for a in node.names}
    names |= {node.module or "" for node in at_import if isinstance(node, ast.ImportFrom)}
    assert not any(name.partition(".")[0] == "z3" for name in names)


def test_truth_of_the_world_is_read_by_the_assessor_alone() -> None:
    """`truth()` is for the assessor after the step: neither agents nor rules may call it on anything."""
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in sources()
        if path.relative_to(ROOT).parts[0] == "agents"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "truth"
    ]
    assert wrong == []


def test_print_stands_only_at_the_edge() -> None:
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in sources()
        if relative(path) != "scenarios/cli.py"
        and not relative(path).startswith(("scenarios/report/", "scenarios/commands/"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert wrong == []


def test_every_file_says_first_what_it_is_for() -> None:
    silent = [
        relative(path)
        for path in sources()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []
