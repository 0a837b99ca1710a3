"""Texts without the folders of this machine, for what leaves it: cards, pages, shared files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

_T = TypeVar("_T")
# what begins a place on this machine: root, home, the folder above, a drive, another machine
# (of two strokes: not those of an address, as in https://)
_WEB = r"(?<!http:)(?<!https:)(?<!ftp:)(?<!ssh:)(?<!s3:)(?<!gs:)"
_BEGINNING = (
    rf"(?:file:/+|~[\w.-]*[\\/]|(?:\.\.[\\/])+|{_WEB}//(?=[\w.-])|/(?!/)|[A-Za-z]:[\\/]|\\\\)"
)
# a source, a path, or one behind a network and its settings, alone: its name may have blanks in it
_WHOLE = re.compile(rf"((?:[a-z][\w.=,-]*:)*)\{{?{_BEGINNING}.+", re.DOTALL)
# between the paths of a list
_COMMA = re.compile(rf",(?=\s*{_BEGINNING})")
# what a path follows within a text, and where it ends
_WITHIN = re.compile(rf"(?<![^\s'\"(=:,{{\[]){_BEGINNING}[^\s'\"),;]+")
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")


def without_folders(text: str) -> str:
    """Return a text in which absolute paths, and those from home or above, are only their names.

    What lies below the current folder stays as it is.

    Example:
        >>> without_folders("attar condense 'folder:/home/me/my cats' --experts ~/work/experts")
        "attar condense 'folder:my cats' --experts experts"
    """
    text = _QUOTED.sub(_whole_in_quotes, text)
    return _WITHIN.sub(lambda found: _name(found[0]), text)


def unplaced(value: _T) -> _T:
    """Return plain values, such as those of a header, with every text as `without_folders` does.

    A path that stands alone somewhere is known, and found in the other texts with the blanks in it.
    """
    known = {text: _alone(text) for text in _texts(value) if _WHOLE.fullmatch(text)}
    # a sentence names a source without its kind, too
    known |= {
        text.removeprefix(kind): _alone(text).removeprefix(kind)
        for text in tuple(known)
        if len(kind := _kind(text)) > len("c:")
    }
    return _changed(value, dict(sorted(known.items(), key=lambda one: -len(one[0]))))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list | tuple):
        return [text for one in inside for text in _texts(one)]
    return []


def _changed(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for text, name in known.items():
            value = value.replace(text, name)
        return without_folders(value)
    if isinstance(value, Mapping):
        return {name: _changed(one, known) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_changed(one, known) for one in value)
    return value


def _whole_in_quotes(found: re.Match[str]) -> str:
    mark, inside = found[0][0], found[1] or found[2]
    return f"{mark}{_alone(inside)}{mark}" if _WHOLE.fullmatch(inside) else found[0]


def _alone(text: str) -> str:
    """Return a source or path that is the whole of a text by its name."""
    kind = _kind(text)
    path = text.removeprefix(kind)
    if path.startswith("{") and not path.endswith("}"):  # what follows the folders is the name
        return kind + _name(path)
    brace = path[: path.startswith("{")]
    return kind + brace + ",".join(map(_name, _COMMA.split(path.removeprefix("{"))))


def _kind(text: str) -> str:
    """Return what stands before the path of a text that `_WHOLE` matches."""
    found = _WHOLE.fullmatch(text)
    assert found is not None
    return found[1]


def _name(path: str) -> str:
    """Return the last part of a path."""
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
