"""The temperature divides what the softmax sees, in every layer, and makes another model of it."""

from __future__ import annotations

import pytest
import torch

from localist_core.attending.temperature import heat
from localist_core.errors import RequestError, UnsupportedModelError
from localist_core.serving.loading import fingerprint
from tests.localist_core import tiny

IDS = torch.tensor([[3, 9, 4, 12, 7, 5]])


@pytest.mark.parametrize("family", ["localist", "qwen3"])
def test_temperature_is_the_same_as_queries_divided_by_it(family: str) -> None:
    heated, scaled = tiny.model(family), tiny.model(family)
    heat(heated, 2.5)
    with torch.no_grad():
        for name, weight in scaled.named_parameters():
            if name.endswith("q_norm.weight"):
                weight.div_(2.5)
        assert torch.allclose(heated(IDS).logits, scaled(IDS).logits, atol=1e-5)
        assert not torch.allclose(heated(IDS).logits, tiny.model(family)(IDS).logits, atol=1e-2)


def test_heated_model_has_another_fingerprint() -> None:
    cold, hot = tiny.model("localist"), tiny.model("localist")
    heat(hot, 2.0)
    assert fingerprint(cold, tiny.tokenizer()) != fingerprint(hot, tiny.tokenizer())


def test_temperature_that_is_none_and_capped_logits_are_refused() -> None:
    with pytest.raises(RequestError, match="above 0"):
        heat(tiny.model("localist"), 0.0)
    with pytest.raises(UnsupportedModelError, match="gemma2"):
        heat(tiny.model("gemma2"), 2.0)
