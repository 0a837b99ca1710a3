"""How many components, or images, a memory holds."""

from __future__ import annotations

from attar.artefact.artefact import Artefact
from attar.budget import Budget
from attar.errors import BadRequest
from attar.synthetic import Synthetic, components_of, images_within


def check_equal(artefact: Artefact) -> None:
    """Refuse a set whose classes have different numbers of images.

    Raises:
        BadRequest: it is one.
    """
    if not artefact.header.layout.is_equal:
        raise BadRequest(
            f"the set has {artefact.header.count} images per class; only one with as many of every "
            "class can be slimmed. Condense again with less memory"
        )


def check_smaller(artefact: Artefact, sizes: tuple[int, ...]) -> None:
    """Refuse memories that are not smaller than what the artefact takes.

    Raises:
        BadRequest: naming the largest memory that is.
    """
    layout = artefact.header.layout
    stored, full = artefact.totals.paper, Budget(ipc=1).limit(layout.classes, layout.shape)
    assert full is not None
    most = -(-stored // full) - 1
    if sizes[0] > most:
        now = stored / full
        raise BadRequest(
            f"--ipc {sizes[0]}: the artefact takes the memory of {now:g} images per class already; "
            + (f"at most {most} is smaller" if most else "nothing smaller holds a whole image")
        )


def components_for(synthetic: Synthetic, ipc: int, storage: str) -> int:
    """Return how many of a set's components per class the memory of ``ipc`` images holds."""
    form, own = synthetic.parametrization.smaller(), components_of(synthetic)
    assert form is not None and own is not None
    return min(own.images.kept, images_within(ipc, synthetic.layout, form, storage))
