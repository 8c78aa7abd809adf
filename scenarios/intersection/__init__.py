"""Four cars of a fleet cross an intersection in other traffic; needs the extra `driving` (highway-env)."""

from scenarios.intersection.roles import car
from scenarios.intersection.world import IntersectionWorld
from scenarios.scenario import Scenario

scenario = Scenario(name="intersection", world=IntersectionWorld, roles={"car": car})

__all__ = ["IntersectionWorld", "scenario"]
