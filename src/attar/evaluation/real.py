"""The real images that belong to an artefact: to test on, to compare with, to draw."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attar.artefact.artefact import Artefact
from attar.data import LabelledImages, Splits, as_splits
from attar.data.identity import is_digest_of
from attar.data.modality import rows_of
from attar.data.reading import HELD_OUT
from attar.errors import BadRequest
from attar.options import BEARING
from attar.shapes import Shape, is_picture


def read_splits(artefact: Artefact, data: Any, **reading: Any) -> Splits:
    """Return the real data of an artefact, or those given in their place.

    Where they have no test part, what the artefact's run cut off as one is cut off again.

    Raises:
        BadRequest: the artefact was made from Python objects and no data are given, or the
            classes differ.
    """
    header = artefact.header
    recorded = header.provenance.get("source")
    cut = recorded_share(artefact)
    if data is None or (isinstance(data, str) and data == recorded):
        asked = reading.get("test_share")
        if asked is not None and asked != cut:
            raise BadRequest(
                f"--test-share {asked:g}: the artefact was condensed with a test share of "
                f"{cut:g}, so the images that it has not seen are others; leave it out"
            )
    if data is None:
        data = recorded
        if not isinstance(data, str) or data == "data":
            raise BadRequest(
                "the artefact does not say which data it was made from; give them with --data"
            )
        before = header.provenance.get("reading")
        for name in BEARING:
            if reading.get(name) is None and isinstance(before, dict):
                reading[name] = before.get(name)
        if reading.get("resize") is None and ":" in data and is_picture(header.shape):
            # images of the artefact's size are left as they are
            reading["resize"] = header.shape[1:]
    splits = as_splits(data, default_share=cut, **reading)
    if splits.train.shape != header.shape:
        raise BadRequest(
            f"the artefact holds {rows_of(header.shape)}, {splits.source} "
            f"{rows_of(splits.train.shape)}; give the data it was made from"
            f"{_resized(header.shape)}"
        )
    ours, theirs = header.class_names, list(splits.train.class_names)
    if ours != theirs:
        raise BadRequest(
            f"the artefact's classes ({_few(ours)}) are not those of {splits.source} "
            f"({_few(theirs)}){_where(ours, theirs)}; give the data it was made from, or --classes"
        )
    return splits


def _resized(shape: Shape) -> str:
    """Return the end of a sentence that names what brings images to a shape; of vectors nothing."""
    if not is_picture(shape):
        return ""
    *_, height, width = shape
    return f", or --resize {height}" if height == width else f", or resize=({height}, {width})"


def recorded_share(artefact: Artefact) -> float:
    """Return the share of every class that an artefact's run cut off as a test part.

    Files that do not tell were made when a fifth was cut off of all data without a test part.
    """
    share = artefact.header.parts.get("test_share")
    return float(share) if isinstance(share, int | float) else HELD_OUT


@dataclass(frozen=True)
class Real:
    """The real images of an evaluation.

    Args:
        test: what networks are tested on.
        train: training images, for baselines; None where only test images are given.
        validation: images that are neither, where there are any.
        name: of the data set.
        note: how these came about.
    """

    test: LabelledImages
    train: LabelledImages | None
    validation: LabelledImages | None
    name: str
    note: str


def read_real(artefact: Artefact, data: Any, **reading: Any) -> Real:
    """Return the real images to test on, and real training images where there are any.

    A set that was condensed from the whole of its data is tested on the whole of other data.

    Raises:
        BadRequest: see `read_splits`; or there is no image to test on that the artefact was not
            made from.
    """
    splits = read_splits(artefact, data, **reading)
    name = splits.train.name
    train, test, validation = (
        None if part is None else with_preprocessing(part, artefact)
        for part in (splits.train, splits.test, splits.validation)
    )
    assert train is not None
    if test is not None:
        return Real(test, train, validation, name, splits.note)
    if data is None or is_digest_of(artefact.header.parts.get("digest"), splits.train):
        raise BadRequest(
            f"the artefact was condensed from all images of {splits.source}, so none of them is "
            "left to test on; give other images (--data SOURCE), or condense again with a test "
            "part or --test-share 0.2"
        )
    if reading.get("per_class") is not None:
        raise BadRequest(
            f"--per-class {reading['per_class']}: takes training images, and {splits.source} are "
            "test images, all of them; leave it out"
        )
    return Real(train, None, None, name, f"all {len(train):,} images are test images")


def with_preprocessing(images: LabelledImages, artefact: Artefact) -> LabelledImages:
    """Return real images under the preprocessing that the artefact was made with."""
    return dataclasses.replace(images, preprocessing=artefact.preprocessing)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", … {len(names)} in all" if len(names) > 5 else "")


def _where(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """Say which class is the first to differ; nothing where one list begins as the other."""
    for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            return f": class {index} is {one!r} in the artefact and {other!r} there"
    return ""
