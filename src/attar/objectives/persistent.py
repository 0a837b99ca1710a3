"""A network that is trained while labels are learnt for it, and drawn anew once that stalls.

Source: Bohdal, Yang and Hospedales, Flexible Dataset Distillation, 2020, and their code.

Shape letters: P parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attar.objectives.base import State

# of Adam
_BETAS, _EPSILON = (0.9, 0.999), 1e-8
# lengths of trainings whose mean is what a new network is trained for
_LENGTHS = 3


@dataclass(frozen=True)
class Patience:
    """When a network is drawn anew.

    The mean of what is watched, its error or loss, over the last ``gap`` updates must fall below
    its least so far within ``gap`` further ones.

    Args:
        gap: updates.
    """

    gap: int

    def begun(self) -> State:
        """Return what is known of a new network."""
        return {
            "losses": torch.zeros(self.gap),
            "age": 0,
            "least": torch.tensor(torch.inf),
            "since": 0,
        }

    def after(self, known: Mapping[str, Any], loss: float) -> tuple[State, int | None]:
        """Return what is known after an update, and where it was least if it stalls.

        Args:
            known: before it.
            loss: what is watched, of this update.
        """
        losses, age = known["losses"].clone(), known["age"] + 1
        losses[known["age"] % self.gap] = loss
        mean, least, since = losses.mean(), known["least"], known["since"]
        if age >= self.gap:
            since = 0 if mean < least else since + 1
            least = torch.minimum(mean, least)
        if since > self.gap:
            return self.begun(), age - since
        return {"losses": losses, "age": age, "least": least, "since": since}, None


def with_length(lengths: Tensor, length: int) -> Tensor:
    """Return the last three lengths of trainings with one more; 0 stands for none."""
    return torch.cat([lengths, lengths.new_tensor([length])])[-_LENGTHS:]


def no_lengths() -> Tensor:
    """Return that there were none."""
    return torch.zeros(_LENGTHS)


def mean_length(lengths: Tensor, age: int) -> Tensor:
    """Return for how many updates a network is trained; where none ended, those of this one."""
    ended = lengths[lengths > 0]
    return ended.mean() if len(ended) else torch.tensor(float(max(1, age)))


def fresh(values: Tensor, lr: float) -> State:
    """Return values under Adam before its first update."""
    empty = torch.zeros_like(values)
    return {"values": values.detach(), "first": empty, "second": empty, "done": 0, "lr": lr}


def moved(learning: State, gradient: Tensor) -> State:
    """Return values after an update by Adam."""
    (one, two), done = _BETAS, learning["done"] + 1
    first = torch.lerp(gradient, learning["first"], one)
    second = two * learning["second"] + (1 - two) * gradient.square()
    root = (second / (1 - two**done)).sqrt() + _EPSILON
    values = learning["values"] - learning["lr"] / (1 - one**done) * first / root
    return {**learning, "values": values, "first": first, "second": second, "done": done}
