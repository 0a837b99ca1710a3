"""Decoded images kept on disk, under a name that any change of a file changes.

A file is safetensors, written and read in one pass between the disk and the one tensor that
holds the images. Its name is ``<place>-<key>.safetensors``: the place says which source was
read and how, the key what its files were. So an outdated file is found by its place and
removed; each size and each slice of a source is a file of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import struct
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from attar.data.channels import MOST
from attar.data.decoding import decode_parts
from attar.data.keeping import holds
from attar.data.on_demand import Decoded
from attar.data.on_disk import OnDisk
from attar.data.parallel import in_parallel
from attar.data.picture_files import InFiles, Pictures, unreadable
from attar.data.reading import Reading
from attar.data.rows import Rows, in_memory
from attar.errors import RunFailed
from attar.files import write_atomically
from attar.options import Auto

# fewer images than this are decoded again within a second or two
KEPT_FROM = 2_000
FORMAT_VERSION = 2
# a source may lack the last ones
NAMES = ("train", "test", "validation")
_TYPES = {"U8": torch.uint8, "F32": torch.float32}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_PIECE = 16 * 2**20
_LARGEST_HEADER = 2**16
# a temporary file this old belongs to no living run
_LEFTOVER_SECONDS = 3600
_DAMAGED = (OSError, ValueError, KeyError, TypeError, RecursionError, struct.error)


def decoded(
    parts: Sequence[Pictures], place: str, mode: str | None, reading: Reading
) -> Sequence[Rows]:
    """Return the images of all parts, from the cache where they are in it.

    Those that are decoded as they are needed are kept one by one; see `attar.data.on_disk`.

    Args:
        parts: training pictures, then test pictures, then those to select by, where there are.
        place: what tells this source from others on this machine.
        mode: see `decode_parts`.
        reading: ``data_dir/decoded`` is the folder of the cache.

    Raises:
        BadRequest: a picture cannot be used; see `decode_parts`.
    """

    def decode() -> Sequence[Rows]:
        return decode_parts(
            parts, reading.size, mode, reading.watch, reading.look, reading.in_memory
        )

    files = [part for part in parts if isinstance(part, InFiles)]
    # what lies in no file has no time of change
    if len(files) < len(parts) or total(parts) < KEPT_FROM:
        return decode()
    read_as = [reading.size, mode, reading.subset, reading.look]
    if reading.test_share is not None:
        read_as.append(reading.test_share)
    prefix = digest([place, repr(tuple(read_as))])
    path = reading.data_dir / "decoded" / f"{prefix}-{files_key(files)}.safetensors"
    images = read(path, parts, reading.size) if is_held(path, reading.in_memory) else None
    if images is not None:
        return images
    found = decode()
    held = [one for one in found if in_memory(one)]
    if len(held) == len(found):
        remove_outdated(path, prefix)
        keep(path, held)
        return found
    remove_outdated(path, prefix)
    if not hasattr(os, "preadv"):
        return found
    return [
        OnDisk(one.without_room(), path.with_suffix(f".{part}.rows"))
        if isinstance(one, Decoded)
        else one
        for one, part in zip(found, NAMES, strict=False)
    ]


def is_held(path: Path, wanted: Auto) -> bool:
    """Tell whether images that a file keeps are to be held in memory."""
    try:
        return holds(path.stat().st_size, wanted)
    except OSError:
        return False


def total(parts: Sequence[Pictures]) -> int:
    """Return the number of pictures of all parts."""
    return sum(map(len, parts))


def digest(texts: Sequence[str]) -> str:
    """Return 32 hexadecimal digits that depend on every text and on their order."""
    found = hashlib.blake2b(digest_size=16)
    for text in texts:
        found.update(os.fsencode(text) + b"\0")
    return found.hexdigest()


def files_key(parts: Sequence[InFiles]) -> str:
    """Return a digest of path, size and times of change of every file, and of what decodes it."""
    import PIL

    texts = [f"{FORMAT_VERSION} {PIL.__version__}"]
    for part in parts:
        paths, places = part.lies_in
        texts.append(f"{len(part)} files")

        def look(chunk: range, paths: tuple[Path, ...] = paths) -> list[str]:
            return [stamp(paths[index]) for index in chunk]

        for _, stamps in in_parallel(look, len(paths)):
            texts += stamps
        if places:
            texts.append(hashlib.blake2b(places, digest_size=16).hexdigest())
    return digest(texts)


def stamp(path: Path) -> str:
    """Return path, size and times of change of one file as a text.

    Two files that change places keep their sizes and times of writing, but not those of change.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable(str(path), error) from error
    return f"{path}\0{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def keep(path: Path, images: Sequence[Tensor]) -> None:
    """Write the images of all parts; where that fails, warn and go on without."""
    try:
        write_atomically(path, lambda temporary: write(temporary, images))
    except RunFailed as error:
        cause = error.__cause__ or error
        warnings.warn(
            f"the decoded images could not be kept in {path.parent} ({cause}), so they will be "
            "decoded again next time; --data-dir or ATTAR_DATA names another folder",
            stacklevel=2,
        )


