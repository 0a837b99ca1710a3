"""The images of a set as PNG in data URIs, class by class, within a size for the page.

Shape letters: N images, C channels, H height, W width.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attar.artefact.artefact import Artefact
from attar.artefact.header import Header
from attar.data.modality import rows_of
from attar.report.markup import Markup, join, tag
from attar.shapes import Shape

MOST_PER_CLASS = 12
MOST_CLASSES = 200
# Bytes of all encoded images together, before base64 adds a third.
ALLOWANCE = 1_200_000
# PNG container, element and alternative text of one image.
_OVERHEAD = 200
# Images with a longer side are averaged down to it by a whole factor.
_LONGEST = 96
# What the longer side is shown at, in CSS pixels, enlarged by a whole factor.
_SHOWN = 64


@dataclass(frozen=True)
class Choice:
    """Which images the page shows, and how large.

    Args:
        classes: shown, from the first.
        per_class: shown of each class, from the first.
        reduction: pixels averaged into one, along each side.
        scale: CSS pixels per pixel.
    """

    classes: int
    per_class: int
    reduction: int
    scale: int


def choose(
    classes: int,
    per_class: int,
    shape: Shape,
    *,
    most_per_class: int = MOST_PER_CLASS,
    allowance: int = ALLOWANCE,
    side: int = _SHOWN,
) -> Choice:
    """Return what fits on a page for a set of this size.

    Args:
        classes: of the set.
        per_class: images of each.
        shape: C, H, W of an image.
        most_per_class: images of a class that are shown at most.
        allowance: bytes of all encoded images together, before base64 adds a third.
        side: about what the longer side of an image is shown at, in CSS pixels.
    """
    channels, height, width = shape
    reduction = math.ceil(max(height, width) / _LONGEST)
    longest = max(height, width) // reduction
    item = channels * (height // reduction or 1) * (width // reduction or 1) + _OVERHEAD
    room = max(1, allowance // item)
    shown = min(classes, MOST_CLASSES, room)
    return Choice(
        classes=shown,
        per_class=min(per_class, most_per_class, room // shown),
        reduction=reduction,
        scale=max(1, round(side / longest)),
    )


def encode(pixels: Tensor) -> str:
    """Return C×H×W pixels in [0, 1], as `visible` shows them, as the data URI of a PNG."""
    from PIL import Image

    values = visible(pixels).numpy()
    image = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def visible(pixels: Tensor) -> Tensor:
    """Return …×C×H×W pixels in [0, 1] as uint8 …×H×W×(1 or 3), in the channels that are shown.

    One channel is grey and three are colours. Of more, the first three are shown; two are
    averaged.
    """
    if pixels.shape[-3] == 2:
        pixels = pixels.mean(-3, keepdim=True)
    return (pixels[..., :3, :, :] * 255).round().to(torch.uint8).movedim(-3, -1)


def gallery(artefact: Artefact) -> Markup:
    """Return the images by class, each class under its name."""
    header = artefact.header
    if not artefact.modality.gallery:
        return tag("p", not_shown(header.shape), class_="note")
    choice = choose(len(header.class_names), header.images_per_class, header.shape)
    blocks = [_one_class(artefact, index, choice) for index in range(choice.classes)]
    return tag(
        "div",
        tag("p", _explanation(artefact, choice), class_="note"),
        _filter(header.class_names[: choice.classes]) if choice.classes > 1 else "",
        tag(
            "dl",
            *blocks,
            class_="gallery wide" if choice.per_class > 4 else "gallery",
            style=f"--strip:{_strip(header, choice)}px",
        ),
        class_="filtered",
    )


def _filter(names: Sequence[str]) -> Markup:
    """Return a choice of one class, which hides the others by style alone."""
    rules = (
        f".filtered:has(option:nth-child({place + 1}):checked) dl>div:not(:nth-child({place}))"
        for place in range(1, len(names) + 1)
    )
    options = (tag("option", name) for name in ("every class", *names))
    return join(
        tag("style", Markup(",".join(rules) + "{display:none}")),
        tag("p", tag("label", "Show ", tag("select", *options)), class_="filter"),
    )


def not_shown(shape: Shape) -> str:
    """Say that rows of a shape are no pictures."""
    return f"The set holds {rows_of(shape)}, which are not shown as pictures."


def _one_class(artefact: Artefact, index: int, choice: Choice) -> Markup:
    name = artefact.header.class_names[index]
    return tag("div", tag("dt", tag("bdi", name)), tag("dd", class_images(artefact, index, choice)))


def class_images(artefact: Artefact, index: int, choice: Choice) -> Markup:
    """Return the chosen images of one class, and how many more there are."""
    header = artefact.header
    name = header.class_names[index]
    rows = header.layout.rows_of(index)
    pixels = shown_pixels(artefact, index, choice)
    height, width = pixels.shape[-2:]
    # opened, an image is as large as the window by style alone
    images = [
        tag(
            "details",
            tag(
                "summary",
                tag(
                    "img",
                    src=encode(image),
                    width=width * choice.scale,
                    height=height * choice.scale,
                    alt=f"{name}, image {number} of {len(rows)}",
                ),
            ),
            class_="zoom",
            name="zoom",
        )
        for number, image in enumerate(pixels, start=1)
    ]
    hidden = len(rows) - len(pixels)
    return join(*images, tag("span", f"{hidden:,} more", class_="more") if hidden else "")


def shown_pixels(artefact: Artefact, index: int, choice: Choice) -> Tensor:
    """Return the chosen images of one class as they are shown, N×C×H×W in [0, 1]."""
    own = artefact.header.layout.rows_of(index)[: choice.per_class]
    pixels = artefact.pixels[own.start : own.stop]
    if choice.reduction > 1:
        sides = tuple(min(choice.reduction, side) for side in pixels.shape[-2:])
        pixels = nn.functional.avg_pool2d(pixels, sides)
    return pixels


def _explanation(artefact: Artefact, choice: Choice) -> str:
    header = artefact.header
    channels, height, width = header.shape
    classes, per_class = len(header.class_names), header.images_per_class
    text = []
    if choice.classes < classes:
        text.append(f"The first {choice.classes:,} of {classes:,} classes are shown.")
    if choice.per_class < per_class:
        text.append(f"The first {choice.per_class} of {header.count} images of each class.")
    else:
        text.append("Every image of each class." if per_class > 1 else "One image per class.")
    made = "multiplied out of their factors, " if _factored(artefact) else ""
    text.append(f"{height}×{width} pixels, {made}without the preprocessing")
    if choice.reduction > 1:
        text[-1] += f", averaged down by {choice.reduction} along each side"
    if channels > 3:
        text[-1] += f"; the first three of {channels} channels"
    if channels == 2:
        text[-1] += "; the mean of both channels"
    if artefact.clipped is not None:
        text.append(f"{artefact.clipped}, and are clipped")
    return " ".join(text) + "."


def _strip(header: Header, choice: Choice) -> int:
    """Return the width of one class's images side by side, in CSS pixels."""
    width = max(1, header.shape[2] // choice.reduction) * choice.scale
    more = 80 if choice.per_class < header.images_per_class else 0
    return choice.per_class * (width + 4) + more


def _factored(artefact: Artefact) -> bool:
    return artefact.header.parametrization.get("name") == "low_rank"
