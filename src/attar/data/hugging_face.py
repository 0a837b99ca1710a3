"""Data sets of the Hugging Face Hub, or of its library on this machine."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attar.data.indexed import Index, Listing, load_index
from attar.data.reading import Reading
from attar.data.splits import Parts
from attar.errors import BadRequest, unknown

if TYPE_CHECKING:
    from PIL import Image

# which of several columns of the right kind is taken
IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
TEST_SPLITS = ("test", "validation", "valid", "val", "dev")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True)
class Rows:
    """Pictures in the rows of a column; read undecoded, so that Pillow can decode in threads.

    Args:
        dataset: whose image column gives ``bytes`` or a ``path``.
        column: its name.
        rows: which rows.
        source: how messages call the data set.
    """

    dataset: Any
    column: str
    rows: Tensor
    source: str

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, index: Tensor) -> Rows:
        """Return the pictures of some of the rows."""
        return replace(self, rows=self.rows[index])

    def open(self, index: int) -> Image.Image:
        """Return one picture, opened by Pillow."""
        from PIL import Image

        found = self.dataset[int(self.rows[index])][self.column]
        if found is None or (found["bytes"] is None and found["path"] is None):
            raise BadRequest(f"{self.name(index)} has no image; filter such rows out")
        if found["bytes"] is None:
            return Image.open(found["path"])
        return Image.open(io.BytesIO(found["bytes"]))

    def name(self, index: int) -> str:
        """Return the row of one picture."""
        return f"{self.source}, row {int(self.rows[index])}"


def load_hf(argument: str, reading: Reading) -> Parts:
    """Read ``NAME[:SPLIT]``; see `index_hf`."""
    index, name = index_hf(argument)
    return replace(load_index(index, reading), name=name)


def index_hf(argument: str) -> tuple[Index, str]:
    """List the rows of ``NAME[:SPLIT]``, and return the data set's own name beside them.

    NAME is a data set of the Hub (``mnist``, ``uoft-cs/cifar10``), with a third part for one of
    several configurations (``owner/name/configuration``); or a local folder, either saved with
    ``save_to_disk`` or of files that the library reads. SPLIT is the training part; default
    ``train``. The test part is ``test``, else ``validation``; without either, or without
    labels in them, a fixed 20 % of every class is held out. EXIF rotation is not applied.

    Raises:
        BadRequest: the extra is missing, the data set cannot be had, or it has no split, image
            column or label column that can be told.
    """
    start = 2 if _DRIVE.match(argument) else 0
    name, _, split = argument[start:].partition(":")
    name = argument[:start] + name
    source = f"hf:{name}"
    splits = open_splits(name, source)
    chosen = training_split(list(splits), split, source)
    train = list_rows(splits[chosen], f"{source}, split {chosen}")
    if bool((train.labels < 0).any()):
        row = int((train.labels < 0).nonzero()[0])
        raise BadRequest(
            f"{source}, split {chosen}: row {row} has no label; name a labelled split, one of "
            f"{', '.join(splits)}, as {source}:SPLIT"
        )
    for other in TEST_SPLITS:
        if other == chosen or other not in splits:
            continue
        test = list_rows(splits[other], f"{source}, split {other}")
        # test splits of challenges come without labels
        if len(test.labels) and bool((test.labels >= 0).all()):
            check_same_classes(train, test, source)
            note = f"parts: the splits {chosen} and {other}"
            return Index(train, test, source, note, source), short_name(name)
    note = "there is no labelled test split: a fixed 20 % of every class is held out as test"
    return Index(train, None, source, f"split {chosen}; {note}", source), short_name(name)


def open_splits(name: str, source: str) -> dict[str, Any]:
    """Return the splits of a data set by name, downloaded where they are not here."""
    try:
        import datasets
    except ImportError as error:
        raise BadRequest(
            f"{source} needs the library 'datasets': pip install 'attar[hf]'"
        ) from error
    folder = Path(name).expanduser()
    if name.startswith(("/", ".", "~")) and not folder.exists():
        raise BadRequest(f"{source}: {folder.absolute()} does not exist")
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            found: Any = datasets.load_from_disk(str(folder))
        elif folder.exists():
            found = datasets.load_dataset(str(folder))
        else:
            owner_and_name, configuration = parse_name(name)
            found = datasets.load_dataset(owner_and_name, configuration)
    except Exception as error:  # downloading and parsing raise errors without a common base
        raise BadRequest(
            f"{source} could not be read ({error}). Give the name of a data set of the Hub, a "
            "third part for its configuration (owner/name/configuration) where it has several, "
            "or a local folder; HF_HOME says where downloads are kept"
        ) from error
    return dict(found) if isinstance(found, dict) else {"train": found}


def parse_name(name: str) -> tuple[str, str | None]:
    """Split ``owner/name/configuration`` into the name with its owner and the configuration."""
    owner_and_name, configuration = name.split("/")[:2], "/".join(name.split("/")[2:])
    return "/".join(owner_and_name), configuration or None


def short_name(name: str) -> str:
    """Return what a data set is called without owner, configuration or folder."""
    folder = Path(name).expanduser()
    if folder.exists():
        return folder.absolute().name
    return parse_name(name)[0].split("/")[-1]


def training_split(present: list[str], split: str, source: str) -> str:
    """Return the split to condense."""
    if split:
        if split not in present:
            raise unknown(f"split of {source}", split, present)
        return split
    if "train" in present:
        return "train"
    if len(present) == 1:
        return present[0]
    raise BadRequest(
        f"{source} has no split train, but {', '.join(present)}; choose one as {source}:SPLIT"
    )


def list_rows(dataset: Any, where: str) -> Listing:
    """List the pictures of one split by its image column and its class-label column."""
    import datasets

    dataset = dataset.with_format(None)
    image = find_column(dataset, datasets.Image, IMAGE_COLUMNS, "image", where)
    label = find_column(dataset, datasets.ClassLabel, LABEL_COLUMNS, "class label", where)
    # the other columns may be large, and undecoded images can be decoded in threads
    labels = dataset.select_columns([label])[:][label]
    pictures = dataset.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    return Listing(
        Rows(pictures, image, torch.arange(len(dataset)), where),
        torch.tensor([-1 if one is None else one for one in labels], dtype=torch.int64),
        tuple(map(str, dataset.features[label].names)),
    )


def find_column(dataset: Any, kind: type, preferred: tuple[str, ...], what: str, where: str) -> str:
    """Return the one column of a kind, or the preferred of several."""
    found = [name for name, feature in dataset.features.items() if isinstance(feature, kind)]
    if len(found) == 1:
        return found[0]
    for name in preferred:
        if name in found:
            return name
    listed = ", ".join(
        f"{name} ({type(feature).__name__})" for name, feature in dataset.features.items()
    )
    number = "no column" if not found else "several columns"
    raise BadRequest(
        f"{where} has {number} of type {what} ({kind.__name__}); its columns are {listed}. Cast "
        f"or keep one with the library 'datasets', save it with save_to_disk, and give hf:DIR"
    )


def check_same_classes(train: Listing, test: Listing, source: str) -> None:
    """Refuse a test part whose labels mean something else."""
    if train.class_names != test.class_names:
        raise BadRequest(
            f"{source}: the classes of the test split ({', '.join(test.class_names[:5])}, …) are "
            f"not those of the training split ({', '.join(train.class_names[:5])}, …)"
        )
