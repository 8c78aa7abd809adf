"""One run, put together in one place: world, core, bus, agents, record; and the loop that moves them, tick by tick.

Read `run`, then `_tick`. Everything that a run depends on is built here and handed down; nothing is looked up.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import JsonValue

from agents.deciding.agent import Agent
from agents.deciding.decide import Ladder, unreadable
from agents.deciding.decision import Decision
from agents.deciding.prompting import Resting, Style
from agents.messaging import (
    Bus,
    BusDownError,
    BusTimeoutError,
    Claim,
    ClaimError,
    Delivery,
    EmbeddedBroker,
    Envelope,
    Identity,
    LocalBus,
    MqttBus,
    checked,
)
from agents.recording.events import (
    OPERATOR_OWNER,
    RUN_OWNER,
    TOGETHER,
    WORLD_OWNER,
    Fault,
    FaultKind,
    Header,
    Outcome,
    Rung,
)
from agents.recording.log import RunLog
from localist_core import Core
from scenarios.cards import header_of
from scenarios.config import BusConfig, CoreConfig, Part, RunConfig
from scenarios.desk import Desk
from scenarios.joint import broken_together, opened, rule_texts
from scenarios.metrics import measure
from scenarios.recheck import Rechecks
from scenarios.reloading import Reloads, Source
from scenarios.remembered import Memories
from scenarios.scenario import Role, Scenario, load
from scenarios.world import Truths, World, WorldError
from symbolic import DomainError, Facts, MonitorError
from symbolic.proving.ranking import demand_ranked
from symbolic.solving.redecision import Mismatch

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
VALID_TICKS = 2
"""What is announced in one tick is for the next one; older messages are not acted on."""


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


def run(
    config: RunConfig,
    *,
    out: Path | None = None,
    watch: Watch = lambda pulse: None,
    core: Core | None = None,
    header: Header | None = None,
    rechecks: Rechecks | None = None,
    source: Source | None = None,
    identity: Identity | None = None,
) -> Path:
    """Run a scenario to its end; gives the run directory.

    Args:
        config: all settings.
        out: run directory; the first free one of `runs/NAME-SEED` where None.
        watch: called once a tick.
        core: what proposes; loaded as the settings say where None.
        header: written in place of the run's own: a replay writes the one that it replays.
        rechecks: decides verdicts again; Z3 does where None.
        source: gives the signed proposals of rules; where None the operator of this run signs those of the settings.
        identity: the operator's key; where None one made of the seed, which is no secret.

    Raises:
        KeyboardInterrupt: Ctrl-C; the message says where the closed record lies.
        ScenarioError, CoreError, MessagingError, RecordingError, ConfigError, SettingError: the user's input.
    """
    scenario = load(config.scenario)
    world = scenario.world()
    try:
        for agent in world.possible_agents:
            demand_ranked(scenario.role_of(agent).rules)
        core = core or load_core(config.core)
        if config.setting is not None:
            config.setting.check(core.capabilities)
        if config.has(Part.JOINT):
            scenario.demand_words(world.possible_agents)
        header = header or header_of(config, scenario, core.capabilities, world.possible_agents)
        path = out or free_path(RUNS, f"{scenario.name}-{config.seed}")
        reloads = Reloads.of(config, scenario, header.run, source, identity) if config.reloads else None
        asyncio.run(_perform(config, scenario, world, core, header, path, watch, rechecks or Rechecks(), reloads))
    except KeyboardInterrupt:
        where = f"; what was decided until then is in `{path}`" if "path" in locals() else " before the first tick"
        raise KeyboardInterrupt(f"interrupted{where}") from None
    finally:
        world.close()
    return path


def load_core(config: CoreConfig, *, temperature: float = 1.0) -> Core:
    """The core that ships, or one from a model directory; `temperature` is that of attention, see `SharedCore.load`.

    Raises:
        CoreError: no complete model there, or one that cannot be steered.
        ConfigError: a device that is not there.
    """
    from transformers.utils import logging

    from localist_core import SharedCore

    logging.disable_progress_bar()  # type: ignore[no-untyped-call] # what a run shows is ours to say
    return SharedCore.load(
        config.model, device=config.device, dtype=config.dtype, threads=config.threads, temperature=temperature
    )


def free_path(folder: Path, name: str) -> Path:
    """The first of `NAME`, `NAME-2`, `NAME-3`, ... that is not there yet."""
    paths = (folder / (name if number == 1 else f"{name}-{number}") for number in range(1, 1_000_000))
    return next(path for path in paths if not path.exists())


async def _perform(
    config: RunConfig,
    scenario: Scenario,
    world: World,
    core: Core,
    header: Header,
    path: Path,
    watch: Watch,
    rechecks: Rechecks,
    reloads: Reloads | None,
) -> None:
    """Open bus and record, run all episodes, close them whatever happens."""
    async with open_bus(config.bus, header.run) as bus:
        with RunLog.open(path, header) as log:
            log.write_rules(rule_texts(scenario, config))
            agents = {
                name: agent_of(name, scenario, config, header.run, log, VALID_TICKS * world.step_s)
                for name in sorted(world.possible_agents)
            }
            for name in agents:
                bus.subscribe(name)
            if reloads is not None:
                bus.subscribe(OPERATOR_OWNER, hears=())
            stage = Stage(
                config=config,
                scenario=scenario,
                world=world,
                core=core,
                bus=bus,
                log=log,
                agents=agents,
                header=header,
                rechecks=rechecks,
                reloads=reloads,
                memories=Memories(step_s=world.step_s, start_s=0.0),
            )
            start = time.perf_counter()
            try:
                for episode in range(config.episodes):
                    await _episode(stage, episode, watch)
                _distrust(stage, await stage.rechecks.settle(is_last=True))
                for late in [one for one in config.reloads if one.tick >= stage.tick]:
                    said = Fault(fault=FaultKind.RULES_REFUSED, detail=f"the run ended before tick {late.tick}")
                    log.chain(RUN_OWNER).append(max(0, stage.tick - 1), said)
            finally:
                if reloads is not None:
                    reloads.close()
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
    # Messages of one episode mean nothing in the next, but rules do.
    stage.inboxes = {n: tuple(one for one in inbox if one.type == "rules") for n, inbox in stage.inboxes.items()}
    stage.memories = Memories(step_s=stage.world.step_s, start_s=stage.t_sim)
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
    if stage.reloads is not None:
        with stage.timed("reload"):
            await _reload(stage, stage.reloads)
    seen = {name: _perceive(stage, name) for name in sorted(stage.world.agents)}
    with stage.timed("deciding"):
        decisions = await _decide_all(stage, seen)
    for decision in decisions.values():
        _note_verdicts(stage, decision)
    envelopes = _announce(stage, list(seen)) if stage.config.has(Part.MESSAGES) else []
    if stage.reloads is not None:
        chain = stage.log.chain(OPERATOR_OWNER)
        envelopes += stage.reloads.announce(stage.tick, stage.t_sim, VALID_TICKS * stage.world.step_s, chain)
    with stage.timed("log"):
        stage.log.flush()  # INVARIANT: an unrecorded decision never acts
    _move(stage, decisions, history)
    if stage.config.has(Part.MESSAGES):
        with stage.timed("bus"):
            await _exchange(stage, envelopes)
    _distrust(stage, await stage.rechecks.settle())
    with stage.timed("log"):
        stage.log.flush()


async def _reload(stage: Stage, reloads: Reloads) -> None:
    """At the boundary of a tick: hear what is proposed, and swap what is due, for every agent of a role at once."""
    heard = {one.id: one for inbox in stage.inboxes.values() for one in inbox if one.type == "rules"}
    for refused in reloads.hear(stage.tick, [heard[name] for name in sorted(heard)]):
        stage.fault(FaultKind.RULES_REFUSED, refused)
    async for change in reloads.due(stage.tick):
        if isinstance(change, str):
            stage.fault(FaultKind.RULES_REFUSED, change)
            continue
        stage.log.write_rules({change.after.sha256: change.after.to_json()})
        stage.written.add(change.after.sha256)
        stage.scenario = change.scenario
        for agent in stage.agents.values():
            if agent.role == change.role:
                agent.adopt(change.after)
        stage.log.chain(RUN_OWNER).append(stage.tick, change.event)


def _perceive(stage: Stage, name: str) -> Facts | None:
    """What an agent perceives in this tick, the claims that reached it included; None if there is no observation."""
    claims = _heard(stage, name)
    if stage.is_distrusted:
        return None  # facts whose verdicts were contradicted are none: the ladder goes straight to the safe stop
    with stage.timed("world"):
        try:
            stage.world.receive(name, claims)
            role = stage.scenario.role_of(name)
            return stage.memories.of_perceived(name, role, stage.world.symbols(name), stage.t_sim)
        except (DomainError, WorldError, MonitorError) as error:
            fault = Fault(fault=FaultKind.OBSERVATION_MISSING, detail=" ".join(str(error).split()))
            stage.agents[name].chain.append(stage.tick, fault)
            return None


def _heard(stage: Stage, name: str) -> dict[str, Claim]:
    """The valid claims of an inbox by sender, a sender's claims of one tick put together; others are recorded."""
    heard: dict[str, Claim] = {}
    for envelope in stage.inboxes.get(name, ()):
        if envelope.type != "claim" or not envelope.is_valid_at(stage.t_sim):
            continue
        try:
            claim = checked(envelope.claim(), stage.world.claim_fields)
        except ClaimError as error:
            stage.agents[name].chain.append(stage.tick, Fault(fault=FaultKind.CLAIM_REFUSED, detail=str(error)))
            continue
        before = heard.get(envelope.src)
        fields = claim.fields if before is None else before.fields | claim.fields
        heard[envelope.src] = claim.model_copy(update={"fields": fields})
    return heard


