"""Files as the authors of other codes write them, at tiny size, for the tests of importing."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import torch
from torch import Tensor, nn


def class_by_class(classes: int, per_class: int) -> Tensor:
    """Return labels as the DC lineage writes them: int64, class after class."""
    return torch.arange(classes).repeat_interleave(per_class)


def inputs(count: int, channels: int = 1, size: int = 8, seed: int = 0) -> Tensor:
    """Return images that look like standardised ones, each with its own brightness."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, channels, size, size, generator=generator)
    return images + torch.linspace(-0.5, 0.5, count).view(-1, 1, 1, 1)


def write_dc(path: Path, sets: list[tuple[Tensor, Tensor]], *, legacy: bool = False) -> None:
    """Write as main.py of DatasetCondensation does; accuracies are numpy numbers."""
    data = [[images, labels] for images, labels in sets]
    accuracies = {"ConvNet": [np.float64(0.25), np.float64(0.5)]}
    torch.save(
        {"data": data, "accs_all_exps": accuracies},
        path,
        _use_new_zipfile_serialization=not legacy,
    )


def write_mtt(folder: Path, images: Tensor, labels: Tensor, lr: float | None = None) -> list[Path]:
    """Write as distill.py of mtt-distillation does, and as DATM.py where a rate is given."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Tensor] = {"images_best.pt": images, "labels_best.pt": labels}
    if lr is not None:
        parts["lr_best.pt"] = torch.tensor(lr)
    for name, tensor in parts.items():
        torch.save(tensor, folder / name)
    return [folder / name for name in parts]


class Hallucinator(nn.Module):
    """HaBa's, as its paper describes it; its weights have the names of the authors' class."""

    def __init__(self, inside: int, outside: int, size: int, kernel: int = 3) -> None:
        super().__init__()
        self.enc = nn.Conv2d(inside, outside, kernel)
        left = size - kernel + 1
        self.scale = nn.Parameter(1 + 0.1 * torch.randn(1, outside, left, left))
        self.shift = nn.Parameter(0.1 * torch.randn(1, outside, left, left))
        self.dec = nn.ConvTranspose2d(outside, outside, kernel)

    def forward(self, images: Tensor) -> Tensor:
        return self.dec(self.scale * self.enc(images) + self.shift)


def hallucinators(count: int, inside: int, outside: int, size: int) -> nn.ModuleList:
    """Return freshly drawn ones."""
    torch.manual_seed(0)
    return nn.ModuleList([Hallucinator(inside, outside, size) for _ in range(count)])


def write_haba(folder: Path, bases: Tensor, styles: nn.ModuleList) -> list[Path]:
    """Write as distill_fac.py of DatasetFactorization does."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(bases, folder / "images_best.pt")
    state: OrderedDict[str, Tensor] = styles.state_dict()  # pyright: ignore[reportAssignmentType]
    torch.save(state, folder / "weights_best.pt")
    return [folder / "images_best.pt", folder / "weights_best.pt"]


class Compressor(nn.Module):
    """RememberThePast's, as its paper describes it; its weights have the names of the code's."""

    def __init__(self, count: int, size: int, bases: int = 0) -> None:
        super().__init__()
        if bases:
            self.basis = nn.Embedding(bases, size)
        self.imgs = nn.Embedding(count, bases or size)


def write_rtp(path: Path, compressor: nn.Module) -> Path:
    """Write as sgld_runner_standard.py of RememberThePast-DatasetDistillation does."""
    torch.save({"compressor": compressor.state_dict()}, path)
    return path


def flax_array(array: np.ndarray) -> msgpack.ExtType:
    """Return an array as flax packs it: shape, name of the type, and bytes."""
    packed = msgpack.packb((array.shape, array.dtype.name, array.tobytes("C")), use_bin_type=True)
    assert packed is not None
    return msgpack.ExtType(1, packed)


def write_flax(path: Path, state: dict[str, Any]) -> None:
    """Write a tree with arrays as flax's ``to_bytes`` does."""

    def packed(value: Any) -> Any:
        return flax_array(value) if isinstance(value, np.ndarray) else value

    content = msgpack.packb(state, default=packed, strict_types=True)
    assert content is not None
    path.write_bytes(content)


def centred(labels: Tensor, classes: int) -> np.ndarray:
    """Return labels as FRePo starts them: one-hot, centred, divided by √(K / 10)."""
    hot = np.eye(classes, dtype=np.float32)[labels.numpy()]
    return ((hot - 1 / classes) / np.sqrt(classes / 10)).astype(np.float32)
