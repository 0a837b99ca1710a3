"""The keyword options of `attar.condense`, so that editors complete them; free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attar.budget import Count
from attar.options import Auto, ReadingOptions


class CondenseOptions(ReadingOptions, total=False):
    """The fields of `attar.Request`, and how the data are read."""

    method: Any
    objective: Any
    form: Any
    ipc: int | None
    max_bytes: str | int | None
    synthetic_per_class: int | None
    count: Count | None
    per_class_budget: Literal["equal", "proportional"]
    storage: str | None
    rank: int | str | None
    init: str | Path | None
    iterations: int | None
    minutes: float | None
    nested: bool
    bounded: bool
    lr: float | None
    momentum: float | None
    optimiser: Literal["sgd", "adam", "lamb", "adabelief"] | None
    schedule: Literal["constant", "linear", "cosine", "late_halving", "halving"] | None
    average: float | None
    network: Any
    card: str | None
    zca: Literal["none", "mtt", "frepo", "rtp", "kip"] | None
    experts: str | Path | None
    teacher: str | Path | None
    teacher_storage: str | None
    settings: str | Sequence[str] | Mapping[str, Any] | None
    validation: float | None
    validations: int
    seed: int
    device: str
    precision: Literal["auto", "float32", "bfloat16"]
    torch_compile: Auto
    chunk: int | None
    threads: int | None
    workers: int
    ray: str | None
    snapshots: int | str | tuple[int, ...] | None
    output: str | Path | None
    resume: bool
    overwrite: bool
    checkpoint_seconds: float
    tensorboard: str | Path | None
    logger: str | None
