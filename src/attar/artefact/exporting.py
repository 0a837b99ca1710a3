"""Plain images from an artefact, for programs that know nothing of Attar."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from attar.artefact.artefact import Artefact
from attar.data import exports
from attar.data.deep_png import write_deep_png
from attar.data.modality import rows_of
from attar.data.tiff import write_tiff
from attar.errors import BadRequest
from attar.files import check_folder, left_behind, write_atomically, write_folder

Kind = Literal["png", "tiff"]
# what the names of pictures end in
ENDINGS = {"png": ".png", "tiff": ".tif"}
# whitenings that forget the brightness and contrast of each image
_FORGETFUL = ("rtp", "kip")
# bytes of a class's name in that of its folder, which has room for 255 in all
_LONGEST_CLASS = 200


def image_array(artefact: Artefact, *, floats: bool = False) -> np.ndarray:
    """Return all images as N×H×W×C: uint8, rounded and clipped, or float32 as they are.

    Vectors are N×D float32 in any case.
    """
    if not artefact.modality.bounded:
        return artefact.raw_pixels.numpy()
    if floats:
        return _channels_last(artefact.raw_pixels)
    return _channels_last(artefact.pixels.mul(255).round().byte())


def export_pictures(
    artefact: Artefact,
    folder: Path,
    kind: Kind = "png",
    *,
    floats: bool = False,
    overwrite: bool = False,
) -> int:
    """Write one picture per image into a subfolder per class, as ``folder:`` sources read them.

    The folder is there whole or not at all: it is written under another name beside its own. Where
    values are of 16 bits or labels are learnt, it has `attar.data.exports.Told` beside its
    subfolders.

    Args:
        artefact: its images.
        folder: new or empty, or an earlier export that ``overwrite`` replaces.
        kind: of the files.
        floats: write 16 bits that hold all values, with scale and offset; else they are clipped
            and rounded to 8 bits.
        overwrite: whether to replace an export.

    Returns:
        The number of images.

    Raises:
        BadRequest: the folder is there and not to be replaced, or holds anything but an export;
            rows that are no such pictures, or that pictures cannot hold.
        RunFailed: a picture could not be written; nothing is left of the new folder.
    """
    folder = Path(folder)
    check_pictures(artefact, folder, kind, floats=floats)
    check_export(folder, overwrite, kind)
    header = artefact.header
    digits = len(str(header.images_per_class - 1))
    values, told = _values(artefact, floats=floats)
    save = _writer(kind, told if floats else None)

    def write(new: Path) -> None:
        for row, image in enumerate(values):
            label, number = header.layout.place(row)
            own = new / folder_name(label, header.class_names)
            own.mkdir(exist_ok=True)
            save(own / f"{number:0{digits}}{ENDINGS[kind]}", image)
        if floats or told.labels is not None:
            (new / exports.BESIDE).write_text(told.as_json(), encoding="utf-8")
        if told.labels is not None:
            np.save(new / told.labels, artefact.labels.numpy())

    write_folder(folder, write)
    return len(artefact)


def export_png(artefact: Artefact, folder: Path, *, overwrite: bool = False) -> int:
    """Write PNG files of 8 bits; see `export_pictures`."""
    return export_pictures(artefact, folder, overwrite=overwrite)


def check_pictures(artefact: Artefact, folder: Path, kind: Kind, *, floats: bool) -> None:
    """Refuse rows that pictures of a kind cannot hold.

    Raises:
        BadRequest: as `export_pictures` does.
    """
    header, option = artefact.header, f"--{kind} {folder}"
    if not artefact.modality.gallery:
        raise BadRequest(
            f"{option}: the set holds {rows_of(header.shape)}, which are no pictures; use --npz "
            "FILE --float, which keeps every value"
        )
    channels = header.shape[0]
    if kind == "png" and channels not in (1, 3):
        raise BadRequest(
            f"{option}: the images have {channels} channels, and a PNG holds 1 or 3; use --tiff or "
            "--npz, or 'attar pictures', which shows the first three"
        )
    if floats and header.zca in _FORGETFUL:
        raise BadRequest(
            f"{option} --float: the whitening {header.zca!r} forgets the brightness and contrast "
            "of each image, so no picture gives the network inputs again; use --npz, which holds "
            "them beside the images"
        )


def check_export(folder: Path, overwrite: bool = False, kind: Kind = "png") -> None:
    """Refuse to replace what is there, unless it is an export and that is asked for.

    Where a process was killed while it replaced an earlier export, that is first brought back.

    Raises:
        BadRequest: as `export_pictures` does.
    """
    option = f"--{kind}"
    check_folder(folder, option, "images", replaced=True)
    back, old = "", left_behind(folder)
    if old is not None and all(map(_is_of_export, old.iterdir())):
        old.rename(folder)
        back = ", brought back since one that was to replace it was stopped"
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder.is_dir() and all(map(_is_of_export, folder.iterdir()))):
        raise BadRequest(f"{option} {folder}: already there, and no export; name a new folder")
    if not overwrite:
        raise BadRequest(
            f"{option} {folder}: an export is already there{back}; --overwrite replaces it, or "
            "name a new folder"
        )


def _is_of_export(path: Path) -> bool:
    """Tell whether a path is a folder of numbered pictures alone, or what lies beside these."""
    if not path.is_dir():
        return path.name in (exports.BESIDE, exports.LABELS)
    return all(one.suffix in ENDINGS.values() and one.stem.isdecimal() for one in path.iterdir())


def folder_name(label: int, class_names: list[str]) -> str:
    """Return a class's name as a folder: no separators, cut where long, sorted as the classes."""
    digits = len(str(len(class_names) - 1))
    plain = re.sub(r"[^\w.-]+", "_", class_names[label]).strip("._") or "class"
    # the number tells classes apart whose names begin alike
    plain = plain.encode()[:_LONGEST_CLASS].decode(errors="ignore")
    return f"{label:0{digits}}_{plain}" if plain != str(label) else f"{label:0{digits}}"


