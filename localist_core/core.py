"""What a core is, seen from outside: requests in, scored choices with an exact attention trace out; no torch.

`SharedCore` (shared.py) holds one language model for all agents, `ScriptedCore` (scripted.py) is a public test double.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from localist_core.blocks import DECISION_KINDS, NEUTRAL_KINDS, Prompt, Trust
from localist_core.dial import Dial, Status
from localist_core.errors import DialError, RequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One agent asks for one decision."""

    agent: str
    """Who asks; not shown to the model."""
    prompt: Prompt
    actions: tuple[str, ...]
    """Labels that may be chosen, such as `A1`; each stands as a word in the options block."""
    dial: Dial
    evidence: bool = False
    """Also run a pass at dial 0, from which the raw masses and fidelities are then taken."""

    def __post_init__(self) -> None:
        if not self.actions:
            raise RequestError(f"expected at least one action for agent `{self.agent}`, got none")
        if len(set(self.actions)) < len(self.actions):
            raise RequestError(f"expected different actions for agent `{self.agent}`, got {' '.join(self.actions)}")
        check_targets(self.prompt, self.dial)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTrace:
    """Where the attention of the decision rows rested, block by block; means over rows, layers and heads, 6 digits."""

    blocks: tuple[str, ...]
    """Names of the prompt's blocks in order; a model with attention sinks of its own has `(sink)` as the last."""
    raw: tuple[float, ...]
    """Mass on each block before the dial, in [0, 1], sum 1. From the dial-0 pass if there was one, else read in the
    steered pass, where every layer but the first already sees a steered residual. Blocks that a hard cut kept out of
    the model count 0 there."""
    steered: tuple[float, ...]
    """Mass on each block as used, in [0, 1], sum 1."""
    raw_fidelity: float | None
    """Mean of m_S / (m_S + m_R) before the dial; None without targets, and where a hard cut kept blocks out of the
    model and no dial-0 pass was run."""
    steered_fidelity: float | None
    """The same after the dial: true by construction, evidence of nothing."""
    target_mass: float
    """Sum of `raw` over the targets, in [0, 1]; a fidelity near 1 can hold with almost none."""
    entropy_bits: float
    """Mean entropy of the masses as used over the blocks, >= 0."""
    layers: tuple[tuple[float | None, float | None], ...]
    """(raw fidelity, steered fidelity) of each layer; empty without targets, None where undefined."""
    is_raw_from_dial_zero: bool
    """Whether `raw` and `raw_fidelity` come from a pass at dial 0."""
    token_entropy_bits: float | None = None
    """Mean entropy H of the weights as used over all tokens, exact, >= 0; a model's own attention sink counts as one.
    None where the core cannot give it exactly, or a record does not hold it."""
    inner_entropy_bits: float | None = None
    """H', the same over the tokens that are not neutral, renormalised; None likewise, and where no row sees any."""
    statuses: tuple[tuple[Status, ...], ...] = ()
    """[layer][head] what the dial did on the decision rows; empty where a record does not hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The scored answer to one request."""

    actions: tuple[str, ...]
    """As asked."""
    probabilities: tuple[float, ...]
    """One for each action, sum 1: renormalised over the tokens possible at each place, multiplied along the label."""
    chosen: str
    """The most probable action; of equals the first."""
    margin: float
    """Probability of the best minus that of the second, in [0, 1]; 1 if there is one action."""
    citations: tuple[str | None, ...] | None
    """For each action the rule, such as `R3`, that the core says forbids it, None = none does; the whole field is None
    where the core cannot cite."""
    trace: BlockTrace | None
    """None where the core cannot trace."""
    dial: float
    """The dial used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a core can do; what it cannot is refused, never silently ignored."""

    name: str
    dials: bool
    """Honours a dial above 0; otherwise such a request is a `DialError`."""
    traces: bool
    """Gives a trace with every choice; otherwise asking for evidence or a knock-out is a `RequestError`."""
    cites: bool
    device: str
    dtype: str
    fingerprint: str
    """Equal fingerprints give equal choices: `MODEL-PLATFORM`, both hashes in hex."""
    is_batch_invariant: bool | None = None
    """Whether a request gets the same bits alone as among others, tried at load; None = it was not tried."""
    batch_difference: str = ""
    """What differed when that was tried, in one line; empty if nothing did."""


