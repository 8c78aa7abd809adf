"""The localist model: subspaces, tied embeddings, saving and loading, attention functions that agree."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from localist_core.attending.attention import LEAN
from localist_core.blocks import PROMPT_ORDER
from localist_core.model import LocalistConfig, LocalistForCausalLM, small_config, subspaces

VOCAB, BLOCK_WIDTH, KINDS = 50, 3, len(PROMPT_ORDER)
RESERVED = KINDS * BLOCK_WIDTH
SHAPE = small_config(VOCAB, layers=2, width=64, heads=4, hidden=48, block_width=BLOCK_WIDTH)


def build(seed: int = 0) -> LocalistForCausalLM:
    """Random weights with enough contrast that a fault shows in the logits."""
    torch.manual_seed(seed)
    made = LocalistForCausalLM(SHAPE)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim == 2:
                weight.normal_(std=0.3)
    return made.eval()


MODEL = build()
tokens, kinds = st.integers(0, VOCAB - 1), st.integers(0, KINDS - 1)


def inputs(batch: int = 2, length: int = 9) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "input_ids": torch.randint(VOCAB, (batch, length), generator=generator),
        "block_kinds": torch.randint(KINDS, (batch, length), generator=generator).sort(1).values,
    }


def embedded(token: int, kind: int) -> torch.Tensor:
    return MODEL.embed(torch.tensor([[token]]), torch.tensor([[kind]]))[0, 0].detach()


@given(tokens, kinds)
def test_token_writes_only_into_the_shared_coordinates_and_its_own_kinds(token, kind) -> None:
    written = embedded(token, kind)
    own = slice(kind * BLOCK_WIDTH, (kind + 1) * BLOCK_WIDTH)
    others = torch.ones(64, dtype=torch.bool)
    others[own] = False
    others[RESERVED:] = False
    assert (written[others] == 0).all()
    assert (written[own] != 0).all()
    assert (written[RESERVED:] != 0).any()


@given(tokens, st.lists(kinds, min_size=2, max_size=2, unique=True))
def test_same_token_in_another_kind_of_block_embeds_differently(token, pair) -> None:
    one, other = (embedded(token, kind) for kind in pair)
    assert not torch.equal(one, other)
    assert not torch.equal(one[:RESERVED], other[:RESERVED])


def test_embedding_without_kinds_is_the_tokens_own() -> None:
    ids = inputs()["input_ids"]
    assert torch.equal(MODEL.embed(ids, None), MODEL.model.embed_tokens(ids))


def test_subspaces_share_no_reserved_coordinate() -> None:
    mask = subspaces(SHAPE)
    assert torch.equal(mask[:, :RESERVED].sum(0), torch.ones(RESERVED))
    assert (mask[:, RESERVED:] == 1).all()


def test_block_width_0_reserves_nothing() -> None:
    assert (subspaces(small_config(VOCAB, width=64, block_width=0)) == 1).all()


def test_subspaces_wider_than_the_residual_stream_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a width of 160 or more for 10 kinds of 16 coordinates, got `64`"):
        subspaces(small_config(VOCAB, width=64, block_width=16))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    MODEL.save_pretrained(path)
    return path


def test_saved_model_is_loaded_by_the_auto_classes_with_equal_logits(directory) -> None:
    assert isinstance(AutoConfig.from_pretrained(directory), LocalistConfig)
    loaded = AutoModelForCausalLM.from_pretrained(directory)
    assert isinstance(loaded, LocalistForCausalLM)
    assert loaded.config.block_width == BLOCK_WIDTH
    assert torch.equal(loaded.eval()(**inputs()).logits, MODEL(**inputs()).logits)


def test_loaded_model_ties_its_embeddings_and_stores_them_once(directory) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(directory)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    with safe_open(directory / "model.safetensors", "pt") as file:
        assert set(file.keys()) == {name for name, _ in MODEL.named_parameters()}
    with torch.no_grad():
        loaded.model.embed_tokens.weight.add_(1.0)
    assert torch.equal(loaded.lm_head.weight, loaded.model.embed_tokens.weight)


def test_model_saved_with_the_training_attention_loads_with_a_stock_one(tmp_path) -> None:
    model = build()
    model.set_attn_implementation(LEAN)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.config._attn_implementation == "sdpa"


def causal(batch: int, length: int) -> torch.Tensor:
    return torch.full((length, length), -1e4).triu(1).expand(batch, 1, length, length)


@pytest.mark.parametrize("stock", ["sdpa", "eager"])
def test_lean_attention_agrees_with_the_stock_one_in_logits_and_gradients(stock) -> None:
    found = {}
    for name in (LEAN, stock):
        model = build()
        model.set_attn_implementation(name)
        logits = model(**inputs(), attention_mask=causal(2, 9)).logits
        logits.log_softmax(-1)[..., 3].sum().backward()
        found[name] = logits.detach(), {key: p.grad for key, p in model.named_parameters()}
    torch.testing.assert_close(found[LEAN][0], found[stock][0], rtol=1e-4, atol=1e-5)
    for key, gradient in found[LEAN][1].items():
        torch.testing.assert_close(gradient, found[stock][1][key], rtol=1e-3, atol=1e-4)


def test_rows_select_the_logits_of_flat_positions() -> None:
    rows = torch.tensor([0, 8, 9, 17])
    chosen = MODEL(**inputs(), rows=rows).logits
    torch.testing.assert_close(chosen, MODEL(**inputs()).logits.flatten(0, 1)[rows])


def test_later_token_changes_no_earlier_logits() -> None:
    changed = inputs()
    changed["input_ids"][:, -1] = (changed["input_ids"][:, -1] + 1) % VOCAB
    before, after = MODEL(**inputs()).logits, MODEL(**changed).logits
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert not torch.equal(before[:, -1], after[:, -1])


def test_cached_continuation_equals_the_whole_prompt() -> None:
    whole = inputs()
    first = MODEL(**{name: part[:, :6] for name, part in whole.items()}, use_cache=True)
    rest = MODEL(**{name: part[:, 6:] for name, part in whole.items()}, past_key_values=first.past_key_values)
    torch.testing.assert_close(rest.logits, MODEL(**whole).logits[:, 6:], rtol=1e-4, atol=1e-5)
