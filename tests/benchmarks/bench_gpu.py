"""What the dial and the trace cost on a GPU: python -m tests.benchmarks.bench_gpu.

A model of Qwen3-0.6B's shape with random weights, bfloat16. Parts, each a table with its target beside the figure:
`prefill` and `decode` against the stock model on flash attention; `own`, the same decisions without dial and trace;
`ticks`, whole decisions of 1, 8 and 64 agents with dials of their own, against the roofline; `memory`. Ratios are of
medians, the two sides interleaved in one run. `--parts` chooses, `--backend` takes one back end. `--parts host` needs
no GPU: what a tick costs beside the model.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import DynamicCache, Qwen3Config, Qwen3ForCausalLM

from localist_core import Block, BlockKind, Dial, Prompt, Request, SharedCore
from localist_core.attending.attention import NAME
from localist_core.attending.backend import Backend, Chosen, choose
from localist_core.attending.plan import Plan, plan_of, step
from localist_core.attending.probe import run
from localist_core.attending.row import NO_TRIE, Row
from localist_core.choice import trie_of
from localist_core.prompting.encoding import Encoding
from tests.benchmarks.roofline import QWEN3_0_6B, ModelShape, Tick, least_s, machine_named, percentile
from tests.localist_core import tiny

PARTS = ("prefill", "decode", "own", "ticks", "memory")
LENGTHS = (512, 2048, 8192)
BATCHES = (1, 8)
TARGETS = {"prefill": "<= 1.03", "decode": "<= 1.10", "own": "<= 1.15", "roofline": ">= 30 %", "p99": "< 50 ms"}
SHARED, PRIVATE = 512, 64
"""Tokens of the prefix that all agents share, and of each agent's own."""


