"""A node of a graph of agents, as LangGraph calls it: an async function from the state to an update of it.

graph = StateGraph(Trip)
graph.add_node("drive", guarded(planner))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

from car import RULES, STOP

from symbolic import Facts, Feedback, Guard, Ladder


class Trip(TypedDict, total=False):
    """The state of the graph."""

    car: dict[str, Any]
    """What the car perceives."""
    feedback: str
    """What a planner is told when it is asked again."""
    proposal: dict[str, Any]
    """What the planner proposes."""
    action: dict[str, Any]
    """What is executed."""
    rung: str


Node = Callable[[Trip], Awaitable[Trip]]


def guarded(planner: Node, deadline_s: float = 5.0) -> Node:
    """A node that asks a planner's node, and gives on nothing but compliant actions and safe stops."""
    guard = Guard(RULES, Ladder(safe_stop=STOP), deadline_s)

    async def node(state: Trip) -> Trip:
        async def propose(facts: Facts, feedback: Feedback[Any] | None) -> dict[str, Any]:
            told: Trip = {**state, "feedback": "" if feedback is None else feedback.text}
            return (await planner(told))["proposal"]

        done = await guard.act(state["car"], propose)
        return {"action": done.action.model_dump(), "rung": done.rung.value}

    return node
