"""What real images need before a network that was trained on a set sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attar.data.collecting import as_pixels, is_pillow
from attar.data.preprocessing import Preprocessing
from attar.data.resizing import fit_images
from attar.data.turning import orientation, turn_image
from attar.data.values import PLAIN, Look
from attar.errors import BadRequest
from attar.shapes import Shape, is_picture, shape_text

# ITU-R 601, by which Pillow turns colours to gray
_GRAY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Preparation:
    """Turns a real image into what a network trained on a set was trained to see.

    It is a transform as those of torchvision are: ``ImageFolder(folder, transform=preparation)``.

    Args:
        preprocessing: of the set.
        shape: of its images, C×H×W, or of its other rows.
        look: what stored values come to.
    """

    preprocessing: Preprocessing
    shape: Shape
    look: Look = PLAIN

    def __call__(self, image: Any) -> Tensor:
        """Return network inputs.

        Pictures are turned as their EXIF says, cropped at the centre and brought to the set's size,
        and made gray or coloured as the set is.

        Args:
            image: a Pillow image, H×W or H×W×C array, C×H×W tensor, uint8 or floats in [0, 1]; a
                row of another shape; or a batch of these, as a tensor or array of one axis more.

        Returns:
            One row of ``shape``, float32, or a batch of them.

        Raises:
            BadRequest: an image of another kind, range or number of channels.
        """
        if not is_pillow(image) and len(getattr(image, "shape", ())) == len(self.shape) + 1:
            return torch.stack([self(one) for one in image])
        pixels = self._picture(image) if is_picture(self.shape) else torch.as_tensor(image).float()
        if tuple(pixels.shape) != self.shape:
            raise BadRequest(
                f"transform: the set has {shape_text(self.shape)}, and this is "
                f"{shape_text(tuple(pixels.shape))}; give such an image"
            )
        return self.preprocessing.apply(pixels.unsqueeze(0))[0]

    def _picture(self, image: Any) -> Tensor:
        """Return C×H×W pixels in [0, 1] of the set's size and channels."""
        if is_pillow(image) and orientation(image) != 1:
            image = turn_image(image)
        pixels = as_pixels(image, "transform: the image", self.look)
        if pixels.ndim != 3:
            return pixels
        height, width = self.shape[1:]
        pixels = fit_images(pixels.unsqueeze(0), (height, width))[0]
        pixels = pixels.float().div_(255) if pixels.dtype == torch.uint8 else pixels
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):
            raise BadRequest(
                f"transform: the image runs from {low:g} to {high:g}; give pixels, uint8 or floats "
                "in [0, 1], before any other standardisation"
            )
        if self.shape[0] == 3 and len(pixels) == 1:
            return pixels.repeat(3, 1, 1)
        if self.shape[0] == 1 and len(pixels) == 3:
            return torch.tensordot(torch.tensor(_GRAY), pixels, 1).unsqueeze(0)
        return pixels
