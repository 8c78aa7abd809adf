"""Who acts in the corridors: one role, the cart."""

from __future__ import annotations

from scenarios.corridor.rules import Move, rules
from scenarios.scenario import Role

cart = Role(goal="reach the far end soon: go wherever that is allowed", rules=rules, safe_stop=Move(step="wait"))
