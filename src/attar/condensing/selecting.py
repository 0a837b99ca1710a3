"""Which images are condensed and which select the iterate, and what is told of all parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attar.condensing.request import Request
from attar.data import LabelledImages, Splits
from attar.data.dividing import joined
from attar.data.identity import digest_of
from attar.errors import BadRequest
from attar.rng import Key

# the smallest class must have this many images before some are held out unasked
_HELD_OUT_FROM = 20
_HELD_OUT = 0.1


@dataclass(frozen=True)
class Selection:
    """The images that a run learns from, and those that select its iterate.

    Args:
        condensed: what the set is made from.
        selecting: what selects the iterate; None without selection.
        held_out: the share of every class of the training images that selects; 0 for none, or
            where ``selecting`` is a part of its own.
    """

    condensed: LabelledImages
    selecting: LabelledImages | None = None
    held_out: float = 0.0

    def facts(self, request: Request, splits: Splits) -> dict[str, Any]:
        """Return what an artefact tells of the parts: numbers of images, and how they were made.

        ``given`` are the images before a test part was cut off, ``test_share`` is what was cut
        off, ``held_out`` the training images and ``validation`` those of a part of its own that
        select the iterate. ``digest`` tells the training images from others.
        """
        own = splits.validation
        selecting = 0 if self.selecting is None else len(self.selecting)
        unused = ""
        if own is not None and self.selecting is not own:
            why = "" if request.validation is None else f" (--validation {request.validation:g})"
            unused = f"the {len(own):,} validation images are not used{why}"
        return {
            "note": joined(splits.note, unused),
            "given": splits.given,
            "test": 0 if splits.test is None else len(splits.test),
            "test_share": splits.test_share,
            "validation": selecting if self.selecting is own else 0,
            "held_out": selecting if self.held_out else 0,
            "condensed": len(self.condensed),
            "digest": digest_of(splits.train),
        }


def select(request: Request, splits: Splits) -> Selection:
    """Return the images to condense and those that select the iterate, if any.

    A validation part selects where nothing else is asked for. Without one, a share of the
    training images is held out: the one asked for, or a tenth where no class is small. Of one
    class nothing selects.

    Raises:
        BadRequest: a share is asked for, and there is one class.
    """
    train, share = splits.train, request.validation
    if train.classes == 1:
        if share:
            raise BadRequest(
                f"--validation {share:g}: iterates are selected by how well networks tell classes "
                "apart, and there is one class; leave it out"
            )
        return Selection(train)
    if share is None:
        if request.chosen.coreset:
            return Selection(train)
        if splits.validation is not None:
            return Selection(train, splits.validation)
        smallest = min(len(index) for index in train.indices_of_class)
        share = _HELD_OUT if smallest >= _HELD_OUT_FROM else 0.0
    if share == 0:
        return Selection(train)
    return Selection(*train.split(share, Key(request.seed).fold("held out")), share)
