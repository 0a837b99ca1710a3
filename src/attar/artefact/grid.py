"""A few images of a set in a small grid, as a notebook shows it."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import torch
from torch import Tensor

from attar.text import printable

_CLASSES = 10
_EACH = 8
# CSS pixels of an image's side
_SIDE = 40


def grid_html(title: str, own: Any) -> str:
    """Return HTML with a title, and below it a row of pictures for each of the first classes.

    Args:
        title: text.
        own: the `CondensedDataset`; of rows that are no pictures the title is all.
    """
    head = f"<p><code>{html.escape(title)}</code></p>"
    if not own.modality.gallery:
        return head
    targets = torch.tensor(own.targets)
    rows = [
        f"<tr><th>{html.escape(printable(name))}</th><td>{_pictures(own, targets, index)}</td></tr>"
        for index, name in enumerate(own.classes[:_CLASSES])
    ]
    left = len(own.classes) - len(rows)
    more = f"<p>and {left} more classes</p>" if left else ""
    return f"{head}<table>{''.join(rows)}</table>{more}"


def _pictures(own: Any, targets: Tensor, label: int) -> str:
    chosen = (targets == label).nonzero().flatten()[:_EACH]
    return "".join(_picture(own.pixels[index]) for index in chosen.tolist())


def _picture(pixels: Tensor) -> str:
    stream = io.BytesIO()
    as_picture(pixels).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    style = f"width:{_SIDE}px;image-rendering:pixelated;margin:1px;display:inline"
    return f'<img alt="" style="{style}" src="data:image/png;base64,{data}">'


def as_picture(pixels: Tensor) -> Any:
    """Return a Pillow image of C×H×W pixels in [0, 1]: gray, or the first three channels."""
    from PIL import Image

    values = pixels.mul(255).round().to(torch.uint8).numpy()
    return Image.fromarray(values[:3].transpose(1, 2, 0) if len(values) >= 3 else values[0])
