"""Sets to be made: condensed from real images, or slimmed from another set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attar.condensing.request import Request
from attar.slimming.request import SlimRequest
from attar.text import text_digest
from attar.wording import as_keywords

# how a set is slimmed, in the paper's letters: by learning, or without
LEARNED, FREE = "LBS", "LFS"
_PATHS = ("folder", "csv", "npz", "wds")


def _options(options: Mapping[str, Any], files: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a request, its settings as it takes them."""
    given = as_keywords({**options, **files})
    return {name: tuple(value) if name == "settings" else value for name, value in given.items()}


@dataclass(frozen=True)
class Making:
    """A set to be condensed.

    Args:
        dataset: its name in the suite.
        method: the name of the row.
        budget: the name of the column.
        seed: of the set.
        source: what the dataset is read from.
        reading: the part that is taken: ``classes``, ``per_class``, ``resize``.
        options: of `attar.Request`, method, budget and seed included.
        experts: options of `attar experts` for the expert trajectories that the set follows; None
            where it follows none, or where ``options`` names them.
        teacher: the suite's, ``network`` and ``epochs``, where the set is made by looking at it.
    """

    dataset: str
    method: str
    budget: str
    seed: int
    source: str
    reading: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    experts: Mapping[str, Any] | None = None
    teacher: Mapping[str, Any] | None = None

    @property
    def way(self) -> str:
        """How it is reached, in the paper's letters; empty for a set condensed from real images."""
        return ""

    @property
    def first(self) -> Making:
        """The set condensed from real images that it comes from, which may be itself."""
        return self

    @property
    def row(self) -> str:
        """The name of the row, with the way in which its sets are reached."""
        return f"{self.method} {self.way}" if self.way else self.method

    @property
    def key(self) -> str:
        """A name that no other piece of work of the suite has; also the path of its files."""
        return "/".join(map(slug, (self.dataset, self.row, self.budget, f"seed {self.seed}")))

    @property
    def words(self) -> str:
        """The same for people."""
        return f"{self.dataset}, {self.row}, {self.budget}, seed {self.seed}"

    def request(self, **files: Any) -> Request:
        """Return the request for `attar.condense`.

        Args:
            **files: ``output``, ``resume``, ``checkpoint_seconds``, ``experts``, ``teacher``.

        Raises:
            BadRequest: an option cannot be what it is.
        """
        return Request(**_options(self.options, files))

    def identity(self) -> dict[str, Any]:
        """Return what the set depends on, to tell whether one that is there is this one."""
        asked = {"experts": self.experts, "teacher": self.teacher}
        followed = {name: dict(one) for name, one in asked.items() if one is not None}
        return {
            "data": source_identity(self.source),
            "reading": dict(self.reading),
            "options": self._bearing(),
            **followed,
        }

    def _bearing(self) -> dict[str, Any]:
        """Return the options that bear on the result, by name in order."""
        names = sorted(self.options.keys() - {"checkpoint_seconds"})
        return {name: self.options[name] for name in names}


@dataclass(frozen=True)
class Slimming(Making):
    """A set to be slimmed from another, without the real images.

    The options are those of `attar.slimming.request.SlimRequest`, size and seed included.

    Args:
        before: the set that it is made from.
        learns: whether it is trained.
    """

    before: Making = field(kw_only=True)
    learns: bool = field(kw_only=True)

    @property
    def way(self) -> str:
        """``LBS`` where it is trained, else ``LFS``."""
        return LEARNED if self.learns else FREE

    @property
    def first(self) -> Making:
        """The set condensed from real images that the sets before it begin with."""
        return self.before.first

    def slim_request(self, **files: Any) -> SlimRequest:
        """Return the request for `attar.slim`.

        Args:
            **files: ``output``, ``resume``, ``checkpoint_seconds``.

        Raises:
            BadRequest: an option cannot be what it is.
        """
        return SlimRequest(**_options(self.options, files))

    def identity(self) -> dict[str, Any]:
        """Return what the set depends on, the set before it included."""
        return {
            "options": self._bearing(),
            "from": self.before.identity(),
        }


def slug(text: str) -> str:
    """Return a text as a file name; what had to be changed is told apart by a digest."""
    plain = re.sub(r"[^A-Za-z0-9._=-]+", "-", text).strip(".-")
    if plain == text.replace(" ", "-"):
        return plain
    return f"{plain}-{text_digest(text, 3)}"


def source_identity(source: str) -> str:
    """Return a source without its folder, so that data may lie elsewhere on another machine.

    A file is known by its name and size, a folder by its name.
    """
    kind, colon, argument = source.partition(":")
    if kind not in _PATHS or not colon:
        return source
    path = Path(argument).expanduser()
    size = f", {path.stat().st_size} bytes" if path.is_file() else ""
    return f"{kind}:{path.name}{size}"


def absolute_source(source: str) -> str:
    """Return a source whose path, if it has one, does not depend on the current folder."""
    kind, colon, argument = source.partition(":")
    if kind not in _PATHS or not colon:
        return source
    return f"{kind}:{Path(argument).expanduser().absolute()}"
