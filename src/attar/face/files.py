"""An artefact as plain files, and as plain facts."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attar.artefact.artefact import Artefact
from attar.artefact.clipping import Clipping
from attar.artefact.exporting import Kind, check_export, export_npz, export_pictures
from attar.artefact.header import TEACHER
from attar.artefact.loading import load
from attar.data.tiff import check_library
from attar.errors import BadRequest
from attar.files import check_writable
from attar.wording import worded

# features of a whitening, 32×32 in colours, that is inverted in seconds
_SOON = 3072


def export(
    artefact: Artefact | str | Path,
    *,
    png: str | Path | None = None,
    tiff: str | Path | None = None,
    npz: str | Path | None = None,
    floats: bool = False,
    ipc: int | None = None,
    overwrite: bool = False,
    said: Callable[[str], object] | None = None,
) -> int:
    """Write an artefact's images as plain files.

    Where pixels lie outside [0, 1], 8 bits clip them, and a sentence says how much that is.

    Args:
        artefact: or the path of one.
        png: folder for one PNG per image, in a subfolder per class.
        tiff: folder for TIFF files, in place of it: any number of channels (extra ``tiff``).
        npz: file for arrays, in place of it: images (uint8, N×H×W×C), labels, class_names.
        floats: keep every value: arrays are float32, with mean and std; pictures have 16 bits, and
            ``export.json`` says their scale and offset.
        ipc: read the path at this smaller memory in images per class, as `attar.load` does.
        overwrite: replace an earlier export in that folder; a file is replaced in any case.
        said: told what is clipped, and what else stays behind; a warning says it where left out.

    Returns:
        The number of images.

    Raises:
        BadRequest: none or several of ``png``, ``tiff`` and ``npz`` are given, something else is
            there already, or the images are none that such files hold.
        ArtefactError: the file is no artefact.

    Example:
        >>> attar.export("digits.safetensors", npz="digits.npz", floats=True)  # doctest: +SKIP
        10
    """
    given: tuple[tuple[Kind, str | Path | None], ...] = (("png", png), ("tiff", tiff))
    folders: list[tuple[Kind, Path]] = [
        (kind, Path(path)) for kind, path in given if path is not None
    ]
    if len(folders) + (npz is not None) != 1:
        raise BadRequest("give one of --png DIR, --tiff DIR and --npz FILE")
    # refused before anything is read
    if npz is not None:
        check_writable(Path(npz), "--npz", "images.npz")
    for kind, folder in folders:
        if kind == "tiff":
            check_library(f"--tiff {folder}")
        check_export(folder, overwrite, kind)
    own = artefact if isinstance(artefact, Artefact) else load(artefact, ipc)
    if npz is not None:
        export_npz(own, Path(npz), floats=floats)
    for kind, folder in folders:
        export_pictures(own, folder, kind, floats=floats, overwrite=overwrite)
    if not floats and own.clipped is not None:
        (said or warnings.warn)(
            worded(f"{own.clipped} and were clipped; give --float to keep them")
        )
    if own.carried is not None:
        (said or warnings.warn)(
            f"{own.carried.described.network}, which labels the images of this set at every batch, "
            "stays in its file: what was written has classes alone"
        )
    return len(own)


def describe(artefact: Artefact | str | Path, ipc: int | None = None) -> dict[str, Any]:
    """Return what ``attar show --json`` tells of an artefact: header, sizes in bytes, tensors.

    What was learnt beside the set, such as a step size, is told by its values, too, and beside a
    path the labels of epochs that lie there as ``OUT.labels.safetensors``.

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
    learned = {name: one.tolist() for name, one in own.learned.items()}
    found = {"card": header, "checked": own.checked, "sizes": sizes, "learned": learned}
    if labels := labels_of(own):
        found["labels"] = labels
    found |= orthogonality(own)
    found |= {} if isinstance(artefact, Artefact) else labels_beside(artefact, own)
    return found | ({"clipped": _clipped(own.clipped)} if knows_clipping(own) else {})


def labels_of(artefact: Artefact) -> dict[str, Any]:
    """Return what labels take that are stored, and which teacher makes them anew; {} for none.

    ``all_bytes_with_teacher`` is what has to travel where the teacher labels every batch: the set
    without the labels that are stored, and all of the teacher, once. ``carried_bytes`` is what the
    teacher takes of the set's own file, where it lies there. ``stored_from`` names the
    networks that stored labels come from where ``attar relabel`` gave them.
    """
    stored, teacher = artefact.ledger.labels, artefact.header.provenance.get(TEACHER)
    found: dict[str, Any] = {"stored_bytes": stored} if stored else {}
    again = artefact.header.provenance.get("relabelled")
    if stored and isinstance(again, dict) and isinstance(again.get("network"), str):
        found["stored_from"] = again["network"]
    if artefact.carried is not None:
        found["carried_bytes"] = artefact.carried.nbytes
    if isinstance(teacher, dict) and isinstance(teacher.get("bytes"), int):
        beside = 0 if artefact.carried is not None else teacher["bytes"]
        rest = artefact.nbytes - stored + beside
        found |= {"teacher": teacher, "all_bytes_with_teacher": rest}
    return found


def labels_beside(path: str | Path, artefact: Artefact) -> dict[str, Any]:
    """Return the labels of epochs that lie in a file beside an artefact; {} for none of it."""
    from attar.evaluation.label_file import labels_path, told_of

    found = told_of(labels_path(Path(path)), artefact)
    return {"labels_beside": found} if found else {}


def _clipped(lost: Clipping | None) -> dict[str, Any] | None:
    return None if lost is None else {**dataclasses.asdict(lost), "share": lost.share}


def knows_clipping(artefact: Artefact) -> bool:
    """Whether what `Artefact.clipped` says is found at once: a large whitening takes minutes."""
    whitening = artefact.preprocessing.whitening
    return whitening is None or len(whitening.mean) <= _SOON


def orthogonality(artefact: Artefact) -> dict[str, Any]:
    """Return how far the factors of ordered components are from orthonormal; {} for other forms."""
    from attar.objectives.significance import defect
    from attar.synthetic import components_of

    if components_of(artefact.synthetic) is None:
        return {}
    return {"defect": defect(artefact.synthetic)}
