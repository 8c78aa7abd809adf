"""Computes every attempt of a recorded run again, alone, with the core that the header names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agents.recording.errors import TraceError
from agents.recording.events import FLOAT_DIGITS, AttemptRecord
from agents.recording.trace import Trace
from localist_core import Block, BlockKind, Core, Dial, Prompt, PromptError, Request, Trust
from localist_core.serving.verify import Recomputed, recompute
from scenarios.config import ConfigError, RunConfig
from scenarios.recorded import choice_of_record
from scenarios.run import load_core
from scenarios.scenario import load


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an attempt stands in a trace."""

    agent: str
    tick: int
    number: int
    """Index among the attempts of its decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputation:
    """All attempts of a run, computed again."""

    core: str
    """Name of the core."""
    fingerprint: str
    is_batch_invariant: bool | None
    """What the core's self-check says; see `Capabilities`."""
    attempts: tuple[tuple[Place, Recomputed], ...]
    """In the order of tick, agent and attempt."""

    @property
    def is_equal(self) -> bool:
        """Whether every number of every attempt is the same."""
        return all(one.is_equal for _, one in self.attempts)


Watch = Callable[[int, int], None]
"""Told how many attempts are done, of how many."""


def recompute_run(
    path: Path, *, model: Path | None = None, core: Core | None = None, watch: Watch = lambda done, total: None
) -> Recomputation:
    """Compute the attempts of a run again and compare.

    Args:
        path: a run directory or a trace file; a run that was cut short is read as far as it got.
        model: where the run's model lies now; None = where the header says.
        core: what answers; loaded as the header says where None.
        watch: called after each attempt.

    Raises:
        TraceError: no run there, or a prompt that is not what its hash says.
        ConfigError: the core has another fingerprint than the recorded one.
        ScenarioError: the run's scenario cannot be found any more.
        CoreError: no such model, or an attempt that the core cannot answer.
    """
    trace = Trace.read(path)
    config = RunConfig.from_json(trace.header.config)
    if core is None:
        core = load_core(config.core if model is None else replace(config.core, model=model))
    _check(trace, core)
    asked = list(_asked(trace, config))
    found = []
    for done, (place, request, attempt) in enumerate(asked, 1):
        recorded = choice_of_record(attempt)
        one = recompute(core, request, recorded, digits=FLOAT_DIGITS, knock_outs=attempt.knock_out_nats)
        found.append((place, one))
        watch(done, len(asked))
    return Recomputation(
        core=core.capabilities.name,
        fingerprint=core.capabilities.fingerprint,
        is_batch_invariant=core.capabilities.is_batch_invariant,
        attempts=tuple(found),
    )


def _check(trace: Trace, core: Core) -> None:
    then, now = trace.header.core, core.capabilities
    if then.fingerprint == now.fingerprint:
        return
    parts = then.fingerprint.partition("-"), now.fingerprint.partition("-")
    what = "device or versions" if parts[0][0] == parts[1][0] else "model"
    raise ConfigError(
        f"expected the core `{then.fingerprint}` ({then.name}) that the run was made with, got `{now.fingerprint}` "
        f"({now.name}), another {what}; use that one"
    )


def _asked(trace: Trace, config: RunConfig) -> Iterator[tuple[Place, Request, AttemptRecord]]:
    """Every question of a run as it was put, with its record."""
    scenario = load(config.scenario)
    for step in trace.steps():
        if step.decision is None or not step.decision.attempts:
            continue
        own = scenario.role_of(step.agent).dial
        schedule = own if config.setting is None else config.setting.schedule_for(own)
        for number, attempt in enumerate(step.decision.attempts):
            place = Place(agent=step.agent, tick=step.tick, number=number)
            # The record keeps value, exponent and targets; kind and heads are those of the role or of the setting.
            dial = Dial(
                attempt.dial.value,
                frozenset(attempt.dial.targets),
                attempt.dial.gamma,
                kind=schedule.kind,
                heads=schedule.heads,
            )
            yield place, _request(trace, place, attempt, dial), attempt


def _request(trace: Trace, place: Place, attempt: AttemptRecord, dial: Dial) -> Request:
    where = f"`{place.agent}` in tick {place.tick}, attempt {place.number + 1}"
    try:
        blocks = tuple(
            Block(kind=BlockKind(ref.kind), name=ref.name, text=trace.texts[ref.text_sha256], trust=Trust(ref.trust))
            for ref in attempt.blocks
        )
        prompt = Prompt(blocks)
    except (KeyError, ValueError, PromptError) as error:
        raise TraceError(
            f"expected the whole prompt of {where}, got {error}; check it with `localist audit`"
        ) from error
    if prompt.sha256 != attempt.prompt_sha256:
        raise TraceError(
            f"expected the prompt {attempt.prompt_sha256[:12]} of {where}, got {prompt.sha256[:12]}; "
            "check it with `localist audit`"
        )
    masses = attempt.masses
    has_evidence = masses is not None and masses.is_raw_from_dial_zero and dial.value > 0.0
    return Request(agent=place.agent, prompt=prompt, actions=attempt.actions, dial=dial, evidence=has_evidence)
