"""IDC: gradients of one class at a time in networks trained on real data, on images cut into tiles.

Source: Kim et al., Dataset Condensation via Efficient Synthetic-Data Parameterization (IDC), 2022,
and the options of their code. A dataset that they did not use gets the settings of CIFAR-10, or
those of ImageNet-10 from 96 pixels on.

The authors keep pixels from 0 to 1, whose learning rate is the one published; here network inputs
are stored, which are pixels divided by a deviation σ, so the rate is divided by the square of
``Task.deviation``, one number for all channels.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import ClasswiseMatching
from attar.optimisers import Optimiser
from attar.shapes import least_side
from attar.synthetic import Parametrization, Pixels, Tiled

MOMENTUM = 0.5
NETWORKS = 2000
# from so many pixels along a side on, images are large
LARGE = 96


@dataclass(frozen=True)
class Recorded:
    """What the authors recorded for a dataset.

    Args:
        lr: of pixels from 0 to 1, at 10 images per class and a side of ``base``.
        distance: of the gradients.
        samples: real images that a network is trained on between two sweeps.
        base: side of the images that the rate is for.
        networks: drawn in a whole run.
        mixed: probability of CutMix while these are trained.
        pretrain: passes over the data before a network is used.
    """

    lr: float = 5e-3
    distance: str = "conv_mse"
    samples: int = 500
    base: int = 32
    networks: int = NETWORKS
    mixed: float = 0.5
    pretrain: int = 0


# Fashion-MNIST has 28 pixels and the rate of 32, as in their code
_GREY = Recorded(1e-4, "conv_l1")
_CIFAR = Recorded(samples=2000)
TABLE = {
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "svhn": Recorded(),
    "mnist": dataclasses.replace(_GREY, base=28),
    "fashion_mnist": _GREY,
}
_IMAGENET = Recorded(3e-3, "conv_l1", 500, 224, 500, 1.0, 10)


def recorded(task: Task) -> Recorded:
    """Return what is recorded for a dataset, else for one of its size and colours."""
    if task.dataset in TABLE:
        return TABLE[task.dataset]
    side = least_side(task.shape)
    if side >= LARGE:
        return _IMAGENET
    known = _GREY if task.shape[0] == 1 else _CIFAR
    return dataclasses.replace(known, base=side)


def _recipe(task: Task, form: Parametrization) -> Recipe:
    own = recorded(task)
    tiled = form.per_stored > 1
    # CutMix and cutout did not help where tiles of digits are enlarged
    digits = task.dataset in ("mnist", "digits") and tiled
    side = least_side(task.shape)
    lr = own.lr * task.ipc / 10 * (side / own.base) ** 2 / task.deviation**2
    objective = ClasswiseMatching(
        augment="color_crop" if digits else "color_crop_cutout",
        distance=own.distance,
        samples=own.samples,
        pretrain=own.pretrain,
        mixed=0.0 if digits else own.mixed,
    )
    return Recipe(
        objective=objective,
        parametrization=form,
        optimisers={"images": Optimiser(lr, MOMENTUM)},
        iterations=own.networks * objective.inner * task.classes,
        init="real",
        network=published_network(task),
        card="idc",
    )


def idc_i(task: Task) -> Recipe:
    """Return IDC-I: pixels started from real images."""
    return _recipe(task, Pixels())


def idc(task: Task) -> Recipe:
    """Return IDC: stored images cut into 2×2 tiles, 3×3 of large ones, started from real tiles."""
    return _recipe(task, Tiled(3 if least_side(task.shape) >= LARGE else 2))
