"""Decisions per second of the shared core beside what transformers offers: python -m tests.benchmarks.bench_engine.

64 agents share a prompt of 512 tokens, each has 64 of its own, new ones in every tick, and chooses among 16 actions of
3 tokens, or of `--length`: then the tokens behind the third say nothing new, as the end of a written action does. A
random Qwen3 model of 4 layers, width 256, vocabulary 4096; one thread; medians of CPU time, the arms in turn. The arms
of transformers generate the action greedily, without a dial, a trace or a distribution over the actions:

    sequential     `generate`, one agent after the other
    padded         `generate` of all agents as one batch
    continuous     `generate_batch`, its manager kept between the ticks
    cached prefix  `generate` of all agents over a copy of the cache of the shared tokens, which were read before
    plain          this engine at dial 0 with nothing measured
    dial, trace    this engine with a dial of 0.5 and the whole trace

`--ship` measures the layout that ships likewise: prompts of a recorded run of the junction, the core that ships, its
schema and role shared and nothing else; its last line is the run itself, asked again with injections and knock-outs.
`--bits` counts rows that are the same alone as in batches of 8 and 64. `--attention` times one layer's attention of 64
agents over the shared keys in three ways.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedTokenizerFast, Qwen3Config
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.utils import logging

from localist_core import Block, BlockKind, Choice, Core, Dial, Prompt, Request, SharedCore, Trust
from localist_core.attending.cascade import cascaded
from localist_core.serving.readout import decoded
from localist_core.serving.scoring import probabilities_of
from scenarios.config import CoreConfig, RunConfig
from scenarios.run import load_core, run

VOCABULARY, SHARED, OWN = 4096, 512, 64
FLEETS = (1, 8, 64)
Arm = Callable[[Sequence[Request]], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--length", type=int, default=3, help="tokens of an action, 3 or more")
    parser.add_argument("--fleets", type=int, nargs="+", default=FLEETS)
    parser.add_argument("--ship", action="store_true")
    parser.add_argument("--bits", action="store_true")
    parser.add_argument("--attention", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    out = Console(file=sys.stdout, width=120)
    if arguments.bits:
        out.print(bits())
    elif arguments.attention:
        out.print(attention(arguments.repeats))
    elif arguments.ship:
        out.print(shipped(arguments.fleets, arguments.repeats))
    else:
        out.print(engines(arguments.fleets, arguments.repeats, arguments.length))


def a_model() -> torch.nn.Module:
    """The random model; the same weights each time."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    return AutoModelForCausalLM.from_config(config).eval()


def a_core() -> SharedCore:
    """The engine over that model, its tokens being words."""
    words = ["<pad>", "<unk>", *(f"w{n}" for n in range(VOCABULARY - 2))]
    backend = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")
    return SharedCore(a_model(), tokenizer, name="random")


def actions(length: int) -> tuple[str, ...]:
    """Labels of 16 actions: four words, two, two, and an end that is the same for all."""
    end = "".join(f" w{40 + n}" for n in range(length - 3))
    return tuple(f"w{10 + a} w{20 + b} w{30 + c}{end}" for a in range(4) for b in range(2) for c in range(2))


def asked(agents: int, tick: int, dial: float, length: int = 3) -> list[Request]:
    """One question of each agent; only the schema is the same in all ticks."""

    def words(count: int, seed: int) -> str:
        return " ".join(f"w{(seed * 7919 + n * 104729) % 4000 + 50}" for n in range(count))

    requests = []
    for agent in range(agents):
        own = 1000 * tick + agent
        blocks = (
            Block(kind=BlockKind.SCHEMA, name="schema", text=words(SHARED, 1)),
            Block(kind=BlockKind.OBSERVATION, name="observation", text=words(OWN - 26, 3 * own + 2)),
            Block(kind=BlockKind.MESSAGE, name="message", text=words(16, 3 * own + 3), trust=Trust.UNTRUSTED),
            Block(kind=BlockKind.OPTIONS, name="options", text=words(8, 3)),
            Block(kind=BlockKind.DECISION, name="act", text="w1 w2"),
        )
        requests.append(
            Request(
                agent=f"agent-{agent}",
                prompt=Prompt(blocks),
                actions=actions(length),
                dial=Dial(dial, frozenset({"observation"})),
            )
        )
    return requests


def plain(core: SharedCore) -> Arm:
    """The engine with nothing measured: no decision row is attended to a second time, nothing is traced."""
    scorer, readout = core._scorer, core._scorer._readout

    @torch.inference_mode()
    def arm(requests: Sequence[Request]) -> list[tuple[float, ...]]:
        rows = [core._row(one, one.dial) for one in requests]
        found: dict[int, tuple[float, ...]] = {}
        for indices, plan in scorer.plans(rows):
            bare = replace(plan, rows=plan.rows[:, :0], share=plan.share[:, :, :0], passed=[])
            hidden = decoded(core.model, bare)
            states = hidden.gather(1, plan.rows[..., None].expand(-1, -1, hidden.shape[-1]))
            for position, index in enumerate(indices):
                found[index] = probabilities_of(
                    requests[index], Bare(row=rows[index], states=states[position], readout=readout)
                )
        return [found[index] for index in range(len(rows))]

    return arm


