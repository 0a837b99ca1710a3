"""Which images of a source are training, test and validation images, and what is told of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.data.images import check_labels, stratified
from attar.data.reading import HELD_OUT
from attar.data.rows import Rows, picked
from attar.data.subsets import EVERYTHING, Subset, narrowed
from attar.errors import BadRequest
from attar.rng import Key

_WORDS = {"train": "training", "test": "test", "validation": "validation"}


@dataclass(frozen=True)
class Taken:
    """What is taken of one part.

    Args:
        labels: N class indices of what is taken.
        index: where these N images are among those of the part; None for all of them as they
            are, so that nothing needs to be copied.
    """

    labels: Tensor
    index: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, images: Rows) -> Rows:
        """Return the images taken, of all images of the part."""
        return images if self.index is None else picked(images, self.index)

    def at(self, index: Tensor) -> Taken:
        """Return some of what is taken."""
        return Taken(self.labels[index], index if self.index is None else self.index[index])

    def of_classes(self, positions: Sequence[int]) -> Taken:
        """Return the images of some classes, numbered in their order."""
        index, labels = narrowed(self.labels, positions)
        return dataclasses.replace(self.at(index), labels=labels.to(self.labels.device))


@dataclass(frozen=True)
class Division:
    """The parts of a source.

    Args:
        train: of the training part.
        test: of the test part, or, where ``test_share`` is above 0, of the training part; None
            where no image is kept for testing.
        validation: of a part that is there to select by; None where there is none.
        class_names: of the classes taken.
        test_share: of every class, cut off the training part as a test part; 0 for none.
        note: how many images each part has and how that came about.
    """

    train: Taken
    test: Taken | None
    validation: Taken | None
    class_names: tuple[str, ...]
    test_share: float
    note: str


def wanted_share(given: object) -> float | None:
    """Return a share of the images to hold out as test, or None where nothing is said.

    Raises:
        BadRequest: no number from 0 to below 1.
    """
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 1:
        raise BadRequest(
            f"--test-share {given!r}: a number from 0 (no image is held out as test) to below 1"
        )
    return float(given)


def refuse_share(share: float | None, name: str) -> None:
    """Refuse to cut a test part where there is one already.

    Raises:
        BadRequest: ``share`` is above 0.
    """
    if share:
        raise BadRequest(f"--test-share {share:g}: {name} has a test part of its own; leave it out")


def divide(
    train: Tensor,
    test: Tensor | None,
    validation: Tensor | None,
    class_names: tuple[str, ...],
    name: str,
    *,
    share: float | None = None,
    default: float = 0.0,
    subset: Subset = EVERYTHING,
    found: str = "",
) -> Division:
    """Choose the wanted images of every part; cut a test part off where there is none.

    What is cut is of the whole source, so that the test part of a class hangs neither on the
    other classes nor on the sample.

    Args:
        train: class indices of the training part.
        test: of the test part, where there is one.
        validation: of the validation part, where there is one.
        class_names: of all classes.
        name: how messages call the training part.
        share: of every class to hold out as test, where that was asked for.
        default: the share where nothing was said.
        subset: what to take.
        found: how the parts were told, for the note.

    Raises:
        BadRequest: the subset or the share does not fit the data.
    """
    positions = subset.positions(class_names, name)
    parts = {"train": Taken(train)} | {
        part: Taken(labels)
        for part, labels in (("test", test), ("validation", validation))
        if labels is not None
    }
    cut = 0.0
    if test is not None:
        refuse_share(share, name)
    else:
        cut = default if share is None else share
    if cut:
        kept, held = hold_out(train, class_names, name, positions, cut)
        parts |= {"train": parts["train"].at(kept), "test": parts["train"].at(held)}
    if positions is not None:
        parts = _narrowed(parts, positions, class_names, name)
        class_names = tuple(class_names[one] for one in positions)
    note = joined(
        told(found, {part: len(taken) for part, taken in parts.items()}, cut),
        subset.told(len(parts["train"]) + (len(parts["test"]) if cut else 0), len(train)),
    )
    sample = subset.sample(parts["train"].labels, class_names)
    if sample is not None:
        whole = len(parts["train"])
        parts["train"] = parts["train"].at(sample)
        note = joined(note, subset.told_of_sample(len(sample), whole))
    return Division(
        parts["train"],
        parts.get("test"),
        parts.get("validation"),
        class_names,
        cut,
        note,
    )


def _narrowed(
    parts: Mapping[str, Taken], positions: Sequence[int], class_names: Sequence[str], name: str
) -> dict[str, Taken]:
    """Return the images of some classes of every part.

    Raises:
        BadRequest: labels that are no class, or a part that has none of these classes.
    """
    found = {}
    for part, taken in parts.items():
        if len(taken):
            where = name if part == "train" else f"{name} {part}"
            check_labels(taken.labels, len(class_names), where, may_lack_classes=True)
        found[part] = taken.of_classes(positions)
        if not len(found[part]):
            chosen = ", ".join(class_names[one] for one in positions[:5])
            raise BadRequest(
                f"{name}: the {_WORDS[part]} part has no images of the classes {chosen}"
                f"{', …' if len(positions) > 5 else ''}; choose others with --classes"
            )
    return found


def told(found: str, counts: Mapping[str, int], cut: float) -> str:
    """Say how many images every part has, and what was cut off as test."""
    if cut:
        whole = counts["train"] + counts["test"]
        said = (
            f"{100 * cut:g} % of every class is held out as test ({counts['test']:,} of "
            f"{whole:,} images)"
        )
    elif "test" not in counts:
        said = f"all {counts['train']:,} images are training images, none is held out as test"
    else:
        named = [f"{counts[part]:,} {word}" for part, word in _WORDS.items() if part in counts]
        said = f"{', '.join(named)} images"
    return joined(found, said)


def hold_out(
    labels: Tensor,
    class_names: tuple[str, ...],
    name: str,
    positions: Sequence[int] | None = None,
    share: float = HELD_OUT,
) -> tuple[Tensor, Tensor]:
    """Return the indices of the training part and of a fixed, stratified test part.

    Args:
        labels: N class indices.
        class_names: their names.
        name: how messages call the set.
        positions: the only classes to consider, for a slice; they are held out of just as when
            all are.
        share: of every class, above 0 and below 1.

    Raises:
        BadRequest: the labels do not fit the classes, or a class has a single image.
    """
    check_labels(labels, len(class_names), name, may_lack_classes=positions is not None)
    wanted = range(len(class_names)) if positions is None else positions
    own = [
        torch.nonzero(labels == label).flatten() if label in wanted else labels.new_empty(0)
        for label in range(len(class_names))
    ]
    for label in wanted:
        if len(own[label]) < 2:
            many = "one image" if len(own[label]) else "no images"
            raise BadRequest(
                f"{name}: class {class_names[label]!r} has {many}, so none can be held out as "
                "test; add images, give a test part, or condense all with --test-share 0"
            )
    return stratified(own, share, Key(0).fold("test part"))


def joined(*notes: str) -> str:
    """Return the notes that say something, as one line."""
    return "; ".join(filter(None, notes))
