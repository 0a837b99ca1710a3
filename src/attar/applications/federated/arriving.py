"""A set from a client, who is not trusted: looked at before anything is made of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attar.applications.federated.carrying import completed
from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.budget import format_bytes
from attar.data import LabelledImages
from attar.data.modality import rows_of
from attar.errors import AttarError
from attar.text import printable, short
from attar.training.evaluation_card import EvaluationCard
from attar.training.fitting import fitted

# of a header, and of labels beside images
_BESIDE = 2**20
_TIMES = 4
_LONGEST_NAME = 40


class Refused(Exception):
    """What a client sent is not taken.

    Args:
        why: in words that name neither a path nor an address.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True)
class Expected:
    """What a set may be.

    Args:
        like: data whose shape and preprocessing it has.
        classes: that its client has.
        limit: bytes that it may take, as the papers count.
        card: how networks are trained on it.
    """

    like: LabelledImages
    classes: Sequence[str]
    limit: int
    card: EvaluationCard

    @property
    def longest(self) -> int:
        """Bytes that no message has: file header and labels are counted in."""
        return _TIMES * self.limit + _BESIDE


def opened(data: bytes, expected: Expected) -> Artefact:
    """Return the artefact in a message, read by the loader that trusts nothing.

    Raises:
        Refused: the message is too long, truncated, damaged or something else, or its set has
            another shape, values that are not finite, classes that the client does not have, or
            more bytes than its share.
    """
    refuse_long(data, expected.longest)
    with tempfile.TemporaryDirectory(prefix="attar-arrived-") as folder:
        path = Path(folder) / "set.safetensors"
        path.write_bytes(completed(data, expected.like.preprocessing))
        try:
            artefact = load(path)
            _check(artefact, expected)
        except AttarError as error:
            raise Refused(error.text.replace(str(path), "its set").replace(folder, "")) from None
    return artefact


def refuse_long(data: bytes, longest: int) -> None:
    """Refuse a message above a number of bytes before anything is done with it.

    Raises:
        Refused: it is.
    """
    if len(data) > longest:
        raise Refused(
            f"its message of {format_bytes(len(data))} is longer than any that is allowed "
            f"({format_bytes(longest)})"
        )


def _check(artefact: Artefact, expected: Expected) -> None:
    header, like = artefact.header, expected.like
    if header.shape != like.shape:
        raise Refused(f"its set holds {rows_of(header.shape)}, others {rows_of(like.shape)}")
    others = [name for name in header.class_names if name not in expected.classes]
    if others:
        named = short(printable(others[0]), _LONGEST_NAME)
        raise Refused(f"its set has images of the class {named!r}, which is not its own")
    if artefact.preprocessing != like.preprocessing:
        raise Refused("its set is normalised or whitened otherwise than all others")
    if artefact.totals.paper > expected.limit:
        raise Refused(
            f"its set takes {format_bytes(artefact.totals.paper)}, more than its share of "
            f"{format_bytes(expected.limit)}"
        )
    # centred labels that the card cannot learn
    fitted(expected.card, artefact, like.name)


def checked(
    answers: Mapping[int, bytes], expected: Mapping[int, Expected]
) -> tuple[dict[int, Artefact], dict[int, str]]:
    """Return the artefacts of several clients, and why others are refused, by their numbers."""
    taken: dict[int, Artefact] = {}
    refused: dict[int, str] = {}
    for client, data in answers.items():
        try:
            taken[client] = opened(data, expected[client])
        except Refused as error:
            refused[client] = error.why
    return taken, refused
