"""Further families of transformers, tiny and random: which of them the load-time probe lets through."""

from __future__ import annotations

from copy import deepcopy

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

_SHAPE = {
    "vocab_size": 192,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}
_OLD = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 1024}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_HEAD, _WINDOW = {"head_dim": 8}, {"sliding_window": 16}

_LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 8,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 12,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_group": 1,
    "topk_group": 1,
}

PASSING: dict[str, dict[str, object]] = {
    "apertus": {},
    "arcee": {},
    "biogpt": {},
    "bitnet": {},
    "cohere": {},
    "cohere2": _WINDOW,
    "ctrl": {**_OLD, "dff": 48},
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "ernie4_5": {},
    "exaone4": {**_HEAD, **_WINDOW},
    "glm": _HEAD,
    "glm4": _HEAD,
    "gpt_bigcode": _OLD,
    "granite": {},
    "granitemoe": _LOCAL_EXPERTS,
    "helium": _HEAD,
    "hunyuan_v1_dense": _HEAD,
    "jetmoe": {},
    "llama4_text": {**_HEAD, "num_local_experts": 2, "attention_chunk_size": 16, "intermediate_size_mlp": 48},
    "ministral": {**_HEAD, **_WINDOW},
    "mixtral": _LOCAL_EXPERTS,
    "olmo": {},
    "olmo2": {},
    "olmo3": _WINDOW,
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "persimmon": {},
    "phi": {},
    "phimoe": _LOCAL_EXPERTS,
    "qwen2_moe": {**_EXPERTS, "shared_expert_intermediate_size": 16},
    "qwen3_moe": {**_HEAD, **_EXPERTS},
    "seed_oss": _HEAD,
    "smollm3": {},
    "starcoder2": _WINDOW,
    "vaultgemma": {**_HEAD, **_WINDOW, "query_pre_attn_scalar": 8},
}
"""Family -> what its configuration needs beside the common shape."""

REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "codegen": ({**_OLD, "rotary_dim": 4}, "its attention cannot be exchanged"),
    "diffllama": ({}, "0 of 3 layers called the attention function once"),
    "falcon": ({"new_decoder_architecture": False, "multi_query": True}, "its attention cannot be exchanged"),
    "falcon_h1": (
        {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_chunk_size": 8},
        "a block that is cut off still moves the decision",
    ),
    "jamba": ({}, "0 of 3 layers called the attention function once"),
    "mamba": ({}, "positions cannot be given to it"),
    "minimax": ({}, "2 of 3 layers called the attention function once"),
    "mpt": ({"d_model": 32, "n_heads": 4, "n_layers": 3}, "positions cannot be given to it"),
    "nemotron": ({}, r"our attention cannot serve it \(expected the family to hand on plan and mask"),
    "recurrent_gemma": ({}, "1 of 3 layers called the attention function once"),
    "stablelm": ({}, r"our attention cannot serve it \(expected the family to hand on plan and mask"),
    "xglm": (
        {"d_model": 32, "ffn_dim": 48, "num_layers": 3, "attention_heads": 4},
        "its attention cannot be exchanged",
    ),
}
"""Family -> the same, and the reason of its refusal."""


def model(family: str, **more: object) -> PreTrainedModel:
    """A random model of three layers in float32; weights large enough for attention to have contrast."""
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(deepcopy(CONFIG_MAPPING[family](**{**_SHAPE, **more})))
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim >= 2:
                weight.mul_(6.0)
    return made.eval()
