"""One run, put together in one place: world, core, bus, agents, record; and the loop that moves them, tick by tick.

Read `run`, then `_tick`. Everything that a run depends on is built here and handed down; nothing is looked up.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import JsonValue

from agents.deciding.decide import Ladder, Situation, decide
from agents.deciding.decision import Decision, label
from agents.deciding.prompting import Style
from agents.messaging import Bus, BusDownError, BusTimeoutError, Delivery, EmbeddedBroker, Envelope, LocalBus, MqttBus
from agents.recording.events import RUN_OWNER, WORLD_OWNER, Applied, Fault, FaultKind, Header, Outcome, Rung
from agents.recording.log import RunLog
from localist_core import Core
from scenarios.actor import Actor
from scenarios.cards import header_of
from scenarios.config import BusConfig, CoreConfig, Part, RunConfig
from scenarios.desk import Desk
from scenarios.metrics import measure
from scenarios.recheck import Rechecks
from scenarios.scenario import Role, Scenario, load
from scenarios.world import Description, Truths, World, WorldError
from symbolic import DomainError, Facts
from symbolic.smt import Mismatch

RUNS = Path("runs")
"""Where run directories go by default."""


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
    actors: dict[str, Actor]
    header: Header
    rechecks: Rechecks = field(default_factory=Rechecks)
    tick: int = 0
    is_bus_down: bool = False
    is_distrusted: bool = False
    """Z3 did not confirm a verdict: from then on every agent does its safe stop."""
    spent_s: Counter[str] = field(default_factory=Counter)
    """Part -> wall-clock seconds."""
    rungs: Counter[Rung] = field(default_factory=Counter)

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


def run(
    config: RunConfig,
    *,
    out: Path | None = None,
    watch: Watch = lambda pulse: None,
    core: Core | None = None,
    header: Header | None = None,
) -> Path:
    """Run a scenario to its end; gives the run directory.

    Args:
        config: all settings.
        out: run directory; the first free one of `runs/NAME-SEED` where None.
        watch: called once a tick.
        core: what proposes; loaded as the settings say where None.
        header: written in place of the run's own: a replay writes the one that it replays.

    Raises:
        KeyboardInterrupt: Ctrl-C; the message says where the closed record lies.
        ScenarioError, CoreError, MessagingError, RecordingError, ConfigError: the user's input, in one line.
    """
    scenario = load(config.scenario)
    world = scenario.world()
    try:
        for agent in world.possible_agents:
            scenario.role_of(agent)
        core = core or load_core(config.core)
        header = header or header_of(config, scenario, core.capabilities, world.possible_agents)
        path = out or free_path(RUNS, f"{scenario.name}-{config.seed}")
        asyncio.run(_perform(config, scenario, world, core, header, path, watch))
    except KeyboardInterrupt:
        where = f"; what was decided until then is in `{path}`" if "path" in locals() else " before the first tick"
        raise KeyboardInterrupt(f"interrupted{where}") from None
    finally:
        world.close()
    return path


def load_core(config: CoreConfig) -> Core:
    """The core that ships, or one from a model directory.

    Raises:
        CoreError: no complete model there, or one that cannot be steered.
        ConfigError: a device that is not there.
    """
    from transformers.utils import logging

    from localist_core import SharedCore

    logging.disable_progress_bar()  # what a run shows is ours to say
    return SharedCore.load(config.model, device=config.device, dtype=config.dtype, threads=config.threads)


def free_path(folder: Path, name: str) -> Path:
    """The first of `NAME`, `NAME-2`, `NAME-3`, ... that is not there yet."""
    paths = (folder / (name if number == 1 else f"{name}-{number}") for number in range(1, 1_000_000))
    return next(path for path in paths if not path.exists())


async def _perform(
    config: RunConfig, scenario: Scenario, world: World, core: Core, header: Header, path: Path, watch: Watch
) -> None:
    """Open bus and record, run all episodes, close them whatever happens."""
    async with open_bus(config.bus, header.run) as bus:
        with RunLog.open(path, header) as log:
            actors = {
                agent: Actor(name=agent, role=scenario.role_of(agent), chain=log.chain(agent))
                for agent in sorted(world.possible_agents)
            }
            for agent in actors:
                bus.subscribe(agent)
            stage = Stage(
                config=config, scenario=scenario, world=world, core=core, bus=bus, log=log, actors=actors, header=header
            )
            start = time.perf_counter()
            try:
                for episode in range(config.episodes):
                    await _episode(stage, episode, watch)
                _distrust(stage, await stage.rechecks.settle(is_last=True))
            finally:
                log.write_side(_side(stage, time.perf_counter() - start))


@asynccontextmanager
async def open_bus(config: BusConfig, run: str) -> AsyncIterator[Bus]:
    """The bus that the settings ask for; a broker of our own where they name none."""
    if config.kind == "local":
        async with LocalBus(run) as local:
            yield local
    elif config.broker is not None:
        async with MqttBus(run, url=config.broker) as remote:
            yield remote
    else:
        async with EmbeddedBroker() as broker, MqttBus(run, url=broker.url) as own:
            yield own


async def _episode(stage: Stage, episode: int, watch: Watch) -> None:
    """One episode from reset to the end of the last agent; its measures are recorded even if it is cut short."""
    stage.world.reset(seed=stage.config.seed + episode)
    history = [stage.world.truth()]
    for actor in stage.actors.values():
        actor.inbox = ()
    try:
        while stage.world.agents:
            await _tick(stage, history)
            stage.tick += 1
            decisions = sum(stage.rungs.values())
            watch(
                Pulse(
                    episode=episode,
                    tick=stage.tick,
                    agents=len(stage.world.agents),
                    decisions=decisions,
                    corrected=decisions - stage.rungs[Rung.PROPOSED],
                )
            )
    finally:
        _record_episode(stage, episode, history)


async def _tick(stage: Stage, history: list[Truths]) -> None:
    """Everybody hears, perceives, decides and announces; what was decided is on disk before the world moves."""
    agents = sorted(stage.world.agents)
    situations = {agent: _perceive(stage, agent) for agent in agents}
    with stage.timed("deciding"):
        decisions = await _decide_all(stage, situations)
    seqs = {agent: stage.actors[agent].record(stage.tick, decisions[agent]) for agent in agents}
    for agent in agents:
        _note_verdicts(stage, situations[agent], decisions[agent])
    envelopes = _announce(stage, agents) if stage.config.has(Part.MESSAGES) else []
    with stage.timed("log"):
        stage.log.flush()  # INVARIANT: an unrecorded decision never acts
    _move(stage, decisions, seqs, history)
    if stage.config.has(Part.MESSAGES):
        with stage.timed("bus"):
            await _exchange(stage, envelopes)
    _distrust(stage, await stage.rechecks.settle())
    with stage.timed("log"):
        stage.log.flush()


def _perceive(stage: Stage, agent: str) -> Situation:
    """What an agent hears and sees in this tick."""
    actor, world = stage.actors[agent], stage.world
    claims = actor.hear(stage.tick, stage.t_sim, world.claim_fields)
    facts: Facts | None
    with stage.timed("world"):
        try:
            world.receive(agent, claims)
            facts = world.symbols(agent)
        except (DomainError, WorldError):
            facts = None  # no observation is no approval: the ladder goes straight to the safe stop
        wish: Description = world.describe(agent)
    return actor.situation(stage.tick, facts, wish)


async def _decide_all(stage: Stage, situations: dict[str, Situation]) -> dict[str, Decision]:
    """All decisions of a tick, the questions of all agents in common batches."""
    if stage.is_distrusted:
        return {agent: _forced_stop(here) for agent, here in situations.items()}
    desk = Desk(stage.core, situations)

    async def one(here: Situation) -> Decision:
        try:
            ladder = ladder_of(stage.config, stage.actors[here.agent].role)
            return await decide(here, desk.ask, ladder, desk.knock_out if stage.core.capabilities.traces else None)
        finally:
            desk.leave(here.agent)

    found = await asyncio.gather(*map(one, situations.values()))
    stage.spent_s["core"] += desk.busy_s
    stage.rungs.update(decision.rung for decision in found)
    return dict(zip(situations, found, strict=True))


def ladder_of(config: RunConfig, role: Role) -> Ladder:
    """The rungs that a role may use in this run."""
    return Ladder(
        asks=role.asks if config.has(Part.INJECTION) else 0,
        dials=config.has(Part.DIAL),
        chooses=config.has(Part.CHOOSE),
        binds=config.has(Part.SHIELD),
        style=Style(has_rulebook=config.has(Part.RULES)),
    )


def _forced_stop(here: Situation) -> Decision:
    """The safe stop of an agent in a run whose verdicts are no longer believed."""
    verdict = here.rules.check(here.facts, here.rules.actions[here.safe_stop])  # type: ignore[arg-type] # None: undecided
    reason = "verdicts not confirmed"
    return Decision(action=here.safe_stop, rung=Rung.SAFE_STOP, verdict=verdict, attempts=(), reason=reason)


def _note_verdicts(stage: Stage, here: Situation, decision: Decision) -> None:
    """Every verdict that this decision rests on will be decided again."""
    if here.facts is None:
        return
    verdicts = [attempt.verdict for attempt in decision.attempts]
    if not verdicts or verdicts[-1] is not decision.verdict:
        verdicts.append(decision.verdict)
    for verdict in verdicts:
        stage.rechecks.note(here.rules, here.facts, verdict)


def _announce(stage: Stage, agents: list[str]) -> list[Envelope]:
    """What the agents say about the present, recorded before it is sent."""
    kinds = {name: declared.kind for name, declared in stage.world.claim_fields.items()}
    return [
        envelope
        for agent in agents
        for envelope in stage.actors[agent].announce(
            stage.header.run, stage.tick, stage.t_sim, stage.world.step_s, stage.world.claims(agent), kinds
        )
    ]


def _move(stage: Stage, decisions: dict[str, Decision], seqs: dict[str, int], history: list[Truths]) -> None:
    """Let the world move, and record what it was given and what came of it."""
    with stage.timed("world"):
        _, rewards, terminations, truncations, _ = stage.world.step({a: d.action for a, d in decisions.items()})
        before, after = history[-1], stage.world.truth()
    history.append(after)
    chain = stage.log.chain(WORLD_OWNER)
    for agent, decision in decisions.items():
        rules = stage.actors[agent].role.rules
        action = rules.actions[decision.action]
        stage.actors[agent].chain.append(
            stage.tick, Applied(action=label(decision.action), fields=action.model_dump(), decision_seq=seqs[agent])
        )
        true_facts, truth = before.agents[agent].facts, after.agents[agent]
        violated = rules.check(true_facts, action).violations if true_facts is not None else ()
        outcome = Outcome(
            agent=agent,
            violated=tuple(violation.name for violation in violated),
            measures={
                "has_arrived": truth.has_arrived,
                "has_crashed": truth.has_crashed,
                "speed_mps": float(truth.speed_mps),
            },
            reward=float(rewards[agent]),
            is_terminated=bool(terminations[agent]),
            is_truncated=bool(truncations[agent]),
        )
        chain.append(stage.tick, outcome)


def _record_episode(stage: Stage, episode: int, history: list[Truths]) -> None:
    """The assessor's measures of one episode, as an outcome of the world itself."""
    found = {name: value for name, value in asdict(measure(history)).items() if math.isfinite(value)}
    outcome = Outcome(agent=WORLD_OWNER, measures={"episode": episode, **found}, is_terminated=True)
    stage.log.chain(WORLD_OWNER).append(max(0, stage.tick - 1), outcome)


