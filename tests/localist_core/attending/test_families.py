"""Which families of transformers pass the load-time probe, and how the others are refused."""

from __future__ import annotations

import math

import pytest
import torch

from localist_core.attending.plan import plan_of
from localist_core.attending.probe import inputs_of, probe, run
from localist_core.attending.segments import Group
from localist_core.dial import Dial
from localist_core.errors import DialError, UnsupportedModelError
from localist_core.serving.shared import SharedCore
from tests.localist_core import more_families, tiny

STOCK = {
    "localist": "sdpa",
    "llama": "sdpa",
    "qwen2": "sdpa",
    "qwen3": "sdpa",
    "mistral": "sdpa",
    "gemma": "sdpa",
    "gemma2": "eager",
    "gemma3_text": "sdpa",
    "phi3": "sdpa",
    "gpt2": "sdpa",
    "gpt_neox": "sdpa",
    "gpt_oss": "eager",
}
REFUSED = {"bloom": "positions cannot be given to it", "gptj": "its attention cannot be exchanged"}
WINDOWED = ("mistral", "gemma2", "gemma3_text", "gpt_oss")
NEAR = frozenset({"R1", "R2"})


def test_table_names_every_family() -> None:
    assert {*STOCK, *REFUSED} == set(tiny.CONFIGS)


@pytest.mark.parametrize("family", sorted(STOCK))
def test_family_is_steered_and_measured(family) -> None:
    model = tiny.model(family)
    assert model.config._attn_implementation == STOCK[family]
    core = SharedCore(model, tiny.tokenizer(), name=family)
    off, on = core.decide([tiny.request(Dial(value, NEAR), evidence=True) for value in (0.0, 0.9)])
    assert off.trace.is_raw_from_dial_zero
    assert off.trace.raw == off.trace.steered
    assert sum(on.trace.steered) == pytest.approx(1.0, abs=1e-4)
    assert on.trace.raw_fidelity == pytest.approx(off.trace.raw_fidelity, abs=1e-5)
    assert min(after for _, after in on.trace.layers) >= 0.9 - 1e-5
    assert on.probabilities != off.probabilities
    assert ("(sink)" in on.trace.blocks) == (family == "gpt_oss")


@pytest.mark.parametrize("family", sorted(STOCK))
def test_entropies_are_those_of_the_eager_attention_weights(family) -> None:
    """With soft cap, window and sink too, since the scores themselves are at hand."""
    core, eager = SharedCore(tiny.model(family), tiny.tokenizer(), name=family), tiny.model(family)
    eager.set_attn_implementation("eager")
    request = tiny.request(Dial(0.0, NEAR), message="")
    row = core._row(request, request.dial)
    plan = plan_of([row], stock=core._stock, num_layers=3, pad_id=0, device=torch.device("cpu"))
    with torch.inference_mode():
        run(core._model, plan)
        attentions = eager(**inputs_of(eager, plan), output_attentions=True).attentions
    is_inner = (plan.layout.groups[0] != Group.NEUTRAL).double()
    measured = plan.measured
    for layer, weights in enumerate(attentions):
        rows = weights[0][:, plan.rows[0, : row.num_decision_rows]].double()
        rows = torch.cat([rows, 1.0 - rows.sum(-1, keepdim=True).clamp(max=1.0)], dim=-1)  # the sink's own share
        inner = rows[..., :-1] * is_inner
        inner = (inner / inner.sum(-1, keepdim=True)).nan_to_num()
        for got, p in ((measured.token_entropy_bits, rows), (measured.inner_entropy_bits, inner)):
            bits = float(-torch.xlogy(p, p).sum(-1).mean() / math.log(2.0))
            assert float(got[layer, 0, 0]) == pytest.approx(bits, abs=2e-4)


@pytest.mark.parametrize("family", sorted(REFUSED))
def test_family_that_ignores_the_function_is_refused_by_name_and_reason(family) -> None:
    with pytest.raises(UnsupportedModelError, match=f"got family `{family}`: {REFUSED[family]}"):
        SharedCore(tiny.model(family), tiny.tokenizer(), name=family)


@pytest.mark.parametrize("family", sorted(more_families.PASSING))
def test_further_family_passes_the_probe(family) -> None:
    probed = probe(more_families.model(family, **more_families.PASSING[family]))
    assert probed.logit_difference == 0.0
    assert probed.mass_difference < 1e-6


@pytest.mark.parametrize("family", sorted(more_families.REFUSED))
def test_further_family_is_refused_by_name_and_reason(family) -> None:
    more, reason = more_families.REFUSED[family]
    with pytest.raises(UnsupportedModelError, match=f"got family `{family}`: {reason}"):
        probe(more_families.model(family, **more))


@pytest.mark.parametrize("family", WINDOWED)
def test_target_out_of_the_window_is_an_error(family) -> None:
    core = SharedCore(tiny.model(family), tiny.tokenizer(), name=family)
    request = tiny.request(Dial(0.5, frozenset({"goal"})), rules=4)
    with pytest.raises(DialError, match="a row that sees none"):
        core.decide([request])


def test_two_models_of_one_configuration_do_not_switch_each_other() -> None:
    first = tiny.model("llama")
    second = type(first)(first.config)
    SharedCore(first, tiny.tokenizer(), name="first")
    assert second.config._attn_implementation == "sdpa"
    assert bool(torch.isfinite(second(torch.arange(5)[None]).logits).all())


def test_model_that_changes_its_logits_with_the_function_is_refused() -> None:
    """A family that asks which attention is set and computes something else then."""
    model = tiny.model("llama")
    forward = model.forward

    def shifty(*args, position_ids=None, **kwargs):
        out = forward(*args, position_ids=position_ids, **kwargs)
        if model.config._attn_implementation not in ("sdpa", "eager"):
            out.logits = out.logits + 1e-3
        return out

    model.forward = shifty
    with pytest.raises(UnsupportedModelError, match="its logits at dial 0 differ from the stock model's"):
        SharedCore(model, tiny.tokenizer(), name="shifty")


def test_model_that_mixes_tokens_outside_attention_is_refused() -> None:
    """A layer that averages over all earlier tokens, beside its attention."""
    model = tiny.model("llama")
    model.model.layers[1].mlp.register_forward_hook(
        lambda _module, _inputs, out: out + out.cumsum(1) / torch.arange(1, out.shape[1] + 1)[:, None]
    )
    with pytest.raises(UnsupportedModelError, match="a block that is cut off still moves the decision"):
        SharedCore(model, tiny.tokenizer(), name="mixer")
