"""What a file must hold to be a set: refusals by name, the cheap ones before memory is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from attar.artefact.artefact import LEARNT, STANDARD, WHITENING, Artefact
from attar.artefact.header import Header
from attar.budget import format_bytes
from attar.capacity import check_memory
from attar.data.whitening import Whitening
from attar.errors import ArtefactError
from attar.shapes import is_picture
from attar.storage import Kept, storage_of
from attar.synthetic import (
    Parametrization,
    Store,
    Synthetic,
    check_storage,
    from_description,
    planned_ledger,
)
from attar.tensors import all_finite

_LARGEST = torch.finfo(torch.float32).max
# images of this many bytes are made without a look at what memory there is
_UNDOUBTED = 2**28
# bytes of images made at a time, where they are looked at
_BLOCK = 2**24


def check_header(path: Path, header: Header) -> Parametrization:
    """Refuse a header whose set could not be what it says, before allocating it.

    Returns:
        The form of the set.

    Raises:
        ArtefactError: names what is wrong.
        BadRequest: it describes no set, or one whose images fit into no memory there is.
    """
    form = from_description(header.parametrization)
    _check_size(path, header, form)
    channels = header.shape[0] if is_picture(header.shape) else 0
    if not len(header.mean) == len(header.std) == channels or min(header.std, default=1) <= 0:
        raise ArtefactError(f"{path}: mean and std do not fit {channels} channels")
    values = torch.tensor([header.mean, header.std], dtype=torch.float32)
    if not bool(values.isfinite().all()) or not bool((1 / values[1]).isfinite().all()):
        raise ArtefactError(
            f"{path}: mean {header.mean} or std {header.std} is not finite in float32"
        )
    if len(set(header.class_names)) < len(header.class_names):
        twice = next(one for one in header.class_names if header.class_names.count(one) > 1)
        raise ArtefactError(f"{path}: the class name {twice!r} is there twice")
    if header.nested and not form.by_row:
        raise ArtefactError(
            f"{path}: its header says nested, which sets stored as {form.name} cannot be"
        )
    return form


def _check_size(path: Path, header: Header, form: Parametrization) -> None:
    least = _least_bytes(header, form)
    if min(header.shape) < 1 or least > path.stat().st_size:
        raise ArtefactError(f"{path}: its header speaks of {least} bytes, more than the file holds")
    made = 4 * header.layout.rows * math.prod(header.shape)
    if made > _UNDOUBTED:
        what = (
            f"{header.layout.rows} images of {'×'.join(map(str, header.shape))} that it describes"
        )
        check_memory(made, f"the {what}", "load it where there is more")


def _least_bytes(header: Header, form: Parametrization) -> int:
    """Return how many bytes a set takes at least."""
    storage = storage_of(header.storage)
    beside = 0 if header.teacher is None else header.teacher.least()
    if storage.fixed:
        return beside + planned_ledger(header.layout, form, storage, header.learned_labels).all
    form.check_shape(header.shape)
    check_storage(storage, header.layout, form)
    shapes = form.shapes(header.layout, learned_labels=header.learned_labels)
    return beside + sum(storage.least(name, shape) for name, shape in shapes.items())


def check_tensors(
    path: Path, header: Header, synthetic: Synthetic, tensors: Mapping[str, Tensor]
) -> None:
    """Refuse tensors that are not those the header speaks of."""
    expected = _expected(header, synthetic)
    if expected.keys() != tensors.keys():
        odd = sorted(expected.keys() ^ tensors.keys())
        raise ArtefactError(f"{path}: tensors {', '.join(odd)} are missing or do not belong")
    for name, tensor in tensors.items():
        own, shape = expected[name], tuple(tensor.shape)
        wanted = (tensor.numel(),) if own.shape is None else own.shape
        for found, said in ((shape, wanted), (tensor.dtype, own.dtype)):
            if found != said:
                raise ArtefactError(f"{path}: {name} is {found}, its header says {said}")
    if not all_finite(tensors):
        raise ArtefactError(f"{path}: stored values are NaN or Inf")


def _expected(header: Header, synthetic: Synthetic) -> dict[str, Kept]:
    """Return which tensors a file of such a header holds."""
    storage = storage_of(header.storage)
    expected: dict[str, Kept] = {}
    for name, tensor in synthetic.state_dict().items():
        expected |= storage.kept(name, tuple(tensor.shape))
    if not is_picture(header.shape):
        constants = Kept(torch.float32, header.shape[:1])
        expected |= {STANDARD + name: constants for name in ("mean", "std")}
    if header.zca != "none":
        stored = Whitening.stored(math.prod(header.shape))
        expected |= {WHITENING + name: Kept(kind, shape) for name, (shape, kind) in stored.items()}
    if header.teacher is not None:
        expected |= header.teacher.kept()
    for name, shape in header.learned.items():
        expected[LEARNT + name] = Kept(torch.float32, tuple(shape))
    return expected


def check_set(path: Path, artefact: Artefact) -> None:
    """Refuse a set that is stored as its header says, and still is none.

    Stored values are bounded first, which takes a fraction of the time of reading them; images and
    labels are made, block by block, only where the bound leaves it open whether they are finite.

    Raises:
        ArtefactError: an image or label is not finite, the whitening cannot be inverted, or more
            is stored than the budget in the header allows.
    """
    made = artefact.synthetic
    for what, store in (("images", made.images), ("labels", made.labels)):
        if store is not None and not _is_finite(store):
            raise ArtefactError(f"{path}: the {what} made of its stored values are NaN or Inf")
    whitening = artefact.preprocessing.whitening
    if whitening is not None and not whitening.is_invertible():
        raise ArtefactError(f"{path}: its whitening cannot be inverted")
    totals = artefact.totals
    if totals.unused is not None and totals.unused < 0:
        assert totals.limit is not None
        raise ArtefactError(
            f"{path}: it holds {format_bytes(totals.limit - totals.unused)} ({totals.count} count),"
            f" more than its budget of {format_bytes(totals.limit)}"
        )


@torch.no_grad()
def _is_finite(store: Store) -> bool:
    if store.bound() < _LARGEST / 2:
        return True
    rows = max(1, _BLOCK // (4 * math.prod(store.item)))
    parts = torch.arange(store.count).split(rows)
    return all(bool(store(index).isfinite().all()) for index in parts)
