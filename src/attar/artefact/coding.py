"""A set and what its file keeps of it."""

from __future__ import annotations

from torch import Tensor

from attar.artefact.carried import Carried
from attar.data.preprocessing import Preprocessing
from attar.errors import BadRequest
from attar.storage import Storage
from attar.synthetic import Synthetic, content_of


def encoded(
    synthetic: Synthetic, storage: Storage, preprocessing: Preprocessing
) -> dict[str, Tensor]:
    """Return what a file keeps of a set."""
    content = content_of(synthetic.layout, synthetic.parametrization, preprocessing)
    return storage.encode(synthetic.state_dict(), content)


def rounded(
    synthetic: Synthetic, storage: Storage, preprocessing: Preprocessing
) -> dict[str, Tensor]:
    """Change every value of a set to what is read again once it is kept so; return what is kept."""
    content = content_of(synthetic.layout, synthetic.parametrization, preprocessing)
    values = synthetic.state_dict()
    coded = storage.encode(values, content)
    shapes = {name: tuple(tensor.shape) for name, tensor in values.items()}
    synthetic.load_state_dict(storage.decode(coded, shapes, content))
    return coded


def check_parted(storage: Storage, what: str, advice: str) -> None:
    """Refuse to take some rows of a set by themselves where they are coded together, with a loss.

    Raises:
        BadRequest: they are.
    """
    if not storage.exact:
        raise BadRequest(
            f"{what}: the images are stored as {storage.name}, which codes them together and loses "
            f"something each time; {advice}"
        )


def check_alone(carried: Carried | None, what: str, advice: str) -> None:
    """Refuse what a set is not good for that carries a network to label all of its classes.

    Raises:
        BadRequest: it carries one.
    """
    if carried is not None:
        raise BadRequest(
            f"{what}: the set carries {carried.described.network}, which labels its images at "
            f"every batch and would be lost here; {advice}"
        )
