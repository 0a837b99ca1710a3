"""The singular values of images: how few of them carry a real or a synthetic image.

Source: Figure 5 of the low-rank plugin for dataset condensation. Its section B.1: each channel
of every image, an H×W matrix, is decomposed, and the diagonals are averaged over channels and
images; nothing is normalised. A set of rank r then has r values above zero.

Shape letters: N images, C channels, H height, W width, D = min(H, W).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from attar.pictures.picture import Picture, as_png
from attar.pictures.style import drawing, footnote, line, new_figure, palette
from attar.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# images decomposed at once
_AT_ONCE = 256
# of the largest value, what is left out of a logarithmic axis
_LEAST = 1e-5
# characters of a name in the legend
_LONGEST = 34


def singular_values(images: Tensor) -> np.ndarray:
    """Return the mean singular values of every channel, C×D float64, the largest first.

    Args:
        images: N×C×H×W; the mean is over the N images.
    """
    parts = images.detach().cpu().split(_AT_ONCE)
    total = sum(torch.linalg.svdvals(part.double()).sum(dim=0) for part in parts)
    return (torch.as_tensor(total) / len(images)).numpy()


def spectrum(real: Mapping[str, np.ndarray], sets: Mapping[str, np.ndarray], note: str) -> Picture:
    """Return the spectra of real images and of sets in one picture.

    Args:
        real: C×D mean singular values of real images, by what they are called.
        sets: those of the sets, by name; lines are drawn in this order.
        note: what the images are, for the caption.
    """
    means = {name: values.mean(axis=0) for name, values in {**real, **sets}.items()}
    styles = {name: _real_style(index) for index, name in enumerate(real)}
    styles |= {name: line(index) for index, name in enumerate(sets)}
    title = "Singular values of real and synthetic images"
    caption = _caption(title, note)
    with drawing():
        floor = _LEAST * max(float(values.max()) for values in means.values())
        columns = min(4, len(means))
        rows = -(-len(means) // columns)
        height = 3.6 + 0.19 * rows
        figure = new_figure(8.6, height)
        left, right = figure.subplots(1, 2)
        for name, values in means.items():
            places = np.arange(1, len(values) + 1)
            # on a logarithmic axis a rank shows as the end of a line
            seen = values > floor
            left.plot(places[seen], values[seen], label=short(name, _LONGEST), **styles[name])
            right.plot(places, _shares(values), **styles[name])
        left.set_yscale("log")
        left.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        right.set_ylim(0, 104)
        longest = max(map(len, means.values()))
        _name(left, longest, "mean singular value (log scale)", "value, in units of network inputs")
        _name(right, longest, "share of their sum up to each", "share of the sum of all in %")
        foot = footnote(figure, caption, left=0.65)
        figure.legend(loc="lower left", ncols=columns, bbox_to_anchor=(0.065, foot / height))
        bottom = foot + 0.65 + 0.19 * rows
        figure.subplots_adjust(0.075, bottom / height, 0.985, 1 - 0.27 / height, wspace=0.2)
        png = as_png(figure)
    values = {name: values.tolist() for name, values in {**real, **sets}.items()}
    return Picture("spectrum", "spectrum", title, caption, png, {"per_channel": values})


def _shares(values: np.ndarray) -> np.ndarray:
    """Return the share of the sum that the first values have, up to each, in percent."""
    return 100 * np.cumsum(values) / max(values.sum(), np.finfo(float).tiny)


def _name(axes: Axes, count: int, title: str, up: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set(title=title, xlabel="place of the singular value", ylabel=up)
    axes.set_xlim(0.4, count + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _caption(title: str, note: str) -> str:
    return (
        f"{title}: of every channel of every image, means over images and channels. {note} "
        "On the left as they are, where they are above 1/100,000 of the largest; on the "
        "right the share of their sum that the first ones have."
    )


def _real_style(index: int) -> dict[str, object]:
    return {
        "color": palette()["muted"],
        "linestyle": ("--", ":", "-.")[index % 3],
        "linewidth": 2.2,
        "zorder": 3,
    }
