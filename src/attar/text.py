"""Names and texts from anywhere, made fit to be shown."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping

from attar.wording import option_of

# controls (C0, DEL, C1), line and paragraph separators, what is invisible or turns the direction
# of what follows (bidirectional embeddings, overrides, isolates and marks, tags, no-break space of
# width zero), and halves of characters, of which names in no encoding consist
_UNFIT = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str, keep: str = "") -> str:
    r"""Return text with every control character written as an escape, in one line.

    Args:
        text: any, such as the name of a class or a file, or what a card says.
        keep: characters that stay as they are, such as a line break of our own.

    Example:
        >>> printable("\x1b[31mcat\n")
        '\\x1b[31mcat\\n'
    """
    return _UNFIT.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def short(text: str, longest: int) -> str:
    """Return a text of at most so many characters; of a longer one both ends, and … between.

    Example:
        >>> short("a-name-of-a-class", 9)
        'a-na…lass'
    """
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return f"{text[: longest - 1 - tail]}…{text[len(text) - tail :]}"


def command_line(
    words: Iterable[object], options: Mapping[str, object], output: object = None
) -> str:
    """Return a command as a shell takes it.

    Args:
        words: the command and what it is about.
        options: by the names of their fields; one of True is a flag, a tuple gives several
            values, and None and False are left out.
        output: what follows ``-o``; None for nothing.

    Example:
        >>> command_line(["attar", "slim", "my set"], {"learning_free": True, "ipc": 2}, "small")
        "attar slim 'my set' --learning-free --ipc 2 -o small"
    """
    parts = list(words)
    for name, value in options.items():
        if value is None or value is False or value == ():
            continue
        values = value if isinstance(value, tuple) else () if value is True else (value,)
        parts += [option_of(name), *values]
    parts += [] if output is None else ["-o", output]
    return shlex.join(map(str, parts))


def counted(number: int, noun: str) -> str:
    """Return a number of things in words.

    Example:
        >>> counted(1, "image"), counted(2_000, "image"), counted(3, "process")
        ('1 image', '2,000 images', '3 processes')
    """
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def written(value: object) -> str:
    """Write a value for people."""
    match value:
        case None | {}:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(map(written, value))
        case _:
            return str(value)


def duration(seconds: float) -> str:
    """Write seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 600:
        return f"{seconds / 60:.1f} min"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def text_digest(text: str, size: int) -> str:
    """Return a digest of a text, of so many bytes, as hexadecimal digits.

    Example:
        >>> text_digest("ipc 10", 3)
        '870319'
    """
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=size).hexdigest()


def printable_json(value: object) -> str:
    """Return a value as JSON in several lines, which reads back as it was."""
    text = json.dumps(value, indent=2, ensure_ascii=False)

    def shown(found: re.Match[str]) -> str:
        # a line break is one between values: those of texts are escapes already
        return found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1]

    return _UNFIT.sub(shown, text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
