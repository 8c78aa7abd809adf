"""Localist adapters of an existing causal language model: low-rank additions to queries and keys, by kind of block.

A token x of a block of kind g gets q_h + B_h,g A_g x in place of q_h, before rotary positions and norms of queries, and
likewise for keys; the base stays as it is. B starts at zero: an adapter that has learned nothing, or whose layer is all
zero, leaves every bit of the base's logits. (layer, head, kind) are groups of the penalty (`penalty.py`), with B_h,g of
queries and keys as factors; the rows of A keep length 1, else they could grow while B shrinks.

A directory of an adapter holds `adapter.json` (`version` 1, `base` = directory of the base, from there or absolute,
`base_sha256` of its weights' files, `rank`, `kinds`) and `adapter.safetensors`; `SharedCore.load` takes it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from localist_core.attending.family import family_of
from localist_core.blocks import PROMPT_ORDER
from localist_core.errors import ModelMissingError, RequestError, UnsupportedModelError
from localist_core.learning.penalty import Penalised, Side

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER = "adapter.json"
WEIGHTS = "adapter.safetensors"
ATTRIBUTE = "localist_adapter"
"""Under this name the adapter is a module of its base."""

KINDS = tuple(kind.value for kind in PROMPT_ORDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Where a layer makes queries and keys, and how its output is laid out."""

    attention: nn.Module
    query: nn.Module
    """Makes the queries; where one module makes queries, keys and values, `key` is the same."""
    key: nn.Module
    place: Callable[[Tensor, Tensor, Side], Tensor]
    """Adds (batch, token, head * width) to the queries or keys in an output."""


