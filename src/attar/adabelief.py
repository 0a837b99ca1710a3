"""AdaBelief, which divides a step by how far gradients stray from their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# weights of the past in the two moments, and what keeps the quotient finite
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-16


class AdaBelief(torch.optim.Optimizer):
    """p ← p − lr·m̂/(√ŝ + ε), with m the mean of gradients g and s that of (g − m)² + ε.

    The means run, with weights of the past of 0.9 and 0.999, and are corrected for their start.
    ε = 1e-16, and there is no weight decay: the settings of RFAD's authors.

    Source: Zhuang et al. 2020, AdaBelief Optimizer, algorithm 2.

    Args:
        parameters: tensors to update.
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
                    found = _direction(self.state[parameter], parameter.grad)
                    parameter.sub_(found, alpha=group["lr"])
        return loss


def _direction(state: dict[str, Any], slope: Tensor) -> Tensor:
    """Return m̂/(√ŝ + ε), and update the moments."""
    if not state:
        state |= {"step": 0, "mean": torch.zeros_like(slope), "strayed": torch.zeros_like(slope)}
    state["step"] += 1
    state["mean"].lerp_(slope, 1 - _FIRST)
    away = slope - state["mean"]
    state["strayed"].mul_(_SECOND).addcmul_(away, away, value=1 - _SECOND).add_(_TINY)
    mean = state["mean"] / (1 - _FIRST ** state["step"])
    strayed = state["strayed"] / (1 - _SECOND ** state["step"])
    return mean / (strayed.sqrt() + _TINY)
