"""A small junction with four rules, and what tests of the deciding layer put decisions together from."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from agents.deciding import Ask, Decision, KnockOut, Ladder, Situation, decide, lexicon
from localist_core import Choice, Request, ScriptedCore
from symbolic import Action, Facts, RuleSet, State, fixed

Policy = Callable[[Request], "str | Mapping[str, float]"]


class Car(State):
    gap_m: float = fixed(ge=0, le=200, step=0.5)
    rival_m: float = fixed(ge=0, le=200, step=0.5)
    light: Literal["red", "green"]
    is_wet: bool
    is_blocked: bool


class Drive(Action):
    manoeuvre: Literal["stop", "slow", "go"]


STOP, SLOW, GO = "A1", "A2", "A3"
GOAL = (2, 1, 0)
"""Go before slow before stop."""

Rules = RuleSet[Any, Any]


def declare(rules: Rules) -> Rules:
    """The four rules of the junction: R1 blocks everything, R2 forbids going, R3 all but stopping, R4 slow and go."""

    @rules.forbid(priority=90)
    def blocked(s: Car, a: Drive) -> bool:
        return s.is_blocked & a.manoeuvre.isin("stop", "slow", "go")  # type: ignore[attr-defined,no-any-return]

    @rules.forbid(priority=80)
    def red(s: Car, a: Drive) -> bool:
        return (s.light == "red") & (a.manoeuvre == "go")

    @rules.require(priority=70)
    def stop_when_close(s: Car, a: Drive) -> bool:
        return (s.gap_m >= 10) | (a.manoeuvre == "stop")

    @rules.forbid(priority=60)
    def slippery(s: Car, a: Drive) -> bool:
        return s.is_wet & (s.gap_m < 20) & (a.manoeuvre != "stop")

    return rules


RULES = declare(RuleSet(Car, Drive))


def seen(**changes: Any) -> Facts:
    """A free and dry junction on green; any field may be changed."""
    fields = {"gap_m": 50.0, "rival_m": 50.0, "light": "green", "is_wet": False, "is_blocked": False}
    return Facts.of(Car, **(fields | changes))


def situation(facts: Facts | None, rules: Rules = RULES, **changes: Any) -> Situation:
    arguments: dict[str, Any] = {
        "agent": "car-1",
        "role": "car",
        "words": lexicon(rules),
        "facts": facts,
        "goal": GOAL,
        "safe_stop": 0,
    }
    return Situation(**arguments | changes)


class Asked:
    """An `Ask` that answers by a script and keeps the questions."""

    def __init__(self, policy: Policy) -> None:
        self._core = ScriptedCore(policy)
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Choice:
        self.requests.append(request)
        return self._core.decide([replace(request, evidence=False)])[0]


def answering(**changes: Any) -> Ask:
    """An `Ask` whose answer is changed after the fact, as a broken core would."""

    async def ask(request: Request) -> Choice:
        return replace(ScriptedCore(lambda _: GO).decide([request])[0], **changes)

    return ask


def settle(here: Situation, ask: Ask, knock_out: KnockOut | None = None, **ladder: Any) -> Decision:
    """The decision of a situation."""
    return asyncio.run(decide(here, ask, Ladder(**ladder), knock_out))


def by_turns(*answers: str | Mapping[str, float]) -> Policy:
    """Gives these answers, one a question; the last one for all others."""
    left = list(answers)

    def policy(request: Request) -> str | Mapping[str, float]:
        return left.pop(0) if len(left) > 1 else left[0]

    return policy


def actions_named(line: str) -> set[str]:
    """The actions that a line of a rule forbids."""
    return {word for word in line.partition(" : ")[2].split() if re.fullmatch(r"A\d+", word)}


def rules_named(line: str) -> set[str]:
    """The rules that a line speaks for."""
    return {word for word in line.partition(" : ")[2].split() if re.fullmatch(r"R\d+", word)}
