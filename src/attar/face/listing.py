"""What there is, by name; free of torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from attar.errors import BadRequest


def list_methods(pattern: str = "*") -> list[str]:
    """Return the names of the methods, registered ones among them.

    Args:
        pattern: such as ``lo*``; as in file names.

    Example:
        >>> list_methods("fast*")
        ['fastdm', 'fastlodm', 'fastkfs', 'fastdc', 'fastlodc']
    """
    from attar.methods import METHODS

    return _matching(METHODS, pattern)


def list_networks(pattern: str = "*") -> list[str]:
    """Return the names of the networks; ``N`` stands for a depth.

    Example:
        >>> list_networks("convnet*")
        ['convnetN']
    """
    from attar.networks.families import rows

    return _matching((name for name, *_ in rows()), pattern)


def list_sources(pattern: str = "*") -> list[str]:
    """Return what images can be read from; words in capitals stand for what follows.

    Example:
        >>> list_sources("folder*")
        ['folder:DIR']
    """
    from attar.data import source_rows

    return _matching((name for name, *_ in source_rows()), pattern)


def list_cards(pattern: str = "*") -> list[str]:
    """Return the names of the evaluation cards.

    Example:
        >>> list_cards("dc-*")
        ['dc-300', 'dc-1000']
    """
    from attar.training.cards import CARDS

    return _matching(CARDS, pattern)


def list_recipes(pattern: str = "*") -> list[str]:
    """Return the names of the training recipes, which the papers' evaluations call cards.

    Each fixes optimiser, schedule, loss, augmentation and epochs of a network that is trained on
    a set; `list_cards` returns the same.

    Example:
        >>> list_recipes("dc*")
        ['dc-300', 'dc-1000']
    """
    return list_cards(pattern)


def list_tables(pattern: str = "*") -> list[str]:
    """Return the ids of the papers' tables, as `attar.published.published` takes them.

    Example:
        >>> list_tables("plugin/1")
        ['plugin/1']
    """
    from attar.published import TABLES

    return _matching((table.id for table in TABLES), pattern)


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    if not isinstance(pattern, str):
        raise BadRequest(f"pattern={pattern!r}: a text is needed, such as 'lo*'")
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]
