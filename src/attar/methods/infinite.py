"""KIP and RFAD: regression with the kernel of infinitely wide networks, as published.

Source: the notebooks of KIP's authors (Nguyen et al. 2021), whose updates are those of their
published sets, and the code of RFAD's (Loo et al. 2022). Networks are the ConvNet of the papers
without norms: the ``ConvNet3`` of KIP's authors, who also try one more convolution in front. RFAD's
authors learn a linear map of all pixels beside the images as well, which is left out here: it is
a way to store the images, and as large as a thousand of them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from attar.methods.kernel import GREY
from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import InfiniteRegression, RandomFeatures
from attar.objectives.random_features import PLATT
from attar.optimisers import Optimiser
from attar.shapes import is_picture
from attar.synthetic import Pixels

_CARD = "kip"


def kip(task: Task) -> Recipe:
    """Return KIP: pixels with fixed labels, started from real images."""
    return Recipe(
        objective=InfiniteRegression(),
        parametrization=Pixels(),
        optimisers={"images": Optimiser(4e-2, kind="adam")},
        iterations=1000,
        init="real",
        network=_network(task, "norm=none"),
        card=_CARD,
    )


def kip_labels(task: Task) -> Recipe:
    """Return KIP that learns its labels, too, at the rate of the images."""
    images = Optimiser(4e-2, kind="adam")
    return dataclasses.replace(
        kip(task),
        optimisers={"images": images, "labels": images},
        learned_labels=True,
        centred_labels=True,
    )


def rfad(task: Task) -> Recipe:
    """Return RFAD: pixels and labels, and a scale of the scores."""
    images = Optimiser(1e-3, kind="adabelief")
    return Recipe(
        objective=RandomFeatures(),
        parametrization=Pixels(),
        optimisers={
            "images": images,
            "labels": images,
            PLATT: Optimiser(1e-2, kind="adabelief"),
        },
        iterations=100_000,
        init="real",
        network=_network(task, "width=256,norm=none"),
        card=_CARD,
        learned_labels=True,
        centred_labels=True,
    )


def kip_whitening(dataset: str, ipc: int) -> str:
    """Return the whitening for a data set by its name, or by that of its folder or file."""
    del ipc
    return "none" if _name(dataset) in GREY else "kip"


def rfad_whitening(dataset: str, ipc: int) -> str:
    """Return the same; the authors take brightness and contrast away on SVHN alone."""
    del ipc
    name = _name(dataset)
    return "none" if name in GREY else "kip" if name == "svhn" else "frepo"


def _name(dataset: str) -> str:
    return Path(dataset.rpartition(":")[2]).stem


def _network(task: Task, options: str) -> str:
    network = published_network(task)
    return f"{network}:{options}" if is_picture(task.shape) else network
