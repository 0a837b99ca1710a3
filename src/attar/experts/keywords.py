"""The keyword options of `attar.train_experts`, so that editors complete them; free of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from attar.options import Auto, ReadingOptions


class ExpertsOptions(ReadingOptions, total=False):
    """The fields of `attar.experts.request.ExpertsRequest`, and how the data are read."""

    count: int
    epochs: int
    network: Any
    lr: float
    momentum: float
    weight_decay: float
    batch: int
    augment: str | None
    zca: Literal["none", "mtt", "frepo", "rtp", "kip"]
    storage: Literal["float32", "float16", "bfloat16"]
    seed: int
    together: int | None
    jobs: int | None
    ray: str | None
    device: str
    precision: Literal["auto", "float32", "bfloat16"]
    torch_compile: Auto
    chunk: int | None
    output: str | Path | None
    overwrite: bool
    checkpoint_seconds: float
