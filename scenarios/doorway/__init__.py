"""The corridors without right of way: joint rules alone keep two carts from entering the shared cell together."""

from scenarios.corridor.rules import Move
from scenarios.corridor.world import CorridorWorld
from scenarios.doorway.rules import joint, rules
from scenarios.scenario import Role, Scenario

cart = Role(goal="reach the far end soon: go wherever that is allowed", rules=rules, safe_stop=Move(step="wait"))
scenario = Scenario(name="doorway", world=CorridorWorld, roles={"cart": cart}, joint=joint)

__all__ = ["scenario"]