class Core(Protocol):
    """Decides for many agents at once."""

    @property
    def capabilities(self) -> Capabilities: ...

    def decide(self, requests: Sequence[Request]) -> tuple[Choice, ...]:
        """Answer all requests, in their order.

        Raises:
            CoreError: no answer; of any request, for all.
        """
        ...

    def knock_out(self, request: Request, block: str) -> float:
        """Change, in nats, of the log-probability of the chosen action when the decision rows cannot see `block`.

        Both sides use the request's own dial; for evidence ask with `Dial.off()`.

        Raises:
            CoreError: no such block, one of the decision itself, or no answer.
        """
        ...


def choice_of(
    request: Request,
    probabilities: Sequence[float],
    *,
    citations: tuple[str | None, ...] | None = None,
    trace: BlockTrace | None = None,
) -> Choice:
    """The choice that follows from the probabilities of a request's actions, in order."""
    best = max(range(len(probabilities)), key=lambda index: probabilities[index])
    others = [p for index, p in enumerate(probabilities) if index != best]
    return Choice(
        actions=request.actions,
        probabilities=tuple(probabilities),
        chosen=request.actions[best],
        margin=probabilities[best] - max(others) if others else 1.0,
        citations=citations,
        trace=trace,
        dial=request.dial.value,
    )


def gathered(prompt: Prompt, dial: Dial) -> Prompt:
    """The blocks that the model reads under a dial.

    What a hard cut in all layers takes away and nothing trusted has seen, is not even read: so the decision cannot
    depend on its content or length (framework, section 3, non-interference).
    """
    if not dial.is_whole_cut:
        return prompt
    return prompt.without(
        block.name
        for block in prompt.blocks
        if block.trust is Trust.UNTRUSTED and block.kind not in DECISION_KINDS and block.name not in dial.targets
    )


def check_targets(prompt: Prompt, dial: Dial) -> None:
    """Raise `DialError` unless all targets are blocks of the prompt, and none of them neutral."""
    neutral = {block.name for block in prompt.blocks if block.kind in NEUTRAL_KINDS}
    names = set(prompt.names())
    for target in sorted(dial.targets):
        if target not in names:
            raise DialError(f"expected targets that are blocks of the prompt, got `{target}`")
        if target in neutral:
            raise DialError(f"expected targets that are not neutral, got `{target}`; leave it out")


def check_capable(capabilities: Capabilities, requests: Sequence[Request]) -> None:
    """Refuse what a core says it cannot do; nothing that was asked for is silently left out.

    Raises:
        DialError: a dial above 0 to a core that cannot dial.
        RequestError: evidence from a core that cannot trace.
    """
    for request in requests:
        if request.dial.value > 0.0 and not capabilities.dials:
            raise DialError(
                f"expected dial 0 for core `{capabilities.name}`, which cannot dial, got `{request.dial.value}` "
                f"of agent `{request.agent}`; use Dial.off() or another core"
            )
        if request.evidence and not capabilities.traces:
            raise RequestError(
                f"expected no evidence from core `{capabilities.name}`, which cannot trace, "
                f"got such a request of agent `{request.agent}`; use another core"
            )


def check_knock_out(capabilities: Capabilities, request: Request, block: str) -> None:
    """Refuse a knock-out that a core cannot make.

    Raises:
        DialError: a dial above 0 to a core that cannot dial.
        RequestError: the core cannot trace, or `block` cannot be knocked out of the request's prompt.
    """
    check_capable(capabilities, [request])
    if not capabilities.traces:
        raise RequestError(
            f"expected no knock-out from core `{capabilities.name}`, which cannot trace, got one of `{block}`; "
            "use another core"
        )
    cuttable = [b.name for b in request.prompt.blocks if b.kind not in DECISION_KINDS]
    if block not in cuttable:
        raise RequestError(f"expected one of the blocks {' '.join(cuttable)}, got `{block}`")
