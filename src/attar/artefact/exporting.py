"""Plain images from an artefact, for programs that know nothing of Attar."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from attar.artefact.artefact import Artefact
from attar.data.modality import rows_of
from attar.errors import BadRequest
from attar.files import check_folder, left_behind, write_atomically, write_folder

# bytes of a class's name in that of its folder, which has room for 255 in all
_LONGEST_CLASS = 200


def image_array(artefact: Artefact) -> np.ndarray:
    """Return all images as uint8, N×H×W×C, rounded; vectors as they are, N×D float32."""
    if not artefact.modality.bounded:
        return artefact.pixels.numpy()
    pixels = artefact.pixels.mul(255).round().byte()
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()


def export_png(artefact: Artefact, folder: Path, *, overwrite: bool = False) -> int:
    """Write one PNG per image into a subfolder per class, as ``folder:`` sources read them.

    The folder is there whole or not at all: it is written under another name beside its own.

    Args:
        artefact: its images are rounded to 8 bits.
        folder: new or empty, or an earlier export that ``overwrite`` replaces.
        overwrite: whether it does.

    Returns:
        The number of images.

    Raises:
        BadRequest: the folder is there and not to be replaced, or holds anything but an export;
            images of other than 1 or 3 channels.
        RunFailed: a picture could not be written; nothing is left of the new folder.
    """
    from PIL import Image

    folder = Path(folder)
    if not artefact.modality.gallery:
        raise BadRequest(
            f"--png {folder}: the set holds {rows_of(artefact.header.shape)}, which are no "
            "pictures; use --npz"
        )
    channels = artefact.header.shape[0]
    if channels not in (1, 3):
        raise BadRequest(
            f"--png {folder}: the images have {channels} channels, and a PNG holds 1 or 3; use "
            "--npz, or 'attar pictures', which shows the first three"
        )
    check_export(folder, overwrite)
    header = artefact.header
    digits = len(str(header.images_per_class - 1))

    def write(new: Path) -> None:
        for row, image in enumerate(image_array(artefact)):
            label, number = header.layout.place(row)
            own = new / folder_name(label, header.class_names)
            own.mkdir(exist_ok=True)
            picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
            picture.save(own / f"{number:0{digits}}.png", format="PNG")

    write_folder(folder, write)
    return len(artefact)


def check_export(folder: Path, overwrite: bool = False) -> None:
    """Refuse to replace what is there, unless it is an export and that is asked for.

    Where a process was killed while it replaced an earlier export, that is first brought back.

    Raises:
        BadRequest: as `export_png` does.
    """
    check_folder(folder, "--png", "images", replaced=True)
    back, old = "", left_behind(folder)
    if old is not None and all(map(_is_export_of_class, old.iterdir())):
        old.rename(folder)
        back = ", brought back since one that was to replace it was stopped"
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder.is_dir() and all(map(_is_export_of_class, folder.iterdir()))):
        raise BadRequest(f"--png {folder}: already there, and no export; name a new folder")
    if not overwrite:
        raise BadRequest(
            f"--png {folder}: an export is already there{back}; --overwrite replaces it, or "
            "name a new folder"
        )


def _is_export_of_class(path: Path) -> bool:
    """Tell whether a path is a folder of numbered pictures and nothing else."""
    return path.is_dir() and all(
        one.suffix == ".png" and one.stem.isdecimal() for one in path.iterdir()
    )


def folder_name(label: int, class_names: list[str]) -> str:
    """Return a class's name as a folder: no separators, cut where long, sorted as the classes."""
    digits = len(str(len(class_names) - 1))
    plain = re.sub(r"[^\w.-]+", "_", class_names[label]).strip("._") or "class"
    # the number tells classes apart whose names begin alike
    plain = plain.encode()[:_LONGEST_CLASS].decode(errors="ignore")
    return f"{label:0{digits}}_{plain}" if plain != str(label) else f"{label:0{digits}}"


def export_npz(artefact: Artefact, path: Path) -> None:
    """Write images (see `image_array`), labels and class names as a compressed ``.npz``."""
    if path.suffix != ".npz":
        raise BadRequest(f"--npz {path}: the name must end in .npz")

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(
                file,
                images=image_array(artefact),
                labels=artefact.labels.numpy(),
                class_names=np.array(artefact.header.class_names),
            )

    write_atomically(path, write)
