"""Colours, lines and letters of pictures: those of the report's style sheet, read from it."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attar.report
from attar.text import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# the style sheet's lines by their index, in the order of its colours
_COLOURS = ("rose", "teal", "ochre", "ink")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# for class names that the first font has no letters for, where one of them is installed
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans",
    "WenQuanYi Micro Hei",
    "Arial Unicode MS",
)
# characters of a note that are drawn; a caption has all of them
_LONGEST_NOTE = 700


@cache
def _style_sheet() -> str:
    path = Path(str(attar.report.__file__)).with_name("style.css")
    return path.read_text(encoding="utf-8")


@cache
def palette() -> Mapping[str, str]:
    """Return the colours of a page in a light scheme, by name, as #rrggbb."""
    sheet = _style_sheet()
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", sheet[: sheet.index("}")]))


@cache
def _dashes() -> Mapping[int, tuple[float, ...]]:
    found = re.findall(r"\.line-(\d+) polyline { stroke-dasharray: ([\d. ]+); }", _style_sheet())
    return {int(index): tuple(map(float, dashes.split())) for index, dashes in found}


def line(index: int) -> dict[str, Any]:
    """Return how the artefact at a place is drawn: colour, dashes and marker for matplotlib."""
    styles = 1 + max(_dashes())
    index %= styles
    dashes = _dashes().get(index)
    # the style sheet counts in pixels, matplotlib in widths of the line
    return {
        "color": palette()[_COLOURS[index % len(_COLOURS)]],
        "linestyle": (0, tuple(part / 1.5 for part in dashes)) if dashes else "-",
        "marker": MARKERS[index % len(MARKERS)],
    }


def class_colours(count: int) -> list[str]:
    """Return one colour per class, as #rrggbb: told apart by hue, and by lightness beyond ten."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if count <= 20:
        chosen = colormaps["tab10" if count <= 10 else "tab20"]
        return [to_hex(chosen(index)) for index in range(count)]
    return [
        to_hex(colorsys.hls_to_rgb(index / count, (0.36, 0.5, 0.64)[index % 3], 0.75))
        for index in range(count)
    ]


@cache
def _fonts() -> list[str]:
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return [name for name in _FONTS if name in installed]


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the house's style inside the block, whatever the user's matplotlib settings are."""
    import warnings

    from matplotlib import rc_context, rcParamsDefault

    colours = palette()
    settings: Any = {
        "font.family": _fonts(),
        "font.size": 9,
        "text.parse_math": False,
        "text.color": colours["ink"],
        "figure.facecolor": colours["paper"],
        "axes.facecolor": colours["paper"],
        "axes.edgecolor": colours["muted"],
        "axes.labelcolor": colours["muted"],
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": colours["rule"],
        "xtick.color": colours["muted"],
        "ytick.color": colours["muted"],
        "legend.frameon": False,
        "lines.linewidth": 1.5,
        "lines.markersize": 4.5,
        "savefig.facecolor": colours["paper"],
    }
    # the backend is left alone: nothing here opens a window
    default: Any = {n: value for n, value in rcParamsDefault.items() if n != "backend"}
    with warnings.catch_warnings(), rc_context({**default, **settings}):
        # a letter that no font has is drawn as a box
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="matplotlib")
        yield


def footnote(figure: Figure, text: str, left: float = 0.1) -> float:
    """Write a note at the foot of a figure, and return how high it is, in inches.

    Args:
        figure: to write on.
        text: broken into lines that fit, and shortened where it is very long.
        left: in inches.
    """
    import textwrap

    width, height = figure.get_size_inches()
    lines = textwrap.wrap(short(text, _LONGEST_NOTE), max(20, int((width - left - 0.1) * 16)))
    muted = palette()["muted"]
    figure.text(
        left / width,
        0.06 / height,
        "\n".join(lines),
        fontsize=7,
        color=muted,
        va="bottom",
        linespacing=1.35,
    )
    return 0.08 + 0.135 * len(lines)


def new_figure(width: float, height: float, dpi: float = 150) -> Figure:
    """Return an empty figure of this size in inches, which no window will ever show."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    return figure
