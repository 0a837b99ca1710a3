"""RDED's selection, slow and literal, in float64 (Sun et al. 2024, section 4 and their scripts)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import resized_crop


def surest_crops(
    images: Tensor,
    boxes: Tensor,
    label: int,
    teacher: Callable[[Tensor], Tensor],
    side: int,
) -> list[tuple[float, int, Tensor]]:
    """Return of each image its crop of least cross-entropy: the loss, the image, the crop."""
    found = []
    for number, (image, own) in enumerate(zip(images, boxes, strict=True)):
        best: tuple[float, int, Tensor] | None = None
        for top, left, height, width in own.tolist():
            crop = resized_crop(image, top, left, height, width, [side, side], antialias=True)
            canvas = torch.zeros_like(image)
            down, across = ((whole - side) // 2 for whole in image.shape[1:])
            canvas[:, down : down + side, across : across + side] = crop
            scores = teacher(canvas[None])
            loss = nn.functional.cross_entropy(scores, torch.tensor([label])).item()
            if best is None or loss < best[0]:
                best = (loss, number, crop)
        assert best is not None
        found.append(best)
    return sorted(found, key=lambda one: one[0])


def pictures(crops: Sequence[Tensor], factor: int) -> Tensor:
    """Return pictures of factor × factor crops, row by row."""
    made = []
    for start in range(0, len(crops), factor**2):
        own = crops[start : start + factor**2]
        rows = [torch.cat(list(own[r * factor : (r + 1) * factor]), 2) for r in range(factor)]
        made.append(torch.cat(rows, 1))
    return torch.stack(made)