async def _decide_all(stage: Stage, seen: dict[str, Facts | None]) -> dict[str, Decision]:
    """All decisions of a tick, the questions of all agents in common batches."""
    desk = Desk(stage.core, seen)
    knock_out = desk.knock_out if stage.core.capabilities.traces else None
    commits = opened(stage.scenario, stage.config, seen, desk)

    async def act(name: str, facts: Facts | None) -> Decision:
        goal = stage.world.describe(name).goal
        inbox = stage.inboxes.get(name, ())
        try:
            return await stage.agents[name].act(
                stage.tick, stage.t_sim, facts, goal, inbox, desk.ask, knock_out, commits
            )
        finally:
            desk.leave(name)
            if commits is not None:
                commits.close(name)

    found = await asyncio.gather(*(act(name, facts) for name, facts in seen.items()))
    stage.spent_s["core"] += desk.busy_s
    stage.rungs.update(decision.rung for decision in found)
    new = {one.rules.sha256: one.rules for one in found if one.rules.sha256 not in stage.written}
    stage.log.write_rules({sha256: rules.to_json() for sha256, rules in new.items()})
    stage.written.update(new)
    return dict(zip(seen, found, strict=True))


def agent_of(name: str, scenario: Scenario, config: RunConfig, run: str, log: RunLog, valid_s: float) -> Agent:
    """One agent of a run, with its role and its own log."""
    role = scenario.role_of(name)
    return Agent(
        name,
        run=run,
        role=name.rpartition("-")[0] or name,
        rules=role.rules,
        safe_stop=role.safe_stop,
        schedule=role.dial if config.setting is None else config.setting.schedule_for(role.dial),
        ladder=ladder_of(config, role),
        chain=log.chain(name),
        valid_s=valid_s,
        shield=role.shield if config.has(Part.SHIELD) else None,
    )


