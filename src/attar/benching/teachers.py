"""The one teacher of a suite, trained once for all sets and labels of a dataset alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attar.benching.cells import ARITHMETIC, Measuring
from attar.benching.folder import Folder
from attar.benching.making import Making, slug, source_identity
from attar.benching.notes import plain
from attar.compute import choose
from attar.coresets import Crops
from attar.data import LabelledImages, as_splits
from attar.locking import locked
from attar.networks import make_for
from attar.rng import Key
from attar.teachers.file import save_teacher
from attar.teachers.finding import find_teacher, is_on_disk
from attar.text import text_digest


def teacher_on_disk(
    work: Making | Measuring, folder: Folder, data_dir: Path | None, say: Callable[[str], None]
) -> str:
    """Return the teacher of a piece of work as `attar condense --teacher` takes it.

    It is trained where it is not there yet, as that of `taught` is; processes that need it at once
    wait for the one that trains it.

    Args:
        work: with a teacher.
        folder: of the suite.
        data_dir: where named datasets lie; None for the default.
        say: told in a line what is trained.

    Raises:
        RunFailed: the training diverged.
    """
    asked = _asked(work)
    spec = asked["network"]
    if is_on_disk(spec):
        return spec
    making = work if isinstance(work, Making) else work.making
    own = folder.root / "teachers" / slug(making.dataset)
    own.mkdir(parents=True, exist_ok=True)
    known = plain([dict(asked), source_identity(making.source), dict(making.reading)])
    name = f"{slug(spec)}-{text_digest(json.dumps(known, sort_keys=True), 4)}.safetensors"
    with locked(own):
        if not (own / name).exists():
            say(f"teacher: {spec} is trained")
            _train(asked, making, own / name, data_dir)
    return str(own / name)


def check_teacher(measuring: Measuring, train: LabelledImages) -> None:
    """Refuse a teacher that the images of a dataset cannot have.

    Raises:
        BadRequest: there is no such network or file, or it knows other classes or another
            normalization.
    """
    spec = _asked(measuring)["network"]
    if is_on_disk(spec):
        find_teacher(spec, train, choose("cpu"), "teacher")
    else:
        make_for(spec, train.shape, train.classes)


def _asked(work: Making | Measuring) -> Mapping[str, Any]:
    assert work.teacher is not None
    return work.teacher


def _train(asked: Mapping[str, Any], making: Making, path: Path, data_dir: Path | None) -> None:
    train = as_splits(making.source, data_dir=data_dir, **making.reading).train
    network = make_for(asked["network"], train.shape, train.classes)
    selector = Crops(epochs=asked.get("epochs", Crops.epochs))
    pixels = network.effort(selector.passes(train))
    arithmetic = {name: asked[name] for name in ARITHMETIC if name in asked}
    compute = choose(**arithmetic, pixels=pixels)
    save_teacher(path, selector.study(train, network, compute, Key(0)).teacher, train)
