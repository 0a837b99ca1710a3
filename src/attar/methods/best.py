"""The method that serves bytes and minutes best, by rules that were measured; free of torch.

The rules were found on held-out training images; docs/choosing.md has the measurements. Real images
in a picture codec are ahead of everything that is trained, at equal bytes and in the minutes of a
laptop; of many colour images those that a network trained on all of them is sure of are better yet.
Where no codec can keep the rows, or updates are asked for, distribution matching with a pool
serves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from attar.methods.catalogue import METHODS
from attar.methods.choice import Choice, Wanted
from attar.methods.task import Task
from attar.methods.travelling import travelling, travelling_width
from attar.shapes import is_picture

if TYPE_CHECKING:
    from attar.methods.recipe import Recipe

_Ways = tuple[tuple[float, int, int, int], ...]
# pictures below this side are not made smaller
_WHOLE_BELOW = 16
# of each way to keep an image: the part of its side, AVIF's quality, the bytes that it takes for
# 1,024 pixels of the whole image, 300 of CIFAR-10 in one picture, and the images of a class from
# which on it is worth them; the finest comes first, and is taken where all images fit
_WAYS = (
    (1.0, 60, 200, 2_000),
    (1.0, 35, 84, 700),
    (1.0, 25, 59, 200),
    (0.75, 25, 40, 100),
    (0.5, 35, 30, 0),
)
# those of images that a teacher labels: few fine ones are ahead of many coarse ones by far
_FINER = (
    (1.0, 60, 190, 300),
    (1.0, 35, 84, 0),
)
# WebP and JPEG take more than AVIF does
_MORE = 1.5
# bytes of a class from which its own picture is worth the frame that it takes, some 300, and from
# which on one of all classes is
_OWN_PICTURE, _FRAME = 3_000, 750
# pixels that a teacher of so many channels learns from in a minute of one core, and the share of
# the minutes that it may take
_PER_MINUTE, _CHANNELS, _SHARE = 90e6, 64, 0.4
_EPOCHS = (2, 8)
# epochs of one that labels, too (one of 30 was right more often, and taught less), and the real
# images of a class from which on it knows enough
_LONG, _KNOWN_FROM = (2, 14), 1_000
# updates of 128 images from which on a teacher knows what is sure; one of less chooses images that
# are alike, and such as are drawn at random serve better
_TAUGHT_FROM = 1_000
# and from which on it knows enough to label
_LABELS_FROM = 2_000

_AHEAD = (
    "such images were ahead of every condensed set that was tried in these bytes within minutes "
    "(docs/choosing.md)"
)

_AHEAD_OF_ALL = (
    "networks that learn from it were ahead of those that learn from more such images and their "
    "classes (docs/choosing.md)"
)


def best(wanted: Wanted) -> Choice:
    """Return what serves a set best."""
    if wanted.updates or not _codable(wanted):
        return _trained(wanted)
    if _carries(wanted):
        return _carrying(wanted)
    options, kept = _kept(wanted, _WAYS)
    kept += " in these bytes"
    epochs = _epochs(wanted)
    if wanted.shape[0] == 1 or wanted.total * epochs < 128 * _TAUGHT_FROM:
        why = "of grey ones" if wanted.shape[0] == 1 else "where there are so few to learn from"
        return Choice(
            "random",
            f"{kept}, drawn at random, since {why} a trained network chooses none better; {_AHEAD}",
            options=options,
        )
    return Choice(
        "confident",
        f"{kept}, of those that a network trained on all of them is sure of; {_AHEAD}",
        options=options,
        settings={"epochs": epochs},
    )


def _carries(wanted: Wanted) -> bool:
    """Whether a teacher is worth the images in whose place it travels."""
    return (
        wanted.shape[0] == 3
        and wanted.images >= _KNOWN_FROM
        and "teacher_storage" not in wanted.given
        and "card" not in wanted.given
        and wanted.total * _labelling_epochs(wanted) >= 128 * _LABELS_FROM
        and bool(travelling(wanted.shape, wanted.classes, wanted.bytes or 0))
    )


def _carrying(wanted: Wanted) -> Choice:
    """Return the choice of real images and the teacher that labels what is made of them."""
    options, kept = _kept(wanted, _FINER)
    teacher = travelling(wanted.shape, wanted.classes, wanted.bytes or 0)
    return Choice(
        "kd",
        f"{kept} beside a network that was trained on all of them and labels every batch; "
        f"{_AHEAD_OF_ALL}",
        options=options | {"teacher": teacher},
        settings={"epochs": _labelling_epochs(wanted)},
    )


def recipe(task: Task) -> Recipe:
    """Return the settings of what is chosen for a task, in full images' bytes without a codec."""
    size = task.ipc * task.classes * math.prod(task.shape) * 4
    chosen = best(Wanted(task.dataset, task.shape, task.classes, 1, task.classes, size, None))
    return METHODS[chosen.method].recipe(task)