def ladder_of(config: RunConfig, role: Role) -> Ladder:
    """The rungs that a role may use in this run."""
    return Ladder(
        asks=role.asks if config.has(Part.INJECTION) else 0,
        dials=config.has(Part.DIAL),
        chooses=config.has(Part.CHOOSE),
        binds=config.has(Part.SHIELD),
        concedes=role.concedes,
        style=Style(has_rulebook=config.has(Part.RULES)),
        resting=Resting.TRUSTED if config.setting is None else Resting(config.setting.targets),
    )


def _note_verdicts(stage: Stage, decision: Decision) -> None:
    """Every verdict that this decision rests on will be decided again."""
    facts = decision.facts
    if facts is None or unreadable(facts, decision.rules):
        return  # nothing was decided on such facts
    verdicts = [attempt.verdict for attempt in decision.attempts]
    if not verdicts or verdicts[-1] is not decision.verdict:
        verdicts.append(decision.verdict)
    for verdict in verdicts:
        stage.rechecks.note(decision.rules, facts, verdict)


def _announce(stage: Stage, names: list[str]) -> list[Envelope]:
    """What the agents say about the present, one claim of each kind, recorded before it is sent."""
    kinds = {key: declared.kind for key, declared in stage.world.claim_fields.items()}
    envelopes = []
    for name in names:
        said = stage.world.claims(name)
        for kind in sorted({kinds[key] for key in said}):
            fields = {key: value for key, value in sorted(said.items()) if kinds[key] == kind}
            claim = Claim(kind=kind, sender=name, fields=fields, tick=stage.tick)
            envelopes.append(stage.agents[name].announce(stage.tick, stage.t_sim, claim))
    return envelopes


