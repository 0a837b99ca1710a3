"""Label distillation (LD), with its authors' settings.

Source: Bohdal et al. 2020 and the options of their code: base images of equal classes that stay as
they are, labels from 1/K by Adam at its usual rate, minibatches of 50, 1,024 real images, 400
epochs of the 45,000 images of CIFAR-10 that they do not hold out, twice as many of CIFAR-100. They
have LeNet for digits and an AlexNet for CIFAR; here it is the ConvNet of the other methods.
"""

from __future__ import annotations

from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import LabelDistillation
from attar.optimisers import Optimiser
from attar.synthetic import Pixels

ITERATIONS = 17_600
# of many classes, twice as many updates
MANY = 49


def _gap(task: Task) -> int:
    """Return the authors' number of updates in which the loss has to fall."""
    if task.classes >= MANY:
        return 100
    return 200 if task.ipc * task.classes > 100 else 50


def _recipe(task: Task, learner: str) -> Recipe:
    return Recipe(
        objective=LabelDistillation(learner, gap=_gap(task)),
        parametrization=Pixels(),
        optimisers={"images": None, "labels": Optimiser(1e-3, kind="adam")},
        iterations=ITERATIONS * (2 if task.classes > MANY else 1),
        init="real",
        network=published_network(task),
        card="ld",
        learned_labels=True,
        uniform_labels=True,
    )


def ld(task: Task) -> Recipe:
    """Return LD by ridge regressions."""
    return _recipe(task, "rr")


def ld_or2(task: Task) -> Recipe:
    """Return LD by steps of gradient descent that are gone back through."""
    return _recipe(task, "or2")
