"""How many components, or images, a memory holds."""

from __future__ import annotations

import math

from attar.artefact import Artefact
from attar.budget import FLOAT32_BYTES, Budget, Ledger
from attar.errors import BadRequest
from attar.slimming.form import with_components
from attar.synthetic import Layout, Parametrization, Synthetic, planned_ledger
from attar.synthetic.ordered import OrderedImages


def full_image(shape: tuple[int, int, int], classes: int) -> int:
    """Return the bytes of one full float32 image of every class."""
    return classes * math.prod(shape) * FLOAT32_BYTES


def check_smaller(artefact: Artefact, sizes: tuple[int, ...]) -> None:
    """Refuse memories that are not smaller than what the artefact takes.

    Raises:
        BadRequest: naming the largest memory that is.
    """
    layout = artefact.card.layout
    stored = artefact.totals.paper
    most = -(-stored // full_image(layout.shape, layout.classes)) - 1
    if sizes[0] > most:
        now = stored / full_image(layout.shape, layout.classes)
        raise BadRequest(
            f"--ipc {sizes[0]}: the artefact takes the memory of {now:g} images per class already; "
            + (f"1 to {most} are smaller" if most else "nothing smaller holds a whole image")
        )


def components_for(synthetic: Synthetic, ipc: int, storage: str) -> int:
    """Return how many of a set's components per class the memory of ``ipc`` images holds."""
    form = with_components(synthetic.parametrization, 0)
    images = synthetic.images
    assert isinstance(images, OrderedImages)
    return min(images.kept, images_for(form, synthetic.layout, ipc, storage))


def images_for(form: Parametrization, layout: Layout, ipc: int, storage: str) -> int:
    """Return how many images per class of a form the memory of ``ipc`` full images holds.

    Args:
        form: how they are stored.
        layout: classes and shape of the images.
        ipc: the memory, in full float32 images per class.
        storage: type of the stored values.
    """

    def cost(images: int) -> Ledger:
        rows = Layout(layout.classes, images, layout.shape)
        return planned_ledger(rows, form, storage)

    return Budget(ipc=ipc).images(layout.classes, layout.shape, cost)
