"""Things by name: Attar's own, and those that others bring, by a call or by an installed package.

A package brings its own by an entry point of the group ``attar.methods``, which leads to anything
that `register` takes, or to a list of such. Entry points are looked at where all names are asked
for, or one that is not there.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from attar.errors import BadRequest

GROUP = "attar.methods"

T = TypeVar("T")

# modules with a registry; the first three are free of torch, which takes seconds to import
_HOMES = (
    *("attar.methods.catalogue", "attar.networks.families", "attar.training.cards"),
    *("attar.objectives", "attar.synthetic", "attar.coresets", "attar.storage"),
)
_ALL: list[Registry[Any]] = []


class Registry(Mapping[str, T]):
    """Things of one kind by their ``name``.

    Args:
        kind: what one is called, such as ``method``.
        accepts: tells whether an object is such a thing.
        own: those that come with Attar.
        dashes: whether names may have dashes, as those of cards.
    """

    def __init__(
        self,
        kind: str,
        accepts: Callable[[object], bool],
        own: Iterable[T],
        *,
        dashes: bool = False,
    ) -> None:
        self.kind = kind
        self.accepts = accepts
        self.dashes = dashes
        self.own = {_name(thing): thing for thing in own}
        self._added: dict[str, T] = {}
        _ALL.append(self)

    def __getitem__(self, name: str) -> T:
        for known in (self.own, self._added):
            if name in known:
                return known[name]
        _discover()
        return self._added[name]

    def __iter__(self) -> Iterator[str]:
        _discover()
        return iter({**self.own, **self._added})

    def __len__(self) -> int:
        _discover()
        return len(self.own) + len(self._added)

    def add(self, thing: T, *, replace: bool = False) -> None:
        """Add one.

        Args:
            thing: the method, or the class.
            replace: whether it may stand in for another that was added under its name.

        Raises:
            BadRequest: another thing has its name.
        """
        name = _name(thing)
        plain = name.replace("-", "_" if self.dashes else "-") if isinstance(name, str) else ""
        if not plain.isidentifier():
            raise BadRequest(
                f"{self.kind} {name!r}: a name of letters, digits and _ is needed, such as mine"
            )
        before = self.own.get(name, self._added.get(name))
        if before is not None and before != thing and not (replace and name not in self.own):
            raise BadRequest(f"{self.kind} {name!r} is there already: choose another name")
        if name not in self.own:
            self._added[name] = thing


def register(thing: T, *, replace: bool = False) -> T:
    """Make a method, a part of one, a network or a card known by its name.

    A method then appears in ``attar methods``, in suites and in cards; artefacts in a form of
    your own load. It returns what it is given, so it serves as a decorator of a class.

    Args:
        thing: an `attar.Method`; a subclass of `attar.objectives.Objective`,
            `attar.synthetic.Parametrization`, `attar.storage.Storage` or
            `attar.coresets.Selector`; an `attar.networks.Family`; or an
            `attar.training.EvaluationCard`.
        replace: whether it may stand in for one that was registered under its name.

    Raises:
        BadRequest: it is none of these, or its name is taken.
    """
    for home in _HOMES:
        importlib.import_module(home)
        for registry in _ALL:
            if registry.accepts(thing):
                registry.add(thing, replace=replace)
                return thing
    raise BadRequest(
        f"{thing!r} cannot be registered: give an attar.Method, the class of an objective, a form, "
        "a storage or a selector, an attar.networks.Family, or an attar.training.EvaluationCard"
    )


def _name(thing: Any) -> Any:
    return getattr(thing, "name", None)


_DISCOVERED = False


def _discover() -> None:
    """Register what installed packages bring; one that cannot be loaded is told, and left out."""
    global _DISCOVERED
    if _DISCOVERED:
        return
    _DISCOVERED = True
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP):
        try:
            found = point.load()
            for thing in found if isinstance(found, list | tuple) else (found,):
                register(thing)
        # a package may fail in any way, and Attar does not depend on it
        except Exception as error:
            warnings.warn(
                f"the package {point.dist.name if point.dist else point.value!r} brings "
                f"{point.name!r}, which cannot be used: {type(error).__name__}: {error}",
                stacklevel=2,
            )