async def _exchange(stage: Stage, envelopes: list[Envelope]) -> None:
    """Send what was announced and close the tick; what the bus fails at is recorded, and nobody waits for it."""
    if stage.is_bus_down:
        return
    expected: Counter[str] = Counter()
    delivery: Delivery | None
    try:
        for envelope in envelopes:
            await stage.bus.publish(envelope)
            expected[envelope.src] += 1
        delivery = await stage.bus.drain(stage.tick, expected)
    except BusTimeoutError as error:
        stage.fault(FaultKind.BUS_TIMEOUT, "not every message of the tick arrived in time")
        delivery = error.delivery or await stage.bus.drain(stage.tick, {})
    except BusDownError as error:
        stage.fault(FaultKind.BUS_DOWN, "the link to the broker is gone; the run goes on without messages")
        stage.is_bus_down = True
        delivery = error.delivery
    for refused in delivery.refused if delivery else ():
        stage.fault(FaultKind.MESSAGE_REFUSED, f"{refused.reason.value} from {refused.src}", refused.count)
    for agent, actor in stage.actors.items():
        actor.inbox = delivery.inboxes.get(agent, ()) if delivery else ()


def _distrust(stage: Stage, mismatches: list[Mismatch]) -> None:
    """Record verdicts that Z3 did not confirm; after the first, nothing but safe stops is executed."""
    for mismatch in mismatches:
        said = f"{mismatch.rule}: recorded {mismatch.claimed}, found {mismatch.found}"
        stage.fault(FaultKind.CHECK_MISMATCH, f"{said}; {mismatch.reason}")
        stage.is_distrusted = True


def _side(stage: Stage, wall_s: float) -> dict[str, JsonValue]:
    """Wall-clock times and counts that are no part of the trace."""
    spent = dict(stage.spent_s)
    spent["rules and prompts"] = max(0.0, spent.pop("deciding", 0.0) - spent.get("core", 0.0))
    return {
        "wall_s": round(wall_s, 6),
        "sim_s": stage.t_sim,
        "rechecked": stage.rechecks.num_verdicts,
        "spent_s": {name: round(value, 6) for name, value in sorted(spent.items())},
    }
