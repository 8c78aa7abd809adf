"""Whether peers can block one agent, one for each of its actions: the worst that any number of them could do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from symbolic.domain import State
from symbolic.expression import Expr
from symbolic.joining.asking import Proof, violation_of
from symbolic.joining.placing import Place, Rules, assumed, counted_of, of_one, of_pair
from symbolic.joining.table import laid_out
from symbolic.reading.compiled import Codes
from symbolic.rules import RuleSet
from symbolic.solving.question import Point
from symbolic.solving.session import Atom


@dataclass(frozen=True, slots=True)
class Blockade:
    """An agent and peers that leave it no action."""

    state: type[State]
    """What all of them perceive and the peers do; `agent_1_` is the agent."""
    found: Codes | Literal[False] | None
    """Codes of such a state; False where there is none, None where it is not known."""


def blockade(proof: Proof, own: Rules, roles: Sequence[Rules], *, is_compliant: bool) -> Blockade:
    """Look for peers, one of each role for each action of an agent, that block all its actions together.

    They need not be possible together: no rule between two of them is asked for.

    Args:
        proof: what is asked with.
        own: the rule set of the agent's role.
        roles: those of all roles.
        is_compliant: whether each of the peers keeps the rules of its own role, and what it alone decides beside the
            agent.
    """
    agents = (own, *(role for _ in own.actions for role in roles))
    peers = range(1, len(agents))

    def say(place: Place) -> list[list[Expr]]:
        """Violations: of the agent's own rules, of what each peer keeps, of what it keeps with each peer; and what
        never holds of the agent.
        """
        alone = [[violation_of(one) for one in of_one(role, n, place)] for n, role in enumerate(agents)]
        kept: list[list[Expr]] = [[] for _ in peers]
        beside = [counted_of(proof.joints, agents, 0, peer, place) for peer in peers]
        for number, peer in enumerate(peers):
            for one in of_pair(proof.joints, agents, 0, peer, place):
                (kept if one.actors == {peer} else beside)[number].append(violation_of(one))
            kept[number] = [*alone[peer], *kept[number]] if is_compliant else []
        never = assumed(agents, place)
        kept = [[*never[peer], *of_peer] for peer, of_peer in zip(peers, kept, strict=True)]
        return [alone[0], *kept, *beside, never[0]]

    layout = laid_out(agents, say, peers)
    rules: Rules = RuleSet(layout.state, own.action)
    numbers: list[range] = []
    for violations in layout.said:
        start = len(numbers) and numbers[-1].stop
        numbers.append(range(start, start + len(violations)))
        for number, violation in zip(numbers[-1], violations, strict=True):
            rules.add(kind="forbid", name=f"r{number:06}", expression=violation)
    kept = [(Atom(rule=rule, is_broken=False),) for part in (*peers, len(numbers) - 1) for rule in numbers[part]]
    blocked = []
    for place, action in enumerate(own.actions):
        start = len(agents) + place * len(roles)
        against = [rule for part in (numbers[0], *numbers[start : start + len(roles)]) for rule in part]
        blocked.append(tuple(Atom(rule=rule, action=rules.codes_of(action)) for rule in against))
    answer = proof.find(rules, [*kept, *blocked]) if all(blocked) else False
    return Blockade(layout.state, answer.state if isinstance(answer, Point) else answer)