def _codable(wanted: Wanted) -> bool:
    """Whether a picture codec can keep the rows, and their bytes are limited."""
    pictures = is_picture(wanted.shape) and wanted.shape[0] in (1, 3)
    return pictures and wanted.bytes is not None and bool(_codec(wanted)) and wanted.classes > 1


def _codec(wanted: Wanted) -> str:
    each = wanted.bytes_per_class or 0.0
    # of few bytes AVIF's frame would take too many
    order = ("jpeg", "webp", "avif") if each < _FRAME else ("avif", "webp", "jpeg")
    return next((name for name in order if name in wanted.codecs), "")


def _together(wanted: Wanted) -> str:
    return "class" if (wanted.bytes_per_class or 0.0) >= _OWN_PICTURE else "set"


def _kept(wanted: Wanted, ways: _Ways) -> tuple[dict[str, Any], str]:
    """Return the options that keep real images in the way that suits the bytes, and in words."""
    codec = _codec(wanted)
    part, quality = _way(wanted, codec, ways)
    options: dict[str, Any] = {"storage": f"{codec}:quality={quality},together={_together(wanted)}"}
    if part < 1:
        options["form"] = f"resized:side={math.ceil(part * min(wanted.shape[1:]))}"
    size = "full size" if part == 1 else f"{part:g} of the side"
    return options, f"as many real images of {size} as {codec.upper()} keeps"


def _way(wanted: Wanted, codec: str, ways: _Ways) -> tuple[float, int]:
    """Return the part of the side that is kept, and the quality."""
    pixels, side = math.prod(wanted.shape[1:]), min(wanted.shape[1:])
    room = (wanted.bytes_per_class or 0.0) * 1024 / pixels
    for part, quality, taken, enough in ways:
        fit = room / (taken if codec == "avif" else _MORE * taken)
        if fit >= min(enough, wanted.images) and (part == 1 or side >= _WHOLE_BELOW):
            return part, quality
    return 1.0, _WAYS[2][1]


def _labelling_epochs(wanted: Wanted) -> int:
    """Return for how long the teacher is trained that travels."""
    width = travelling_width(wanted.shape, wanted.classes, wanted.bytes or 0) or _CHANNELS
    return _epochs(wanted, _LONG, width)


def _epochs(wanted: Wanted, range_: tuple[int, int] = _EPOCHS, channels: int = _CHANNELS) -> int:
    """Return for how long a teacher of so many channels is trained: what the minutes allow."""
    least, most = range_
    if wanted.minutes is None:
        return most
    pixels = wanted.total * wanted.shape[1] * wanted.shape[2]
    fit = int(_SHARE * wanted.minutes * _PER_MINUTE * _CHANNELS / channels / max(pixels, 1))
    return max(least, min(most, fit))


def _trained(wanted: Wanted) -> Choice:
    if is_picture(wanted.shape):
        why = (
            "low-rank images matched to class means of features, which networks kept in a pool "
            "make fast"
        )
        return Choice("fastlodm", why)
    why = (
        "rows matched to class means of features, which networks kept in a pool make fast; no "
        "picture codec keeps such rows"
    )
    return Choice("fastdm", why)
