"""What the dial and the exact trace cost a whole model: python -m tests.benchmarks.bench_dial.

A random Llama (8 layers, width 512, 8 heads over 2, float32) on one thread reads a prompt of six blocks whose last 16
tokens decide, then decodes behind it; and one attention of 8 heads steers all of its rows. Every figure is CPU time of
one thread and a ratio to plain SDPA in the same run: the sides take turns, and medians are compared. All that we do
counts: plan, forward, dial and trace.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModelForCausalLM, DynamicCache, LlamaConfig, PreTrainedModel

from localist_core.attending.attention import NAME
from localist_core.attending.one_pass import dense, one_pass, runs_of
from localist_core.attending.plan import Plan, plan_of, step
from localist_core.attending.probe import run
from localist_core.attending.row import Row
from localist_core.attending.segments import Group, Segments, rest_bias
from localist_core.attending.trace import seen_of
from localist_core.blocks import Block, BlockKind, Prompt
from localist_core.dial import Dial, Scope
from localist_core.prompting.encoding import Encoding

LENGTHS = (256, 1024, 2048)
DECISION_ROWS = 16
KINDS = (BlockKind.SCHEMA, BlockKind.GOAL, BlockKind.OBSERVATION, BlockKind.RULEBOOK, BlockKind.MEMORY)
TARGETS = frozenset({"goal", "observation"})
LAYERS = 8
SHAPE = LlamaConfig(
    vocab_size=8192,
    hidden_size=512,
    intermediate_size=1408,
    num_hidden_layers=LAYERS,
    num_attention_heads=8,
    num_key_value_heads=2,
    max_position_embeddings=4096,
    bos_token_id=None,
    eos_token_id=None,
    pad_token_id=0,
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="of 256 tokens; fewer for longer prompts")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    parser.add_argument("--batch", type=int, default=1, help="rows that decode together")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(SHAPE).eval()
    few = [max(3, arguments.repeats * 256 // length) for length in arguments.lengths]
    many = [10 * arguments.repeats] * len(few)
    batch = arguments.batch
    with torch.inference_mode():
        for title, sides, repeats in (
            ("attention alone, dial 0.5 on all rows", attention, few),
            ("whole model, prefill", lambda length: prefill(model, length), few),
            (f"whole model, one token decoded for {batch} row(s)", lambda length: decode(model, length, batch), many),
        ):
            show(title, {n: medians(sides(n), r) for n, r in zip(arguments.lengths, repeats, strict=True)})


def show(title: str, spent: Mapping[int, Mapping[str, float]]) -> None:
    """Print ratios to `sdpa`, by length."""
    machine = f"CPU time of one thread to that of sdpa, {platform.machine()}, torch {torch.__version__}"
    table = Table(title=f"{title}\n{machine}")
    first = next(iter(spent.values()))
    for column in ("tokens", "sdpa ms", *(side for side in first if side != "sdpa")):
        table.add_column(column, justify="right")
    for length, of_sides in spent.items():
        ratios = [f"{seconds / of_sides['sdpa']:.3f}" for side, seconds in of_sides.items() if side != "sdpa"]
        table.add_row(str(length), f"{1000 * of_sides['sdpa']:.2f}", *ratios)
    Console(file=sys.stdout, width=120).print(table)


def attention(length: int) -> Mapping[str, Callable[[], float]]:
    """The sides: causal attention of 8 heads of 64, with and without a dial of 0.5 on every row that sees a target."""
    query, key, value = (torch.randn(1, 8, length, 64) for _ in range(3))
    layout = planned([prompt_row(length, 0.5)]).layout
    runs = runs_of(layout, 0)
    steered, floor = next(run.start for run in runs if run.group == Group.TARGET), torch.tensor([[0.5]])
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)[None, None]
    segments = Segments(layout=layout, hidden=hidden, floor=floor, has_floor=True, has_cut=False)
    how = {"first": 0, "steered": steered, "floor": floor[0], "is_odds": False, "scale": 0.125}

    def eager() -> Tensor:
        """By a bias on the scores, and weights at hand: what steering by hooks does."""
        scores = (query @ key.mT * 0.125).masked_fill(hidden, -torch.inf)
        L = torch.stack([(scores + layout.outside[:, group, None, None]).logsumexp(-1) for group in Group], dim=-1)
        bias = rest_bias(L, floor[..., None]).where(L[..., Group.TARGET].isfinite(), 0.0)
        return (scores + bias[..., None] * layout.of_token[:, None, None, :, Group.REST]).softmax(-1) @ value

    return {
        "sdpa": lambda: timed(lambda: scaled_dot_product_attention(query, key, value, is_causal=True)),
        "one pass": lambda: timed(lambda: one_pass(query[0], key[0], value[0], runs, **how)),
        "by scores": lambda: timed(lambda: dense(query, key, value, segments, scale=0.125)),
        "eager with dial": lambda: timed(eager),
    }


def prompt_row(length: int, value: float, scope: Scope = "decision") -> Row:
    """A prompt of this many tokens in six blocks, the last of them the decision."""
    sizes = [(length - DECISION_ROWS) // len(KINDS)] * len(KINDS)
    sizes[-1] = length - DECISION_ROWS - sum(sizes[:-1])
    blocks = [Block(kind=kind, name=kind.value, text="") for kind in (*KINDS, BlockKind.DECISION)]
    encoding = Encoding(
        ids=tuple(torch.randint(1, SHAPE.vocab_size, (length,)).tolist()),
        block_ids=tuple(index for index, size in enumerate([*sizes, DECISION_ROWS]) for _ in range(size)),
        positions=tuple(range(length)),
        decision_from=length - DECISION_ROWS,
    )
    return Row(prompt=Prompt(tuple(blocks)), encoding=encoding, dial=Dial(value, TARGETS, scope=scope))


def planned(rows: Sequence[Row]) -> Plan:
    """The plan of a batch of prompts."""
    return plan_of(rows, stock="sdpa", num_layers=LAYERS, pad_id=0, device=torch.device("cpu"))


def prefill(model: PreTrainedModel, length: int) -> Mapping[str, Callable[[], float]]:
    """The sides: each reads the prompt and gives the logits of the decision rows."""
    ids = torch.randint(1, SHAPE.vocab_size, (1, length))

    def ours(value: float, scope: Scope = "decision") -> Callable[[], float]:
        row = prompt_row(length, value, scope)

        def read() -> object:
            plan = planned([row])
            return run(model, plan), seen_of(plan.measured)

        return on(model, NAME, read)

    def stock(name: str, **more: bool) -> Callable[[], float]:
        return on(model, name, lambda: model(ids, use_cache=False, logits_to_keep=DECISION_ROWS, **more))

    return {
        "sdpa": stock("sdpa"),
        "dial 0": ours(0.0),
        "dial 0.5": ours(0.5),
        "dial 0.5, all rows": ours(0.5, "all"),
        "eager + weights": stock("eager", output_attentions=True),
    }


def decode(model: PreTrainedModel, length: int, batch: int) -> Mapping[str, Callable[[], float]]:
    """The sides: each decodes one token more behind prompts in its cache, which grows."""
    tokens = torch.full((batch, 1), 7)

    def ours(value: float) -> Callable[[], float]:
        plan, cache = planned([prompt_row(length, value) for _ in range(batch)]), DynamicCache()
        model.set_attn_implementation(NAME)
        run(model, plan, cache)

        def read() -> object:
            nonlocal plan
            plan = step(plan, tokens)
            return run(model, plan, cache), seen_of(plan.measured)

        return on(model, NAME, read)

    def stock(name: str, **more: bool) -> Callable[[], float]:
        cache = DynamicCache()
        model.set_attn_implementation("sdpa")
        model(torch.randint(1, SHAPE.vocab_size, (batch, length)), past_key_values=cache, use_cache=True)
        return on(model, name, lambda: model(tokens, past_key_values=cache, use_cache=True, **more))

    return {
        "sdpa": stock("sdpa"),
        "dial 0": ours(0.0),
        "dial 0.5": ours(0.5),
        "eager + weights": stock("eager", output_attentions=True),
    }


def on(model: PreTrainedModel, name: str, read: Callable[[], object]) -> Callable[[], float]:
    """The time of it with the model set to this attention; setting it does not count."""

    def set_and_read() -> float:
        model.set_attn_implementation(name)
        return timed(read)

    return set_and_read


def timed(read: Callable[[], object]) -> float:
    """CPU seconds of this thread."""
    begun = time.thread_time()
    read()
    return time.thread_time() - begun


def medians(sides: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """CPU seconds of each side, its first turn left out."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats + 1):
        for name, side in sides.items():
            spent[name].append(side())
    return {name: statistics.median(times[1:]) for name, times in spent.items()}


if __name__ == "__main__":
    main()