def main() -> int:
    """Measure and print; 2 without a CUDA device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=(*PARTS, "host"), default=PARTS)
    parser.add_argument("--backend", choices=("auto", "packed", "triton", "varlen"), default="auto")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--ticks", type=int, default=200)
    arguments = parser.parse_args()
    out = Console(file=sys.stdout, width=120)
    if arguments.parts == ["host"]:
        out.print(host(arguments.repeats))
        return 0
    if not torch.cuda.is_available():
        sys.stderr.write("bench_gpu: expected a CUDA device, got none; run it on a machine with one\n")
        return 2
    device = torch.device("cuda")
    chosen = choose(device, torch.bfloat16, arguments.backend)
    bench = Bench(random_model(QWEN3_0_6B, device), chosen.backend, arguments.repeats)
    out.print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, back end {chosen.backend.name}")
    for name, reason in chosen.refused:
        out.print(f"passed over: {name}: {reason}")
    tables = {
        "prefill": bench.prefill,
        "decode": bench.decode,
        "own": bench.own,
        "ticks": partial(bench.ticks, arguments.ticks),
        "memory": bench.memory,
        "host": partial(host, arguments.repeats),
    }
    for part in arguments.parts:
        out.print(tables[part]())
    return 0


class Bench:
    """One model on one back end."""

    def __init__(self, model: Qwen3ForCausalLM, backend: Backend, repeats: int) -> None:
        """Take over a model."""
        self.model, self.backend, self.repeats = model, backend, repeats

    def prefill(self) -> Table:
        """A whole prompt, its last 16 tokens under the dial and traced."""
        table = columns("prefill", "batch", "tokens", "flash ms", "ours ms", "ratio", "target")
        for batch, length in ((b, n) for b in BATCHES for n in LENGTHS):
            plan = self.plan([row(length, 16, dial_of(n)) for n in range(batch)])
            ratio(table, (batch, length), *self.sides(partial(self.stock, plan), partial(self.ours, plan)), "prefill")
        return table

    def decode(self) -> Table:
        """One token behind a cache, under the dial and traced."""
        table = columns("decode", "batch", "tokens", "flash ms", "ours ms", "ratio", "target")
        for batch, length in ((b, n) for b in BATCHES for n in LENGTHS):
            before = self.plan([row(length, 16, dial_of(n)) for n in range(batch)])
            cache = DynamicCache()
            self.ours(before, cache)
            plan = step(before, torch.zeros(batch, 1, dtype=torch.long, device=before.ids.device))

            stock, ours = (partial(behind, side, plan, cache) for side in (self.stock, self.ours))
            ratio(table, (batch, length), *self.sides(stock, ours), "decode")
        return table

    def own(self) -> Table:
        """The forward of a tick, beside the same tokens and mask on plain attention, without dial and trace."""
        table = columns("dial and trace on top of our own core", "agents", "plain ms", "ours ms", "ratio", "target")
        for agents in (1, 8, 64):
            plan = self.plan([row(SHARED + PRIVATE, 16, dial_of(n), actions=8) for n in range(agents)])
            plain = plan.seen.expand(-1, 1, -1, -1)
            stock = partial(self.stock, plan, mask=plain)
            ratio(table, (agents,), *self.sides(stock, partial(self.ours, plan)), "own")
        return table

    def ticks(self, num: int) -> Table:
        """Whole decisions, from requests to choices, prefix shared."""
        table = columns(
            "ticks", "graphs", "agents", "decisions/s", "median ms", "p99 ms", "target", "% of roofline", "target"
        )
        machine = machine_named(torch.cuda.get_device_name())
        for graphs, agents in ((g, n) for g in (False, True) for n in (1, 8, 64)):
            self.model.set_attn_implementation("sdpa")
            core = SharedCore(
                self.model, tiny.tokenizer(), name="random", chosen=Chosen(self.backend), checks=False, graphs=graphs
            )
            asked = [request(n) for n in range(agents)]
            times = [seconds(partial(core.decide, asked)) for _ in range(num + 5)][5:]
            tick = Tick(agents=agents, fed=PRIVATE + 20, shared=SHARED, scored=8)
            median = statistics.median(times)
            share = "-" if machine is None else f"{100 * least_s(QWEN3_0_6B, tick, machine) / median:.1f}"
            table.add_row(
                "yes" if graphs else "no",
                str(agents),
                f"{agents / median:.0f}",
                f"{1e3 * median:.1f}",
                f"{1e3 * percentile(times, 0.99):.1f}",
                TARGETS["p99"] if agents == 64 else "",
                share,
                TARGETS["roofline"] if agents == 64 else "",
            )
        return table

    def memory(self) -> Table:
        """The most memory of a prefill beyond the weights."""
        table = columns("peak memory beyond the weights", "batch", "tokens", "flash MB", "ours MB", "ratio")
        for batch, length in ((b, n) for b in BATCHES for n in LENGTHS):
            plan = self.plan([row(length, 16, dial_of(n)) for n in range(batch)])
            flash, ours = (peak_bytes(partial(side, plan)) for side in (self.stock, self.ours))
            table.add_row(str(batch), str(length), f"{flash / 1e6:.0f}", f"{ours / 1e6:.0f}", f"{ours / flash:.2f}")
        return table

    def plan(self, rows: Sequence[Row]) -> Plan:
        """The rows as a batch."""
        return plan_of(
            rows,
            stock="sdpa",
            num_layers=self.model.config.num_hidden_layers,
            pad_id=0,
            device=self.model.device,
            backend=self.backend,
        )

    @torch.inference_mode()
    def ours(self, plan: Plan, cache: DynamicCache | None = None) -> tuple[Tensor, object]:
        """A forward under dial and trace; masks are made anew, as in every decision."""
        self.model.set_attn_implementation(NAME)
        fresh = replace(plan, passed=[], sights={})
        logits = run(self.model, fresh, cache)
        return logits, fresh.measured  # what a trace needs is part of the work

    @torch.inference_mode()
    def stock(self, plan: Plan, cache: DynamicCache | None = None, mask: Tensor | None = None) -> Tensor:
        """The same tokens through the stock model: flash attention, or sdpa under this mask."""
        self.model.set_attn_implementation("sdpa")
        options: dict[str, Any] = {} if cache is None else {"past_key_values": cache}
        logits: Tensor = self.model(
            input_ids=plan.ids,
            attention_mask=mask,
            position_ids=plan.positions,
            use_cache=cache is not None,
            logits_to_keep=min(16, plan.ids.shape[1]),
            **options,
        ).logits
        return logits

    def sides(self, plain: Callable[[], object], ours: Callable[[], object]) -> tuple[float, float]:
        """Median milliseconds of both, interleaved."""
        for side in (plain, ours) * 3:
            side()
        times = [(milliseconds(plain), milliseconds(ours)) for _ in range(self.repeats)]
        return statistics.median(one for one, _ in times), statistics.median(other for _, other in times)


def host(repeats: int) -> Table:
    """CPU time of a tick whose model is next to nothing, of one layer and width 16, on one thread of the CPU."""
    table = columns("host", "agents", "CPU ms")
    torch.set_num_threads(1)
    shape = ModelShape(layers=1, width=16, heads=1, kv_heads=1, head_width=16, hidden=16, vocabulary=200)
    model = random_model(shape, torch.device("cpu")).float()
    core = SharedCore(model, tiny.tokenizer(), name="next to nothing", checks=False)
    for agents in (1, 8, 64):
        asked = [request(n) for n in range(agents)]
        times = [cpu_seconds(partial(core.decide, asked)) for _ in range(repeats + 3)][3:]
        table.add_row(str(agents), f"{1e3 * statistics.median(times):.1f}")
    return table


def behind(forward: Callable[[Plan, DynamicCache], object], plan: Plan, cache: DynamicCache) -> None:
    """A forward behind a cache, which it leaves as it was, so that every repeat reads the same keys."""
    forward(plan, cache)
    cache.crop(-1)


def random_model(shape: ModelShape, device: torch.device) -> Qwen3ForCausalLM:
    """A Qwen3 of this shape with random weights, made on the device."""
    config = Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width,
        max_position_embeddings=40_960,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    torch.manual_seed(0)
    with device:
        return Qwen3ForCausalLM(config).to(torch.bfloat16).eval()


def row(length: int, decision: int, dial: Dial, *, actions: int = 0) -> Row:
    """A prompt of six blocks, the last of which are decision rows; with a trie if there are actions."""
    kinds = (BlockKind.SCHEMA, BlockKind.GOAL, BlockKind.OBSERVATION, BlockKind.RULEBOOK, BlockKind.MESSAGE)
    blocks = [Block(kind=kind, name=kind.value, text="") for kind in kinds]
    blocks.append(Block(kind=BlockKind.DECISION, name="decision", text=""))
    body = length - decision
    of_token = [min(n * len(kinds) // body, len(kinds) - 1) for n in range(body)] + [len(kinds)] * decision
    encoding = Encoding(
        ids=tuple(7 + 11 * n % 1000 for n in range(length)),
        block_ids=tuple(of_token),
        positions=tuple(range(length)),
        decision_from=body,
    )
    trie = trie_of([(20 + n, 40, 60 + n % 3) for n in range(actions)], end_id=None) if actions else NO_TRIE
    return Row(prompt=Prompt(tuple(blocks)), encoding=encoding, dial=dial, trie=trie)


def dial_of(number: int) -> Dial:
    """A dial from 0.1 to 0.8."""
    return Dial(0.1 * (number % 8 + 1), frozenset({"goal", "rulebook"}))


def request(number: int) -> Request:
    """Eight actions behind 512 tokens that all agents share and 64 of their own."""
    words = ["gap", "is", "10", "and", "light", "is", "red", "speed"]
    blocks = (
        Block(kind=BlockKind.SCHEMA, name="schema", text=" ".join(words * (SHARED // len(words)))),
        Block(kind=BlockKind.GOAL, name="goal", text=" ".join(words[number % 8 :] + words[: number % 8])),
        Block(kind=BlockKind.OBSERVATION, name="observation", text=" ".join(words * (PRIVATE // len(words) - 1))),
        Block(kind=BlockKind.OPTIONS, name="options", text=" ".join(f"A{n}" for n in range(1, 9))),
        Block(kind=BlockKind.DECISION, name="decision", text="act"),
    )
    dial = Dial(0.1 * (number % 8 + 1), frozenset({"goal"}))
    actions = tuple(f"A{n}" for n in range(1, 9))
    return Request(agent=f"car-{number}", prompt=Prompt(blocks), actions=actions, dial=dial)


def milliseconds(function: Callable[[], object]) -> float:
    """On the device, between two events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    function()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end))


def seconds(function: Callable[[], object]) -> float:
    """By the clock on the wall: what an agent waits for."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def cpu_seconds(function: Callable[[], object]) -> float:
    """CPU time, which does not depend on what else the machine does."""
    started = time.process_time()
    function()
    return time.process_time() - started


def peak_bytes(function: Callable[[], object]) -> int:
    """The most memory that a call holds beyond what was there before."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    function()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def columns(title: str, *names: str) -> Table:
    """An empty table."""
    table = Table(title=title)
    for name in names:
        table.add_column(name, justify="right")
    return table


def ratio(table: Table, where: tuple[int, ...], plain: float, ours: float, target: str) -> None:
    """Add a row of two times and their ratio."""
    table.add_row(*map(str, where), f"{plain:.2f}", f"{ours:.2f}", f"{ours / plain:.3f}", TARGETS[target])


if __name__ == "__main__":
    raise SystemExit(main())
