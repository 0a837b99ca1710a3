"""Images of a set beside the real images that are nearest to them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.data.modality import rows_of
from attar.errors import BadRequest
from attar.pictures.mosaic import mosaic
from attar.pictures.picture import Picture
from attar.report.pictures import visible

_ROWS = ("of the set", "nearest training", "nearest unseen")


def check_shown(artefact: Artefact, said: str) -> None:
    """Refuse a set whose rows are no pictures.

    Raises:
        BadRequest: naming the option ``said``.
    """
    if not artefact.modality.gallery:
        raise BadRequest(
            f"{said}: the set holds {rows_of(artefact.header.shape)}, of which there are no "
            "pictures; leave it out"
        )


def neighbours(
    name: str, images: Sequence[Tensor], distances: Sequence[float], file: str
) -> Picture:
    """Return a picture of three rows: of the set, the nearest training and unseen images.

    Args:
        name: what the picture calls the set.
        images: three tensors S×C×H×W of pixels, the most alike first.
        distances: S, of the images of the set to the nearest training images.
        file: its name, without the suffix.
    """
    shown = visible(torch.stack([one.clamp(0, 1) for one in images]))
    title = f"{name}: what is nearest to it, the most alike first"
    note = (
        f"{len(distances)} images of the set and the nearest real ones. Root mean square "
        f"difference to the training images: {distances[0]:.3g} to {distances[-1]:.3g}."
    )
    png, frame = mosaic(
        [shown.expand(*shown.shape[:-1], 3).numpy()], title=title, note=note, rows=_ROWS
    )
    values = {"artefact": name, "distances": list(distances), "scale": frame.scale}
    return Picture("neighbours", file, title, f"{title}. {note}", png, values)
