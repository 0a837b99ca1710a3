"""`attar.import_artefact`: a set that another code wrote becomes an artefact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.data import Preprocessing
from attar.data.resizing import Resize, wanted_size
from attar.data.statistics import as_floats
from attar.data.subsets import Classes
from attar.errors import BadRequest
from attar.files import check_writable
from attar.importing.contents import open_content
from attar.importing.formats import find_format
from attar.importing.found import Asked, Found
from attar.importing.order import class_order
from attar.importing.record import Import, described, learned
from attar.importing.target import Said, Target, settle_preprocessing, settle_target
from attar.synthetic import PLAIN, Layout, Parametrization, Synthetic, from_description

# what a run of `attar condense` leaves beside its output, and what would be taken for the
# course of the imported set, or would go on in its place
_LOG, _UNFINISHED, _END = ".log.jsonl", ".checkpoint.safetensors", ".end.safetensors"


def import_artefact(
    files: str | Path | Sequence[str | Path],
    *,
    format: str = "auto",
    data: Any = None,
    data_name: str | None = None,
    classes: Classes = None,
    zca: str | None = None,
    factor: int | None = None,
    index: int = -1,
    per_class: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    resize: Resize = None,
    method: str | None = None,
    data_dir: Path | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Artefact:
    """Read a condensed set that another code wrote; nothing in its files is executed.

    Args:
        files: of one set: images and labels, or what the format has.
        format: ``dc``, ``mtt``, ``idc``, ``haba``, ``rtp``, ``frepo``, ``export``, ``folder``, or
            ``auto`` for what the files look like.
        data: the real data that it was made from, as `attar.condense` takes them.
        data_name: the data set that it is of: its classes, and the constants that the format's
            authors took for it.
        classes: a slice of that data set; or, where none is named, the names of the classes in
            the order of their labels (a number N for 0…N−1).
        zca: the whitening that the images are under, or ``none``; needed where files do not
            tell. It is fitted again on the training part of ``data`` and kept.
        factor: tiles along each side of a stored image (IDC), or how many times a basis is enlarged
            (RememberThePast).
        index: which set of a file that holds several; by default the last.
        per_class: take the first so many images of every class.
        mean: constants with which pixels were standardised, one per channel or one for all, in
            place of the known ones.
        std: likewise.
        resize: bring pictures of a folder to this size in pixels.
        method: what the artefact says made it; by default what the format tells.
        data_dir: where named data sets lie.
        output: also write the artefact there.
        overwrite: replace an artefact or an unfinished run that is there.

    Returns:
        The artefact: rows class after class, images as network inputs, labels as they were.

    Raises:
        BadRequest: files that cannot be read, that name code, or that do not fit what is said
            about them; nothing is written.

    Example:
        >>> attar.import_artefact("res_DM_CIFAR10_ConvNet_10ipc.pt", data_name="cifar10")
        ... # doctest: +SKIP
        Artefact(dm (imported): 10 classes × 10 images of 3×32×32, 1228800 bytes)
    """
    said = Said(data, data_name, classes, zca, _several(mean), _several(std), data_dir)
    asked = Asked(factor, index, wanted_size(resize))
    target_file = None if output is None else Path(output)
    if target_file is not None:
        check_output(target_file, overwrite)
    paths = [files] if isinstance(files, str | Path) else list(files)
    if not paths:
        raise BadRequest("no files are given; name those of one condensed set")
    contents = [open_content(Path(path)) for path in paths]
    chosen = find_format(format, contents)
    found = chosen.read(contents, asked)
    channels, height, width = found.images.shape[1:]
    # refuses a factor that such images cannot be cut by
    _tiled(found.factor).values(Layout(1, 1, (channels, height, width)))
    target = settle_target(said, found)
    found = matched_folders(found, target)
    names = target.class_names
    told = found.labels if found.classes is None else found.classes
    order, notes = class_order(told, len(found.images), names, per_class)
    preprocessing, origin = settle_preprocessing(said, found, target)
    found = found.noting(*target.notes, *notes, f"constants of the pixels: {origin}")
    synthetic = stored(found, order, preprocessing, len(names))
    options = {"factor": factor, "index": None if index == -1 else index, "per_class": per_class}
    options |= {"resize": resize, "method": method}
    made = Import(tuple(contents), chosen, said, target, found, options)
    header = described(made, synthetic, preprocessing)
    artefact = Artefact(header, synthetic, preprocessing, learned=learned(found))
    if target_file is not None:
        artefact.save(target_file)
        for suffix in (_LOG, _UNFINISHED, _END):
            target_file.with_suffix(suffix).unlink(missing_ok=True)
    return artefact


def check_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that cannot be written, or that is there already."""
    if path.suffix != ".safetensors":
        raise BadRequest(f"-o {path}: the name must end in .safetensors")
    check_writable(path)
    unfinished = path.with_suffix(_UNFINISHED).exists()
    if (unfinished or path.exists()) and not overwrite:
        what = "an unfinished run" if unfinished else "an artefact"
        raise BadRequest(
            f"-o {path}: {what} is already there; --overwrite replaces it, or choose another name"
        )


