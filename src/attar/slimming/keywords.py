"""The keyword options of `attar.slim`, so that editors complete them; free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from attar.options import Auto


class SlimOptions(TypedDict, total=False):
    """The fields of `attar.slimming.request.SlimRequest` but ``ipc``."""

    learning_free: bool
    random: bool
    expand: bool
    share: Literal["all", "class"] | None
    init: Literal["significance", "random"]
    method: str
    iterations: int | None
    minutes: float | None
    lr: float | None
    optimiser: Literal["sgd", "adam", "lamb", "adabelief"] | None
    schedule: Literal["constant", "linear", "cosine", "late_halving"] | None
    average: float | None
    network: Any
    card: str | None
    settings: str | Sequence[str] | Mapping[str, Any] | None
    storage: str | None
    seed: int
    device: str
    precision: Literal["auto", "float32", "bfloat16"]
    torch_compile: Auto
    chunk: int | None
    threads: int | None
    output: str | Path | None
    resume: bool
    overwrite: bool
    checkpoint_seconds: float
