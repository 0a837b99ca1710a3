"""Plain files that Attar wrote of a set: what lies beside their pictures or arrays, and its use.

A folder of pictures whose values are not those of 8 bits, or whose labels are more than classes,
has a file ``export.json`` at its top: a stored value v stands for the pixel offset + scale·v, where
0 is black and 1 is white.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from attar.data.dividing import joined
from attar.data.indexed import Index
from attar.data.reading import Reading
from attar.data.splits import Parts
from attar.data.values import PLAIN, Look, range_text
from attar.errors import BadRequest

BESIDE = "export.json"
LABELS = "labels.npy"
LABELS_LEFT = "its label values are left out here ('attar import' keeps them)"
# in an .npz file: the class of each row where labels are values, the constants, network inputs
CLASSES, MEAN, STD, ZCA, INPUTS = "classes", "mean", "std", "zca", "inputs"
# of the stored values
BITS = {8: 255, 16: 65535}
# more than any has; a larger one is not read
_LARGEST = 2**24


class Told(BaseModel):
    """What ``export.json`` says of the pictures below it.

    Args:
        class_names: of the K classes, in the order of their folders.
        images: how many pictures there are.
        bits: of a stored value, 8 or 16.
        scale: pixels per step of a stored value.
        offset: the pixel that 0 stands for.
        mean: per channel, of the pixels of the data that the set was made from.
        std: the standard deviations; network inputs are (pixel - mean) / std, before ``zca``.
        zca: the whitening after it.
        labels: the file of N×K label values, in the order of the pictures; None where a picture
            belongs to its class and no more is to be said.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: Literal["attar.export"] = "attar.export"
    version: Literal[1] = 1
    class_names: list[str] = Field(min_length=2)
    images: int = Field(ge=1, strict=True)
    bits: Literal[8, 16]
    scale: float = Field(gt=0)
    offset: float
    mean: list[float] = Field(min_length=1)
    std: list[float] = Field(min_length=1)
    zca: str = "none"
    labels: Literal["labels.npy"] | None = None

    @property
    def look(self) -> Look:
        """How the pictures are read: stored values as parts of the largest."""
        return PLAIN if self.bits == 8 else Look((0, BITS[self.bits]))

    def pixels(self, images: Tensor) -> Tensor:
        """Return pixels of images that were read in this way."""
        if images.dtype == torch.uint8 and (self.scale, self.offset) == (1 / BITS[8], 0):
            return images
        whole = 1 if images.is_floating_point() else BITS[8]
        steps = images.double().div_(whole).mul_(BITS[self.bits])
        return steps.mul_(self.scale).add_(self.offset).float()

    def of_values(self) -> str:
        """Return what each picture says of its own values, in ASCII."""
        return json.dumps({"scale": self.scale, "offset": self.offset})

    def as_json(self) -> str:
        """Return it as text."""
        return json.dumps(self.model_dump(mode="json"), indent=1)


def quantised(pixels: Tensor, bits: int = 16) -> tuple[np.ndarray, float, float]:
    """Return pixels as whole numbers, with scale and offset: one pair for all of them.

    The range is that of the pixels, and black to white at least.

    Args:
        pixels: N×C×H×W.
        bits: of a number.
    """
    low, high = map(float, pixels.aminmax())
    low, high = min(low, 0.0), max(high, 1.0)
    scale = (high - low) / BITS[bits]
    steps = pixels.double().sub(low).div_(scale).round_().clamp_(0, BITS[bits])
    return steps.numpy().astype(np.uint16 if bits == 16 else np.uint8), scale, low


def read_told(folder: Path) -> Told | None:
    """Return what an export says of itself; None for any other folder.

    Raises:
        BadRequest: the file says something else than `Told`, or cannot be read.
    """
    path = folder / BESIDE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
        found = json.loads(text) if len(text) <= _LARGEST else None
        # no half of a letter, which no artefact could hold
        json.dumps(found, ensure_ascii=False).encode()
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != "attar.export":
        # somebody else's
        return None
    try:
        told = Told.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRequest(
            f"{path}: {where}: {first['msg']}; export the set again, or remove the file to read "
            "the pictures as they are"
        ) from error
    return told


def check_told(told: Told, folder: Path, classes: int, images: int) -> None:
    """Refuse pictures that are not those that were exported.

    Raises:
        BadRequest: they are more or fewer.
    """
    if (classes, images) != (len(told.class_names), told.images):
        raise BadRequest(
            f"{folder} holds {images} pictures in {classes} folders, and its {BESIDE} tells of "
            f"{told.images} in {len(told.class_names)}; export the set again, or remove that file "
            "to read the pictures as they are"
        )


def check_look(look: Look, source: str) -> None:
    """Refuse a range for values that say themselves what they mean.

    Raises:
        BadRequest: one is given.
    """
    if look.value_range is not None:
        raise BadRequest(
            f"--range {range_text(look.value_range)}: {source} is an export, which "
            "says what its values mean; leave it out"
        )


def named(index: Index, told: Told, folder: Path) -> Index:
    """Return the listing of an exported folder under the names of its classes."""
    count = len(index.train.pictures)
    check_told(told, folder, len(index.train.class_names), count)
    train = dataclasses.replace(index.train, class_names=tuple(told.class_names))
    left = "" if told.labels is None else LABELS_LEFT
    more = joined("an export of a condensed set", left)
    return dataclasses.replace(index, train=train, note="", more=more)


def read_as_told(told: Told, reading: Reading, source: str) -> Reading:
    """Return how the pictures of an export are read."""
    check_look(reading.look, source)
    look = dataclasses.replace(reading.look, value_range=told.look.value_range)
    return dataclasses.replace(reading, look=look)


def as_pixels(parts: Parts, told: Told) -> Parts:
    """Return the parts of an exported folder with the pixels that it stands for."""
    test, validation = parts.test_images, parts.validation
    # a condensed set, which is small
    changed = dataclasses.replace(
        parts,
        images=told.pixels(parts.images[:]),
        test_images=None if test is None else told.pixels(test[:]),
        validation=validation and (told.pixels(validation[0][:]), validation[1]),
    )
    return with_constants(changed, told.mean, told.std, told.zca)


def with_constants(parts: Parts, mean: list[float], std: list[float], zca: str) -> Parts:
    """Return parts that are pixels in any range, under the constants of the set's own data."""
    known = zca == "none"
    return dataclasses.replace(
        parts,
        mean=tuple(mean) if known else None,
        std=tuple(std) if known else None,
        any_range=True,
    )


def constants_in(stored: Mapping[str, np.ndarray]) -> tuple[list[float], list[float], str] | None:
    """Return mean, deviation and whitening that an ``.npz`` export with floats tells; else None."""
    if not {MEAN, STD, ZCA} <= set(stored) or stored[ZCA].shape != ():
        return None
    mean, std = stored[MEAN], stored[STD]
    if (
        mean.ndim != 1
        or mean.dtype.kind != "f"
        or (mean.shape, mean.dtype) != (std.shape, std.dtype)
    ):
        return None
    return mean.tolist(), std.tolist(), str(stored[ZCA].item())


def channels_first(images: np.ndarray) -> Tensor:
    """Return exported arrays, N×H×W×C, as N×C×H×W; vectors as they are."""
    found = torch.from_numpy(np.require(images, requirements=["C", "W"]))
    return found.permute(0, 3, 1, 2) if found.ndim == 4 else found
