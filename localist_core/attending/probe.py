"""The load-time probe: is the attention of this model really steered and measured by us? If not, it is refused.

A family may ignore a registered attention function without a word, or change its own logits with it. So every model is
tried once on a few tokens: each layer must call the function exactly once, logits at dial 0 must be those of the stock
model, masses must be those of its eager attention, and a cut block must not reach the decision by any other way.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.utils import logging as transformers_logging

from localist_core.attending.attention import NAME
from localist_core.attending.backend import PACKED, Backend
from localist_core.attending.family import Family, family_of
from localist_core.attending.plan import Plan, plan_of
from localist_core.attending.row import Row
from localist_core.blocks import Block, BlockKind, Prompt, Trust
from localist_core.dial import Dial
from localist_core.errors import DialError, UnsupportedModelError
from localist_core.learning.adapters import reads_kinds
from localist_core.prompting.encoding import Encoding

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel

SIZES = (5, 8, 6, 3)
"""Tokens of the probe's schema, observation, message and decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What the probe found of a model that it lets through."""

    family: Family
    stock: str
    """The family's own attention, `sdpa` or `eager`."""
    calls_per_layer: int
    """How often each layer called the attention function in one forward."""
    has_sinks: bool
    """Whether heads have a sink logit without a key."""
    logit_difference: float
    """Largest difference of a logit at dial 0 to the stock model's."""
    mass_difference: float
    """Largest difference of a block's mass to that of the family's eager attention, over all layers."""
    cut_difference: float
    """Largest change of a logit of the decision when the text of a block that is cut off changes."""


def run(model: PreTrainedModel, plan: Plan, cache: Cache | None = None) -> Tensor:
    """One forward through our attention: logits of the decision rows, (batch, row, vocabulary).

    A plan with a prefix needs no cache: positions, masks and keys of the prefix are the plan's, the model takes the fed
    tokens for a whole prompt. To fill one, pass a plan with `keeps` and take `plan.prefix_of` of it.

    Args:
        model: set to our attention.
        plan: the batch.
        cache: of transformers, dynamic or static, holding the plan's `cached` slots; the fed tokens are added to it.
    """
    plan.passed.clear()
    arguments = inputs_of(model, plan) | {"plan": plan}
    if cache is not None:
        arguments |= {"past_key_values": cache, "use_cache": True}
    rows = plan.rows
    if model.config.model_type == "localist":
        flat = rows + torch.arange(len(rows), device=rows.device)[:, None] * plan.ids.shape[1]
        logits: Tensor = model(**arguments, rows=flat.flatten()).logits
        return logits.reshape(*rows.shape, logits.shape[-1])
    first = 0
    if _can_keep(getattr(model.forward, "__func__", model.forward)):
        first = int(rows.min()) if rows.shape[1] else plan.ids.shape[1] - 1
        arguments["logits_to_keep"] = plan.ids.shape[1] - first
    logits = model(**arguments).logits
    return logits.gather(1, (rows - first)[..., None].expand(-1, -1, logits.shape[-1]))


@lru_cache(maxsize=64)
def _can_keep(forward: Callable[..., object]) -> bool:
    """Whether a model can be asked for the logits of its last rows alone."""
    return "logits_to_keep" in inspect.signature(forward).parameters


@torch.inference_mode()
def probe(model: PreTrainedModel, backend: Backend = PACKED) -> Probed:
    """Try the model and leave it set to our attention.

    Args:
        model: on its device.
        backend: what attends for the decision rows, tried with it.

    Raises:
        UnsupportedModelError: with the family's name and the reason.
    """
    stock = model.config._attn_implementation
    if stock not in ("sdpa", "eager"):
        raise _refusal(model, f"its stock attention is `{stock}`, not sdpa or eager")
    if "position_ids" not in inspect.signature(model.forward).parameters:
        raise _refusal(model, "positions cannot be given to it")
    num_layers = int(model.config.get_text_config().num_hidden_layers)

    def plan(*rows: Row) -> Plan:
        return plan_of(rows, stock=stock, num_layers=num_layers, pad_id=0, device=model.device, backend=backend)

    tolerance = 1e-4 if model.dtype == torch.float32 else 3e-2
    plain = plan(_row(model, Dial(0.0, frozenset({"observation"})), 1), _row(model, Dial.off(), 1, is_short=True))
    with _set_to(model, stock):
        whole: Tensor = model(**inputs_of(model, plain)).logits
    expected = whole.gather(1, plain.rows[..., None].expand(-1, -1, whole.shape[-1]))
    scale = float(expected.abs().max())
    with _set_to(model, "eager"):
        attentions = model(**inputs_of(model, plain), output_attentions=True).attentions
    _set(model, NAME)
    logits = _tried(model, plain)
    called = [one.layer for one in plain.passed]
    once = sum(called.count(layer) == 1 for layer in range(num_layers))
    if not once == len(called) == num_layers:
        raise _refusal(model, f"{once} of {num_layers} layers called the attention function once")
    logit_difference = float((logits - expected).abs().max())
    if not logit_difference <= (0.0 if model.device.type == "cpu" else tolerance * scale):
        raise _refusal(model, f"its logits at dial 0 differ from the stock model's by {logit_difference:.1e}")
    if attentions is None or any(weights is None for weights in attentions):
        raise _refusal(model, "it shows no eager attention to compare with")
    mass_difference = _compare_masses(model, plain, attentions, tolerance)
    try:
        cut = plan(*(_row(model, Dial(1.0, frozenset({"observation"})), message) for message in (1, 2)))
        one, other = run(model, cut)
    except DialError as error:
        raise _refusal(model, f"its window is too small to steer ({error})") from error
    cut_difference = float((one - other).abs().max())
    if not cut_difference <= tolerance * scale:
        raise _refusal(model, f"a block that is cut off still moves the decision by {cut_difference:.1e}")
    return Probed(
        family=family_of(model),
        stock=str(stock),
        calls_per_layer=len(called) // num_layers,
        has_sinks=plain.measured.raw.shape[-1] > plain.layout.membership.shape[-1],
        logit_difference=logit_difference,
        mass_difference=mass_difference,
        cut_difference=cut_difference,
    )


