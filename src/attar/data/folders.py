"""Image folders: one subfolder per class."""

from __future__ import annotations

import os
from pathlib import Path

from attar.data import tiny_imagenet
from attar.data.decoding import Files
from attar.data.indexed import Index, Listing, listing, load_index
from attar.data.reading import Reading
from attar.data.splits import Parts
from attar.errors import BadRequest

# what torchvision's ImageFolder takes
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def load_folder(argument: str, reading: Reading) -> Parts:
    """Read a folder of images, or Tiny-ImageNet as it is distributed; see `index_folder`."""
    root = Path(argument).expanduser().absolute()
    if tiny_imagenet.is_distributed(root):
        return tiny_imagenet.load(root, reading)
    return load_index(index_folder(argument), reading)


def index_folder(argument: str) -> Index:
    """List a folder of images.

    With subfolders ``train`` and ``test`` (or ``val``) these are the parts; otherwise a fixed
    20 % of every class is held out as test. Names beginning with a dot are passed over. The
    set is grayscale when every image is; alpha is dropped; EXIF rotation is not applied.

    Raises:
        BadRequest: no such folder; no class folders or fewer than two; a class without images;
            test classes that training lacks.
    """
    root = Path(argument).expanduser().absolute()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise BadRequest(
            f"folder:{argument}: {root} {what}; give a folder with one subfolder of "
            "images per class"
        )
    train_root, test_root, note = find_parts(root)
    train = list_images(train_root)
    test = None if test_root is None else list_images(test_root, train.class_names)
    return Index(train, test, str(root.resolve()), note, str(train_root))


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
    return listing(Files(tuple(files)), labels, names)


def images_below(folder: Path) -> list[Path]:
    """Return the image files below a folder, at any depth, in ImageFolder's order."""
    return [
        Path(where) / name
        for where, _, names in sorted(os.walk(folder, followlinks=True))
        for name in sorted(names)
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]
