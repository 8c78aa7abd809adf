"""The rules of the examples: a car at a junction."""

from __future__ import annotations

from typing import Literal

from symbolic import Action, RuleSet, State, fixed


class Car(State):
    """What the car perceives."""

    gap_m: float = fixed(ge=0, le=200, step=0.5)
    light: Literal["red", "amber", "green"]


class Drive(Action):
    """What it may do."""

    manoeuvre: Literal["stop", "slow", "go"]


RULES = RuleSet(Car, Drive)


@RULES.forbid(priority=90, source="StVO 37")
def enter_on_red(s: Car, a: Drive) -> bool:
    """Never enter the junction on red."""
    return (s.light == "red") & (a.manoeuvre == "go")


@RULES.require(priority=80, source="StVO 4")
def keep_the_gap(s: Car, a: Drive) -> bool:
    """Stop where the gap is short."""
    return (s.gap_m >= 5) | (a.manoeuvre == "stop")


STOP = Drive(manoeuvre="stop")
