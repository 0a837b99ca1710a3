"""Networks in training and their optimiser, as they are between two epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from attar.tensors import dotted, nested
from attar.training.evaluation_card import EvaluationCard
from attar.training.schedules import Step


@dataclass(frozen=True)
class Midway:
    """Networks between two epochs of their training; the tensors change as it goes on.

    Args:
        epochs: passes done.
        tensors: parameters and buffers by name, with a first axis of M networks where these are
            several.
        optimiser: what the optimiser keeps for a parameter, by the parameter's name.
    """

    epochs: int
    tensors: Mapping[str, Tensor]
    optimiser: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def tree(self, names: Sequence[str]) -> dict[str, Any]:
        """Return tensors and what the optimiser keeps, for the state of an objective.

        Args:
            names: of the parameters, in their order.
        """
        kept = {str(names.index(name)): dict(one) for name, one in self.optimiser.items()}
        return {"network": nested(self.tensors), "sgd": kept}

    def copy(self) -> Midway:
        """Return the same, with tensors that stay as they are."""
        kept = {
            name: {key: one.clone() for key, one in values.items()}
            for name, values in self.optimiser.items()
        }
        return Midway(self.epochs, {n: one.clone() for n, one in self.tensors.items()}, kept)

    @classmethod
    def of(cls, tree: Mapping[str, Any], names: Sequence[str]) -> Midway:
        """Return what `tree` was made of, as the beginning of a training."""
        kept = {names[int(number)]: one for number, one in tree["sgd"].items()}
        return cls(0, dotted(tree["network"]), kept)


class Learning:
    """Networks in training, and their optimiser.

    Args:
        tensors: parameters and buffers by name.
        learnable: the names of the parameters.
        card: what says which optimiser.
        stacked: whether the first axis of every tensor is that of several networks.
    """

    def __init__(
        self,
        tensors: dict[str, Tensor],
        learnable: Sequence[str],
        card: EvaluationCard,
        *,
        stacked: bool = False,
    ) -> None:
        self.tensors = tensors
        self._learnable = {name: tensors[name].requires_grad_() for name in learnable}
        self._card = card
        self._axes = 2 if stacked else 1
        self._optimiser = self._fresh()

    def at(self, step: Step) -> None:
        """Make the optimiser what a step needs; before the first one it is the card's."""
        if step.restart:
            self._optimiser = self._fresh()
        for group in self._optimiser.param_groups:
            group["lr"] = step.lr

    def update(self, losses: Iterable[Tensor]) -> None:
        """Update the networks by the gradient of the sum of losses, each done with at once."""
        self._optimiser.zero_grad(set_to_none=True)
        for loss in losses:
            loss.backward()
        self._optimiser.step()

    def midway(self, epochs: int) -> Midway:
        """Return where the training is."""
        states = self._optimiser.state
        kept = {
            name: {key: one for key, one in states[tensor].items() if isinstance(one, Tensor)}
            for name, tensor in self._learnable.items()
            if tensor in states
        }
        return Midway(epochs, {n: one.detach() for n, one in self.tensors.items()}, kept)

    def restore(self, kept: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Give the optimiser a copy of what it kept."""
        for name, values in kept.items():
            tensor = self._learnable[name]
            self._optimiser.state[tensor].update(
                # a count stays where PyTorch keeps it
                {
                    key: one.clone() if one.ndim == 0 else one.to(tensor.device, copy=True)
                    for key, one in values.items()
                }
            )

    def _fresh(self) -> torch.optim.Optimizer:
        if self._card.optimiser == "adamw":
            return _adamw(list(self._learnable.values()), self._card, self._axes)
        return OPTIMISERS[self._card.optimiser](list(self._learnable.values()), self._card)


def _sgd(parameters: list[Tensor], card: EvaluationCard) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters, lr=card.lr, momentum=card.momentum, weight_decay=card.weight_decay
    )


def _adam(parameters: list[Tensor], card: EvaluationCard) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=card.lr)


def _adamw(parameters: list[Tensor], card: EvaluationCard, axes: int) -> torch.optim.Optimizer:
    """Decay matrices and kernels alone, not the vectors of norms and biases."""
    wide = [one for one in parameters if one.ndim > axes]
    flat = [one for one in parameters if one.ndim <= axes]
    groups = [{"params": wide}, {"params": flat, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=card.lr, weight_decay=card.weight_decay)


OPTIMISERS = {"sgd": _sgd, "adam": _adam}
