"""A teacher that travels in the file of a set: made for it, and taken out of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.artefact.carried import Carried, Described, described_as
from attar.compute import Compute
from attar.errors import ArtefactError, BadRequest
from attar.networks import Network, make_for, outlined_for
from attar.networks.from_timm import NeedsWeights
from attar.networks.registry import OWN
from attar.rng import Key
from attar.teachers.teacher import PREFIX, TRAINED, Teacher, tensors_of
from attar.training.evaluation_card import EvaluationCard

# where one came from that lay in the file of a set
INSIDE = "in the set"


def carried_by(teacher: Teacher, storage: str) -> Carried:
    """Return a teacher as the file of a set keeps it.

    Args:
        teacher: that labels what is made of the set's images.
        storage: of its matrices and kernels, such as ``int8``.

    Raises:
        BadRequest: it is a user's own module, which no name stands for, or was trained on pixels
            normalized in another way, or the storage cannot keep it.
    """
    check_travels(teacher, storage)
    return Carried.of(teacher.network.name, _unprefixed(teacher.tensors), storage)


def as_carried(teacher: Teacher, storage: str) -> Teacher:
    """Return a teacher with the values that the file of a set gives back.

    Raises:
        BadRequest: as `carried_by` does.
    """
    device = teacher.compute.device
    found = carried_by(teacher, storage).tensors()
    kept = {PREFIX + name: one.to(device) for name, one in found.items()}
    return dataclasses.replace(teacher, tensors={**teacher.tensors, **kept})


def check_travels(teacher: Teacher, storage: str) -> None:
    """Refuse a teacher that no file of a set can carry.

    Raises:
        BadRequest: a user's own module, an architecture of others that no name of a network here
            stands for, or one of pixels normalized in another way.
    """
    _refuse_own(teacher.network, storage)
    if teacher.rescaling is not None:
        raise BadRequest(
            f"--teacher-storage {storage}: {teacher.network.name} was trained on pixels normalized "
            "otherwise than those of the set, and would label others; leave --teacher out to have "
            "one trained, or give --teacher-storage none"
        )
    if teacher.origin != TRAINED and not _is_by_name(teacher):
        raise BadRequest(
            f"--teacher-storage {storage}: the weights of {teacher.origin} are not those of a "
            f"network that is called {teacher.network.name} here, as a file would say; give those "
            "of timm:NAME or of a network that 'attar networks' lists, or --teacher-storage none"
        )


def _is_by_name(teacher: Teacher) -> bool:
    """Whether the name of a teacher's network alone stands for tensors as it has them."""
    known = teacher.network
    try:
        made = make_for(known.name, (known.channels, *known.size), known.classes)
    except BadRequest:
        return False
    return _shapes(tensors_of(made.draw(Key(0)))) == _shapes(teacher.tensors)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of values by name; whole numbers, which norms count with, left out."""
    return {name: tuple(one.shape) for name, one in tensors.items() if one.is_floating_point()}


def planned_for(network: Network, storage: str) -> Described:
    """Return what the header of a set will say of a teacher, before it is there.

    Raises:
        BadRequest: a user's own module, or no such storage.
    """
    _refuse_own(network, storage)
    shape = (network.channels, *network.size)
    try:
        module = outlined_for(network.name, shape, network.classes)
    except NeedsWeights:
        module = network.draw(Key(0))
    return described_as(network.name, _unprefixed(tensors_of(module)), storage)


def teacher_under(card: EvaluationCard, artefact: Artefact, compute: Compute) -> Teacher | None:
    """Return the teacher inside a set under a card that learns from one, else None.

    Raises:
        ArtefactError: as `teacher_inside`.
    """
    return teacher_inside(artefact, compute) if card.loss == "kl" else None


def teacher_inside(artefact: Artefact, compute: Compute) -> Teacher | None:
    """Return the teacher that the file of a set carries; None where it carries none.

    Args:
        artefact: the set.
        compute: device, precision and compilation.

    Raises:
        ArtefactError: its values are not those of its network.
    """
    carried, header = artefact.carried, artefact.header
    if carried is None:
        return None
    name, classes = carried.described.network, len(header.class_names)
    values = {PREFIX + value: tuple(shape) for value, shape in carried.described.shapes.items()}
    # a name alone asks for any size, so that sizes are compared before any weights are drawn;
    # networks of timm have other names where they are parted
    asked = _shapes(tensors_of(outlined_for(name, header.shape, classes)))
    fits = sorted(asked.values()) == sorted(values.values())
    network = make_for(name, header.shape, classes) if fits else None
    wanted = {} if network is None else tensors_of(network.draw(Key(0)))
    if network is None or _shapes(wanted) != values:
        raise ArtefactError(
            f"the set does not carry the weights of {name}, as its header says; fetch its file "
            "again"
        )
    found = {PREFIX + value: one for value, one in carried.tensors().items()}
    tensors = {name: found.get(name, one).to(compute.device) for name, one in wanted.items()}
    return Teacher(network, compute, tensors, origin=INSIDE)


def _unprefixed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of a teacher by their names in its module."""
    return {name.removeprefix(PREFIX): one for name, one in tensors.items()}


def _refuse_own(network: Network, storage: str) -> None:
    if network.name.partition(":")[0] == OWN:
        raise BadRequest(
            f"--teacher-storage {storage}: a module given from Python has no name by which a file "
            "could say what it is; give --teacher the name of a network"
        )
