"""Image folders: one subfolder per class."""

from __future__ import annotations

from pathlib import Path

from attar.data import exports, tiny_imagenet
from attar.data.indexed import Index, Listing, listing, load_index
from attar.data.part_folders import find_parts
from attar.data.picture_files import Files
from attar.data.reading import Reading
from attar.data.splits import Parts, joined
from attar.data.walking import Walk
from attar.errors import BadRequest


def load_folder(argument: str, reading: Reading) -> Parts:
    """Read a folder of images, Tiny-ImageNet as it is distributed, or an export with its values.

    See `index_folder`, and `attar.data.exports`.
    """
    root = Path(argument).expanduser().absolute()
    if tiny_imagenet.is_distributed(root):
        return tiny_imagenet.load(root, reading)
    told = exports.read_told(root)
    if told is None:
        return load_index(index_folder(argument), reading)
    index = exports.named(index_folder(argument), told, root)
    own = exports.read_as_told(told, reading, f"folder:{argument}")
    return exports.as_pixels(load_index(index, own), told)


def index_folder(argument: str) -> Index:
    """List a folder of images.

    With subfolders ``train`` and ``test`` (or ``val``), under these or like names in any case,
    these are the parts (see `find_parts`); otherwise a fixed share of every class is held out
    as test. The set is grayscale when every image is. Every
    folder is entered once, and hidden ones never; what is left out is told.

    Raises:
        BadRequest: no such folder; no class folders; a class without images;
            test classes that training lacks; a folder that cannot be read, or that is reached
            twice as a class; a picture that is no regular file; a class name that is not UTF-8.
    """
    root = Path(argument).expanduser().absolute()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise BadRequest(
            f"folder:{argument}: {root} {what}; give a folder with one subfolder of "
            "images per class"
        )
    parts = find_parts(root)
    walk = Walk()
    walk.enter(root, parts.train, *parts.others.values())
    train_folders = walk.folders(parts.train)
    # of all parts before any is gone through, so that no link leads from one to another
    folders = {part: walk.folders(path) for part, path in parts.others.items()}
    train = list_classes(parts.train, train_folders, walk)
    others = {
        part: list_classes(path, folders[part], walk, train.class_names)
        for part, path in parts.others.items()
    }
    return Index(
        train,
        others.get("test"),
        str(root.resolve()),
        joined(parts.note, walk.note),
        str(parts.train),
        validation=others.get("validation"),
    )


def list_images(root: Path) -> Listing:
    """List the image files below each class folder of ``root``."""
    walk = Walk()
    walk.enter(root)
    return list_classes(root, walk.folders(root), walk)


def list_classes(
    root: Path, folders: list[Path], walk: Walk, class_names: tuple[str, ...] | None = None
) -> Listing:
    """List the image files below each class folder of a part.

    Args:
        root: the folder of the part.
        folders: those of its classes.
        walk: which has entered them.
        class_names: the classes of the training part, for the test part, which may lack some.
    """
    names = tuple(folder.name for folder in folders) if class_names is None else class_names
    if not folders:
        raise BadRequest(f"{root} has no subfolders; one subfolder of images per class is needed")
    files: list[Path] = []
    labels: list[int] = []
    for folder in folders:
        if folder.name not in names:
            raise BadRequest(
                f"{root} has the class {folder.name!r}, which the training part lacks "
                f"(it has {', '.join(names)}); remove it or add training images"
            )
        own = walk.pictures(folder)
        if not own and class_names is None:
            raise BadRequest(
                f"class folder {folder} holds no images{_so_far(walk)}; add some or remove it"
            )
        files += own
        labels += [names.index(folder.name)] * len(own)
    if not files:
        raise BadRequest(f"{root} holds no images{_so_far(walk)}")
    return listing(Files(tuple(files)), labels, names)


def _so_far(walk: Walk) -> str:
    """Return what was not taken, in brackets."""
    return f" ({walk.note})" if walk.note else ""


def images_below(folder: Path) -> list[Path]:
    """Return the image files below a folder, at any depth, in ImageFolder's order."""
    walk = Walk()
    walk.enter(folder)
    return walk.pictures(folder)
