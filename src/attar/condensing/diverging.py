"""Whether a run has probably diverged, told from how far its images are from real ones."""

from __future__ import annotations

import torch

from attar.artefact.artefact import Artefact
from attar.condensing.plan import Plan
from attar.data.images import LabelledImages

# LoDM of the digits, one image a class, ConvNet2 with batch normalization: 4 times after 3 steps;
# 12 times after 100, and 24 after 1,000, where networks trained on the set only guess
_FAR = 10.0
# updates before which nothing is said: so few are a try, and no run that could have gone well
_LEAST = 10
# images of each kind that are looked at
_MOST = 256


def strayed(artefact: Artefact, plan: Plan) -> tuple[str, ...]:
    """Return what should be known of images whose values are far larger than real ones.

    Only of networks with batch normalization. Those that normalize each image by itself hardly see
    its scale, and a set may be a good one however large its values are.

    Args:
        artefact: what came of a run, with rows as network inputs.
        plan: of the run.
    """
    if artefact.header.step < _LEAST or not plan.network.mixes_samples():
        return ()
    with torch.no_grad():
        own = artefact.synthetic.images(_some(len(artefact))).std().item()
    real = _deviation(plan.train)
    if not own > _FAR * real > 0:
        return ()
    leading = plan.recipe.leading
    rate = "" if leading is None else f" (now {leading.lr:g})"
    return (
        f"the images have a standard deviation of {own:.3g}, real ones of {real:.2g}: in "
        f"{plan.network.name} the run has probably diverged; lower --lr{rate}, or choose a network "
        "with another norm, such as convnet3",
    )


def _deviation(data: LabelledImages) -> float:
    """Return the standard deviation of the network inputs of real images."""
    return data.take(_some(len(data))).std().item()


def _some(count: int) -> torch.Tensor:
    """Return indices of at most so many rows as are looked at, evenly spread."""
    return torch.arange(0, count, max(1, -(-count // _MOST)))
