"""Names with braces, ``zoo-{000..009}.tar``, as WebDataset 1.0 reads them (braceexpand 0.1.7).

A group is a range of numbers or letters (``{07..10}``, ``{a..g..2}``), which may fall, or a list
(``{train,val}``) whose parts may have groups of their own; braces around anything else stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from string import ascii_lowercase, ascii_uppercase

_NUMBERS = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.-?(\d+))?")
_LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.-?(\d+))?")
# capitals come first, and nothing lies between them and the others
_ALPHABET = ascii_uppercase + ascii_lowercase


def expanded(text: str) -> Iterator[str]:
    """Yield the names that a text stands for, the first group changing slowest.

    Raises:
        ValueError: a brace without its other.

    Example:
        >>> list(expanded("{train,val-{08..10}}.tar"))
        ['train.tar', 'val-08.tar', 'val-09.tar', 'val-10.tar']
    """
    begin, *commas, end = _group(text)
    if end < 0:
        yield text
        return
    inside = text[begin + 1 : end]
    for one in _choices(inside, [comma - begin - 1 for comma in commas]):
        for rest in expanded(text[end + 1 :]):
            yield text[:begin] + one + rest


def _group(text: str) -> list[int]:
    """Return where the first group begins, its own commas are, and it ends; -1 for no group."""
    depth, places = 0, []
    for place, sign in enumerate(text):
        if sign == "{":
            depth += 1
            places += [place] if depth == 1 else []
        elif sign == "}":
            depth -= 1
            if depth <= 0:
                places.append(place)
                break
        elif sign == "," and depth == 1:
            places.append(place)
    if depth:
        raise ValueError("a brace without its other")
    return places or [-1, -1]


def _choices(inside: str, commas: list[int]) -> Iterable[str]:
    if found := _NUMBERS.fullmatch(inside):
        return _numbers(*found.groups())
    if found := _LETTERS.fullmatch(inside):
        first, last, step = found.groups()
        places = _range(_ALPHABET.index(first), _ALPHABET.index(last), step)
        return (_ALPHABET[place] for place in places)
    if not commas:
        return (f"{{{one}}}" for one in expanded(inside))
    bounds = [-1, *commas, len(inside)]
    parts = (inside[a + 1 : b] for a, b in pairwise(bounds))
    return (one for part in parts for one in expanded(part))


def _numbers(first: str, last: str, step: str | None) -> Iterator[str]:
    padded = any(re.match(r"-?0\d", text) for text in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return (f"{one:0{width}d}" for one in _range(int(first), int(last), step))


def _range(first: int, last: int, step: str | None) -> range:
    by = int(step or 1) or 1
    return range(first, last + 1, by) if first <= last else range(first, last - 1, -by)
