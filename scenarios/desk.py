"""The desk where agents put their questions: all that is asked at once goes to the core as one batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from agents.recording.events import FLOAT_DIGITS
from localist_core import Choice, Core, CoreError, Request


class Desk:
    """Answers as soon as every agent that is still deciding has either asked or left.

    The batch is in order of agent names, so that a tick's decisions depend neither on the order in which tasks run nor
    on the time that anything takes.
    """

    def __init__(self, core: Core, agents: Iterable[str]) -> None:
        self._core = core
        self._deciding = set(agents)
        self._waiting: dict[str, tuple[Request, asyncio.Future[Choice]]] = {}
        self.busy_s = 0.0
        """Wall-clock time spent in the core."""

    async def ask(self, request: Request) -> Choice:
        """The core's answer.

        Raises:
            CoreError: the core has none, for all that asked at once.
            ValueError: the agent is not deciding, or has a question open.
        """
        if request.agent not in self._deciding or request.agent in self._waiting:
            raise ValueError(f"expected a deciding agent without an open question, got `{request.agent}`")
        answer: asyncio.Future[Choice] = asyncio.get_running_loop().create_future()
        self._waiting[request.agent] = (request, answer)
        self._answer_if_all_asked()
        return await answer

    def knock_out(self, request: Request, block: str) -> float:
        """The core's own knock-out, its time counted here."""
        start = time.perf_counter()
        try:
            return self._core.knock_out(request, block)
        finally:
            self.busy_s += time.perf_counter() - start

    @contextmanager
    def aside(self, agent: str) -> Iterator[None]:
        """While an agent waits for something else, the others need not wait for it."""
        self.leave(agent)
        try:
            yield
        finally:
            self._deciding.add(agent)

    def leave(self, agent: str) -> None:
        """An agent has decided, or has given up: the others need not wait for it."""
        self._deciding.discard(agent)
        self._answer_if_all_asked()

    def _answer_if_all_asked(self) -> None:
        if not self._waiting or len(self._waiting) < len(self._deciding):
            return
        asked = [self._waiting[agent] for agent in sorted(self._waiting)]
        self._waiting.clear()
        if all(answer.done() for _, answer in asked):
            return  # whoever asked has been cancelled
        start = time.perf_counter()
        try:
            choices = self._core.decide([request for request, _ in asked])
            answers: list[Choice | CoreError] = list(map(_as_recorded, choices))
        except CoreError as error:
            answers = [error] * len(asked)
        self.busy_s += time.perf_counter() - start
        for (_, waiting), answer in zip(asked, answers, strict=True):
            if waiting.done():
                continue  # Ctrl-C came while the core was busy
            if isinstance(answer, CoreError):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)


def _as_recorded(choice: Choice) -> Choice:
    """The choice with the digits that a trace keeps, so that a replay climbs the ladder by the same numbers."""
    digits = tuple(round(probability, FLOAT_DIGITS) for probability in choice.probabilities)
    return replace(choice, probabilities=digits, margin=round(choice.margin, FLOAT_DIGITS))