def remove_outdated(path: Path, prefix: str) -> None:
    """Remove what the same source left in the cache before one of its files changed."""
    now = time.time()
    # a file that cannot be removed, or that another process removes first, does no harm
    with contextlib.suppress(OSError):
        for old in path.parent.glob(f"{prefix}-*"):
            if not old.name.startswith(path.stem):
                old.unlink(missing_ok=True)
        for old in path.parent.glob(f".{prefix}-*.tmp"):
            if now - old.stat().st_mtime > _LEFTOVER_SECONDS:
                old.unlink(missing_ok=True)


def pieces(images: Tensor) -> Iterator[memoryview]:
    """Yield the bytes of contiguous images in pieces, without copying them."""
    whole: memoryview = images.flatten().view(torch.uint8).numpy().data
    for start in range(0, len(whole), _PIECE):
        yield whole[start : start + _PIECE]


def checksum(images: Sequence[Tensor]) -> int:
    """Return the CRC-32 of all bytes."""
    value = 0
    for one in images:
        for piece in pieces(one):
            value = zlib.crc32(piece, value)
    return value


def write(path: Path, images: Sequence[Tensor]) -> None:
    """Write all parts as safetensors.

    By hand, since `safetensors.torch.save_file` makes a copy of every tensor first.
    """
    header: dict[str, object] = {"__metadata__": {"crc32": str(checksum(images))}}
    start = 0
    for name, one in zip(NAMES, images, strict=False):
        end = start + one.numel() * one.element_size()
        header[name] = {
            "dtype": _NAMES[one.dtype],
            "shape": list(one.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for one in images:
            for piece in pieces(one):
                file.write(piece)


def read(
    path: Path, parts: Sequence[Pictures], size: tuple[int, int] | None
) -> list[Tensor] | None:
    """Return what was kept for these pictures; None where it is missing or damaged."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _LARGEST_HEADER:
                return None
            header = json.loads(file.read(length))
            shapes = [tuple(map(int, header[name]["shape"])) for name in NAMES[: len(parts)]]
            stored = os.fstat(file.fileno()).st_size - 8 - length
            # both parts are of one type
            dtype = _TYPES[header[NAMES[0]]["dtype"]]
            pixels = sum(map(math.prod, shapes))
            if stored != pixels * dtype.itemsize or not fits(shapes, parts, size):
                return None
            images = [torch.empty(shape, dtype=dtype) for shape in shapes]
            for one in images:
                for piece in pieces(one):
                    if file.readinto(piece) != len(piece):  # pyright: ignore[reportAttributeAccessIssue]
                        return None
            intact = checksum(images) == int(header["__metadata__"]["crc32"])
            return images if intact else None
    except _DAMAGED:
        return None


def fits(
    shapes: Sequence[tuple[int, ...]],
    parts: Sequence[Pictures],
    size: tuple[int, int] | None,
) -> bool:
    """Tell whether stored shapes are those of these pictures."""
    return all(
        len(shape) == 4
        and shape[0] == len(pictures)
        and 1 <= shape[1] <= MOST
        and shape[1:] == shapes[0][1:]
        and size in (None, shape[2:])
        for shape, pictures in zip(shapes, parts, strict=True)
    )
