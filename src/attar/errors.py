"""The errors that Attar raises: one family, so that callers can catch one name.

A message names the option, the value given, what is allowed and the next step. It is written with
``--name value``, as the command line shows it; from Python it reads ``name=value``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from attar.text import printable
from attar.wording import worded


class AttarError(Exception):
    """Base of every error that Attar raises on purpose.

    Args:
        message: one or two sentences. What cannot be shown in the names that it repeats is
            written as escapes.
    """

    exit_status = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))

    def __str__(self) -> str:
        return worded(self.text)

    @property
    def text(self) -> str:
        """The message as the command line words it, whoever asked."""
        return str(self.args[0])


class BadRequest(AttarError, ValueError):
    """The request cannot be carried out as given; nothing was started. Exit status 2."""

    exit_status = 2


class ArtefactError(BadRequest):
    """A file is not an artefact that this version can read."""


class RunFailed(AttarError, RuntimeError):
    """A run that had begun could not go on; what it wrote before is kept. Exit status 1."""


class Interrupted(RunFailed):
    """A run was asked to stop, and did after writing a checkpoint. Exit status 1."""


def unknown(kind: str, given: str, allowed: Iterable[str]) -> BadRequest:
    """Return the refusal of a name, with the near names first."""
    names = sorted(allowed)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    return BadRequest(f"unknown {kind} {given!r}{hint}. There is: {', '.join(names)}.")
