"""Storages: in which bytes the values of a set are kept, one file each."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from attar.errors import BadRequest, unknown
from attar.options import changed_settings, named_settings, with_settings
from attar.registry import Registry
from attar.storage.apart import Apart
from attar.storage.coded_pictures import PICTURES, Avif, CodedPictures, Jpeg, Png, WebP
from attar.storage.floats import STORAGE_TYPES, BFloat16, Float8, Float16, Float32
from attar.storage.integers import Int2, Int3, Int4, Int8, Integers
from attar.storage.largest import Largest
from attar.storage.storage import PART, Content, Kept, Storage, sizes_of

__all__ = [
    "PART",
    "STORAGES",
    "STORAGE_TYPES",
    "Apart",
    "Avif",
    "Content",
    "Float32",
    "Jpeg",
    "Kept",
    "Png",
    "Storage",
    "WebP",
    "codes_pictures",
    "grid_of",
    "refusals_name",
    "sizes_of",
    "storage_of",
    "storage_text",
]

# what stands between the storage of the images and that of the labels
_LABELS = re.compile(r"[:,]\s*labels=")

STORAGES: Registry[type[Storage]] = Registry(
    "storage",
    lambda thing: isinstance(thing, type) and issubclass(thing, Storage),
    (Float32, Float16, BFloat16, Float8, Int8, Int4, Int3, Int2, Largest, *PICTURES),
)


def storage_of(given: str | Storage) -> Storage:
    """Return the storage that a text names.

    Args:
        given: a name, with settings behind a colon, such as ``float16``; or a storage. What follows
            ``labels=``, the last of the settings, is the storage of learnt labels, with its own.

    Raises:
        BadRequest: an unknown name or setting, or a value that it refuses.
    """
    if isinstance(given, Storage):
        return given
    if found := _LABELS.search(given):
        return _apart(given, given[: found.start()], given[found.end() :].strip())
    name, _, rest = given.partition(":")
    name = name.strip()
    if name not in STORAGES:
        raise unknown("value of --storage", name, STORAGES)
    try:
        first = STORAGES[name]()
    except TypeError as error:
        raise BadRequest(
            f"--storage {name}: it has settings without a default ({error}); give it from Python"
        ) from None
    return with_settings(first, named_settings(rest, "--storage", given), "--storage")


def _apart(given: str, images: str, labels: str) -> Apart:
    """Return the storage of a text that names one for the images and one for the labels."""
    name = labels.partition(":")[0]
    if "," in name:
        raise BadRequest(
            f"--storage {given}: what follows labels= is of the labels; put it last, such as "
            f"{images}:{name.partition(',')[2]},labels={name.partition(',')[0]}"
        )
    return Apart(storage_of(images), storage_of(labels))


@contextlib.contextmanager
def refusals_name(option: str) -> Iterator[None]:
    """Let refusals of a storage that is no set's own name the option that it was given by."""
    try:
        yield
    except BadRequest as error:
        said = error.text.replace("labels=", "").replace("--storage", option)
        raise BadRequest(said) from error


def grid_of(storage: Storage) -> tuple[int, str, float] | None:
    """Return what a run trains values for: the largest whole number, groups, share of the run.

    None where it is kept otherwise, or rounded at the end alone.
    """
    if isinstance(storage, Integers) and storage.train:
        return storage.largest, storage.group, storage.train
    return None


def codes_pictures(storage: Storage) -> bool:
    """Whether images are kept as pictures of a codec, which clip what is not black to white."""
    return isinstance(storage.of("images."), CodedPictures)


def storage_text(storage: Storage) -> str:
    """Return the text of a storage, with the settings that are not the defaults of its class."""
    if isinstance(storage, Apart):
        images = storage_text(storage.images)
        return f"{images}{',' if ':' in images else ':'}labels={storage_text(storage.labels)}"
    own = changed_settings(storage)
    return storage.name + (":" + ",".join(own) if own else "")
