"""How a message names options: as the command line does, or as Python does.

Messages are written with ``--bytes 3kB``. From Python they read ``max_bytes=3kB``;
commands that a message gives whole, such as 'attar experts …', stay as they are.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import TypeVar

_V = TypeVar("_V")

_COMMAND = r"'attar [^']*'|\battar [a-z]+ [^;,()]*"
_OPTION = re.compile(rf"{_COMMAND}|(?<![\w-])(--[a-z][a-z-]*|-o\b)(?: (-?\d\S*|[^\s-]\S*))?")
# what follows an option in a sentence and is no value of it
_WORDS = frozenset(
    (
        *("alone", "and", "apart", "are", "as", "brings", "continues", "does", "for", "gives"),
        *("goes", "hold", "holds", "if", "is", "it", "join", "means", "need", "needs", "off", "or"),
        *("out", "replaces", "says", "starts", "such", "takes", "that", "they", "to", "use"),
        *("where", "which", "with", "works"),
    )
)
# what Python calls an option whose own name is a builtin there, or leaves open what it counts
KEYWORDS = {
    "set": "settings",
    "bytes": "max_bytes",
    "compile": "torch_compile",
    "float": "floats",
    "images_per_class": "synthetic_per_class",
}
_OPTIONS = {keyword: option for option, keyword in KEYWORDS.items()}
_NAMES = {"-o": "output", "--range": "value_range", "--slim-set": "slim_settings"}

_as_options = False


@contextlib.contextmanager
def as_options() -> Iterator[None]:
    """Let messages name options as the command line does, until the block ends."""
    global _as_options
    before, _as_options = _as_options, True
    try:
        yield
    finally:
        _as_options = before


def worded(text: str) -> str:
    """Return a message as whoever asked names options."""
    return text if _as_options else in_python(text)


def in_python(text: str) -> str:
    """Return a message with keywords in place of options.

    Example:
        >>> in_python("--images-per-class 3: give --ipc or --bytes, not both")
        'synthetic_per_class=3: give ipc or max_bytes, not both'
    """
    return _OPTION.sub(_keyword, text)


def option_of(keyword: str) -> str:
    """Return the command line's name of a keyword.

    Example:
        >>> option_of("max_bytes"), option_of("max_minutes")
        ('--bytes', '--max-minutes')
    """
    return f"--{word_of(keyword).replace('_', '-')}"


def word_of(keyword: str) -> str:
    """Return what suites call a keyword: the command line's name, with underscores."""
    return _OPTIONS.get(keyword, keyword)


def as_keywords(options: Mapping[str, _V]) -> dict[str, _V]:
    """Return options by the names that Python gives them; suites have those of the command line."""
    return {KEYWORDS.get(name, name): value for name, value in options.items()}


def _keyword(found: re.Match[str]) -> str:
    option, value = found[1], found[2]
    if option is None:
        return found[0]
    name = option.lstrip("-").replace("-", "_")
    name = _NAMES.get(option) or KEYWORDS.get(name, name)
    if value is None:
        return name
    if value.strip(".,;()") in _WORDS:
        return f"{name} {value}"
    # --set has pairs for values
    return (
        f"setting {value}" if option == "--set" and re.match(r"\w+=", value) else f"{name}={value}"
    )
