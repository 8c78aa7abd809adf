"""One run, put together in one place: world, core, bus, agents, record. `episode.py` moves them, tick by tick.

Everything that a run depends on is built here and handed down; nothing is looked up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import JsonValue

from agents.deciding.agent import Agent
from agents.deciding.decide import Ladder
from agents.deciding.prompting import Resting, Style
from agents.messaging import (
    Bus,
    EmbeddedBroker,
    Identity,
    LocalBus,
    MqttBus,
)
from agents.recording.events import (
    OPERATOR_OWNER,
    RUN_OWNER,
    Fault,
    FaultKind,
    Header,
)
from agents.recording.log import RunLog
from localist_core import Core
from scenarios.cards import header_of
from scenarios.config import BusConfig, CoreConfig, Part, RunConfig
from scenarios.episode import VALID_TICKS, distrust, play
from scenarios.joint import rule_texts
from scenarios.recheck import Rechecks
from scenarios.reloading import Reloads, Source
from scenarios.remembered import Memories
from scenarios.scenario import Role, Scenario, load
from scenarios.stage import Stage, Watch
from scenarios.world import World
from symbolic.claiming.monotone import demand_monotone
from symbolic.proving.ranking import demand_ranked

RUNS = Path("runs")
"""Where run directories go by default."""


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
            rules = scenario.role_of(agent).rules
            demand_ranked(rules)
            demand_monotone(rules)
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
                    await play(stage, episode, watch)
                distrust(stage, await stage.rechecks.settle(is_last=True))
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
