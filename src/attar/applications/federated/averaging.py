"""FedAvg: weights of one network travel, and are averaged by how many images each saw.

Source: McMahan et al., Communication-efficient learning of deep networks from decentralized data,
2017.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from attar.applications.federated.arriving import Refused, refuse_long
from attar.errors import AttarError
from attar.stored import open_stored
from attar.tensors import all_finite, save_tensors
from attar.training.evaluation_card import EvaluationCard

_FORMAT = "attar federated weights"
# as an artefact, its file says of which version it is, so that it has to have checksums
_VERSION = 2
_BESIDE = 2**20

Weights = Mapping[str, Tensor]


def local_card(epochs: int) -> EvaluationCard:
    """Return how a client trains between two averages: plain SGD at one rate."""
    return EvaluationCard(
        "fedavg",
        "FedAvg: local epochs of SGD",
        epochs,
        "none",
        batch=32,
        schedule="constant",
        one_more=False,
    )


def packed(tensors: Weights, images: int) -> bytes:
    """Return weights as one message.

    Args:
        tensors: parameters and buffers by name.
        images: on which they were trained.
    """
    header = {"format": _FORMAT, "version": _VERSION, "images": images}
    with tempfile.TemporaryDirectory(prefix="attar-weights-") as folder:
        path = Path(folder) / "weights.safetensors"
        save_tensors(path, tensors, header)
        return path.read_bytes()


def unpacked(data: bytes, like: Weights, most: int) -> tuple[dict[str, Tensor], int]:
    """Return the weights in a message, and on how many images they were trained.

    Args:
        data: the message, which is not trusted.
        like: tensors of the same names, shapes and types.
        most: images that there are.

    Raises:
        Refused: it is no such message.
    """
    refuse_long(data, _BESIDE + 2 * sum(one.numel() * one.element_size() for one in like.values()))
    with tempfile.TemporaryDirectory(prefix="attar-weights-") as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(data)
        try:
            with open_stored(path) as stored:
                header, found = stored.header, stored.all()
        except AttarError as error:
            raise Refused(error.text.replace(str(path), "its message")) from None
    images = header.get("images")
    if header.get("format") != _FORMAT or type(images) is not int or not 1 <= images <= most:
        raise Refused("its message holds no weights")
    if {name: (one.shape, one.dtype) for name, one in found.items()} != {
        name: (one.shape, one.dtype) for name, one in like.items()
    }:
        raise Refused("its weights are of another network")
    if not all_finite(found):
        raise Refused("its weights are NaN or Inf")
    return found, images


def averaged(parts: Sequence[tuple[Weights, int]]) -> dict[str, Tensor]:
    """Return the mean of weights, each by the images that it was trained on.

    What is counted in whole numbers, as normalisation does, is that of the first.
    """
    total = sum(images for _, images in parts)
    found = {}
    for name, first in parts[0][0].items():
        if first.is_floating_point():
            weighted = (one[name].double() * (images / total) for one, images in parts)
            found[name] = sum(weighted, first.double() * 0).to(first.dtype)
        else:
            found[name] = first
    return found
