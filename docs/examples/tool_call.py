"""A model that calls a tool by the chat-completions protocol: `python docs/examples/tool_call.py URL MODEL [KEY]`.

Its arguments are untrusted text: they go to the guard as they are. What the guard says goes back as a tool message.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from typing import Any

from car import RULES, STOP, Car, Drive

from symbolic import Facts, Feedback, Guard, Guarded, Ladder

TOOL = {
    "type": "function",
    "function": {
        "name": "drive",
        "description": "What the car does next.",
        "parameters": Drive.model_json_schema(),
    },
}


class Driver:
    """A conversation in which the model calls the tool `drive`."""

    def __init__(self, url: str, model: str, key: str = "") -> None:
        self.url, self.model, self.key = url, model, key
        self.messages: list[dict[str, Any]] = []

    def propose(self, facts: Facts, feedback: Feedback[Drive] | None) -> str:
        """The arguments of the model's next tool call, as text."""
        if feedback is None:
            self.messages = [{"role": "user", "content": f"You see {facts.to_json()}. Drive."}]
        else:
            call = self.messages[-1]["tool_calls"][0]["id"]
            self.messages.append({"role": "tool", "tool_call_id": call, "content": f"Refused.\n{feedback.text}"})
        message = self._completed()["choices"][0]["message"]
        self.messages.append(message)
        arguments: str = message["tool_calls"][0]["function"]["arguments"]
        return arguments

    def _completed(self) -> dict[str, Any]:
        asked = {"model": self.model, "messages": self.messages, "tools": [TOOL], "tool_choice": "required"}
        request = urllib.request.Request(
            f"{self.url}/chat/completions",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            found: dict[str, Any] = json.load(response)
        return found


def drive(driver: Driver, car: Car, deadline_s: float = 10.0) -> Guarded[Drive]:
    """One guarded tool call; an answer that never comes, or that is no tool call, ends in a compliant action too."""
    guard = Guard(RULES, Ladder(safe_stop=STOP), deadline_s)
    return asyncio.run(guard.act(car, driver.propose))


if __name__ == "__main__":
    done = drive(Driver(*sys.argv[1:]), Car(gap_m=12.5, light="red"))
    print(done.action.manoeuvre, done.rung)
