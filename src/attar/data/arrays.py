"""Arrays and tensors of images in any usual layout, made N×C×H×W uint8 (or float32).

Arrays of two axes are feature vectors, N×D, and stay so, as float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attar.data import multi_label
from attar.data.channels import channels_last
from attar.data.values import range_advice, range_text
from attar.errors import BadRequest

# of images that may hold any number: so many go through the layers at once
_PART = 1024
ClassNames = Sequence[str] | Mapping[int, str] | None


def as_images(given: Any, name: str, value_range: tuple[float, float] | None = None) -> Tensor:
    """Return N×C×H×W images, uint8 where that loses nothing, else float32; or N×D vectors.

    Args:
        given: array or tensor, N×H×W, N×C×H×W or N×H×W×C; without a range uint8, other integers
            in 0…255, or floats in [0, 1].
        name: how messages call it.
        value_range: the values that become 0 and 1.

    Raises:
        BadRequest: no channel axis can be told, or values outside the range, or integers outside
            0…255.
    """
    tensor = laid_out(given, name)
    if tensor.ndim == 2:
        return as_vectors(tensor, name, value_range)
    return as_values(tensor, name, value_range).contiguous()


def laid_out(given: Any, name: str) -> Tensor:
    """Return a tensor of N×C×H×W images, or of N×D vectors, with the values as they are given."""
    as_tensor = isinstance(given, Tensor)
    tensor = plain_tensor(given, name) if as_tensor else array_tensor(given, name)
    if tensor.ndim == 2:
        return tensor
    if tensor.ndim == 3:
        return tensor.unsqueeze(1)
    if tensor.ndim != 4:
        raise BadRequest(
            f"{name}: images have shape {tuple(tensor.shape)}; N×H×W, N×H×W×C or N×C×H×W is "
            "needed, or N×D for feature vectors"
        )
    if channels_last(tensor.shape[1:], name, prefer_first=as_tensor):
        return tensor.permute(0, 3, 1, 2)
    return tensor


def as_vectors(values: Tensor, name: str, value_range: tuple[float, float] | None = None) -> Tensor:
    """Return feature vectors, B×D or D, as float32.

    Raises:
        BadRequest: a range is given, which says what is black and white, or a value is too large
            for float32.
    """
    if value_range is not None:
        raise BadRequest(
            f"--range {range_text(value_range)}: {name} holds feature vectors, which are "
            "standardised whatever their range; leave it out"
        )
    if values.is_floating_point() and not values.dtype.itemsize > 4:
        return values.float().contiguous()
    found = values.float()
    if bool((found.isinf() & values.isfinite()).any()):
        raise BadRequest(f"{name}: values are too large for float32; scale them")
    return found.contiguous()


def array_tensor(given: Any, name: str) -> Tensor:
    """Return a tensor over the memory of an array of numbers, or of black (no) and white (yes)."""
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise BadRequest(f"{name}: some values are masked; give an array without masked ones")
    array = np.asarray(given)
    if array.dtype.kind not in "buif":
        raise BadRequest(f"{name}: values are {array.dtype}; numbers are needed")
    if array.dtype.kind == "b":
        return torch.from_numpy(np.require(array, requirements=["C", "W"]))
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    elif array.dtype != np.uint8:
        array = array.astype(np.int64, copy=False)
    # a read-only or byte-swapped or negatively strided array is no tensor
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def plain_tensor(given: Tensor, name: str) -> Tensor:
    """Return a tensor of real numbers, each of which is stored.

    Raises:
        BadRequest: it is of another kind.
    """
    unlike = (
        (given.is_nested, "nested", "give images of one size as one tensor"),
        (given.layout != torch.strided, "sparse", "give the tensor's to_dense()"),
        (given.is_quantized, "quantized", "give the tensor's dequantize()"),
        (given.is_complex(), "complex", "give real numbers"),
        (given.is_meta, "without values (meta)", "give one that holds the images"),
    )
    for is_it, what, next_step in unlike:
        if is_it:
            raise BadRequest(f"{name}: the tensor is {what}; {next_step}")
    return given.detach()


def as_values(images: Tensor, name: str, value_range: tuple[float, float] | None = None) -> Tensor:
    """Return uint8 images where every value is a whole 255th, else float32 ones.

    Args:
        images: of any type of real numbers, or of yes and no for white and black.
        name: how messages call them.
        value_range: the values that become 0 and 1; None for 0 and 255 of integers, and for 0 and
            1 of floats, which are then not checked.
    """
    if images.dtype == torch.bool and value_range is None:
        return images.to(torch.uint8) * 255
    if images.dtype in (torch.bool, torch.uint16, torch.uint32, torch.uint64):
        # PyTorch has no arithmetic for these
        images = images.to(torch.int64)
    if images.is_floating_point() and images.itemsize == 1:
        images = images.float()
    if value_range is not None:
        return scaled(images, name, value_range)
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        if images.numel() and (int(images.min()) < 0 or int(images.max()) > 255):
            raise BadRequest(
                f"{name}: whole-numbered images run from {int(images.min())} to "
                f"{int(images.max())}; without a range they must be in "
                f"0…255; {range_advice(int(images.min()), int(images.max()))}"
            )
        return images.to(torch.uint8)
    if not all(map(is_whole_255ths, images.split(_PART))):
        return images.float()
    whole = torch.empty(images.shape, dtype=torch.uint8, device=images.device)
    for target, part in zip(whole.split(_PART), images.split(_PART), strict=True):
        target.copy_(part.float().mul(255).round_())
    return whole


def scaled(images: Tensor, name: str, value_range: tuple[float, float]) -> Tensor:
    """Return float32 images in [0, 1], or uint8 ones where the range is that of 8 bits.

    Raises:
        BadRequest: a value lies outside the range.
    """
    low, high = value_range
    if images.dtype == torch.uint8 and (low, high) == (0, 255):
        return images
    found = torch.empty(images.shape, dtype=torch.float32, device=images.device)
    for target, part in zip(found.split(_PART), images.split(_PART), strict=True):
        least, most = map(float, (part.min(), part.max())) if part.numel() else (low, high)
        if math.isnan(least):
            raise BadRequest(
                f"{name}: images hold NaN, which lies in no --range; remove or mend them"
            )
        if not (low <= least and most <= high):
            raise BadRequest(
                f"{name}: values run from {least:.10g} to {most:.10g}, outside --range "
                f"{range_text((low, high))}; give a range that holds all"
            )
        # float32 holds every step of 16 bits; more are rounded after scaling, not before
        target.copy_(part.double().sub(low).div_(high - low))
    return found


def to_type(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return pixels as uint8 or float32, on one scale."""
    if dtype != torch.uint8 and pixels.dtype == torch.uint8:
        return pixels.to(dtype).div_(255)
    return pixels


