"""Pictures of 8 bits a channel, as Pillow decodes them, made grayscale or colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attar.data.turning import turn_image
from attar.data.values import Colour

if TYPE_CHECKING:
    from PIL import Image

GRAY_MODES = ("1", "L", "LA", "La")


def plain_mode(image: Image.Image, background: Colour) -> str:
    """Return what a picture of 8 bits is decoded to: ``L`` for grayscale, ``RGB`` otherwise."""
    if image.mode not in GRAY_MODES:
        return "RGB"
    coloured = len(set(background)) > 1
    return "RGB" if coloured and image.has_transparency_data else "L"


def decode_image(image: Image.Image, mode: str, background: Colour) -> Image.Image:
    """Return a picture in mode ``L`` or ``RGB``, turned as it is to be seen, on a background."""
    return on_background(turn_image(image), background).convert(mode)


def on_background(image: Image.Image, background: Colour) -> Image.Image:
    """Return a picture without transparency: in mode ``RGB`` where it had some, else as it is."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    if image.mode == "La":  # which Pillow turns into LA alone
        image = image.convert("LA")
    behind = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(behind, image.convert("RGBA")).convert("RGB")