class Adapter(nn.Module):
    """The additions to all layers of one base; attached to it, they act on every forward that says the kinds."""

    def __init__(self, model: PreTrainedModel, *, rank: int, seed: int = 0) -> None:
        """Make one that changes nothing yet.

        Args:
            model: the base.
            rank: rows of each A, 1 or more.
            seed: of A.

        Raises:
            UnsupportedModelError: the family makes queries and keys in a way that is not known here.
            RequestError: a rank below 1.
        """
        super().__init__()
        if rank < 1:
            raise RequestError(f"expected an adapter of rank 1 or more, got `{rank}`")
        family = family_of(model)
        self.rank = rank
        self._projections = projections_of(model)
        generator = torch.Generator().manual_seed(seed)
        reads, queries, keys = [], [], []
        for one in self._projections:
            inside, width = _inside(one.query), _width(model, one, family.num_heads, family.num_kv_heads)
            reads.append(nn.Parameter(torch.randn(len(KINDS), rank, inside, generator=generator)))
            queries.append(nn.Parameter(torch.zeros(family.num_heads, width, len(KINDS), rank)))
            keys.append(nn.Parameter(torch.zeros(family.num_kv_heads, width, len(KINDS), rank)))
        self.reads, self.queries, self.keys = (nn.ParameterList(each) for each in (reads, queries, keys))
        self._kinds: Tensor | None = None
        self.hold()

    @property
    def penalised(self) -> tuple[Penalised, ...]:
        """The groups of every layer."""
        return tuple(
            Penalised(
                layer=layer,
                side=side,
                parameter=parameter,
                num_heads=parameter.shape[0],
                num_kinds=len(KINDS),
                width=self.rank,
            )
            for layer, sides in enumerate(zip(self.queries, self.keys, strict=True))
            for side, parameter in zip(Side, sides, strict=True)
        )

    def still(self) -> None:
        pass

    @torch.no_grad()
    def hold(self) -> None:
        """Bring every row of A back to length 1."""
        for reads in self.reads:
            reads.div_(torch.linalg.vector_norm(reads, dim=-1, keepdim=True))

    def attach(self, model: PreTrainedModel, *, trains: bool = False) -> None:
        """Become a module of the base and act on its forwards, each of which must then be given `block_kinds`.

        Args:
            model: the base that it was made for.
            trains: act in every layer; otherwise layers that are all zero are left alone.
        """
        if getattr(model, ATTRIBUTE, None) is not None:
            raise RequestError("expected a model without an adapter, got one that has one; load its base")
        for layer, one in enumerate(self._projections):
            one.attention.register_forward_pre_hook(self._take_kinds, with_kwargs=True)
            for side, module, parameter in (
                (Side.QUERY, one.query, self.queries[layer]),
                (Side.KEY, one.key, self.keys[layer]),
            ):
                if trains or bool(parameter.any()):
                    module.register_forward_hook(self._addition(layer, side, one))
        model.add_module(ATTRIBUTE, self.to(device=model.device, dtype=torch.float32 if trains else model.dtype))

    def _take_kinds(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Keep the kinds of the tokens for the layer's projections; its attention does not see them."""
        kinds = kwargs.get("block_kinds")
        if kinds is None:
            raise RequestError("expected the kind of block of each token beside an adapter, got none; pass block_kinds")
        self._kinds = kinds
        return args, {name: value for name, value in kwargs.items() if name != "block_kinds"}

    def _addition(self, layer: int, side: Side, one: Projection) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def added(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            assert self._kinds is not None
            writes = (self.queries if side is Side.QUERY else self.keys)[layer]
            return one.place(output, addition(inputs[0], self._kinds, self.reads[layer], writes), side)

        return added

    def save(self, directory: Path, base: Path) -> None:
        """Write the files that the first lines describe."""
        directory.mkdir(parents=True, exist_ok=True)
        place = os.path.relpath(base.resolve(), directory.resolve())
        told = {"version": 1, "base": place, "base_sha256": weights_hash(base), "rank": self.rank, "kinds": KINDS}
        (directory / ADAPTER).write_text(json.dumps(told, indent=1) + "\n")
        tensors = {name: value.detach().float().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(tensors, directory / WEIGHTS)


def addition(inputs: Tensor, kinds: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
    """B_h,g A_g x for each token: (batch, token, head * width).

    Args:
        inputs: x, (batch, token, hidden).
        kinds: g, (batch, token) int64.
        reads: A, (kind, rank, hidden).
        writes: B, (head, width, kind, rank).
    """
    chosen = nn.functional.one_hot(kinds, len(reads))[..., None].to(inputs.dtype)
    read = (inputs @ reads.flatten(0, 1).mT.to(inputs.dtype)).view(*kinds.shape, len(reads), -1) * chosen
    return read.flatten(2) @ writes.flatten(2).flatten(0, 1).mT.to(inputs.dtype)


# Where families make queries and keys


def projections_of(model: PreTrainedModel) -> tuple[Projection, ...]:
    """The projections of every layer, in order.

    Raises:
        UnsupportedModelError: a family whose layout is not known, by name.
    """
    found: dict[int, Projection] = {}
    for module in model.modules():
        layer: Any = getattr(module, "layer_idx", None)
        one = None if layer is None else _projection(model, module)
        if one is not None:
            found[int(layer)] = one
    num_layers = family_of(model).num_layers
    if sorted(found) != list(range(num_layers)):
        raise UnsupportedModelError(
            f"expected {num_layers} layers whose queries and keys are known to be made by a projection, got family "
            f"`{model.config.model_type}` with {len(found)}; train an adapter for another model"
        )
    return tuple(found[layer] for layer in range(num_layers))


def _projection(model: PreTrainedModel, module: nn.Module) -> Projection | None:
    family = family_of(model)
    heads, kv_heads = family.num_heads, family.num_kv_heads
    parts = {
        name: getattr(module, name, None) for name in ("q_proj", "k_proj", "qkv_proj", "c_attn", "query_key_value")
    }
    if isinstance(parts["q_proj"], nn.Module) and isinstance(parts["k_proj"], nn.Module):
        return Projection(attention=module, query=parts["q_proj"], key=parts["k_proj"], place=_alone)
    if family.name == "phi3" and isinstance(parts["qkv_proj"], nn.Module):
        return _fused(module, parts["qkv_proj"], _stacked(heads, kv_heads))
    if family.name == "gpt2" and isinstance(parts["c_attn"], nn.Module):
        return _fused(module, parts["c_attn"], _stacked(heads, kv_heads))
    if family.name == "gpt_neox" and isinstance(parts["query_key_value"], nn.Module):
        return _fused(module, parts["query_key_value"], _interleaved(heads))
    return None


def _fused(attention: nn.Module, module: nn.Module, place: Callable[[Tensor, Tensor, Side], Tensor]) -> Projection:
    return Projection(attention=attention, query=module, key=module, place=place)


def _alone(output: Tensor, delta: Tensor, side: Side) -> Tensor:
    """Queries or keys are all that the module makes."""
    return output + delta


def _stacked(heads: int, kv_heads: int) -> Callable[[Tensor, Tensor, Side], Tensor]:
    """All queries, then all keys, then all values."""

    def place(output: Tensor, delta: Tensor, side: Side) -> Tensor:
        width = output.shape[-1] // (heads + 2 * kv_heads)
        start = 0 if side is Side.QUERY else heads * width
        return output + nn.functional.pad(delta, (start, output.shape[-1] - start - delta.shape[-1]))

    return place


def _interleaved(heads: int) -> Callable[[Tensor, Tensor, Side], Tensor]:
    """For each head its query, its key and its value."""

    def place(output: Tensor, delta: Tensor, side: Side) -> Tensor:
        width = output.shape[-1] // (3 * heads)
        before = 0 if side is Side.QUERY else width
        padded = nn.functional.pad(delta.view(*delta.shape[:-1], heads, width), (before, 2 * width - before))
        return output + padded.flatten(-2)

    return place


def _inside(module: nn.Module) -> int:
    """Width of what a projection reads; the weight of GPT-2's stands the other way round."""
    weight: Any = module.weight
    return int(weight.shape[0] if type(module).__name__ == "Conv1D" else weight.shape[1])


def _width(model: PreTrainedModel, one: Projection, heads: int, kv_heads: int) -> int:
    """Width of one head."""
    weight: Any = one.query.weight
    out = int(weight.shape[1] if type(one.query).__name__ == "Conv1D" else weight.shape[0])
    return out // (heads if one.query is not one.key else heads + 2 * kv_heads)


# Files


def adapter_of(model: PreTrainedModel) -> Adapter | None:
    """The adapter that is attached to a model; None = none."""
    found = getattr(model, ATTRIBUTE, None)
    return found if isinstance(found, Adapter) else None


def reads_kinds(model: PreTrainedModel) -> bool:
    """Whether the model's forward wants the kind of block of each token, `block_kinds`."""
    return model.config.model_type == "localist" or adapter_of(model) is not None


def base_of(directory: Path) -> Path:
    """The base that an adapter's directory names, checked.

    Raises:
        ModelMissingError: the adapter is not complete or of another version, or its base is missing or has changed.
    """
    told = _told(directory)
    base = (directory / str(told["base"])).resolve()
    if (base / ADAPTER).exists():
        raise ModelMissingError(f"expected a base without an adapter of its own, got `{base}`; adapt its base")
    if not (base / "config.json").is_file():
        raise ModelMissingError(f"expected the base of adapter `{directory}` at `{base}`, got none; put it back there")
    if weights_hash(base) != told["base_sha256"]:
        raise ModelMissingError(
            f"expected at `{base}` the base that adapter `{directory}` was trained on, got other weights; put it back"
        )
    return base


def attach_from(model: PreTrainedModel, directory: Path) -> None:
    """Attach the adapter of a directory to its base.

    Raises:
        ModelMissingError: the adapter is not complete, or not of this shape.
        UnsupportedModelError: see `Adapter`.
    """
    adapter = Adapter(model, rank=int(_told(directory)["rank"]))
    try:
        adapter.load_state_dict(load_file(directory / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        detail = str(error).strip().splitlines()[0].rstrip(".: ")
        raise ModelMissingError(f"expected weights of this adapter in `{directory / WEIGHTS}`, got {detail}") from error
    adapter.attach(model)


def _told(directory: Path) -> dict[str, Any]:
    path = directory / ADAPTER
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelMissingError(
            f"expected an adapter at `{path}`, got {type(error).__name__}; train it anew"
        ) from error
    types = {"version": int, "base": str, "base_sha256": str, "rank": int, "kinds": list}
    if not isinstance(told, dict) or any(not isinstance(told.get(name), one) for name, one in types.items()):
        raise ModelMissingError(f"expected an adapter with {', '.join(types)} at `{path}`, got others; train it anew")
    if told["version"] != 1 or tuple(told["kinds"]) != KINDS:
        raise ModelMissingError(
            f"expected an adapter of version 1 with the kinds {' '.join(KINDS)} at `{path}`, got others; train it anew"
        )
    return told


def weights_hash(directory: Path) -> str:
    """SHA-256 over the weights' files of a model, whatever format they are loaded in."""
    digest = hashlib.sha256()
    files = sorted([*directory.glob("*.safetensors"), *directory.glob("pytorch_model*.bin")])
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