def _move(stage: Stage, decisions: dict[str, Decision], history: list[Truths]) -> None:
    """Let the world move, and record what it was given and what came of it."""
    with stage.timed("world"):
        _, rewards, terminations, truncations, _ = stage.world.step({n: d.action for n, d in decisions.items()})
        before, after = history[-1], stage.world.truth()
    history.append(after)
    chain = stage.log.chain(WORLD_OWNER)
    before = stage.memories.of_truths(before, {name: stage.scenario.role_of(name) for name in decisions}, stage.t_sim)
    together = broken_together(stage.scenario, before, decisions)
    for name, decision in decisions.items():
        stage.agents[name].applied(stage.tick)
        rules, facts, truth = stage.scenario.role_of(name).rules, before.agents[name].facts, after.agents[name]
        violated = rules.check(facts, rules.actions[decision.action]).violations if facts is not None else ()
        outcome = Outcome(
            agent=name,
            violated=(*(violation.name for violation in violated), *(together or {}).get(name, ())),
            measures={
                "has_arrived": truth.has_arrived,
                "has_crashed": truth.has_crashed,
                "speed_mps": float(truth.speed_mps),
                **({} if together is None else {TOGETHER: len(together[name])}),
            },
            reward=float(rewards[name]),
            is_terminated=bool(terminations[name]),
            is_truncated=bool(truncations[name]),
        )
        chain.append(stage.tick, outcome)


def _record_episode(stage: Stage, episode: int, history: list[Truths]) -> None:
    """The assessor's measures of one episode, as an outcome of the world itself."""
    found = {key: value for key, value in asdict(measure(history)).items() if math.isfinite(value)}
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
    stage.inboxes = dict(delivery.inboxes) if delivery else {}


def _distrust(stage: Stage, mismatches: list[Mismatch]) -> None:
    """Record verdicts that Z3 contradicted; after the first, nothing but safe stops is executed."""
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
        "inconclusive": stage.rechecks.num_inconclusive,
        "spent_s": {name: round(value, 6) for name, value in sorted(spent.items())},
    }
