"""The network that a set carries, as a module for a training loop of one's own."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from attar import compute as computing
from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.errors import BadRequest
from attar.teachers.carried import teacher_inside


def teacher_of(artefact: Artefact | str | Path, device: str = "auto") -> nn.Module:
    """Return the network that a set carries, to label what is made of its images.

    Args:
        artefact: the set, or its file.
        device: where the network is to be: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns:
        A module in evaluation mode, without gradients: from B×C×H×W float32 network inputs, as the
        set gives them, augmented or mixed or not, to B×K scores.

    Raises:
        BadRequest: the set carries none.
        ArtefactError: the file is no artefact, or its values are not those of its network.

    Example:
        >>> teacher = attar.teacher_of("kd.safetensors")  # doctest: +SKIP
        >>> teacher(images).softmax(dim=1)  # doctest: +SKIP
    """
    own = artefact if isinstance(artefact, Artefact) else load(artefact)
    compute = computing.choose(device, "float32", "off", pixels=0.0)
    found = teacher_inside(own, compute)
    if found is None:
        raise BadRequest(
            f"teacher_of: {own!r} carries no network; condense with --teacher-storage int8 or "
            "--method kd, or give attar.evaluate a teacher of its own"
        )
    return found.module()
