"""SGD with momentum that updates rows of a tensor at the cost of these rows, to the same result."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

# values that processors take at once: rows of a multiple of these are computed as in one piece
LANES = 32
# rows that move by momentum are gathered where they are fewer than one in so many
_FEW = 4
# bytes of a piece that stays near the processor
_PIECE = 2**19


class SGD(torch.optim.SGD):
    """PyTorch's SGD, its results and its state, with `step_rows` beside `step`.

    Args:
        *args: as PyTorch takes them.
        coast: whether `step_rows` moves rows without a gradient on by their momentum.
        **options: as PyTorch takes them.

    A row with a velocity of zero and without a gradient stays as it is, so of many rows only
    those are updated that were touched before.
    """

    # tensor → which rows have a velocity; absent where that is to be found out
    _moving: dict[Tensor, Tensor]

    def __init__(self, *args: Any, coast: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self._moving = {}
        self.coast = coast

    def takes_rows(self, values: Tensor) -> bool:
        """Whether rows of a tensor by themselves give what they give within the whole."""
        if not self.coast:
            return True
        return math.prod(values.shape[1:]) % LANES == 0 and values.is_contiguous()

    def step(self, closure: Any = None) -> Any:
        """Update every tensor that has a gradient."""
        for group in self.param_groups:
            for values in group["params"]:
                if values.grad is not None and values in self._moving:
                    self._moving[values].fill_(True)
        return super().step(closure)

    def load_state_dict(self, state_dict: Any) -> None:
        """Continue from what `state_dict` returned."""
        self._moving.clear()
        super().load_state_dict(state_dict)

    def forget_rows(self, values: Tensor) -> None:
        """Find out anew which rows of a tensor move, whose rows were put in another order."""
        self._moving.pop(values, None)

    @torch.no_grad()
    def step_rows(self, values: Tensor, rows: Tensor, slope: Tensor) -> None:
        """Update a tensor whose gradient is ``slope`` in some rows and zero in all others.

        Args:
            values: one of the tensors given, N×*item.
            rows: R different ones, in order.
            slope: R×*item.
        """
        group = next(one for one in self.param_groups if any(p is values for p in one["params"]))
        lr, momentum = group["lr"], group["momentum"]
        if not momentum:
            values[rows] = values[rows].add_(slope, alpha=-lr)
            return
        state = self.state[values]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = torch.zeros_like(values)
            self._moving[values] = torch.zeros(len(values), dtype=torch.bool, device=values.device)
        velocity = state["momentum_buffer"]
        if not self.coast:
            part, own = values[rows], velocity[rows]
            _move(part, own, slope, torch.arange(len(rows), device=rows.device), lr, momentum)
            values[rows], velocity[rows] = part, own
            return
        if values not in self._moving:
            self._moving[values] = velocity.flatten(1).abs().amax(dim=1) > 0
        moving = self._moving[values]
        moving[rows] = True
        found = moving.nonzero().flatten()
        if _FEW * len(found) < len(values):
            own, part = velocity[found], values[found]
            _move(part, own, slope, torch.searchsorted(found, rows), lr, momentum)
            velocity[found], values[found] = own, part
            return
        size = _rows_at_once(values)
        bounds = torch.searchsorted(rows, torch.arange(0, len(values) + size, size).to(rows))
        ends = bounds.tolist()
        for number, (own, part) in enumerate(
            zip(velocity.split(size), values.split(size), strict=True)
        ):
            piece = slice(ends[number], ends[number + 1])
            _move(part, own, slope[piece], rows[piece] - number * size, lr, momentum)


def _rows_at_once(values: Tensor) -> int:
    """Return how many rows are updated together: a piece for each thread, or all on a device."""
    if values.device.type != "cpu":
        return len(values)
    row = max(1, values[0].numel() * values.element_size())
    return max(1, _PIECE * torch.get_num_threads() // row)


def _move(
    values: Tensor, velocity: Tensor, slope: Tensor, rows: Tensor, lr: float, momentum: float
) -> None:
    """Do a step on values and their velocity, in place, with a gradient in ``rows`` alone."""
    velocity.mul_(momentum)
    if len(rows):
        velocity[rows] += slope
    # a sum with zero has no negative zero, as in rows with a gradient of zero
    velocity.add_(0.0)
    values.add_(velocity, alpha=-lr)
