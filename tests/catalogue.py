"""What tests share: counterparts and tiny data of `attar.testing`, and what is odd on purpose."""

import os
from pathlib import Path
from typing import Any

import torch

from attar.testing.counterparts import FORMS as PARAMETRIZATIONS
from attar.testing.counterparts import OBJECTIVES, SLIMMERS
from attar.testing.tiny import (
    COMPUTE,
    COUNTS,
    CPU,
    NETWORK,
    TinyExperts,
    prepared_data,
    tiny_data,
    tiny_problem,
    tiny_run,
    unequal,
)

__all__ = [
    "COMPUTE",
    "COUNTS",
    "CPU",
    "NETWORK",
    "OBJECTIVES",
    "PARAMETRIZATIONS",
    "SLIMMERS",
    "SMALL",
    "OnceDifferentiable",
    "TinyExperts",
    "prepared_data",
    "tiny_data",
    "tiny_problem",
    "tiny_run",
    "unequal",
    "worker_processes",
]


# options of a condensation that takes little
SMALL: dict[str, Any] = {
    "ipc": 2,
    "network": "convnet2:width=8",
    "validation": 0,
    "device": "cpu",
    "precision": "float32",
    "torch_compile": "off",
}


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return values * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:
        return slope * 2


class OnceDifferentiable(torch.nn.Module):
    """A network for 1×8×8 images of 3 classes without second derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Linear(64, 8)
        self.head = torch.nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(_Doubled.apply(self.body(images.flatten(1))))


def worker_processes() -> list[int]:
    """Return the worker processes of this one, in the order in which they were started."""
    own = Path(f"/proc/{os.getpid()}/task")
    found = [int(pid) for task in own.iterdir() for pid in (task / "children").read_text().split()]
    return sorted(p for p in found if b"parallel.worker" in Path(f"/proc/{p}/cmdline").read_bytes())
