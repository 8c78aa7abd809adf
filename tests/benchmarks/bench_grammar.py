"""What a grammar costs: python -m tests.benchmarks.bench_grammar.

On a random Llama (4 layers, width 256) with a byte-level tokenizer learned from this repository. Times are CPU time of
one thread, medians over the repeats, methods interleaved; ratios are to the first line of the same table and run.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, Field
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from localist_core import Block, BlockKind, Dial, OpenChoice, OpenRequest, Prompt, Request, Sampling, SharedCore
from localist_core.writing.generation import Writer
from localist_core.writing.grammar import Grammars
from localist_core.writing.schema import Schema, schema_of

VOCABULARY = 4096
ROOT = Path(__file__).parents[2]
ROWS = (1, 8, 32)


class Hold(BaseModel):
    kind: Literal["hold"]


class Goto(BaseModel):
    kind: Literal["goto"]
    node: Literal["north", "east", "south", "west"]
    speed: int = Field(ge=0, le=30)


class Yield(BaseModel):
    kind: Literal["yield"]
    gap_m: float = Field(ge=0, le=5)


class Act(BaseModel):
    act: Annotated[Hold | Goto | Yield, Field(discriminator="kind")]


class Note(BaseModel):
    text: str = Field(max_length=200)


class Free(BaseModel):
    text: str


SCHEMAS: dict[str, type[BaseModel] | dict[str, object]] = {
    "union, numbers in ranges": Act,
    "text of 200 characters": Note,
    "text without end, 400 tokens": Free,
    "1,200 constants": {
        "type": "object",
        "properties": {"v": {"enum": [f"object_{n}_{'abc'[n % 3]}" for n in range(1200)]}},
        "required": ["v"],
    },
}


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level, learned from the sources and documents of this repository."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    texts = [path.read_text() for path in sorted(ROOT.glob("localist_core/*.py"))]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>")


def core_of(words: PreTrainedTokenizerFast) -> SharedCore:
    torch.manual_seed(0)
    shape = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=VOCABULARY + 64, num_key_value_heads=2, max_position_embeddings=4096, **shape)
    return SharedCore(AutoModelForCausalLM.from_config(config).eval(), words, name="random")


def prompt(agent: int) -> Prompt:
    return Prompt(
        (
            Block(kind=BlockKind.SCHEMA, name="schema", text="A car at a junction answers in JSON. " * 12),
            Block(kind=BlockKind.GOAL, name="goal", text=f"car {agent}: cross safely and soon"),
            Block(kind=BlockKind.OBSERVATION, name="observation", text=f"gap {agent % 30} m, light is red, speed 8"),
            Block(kind=BlockKind.OPTIONS, name="options", text=" ".join(f"go{n}" for n in range(16))),
            Block(kind=BlockKind.DECISION, name="act", text="act"),
        )
    )


DIAL = Dial(0.5, frozenset({"goal", "observation"}))


def request(agent: int, schema: object) -> OpenRequest:
    return OpenRequest(
        agent=f"car-{agent}",
        prompt=prompt(agent),
        schema=schema,  # type: ignore[arg-type]
        dial=DIAL,
        sampling=Sampling(seed=agent),
    )


def masks(grammars: Grammars, schema: Schema, most: int = 400) -> list[float]:
    """Seconds of each mask along one text, its first allowed letters drawn evenly."""
    matcher, spent = grammars.matcher(schema), []
    generator = torch.Generator().manual_seed(0)
    while not matcher.is_done and len(spent) < most:
        start = time.process_time()
        allowed = matcher.allowed()
        spent.append(time.process_time() - start)
        matcher.accept(int(allowed[torch.randint(len(allowed), (1,), generator=generator)]))
    return spent


class Unbound:
    """A matcher that allows every token, and ends after so many."""

    def __init__(self, num_tokens: int, size: int) -> None:
        self.left, self.all = num_tokens, torch.arange(size)

    @property
    def is_done(self) -> bool:
        return self.left == 0

    def allowed(self) -> Tensor:
        return self.all

    def accept(self, token: int) -> None:
        self.left -= 1


def decode(writer: Writer, requests: list[OpenRequest], num_tokens: list[int] | None) -> tuple[float, int, int]:
    """CPU seconds of the decoding, its passes with a choice, and its tokens; free of grammar if lengths are given."""
    drafts = [writer._draft(one) for one in requests]
    if num_tokens is not None:
        for draft, number in zip(drafts, num_tokens, strict=True):
            draft.ids, draft.allowed, draft.numbers = [], [], []
            draft.matcher = Unbound(number, VOCABULARY)  # type: ignore[assignment]
            draft.force()
    spent, passes = 0.0, 0
    with torch.inference_mode():
        for indices, plan in writer._scorer.plans([draft.row for draft in drafts]):
            batch = [drafts[index] for index in indices]
            start = time.process_time()
            writer._decode(batch, plan)
            spent += time.process_time() - start
            passes += max(sum(len(allowed) > 1 for allowed in draft.allowed) for draft in batch)
    return spent, passes, sum(len(draft.ids) for draft in drafts)


def clocked(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def table(title: str, *columns: str) -> Table:
    made = Table(title=title)
    for column in columns:
        made.add_column(column, justify="left" if column == columns[0] else "right")
    return made


def mask_table(grammars: Grammars, words: PreTrainedTokenizerFast) -> Table:
    made = table("mask of one row", "schema", "compile ms", "masks", "median us", "max us", "last ten, median us")
    for name, source in SCHEMAS.items():
        schema = schema_of(source)  # type: ignore[arg-type]
        compiled = clocked(lambda schema=schema: Grammars(words, VOCABULARY + 64).matcher(schema))  # type: ignore[misc]
        compiled -= clocked(lambda: Grammars(words, VOCABULARY + 64))
        spent = [1e6 * one for one in masks(grammars, schema)]
        numbers = (statistics.median(spent), max(spent), statistics.median(spent[-10:]))
        made.add_row(name, f"{1e3 * compiled:.1f}", str(len(spent)), *(f"{one:.0f}" for one in numbers))
    return made


def loop_table(core: SharedCore, repeats: int) -> Table:
    made = table(
        "the same loop, free and under a grammar (union)", "rows", "free ms/choice", "grammar ms/choice", "ratio"
    )
    made.add_column("free ms/token", justify="right")
    made.add_column("grammar ms/token (forced ones included)", justify="right")
    made.add_column("ratio", justify="right")
    writer = writer_of(core)
    for rows in ROWS:
        requests = [request(agent, Act) for agent in range(rows)]
        lengths = [len(a.tokens) for a in core.decide_open(requests) if isinstance(a, OpenChoice)]
        bound, free = [], []
        for _ in range(repeats):
            bound.append(decode(writer, requests, None))
            free.append(decode(writer, requests, lengths))
        per_choice = [statistics.median(1e3 * s / n for s, n, _ in side) for side in (free, bound)]
        per_token = [statistics.median(1e3 * s / n for s, _, n in side) for side in (free, bound)]
        cells = [(f"{a:.2f}", f"{b:.2f}", f"{b / a:.2f}") for a, b in (per_choice, per_token)]
        made.add_row(str(rows), *cells[0], *cells[1])
    return made


def list_table(core: SharedCore, repeats: int) -> Table:
    made = table("16 actions: the trie, and a grammar of the same list", "rows", "trie ms", "grammar ms", "ratio")
    actions = tuple(f"go{n}" for n in range(16))
    for rows in ROWS:
        asked = [Request(agent=f"car-{n}", prompt=prompt(n), actions=actions, dial=DIAL) for n in range(rows)]
        opened = [request(n, {"enum": list(actions)}) for n in range(rows)]
        sides: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeats):
            sides[0].append(clocked(lambda asked=asked: core.decide(asked)))  # type: ignore[misc]
            sides[1].append(clocked(lambda opened=opened: core.decide_open(opened)))  # type: ignore[misc]
        trie, grammar = (1e3 * statistics.median(side) for side in sides)
        made.add_row(str(rows), f"{trie:.1f}", f"{grammar:.1f}", f"{grammar / trie:.2f}")
    return made


def writer_of(core: SharedCore) -> Writer:
    core.decide_open([request(0, Act)])
    assert core._writer is not None
    return core._writer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    words = tokenizer()
    core = core_of(words)
    out = Console(file=sys.stdout, width=140)
    out.print(f"{platform.machine()}, {platform.processor() or 'cpu'}, torch {torch.__version__}, one thread")
    out.print(mask_table(writer_of(core).grammars, words))
    out.print(loop_table(core, arguments.repeats))
    out.print(list_table(core, arguments.repeats))


if __name__ == "__main__":
    main()
