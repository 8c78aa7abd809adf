"""Carts cross one cell that two corridors share; pure Python, for fast tests and first steps."""

from scenarios.corridor.roles import cart
from scenarios.corridor.world import CorridorWorld
from scenarios.scenario import Scenario

scenario = Scenario(name="corridor", world=CorridorWorld, roles={"cart": cart})

__all__ = ["CorridorWorld", "scenario"]
