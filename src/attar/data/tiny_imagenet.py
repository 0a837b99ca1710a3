"""Tiny-ImageNet as it is distributed: 200 classes, 64×64 colour.

``train/<wnid>/images/*.JPEG`` is the training part and ``val/images/*.JPEG`` with
``val/val_annotations.txt`` the test part; the folder ``test`` has no labels and is not read.
``wnids.txt`` lists the classes and ``words.txt`` says what they are.

Source: Le and Yang, Tiny ImageNet Visual Recognition Challenge, 2015.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from attar.data.indexed import Index, Listing, listing, load_index
from attar.data.picture_files import Files
from attar.data.reading import Reading
from attar.data.splits import Parts
from attar.data.values import range_text
from attar.errors import BadRequest

NAME = "tiny_imagenet"
FOLDER = "tiny-imagenet-200"
ADDRESS = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
# ImageNet's, which the field takes for Tiny-ImageNet too
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def load_named(name: str, reading: Reading) -> Parts:
    """Read the set from the data folder.

    Raises:
        BadRequest: it is not there, or not whole.
    """
    looked = (reading.data_dir / FOLDER, reading.data_dir)
    for root in looked:
        if is_distributed(root):
            return load(root, reading)
    raise BadRequest(
        f"Tiny-ImageNet is neither in {looked[0].absolute()} nor in {looked[1].absolute()}: "
        f"unpack {ADDRESS} there, name another folder with --data-dir or ATTAR_DATA, or give "
        "folder:DIR"
    )


def is_distributed(root: Path) -> bool:
    """Tell whether a folder is laid out as Tiny-ImageNet is distributed."""
    return (
        (root / "wnids.txt").is_file()
        and (root / "train").is_dir()
        and annotation_file(root).is_file()
        and (root / "val" / "images").is_dir()
    )


def load(root: Path, reading: Reading) -> Parts:
    """Read the set from its folder; some of its images are grayscale, the set is colour.

    Raises:
        BadRequest: it is not whole, or a range is given, which its constants are not for.
    """
    if reading.look.value_range is not None:
        raise BadRequest(
            f"--range {range_text(reading.look.value_range)}: what the values of Tiny-ImageNet "
            "mean is known; leave it out"
        )
    parts = load_index(index(root.absolute()), reading)
    return replace(parts, name=NAME, mean=MEAN, std=STD)


def index(root: Path) -> Index:
    """List the pictures; classes are in the sorted order of their WordNet ids."""
    ids = tuple(sorted(set(read_text(root / "wnids.txt").split())))
    names = class_names(root, ids)
    files: list[Path] = []
    labels: list[int] = []
    for label, wnid in enumerate(ids):
        own = pictures_in(root / "train" / wnid / "images")
        if not own:
            raise incomplete(f"{root / 'train' / wnid / 'images'} holds no .JPEG files")
        files += own
        labels += [label] * len(own)
    return Index(
        listing(Files(tuple(files)), labels, names),
        list_validation(root, ids, names),
        str(root.resolve()),
        "train and val (as test)",
        NAME,
        "RGB",
    )


def list_validation(root: Path, ids: tuple[str, ...], names: tuple[str, ...]) -> Listing:
    """List the pictures of ``val``, with the classes that its annotations give."""
    label_of = {wnid: label for label, wnid in enumerate(ids)}
    present = {path.name for path in pictures_in(root / "val" / "images")}
    files: list[Path] = []
    labels: list[int] = []
    for number, line in enumerate(read_text(annotation_file(root)).splitlines(), 1):
        if not line.strip():
            continue
        name, wnid = [*line.split("\t"), ""][:2]
        where = f"{annotation_file(root)}, line {number}"
        if wnid not in label_of:
            raise incomplete(f"{where}: the class {wnid!r} is not in wnids.txt")
        if name not in present:
            raise incomplete(f"{where}: val/images lacks {name}")
        files.append(root / "val" / "images" / name)
        labels.append(label_of[wnid])
    if not files:
        raise incomplete(f"{annotation_file(root)} is empty")
    return listing(Files(tuple(files)), labels, names)


def class_names(root: Path, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first word of every class, or its WordNet id where another has that word."""
    words: dict[str, str] = {}
    if (root / "words.txt").is_file():
        for line in read_text(root / "words.txt").splitlines():
            wnid, _, said = line.partition("\t")
            words[wnid] = said.split(",")[0].strip()
    counts = Counter(words.get(wnid, "") for wnid in ids)
    firsts = {wnid: words.get(wnid, "") for wnid in ids}
    return tuple(first if first and counts[first] == 1 else wnid for wnid, first in firsts.items())


def annotation_file(root: Path) -> Path:
    """Return the file that gives the classes of the pictures of ``val``."""
    return root / "val" / "val_annotations.txt"


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted by name."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in (".jpeg", ".jpg") and not path.name.startswith(".")
    )


def read_text(path: Path) -> str:
    """Return a text file that belongs to the set."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise incomplete(f"{path} cannot be read ({error})") from error


def incomplete(what: str) -> BadRequest:
    """Return the refusal of a folder that is not as it was distributed."""
    return BadRequest(f"Tiny-ImageNet: {what}; unpack {ADDRESS} again")