class Bare:
    """As much of a `Scored` as the probabilities need."""

    def __init__(self, **parts: object) -> None:
        self.__dict__ |= parts


def greedy(model: torch.nn.Module, ids: torch.Tensor, length: int, cache: DynamicCache | None = None) -> torch.Tensor:
    """So many tokens behind each row."""
    with torch.inference_mode():
        return model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            past_key_values=cache,
            max_new_tokens=length,
            min_new_tokens=length,
            do_sample=False,
        )


def arms(core: SharedCore, length: int) -> dict[str, Arm]:
    """Every way to answer a tick."""
    model, batcher = a_model(), a_model()

    def ids(requests: Sequence[Request]) -> torch.Tensor:
        return torch.tensor([core.read(one.prompt)[1].ids for one in requests])

    cache = DynamicCache()
    with torch.inference_mode():
        model(ids(asked(1, 0, 0.0))[:, :SHARED], past_key_values=cache)

    def over_prefix(requests: Sequence[Request]) -> torch.Tensor:
        own = copy.deepcopy(cache)
        own.batch_repeat_interleave(len(requests))
        return greedy(model, ids(requests), length, own)

    def continuous(requests: Sequence[Request]) -> object:
        settings = copy.deepcopy(batcher.generation_config)
        settings.max_new_tokens, settings.do_sample = length, False
        return batcher.generate_batch(
            ids(requests).tolist(),
            generation_config=settings,
            continuous_batching_config=ContinuousBatchingConfig(num_blocks=1024, max_batch_tokens=2048, page_size=64),
            persistent_manager=True,
        )

    return {
        "sequential": lambda requests: [greedy(model, row[None], length) for row in ids(requests)],
        "padded": lambda requests: greedy(model, ids(requests), length),
        "continuous": continuous,
        "cached prefix": over_prefix,
        "plain": plain(core),
        "dial, trace": core.decide,
    }


def timed(arm: Arm, requests: Sequence[Request]) -> float:
    """CPU seconds of one call, all threads of the process together."""
    start = time.process_time()
    arm(requests)
    return time.process_time() - start


def engines(fleets: Sequence[int], repeats: int, length: int) -> Table:
    """All arms in turn, for each number of agents."""
    core = a_core()
    every = arms(core, length)
    table = titled(f"random Qwen3, 4 layers, width 256, 512 shared + 64 own tokens, 16 actions of {length} tokens")
    for column in ("agents", *every):
        table.add_column(column, justify="right")
    for agents in fleets:
        spent: dict[str, list[float]] = {name: [] for name in every}
        for tick in range(repeats + 1):
            for name, arm in every.items():
                if not tick and name in ("sequential", "padded"):
                    continue  # nothing to warm up
                dial = 0.5 if name == "dial, trace" else 0.0
                own = asked(agents, 10 * tick + list(every).index(name), dial, length)
                seconds = timed(arm, own)
                if tick:  # the tick before warmed caches and managers up
                    spent[name].append(seconds)
        add(table, str(agents), agents, {name: statistics.median(values) for name, values in spent.items()})
    return table


class Noting:
    """A core that keeps the calls that it passes on."""

    def __init__(self, core: Core) -> None:
        self._core, self.capabilities = core, core.capabilities
        self.calls: list[Callable[[Core], object]] = []
        self.first: dict[str, Request] = {}
        """First questions of decisions, by prompt."""

    def decide(self, requests: Sequence[Request]) -> tuple[Choice, ...]:
        self.calls.append(lambda core: core.decide(requests))
        self.first |= {one.prompt.sha256: one for one in requests if not one.evidence}
        return self._core.decide(requests)

    def knock_out(self, request: Request, block: str) -> float:
        self.calls.append(lambda core: core.knock_out(request, block))
        return self._core.knock_out(request, block)


