"""Image folders: one subfolder per class, decoded straight into one uint8 tensor."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from attar.data.resizing import decode_image, fit_image, plain_mode
from attar.data.splits import Parts, hold_out
from attar.errors import BadRequest

# what torchvision's ImageFolder takes
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Listing:
    """The files of one part and their class indices, in ImageFolder's order."""

    files: tuple[Path, ...]
    labels: Tensor
    class_names: tuple[str, ...]

    def part(self, index: Tensor) -> Listing:
        """Return the listing of the files at ``index``."""
        files = tuple(self.files[i] for i in index.tolist())
        return Listing(files, self.labels[index], self.class_names)


@dataclass(frozen=True)
class Format:
    """What all images of a folder are made: Pillow's mode (``L`` or ``RGB``), height, width."""

    mode: str
    size: tuple[int, int]


def load_folder(argument: str, size: tuple[int, int] | None) -> Parts:
    """Read a folder of images.

    With subfolders ``train`` and ``test`` (or ``val``) these are the parts; otherwise a fixed
    20 % of every class is held out as test. Names beginning with a dot are passed over. The
    set is grayscale when every image is; alpha is dropped; EXIF rotation is not applied.

    Raises:
        BadRequest: no such folder; no class folders or fewer than two; a class without images;
            test classes that training lacks; an unreadable or 16-bit file; several sizes
            while ``size`` is None.
    """
    root = Path(argument).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise BadRequest(
            f"folder:{argument}: {root.absolute()} {what}; give a folder with one subfolder of "
            "images per class"
        )
    train_root, test_root, note = find_parts(root)
    train = list_images(train_root)
    if test_root is None:
        kept, held = hold_out(train.labels, train.class_names, str(train_root))
        train, test = train.part(kept), train.part(held)
    else:
        test = list_images(test_root, train.class_names)
    wanted = settle_format((*train.files, *test.files), size)
    return Parts(
        decode(train.files, wanted),
        train.labels,
        decode(test.files, wanted),
        test.labels,
        train.class_names,
        note,
    )


def find_parts(root: Path) -> tuple[Path, Path | None, str]:
    """Return the training folder, the test folder or None, and a note about the choice."""
    train, test, validation = (root / name for name in ("train", "test", "val"))
    if train.is_dir() and test.is_dir():
        return train, test, "parts: the folders train and test"
    if train.is_dir() and validation.is_dir():
        return train, validation, "parts: the folders train and val (as test)"
    held = "a fixed 20 % of every class is held out as test"
    if train.is_dir():
        return train, None, f"the folder train has no test or val beside it: {held}"
    present = {path.name for path in subfolders(root)}
    if present and present <= {"test", "val"}:
        raise BadRequest(
            f"{root} has {' and '.join(sorted(present))} but no train; put the training "
            "images into a subfolder train"
        )
    return root, None, f"the folder has no train and test parts: {held}"


def subfolders(root: Path) -> list[Path]:
    """Return the subfolders that are not hidden, sorted by name."""
    return sorted(
        (path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")),
        key=lambda path: path.name,
    )


def list_images(root: Path, class_names: tuple[str, ...] | None = None) -> Listing:
    """List the image files below each class folder of ``root``.

    Args:
        root: the folder of one part.
        class_names: the classes of the training part, for the test part, which may lack some.
    """
    folders = subfolders(root)
    names = tuple(folder.name for folder in folders) if class_names is None else class_names
    if not folders:
        raise BadRequest(f"{root} has no subfolders; one subfolder of images per class is needed")
    if len(names) < 2:
        raise BadRequest(
            f"{root} has only the class {', '.join(names)}; condensation needs two or more"
        )
    files: list[Path] = []
    labels: list[int] = []
    for folder in folders:
        if folder.name not in names:
            raise BadRequest(
                f"{root} has the class {folder.name!r}, which the training part lacks "
                f"(it has {', '.join(names)}); remove it or add training images"
            )
        own = images_below(folder)
        if not own and class_names is None:
            raise BadRequest(
                f"class folder {folder} holds no images ({', '.join(SUFFIXES)}); "
                "add some or remove it"
            )
        files += own
        labels += [names.index(folder.name)] * len(own)
    if not files:
        raise BadRequest(f"{root} holds no images ({', '.join(SUFFIXES)})")
    return Listing(tuple(files), torch.tensor(labels, dtype=torch.int64), names)


def images_below(folder: Path) -> list[Path]:
    """Return the image files below a folder, at any depth, in ImageFolder's order."""
    return [
        Path(where) / name
        for where, _, names in sorted(os.walk(folder, followlinks=True))
        for name in sorted(names)
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]


def settle_format(files: tuple[Path, ...], size: tuple[int, int] | None) -> Format:
    """Return the one format of all files, reading their headers only."""
    from PIL import Image

    sizes: dict[tuple[int, int], Path] = {}
    counts: Counter[tuple[int, int]] = Counter()
    gray = True
    for path in files:
        try:
            with Image.open(path) as image:
                gray = plain_mode(image, f"image {path}") == "L" and gray
                own = (image.height, image.width)
        except BadRequest:
            raise
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise unreadable(path, error) from error
        counts[own] += 1
        sizes.setdefault(own, path)
    if size is None and len(sizes) > 1:
        listed = ", ".join(
            f"{height}×{width} ({count}, such as {sizes[height, width].name})"
            for (height, width), count in counts.most_common(3)
        )
        raise BadRequest(
            f"images of {len(sizes)} sizes (height×width): {listed}; choose one with --resize, "
            "such as --resize 32"
        )
    return Format("L" if gray else "RGB", size or next(iter(sizes)))


def decode(files: tuple[Path, ...], wanted: Format) -> Tensor:
    """Return N×C×H×W uint8 images, each decoded into its place."""
    from PIL import Image

    channels = len(wanted.mode)
    images = torch.empty(len(files), channels, *wanted.size, dtype=torch.uint8)
    for target, path in zip(images, files, strict=True):
        try:
            with Image.open(path) as image:
                pixels = np.array(fit_image(decode_image(image, wanted.mode), wanted.size))
        except (OSError, SyntaxError, ValueError) as error:
            raise unreadable(path, error) from error
        target.copy_(torch.from_numpy(pixels.reshape(*wanted.size, channels)).permute(2, 0, 1))
    return images


def unreadable(path: Path, error: Exception) -> BadRequest:
    """Return the refusal of a file that is no image Pillow can read."""
    reason = str(error).removesuffix(f" {str(path)!r}")
    return BadRequest(f"image {path} cannot be read ({reason}); replace or remove it")
