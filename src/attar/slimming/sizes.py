"""How many components, or images, a memory holds."""

from __future__ import annotations

from attar.artefact import Artefact
from attar.budget import Budget, Ledger
from attar.errors import BadRequest
from attar.slimming.form import with_components
from attar.synthetic import Layout, Parametrization, Synthetic, planned_ledger
from attar.synthetic.ordered import OrderedImages


def check_smaller(artefact: Artefact, sizes: tuple[int, ...]) -> None:
    """Refuse memories that are not smaller than what the artefact takes.

    Raises:
        BadRequest: naming the largest memory that is.
    """
    layout = artefact.card.layout
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
