"""The optimisers of a training run: Muon for hidden matrices, proximal descent for penalised ones, AdamW for the rest.

After a step of Muon or Adam the Euclidean proximal step does not solve the penalised objective (framework, section 4).
So the columns under a penalty belong to `ProximalDescent` alone, which steps along the plain gradient; Muon is given
the other columns of the same matrices, as views of their memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from localist_core.learning.penalty import Groups, Penalised, Penalty, kkt_residuals, norms, shrink

CLIP = 1.0
"""Greatest norm of the whole gradient."""


class Optimisers:
    """One step for every parameter of a model."""

    def __init__(
        self, model: nn.Module, *, muon_lr: float, adam_lr: float, penalty: Penalty, groups: Groups | None
    ) -> None:
        """Share the parameters out; `groups` are penalised if there are any, and must lie on the model's device."""
        hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
        penalised = {id(one.parameter): one for one in groups.penalised} if groups else {}
        taken = {id(p) for p in hidden} | penalised.keys()
        others = [p for p in model.parameters() if id(p) not in taken]
        self._shared = [(p, penalised[id(p)], _view(p, penalised[id(p)])) for p in hidden if id(p) in penalised]
        view_of = {id(p): view for p, _, view in self._shared}
        self._model, self._groups = model, groups
        self._stock: list[torch.optim.Optimizer] = []
        self._rates: list[float] = []
        if hidden:
            views = [view_of.get(id(p), p) for p in hidden]
            self._stock.append(torch.optim.Muon(views, lr=muon_lr, weight_decay=0.01))
            self._rates.append(muon_lr)
        self._stock.append(torch.optim.AdamW(others, lr=adam_lr, weight_decay=0.0, betas=(0.9, 0.95)))
        self._rates.append(adam_lr)
        self.descent = ProximalDescent(groups.penalised, penalty) if groups else None

    def step(self, scale: float, *, freezes: bool = False) -> None:
        """One step along the gradients that the parameters hold, which are then dropped.

        Args:
            scale: factor of all rates, in [0, 1].
            freezes: whether penalised factors that are zero stay zero.
        """
        if self._groups:
            self._groups.still()
        size = nn.utils.clip_grad_norm_(self._model.parameters(), CLIP)
        for parameter, one, view in self._shared:
            view.grad = None if parameter.grad is None else parameter.grad[:, one.columns :]
        for optimiser, rate in zip(self._stock, self._rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * scale
            optimiser.step()
            optimiser.zero_grad()
        if self.descent and self._groups:
            self.descent.step(scale, clipped=min(1.0, CLIP / (float(size) + 1e-6)), freezes=freezes)
            self._groups.hold()
        self._model.zero_grad()

    def state_dict(self) -> list[Any]:
        """What `load_state_dict` takes; nothing but tensors, numbers and containers."""
        stock = [optimiser.state_dict() for optimiser in self._stock]
        return [*stock, *([self.descent.state_dict()] if self.descent else [])]

    def load_state_dict(self, state: Sequence[Any]) -> None:
        """Go on where the same optimisers stood."""
        own: list[Any] = [*self._stock, *([self.descent] if self.descent else [])]
        for optimiser, saved in zip(own, state, strict=True):
            optimiser.load_state_dict(saved)


class ProximalDescent:
    """Plain gradient descent with the proximal step of the same size, on every penalised factor."""

    def __init__(self, penalised: Sequence[Penalised], penalty: Penalty) -> None:
        self._penalised, self._penalty = penalised, penalty
        self._weights = penalty.weight_of.to(penalised[0].parameter)
        self._thawed = [torch.zeros_like(one.norms, dtype=torch.bool) for one in penalised]
        """For each matrix the factors, (head, kind), that may leave zero although zeros are frozen."""

    @torch.no_grad()
    def step(self, scale: float, *, clipped: float = 1.0, freezes: bool = False) -> None:
        """One step along the gradients that the parameters hold.

        Args:
            scale: factor of the rate.
            clipped: the factor by which the gradients have been clipped; it shortens the step, hence the shrinkage too.
            freezes: whether factors that are zero stay zero, unless thawed.
        """
        step = self._penalty.lr * scale
        thresholds = step * clipped * self._penalty.strength * self._weights
        for one, thawed in zip(self._penalised, self._thawed, strict=True):
            blocks = one.blocks(one.parameter.data)
            moves = (norms(blocks) > 0.0) | thawed | (not freezes)
            blocks.sub_(step * one.gradient * moves[:, None, :, None])
            shrink(blocks, thresholds)

    @torch.no_grad()
    def thaw(self) -> int:
        """Free the zero factors that the gradients held now, those of all data, say should not be zero; how many."""
        forces = self._penalty.strength * self._weights
        for index, one in enumerate(self._penalised):
            residuals = kkt_residuals(one.blocks(one.parameter), one.gradient, forces)
            wrong = (one.norms == 0.0) & (residuals > self._penalty.tolerance * forces)
            self._thawed[index] = wrong
        return sum(int(thawed.sum()) for thawed in self._thawed)

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {"thawed": list(self._thawed)}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        for own, saved in zip(self._thawed, state["thawed"], strict=True):
            own.copy_(saved)


def _view(parameter: nn.Parameter, one: Penalised) -> Tensor:
    """The columns that are not penalised, as a leaf tensor over the same memory."""
    return parameter.detach()[:, one.columns :].requires_grad_()
