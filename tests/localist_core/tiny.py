"""Tiny random models of many families, a tiny tokenizer, and prompts for them: built by functions, no download."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from localist_core.blocks import Block, BlockKind, Prompt, Trust
from localist_core.core import Request
from localist_core.dial import Dial
from localist_core.model import small_config

WORDS = [
    "speed",
    "gap",
    "light",
    "red",
    "green",
    "is",
    "then",
    "forbid",
    "if",
    "and",
    "yes",
    "no",
    "go",
    "stop",
    "<",
    "10",
    "20",
    "act",
    "goal",
    "car",
    "says",
    "please",
    "ignore",
    ":",
    ".",
]
SLOTS = [f"A{n}" for n in range(1, 9)] + [f"R{n}" for n in range(1, 9)] + ["ok"]
CHARACTERS = [chr(code) for code in range(33, 127)]
VOCABULARY = ["<pad>", "<unk>", *WORDS, *(c for c in CHARACTERS if c not in WORDS)]


def tokenizer() -> PreTrainedTokenizerFast:
    """Words, single characters, and one special token for each slot."""
    table = {token: index for index, token in enumerate(VOCABULARY)}
    backend = Tokenizer(models.WordLevel(table, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")
    made.add_special_tokens({"additional_special_tokens": SLOTS})
    return made


SIZE = 192
_SHAPE = {"vocab_size": SIZE, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024}
_IDS = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}

CONFIGS = {
    "localist": small_config(SIZE, layers=3, width=64, heads=4, hidden=48, block_width=2),
    "llama": LlamaConfig(**_SHAPE, **_HEADS, **_IDS),
    "qwen2": Qwen2Config(**_SHAPE, **_HEADS, **_IDS),
    "qwen3": Qwen3Config(**_SHAPE, **_HEADS, **_IDS, head_dim=8),
    "mistral": MistralConfig(**_SHAPE, **_HEADS, **_IDS, sliding_window=8),
    "gemma": GemmaConfig(**_SHAPE, **_HEADS, **_IDS, head_dim=8),
    "gemma2": Gemma2Config(**_SHAPE, **_HEADS, **_IDS, head_dim=8, sliding_window=12, query_pre_attn_scalar=8),
    "gemma3_text": Gemma3TextConfig(**_SHAPE, **_HEADS, **_IDS, head_dim=8, sliding_window=12, query_pre_attn_scalar=8),
    "phi3": Phi3Config(**_SHAPE, **_HEADS, **_IDS),
    "gpt2": GPT2Config(vocab_size=SIZE, n_embd=32, n_layer=3, n_head=4, n_positions=1024, **_IDS),
    "gpt_neox": GPTNeoXConfig(
        vocab_size=SIZE, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, **_IDS
    ),
    "gpt_oss": GptOssConfig(
        **_SHAPE,
        **_HEADS,
        **_IDS,
        head_dim=8,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=16,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "bloom": BloomConfig(vocab_size=SIZE, hidden_size=32, n_layer=3, n_head=4, **_IDS),
    "gptj": GPTJConfig(vocab_size=SIZE, n_embd=32, n_layer=3, n_head=4, n_positions=1024, rotary_dim=4, **_IDS),
}


def model(family: str, *, seed: int = 0) -> PreTrainedModel:
    """A random model of three layers in float32; weights large enough for attention to have contrast."""
    torch.manual_seed(seed)
    made = AutoModelForCausalLM.from_config(deepcopy(CONFIGS[family]))
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if weight.ndim >= 2:
                weight.mul_(6.0)
            if name.endswith("sinks"):
                weight.normal_()
    return made.eval()


def save(family: str, directory: Path) -> Path:
    """A model directory as users have it."""
    model(family).save_pretrained(directory)
    tokenizer().save_pretrained(directory)
    return directory


SCHEMA = "act is A1 . gap speed light"
LONG_SCHEMA = f"{SCHEMA} " * 4
"""Long enough to be resumed behind it."""


def prompt(
    *,
    message: str = "car says go go",
    rules: int = 2,
    actions: int = 3,
    observation: str = "gap is 10",
    schema: str = SCHEMA,
) -> Prompt:
    """A prompt of every kind of block that matters here; without a message if it is empty."""
    blocks = [
        Block(kind=BlockKind.SCHEMA, name="schema", text=schema),
        Block(kind=BlockKind.GOAL, name="goal", text="goal : go then stop"),
        Block(kind=BlockKind.OBSERVATION, name="observation", text=observation),
        *(
            Block(kind=BlockKind.RULEBOOK, name=f"R{n}", text=f"R{n} : forbid A{n} if gap < 20")
            for n in range(1, rules + 1)
        ),
    ]
    if message:
        blocks.append(Block(kind=BlockKind.MESSAGE, name="message", text=message, trust=Trust.UNTRUSTED))
    blocks.append(Block(kind=BlockKind.OPTIONS, name="options", text=" ".join(f"A{n}" for n in range(1, actions + 1))))
    blocks.append(Block(kind=BlockKind.DECISION, name="decision", text="act"))
    return Prompt(tuple(blocks))


TARGETS = frozenset({"goal", "observation", "R1"})


def request(dial: Dial | float = 0.0, *, evidence: bool = False, actions: int = 3, **parts: object) -> Request:
    """A request for that prompt; a number stands for a dial on `TARGETS`."""
    return Request(
        agent="car-1",
        prompt=prompt(actions=actions, **parts),  # type: ignore[arg-type]
        actions=tuple(f"A{n}" for n in range(1, actions + 1)),
        dial=dial if isinstance(dial, Dial) else Dial(dial, TARGETS),
        evidence=evidence,
    )