def is_whole_255ths(images: Tensor) -> bool:
    """Tell whether floats in [0, 1] are 8-bit pixels divided by 255, up to float32 rounding."""
    scaled = images.float() * 255
    # NaN compares false
    return bool(((scaled >= 0) & (scaled <= 255) & ((scaled - scaled.round()).abs() < 1e-4)).all())


def as_labels(given: Any, name: str) -> Tensor:
    """Return N int64 labels; N×1 is flattened.

    Raises:
        BadRequest: the labels are no whole numbers, or rows for several classes.
    """
    is_tensor = isinstance(given, Tensor)
    labels = plain_tensor(given, name) if is_tensor else label_tensor(given, name)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels.flatten()
    if labels.ndim != 1:
        raise rows_refused(labels, name)
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise BadRequest(f"{name}: labels are {labels.dtype}; whole class indices are needed")
    return labels.long()


def rows_refused(labels: Tensor, name: str) -> BadRequest:
    """Return the refusal of labels that are no list: rows with several ones, one-hot rows, …"""
    if labels.ndim == 2 and bool(((labels == 0) | (labels == 1)).all()):
        ones = (labels == 1).sum(1)
        other = (ones != 1).nonzero()
        if len(other):
            row = int(other[0])
            what = f"row {row} of the labels holds {int(ones[row])} ones"
            return multi_label.refused(name, what)
    return BadRequest(
        f"{name}: labels have shape {tuple(labels.shape)}; one class index per image is "
        "needed (for one-hot rows: labels.argmax(1))"
    )


def label_tensor(given: Any, name: str) -> Tensor:
    """Return a tensor of an array or list of labels, or say how to number names."""
    array = np.asarray(given)
    if array.dtype.kind not in "buif":
        raise BadRequest(
            f"{name}: labels are {array.dtype}; whole class indices are needed (for names: "
            "class_names, labels = numpy.unique(labels, return_inverse=True))"
        )
    return array_tensor(array, name)


def name_classes(labels: Tensor, class_names: ClassNames, name: str) -> tuple[str, ...]:
    """Return the K class names; without any given, "0", "1", … up to the highest label."""
    if isinstance(class_names, str):
        raise BadRequest(f"{name}: class_names is the one text {class_names!r}; give a list")
    if class_names is None:
        return numbered_names(labels, name)
    values = class_names.values() if isinstance(class_names, Mapping) else class_names
    names = tuple(map(str, values))
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise BadRequest(f"{name}: the class name {twice!r} is given twice")
    return names


def numbered_names(labels: Tensor, name: str) -> tuple[str, ...]:
    """Return "0", "1", … up to the highest label."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(labels):
        raise BadRequest(
            f"{name}: labels run from {low} to {high} for {len(labels)} images; number the "
            "classes 0, 1, 2, … without gaps"
        )
    return tuple(map(str, range(high + 1)))


def renumber(labels: Tensor, class_names: ClassNames, name: str) -> Tensor:
    """Return labels numbered 0…K−1 in the order of a mapping from label to class name.

    Without a mapping the labels stay as they are.

    Raises:
        BadRequest: a label is not in the mapping.
    """
    if not isinstance(class_names, Mapping):
        return labels
    position = {int(label): index for index, label in enumerate(class_names)}
    distinct, inverse = torch.unique(labels, return_inverse=True)
    unnamed = [label for label in distinct.tolist() if label not in position]
    if unnamed:
        raise BadRequest(f"{name}: label {unnamed[0]} has no name in class_names")
    return torch.tensor([position[label] for label in distinct.tolist()])[inverse.cpu()]
