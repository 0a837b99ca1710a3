"""How many images a network takes in one call whose graph is kept, by what memory that needs."""

from __future__ import annotations

from attar.capacity import check_memory
from attar.compute import GRAPH, Compute
from attar.networks import Network

# of what layers give and its gradients, the part that is there at once: a quarter, and in two
# bytes for a value half of that
_AT_ONCE = {"float32": 4, "bfloat16": 8}


def images_per_call(network: Network, compute: Compute, batch: int, networks: int = 1) -> int:
    """Return how many images of a batch go through networks at once.

    What they take decides, not what is free, so that a run repeats on another machine. A GPU is
    given whole batches, and so is batch normalization, which is of the whole batch.

    Args:
        network: what is trained.
        compute: device and precision.
        batch: images of each network, B.
        networks: that are trained in one step.
    """
    if compute.device.type != "cpu" or network.mixes_samples():
        return batch
    most = max(1, GRAPH // (network.graph_bytes * networks))
    calls = -(-batch // most)
    return -(-batch // calls)


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
    check_memory(
        images * network.graph_bytes // _AT_ONCE[compute.precision],
        f"{images} images at once in {network.name}, where batch normalization lets all affect "
        "each other,",
        f"{remedy}, or choose a network with another norm, such as convnet3",
    )
