"""Group sparsity: a penalty on what heads read from each kind of block, proximal steps that reach true zeros, KKT.

The objective is loss + strength * sum of w_g (||W_Q[h,g]||_F + ||W_K[h,g]||_F) over **groups** (layer, head, kind): g
are the coordinates of the residual stream that are reserved for one kind of block (framework, section 4). Each group
has two **factors**, of the query and of the key; scores read nothing of a group whose factors are both zero.

A penalty means something only at a fixed scale. The loss of the localist model does not change when (a) a head's W_Q is
scaled as a whole, because its queries are normalised (likewise W_K), or when (b) the gain of a reserved coordinate in
the norm before attention grows and the columns that read it shrink. Either would shrink the penalty and remove nothing,
so `LocalistGroups` holds both: the shared columns of each head keep their norm, the gains of reserved coordinates stay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from localist_core.blocks import PROMPT_ORDER
from localist_core.errors import CoreError
from localist_core.model import LocalistForCausalLM


class PenaltyError(CoreError):
    """A penalty that the model cannot be given."""


class Side(StrEnum):
    """The two factors of a group."""

    QUERY = "query"
    KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """How strongly groups are penalised, and when zeros are kept."""

    strength: float = 0.0
    """Factor of the whole penalty, in nats for each unit of norm, >= 0; 0 = no penalty, and all matrices by Muon."""
    lr: float = 0.3
    """Step of the plain gradient descent of the penalised columns at the plateau of the schedule, > 0."""
    weights: tuple[tuple[str, float], ...] = ()
    """(kind of block, w_g > 0); kinds that are not named weigh 1."""
    freeze_from: float = 0.5
    """Share of the tokens, in [0, 1], from which on a factor that is zero stays zero: the gradient of a mini-batch may
    exceed strength * w_g where that of all data does not. 1 = nothing is frozen."""
    recheck_tokens: int = 1_000_000
    """From then on, tokens between looks at the gradient of all data, >= 1: what it says should not be zero is thawed
    until the next look."""
    tolerance: float = 0.05
    """A zero factor is right while its gradient exceeds strength * w_g by at most this share of it, >= 0."""

    def __post_init__(self) -> None:
        if not (self.strength >= 0.0 and self.lr > 0.0 and 0.0 <= self.freeze_from <= 1.0 and self.tolerance >= 0.0):
            raise ValueError(
                f"expected a strength >= 0, a step > 0, freezing from a share in [0, 1] and a tolerance >= 0, "
                f"got `{self.strength}`, `{self.lr}`, `{self.freeze_from}`, `{self.tolerance}`"
            )
        if self.recheck_tokens < 1:
            raise ValueError(f"expected 1 token or more between looks, got `{self.recheck_tokens}`")
        for kind, weight in self.weights:
            if kind not in set(PROMPT_ORDER) or not weight > 0.0:
                raise ValueError(f"expected kinds of block with weights above 0, got `{kind}: {weight}`")

    @property
    def weight_of(self) -> Tensor:
        """w_g of each kind, (kind,) in the order of `PROMPT_ORDER`."""
        named = dict(self.weights)
        return torch.tensor([named.get(kind.value, 1.0) for kind in PROMPT_ORDER])


NONE = Penalty()


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalised:
    """The factors of one side in one layer: all heads and kinds of one matrix."""

    layer: int
    side: Side
    parameter: nn.Parameter
    """(head, width, kind, coordinate); or (head * width, coordinate of the residual stream), whose first columns are
    the kinds' subspaces."""
    num_heads: int
    num_kinds: int
    width: int
    """Coordinates of each kind."""

    @property
    def columns(self) -> int:
        """Columns that are penalised; the others are shared by all kinds."""
        return self.num_kinds * self.width

    def blocks(self, of: Tensor) -> Tensor:
        """A tensor shaped like the parameter, seen as (head, width, kind, coordinate); shares its memory."""
        if of.ndim == 4:
            return of
        return of[:, : self.columns].view(self.num_heads, -1, self.num_kinds, self.width)

    @property
    def norms(self) -> Tensor:
        """||W[h,g]||_F, (head, kind)."""
        return norms(self.blocks(self.parameter.detach()))

    @property
    def gradient(self) -> Tensor:
        """The parameter's gradient as (head, width, kind, coordinate)."""
        assert self.parameter.grad is not None
        return self.blocks(self.parameter.grad)


class Groups(Protocol):
    """The penalised part of a model, at a fixed scale."""

    @property
    def penalised(self) -> Sequence[Penalised]:
        """For each layer its queries and its keys."""
        ...

    def still(self) -> None:
        """Drop the gradients by which the penalty could be evaded; after the backward pass."""
        ...

    def hold(self) -> None:
        """Bring what sets the scale back to it; after the step."""
        ...


