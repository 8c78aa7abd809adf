"""Low-rank additions to queries and keys of many families: nothing at zero, by kind of block, through the probe."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from localist_core import RequestError, SharedCore, UnsupportedModelError
from localist_core.attending.attention import LEAN
from localist_core.attending.probe import probe
from localist_core.errors import ModelMissingError
from localist_core.learning.adapters import ADAPTER, KINDS, WEIGHTS, Adapter, addition, base_of
from localist_core.serving.loading import load
from tests.localist_core import tiny

FAMILIES = ["llama", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_neox", "gpt_oss"]
IDS = torch.arange(40).view(2, 20) * 7 % tiny.SIZE
SOME = torch.arange(20).expand(2, 20) * len(KINDS) // 20


def filled(model, *, seed: int = 1, size: float = 0.5) -> Adapter:
    """An adapter whose additions are as large as what they are added to."""
    made = Adapter(model, rank=2)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for writes in (*made.queries, *made.keys):
            writes.normal_(std=size, generator=generator)
    return made


def logits(model, kinds: torch.Tensor | None = None) -> torch.Tensor:
    arguments = {} if kinds is None else {"block_kinds": kinds}
    with torch.no_grad():
        return model(IDS, use_cache=False, **arguments).logits


@given(st.integers(0, 999))
def test_addition_is_the_product_for_the_kind_of_each_token(seed) -> None:
    torch.manual_seed(seed)
    inputs, reads, writes = torch.randn(2, 5, 7), torch.randn(4, 3, 7), torch.randn(2, 6, 4, 3)
    kinds = torch.randint(4, (2, 5))
    found = addition(inputs, kinds, reads, writes).view(2, 5, 2, 6)
    for batch in range(2):
        for token in range(5):
            kind = kinds[batch, token]
            expected = writes[:, :, kind] @ (reads[kind] @ inputs[batch, token])
            torch.testing.assert_close(found[batch, token], expected)


@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_empty_adapter_leaves_every_bit(family, trains) -> None:
    stock, adapted = tiny.model(family), tiny.model(family)
    Adapter(adapted, rank=2).attach(adapted, trains=trains)
    assert torch.equal(logits(adapted, SOME), logits(stock))


def weights_of(family: str, attention) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights that make queries and keys, each (head * width, hidden) or (head, width, hidden); views."""
    if family == "gpt2":
        query, key, _ = attention.c_attn.weight.T.split(32)
    elif family == "phi3":
        query, key, _ = attention.qkv_proj.weight.split((32, 16, 16))
    elif family == "gpt_neox":
        query, key, _ = attention.query_key_value.weight.view(4, 3, 8, 32).unbind(1)
    else:
        query, key = attention.q_proj.weight, attention.k_proj.weight
    return query, key


@pytest.mark.parametrize("family", FAMILIES)
def test_adapter_equals_weights_that_have_taken_it_in(family) -> None:
    adapted, merged = tiny.model(family), tiny.model(family)
    adapter = filled(adapted)
    adapter.attach(adapted)
    layers = [one for one in merged.modules() if hasattr(one, "layer_idx") and "Attention" in type(one).__name__]
    with torch.no_grad():
        for attention, reads, *writes in zip(layers, adapter.reads, adapter.queries, adapter.keys, strict=True):
            for weight, one in zip(weights_of(family, attention), writes, strict=True):
                weight += (one[:, :, 3] @ reads[3]).view(weight.shape)  # (head, width, hidden)
    kinds = torch.full_like(IDS, 3)
    torch.testing.assert_close(logits(adapted, kinds), logits(merged), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(logits(adapted, kinds), logits(tiny.model(family)), atol=1e-2)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_kind_of_a_token_decides_and_others_kinds_do_not(family) -> None:
    adapted = tiny.model(family)
    adapter = filled(adapted)
    with torch.no_grad():
        for writes in (*adapter.queries, *adapter.keys):
            writes[:, :, 5:] = 0.0
    adapter.attach(adapted)
    assert not torch.allclose(logits(adapted, SOME * 0 + 1), logits(adapted, SOME * 0 + 2), atol=1e-2)
    assert torch.equal(logits(adapted, SOME * 0 + 6), logits(tiny.model(family)))


@pytest.mark.parametrize("family", FAMILIES)
def test_probe_accepts_an_adapted_model(family) -> None:
    adapted = tiny.model(family)
    filled(adapted).attach(adapted)
    assert probe(adapted).family.name == adapted.config.model_type


def test_forward_without_kinds_is_refused() -> None:
    adapted = tiny.model("llama")
    filled(adapted).attach(adapted)
    with pytest.raises(RequestError, match="expected the kind of block of each token beside an adapter, got none"):
        logits(adapted)


def test_second_adapter_is_refused() -> None:
    adapted = tiny.model("llama")
    filled(adapted).attach(adapted)
    with pytest.raises(RequestError, match="got one that has one; load its base"):
        Adapter(adapted, rank=1).attach(adapted)


def test_family_that_makes_queries_in_another_way_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModelError, match="family `bloom` with 0; train an adapter for another model"):
        Adapter(tiny.model("bloom"), rank=2)


