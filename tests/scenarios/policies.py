"""Scripts for cores of tests: they read a prompt's goal and rulebook as text, so that no model is needed."""

from __future__ import annotations

import re

from localist_core import Request, ScriptedCore


def wishes(request: Request) -> list[str]:
    """The actions in order of the goal."""
    return request.prompt["goal"].text.split()[1:]


def forbidden(request: Request) -> set[str]:
    """The actions that some line of the rulebook forbids, by its truth values."""
    found: set[str] = set()
    for block in request.prompt.blocks:
        if block.kind == "rulebook":
            for line in block.text.split(" ; "):
                condition, _, conclusion = line.partition(" : ")
                if not re.search(r" (no|maybe)( and|$)", condition.replace("if always", "")):
                    found |= {word for word in conclusion.split() if word.startswith("A")}
    return found


def reckless(request: Request) -> str:
    """What it wants most, whatever the rules say."""
    return wishes(request)[0]


def lawful(request: Request) -> str:
    """The most wanted action that no line forbids."""
    return next((action for action in wishes(request) if action not in forbidden(request)), wishes(request)[0])


def contrite(request: Request) -> str:
    """Reckless at first, lawful once a rule is injected."""
    return lawful(request) if request.prompt.names("injection") else reckless(request)


RECKLESS = ScriptedCore(reckless, name="reckless")
LAWFUL = ScriptedCore(lawful, name="lawful")
CONTRITE = ScriptedCore(contrite, name="contrite")
