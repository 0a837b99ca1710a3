"""Whether experts were trained on the images that a set is condensed from."""

from __future__ import annotations

import warnings
from pathlib import Path

from attar.data import LabelledImages
from attar.data.identity import is_digest_of
from attar.errors import BadRequest
from attar.experts.header import Header


def check_images(folder: Path, header: Header, train: LabelledImages) -> None:
    """Refuse experts of other classes, and warn of those that saw other images of the same ones.

    A part of the images that the experts saw may be meant; other classes, or the same in another
    order, would be matched to the wrong outputs.

    Args:
        folder: of the store, for messages.
        header: of the store.
        train: the images to condense, before any are held out.

    Raises:
        BadRequest: images and classes differ.
    """
    if not header.data or is_digest_of(header.data, train):
        return
    refuse_other_classes(header, train, f"--experts {folder}", "condense")
    told = header.provenance
    warnings.warn(
        f"--experts {folder}: these were trained on other images ({told.get('images')} of "
        f"{told.get('source')}, here {len(train)}); if that is not meant, train others with the "
        "same options of reading",
        stacklevel=2,
    )


def refuse_other_classes(header: Header, train: LabelledImages, said: str, verb: str) -> None:
    """Refuse experts of other classes, or of the same in another order.

    Args:
        header: of the store.
        train: the images.
        said: how messages call the experts.
        verb: what is to be done with the images.

    Raises:
        BadRequest: they are of others.
    """
    there, wanted = header.provenance.get("classes"), list(train.class_names)
    if there is not None and there != wanted:
        raise BadRequest(
            f"{said}: these were trained on the classes {_listed(there)}, not on "
            f"{_listed(wanted)}; {verb} the same classes in the same order, or train others"
        )


def _listed(names: list[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
