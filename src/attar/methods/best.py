"""The method that serves bytes and minutes best, by rules that were measured; free of torch.

The rules were found on held-out training images; docs/choosing.md has the measurements. Real images
in a picture codec, chosen by a network that was trained on all of them, are ahead of everything
that is trained, at equal bytes and in the minutes of a laptop; where no codec can keep the rows, or
updates are asked for, distribution matching with a pool serves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from attar.methods.catalogue import METHODS
from attar.methods.choice import Choice, Wanted
from attar.methods.task import Task
from attar.shapes import is_picture

if TYPE_CHECKING:
    from attar.methods.recipe import Recipe

# from this side on half of it says enough, and twice as many images fit
_HALVED_FROM = 16
# bytes of a class from which its own picture is worth the frame that it takes, some 300
_OWN_PICTURE = 3_000
# pixels that a teacher of 64 channels learns from in a minute of one core, and the share of the
# minutes that it may take
_PER_MINUTE, _SHARE = 90e6, 0.4
_EPOCHS = (2, 8)


def best(wanted: Wanted) -> Choice:
    """Return what serves a set best."""
    if wanted.updates or not _codable(wanted):
        return _trained(wanted)
    side = min(wanted.shape[1:])
    half = side >= _HALVED_FROM
    storage = _storage(wanted)
    options: dict[str, Any] = {"storage": storage}
    if half:
        options["form"] = f"resized:side={-(-side // 2)}"
    epochs = _epochs(wanted)
    name = storage.partition(":")[0].upper()
    return Choice(
        "confident",
        f"real images of {'half the side' if half else 'full size'} as {name}, which keeps most "
        "images in these bytes, and of them those that a network trained on all is sure of: they "
        "were ahead of every condensed set at equal bytes and minutes",
        options=options,
        settings={"epochs": epochs},
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
    return next((name for name in ("avif", "webp", "jpeg") if name in wanted.codecs), "")


def _storage(wanted: Wanted) -> str:
    each = wanted.bytes_per_class or 0.0
    if "jpeg" in wanted.codecs and each < _OWN_PICTURE / 4:
        # AVIF's frame would be too much
        return "jpeg:quality=35,together=set"
    together = "class" if each >= _OWN_PICTURE else "set"
    return f"{_codec(wanted)}:quality=35,together={together}"


def _epochs(wanted: Wanted) -> int:
    """Return for how long the teacher is trained: what the minutes allow."""
    least, most = _EPOCHS
    if wanted.minutes is None:
        return most
    pixels = wanted.total * wanted.shape[1] * wanted.shape[2]
    fit = int(_SHARE * wanted.minutes * _PER_MINUTE / max(pixels, 1))
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
