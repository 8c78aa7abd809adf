"""All parts of a run that is on, and the little that changes from tick to tick."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from agents.deciding.agent import Agent
from agents.messaging import (
    Bus,
    Envelope,
)
from agents.recording.events import (
    RUN_OWNER,
    Fault,
    FaultKind,
    Header,
    Rung,
)
from agents.recording.log import RunLog
from localist_core import Core
from scenarios.config import RunConfig
from scenarios.recheck import Rechecks
from scenarios.reloading import Reloads
from scenarios.remembered import Memories
from scenarios.scenario import Scenario
from scenarios.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """How far a run is, once a tick."""

    episode: int
    """Index of the episode, from 0."""
    tick: int
    """Ticks so far, over all episodes."""
    agents: int
    """Agents still acting."""
    decisions: int
    """Decisions so far."""
    corrected: int
    """Decisions so far whose first proposal was not executed."""


Watch = Callable[[Pulse], None]


@dataclass(slots=True, kw_only=True)
class Stage:
    """All parts of a run, and the little that changes from tick to tick."""

    config: RunConfig
    scenario: Scenario
    world: World
    core: Core
    bus: Bus
    log: RunLog
    agents: dict[str, Agent]
    """Agents by name, sorted."""
    header: Header
    rechecks: Rechecks
    memories: Memories
    """What is remembered in this episode."""
    reloads: Reloads | None = None
    """Rules that change in the middle of the run; None where none do."""
    inboxes: dict[str, tuple[Envelope, ...]] = field(default_factory=dict)
    """What the last barrier gave out."""
    tick: int = 0
    is_bus_down: bool = False
    is_distrusted: bool = False
    """Z3 contradicted a verdict: from then on every agent does its safe stop."""
    spent_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Part -> wall-clock seconds."""
    rungs: Counter[Rung] = field(default_factory=Counter)
    written: set[str] = field(default_factory=set)
    """Hashes of the rule sets that lie beside the record."""

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Count the wall-clock time of a block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent_s[part] += time.perf_counter() - start

    def fault(self, kind: FaultKind, detail: str, count: int = 1) -> None:
        """Record what went wrong with the run as a whole."""
        self.log.chain(RUN_OWNER).append(self.tick, Fault(fault=kind, detail=detail, count=count))

    @property
    def t_sim(self) -> float:
        """Simulated time since the run began, in seconds."""
        return round(self.tick * self.world.step_s, 6)
