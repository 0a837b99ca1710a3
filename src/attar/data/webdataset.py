"""Shards of samples in .tar files, as the library webdataset writes them.

The files of a sample follow each other and have one name up to the first dot: ``0001.jpg`` and
``0001.cls``. The class is in ``.cls`` (or ``.label``, ``.class``, ``.txt``) as a number or a text,
or in ``.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attar.data import multi_label
from attar.data.indexed import Index, Listing, load_index
from attar.data.part_names import PART_OF
from attar.data.reading import Columns, Reading
from attar.data.shards import LONGEST_LABEL, Member, Members, members_of, read_at, shards_of
from attar.data.splits import Parts
from attar.data.table_labels import classes_of, plain_labels
from attar.data.walking import is_picture
from attar.errors import BadRequest

# what holds the class, the first of these that a sample has
LABEL_ENDINGS = ("cls", "label", "class")
LABEL_KEYS = ("label", "class", "cls", "target")


@dataclass
class Part:
    """The samples of one part: where their pictures are, and their labels as written."""

    names: list[str] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def listing(self, shards: tuple[Path, ...], classes: tuple[str, ...]) -> Listing:
        """Return the pictures with the indices of their classes."""
        position = {name: index for index, name in enumerate(classes)}
        for name, label in zip(self.names, self.labels, strict=True):
            if label not in position:
                raise BadRequest(
                    f"sample {name}: no training sample has the class {label!r}; remove the "
                    "sample, or add training samples"
                )
        labels = torch.tensor([position[label] for label in self.labels], dtype=torch.int64)
        places = np.array(self.places, dtype=np.int64).reshape(-1, 3)
        return Listing(Members(shards, np.array(self.names), places), labels, classes)


def load_webdataset(argument: str, reading: Reading) -> Parts:
    """Read shards; see `index_webdataset`."""
    index = index_webdataset(argument, reading.columns)
    return replace(load_index(index, reading), name=Path(index.place).name)


def index_webdataset(argument: str, columns: Columns) -> Index:
    """List the pictures in the shards ``FILE-{000..009}.tar``, in one file, or in a folder.

    A word such as ``train``, ``val`` or ``test`` in the names of the shards says their part;
    without one in any, all are training samples. Samples without a picture are left out.

    Raises:
        BadRequest: a shard cannot be read, a sample has no class or several pictures, or there
            are fewer than two classes.
    """
    where, shards = f"wds:{argument}", shards_of(argument)
    parts, lacking = read_parts(parts_of(shards, where), columns.label)
    train = parts.get("train", Part())
    classes = tuple(classes_of(train.labels, ())[0])
    if not classes:
        raise BadRequest(f"{where}: there are no training samples; give their shards, too")
    paths = tuple(shards)
    test, validation = (
        parts[part].listing(paths, classes) if part in parts else None for part in ("test", "val")
    )
    words = [part for part in ("train", "val", "test") if part in parts]
    how = f"the names of the shards say {', '.join(words)}" if len(words) > 1 else "training shards"
    if test is None and validation is not None:
        # as everywhere: the test part where there is no other
        test, validation, how = validation, None, f"{how} (as test)"
    return Index(
        train.listing(paths, classes),
        test,
        str(paths[0].parent),
        how,
        where,
        validation=validation,
        more=f"{lacking:,} samples without a picture left out" if lacking else "",
    )


def read_parts(shards: list[tuple[Path, str]], wanted: str | None) -> tuple[dict[str, Part], int]:
    """Return the samples of every part, and how many have no picture."""
    parts: dict[str, Part] = {}
    lacking = 0
    for number, (shard, part) in enumerate(shards):
        own = parts.setdefault(part, Part())
        for key, files in samples_of(shard):
            picture = picture_of(files, f"{shard}: sample {key}")
            if picture is None:
                lacking += 1
                continue
            own.names.append(picture.name)
            own.places.append((number, picture.offset, picture.size))
            own.labels.append(label_of(shard, key, files, wanted))
    for own in parts.values():
        own.labels = plain_labels(own.labels, lambda index, own=own: f"sample {own.names[index]}")
    return parts, lacking


def parts_of(shards: list[Path], where: str) -> list[tuple[Path, str]]:
    """Return the shards with their parts, told from a word in their names."""
    found: list[tuple[Path, str]] = []
    for shard in shards:
        letters = "".join(one if one.isalpha() else " " for one in shard.stem.lower())
        words = {PART_OF[word] for word in letters.split() if word in PART_OF}
        found.append((shard, words.pop() if len(words) == 1 else ""))
    told = {part for _, part in found}
    if told <= {""}:
        return [(shard, "train") for shard, _ in found]
    if "" in told:
        unclear = next(shard.name for shard, part in found if not part)
        raise BadRequest(
            f"{where}: the name of {unclear} does not say train, val or test, as those of other "
            "shards do; rename it, or give the shards of one part"
        )
    return [(shard, "train") for shard, _ in found] if len(told) == 1 else found


def samples_of(shard: Path) -> Iterator[tuple[str, dict[str, Member]]]:
    """Yield the key of each sample, and its files by ending."""
    key, files = "", {}
    for member in members_of(shard):
        folder, slash, name = member.name.rpartition("/")
        stem, dot, ending = name.partition(".")
        own, ending = f"{folder}{slash}{stem}", ending.lower()
        if not dot or not stem:
            continue
        if own != key or ending in files:
            if files:
                yield key, files
            key, files = own, {}
        files[ending] = member
    if files:
        yield key, files


def picture_of(files: dict[str, Member], where: str) -> Member | None:
    """Return the one picture of a sample, or None."""
    found = [ending for ending in files if is_picture(f"0.{ending}")]
    if len(found) > 1:
        raise BadRequest(
            f"{where} has several pictures ({', '.join(found)}); one image per sample is needed"
        )
    return files[found[0]] if found else None


def label_of(shard: Path, key: str, files: dict[str, Member], wanted: str | None) -> str:
    """Return the class of a sample as it is written.

    Args:
        shard: that the sample is in.
        key: of the sample.
        files: of the sample, by ending.
        wanted: the ending of the file of the class, or its name in the ``.json``; None for the
            usual.
    """
    where = f"{shard}: sample {key}"

    def text(ending: str) -> str:
        member = files[ending]
        if member.size > LONGEST_LABEL:
            raise BadRequest(f"{where}: .{ending} is of {member.size:,} bytes; no class is as long")
        try:
            return read_at(shard, member.offset, member.size).decode("utf-8").strip()
        except ValueError as error:
            raise BadRequest(f"{where}: .{ending} is no text in UTF-8 ({error})") from error

    endings = [wanted] if wanted else [*LABEL_ENDINGS]
    for ending in endings:
        if ending in files:
            return text(ending)
    if "json" in files:
        found = in_json(text("json"), [wanted] if wanted else [*LABEL_KEYS], where)
        if found is not None:
            return found
    if "txt" in files and wanted is None:
        return text("txt")
    raise BadRequest(
        f"{where} has no class in .{' or .'.join(endings)} or .json; its files are "
        f"{', '.join(files)}: choose one, or a name in .json, with --label-column"
    )


def in_json(text: str, names: list[str], where: str) -> str | None:
    """Return the class in a JSON object, or None."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{where}: .json cannot be read ({error})") from error
    for name in names:
        if isinstance(found, dict) and name in found:
            value = found[name]
            if isinstance(value, list):
                raise multi_label.refused(where, f"{name!r} in .json holds a list")
            if isinstance(value, str | int):
                return str(value)
            raise BadRequest(
                f"{where}: {name!r} in .json holds {value!r}; a whole number or a text is needed"
            )
    return None