def test_rows_of_what_is_read_have_length_1() -> None:
    made = Adapter(tiny.model("llama"), rank=3)
    with torch.no_grad():
        made.reads[0].mul_(5.0)
    made.hold()
    for reads in made.reads:
        torch.testing.assert_close(reads.norm(dim=-1), torch.ones(len(KINDS), 3))


def test_additive_mask_attention_of_training_agrees_with_the_stock_one_in_every_family() -> None:
    for family in FAMILIES:
        model = tiny.model(family)
        ids = IDS[:, :7]  # inside every window
        with torch.no_grad():
            expected = model(ids, use_cache=False).logits
            model.set_attn_implementation(LEAN)
            mask = torch.full((7, 7), -1e4).triu(1).expand(2, 1, 7, 7)
            found = model(ids, attention_mask=mask, use_cache=False).logits
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


# Files


@pytest.fixture
def saved(tmp_path):
    """A base and an adapter of it, beside each other."""
    base = tiny.save("qwen3", tmp_path / "base")
    filled(tiny.model("qwen3")).save(tmp_path / "adapter", base)
    return tmp_path


def test_saved_adapter_decides_as_it_did_and_an_empty_one_as_its_base(saved) -> None:
    request = tiny.request(0.0)
    (plain,) = SharedCore.load(saved / "base").decide([request])
    core = SharedCore.load(saved / "adapter")
    (adapted,) = core.decide([request])
    assert adapted.probabilities != plain.probabilities
    again = tiny.model("qwen3")
    filled(again).attach(again)
    (same,) = SharedCore(again, tiny.tokenizer(), name="again").decide([request])
    assert same.probabilities == adapted.probabilities
    Adapter(tiny.model("qwen3"), rank=2).save(saved / "empty", saved / "base")
    (empty,) = SharedCore.load(saved / "empty").decide([request])
    assert empty.probabilities == plain.probabilities
    assert len({SharedCore.load(saved / name).capabilities.fingerprint for name in ("base", "adapter", "empty")}) == 3


def test_adapted_core_decides_alike_with_and_without_what_it_has_read_before(saved) -> None:
    core = SharedCore.load(saved / "adapter")
    first, second, other = (
        core.decide([tiny.request(0.6, message=text)]) for text in ("car says", "go go", "car says")
    )
    assert first == other != second
    whole = SharedCore(*load(saved / "adapter", torch.float32), name="adapter", prefix_bytes=0)
    (alone,), (kept,) = whole.decide([tiny.request(0.6, message="car says")]), first
    assert alone.probabilities == pytest.approx(kept.probabilities, abs=1e-6)


def test_adapter_moves_with_its_base(saved, tmp_path) -> None:
    saved.joinpath("moved").mkdir()
    for name in ("base", "adapter"):
        (saved / name).rename(saved / "moved" / name)
    assert base_of(saved / "moved" / "adapter") == (saved / "moved" / "base").resolve()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": 2}, "expected an adapter of version 1"),
        ({"kinds": ["goal"]}, "expected an adapter of version 1 with the kinds"),
        ({"rank": "2"}, "expected an adapter with version, base, base_sha256, rank, kinds"),
        ({"rank": 3}, "expected weights of this adapter"),
        ({"base": "elsewhere"}, "expected the base of adapter"),
        ({"base": "."}, "expected a base without an adapter of its own"),
        ({"base_sha256": "0"}, "got other weights; put it back"),
    ],
)
def test_adapter_that_does_not_fit_is_one_clear_line(saved, change, complaint) -> None:
    path = saved / "adapter" / ADAPTER
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelMissingError, match=complaint) as caught:
        SharedCore.load(saved / "adapter")
    assert "\n" not in str(caught.value)


def test_adapter_without_its_weights_is_one_clear_line(saved) -> None:
    (saved / "adapter" / WEIGHTS).unlink()
    with pytest.raises(ModelMissingError, match=r"^expected weights of this adapter in `.*safetensors`, got [^\n]*$"):
        SharedCore.load(saved / "adapter")
