"""LAMB, an optimiser that scales Adam's update of every tensor by the tensor's own norm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# weights of the past in the two moments, and what keeps the quotient finite
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-6


class Lamb(torch.optim.Optimizer):
    """Adam's direction u, scaled to the size of the tensor p itself: p ← p − lr·(‖p‖/‖u‖)·u.

    u = m̂/(√v̂ + ε) with bias-corrected moments, whose weights of the past are 0.9 and 0.999, and
    ε = 1e-6. Where p or u is zero, u is taken as it is. There is no weight decay. These are the
    settings of FRePo's authors.

    Source: You et al. 2020, Large Batch Optimization for Deep Learning, algorithm 2; the defaults
    of optax.

    Args:
        parameters: tensors to update; each has a norm of its own.
        lr: learning rate.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every tensor that has a gradient; return what ``closure`` does, if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update = _direction(self.state[parameter], parameter.grad)
                    parameter.sub_(update * (group["lr"] * _trust(parameter, update)))
        return loss


def _direction(state: dict[str, Any], slope: Tensor) -> Tensor:
    """Return u, and update the moments."""
    if not state:
        state |= {"step": 0, "mean": torch.zeros_like(slope), "square": torch.zeros_like(slope)}
    state["step"] += 1
    state["mean"].lerp_(slope, 1 - _FIRST)
    state["square"].mul_(_SECOND).addcmul_(slope, slope, value=1 - _SECOND)
    mean = state["mean"] / (1 - _FIRST ** state["step"])
    square = state["square"] / (1 - _SECOND ** state["step"])
    return mean / (square.sqrt() + _TINY)


def _trust(parameter: Tensor, update: Tensor) -> Tensor:
    """Return ‖parameter‖/‖update‖; 1 where either is 0."""
    own, other = parameter.norm(), update.norm()
    return torch.where((own > 0) & (other > 0), own / other, 1.0)