class LocalistGroups:
    """The localist subspaces of a `LocalistForCausalLM`, as its queries and keys read them."""

    def __init__(self, model: LocalistForCausalLM) -> None:
        """Look at a model.

        Raises:
            PenaltyError: no coordinates are reserved for kinds of block, or none are shared.
        """
        config: Any = model.config
        reserved = config.num_kinds * config.block_width
        if not 0 < reserved < config.hidden_size:
            raise PenaltyError(
                f"expected reserved and shared coordinates in the residual stream, got `{reserved}` reserved of "
                f"`{config.hidden_size}`; choose another block width"
            )
        layers: Any = model.model.layers
        self._gains: list[nn.Parameter] = [layer.input_layernorm.weight for layer in layers]
        self._values: list[nn.Parameter] = [layer.self_attn.v_proj.weight for layer in layers]
        self._reserved = reserved
        # As initialised: normal with this deviation.
        self._scale = config.initializer_range * math.sqrt(config.head_dim * (config.hidden_size - reserved))
        self.penalised = tuple(
            Penalised(
                layer=index,
                side=side,
                parameter=projection.weight,
                num_heads=heads,
                num_kinds=config.num_kinds,
                width=config.block_width,
            )
            for index, layer in enumerate(layers)
            for side, projection, heads in (
                (Side.QUERY, layer.self_attn.q_proj, config.num_attention_heads),
                (Side.KEY, layer.self_attn.k_proj, config.num_key_value_heads),
            )
        )

    def still(self) -> None:
        for gain in self._gains:
            if gain.grad is not None:
                gain.grad[: self._reserved] = 0.0

    @torch.no_grad()
    def hold(self) -> None:
        for one in self.penalised:
            heads = one.parameter.view(one.num_heads, -1, one.parameter.shape[1])
            heads[..., one.columns :] *= self._correction(one)

    @torch.no_grad()
    def fix_scale(self) -> None:
        """Bring a model that was trained without a penalty to the scale of one trained with it; the loss stays.

        Whole heads are scaled, and gains of reserved coordinates go over into the columns that read them. Exact but for
        the epsilon of the norms on queries and keys.
        """
        for index, gain in enumerate(self._gains):
            kept = gain[: self._reserved].clone()
            for one in self.penalised[2 * index : 2 * index + 2]:
                one.parameter[:, : self._reserved] *= kept
                one.parameter.view(one.num_heads, -1, one.parameter.shape[1]).mul_(self._correction(one))
            self._values[index][:, : self._reserved] *= kept
            gain[: self._reserved] = 1.0

    def _correction(self, one: Penalised) -> Tensor:
        """(head, 1, 1): the factor that gives each head's shared columns their norm; 1 where they are zero."""
        shared = one.parameter.view(one.num_heads, -1, one.parameter.shape[1])[..., one.columns :]
        norm = torch.linalg.vector_norm(shared, dim=(1, 2), keepdim=True)
        return torch.where(norm > 0.0, self._scale / norm, 1.0)


# The penalty and its step, on blocks (head, width, kind, coordinate)


def norms(blocks: Tensor) -> Tensor:
    """Frobenius norm of each head's block of each kind, (head, kind)."""
    return cast(Tensor, torch.linalg.vector_norm(blocks, dim=(1, 3)))


def penalty_of(groups: Groups, weights: Tensor) -> Tensor:
    """Sum of w_g (||W_Q[h,g]||_F + ||W_K[h,g]||_F), for strength 1; weights (kind,)."""
    return torch.stack([(norms(one.blocks(one.parameter)) * weights).sum() for one in groups.penalised]).sum()


def shrink(blocks: Tensor, thresholds: Tensor) -> None:
    """Proximal step in place: W <- W * max(0, 1 - threshold / ||W||_F), thresholds (head, kind); 0 stays 0.

    Solves the objective after a plain gradient step alone, with threshold = step * strength * w_g (Parikh and Boyd
    2014, section 6.5.4); `theory.proximal_factor` is the same for one block.
    """
    size = norms(blocks)
    factor = torch.where(size > thresholds, 1.0 - thresholds / size, 0.0)
    blocks.mul_(factor[:, None, :, None])


def kkt_residuals(blocks: Tensor, gradient: Tensor, forces: Tensor) -> Tensor:
    """How far each block is from stationary, (head, kind): 0 at a solution, in units of the gradient's norm.

    A zero block: max(0, ||gradient||_F - force). Another: ||gradient + force * W / ||W||_F||_F.

    Args:
        blocks: (head, width, kind, coordinate).
        gradient: of the loss over all data, likewise.
        forces: strength * w_g, broadcast to (head, kind).
    """
    size = norms(blocks)
    at_zero = (norms(gradient) - forces).clamp(min=0.0)
    direction = blocks / size.clamp(min=torch.finfo(size.dtype).tiny)[:, None, :, None]
    elsewhere = norms(gradient + direction * forces.expand_as(size)[:, None, :, None])
    return torch.where(size > 0.0, elsewhere, at_zero)
