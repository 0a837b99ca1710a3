"""The picture of features in the plane: real images as dots, synthetic ones as marked points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attar.pictures.picture import Picture, as_png
from attar.pictures.style import class_colours, drawing, footnote, new_figure, palette
from attar.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# panels side by side; classes that a legend names
_ACROSS, _MOST_NAMED = 3, 24
_PANEL = 3.1


@dataclass(frozen=True)
class Cloud:
    """Images as points.

    Args:
        name: of the set.
        places: B×2.
        labels: B class indices.
    """

    name: str
    places: np.ndarray
    labels: np.ndarray


def tsne(real: Cloud, sets: Sequence[Cloud], class_names: Sequence[str], note: str) -> Picture:
    """Return the real images alone, then under the images of each set.

    Args:
        real: the sample of real images.
        sets: the sets, embedded together with it.
        class_names: of all classes.
        note: where the features come from, for the caption.
    """
    colours = np.array(class_colours(len(class_names)))
    panels = [None, *sets]
    across = 2 if len(panels) == 4 else min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    title = "Features of real and synthetic images"
    caption = f"{title}, in two dimensions (without unit) by t-SNE of all of them together. {note}"
    with drawing():
        # the legend stands at the right, in one or two columns
        beside = 1.6 if len(class_names) <= 12 else 3.0
        width, height = across * _PANEL + beside, down * _PANEL + 0.75
        figure = new_figure(width, height)
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for axes, cloud in zip(grid.flat, panels, strict=False):
            _panel(axes, real, cloud, colours)
        for axes in list(grid.flat)[len(panels) :]:
            axes.remove()
        _legend(figure, colours, class_names, bool(sets), 1 - beside / width)
        foot = footnote(figure, caption, left=0.02 * width) + 0.1
        right, top = 1 - (beside + 0.05) / width, 1 - 0.3 / height
        figure.subplots_adjust(0.02, foot / height, right, top, 0.05, 0.12)
        png = as_png(figure)
    values: dict[str, Any] = {
        cloud.name: {"places": cloud.places.tolist(), "classes": cloud.labels.tolist()}
        for cloud in (real, *sets)
    }
    return Picture("tsne", "tsne", title, caption, png, values)


def _panel(axes: Axes, real: Cloud, cloud: Cloud | None, colours: np.ndarray) -> None:
    faint = 0.75 if cloud is None else 0.3
    axes.scatter(*real.places.T, s=5, c=colours[real.labels], alpha=faint, linewidths=0)
    if cloud is not None:
        size = 46 if len(cloud.labels) <= 200 else 22
        axes.scatter(
            *cloud.places.T,
            s=size,
            c=colours[cloud.labels],
            marker="*",
            edgecolors=palette()["ink"],
            linewidths=0.5,
        )
    shown = real if cloud is None else cloud
    axes.set_title(f"{short(shown.name, 30)} ({len(shown.labels):,} images)", fontsize=9)
    # places and distances of t-SNE have no unit
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[:].set_color(palette()["rule"])
    axes.margins(0.04)


def _legend(
    figure: Figure, colours: np.ndarray, names: Sequence[str], synthetic: bool, left: float
) -> None:
    from matplotlib.lines import Line2D

    def mark(colour: str, marker: str, size: float, edge: str, label: str) -> Line2D:
        return Line2D(
            [],
            [],
            linestyle="",
            marker=marker,
            markersize=size,
            markerfacecolor=colour,
            markeredgecolor=edge,
            markeredgewidth=0.5,
            label=label,
        )

    ink, muted, paper = palette()["ink"], palette()["muted"], palette()["paper"]
    marks = [mark(muted, "o", 4, muted, "real image")]
    if synthetic:
        marks.append(mark(paper, "*", 9, ink, "synthetic image"))
    named = min(len(names), _MOST_NAMED)
    marks += [
        mark(colour, "s", 6, colour, short(name, 18))
        for colour, name in zip(colours[:named], names[:named], strict=True)
    ]
    if named < len(names):
        marks.append(mark(paper, "s", 6, paper, f"{len(names) - named} more classes"))
    figure.legend(
        handles=marks,
        loc="center left",
        bbox_to_anchor=(left, 0.5),
        ncols=1 if len(names) <= 12 else 2,
        fontsize=8,
        columnspacing=0.8,
        handletextpad=0.3,
    )
