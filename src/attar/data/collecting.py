"""A map-style data set read once, item by item, into one tensor."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attar.data.arrays import (
    array_tensor,
    as_values,
    as_vectors,
    plain_tensor,
    rows_refused,
    to_type,
)
from attar.data.channels import channels_last
from attar.data.opening import check_pages, header_of
from attar.data.plain import on_background, plain_mode
from attar.data.reading import USUAL, Columns
from attar.data.resizing import check_images, fit_images
from attar.data.sampled import Samples, as_seen, needs_range
from attar.data.turning import orientation
from attar.data.values import PLAIN, Look
from attar.errors import BadRequest
from attar.shapes import shape_text

# the keys of items that are mappings; transformers' models call them pixel_values and labels
IMAGE_KEYS = ("image", "img", "pixel_values")
LABEL_KEYS = ("label", "labels", "fine_label")


def collect(
    dataset: Any,
    name: str,
    size: tuple[int, int] | None,
    look: Look = PLAIN,
    columns: Columns = USUAL,
    named: dict[str, int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return N×C×H×W images and N labels of a data set of (image, label), or of mappings.

    Labels that are names become their places in ``named``, which takes in those that are new.

    Images become uint8 while every value is a whole 255th, and float32 from the first on that
    is not, so a set of 8-bit pictures never takes more than its bytes.
    """
    count = length(dataset, name)
    labels = torch.empty(count, dtype=torch.int64)
    images: Tensor | None = None
    lying: list[int] = []
    for index in range(count):
        image, label = read_item(dataset, index, name, columns)
        labels[index] = numbered(label, named, f"{name}: item {index}")
        if is_pillow(image) and orientation(image) != 1:
            lying.append(index)
        pixels = as_pixels(image, f"{name}: image {index}", look)
        pixels = fit_images(pixels.unsqueeze(0), size)[0]
        if images is None:
            check_images(count, tuple(pixels.shape), pixels.element_size())
            images = torch.empty(count, *pixels.shape, dtype=pixels.dtype)
        if pixels.shape != images.shape[1:]:
            raise BadRequest(
                f"{name}: item {index} is of {shape_text(tuple(pixels.shape))}, the ones before "
                f"{shape_text(tuple(images.shape[1:]))}; give vectors of one length, or images of "
                "one size and mode, or a resize"
            )
        if images.dtype == torch.uint8 and pixels.dtype != torch.uint8:
            images = images.float().div_(255)
        images[index] = to_type(pixels, images.dtype)
    if images is None:
        raise BadRequest(f"{name}: the data set is empty")
    if lying:
        warnings.warn(
            f"{name}: {len(lying)} images, such as image {lying[0]}, are still to be turned as "
            "their EXIF says, and are taken as the data set gives them; turn them in it with "
            "PIL.ImageOps.exif_transpose, or give folder:DIR, which turns pictures",
            stacklevel=3,
        )
    return images, labels


def length(dataset: Any, name: str) -> int:
    """Return the number of items, or refuse a data set that cannot be indexed."""
    try:
        return len(dataset)
    except TypeError as error:
        raise BadRequest(
            f"{name}: {type(dataset).__name__} has no length; give a map-style Dataset"
        ) from error


def pair_of(item: Mapping[str, Any], columns: Columns, name: str) -> tuple[Any, Any]:
    """Return the image and the label of an item that is a mapping."""
    found = []
    for column, wanted, usual in (
        ("path", columns.path, IMAGE_KEYS),
        ("label", columns.label, LABEL_KEYS),
    ):
        key = next((one for one in ([wanted] if wanted else usual) if one in item), None)
        if key is None:
            raise BadRequest(
                f"{name} has no {wanted or ' or '.join(usual)}, but {', '.join(map(str, item))}; "
                f"choose one with {column}_column"
            )
        found.append(item[key])
    return found[0], found[1]


def read_item(dataset: Any, index: int, name: str, columns: Columns) -> tuple[Any, Any]:
    """Return one image, as it is given, and its label, a number or a name."""
    item = dataset[index]
    if isinstance(item, Mapping):
        item = pair_of(item, columns, f"{name}: item {index}")
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise BadRequest(f"{name}: item {index} is no pair of image and label")
    image, label = item
    if isinstance(label, Tensor | np.ndarray):
        if math.prod(label.shape) != 1:
            raise rows_refused(torch.as_tensor(label).unsqueeze(0), f"{name}: item {index}")
        label = label.item()
    return image, label


def numbered(label: Any, named: dict[str, int] | None, name: str) -> int:
    """Return a label as a whole number.

    Raises:
        BadRequest: it is neither that nor a name, or others are names and it is none.
    """
    if isinstance(label, str) and named is not None:
        return named.setdefault(label, len(named))
    whole = isinstance(label, int | np.integer) and not isinstance(label, bool | np.bool)
    if not whole or named:
        what = "a name, as those before," if named else "a whole number, or a name,"
        raise BadRequest(f"{name} has the label {label!r}; {what} is needed")
    return int(label)


def is_pillow(image: Any) -> bool:
    """Tell whether this is a Pillow image."""
    from PIL import Image

    return isinstance(image, Image.Image)


def pillow_samples(image: Any, name: str, look: Look) -> Samples:
    """Return the values of a Pillow image, as it lies.

    Raises:
        BadRequest: Pillow would keep only a part of it.
    """
    if getattr(image, "tell", int)() == 0:  # else the data set has chosen a page
        check_pages(image, name)
    header = header_of(image, name, look)
    if header.reader == "values":
        values = np.asarray(image)[..., None]
        if look.value_range is None and not header.floats:
            raise needs_range(name, header.depth, float(values.min()), float(values.max()))
        return Samples(values)
    if header.reader != "plain":
        raise BadRequest(
            f"{name} has {header.depth} a channel, of which Pillow keeps 8; give an array or tensor"
        )
    mode = plain_mode(image, look.background)
    values = np.array(on_background(image, look.background).convert(mode))
    return Samples(values.reshape(*values.shape[:2], -1))


def as_pixels(image: Any, name: str, look: Look) -> Tensor:
    """Return one Pillow image, array or tensor as C×H×W, uint8 or float32."""
    prefer_first = isinstance(image, Tensor)
    if not isinstance(image, Tensor | np.ndarray):
        if not is_pillow(image):
            raise BadRequest(
                f"{name} is a {type(image).__name__}; a Pillow image, tensor or array is needed"
            )
        return as_seen(pillow_samples(image, name, look), name, look)
    is_tensor = isinstance(image, Tensor)
    pixels = plain_tensor(image, name).cpu() if is_tensor else array_tensor(image, name)
    if pixels.ndim == 1:
        return as_vectors(pixels, name, look.value_range)
    if pixels.ndim == 2:
        pixels = pixels.unsqueeze(0)
    elif pixels.ndim != 3:
        raise BadRequest(
            f"{name} has shape {tuple(pixels.shape)}; H×W or C×H×W is needed, "
            "or D for a feature vector"
        )
    elif channels_last(pixels.shape, name, prefer_first=prefer_first):
        pixels = pixels.permute(2, 0, 1)
    return as_values(pixels, name, look.value_range)
