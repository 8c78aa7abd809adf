"""What a device could do at best: the least time of a forward from its arithmetic and its memory traffic."""

from __future__ import annotations

from dataclasses import dataclass

HALF = 2
"""Bytes of a bfloat16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The public figures of a device."""

    memory_bytes_per_s: float
    flops_per_s: float
    """Dense bfloat16."""


MACHINES = {
    "H100": Machine(memory_bytes_per_s=3.35e12, flops_per_s=989e12),
    "H200": Machine(memory_bytes_per_s=4.8e12, flops_per_s=989e12),
    "A100": Machine(memory_bytes_per_s=2.039e12, flops_per_s=312e12),
}
"""By a part of the device's name; of the SXM form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes of a Qwen3-like decoder with tied embeddings."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    hidden: int
    vocabulary: int

    @property
    def body(self) -> int:
        """Weights of all layers, without embedding and head."""
        attention = 2 * self.width * (self.heads + self.kv_heads) * self.head_width
        return self.layers * (attention + 3 * self.width * self.hidden)

    @property
    def head(self) -> int:
        """Weights of the head."""
        return self.width * self.vocabulary

    @property
    def kv_bytes(self) -> int:
        """Bytes of the keys and values of one token."""
        return self.layers * 2 * self.kv_heads * self.head_width * HALF


QWEN3_0_6B = ModelShape(layers=28, width=1024, heads=16, kv_heads=8, head_width=128, hidden=3072, vocabulary=151_936)
"""The shape of Qwen3-0.6B; the benchmarks give it random weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One forward for all agents."""

    agents: int
    fed: int
    """Tokens that are fed for each agent."""
    shared: int
    """Tokens of a prefix whose keys are there already, the same for all agents."""
    scored: int
    """Tokens of each agent at which the head is read."""


def flops(shape: ModelShape, tick: Tick) -> float:
    """Floating-point operations of a tick; a multiplication and its addition are two."""
    tokens = tick.agents * tick.fed
    keys = tick.shared + (tick.fed + 1) / 2  # seen on average
    attention = 4 * shape.layers * shape.heads * shape.head_width * keys
    return tokens * (2 * shape.body + attention) + 2 * tick.agents * tick.scored * shape.head


def traffic(shape: ModelShape, tick: Tick) -> float:
    """Bytes that a tick must move: all weights once, the shared keys and values once, each agent's own written once."""
    return HALF * (shape.body + shape.head) + shape.kv_bytes * (tick.shared + tick.agents * tick.fed)


def least_s(shape: ModelShape, tick: Tick, machine: Machine) -> float:
    """The least time of a tick: arithmetic and memory overlap at best."""
    return max(flops(shape, tick) / machine.flops_per_s, traffic(shape, tick) / machine.memory_bytes_per_s)


def machine_named(name: str) -> Machine | None:
    """The figures of the device with this name; None where they are not known."""
    return next((machine for part, machine in MACHINES.items() if part in name), None)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)]
