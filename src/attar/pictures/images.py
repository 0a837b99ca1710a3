"""Images of a set by class, and the same images at several iterations of their run.

Source: Figures 3 and 6 to 11 of the low-rank plugin for dataset condensation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from attar.artefact.artefact import Artefact
from attar.pictures.mosaic import choose_scale, mosaic, most_rows
from attar.pictures.picture import Picture
from attar.report.facts import dataset
from attar.report.pictures import visible
from attar.text import text_digest

# images of a class, where nothing is said
GRID_SHOWN, ITERATIONS_SHOWN = 10, 1
_MOST_COLUMNS = 12
# bytes of a set's name in the name of a picture's file, which has room for 255 in all
_LONGEST_SLUG = 150


def grid(
    name: str, artefact: Artefact, shown: int | None = None, most: int | None = None
) -> Picture:
    """Return the images of a set, one class per row.

    Args:
        name: what the picture calls the set.
        artefact: the set.
        shown: the first so many images of each class; 10 where left out.
        most: classes, from the first; as many as there is room for where left out.
    """
    count, classes = _counts(artefact, shown or GRID_SHOWN, most)
    images = _rows(artefact, classes, count)
    header = artefact.header
    note = _note(artefact, classes, count)
    title = f"{name}: {header.method} on {dataset(artefact)}, {header.counted} per class"
    png, frame = mosaic([images], title=title, note=note, rows=header.class_names[:classes])
    values = {"artefact": name, "classes": classes, "per_class": count, "scale": frame.scale}
    return Picture("grid", f"grid-{slug(name)}", title, f"{title}. {note}", png, values)


def iterations(
    name: str,
    artefact: Artefact,
    snapshots: Sequence[Artefact],
    shown: int | None = None,
    most: int | None = None,
) -> Picture:
    """Return the same images at the iterations that were kept, from left to right.

    Args:
        name: what the picture calls the set.
        artefact: the set.
        snapshots: iterates of its run in order, as
            `attar.artefact.snapshots.load_snapshots` returns them.
        shown: the first so many images of each class; 1 where left out.
        most: classes, from the first; as many as there is room for where left out.
    """
    chosen = _spread(snapshots, _MOST_COLUMNS)
    count, classes = _counts(artefact, shown or ITERATIONS_SHOWN, most)
    header = artefact.header
    note = _note(artefact, classes, count)
    if len(chosen) < len(snapshots):
        note = f"{len(chosen)} of {len(snapshots)} snapshots. {note}"
    title = f"{name}: {header.method} on {dataset(artefact)} over its iterations"
    png, frame = mosaic(
        [_rows(one, classes, count) for one in chosen],
        title=title,
        note=note,
        rows=header.class_names[:classes],
        heads=[f"{one.header.step:,}" for one in chosen],
        over="iteration",
    )
    steps = [one.header.step for one in chosen]
    values = {"artefact": name, "steps": steps, "classes": classes, "per_class": count}
    values["scale"] = frame.scale
    caption = f"{title}: iterations {', '.join(f'{step:,}' for step in steps)}. {note}"
    return Picture("iterations", f"iterations-{slug(name)}", title, caption, png, values)


def slug(name: str) -> str:
    """Return a name as part of a file name; a long one shortened, with a digest of the whole."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "set"
    if len(plain.encode()) <= _LONGEST_SLUG:
        return plain
    return f"{plain.encode()[:_LONGEST_SLUG].decode(errors='ignore')}-{text_digest(name, 4)}"


def _counts(artefact: Artefact, shown: int, most: int | None) -> tuple[int, int]:
    """Return how many images of a class, and how many classes, a picture shows."""
    header = artefact.header
    _, height, width = header.shape
    count = min(shown, header.images_per_class)
    scale = choose_scale(height, width, count)
    classes = min(len(header.class_names), most_rows(height, scale))
    return count, min(classes, most or classes)


def _rows(artefact: Artefact, classes: int, count: int) -> np.ndarray:
    """Return the first images of the first classes as R×S×H×W×3 uint8.

    Where a class has fewer, white ones stand in for those that it lacks.
    """
    layout = artefact.header.layout
    shown = artefact.pixels.new_ones(classes, count, *layout.shape)
    for label in range(classes):
        rows = layout.rows_of(label)[:count]
        shown[label, : len(rows)] = artefact.pixels[rows.start : rows.stop]
    values = visible(shown)
    return values.expand(*values.shape[:-1], 3).numpy()


def _spread(items: Sequence[Artefact], most: int) -> list[Artefact]:
    """Return at most so many, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def _note(artefact: Artefact, classes: int, count: int) -> str:
    header = artefact.header
    channels, height, width = header.shape
    every = count == header.images_per_class
    which = "every image" if every else f"{_first(count)} of {header.count} images"
    parts = [f"{which} of each class"]
    if classes < len(header.class_names):
        parts[0] += f", {_first(classes)} of {len(header.class_names):,} classes"
    parts.append(f"{height}×{width} pixels without the preprocessing")
    if artefact.clipped is not None:
        parts.append(f"{artefact.clipped}, and are clipped")
    if channels not in (1, 3):
        parts.append(f"{'the mean' if channels == 2 else 'the first three'} of {channels} channels")
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def _first(count: int) -> str:
    return "the first" if count == 1 else f"the first {count}"
