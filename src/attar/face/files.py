"""An artefact as plain files, and as plain facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attar.artefact.artefact import Artefact
from attar.artefact.exporting import check_export, export_npz, export_png
from attar.artefact.loading import load
from attar.errors import BadRequest
from attar.files import check_writable


def export(
    artefact: Artefact | str | Path,
    *,
    png: str | Path | None = None,
    npz: str | Path | None = None,
    ipc: int | None = None,
    overwrite: bool = False,
) -> int:
    """Write an artefact's images as plain files.

    Args:
        artefact: or the path of one.
        png: folder for one PNG per image, in a subfolder per class.
        npz: file for arrays, in place of it: images (uint8, N×H×W×C), labels, class_names.
        ipc: read the path at this smaller memory in images per class, as `attar.load` does.
        overwrite: replace an earlier export in that folder; a file is replaced in any case.

    Returns:
        The number of images.

    Raises:
        BadRequest: none of both or both are given, or something else is there already.
        ArtefactError: the file is no artefact.
    """
    if (png is None) == (npz is None):
        raise BadRequest("give one of --png DIR and --npz FILE")
    if npz is not None:
        check_writable(Path(npz), "--npz", "images.npz")
    if png is not None:
        check_export(Path(png), overwrite)
    own = artefact if isinstance(artefact, Artefact) else load(artefact, ipc)
    if png is not None:
        return export_png(own, Path(png), overwrite=overwrite)
    assert npz is not None
    export_npz(own, Path(npz))
    return len(own)


def describe(artefact: Artefact | str | Path, ipc: int | None = None) -> dict[str, Any]:
    """Return what ``attar show --json`` tells of an artefact: header, sizes in bytes, tensors.

    Args:
        artefact: or the path of one.
        ipc: read the path at this smaller memory in images per class, as `attar.load` does.

    Raises:
        ArtefactError: the file is no artefact.
    """
    own = artefact if isinstance(artefact, Artefact) else load(artefact, ipc)
    totals = own.totals
    sizes = {
        "images_per_class": totals.images_per_class,
        "images_of_class": list(own.header.layout.sizes()),
        "values": totals.values,
        "paper_bytes": totals.paper,
        "all_bytes": totals.all,
        "limit_bytes": totals.limit,
        "unused_bytes": totals.unused,
        "tensors": own.ledger.as_rows(),
    }
    header = own.header.model_dump(mode="json")
    return {"card": header, "checked": own.checked, "sizes": sizes} | orthogonality(own)


def orthogonality(artefact: Artefact) -> dict[str, Any]:
    """Return how far the factors of ordered components are from orthonormal; {} for other forms."""
    from attar.objectives.significance import defect
    from attar.synthetic import components_of

    if components_of(artefact.synthetic) is None:
        return {}
    return {"defect": defect(artefact.synthetic)}
