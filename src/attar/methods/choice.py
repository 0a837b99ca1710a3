"""What a method that decides for itself is told, and what it chooses; free of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attar.shapes import Shape


@dataclass(frozen=True)
class Coding:
    """A way to keep real images in a picture codec, as options.

    Args:
        form: such as ``resized:side=16``.
        storage: such as ``avif:quality=35``.
        why: how it was found.
    """

    form: str
    storage: str
    why: str


def _none() -> Sequence[Coding]:
    return ()


@dataclass(frozen=True)
class Wanted:
    """What a set is wanted for.

    Args:
        dataset: its name; any other text for a user's own data.
        shape: of an image: C, H, W; or of another row, such as D of a vector.
        classes: K.
        images: of the smallest class of the training data.
        total: of all classes.
        bytes: of the whole set; None where a plain number of images is asked for.
        minutes: of the whole command; None where they are not limited.
        updates: whether something was asked for that needs a trained set: options of updates,
            such as a number of them, a storage that is no picture codec, or whitening.
        codecs: the picture codecs that are there.
        given: fields of `attar.Request` that the user gave.
        codings: looks at the data, which takes seconds, and returns the ways to keep real images in
            a picture codec that these bytes hold, the best on held-out training images first.
    """

    dataset: str
    shape: Shape
    classes: int
    images: int
    total: int
    bytes: int | None
    minutes: float | None
    updates: bool = False
    codecs: tuple[str, ...] = ()
    given: frozenset[str] = frozenset()
    codings: Callable[[], Sequence[Coding]] = _none

    @property
    def bytes_per_class(self) -> float | None:
        """Bytes of a class; None without a limit."""
        return None if self.bytes is None else self.bytes / self.classes


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Args:
        method: the name of one with settings of its own.
        why: in one sentence or two, for people.
        by: the name of the method that chose.
        options: fields of `attar.Request`; those that the user gave go before them.
        settings: of the method's parts, as ``--set`` takes them; the user's go before them.
    """

    method: str
    why: str
    by: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The method and the options as the command line takes them."""
        options = {name.replace("_", "-"): value for name, value in self.options.items()}
        told = [f"--{name} {value}" for name, value in options.items()]
        told += [f"--set {name}={value}" for name, value in self.settings.items()]
        return " ".join([f"--method {self.method}", *told])

    @property
    def told(self) -> str:
        """Who chose what, and why."""
        return f"{self.by} chose {self.words}: {self.why}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, as an artefact tells it."""
        return {
            "by": self.by,
            "method": self.method,
            "why": self.why,
            **({"options": dict(self.options)} if self.options else {}),
            **({"settings": dict(self.settings)} if self.settings else {}),
        }
