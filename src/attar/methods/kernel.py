"""FRePo, and the condensation that can be slimmed, with published settings.

Source: the FRePo authors' code and commands (Zhou et al. 2022); Slimmable Dataset Condensation,
sections 3.4 and 4.1, which keeps their other settings. That paper gives no length for the
condensation of real data, so it has FRePo's.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from attar.data.modality import modality_of
from attar.methods.recipe import Recipe
from attar.methods.task import Task
from attar.objectives import KernelRegression, SignificancePenalty
from attar.optimisers import Optimiser
from attar.shapes import is_picture, least_side
from attar.synthetic import OrderedSVD, Pixels

ITERATIONS = 500_000
# grey images by the name of their data set, which the authors neither whiten nor mirror; `digits`
# is taken for one of them
GREY = ("mnist", "fashion_mnist", "digits")


def lamb() -> Optimiser:
    """Return LAMB at 3e-4, falling as a cosine to a tenth, for images and labels alike."""
    return Optimiser(3e-4, kind="lamb", schedule="cosine", floor=0.1)


def frepo_network(task: Task) -> str:
    """Return the authors' network for this image size: 3 blocks, 4 from 64 pixels, 5 from 128."""
    own = modality_of(task.shape).network
    if own:
        return own
    smallest = least_side(task.shape)
    wanted = 3 if smallest < 64 else 4 if smallest < 128 else 5
    # one-channel images are padded by two more pixels on every side
    deepest = (smallest + (4 if task.shape[0] == 1 else 0)).bit_length() - 1
    return f"frepo{max(1, min(wanted, deepest))}"


def mirrors(task: Task) -> bool:
    """Whether the regression sees mirror images, as far as the authors could afford them.

    Colour images of 10 classes always do, those of 100 or 200 classes at one image per class,
    those of 1,000 never; other data go by the number of their classes. Digits in colour are not
    mirrored, and what is no picture cannot be.
    """
    if not is_picture(task.shape) or task.shape[0] == 1 or task.dataset in (*GREY, "svhn"):
        return False
    return task.classes < 100 or (task.classes < 1000 and task.ipc == 1)


def frepo(task: Task) -> Recipe:
    """Return FRePo: pixels and labels, started from real images and centred labels."""
    return Recipe(
        objective=KernelRegression(mirror=mirrors(task)),
        parametrization=Pixels(),
        optimisers={"images": lamb(), "labels": lamb()},
        iterations=ITERATIONS,
        init="real",
        network=frepo_network(task),
        card="frepo",
        learned_labels=True,
        centred_labels=True,
    )


def slimmable(task: Task) -> Recipe:
    """Return FRePo on components ordered by significance, kept skewed and orthogonal."""
    return dataclasses.replace(
        frepo(task), parametrization=OrderedSVD(), penalty=SignificancePenalty()
    )


def whitening(dataset: str, ipc: int) -> str:
    """Return the whitening for a data set by its name, or by that of its folder or file."""
    del ipc
    return "none" if Path(dataset.rpartition(":")[2]).stem in GREY else "frepo"
