"""A set that starts from the images of another."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.data.images import LabelledImages
from attar.data.modality import rows_of
from attar.errors import BadRequest
from attar.shapes import is_picture
from attar.synthetic import Layout, Parametrization, Synthetic

# whitening that an image comes back from only up to its own mean and scale
_INEXACT = ("rtp", "kip")


@torch.no_grad()
def started_from(
    path: Path,
    layout: Layout,
    form: Parametrization,
    train: LabelledImages,
    first_labels: Tensor | None,
) -> Synthetic:
    """Return a set in a form, at the images of an artefact: the first of each class.

    Stored values are taken as they are where form and rows are those of the artefact; otherwise
    the form is fitted to its images. Labels that are to be learnt start from the artefact's own
    where it has any.

    Args:
        path: of the artefact.
        layout: the rows wanted.
        form: how they are to be stored.
        train: the data that they will be matched with: classes, shape and preprocessing.
        first_labels: N×K values that learnt labels start from where the artefact has none; None
            where labels are not learnt.

    Raises:
        ArtefactError: the file is no artefact.
        BadRequest: its classes, shape or preprocessing are others, or it has too few images.
    """
    artefact = load(path)
    _check(path, artefact, layout, train)
    found = Synthetic(layout, form, learned_labels=first_labels is not None)
    header = artefact.header
    if (header.layout, artefact.synthetic.parametrization, header.learned_labels) == (
        layout,
        form,
        first_labels is not None,
    ) and artefact.preprocessing == train.preprocessing:
        found.load_state_dict(artefact.synthetic.state_dict())
        return found
    rows = torch.cat(
        [
            torch.arange(own.start, own.stop)[:wanted]
            for own, wanted in zip(
                map(header.layout.rows_of, range(layout.classes)), layout.sizes(), strict=True
            )
        ]
    )
    found.images.fit(as_inputs(artefact, train)[rows])
    if found.labels is not None and first_labels is not None:
        own = artefact.labels[rows] if header.learned_labels else first_labels
        found.labels.fit(own)
    return found


def as_inputs(artefact: Artefact, train: LabelledImages) -> Tensor:
    """Return the images of an artefact as network inputs under the preprocessing of other data."""
    if artefact.preprocessing == train.preprocessing:
        return artefact.images
    return train.preprocessing.apply(artefact.preprocessing.invert(artefact.images))


def _check(path: Path, artefact: Artefact, layout: Layout, train: LabelledImages) -> None:
    header = artefact.header
    if header.shape != train.shape:
        raise BadRequest(
            f"--init {path}: it holds {rows_of(header.shape)}, the data {rows_of(train.shape)}; "
            + (
                "--resize brings the data to its size"
                if is_picture(header.shape)
                else "give data of this shape"
            )
        )
    if tuple(header.class_names) != train.class_names:
        raise BadRequest(
            f"--init {path}: its classes are {', '.join(header.class_names[:5])}, those of the "
            f"data {', '.join(train.class_names[:5])}; the same are needed, in the same order"
        )
    pairs = zip(header.layout.sizes(), layout.sizes(), strict=True)
    if any(own < wanted for own, wanted in pairs):
        raise BadRequest(
            f"--init {path}: it has {header.count} images per class, {layout.per_class} are asked "
            f"for; give --images-per-class {min(header.layout.sizes())}, or less memory"
        )
    kinds = {
        getattr(one.whitening, "kind", "none")
        for one in (artefact.preprocessing, train.preprocessing)
    }
    if kinds & set(_INEXACT) and artefact.preprocessing != train.preprocessing:
        raise BadRequest(
            f"--init {path}: it was whitened by other statistics ({header.zca}), which cannot be "
            "undone exactly; start from an artefact of the same data and --zca"
        )
