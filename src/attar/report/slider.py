"""Two sets image over image, with a slider between them: before and after, or one and another."""

from __future__ import annotations

import math
from pathlib import Path

from attar.artefact.artefact import Artefact
from attar.artefact.snapshots import load_snapshots, of_one_run, snapshots_path
from attar.errors import ArtefactError
from attar.report.markup import Markup, tag
from attar.report.pictures import ALLOWANCE, choose, encode, shown_pixels

SCRIPT = Path(__file__).with_name("slider.js").read_text(encoding="utf-8")
_MOST_CLASSES = 10
_MOST_PER_CLASS = 4


def compared(first: Artefact, second: Artefact, names: tuple[str, str]) -> Markup:
    """Return the first images of the classes that two sets share, the second's over the first's.

    Nothing where they share none, or their images have not the same proportions. The page that it
    stands on runs `SCRIPT`; without, the images of both stand beside each other.

    Args:
        first: shown where the slider is at its left end.
        second: shown where it is at its right end.
        names: what each is called.
    """
    one, other = first.header, second.header
    shared = [name for name in one.class_names if name in other.class_names][:_MOST_CLASSES]
    if not (shared and first.modality.gallery and second.modality.gallery):
        return Markup("")
    if not math.isclose(one.shape[1] * other.shape[2], one.shape[2] * other.shape[1]):
        return Markup("")
    rows = [
        tag("div", tag("dt", tag("bdi", name)), _pairs(first, second, name, names))
        for name in shared
    ]
    slider = tag("input", type="range", min=0, max=100, value=50, data_second=names[1])
    return tag(
        "div",
        tag(
            "p",
            f"The first {len(shared)} classes, and up to {_MOST_PER_CLASS} images of each."
            if len(shared) < len(one.class_names)
            else f"Up to {_MOST_PER_CLASS} images of each class.",
            class_="note",
        ),
        tag("label", tag("span", names[0]), slider, tag("span", names[1])),
        tag("dl", *rows),
        class_="compare",
        style="--shown:50%",
    )


def _pairs(first: Artefact, second: Artefact, name: str, names: tuple[str, str]) -> Markup:
    """Return the images of one class, those of both sets in pairs."""
    shown = [_images(first, name), _images(second, name)]
    _, height, width = first.header.shape
    scale = max(1, round(64 / max(height, width)))
    size = {"width": width * scale, "height": height * scale}
    pairs = [
        tag(
            "span",
            tag("img", src=before, alt=f"{name}, image {number}, {names[0]}", **size),
            tag("img", src=after, alt=f"{name}, image {number}, {names[1]}", **size),
        )
        for number, (before, after) in enumerate(zip(*shown, strict=False), start=1)
    ]
    return tag("dd", *pairs)


def _images(artefact: Artefact, name: str) -> list[str]:
    header = artefact.header
    choice = choose(
        min(len(header.class_names), _MOST_CLASSES),
        header.images_per_class,
        header.shape,
        most_per_class=_MOST_PER_CLASS,
        allowance=ALLOWANCE // 4,
    )
    return [
        encode(image) for image in shown_pixels(artefact, header.class_names.index(name), choice)
    ]


def before_and_after(start: Artefact | None, end: Artefact) -> Markup:
    """Return a set over what it started from; nothing where that is not known, or is the same."""
    if start is None or start.header.step == end.header.step:
        return Markup("")
    names = (f"step {start.header.step:,}", f"step {end.header.step:,}")
    return compared(start, end, names)


def start_of(path: Path, artefact: Artefact) -> Artefact | None:
    """Return the first iterate kept beside an artefact; None where there is none of its run."""
    try:
        first = load_snapshots(snapshots_path(path))[0]
    except ArtefactError:
        return None
    return first if of_one_run(first.header, artefact.header) else None