def export_npz(artefact: Artefact, path: Path, *, floats: bool = False) -> None:
    """Write images (see `image_array`), labels and class names as a compressed ``.npz``.

    Where labels are learnt, ``labels`` are N×K values and ``classes`` the class of each row.

    Args:
        artefact: the set.
        path: ends in ``.npz``.
        floats: write images as float32, not clipped, with ``mean`` and ``std`` per channel and
            the name of the whitening, ``zca``; ``(images - mean) / std`` are the network inputs.
            Of whitened sets these are there, too, as ``inputs``.

    Raises:
        BadRequest: the name ends otherwise.
    """
    if path.suffix != ".npz":
        raise BadRequest(f"--npz {path}: the name must end in .npz")
    preprocessing = artefact.preprocessing
    arrays: dict[str, Any] = {
        "images": image_array(artefact, floats=floats),
        "labels": artefact.labels.numpy(),
        "class_names": np.array(artefact.header.class_names),
    }
    if artefact.labels.ndim == 2:
        arrays[exports.CLASSES] = artefact.synthetic.class_of_row.numpy()
    if floats:
        for name in (exports.MEAN, exports.STD):
            arrays[name] = np.array(getattr(preprocessing, name))
        arrays[exports.ZCA] = np.array(artefact.header.zca)
        if preprocessing.whitening is not None:
            arrays[exports.INPUTS] = _channels_last(artefact.images)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    write_atomically(path, write)


def _channels_last(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def _values(artefact: Artefact, *, floats: bool) -> tuple[np.ndarray, exports.Told]:
    """Return the values that pictures hold, N×H×W×C, and what is told of them."""
    header, preprocessing = artefact.header, artefact.preprocessing
    values, scale, offset = image_array(artefact), 1 / 255, 0.0
    if floats:
        steps, scale, offset = exports.quantised(artefact.raw_pixels)
        values = np.moveaxis(steps, 1, -1)
    told = exports.Told(
        class_names=header.class_names,
        images=len(artefact),
        bits=16 if floats else 8,
        scale=scale,
        offset=offset,
        mean=list(preprocessing.mean),
        std=list(preprocessing.std),
        zca=header.zca,
        labels=exports.LABELS if artefact.labels.ndim == 2 else None,
    )
    return values, told


def _writer(kind: Kind, told: exports.Told | None) -> Callable[[Path, np.ndarray], None]:
    """Return what writes H×W×C values as a file, with what is told of them."""
    from PIL import Image

    said = "" if told is None else told.of_values()

    def write(path: Path, image: np.ndarray) -> None:
        if kind == "tiff":
            write_tiff(path, image, said)
        elif told is not None:
            path.write_bytes(write_deep_png(image, said))
        else:
            shown = image[..., 0] if image.shape[-1] == 1 else image
            Image.fromarray(shown).save(path, format="PNG")

    return write
