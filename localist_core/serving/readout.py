"""From the model's last states to logits of single tokens: a choice needs a few, and the whole head is the vocabulary.

A restricted head takes the rows of the output embedding that are asked for. It serves where the model's logits are its
decoder's states times that embedding, a soft cap behind it or not; that this is so is tried at load. Elsewhere the
whole head is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from localist_core.attending.plan import Plan
from localist_core.attending.probe import inputs_of, run

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """Runs a model up to its last states, and reads logits from them."""

    model: PreTrainedModel
    head: nn.Linear | None
    """The output embedding; None = the states are logits, computed by the whole model."""
    softcap: float | None = None
    """Logits are softcap * tanh(s / softcap)."""

    def states(self, plan: Plan) -> Tensor:
        """One forward: what the decision rows of a plan end in, (batch, row, width)."""
        if self.head is None:
            return run(self.model, plan)
        plan.passed.clear()
        hidden = decoded(self.model, plan)
        return hidden.gather(1, plan.rows[..., None].expand(-1, -1, hidden.shape[-1]))

    @torch.inference_mode()
    def all(self, states: Tensor) -> Tensor:
        """Logits of the whole vocabulary, (row, vocabulary) float32, from (row, width)."""
        return states.float() if self.head is None else self._capped(self.head(states).float())

    @torch.inference_mode()
    def at(self, states: Tensor, rows: Sequence[int], tokens: Sequence[int]) -> list[float]:
        """Logits of these (row, token) pairs.

        Each is a product and a sum of its own in float64, so that no bit depends on what else is asked.
        """
        row_of, token_of = (torch.tensor(numbers, device=states.device) for numbers in (rows, tokens))
        if self.head is None:
            return cast("list[float]", states[row_of, token_of].double().tolist())
        sums = (states[row_of].double() * self.head.weight[token_of].double()).sum(-1)
        if self.head.bias is not None:
            sums = sums + self.head.bias[token_of].double()
        return cast("list[float]", self._capped(sums).tolist())

    def _capped(self, logits: Tensor) -> Tensor:
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap


def readout_of(model: PreTrainedModel, plan: Plan) -> Readout:
    """The cheapest readout that gives the model's own logits.

    Args:
        model: set to our attention.
        plan: any batch, to try it with.
    """
    whole = Readout(model=model, head=None)
    head: object = cast(Any, model).get_output_embeddings()
    if not isinstance(head, nn.Linear) or model.base_model is model:
        return whole
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    tried = Readout(model=model, head=head, softcap=cap)
    expected = whole.states(plan).float()
    found = tried.all(tried.states(plan))
    is_same = found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    return tried if is_same else whole


def decoded(model: PreTrainedModel, plan: Plan) -> Tensor:
    """States behind the last norm, (batch, token, width)."""
    inputs = inputs_of(model, plan) | {"plan": plan}
    if model.config.model_type == "localist":
        embed = cast(Any, model).embed
        inputs["inputs_embeds"] = embed(inputs.pop("input_ids"), inputs.pop("block_kinds"))
    hidden: Tensor = model.base_model(**inputs).last_hidden_state
    return hidden
