"""What the dial and the exact trace cost a whole model: python -m tests.benchmarks.bench_dial.

A random Llama (8 layers, width 512, 8 heads over 2, float32) on one thread reads a prompt of six blocks whose last 16
tokens decide, then decodes behind it. Every figure is CPU time of one thread and a ratio to the model's own SDPA in the
same run: the two sides take turns, and medians are compared. Plan, forward, dial and trace all count.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache, LlamaConfig, PreTrainedModel

from localist_core.attention import NAME
from localist_core.blocks import Block, BlockKind, Prompt
from localist_core.dial import Dial
from localist_core.encoding import Encoding
from localist_core.plan import Plan, plan_of, step
from localist_core.probe import run
from localist_core.row import Row
from localist_core.trace import seen_of

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
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(SHAPE).eval()
    out = Console(file=sys.stdout, width=120)
    columns = ("tokens", "sdpa ms", "dial 0", "dial 0.5", "eager + weights", "eager / dial 0.5")
    with torch.inference_mode():
        for name, sides in (("prefill", prefill), ("decode, one token", decode)):
            table = Table(
                title=f"{name}: CPU time to that of sdpa, one thread, {platform.machine()}, torch {torch.__version__}"
            )
            for column in columns:
                table.add_column(column, justify="right")
            for length in arguments.lengths:
                repeats = max(3, arguments.repeats * 256 // length) if name == "prefill" else 10 * arguments.repeats
                spent = medians(sides(model, length), repeats)
                base = spent["sdpa"]
                table.add_row(
                    str(length),
                    f"{1000 * base:.2f}",
                    *(f"{spent[side] / base:.3f}" for side in ("dial 0", "dial 0.5", "eager")),
                    f"{spent['eager'] / spent['dial 0.5']:.2f}",
                )
            out.print(table)


def prompt_row(length: int, value: float) -> Row:
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
    return Row(prompt=Prompt(tuple(blocks)), encoding=encoding, dial=Dial(value, TARGETS))


def planned(row: Row) -> Plan:
    """The plan of one prompt."""
    return plan_of([row], stock="sdpa", num_layers=LAYERS, pad_id=0, device=torch.device("cpu"))


def prefill(model: PreTrainedModel, length: int) -> Mapping[str, Callable[[], object]]:
    """The sides: each reads the prompt and gives the logits of the decision rows."""
    rows = {f"dial {value:g}": prompt_row(length, value) for value in (0.0, 0.5)}
    ids = torch.tensor([rows["dial 0"].encoding.ids])

    def ours(row: Row) -> Callable[[], object]:
        def read() -> object:
            plan = planned(row)
            logits = run(model, plan)
            return logits, seen_of(plan.measured)

        return on(model, NAME, read)

    def stock(**more: bool) -> Callable[[], object]:
        return lambda: model(ids, use_cache=False, logits_to_keep=DECISION_ROWS, **more)

    return {
        "sdpa": on(model, "sdpa", stock()),
        **{name: ours(row) for name, row in rows.items()},
        "eager": on(model, "eager", stock(output_attentions=True)),
    }


def decode(model: PreTrainedModel, length: int) -> Mapping[str, Callable[[], object]]:
    """The sides: each decodes one token more behind a prompt in its cache, which grows."""
    token = torch.tensor([[7]])

    def ours(value: float) -> Callable[[], object]:
        plan, cache = planned(prompt_row(length, value)), DynamicCache()
        model.set_attn_implementation(NAME)
        run(model, plan, cache)

        def read() -> object:
            nonlocal plan
            plan = step(plan, token)
            logits = run(model, plan, cache)
            return logits, seen_of(plan.measured)

        return on(model, NAME, read)

    def stock(**more: bool) -> Callable[[], Tensor]:
        cache = DynamicCache()
        model(torch.tensor([prompt_row(length, 0.0).encoding.ids]), past_key_values=cache, use_cache=True)
        return lambda: model(token, past_key_values=cache, use_cache=True, **more).logits

    model.set_attn_implementation("sdpa")
    return {
        "sdpa": on(model, "sdpa", stock()),
        "eager": on(model, "eager", stock(output_attentions=True)),
        "dial 0": ours(0.0),
        "dial 0.5": ours(0.5),
    }


def on(model: PreTrainedModel, name: str, read: Callable[[], object]) -> Callable[[], object]:
    """The same with the model set to this attention, which costs no time of the measured kind worth naming."""

    def set_and_read() -> object:
        model.set_attn_implementation(name)
        return timed(read)

    return set_and_read


def timed(read: Callable[[], object]) -> float:
    """CPU seconds of this thread."""
    begun = time.thread_time()
    read()
    return time.thread_time() - begun


def medians(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """CPU seconds of each side, its first turn left out."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats + 1):
        for name, side in sides.items():
            spent[name].append(side())
    return {name: statistics.median(times[1:]) for name, times in spent.items()}


if __name__ == "__main__":
    main()