def matched_folders(found: Found, target: Target) -> Found:
    """Return labels in the order of the classes, where folders have the classes' names."""
    own, wanted = found.class_names, target.class_names
    if own is None or own == wanted:
        return found
    if found.classes is not None:
        raise BadRequest(
            f"the export has the classes {', '.join(own[:5])}, and {', '.join(wanted[:5])} are "
            "asked for; leave --classes out, or give --data with the same in the same order"
        )
    if len(own) != len(wanted):
        raise BadRequest(
            f"the folder has {len(own)} classes ({', '.join(own[:5])}, …), but there are "
            f"{len(wanted)}: say the right --classes, --data-name or --data"
        )
    if set(own) != set(wanted):
        note = f"folders stand for the classes in sorted order ({own[0]} for {wanted[0]}, …)"
        return found.noting(note)
    assert found.labels is not None
    positions = torch.tensor([wanted.index(name) for name in own])
    return replace(found, labels=positions[found.labels])


@torch.no_grad()
def stored(found: Found, order: Tensor, preprocessing: Preprocessing, classes: int) -> Synthetic:
    """Return the set as an artefact keeps it."""
    images = found.images[order]
    if found.pixels:
        images = preprocessing.apply(images)
    tiles = found.factor**2
    shape = (images.shape[1], images.shape[2], images.shape[3])
    layout = Layout(classes, len(images) // classes * tiles, shape)
    soft = found.labels is not None and found.labels.ndim == 2
    synthetic = Synthetic(layout, parametrization(found, preprocessing), soft)
    if found.kept is None:
        synthetic.images.keep(images)
    else:
        synthetic.images.load_state_dict(dict(found.kept(order)))
    if synthetic.labels is not None and found.labels is not None:
        synthetic.labels.fit(found.labels[order].repeat_interleave(tiles, dim=0))
    return synthetic.requires_grad_(False)


def parametrization(found: Found, preprocessing: Preprocessing) -> Parametrization:
    """Return the form in which the set was stored."""
    if found.form is not None:
        return found.form
    if found.factor == 1:
        return PLAIN
    divided = all(size % found.factor == 0 for size in found.images.shape[2:])
    if divided or not found.pixels:
        return _tiled(found.factor)
    # IDC extends its pixels with gray
    gray = torch.full((1, found.images.shape[1], 1, 1), 0.5)
    return _tiled(found.factor, as_floats(preprocessing.apply(gray).flatten().tolist()))


def _tiled(factor: int, padding: Sequence[float] = ()) -> Parametrization:
    return from_description({"name": "tiled", "factor": factor, "padding": padding})


def _several(values: float | Sequence[float] | None) -> tuple[float, ...] | None:
    if values is None or isinstance(values, int | float):
        return None if values is None else (float(values),)
    return tuple(map(float, values))
