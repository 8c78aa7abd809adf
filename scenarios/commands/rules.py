"""`localist rules fmt`: rules files in their canonical layout."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.commands.arguments import Exit
from scenarios.config import ConfigError

if TYPE_CHECKING:
    from scenarios.commands.arguments import Commands


def add(commands: Commands) -> None:
    """Declare the commands."""
    rules = commands.add_parser("rules", help="rules files: fmt")
    actions = rules.add_subparsers(required=True, metavar="ACTION", parser_class=type(rules))
    fmt = actions.add_parser("fmt", help="bring rules files that declare their types into the canonical layout")
    fmt.add_argument("files", nargs="+", type=Path, metavar="FILE", help="rules files, by custom named *.rules")
    fmt.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a file would change")
    fmt.set_defaults(command=_fmt)


def _fmt(arguments: argparse.Namespace) -> Exit:
    from symbolic.writing.formatter import formatted

    texts = {path: _text(path) for path in arguments.files}
    changed = {path: new for path, old in texts.items() if (new := formatted(old, place=path.name)) != old}
    for path, text in changed.items():
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
        print(f"{'would change' if arguments.check else 'changed'}: {path}")
    return Exit.FAILED if arguments.check and changed else Exit.PASS


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected a rules file at `{path}`, got {type(error).__name__}; correct the path") from error
