"""A message that no encoding knows is shown and hashed all the same."""

from __future__ import annotations

from random import Random

from agents.deciding import Message, lexicon, render
from scenarios.curriculum import random_facts, random_rules
from scenarios.names import Names


def test_render_message_with_lone_surrogate_is_replaced_and_hashed() -> None:
    ruleset = random_rules(Random(1), Names(Random(1), held_out=False), 3)
    words = lexicon(ruleset)
    facts = random_facts(Random(1), ruleset.state)
    goal = tuple(range(len(words.actions)))

    prompt = render(words, facts, goal, messages=(Message(sender="car-1", text="a\ud800b"),))

    assert prompt["M1"].text == "car-1 : a?b"
    assert len(prompt.sha256) == 64
