"""What a condensed set is set beside: real images of the same bytes, and all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from attar.artefact.artefact import Artefact
from attar.budget import FLOAT32_BYTES, Budget
from attar.condensing.condense import condense
from attar.data import LabelledImages, Splits
from attar.data.dividing import joined
from attar.errors import BadRequest, unknown
from attar.evaluation.rows import TrainingSet
from attar.methods import METHODS
from attar.networks import OWN
from attar.rng import Key
from attar.synthetic import PLAIN, Allowance, Kept, Layout, fill
from attar.training.cards import EvaluationCard

RANDOM, WHOLE = "random", "whole"
# what `baselines=True` asks for
USUAL = (RANDOM, WHOLE)


def wanted_baselines(given: bool | str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of baselines, each once.

    Args:
        given: True for the usual ones; names, or a text with commas between them.

    Raises:
        BadRequest: an unknown name.
    """
    if isinstance(given, bool):
        return USUAL if given else ()
    parts = given.split(",") if isinstance(given, str) else [str(one) for one in given]
    names = [part.strip() for part in parts if part.strip()]
    coresets = [name for name, method in METHODS.items() if method.coreset]
    allowed = tuple(dict.fromkeys((RANDOM, *coresets, WHOLE)))
    for name in names:
        if name not in allowed:
            raise unknown("baseline (--baselines)", name, allowed)
    if not names:
        raise BadRequest(f"--baselines {given!r}: name some of {', '.join(allowed)}")
    return tuple(dict.fromkeys(names))


def images_that_fit(train: LabelledImages, size: int) -> int:
    """Return how many float32 images a class may have in ``size`` bytes; one at least."""
    return _real(train, size).per_class


def image_bytes(train: LabelledImages, count: int) -> int:
    """Return the bytes of so many float32 images."""
    return count * math.prod(train.shape) * FLOAT32_BYTES


def random_set(
    train: LabelledImages,
    size: int,
    card: EvaluationCard,
    seed: int,
    *,
    unequal: bool = False,
) -> TrainingSet:
    """Return random real images of at most ``size`` bytes.

    Args:
        train: to draw from.
        size: in bytes.
        card: how networks are trained on them.
        seed: of the draw.
        unequal: share them out in proportion to the classes, as a set with
            ``per_class_budget="proportional"`` does; by default as many of each class.
    """
    sizes = [len(own) for own in train.indices_of_class]
    most = min(size, image_bytes(train, len(train))) if unequal else size
    each = _real(train, most, sizes if unequal else None).sizes()
    drawn = [train.draw(c, n, Key(seed).fold("random", c)) for c, n in enumerate(each)]
    index = torch.cat(drawn).to(train.labels.device)
    count = each[0]
    equal = all(len(own) == count for own in drawn)
    note = _too_large(train, size)
    if unequal:
        note = joined(note, "shared out in proportion to the classes")
    elif not equal:
        note = f"up to {count} images per class; smaller classes give all they have"
    taken = image_bytes(train, len(index))
    return TrainingSet(
        "random real images",
        "random",
        train.take(index),
        train.labels[index],
        card,
        count if equal else None,
        taken,
        taken,
        note,
    )


def _real(train: LabelledImages, size: int, sizes: Sequence[int] | None = None) -> Layout:
    """Return the float32 images that fit; one of each class at least."""
    least = max(size, image_bytes(train, train.classes))
    return fill(Kept(PLAIN), Allowance(Budget(max_bytes=least), sizes=sizes), train).layout


def coreset(
    method: str,
    train: LabelledImages,
    size: int,
    card: EvaluationCard,
    artefact: Artefact,
    **options: Any,
) -> TrainingSet:
    """Return real images of at most ``size`` bytes that a method selects.

    Args:
        method: its name.
        train: the real images, with the preprocessing of the artefact.
        size: in bytes, as the papers count.
        card: how networks are trained on the images selected.
        artefact: gives the network that the selection uses, where it has a name.
        **options: further fields of `attar.Request`, such as ``seed``.

    Raises:
        BadRequest: the method cannot select from these images.
    """
    network = str(artefact.header.settings.get("network", OWN))
    if network.partition(":")[0] != OWN:
        options["network"] = network
    if not artefact.header.layout.is_equal:
        options["per_class_budget"] = "proportional"
    least, most = image_bytes(train, train.classes), image_bytes(train, len(train))
    made = condense(
        Splits(train, None, source=train.name),
        method=method,
        max_bytes=min(max(size, least), most),
        count="paper",
        validation=0.0,
        **options,
    )
    totals = made.totals
    return TrainingSet(
        f"{method} (real images)",
        "coreset",
        made.images,
        made.labels,
        card,
        totals.images_per_class,
        totals.paper,
        totals.all,
        _too_large(train, size) or ("the set has more bytes than these" if size > most else ""),
    )


def _too_large(train: LabelledImages, size: int) -> str:
    if image_bytes(train, train.classes) <= size:
        return ""
    return "one image per class takes more bytes than the set"
