"""Plain images from an artefact, for programs that know nothing of Attar."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import numpy as np

from attar.artefact import Artefact
from attar.errors import BadRequest
from attar.files import write_atomically


def image_array(artefact: Artefact) -> np.ndarray:
    """Return all images as uint8, N×H×W×C, rounded."""
    pixels = artefact.pixels.mul(255).round().byte()
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()


def export_png(artefact: Artefact, folder: Path) -> int:
    """Write one PNG per image into a subfolder per class, as ``folder:`` sources read them.

    Returns:
        The number of images.

    Raises:
        BadRequest: the folder exists and is not empty, or is a file; images of other than 1 or 3
            channels.
        RunFailed: a picture could not be written; those before it are removed again.
    """
    from PIL import Image

    channels = artefact.card.shape[0]
    if channels not in (1, 3):
        raise BadRequest(
            f"--png {folder}: the images have {channels} channels, and a PNG holds 1 or 3; use "
            "--npz, or 'attar pictures', which shows the first three"
        )
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadRequest(f"--png {folder}: already there and not empty; name a new folder")
    card = artefact.card
    digits = len(str(card.images_per_class - 1))
    written: list[Path] = []
    try:
        for row, image in enumerate(image_array(artefact)):
            label, number = card.layout.place(row)
            name = folder_name(label, card.class_names)
            picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
            written.append(folder / name / f"{number:0{digits}}.png")
            write_atomically(
                written[-1],
                lambda temporary, picture=picture: picture.save(temporary, format="PNG"),
            )
    except BaseException:
        # a part of a set looks like a whole one, and would stand in the way of the next try
        _remove(folder, written)
        raise
    return len(artefact)


def _remove(folder: Path, written: list[Path]) -> None:
    """Remove the pictures of an export that failed, and the folders that they were in."""
    for path in written:
        with contextlib.suppress(OSError):
            path.unlink()
    for part in [*{path.parent for path in written}, folder]:
        with contextlib.suppress(OSError):
            part.rmdir()


def folder_name(label: int, class_names: list[str]) -> str:
    """Return a class's name as a folder: no separators, in the classes' order when sorted."""
    digits = len(str(len(class_names) - 1))
    plain = re.sub(r"[^\w.-]+", "_", class_names[label]).strip("._") or "class"
    return f"{label:0{digits}}_{plain}" if plain != str(label) else f"{label:0{digits}}"


def export_npz(artefact: Artefact, path: Path) -> None:
    """Write images (uint8, N×H×W×C), labels and class names as a compressed ``.npz``."""
    if path.suffix != ".npz":
        raise BadRequest(f"--npz {path}: the name must end in .npz")

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(
                file,
                images=image_array(artefact),
                labels=artefact.labels.numpy(),
                class_names=np.array(artefact.card.class_names),
            )

    write_atomically(path, write)