def shipped(fleets: Sequence[int], repeats: int) -> Table:
    """The layout that ships: this engine beside one pass over the whole prompts, and with nothing measured."""
    core = load_core(CoreConfig(device="cpu"))
    assert isinstance(core, SharedCore)
    noting = Noting(core)
    with tempfile.TemporaryDirectory() as folder:
        for seed in (1000, 1001):
            run(RunConfig(scenario="intersection", seed=seed), out=Path(folder) / str(seed), core=noting)
    whole = SharedCore.load(device="cpu", prefix_bytes=0, checks=False)
    bare = plain(core)
    every: dict[str, Arm] = {
        "sequential, whole": lambda requests: [whole.decide([one]) for one in requests],
        "batch, whole": whole.decide,
        "plain": lambda requests: bare([replace(one, dial=Dial.off()) for one in requests]),
        "dial, trace": core.decide,
    }
    table = titled("the core that ships, prompts of the junction, new ones in every call")
    for column in ("agents", *every):
        table.add_column(column, justify="right")
    questions = list(noting.first.values())
    for agents in fleets:
        spent: dict[str, list[float]] = {name: [] for name in every}
        for number in range(repeats):
            first = agents * number % max(1, len(questions) - agents)
            for name, arm in every.items():
                forget(core, questions)
                spent[name].append(timed(arm, questions[first : first + agents]))
        add(table, str(agents), agents, {name: statistics.median(values) for name, values in spent.items()})
    asked_again: dict[str, list[float]] = {"batch, whole": [], "dial, trace": []}
    for _ in range(repeats):
        for name, one in (("batch, whole", whole), ("dial, trace", core)):
            forget(core, questions)
            start = time.process_time()
            for call in noting.calls[:80]:
                call(one)
            asked_again[name].append(time.process_time() - start)
    medians = {name: statistics.median(values) for name, values in asked_again.items()}
    table.add_row("the run", "-", f"{medians['batch, whole'] / medians['dial, trace']:.2f} x", "-", "1.00 x")
    return table


def forget(core: SharedCore, questions: Sequence[Request]) -> None:
    """Keep schema and role and nothing else, as between two ticks."""
    core._scorer.beginnings.tree.clear()
    core.decide(questions[-1:])


def add(table: Table, name: str, agents: int, medians: dict[str, float]) -> None:
    """Decisions per second of each arm, and its time as a multiple of ours."""
    ours = medians["dial, trace"]
    table.add_row(name, *(f"{agents / seconds:.1f}/s" for seconds in medians.values()))
    table.add_row("ours is", *(f"{seconds / ours:.2f} x" for seconds in medians.values()), end_section=True)


def attention(repeats: int) -> Table:
    """64 agents, 80 own tokens over 512 shared ones, 4 heads on 2 of keys: concatenated, taken apart, all as one."""
    torch.manual_seed(0)
    query = torch.randn(64, 4, 80, 64)
    before = (torch.randn(1, 2, SHARED, 64), torch.randn(1, 2, SHARED, 64))
    own = (torch.randn(64, 2, 80, 64), torch.randn(64, 2, 80, 64))
    mask = torch.full((80, 80), -torch.inf).triu(1).expand(64, 1, -1, -1)

    def concatenated() -> torch.Tensor:
        key, value = (torch.cat([b.expand(64, -1, -1, -1), o], 2) for b, o in zip(before, own, strict=True))
        seen = torch.cat([torch.zeros(64, 1, 80, SHARED), mask], -1)
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, seen, enable_gqa=True)

    def as_one() -> torch.Tensor:
        rows = query.reshape(64, 2, 160, 64).transpose(0, 1).reshape(2, 64 * 160, 64) * 0.125
        weights = (rows @ before[0][0].mT).exp()
        own_weights = (query.reshape(64, 2, 160, 64) * 0.125 @ own[0].mT + mask.repeat(1, 1, 2, 1)).exp()
        return weights @ before[1][0], own_weights @ own[1]

    ways = {
        "concatenated": concatenated,
        "taken apart": lambda: cascaded(query, before, own, mask, scale=0.125),
        "one product": as_one,
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(2 * repeats + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            spent[name].append(time.process_time() - start)
    table = titled("attention of one layer")
    for column in ("way", "ms", "to the first"):
        table.add_column(column, justify="right")
    base = statistics.median(spent["concatenated"])
    for name, values in spent.items():
        table.add_row(name, f"{1000 * statistics.median(values):.1f}", f"{statistics.median(values) / base:.2f} x")
    return table


def bits() -> Table:
    """Rows whose last states and masses are the same alone as in a batch, to the bit."""
    core = a_core()
    table = titled("rows alone against in batches, float32")
    for column in ("batch", "rows", "equal", "share"):
        table.add_column(column, justify="right")
    for size in (8, 64):
        requests = [one for tick in range(128 // size) for one in asked(size, tick, 0.5)]
        equal = 0
        for first in range(0, len(requests), size):
            some = requests[first : first + size]
            core._scorer.beginnings.tree.clear()
            together = core.scored(some)
            for one, beside in zip(some, together, strict=True):
                core._scorer.beginnings.tree.clear()
                (alone,) = core.scored([one])
                equal += torch.equal(alone.states, beside.states) and torch.equal(alone.heads, beside.heads)
        table.add_row(str(size), str(len(requests)), str(equal), f"{100 * equal / len(requests):.1f} %")
    return table


def titled(title: str) -> Table:
    """A table that names the machine."""
    return Table(title=f"{title}; {platform.machine()}, torch {torch.__version__}, one thread, CPU time, medians")


if __name__ == "__main__":
    main()
