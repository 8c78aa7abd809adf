"""A core that follows a script: the public test double, free of torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from localist_core.core import Capabilities, Choice, Request, check_capable, check_knock_out, choice_of
from localist_core.errors import RequestError

Policy = Callable[[Request], "str | Mapping[str, float]"]
"""Maps a request to the label of one action, or to weights >= 0 of some actions (scaled to sum 1; missing = 0)."""


class ScriptedCore:
    """Answers every request by a function. It traces nothing."""

    def __init__(self, policy: Policy, *, name: str = "scripted", dials: bool = True) -> None:
        """Follow a script.

        Args:
            policy: the script.
            name: of the core.
            dials: whether it says that it can dial. It can, since the script sees the dial; False stands in tests for
                a back end that cannot.
        """
        self._policy = policy
        self.capabilities = Capabilities(
            name=name,
            dials=dials,
            traces=False,
            cites=False,
            device="cpu",
            dtype="float64",
            fingerprint=hashlib.sha256(name.encode()).hexdigest()[:16] + "-scripted",
            is_batch_invariant=True,
        )

    def decide(self, requests: Sequence[Request]) -> tuple[Choice, ...]:
        """Ask the script about each request, in order.

        Raises:
            DialError: a dial above 0 where it cannot dial.
            RequestError: evidence was asked for, or the script answers with an unknown action.
        """
        check_capable(self.capabilities, requests)
        return tuple(choice_of(request, self._probabilities(request)) for request in requests)

    def knock_out(self, request: Request, block: str) -> float:
        """Refused: a script has no attention to cut.

        Raises:
            RequestError: always.
        """
        check_knock_out(self.capabilities, request, block)
        raise AssertionError("a core that cannot trace was let through")

    def _probabilities(self, request: Request) -> tuple[float, ...]:
        answer = self._policy(request)
        weights = {answer: 1.0} if isinstance(answer, str) else dict(answer)
        for action, weight in weights.items():
            if action not in request.actions:
                raise RequestError(f"expected one of the actions {' '.join(request.actions)}, got `{action}`")
            if not 0.0 <= weight < float("inf"):
                raise RequestError(f"expected a weight of 0 or more for action `{action}`, got `{weight}`")
        total = sum(weights.values())
        if total <= 0.0:
            raise RequestError(f"expected a positive weight for some action, got none for agent `{request.agent}`")
        return tuple(weights.get(action, 0.0) / total for action in request.actions)
