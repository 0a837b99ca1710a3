"""A slice of a data set: some of its classes, and so many training images of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.errors import BadRequest, unknown
from attar.rng import Key

Classes = int | str | Sequence[int | str] | None


@dataclass(frozen=True)
class Subset:
    """What to take of a data set; the default takes everything. Make one with `wanted_subset`.

    Args:
        classes: a number N for the first N classes, or names or indices in the order wanted;
            None for all classes.
        per_class: the most training images of a class; None for all.
    """

    classes: int | tuple[str, ...] | None = None
    per_class: int | None = None

    def positions(self, class_names: Sequence[str], name: str) -> tuple[int, ...] | None:
        """Return the indices of the wanted classes, in the order wanted; None for all.

        Args:
            class_names: all classes of the data set.
            name: how messages call the data set.

        Raises:
            BadRequest: a class that there is not, one given twice, or more than there are.
        """
        if self.classes is None:
            return None
        if isinstance(self.classes, int):
            if self.classes > len(class_names):
                raise BadRequest(
                    f"--classes {self.classes}: {name} has {len(class_names)} classes; a number "
                    "alone takes that many, the first ones"
                )
            return tuple(range(self.classes))
        found = tuple(position(one, class_names) for one in self.classes)
        for one, index in zip(self.classes, found, strict=True):
            if found.count(index) > 1:
                raise BadRequest(
                    f"--classes: class {class_names[index]!r} is given twice (as {one!r}); name "
                    "each class once"
                )
        return found

    def sample(self, labels: Tensor, class_names: Sequence[str]) -> Tensor | None:
        """Return the sorted indices of ``per_class`` images of every class; None for all.

        The draw depends on the name of a class and on the images that it has, on nothing else:
        neither on the seed of a run nor on the other classes.

        Args:
            labels: N class indices of the training part.
            class_names: their names.
        """
        if self.per_class is None:
            return None
        taken = []
        for label, class_name in enumerate(class_names):
            own = torch.nonzero(labels == label).flatten()
            generator = Key(0).fold("images per class", class_name).generator()
            taken.append(own[torch.randperm(len(own), generator=generator)[: self.per_class]])
        return torch.cat(taken).sort().values

    def told(self, taken: int, whole: int) -> str:
        """Say which classes are taken, with so many of the images; nothing where all are."""
        if self.classes is None:
            return ""
        said = (
            f"the first {self.classes} classes only"
            if isinstance(self.classes, int)
            else f"{len(self.classes)} classes only"
        )
        return f"{said} ({taken:,} of {whole:,} images)"

    def told_of_sample(self, taken: int, whole: int) -> str:
        """Say how many training images of the classes are taken; nothing where all are."""
        if self.per_class is None:
            return ""
        return (
            f"at most {self.per_class} training images of a class, drawn once ({taken:,} of "
            f"{whole:,})"
        )


EVERYTHING = Subset()


def wanted_subset(classes: Classes = None, per_class: int | None = None) -> Subset:
    """Return what the options ask for.

    Args:
        classes: a number alone takes the first N classes; names or indices, as a list or as a
            text with commas between (``cat,dog``; a name with a comma stands in quotation
            marks), take these, in this order.
        per_class: the most training images of a class.

    Raises:
        BadRequest: no class, or fewer than one image.
    """
    if per_class is not None and (type(per_class) is not int or per_class < 1):
        raise BadRequest(f"--per-class {per_class!r}: a whole number of at least 1 is needed")
    return Subset(None if classes is None else parse_classes(classes), per_class)


def parse_classes(given: int | str | Sequence[int | str]) -> int | tuple[str, ...]:
    """Return a number of classes, or the names or indices as texts."""
    if isinstance(given, str) and is_whole(given.strip()):
        given = int(given)
    if isinstance(given, int) and not isinstance(given, bool):
        if given < 1:
            raise BadRequest(
                f"--classes {given}: a number alone takes the first classes, at least 1"
            )
        return given
    if isinstance(given, str):
        names = [one.strip() for one in next(csv.reader([given], skipinitialspace=True), [])]
    elif isinstance(given, Sequence) and all(
        isinstance(one, int | str) and not isinstance(one, bool) for one in given
    ):
        names = [str(one) for one in given]
    else:
        raise BadRequest(
            f"--classes {given!r}: give a number (the first so many), or names or indices"
        )
    if not names or "" in names:
        raise BadRequest(
            f"--classes {given!r}: names of classes are needed, such as cat,dog, or a number "
            "for the first so many"
        )
    return tuple(names)


def classes_text(given: Classes) -> str:
    """Return classes as the command line takes them; the opposite of `parse_classes`."""
    if given is None or isinstance(given, int | str):
        return "" if given is None else str(given)
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(given)
    return line.getvalue()


def position(wanted: str, class_names: Sequence[str]) -> int:
    """Return the index of a class given by name, or by index where no name is a number."""
    if wanted in class_names:
        return class_names.index(wanted)
    if is_whole(wanted) and int(wanted) < len(class_names) and not any(map(is_whole, class_names)):
        return int(wanted)
    raise unknown("class (--classes)", wanted, class_names)


def is_whole(text: str) -> bool:
    """Tell whether a text is a whole number of ASCII digits."""
    return text.isascii() and text.isdigit()


def narrowed(labels: Tensor, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the indices of the images of some classes, in order, and their labels 0…K−1.

    Args:
        labels: N class indices.
        positions: the K classes to keep, in their new order.
    """
    labels, wanted = labels.cpu(), torch.tensor(positions)
    index = torch.nonzero(torch.isin(labels, wanted)).flatten()
    table = torch.zeros(int(wanted.max()) + 1, dtype=torch.int64)
    table[wanted] = torch.arange(len(wanted))
    return index, table[labels[index]]
