"""The method that serves bytes and minutes best, by rules that were measured; free of torch.

The rules were found on held-out training images; docs/choosing.md has the measurements. Real images
in a picture codec are ahead of everything that is trained, at equal bytes and in the minutes of a
laptop; of many colour images those that a network trained on all of them is sure of are better yet.
Where no codec can keep the rows, or updates are asked for, distribution matching with a pool
serves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attar.coding.codecs import SPEED
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
# 1,024 pixels of the whole image, 300 of CIFAR-10 in one picture, and the images of each of ten
# classes from which on it is worth them; the finest comes first, and is taken where all images fit
_WAYS = (
    (1.0, 60, 200, 2_000),
    (1.0, 35, 84, 700),
    (1.0, 25, 59, 200),
    (0.75, 25, 40, 100),
    (0.5, 35, 30, 0),
)
# of more classes as many images in all are enough: with a hundred, 16 of full size are level with
# 31 of half the side, and 50 ahead of 96
_CLASSES = 10
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
# the minutes that it may take, and coding as much; where there is no teacher coding has both
_PER_MINUTE, _CHANNELS, _SHARE = 90e6, 64, 0.4
_EPOCHS = (2, 8)
# pixels that a codec writes in a minute of one core at each speed that may be asked of it, of
# 300 images of CIFAR-10 in one AVIF of quality 60; at 7 these lose 0.2 dB more, at 9 0.6, in nearly
# the same bytes; those of lower qualities are written so many times as fast
_CODED_PER_MINUTE: Mapping[str, tuple[tuple[int, float], ...]] = {
    "avif": ((SPEED, 27e6), (7, 75e6), (9, 500e6)),
    "webp": ((SPEED, 190e6),),
    "jpeg": ((SPEED, 5e9),),
}
_COARSER, _FINE = 1.5, 60
# how often nearly all images are coded, to find how many fit and at the end
_CODINGS = 5
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
    epochs = _epochs(wanted)
    drawn = wanted.shape[0] == 1 or wanted.total * epochs < 128 * _TAUGHT_FROM
    options, kept = _kept(wanted, _WAYS, 2 * _SHARE if drawn else _SHARE)
    kept += " in these bytes"
    if drawn:
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
    options, kept = _kept(wanted, _FINER, _SHARE)
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


def _kept(wanted: Wanted, ways: _Ways, share: float) -> tuple[dict[str, Any], str]:
    """Return the options that keep real images in the way that suits the bytes, and in words.

    Args:
        wanted: what for.
        ways: to choose from.
        share: of the minutes that coding may take.
    """
    codec = _codec(wanted)
    part, quality, fit = _way(wanted, codec, ways)
    speed, needed = _speed(wanted, codec, (part, quality, fit), share)
    asked = "" if speed == SPEED else f",speed={speed}"
    storage = f"{codec}:quality={quality},together={_together(wanted)}{asked}"
    options: dict[str, Any] = {"storage": storage}
    if part < 1:
        options["form"] = f"resized:side={math.ceil(part * min(wanted.shape[1:]))}"
    size = "full size" if part == 1 else f"{part:g} of the side"
    kept = f"as many real images of {size} as {codec.upper()} keeps"
    if asked:
        kept += f" at speed {speed}, since coding at {SPEED} would not fit the minutes,"
    if needed:
        kept += f" (to code them takes some {needed:.2g} minutes of one core alone)"
    return options, kept


def _way(wanted: Wanted, codec: str, ways: _Ways) -> tuple[float, int, float]:
    """Return the part of the side that is kept, the quality, and the images of a class that fit."""
    pixels, side = math.prod(wanted.shape[1:]), min(wanted.shape[1:])
    room = (wanted.bytes_per_class or 0.0) * 1024 / pixels
    more = 1 if codec == "avif" else _MORE
    fewer = min(1.0, _CLASSES / wanted.classes)
    for part, quality, taken, enough in ways:
        fit = room / (more * taken)
        if fit >= min(fewer * enough, wanted.images) and (part == 1 or side >= _WHOLE_BELOW):
            return part, quality, fit
    _, quality, taken, _ = _WAYS[2]
    return 1.0, quality, room / (more * taken)


def _speed(
    wanted: Wanted, codec: str, way: tuple[float, int, float], share: float
) -> tuple[int, float]:
    """Return the speed of a codec, the usual one where that fits a share of the minutes.

    Beside it the minutes that coding takes where even the fastest does not fit, else 0.
    """
    if wanted.minutes is None:
        return SPEED, 0.0
    part, quality, fit = way
    each = part**2 * math.prod(wanted.shape[1:]) / (1 if quality >= _FINE else _COARSER)
    pixels = _CODINGS * each * min(fit * wanted.classes, wanted.total)
    speeds = _CODED_PER_MINUTE[codec]
    for speed, per_minute in speeds:
        if pixels <= share * wanted.minutes * per_minute:
            return speed, 0.0
    speed, per_minute = speeds[-1]
    return speed, pixels / per_minute


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