def _tried(model: PreTrainedModel, plan: Plan) -> Tensor:
    try:
        return run(model, plan)
    except UnsupportedModelError as error:
        raise _refusal(model, f"our attention cannot serve it ({error})") from error
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise _refusal(model, f"it cannot call another attention function ({type(error).__name__})") from error


def _compare_masses(model: PreTrainedModel, plan: Plan, attentions: tuple[Tensor, ...], tolerance: float) -> float:
    """The largest difference; refuses the model where it is too large."""
    blocks, largest = plan.layout.membership.shape[-1], 0.0
    for layer, raw in enumerate(plan.measured.raw):
        weights = attentions[layer].float().mean(1)
        of_rows = weights.gather(1, plan.rows[..., None].expand(-1, -1, weights.shape[-1]))
        masses = (plan.share @ (of_rows @ plan.layout.membership))[:, 0]
        difference = float((masses - raw[:, 0, :blocks]).abs().max())
        if not difference <= tolerance:
            raise _refusal(model, f"its eager attention differs from ours by {difference:.1e} in layer {layer}")
        largest = max(largest, difference)
    return largest


def inputs_of(model: PreTrainedModel, plan: Plan) -> dict[str, Any]:
    """What the model's forward takes of a plan."""
    inputs: dict[str, Any] = {
        "input_ids": plan.ids,
        "attention_mask": plan.padding,
        "position_ids": plan.positions,
        "use_cache": False,
    }
    if reads_kinds(model):
        inputs["block_kinds"] = plan.kinds
    return inputs


def _row(model: PreTrainedModel, dial: Dial, message: int, *, is_short: bool = False) -> Row:
    """A prompt of arbitrary tokens; rows differ in the message alone, whose tokens stand behind the trusted ones."""
    kinds = (BlockKind.SCHEMA, BlockKind.OBSERVATION, BlockKind.MESSAGE, BlockKind.DECISION)
    sizes = SIZES if not is_short else (5, 8, 0, 3)
    trusts = (Trust.TRUSTED, Trust.TRUSTED, Trust.UNTRUSTED, Trust.TRUSTED)
    blocks = [Block(kind=k, name=k.value, text="", trust=t) for k, t in zip(kinds, trusts, strict=True)]
    vocabulary = int(model.config.get_text_config().vocab_size)
    block_ids = tuple(index for index, size in enumerate(sizes) for _ in range(size))
    ids = tuple((7 + 11 * n * (message if b == 2 else 1)) % vocabulary for n, b in enumerate(block_ids))
    trusted = sizes[0] + sizes[1]
    positions = tuple(range(len(ids)))
    if dial.value > 0.0:
        positions = (*range(trusted + sizes[2]), *range(trusted, trusted + sizes[3]))
    encoding = Encoding(ids=ids, block_ids=block_ids, positions=positions, decision_from=sum(sizes[:3]))
    return Row(prompt=Prompt(tuple(blocks)), encoding=encoding, dial=dial)


def _set(model: PreTrainedModel, name: str) -> None:
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)  # what it would warn of is judged right below
    try:
        model.set_attn_implementation(name)
    except (ValueError, KeyError, ImportError) as error:
        raise _refusal(model, f"its attention cannot be exchanged ({type(error).__name__})") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    if model.config._attn_implementation != name:
        raise _refusal(model, "its attention cannot be exchanged")


@contextmanager
def _set_to(model: PreTrainedModel, name: str) -> Iterator[None]:
    before = model.config._attn_implementation
    _set(model, name)
    try:
        yield
    finally:
        _set(model, before)


def _refusal(model: PreTrainedModel, reason: str) -> UnsupportedModelError:
    family = model.config.model_type
    return UnsupportedModelError(
        f"expected a model whose attention can be steered by block, got family `{family}`: {reason}; use another model"
    )
