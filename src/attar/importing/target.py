"""What an imported set is of: its classes, the real data behind it, and its preprocessing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attar.data import (
    KINDS,
    SOURCES,
    Preprocessing,
    Splits,
    as_splits,
    channel_statistics,
    fit_whitening,
)
from attar.data.named import CONSTANTS
from attar.data.subsets import Classes, wanted_subset
from attar.errors import BadRequest, unknown
from attar.importing.constants import CLASS_NAMES, NAMES, NOT_WHITENED, constants
from attar.importing.found import Found


@dataclass(frozen=True)
class Said:
    """What the user says of a set, beside its files.

    Args:
        data: the real data, as `attar.condense` takes them; None without.
        data_name: the data set that it is of, whose constants its authors took.
        classes: a slice of these data; or, without any, a number of classes or their names.
        zca: ``none`` or a kind of whitening; None where nothing was said.
        mean: constants of the pixels, one per channel or one for all.
        std: likewise.
        data_dir: where named data sets lie.
    """

    data: Any = None
    data_name: str | None = None
    classes: Classes = None
    zca: str | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    data_dir: Path | None = None

    def __post_init__(self) -> None:
        if self.data_name is not None and self.data_name not in NAMES:
            raise unknown("data set (--data-name)", self.data_name, NAMES)
        if self.zca is not None and self.zca not in ("none", *KINDS):
            raise unknown("whitening (--zca)", self.zca, ("none", *KINDS))
        if (self.mean is None) != (self.std is None):
            raise BadRequest("give both --mean and --std, or neither")
        for name, values in (("--mean", self.mean), ("--std", self.std)):
            if values is not None and not all(math.isfinite(one) for one in values):
                raise BadRequest(f"{name} {values}: finite numbers are needed")
        wanted_subset(self.classes)


@dataclass(frozen=True)
class Target:
    """What a set is of.

    Args:
        class_names: K names.
        splits: the real data, where they are given.
        dataset: the name of the data set.
        source: what `attar evaluate` reads unless told otherwise; None where it cannot know.
        notes: how the names came about.
    """

    class_names: tuple[str, ...]
    splits: Splits | None
    dataset: str
    source: str | None
    notes: tuple[str, ...] = field(default=())


def settle_target(said: Said, found: Found) -> Target:
    """Return what a set is of.

    Raises:
        BadRequest: nothing says what the classes are, or the data do not fit the images.
    """
    if said.data is not None:
        return _of_data(said, found)
    name = said.data_name
    source = name if name in SOURCES and not SOURCES[name].argument else None
    names = _named(said, found)
    return Target(names, None, name or "imported", source)


def _of_data(said: Said, found: Found) -> Target:
    shape = tuple(found.images.shape[1:])
    options: dict[str, Any] = {"classes": said.classes}
    if isinstance(said.data, str) and ":" in said.data:
        # as `attar evaluate` does; images of this size are left as they are
        options["resize"] = shape[1:]
    splits = as_splits(said.data, data_dir=said.data_dir, **options)
    if splits.train.shape != shape:
        raise BadRequest(
            f"--data: images of {splits.source} are of C×H×W = {splits.train.shape}, those of the "
            f"files of {shape}; give the data that the set was made from"
        )
    name = said.data_name or splits.train.name
    source = said.data if isinstance(said.data, str) else splits.source
    return Target(splits.train.class_names, splits, name, source)


def _named(said: Said, found: Found) -> tuple[str, ...]:
    """Return the names of the classes without reading any data."""
    subset = wanted_subset(said.classes)
    known = CLASS_NAMES.get(said.data_name or "")
    if known is not None:
        positions = subset.positions(known, said.data_name or "")
        return known if positions is None else tuple(known[one] for one in positions)
    if isinstance(subset.classes, int):
        count = len(found.images)
        if subset.classes > count:
            raise BadRequest(
                f"--classes {subset.classes}: the files hold {count} image(s), and every class "
                f"needs one; give 2 to {count}"
            )
        return tuple(map(str, range(subset.classes)))
    if subset.classes is not None:
        twice = {one for one in subset.classes if subset.classes.count(one) > 1}
        if twice:
            raise BadRequest(f"--classes: {sorted(twice)[0]!r} is given twice")
        return subset.classes
    if found.class_names is not None:
        return found.class_names
    what = f"{said.data_name} has no list of classes here; " if said.data_name else ""
    raise BadRequest(
        f"{what}the files do not say what their classes are: give --data SOURCE (the real "
        "images), --data-name such as cifar10, or --classes with their names in the order of "
        "their labels"
    )


def settle_preprocessing(said: Said, found: Found, target: Target) -> tuple[Preprocessing, str]:
    """Return what turns pixels into the set's network inputs, and where its constants are from.

    Raises:
        BadRequest: the whitening or the constants cannot be known, or the images contradict them.
    """
    zca = _whitening(said, found, target)
    if zca in ("mtt", "rtp", "kip"):
        return _whitened(zca, Preprocessing.none(found.images.shape[1]), target), "none"
    plain, origin = _constants(said, found, target)
    if zca == "frepo":
        return _whitened(zca, plain, target), origin
    low, high = float(found.images.min()), float(found.images.max())
    if not found.pixels and said.mean is None and low >= 0 and high <= 1:
        raise BadRequest(
            f"the images run from {low:.3g} to {high:.3g}: they look like pixels, not like "
            f"standardised network inputs ({found.method}). Give --format idc --factor 1 if they "
            "are pixels, or --mean and --std if they are what networks saw"
        )
    return plain, origin


def _whitening(said: Said, found: Found, target: Target) -> str:
    """Return ``none`` or the kind that the images are under."""
    kind = said.zca or found.whitened
    if kind is None and found.family == "frepo":
        kind = "none" if target.dataset in NOT_WHITENED else "frepo"
    if kind is None:
        raise BadRequest(
            f"the files do not say whether the images are whitened ({found.method}): give --zca "
            f"{found.whitening} with --data SOURCE where the authors' command had ZCA on, or "
            "--zca none"
        )
    # pixels whose whitening was taken back can be whitened again, others never were
    if kind not in ("none", found.whitening) and found.pixels:
        raise BadRequest(f"--zca {kind}: {found.method} stores pixels, which are not whitened so")
    if kind != "none" and target.splits is None:
        raise BadRequest(
            f"--zca {kind}: the files hold whitened images but not the whitening, which is "
            "computed again from the real training images; give them with --data SOURCE"
        )
    return kind


def _whitened(kind: str, plain: Preprocessing, target: Target) -> Preprocessing:
    assert target.splits is not None
    named = CONSTANTS.get(target.dataset)
    strength = named.zca_strength if named and kind in ("rtp", "kip") else 0.1
    fitted = fit_whitening(
        kind,
        target.splits.train.images,
        mean=plain.mean if kind == "frepo" else None,
        std=plain.std if kind == "frepo" else None,
        strength=strength,
    )
    return replace(plain, whitening=fitted)


def _constants(said: Said, found: Found, target: Target) -> tuple[Preprocessing, str]:
    """Return mean and deviation of pixels, and where they are from."""
    channels = found.images.shape[1]
    if said.mean is not None and said.std is not None:
        return Preprocessing(_each(said.mean, channels), _each(said.std, channels)), "given"
    if found.constants is not None:
        mean, std = found.constants
        return Preprocessing(_each(mean, channels), _each(std, channels)), "those it tells"
    known = constants(found.family, target.dataset)
    if known is not None and len(known[0]) == channels:
        return Preprocessing(*known), f"those of {found.family} for {target.dataset}"
    if target.splits is not None:
        own = target.splits.train.preprocessing
        return Preprocessing(own.mean, own.std), f"those of {target.splits.source}"
    if found.pixels:
        return Preprocessing(*channel_statistics(found.images)), "statistics of the set itself"
    raise BadRequest(
        f"the files do not say with which constants the pixels of {target.dataset} were "
        "standardised: give --data-name such as cifar10, --data SOURCE, or --mean and --std"
    )


def _each(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return one value per channel."""
    if len(values) not in (1, channels):
        raise BadRequest(
            f"--mean and --std: {len(values)} values for {channels} channel(s); give one or "
            f"{channels}"
        )
    return tuple(map(float, values)) * (channels // len(values))
