"""How many images a network takes in one call whose graph is kept, by what memory that needs.

Shape letters: M networks, B images of a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from attar import capacity
from attar.compute import GRAPH, Compute, peak_memory
from attar.memory import kept_memory
from attar.networks import Network
from attar.training.batches import largest
from attar.training.evaluation_card import EvaluationCard
from attar.training.losses import loss, summed

# images and targets of one network
Batch = tuple[Tensor, Tensor]
# scores, targets and loss of one call
Call = tuple[Tensor, Tensor, Tensor]

# of what layers give and its gradients, the part that is there at once: a quarter at least, in two
# bytes for a value half of that; more is not refused on a guess
_AT_ONCE = {"float32": 4, "bfloat16": 8}


def most_per_call(network: Network, compute: Compute, networks: int = 1) -> int | None:
    """Return how many images of a batch go through networks at once at most; None for all.

    What they take decides, not what is free, so that a run repeats on another machine. A GPU is
    given whole batches, and so is batch normalization, which is of the whole batch.

    Args:
        network: what is trained.
        compute: the device.
        networks: that are trained in one step.
    """
    if compute.device.type != "cpu" or network.mixes_samples():
        return None
    return max(1, GRAPH // max(1, network.graph_bytes * networks))


def evenly(count: int, most: int | None) -> int:
    """Return the size of parts of a batch, none larger than ``most`` and about as large as others.

    Args:
        count: images of the batch.
        most: as `most_per_call` returns it.
    """
    return count if most is None else -(-count // -(-count // most))


def in_parts(
    batches: Sequence[Batch],
    scored: Callable[[Sequence[Batch]], Batch],
    card: EvaluationCard,
    most: int | None,
    *,
    filled: bool,
) -> Iterator[Call]:
    """Score batches in as many calls as are needed; their losses add up to that of the batch.

    Args:
        batches: images (B×C×H×W) and targets of each of M networks.
        scored: from a part of each to scores and targets; of several networks with an axis of M
            before.
        card: says the loss, which is summed over networks and a mean over images.
        most: images in one call at most, as `most_per_call` returns it.
        filled: whether a shorter last part is filled up, since what is compiled is compiled for
            every number of images.
    """
    of_all = loss if len(batches) == 1 else summed
    whole = len(batches[0][0])
    size = evenly(whole, most)
    for first in range(0, whole, size):
        now = slice(first, first + size)
        part = [(images[now], truth[now]) for images, truth in batches]
        count = len(part[0][0])
        given = [(_filled(images, size), truth) for images, truth in part] if filled else part
        scores, wanted = scored(given)
        scores = scores.narrow(-2, 0, count)
        found = of_all(scores, wanted, card.loss, card.temperature)
        if size < whole:
            found = found * (count / whole)
        yield scores, wanted, found


def _filled(images: Tensor, size: int) -> Tensor:
    """Return images followed by copies of the first one, so many that there are ``size``."""
    missing = size - len(images)
    return torch.cat([images, images[:1].expand(missing, *images.shape[1:])]) if missing else images


def check_whole(network: Network, compute: Compute, images: int, remedy: str) -> None:
    """Refuse what memory cannot hold in one call, where batch normalization needs one.

    On a GPU nothing is refused: it tells by itself.

    Args:
        network: what they go through.
        compute: device and precision.
        images: that go through it at once.
        remedy: what to do, beside another norm.

    Raises:
        BadRequest: what is kept of the call for the way back takes more than there is.
    """
    if compute.device.type != "cpu" or not network.mixes_samples():
        return
    capacity.check_memory(
        images * network.graph_bytes // _AT_ONCE[compute.precision],
        f"{images} images at once in {network.name}, where batch normalization lets all affect "
        "each other,",
        f"{remedy}, or choose a network with another norm, such as convnet3",
        # what was freed may be kept for the next time, and is not free then; so it may where it
        # is not told, up to what was held once
        max(capacity.available_memory() + kept_memory(), peak_memory(compute.device)),
    )


def check_batches(
    network: Network, compute: Compute, card: EvaluationCard, images: int, remedy: str
) -> None:
    """Refuse a training whose largest batch memory cannot hold, as `check_whole` does.

    Args:
        network: what is trained.
        compute: device and precision.
        card: the recipe.
        images: of the set.
        remedy: what to do, beside another norm.

    Raises:
        BadRequest: it cannot.
    """
    if not card.kernel:
        check_whole(network, compute, largest(card, images, network.classes), remedy)
