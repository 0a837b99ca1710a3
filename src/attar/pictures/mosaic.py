"""Images in rows and columns, each at an exact place, with names of rows and columns.

Shape letters: R rows, S images side by side, H height, W width; pixels are uint8 RGB.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from attar.pictures.style import drawing, new_figure, palette
from attar.text import short

# pixels between images, between groups of columns, and at the border
GAP, GROUP_GAP, MARGIN = 2, 12, 14
# about what the longer side of an image is shown at, and the widest and highest picture
_SIDE, _WIDEST, _HIGHEST = 48, 1800, 16000
_DPI = 100
_LINE = 18
# characters of names, titles and notes that are drawn; a caption has all of them
_LONGEST_NAME, _LONGEST_TITLE, _LONGEST_NOTE = 26, 120, 240


@dataclass(frozen=True)
class Frame:
    """Where the images of a mosaic lie, in pixels from its upper left corner.

    Args:
        left: of the first image.
        top: of the first image.
        height: of one image as shown.
        width: of one image as shown.
        columns: images side by side in a group.
        scale: pixels shown per pixel, along each side.
    """

    left: int
    top: int
    height: int
    width: int
    columns: int
    scale: int

    @property
    def group_width(self) -> int:
        """Pixels from one edge of a group to the other."""
        return self.columns * (self.width + GAP) - GAP

    def corner(self, group: int, row: int, column: int) -> tuple[int, int]:
        """Return x and y of the upper left pixel of an image."""
        across = group * (self.group_width + GROUP_GAP) + column * (self.width + GAP)
        return self.left + across, self.top + row * (self.height + GAP)


def most_rows(height: int, scale: int = 1) -> int:
    """Return how many rows of images a picture has room for."""
    return max(1, (_HIGHEST - 200) // (height * scale + GAP))


def choose_scale(height: int, width: int, columns: int) -> int:
    """Return how many pixels a pixel is shown as, for so many images side by side in all."""
    wanted = round(_SIDE / max(height, width))
    return max(1, min(wanted, _WIDEST // (columns * (width + GAP))))


def mosaic(
    groups: Sequence[np.ndarray],
    *,
    title: str,
    note: str,
    rows: Sequence[str],
    heads: Sequence[str] = (),
    over: str = "",
) -> tuple[bytes, Frame]:
    """Return a PNG of images in rows, and where they lie.

    Args:
        groups: arrays R×S×H×W×3 of one shape, from left to right.
        title: above.
        note: in small letters below the title.
        rows: R names.
        heads: one for each group; none leaves the line out.
        over: what the heads are, in the corner before them.
    """
    count, columns, height, width, _ = groups[0].shape
    scale = choose_scale(height, width, columns * len(groups))
    names = [short(name, _LONGEST_NAME) for name in rows]
    title, note = short(title, _LONGEST_TITLE), short(note, _LONGEST_NOTE)
    with drawing():
        beside = max(_extent(over, 8), *(_extent(name) for name in names))
        top = MARGIN + 2 * _LINE + (_LINE if heads else 0) + 4
        left = MARGIN + beside + 10
        frame = Frame(left, top, height * scale, width * scale, columns, scale)
        right, bottom = frame.corner(len(groups) - 1, count - 1, columns - 1)
        heads = _fitting(heads, frame)
        across = max(
            right + frame.width,
            left + (len(groups) - 1) * (frame.group_width + GROUP_GAP) + _widest(heads, 8),
            MARGIN + max(_extent(title, 11), _extent(note, 8)),
        )
        size = across + MARGIN, bottom + frame.height + MARGIN
        sheet = _letters(size, frame, (title, note, over), names, heads)
    for group, images in enumerate(groups):
        for row in range(count):
            for column in range(columns):
                x, y = frame.corner(group, row, column)
                shown = images[row, column].repeat(scale, axis=0).repeat(scale, axis=1)
                sheet[y : y + frame.height, x : x + frame.width] = shown
    return _png(sheet), frame


def _letters(
    size: tuple[int, int],
    frame: Frame,
    words: tuple[str, str, str],
    names: Sequence[str],
    heads: Sequence[str],
) -> np.ndarray:
    """Return the sheet with its words and without its images, H×W×3."""
    title, note, over = words
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import IdentityTransform

    across, down = size
    # a hair more, since the size in pixels is rounded down
    figure = new_figure((across + 0.01) / _DPI, (down + 0.01) / _DPI, _DPI)
    muted = palette()["muted"]

    def write(x: float, y: float, text: str, **options: object) -> None:
        figure.text(x, down - y, text, transform=IdentityTransform(), **options)  # pyright: ignore[reportArgumentType]

    write(MARGIN, MARGIN, title, fontsize=11, va="top")
    write(MARGIN, MARGIN + _LINE + 3, note, fontsize=8, va="top", color=muted)
    for row, name in enumerate(names):
        middle = frame.corner(0, row, 0)[1] + frame.height / 2
        write(frame.left - 10, middle, name, fontsize=9, ha="right", va="center_baseline")
    corner = frame.left - 10, frame.top - 6
    write(*corner, over, fontsize=8, color=muted, ha="right", va="baseline")
    for group, head in enumerate(heads):
        x = frame.corner(group, 0, 0)[0]
        write(x, frame.top - 6, head, fontsize=8, color=muted, va="baseline")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _fitting(heads: Sequence[str], frame: Frame) -> list[str]:
    """Return the heads, leaving out those that another one would run into."""
    room = frame.group_width + GROUP_GAP
    every = 1 + int((_widest(heads, 8) + 6) // room) if heads else 1
    return [head if index % every == 0 else "" for index, head in enumerate(heads)]


def _widest(texts: Sequence[str], points: int) -> int:
    return max((_extent(text, points) for text in texts), default=0)


def _extent(text: str, points: int = 9) -> int:
    """Return the width of a text in pixels."""
    from matplotlib.font_manager import FontProperties

    renderer = _renderer()
    width, _, _ = renderer.get_text_width_height_descent(
        text, FontProperties(size=points), ismath=False
    )
    return int(np.ceil(width))


@cache
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, _DPI)


def _png(sheet: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
