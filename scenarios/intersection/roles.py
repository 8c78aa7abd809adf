"""Who acts at the crossing: one role, the car."""

from __future__ import annotations

from scenarios.intersection.rules import Drive, rules
from scenarios.scenario import Role

car = Role(
    goal="cross the junction safely and soon: go faster while slow, otherwise keep the pace",
    rules=rules,
    safe_stop=Drive(pace="slow"),
)
