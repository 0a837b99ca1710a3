"""Dataset distillation (DD), with its authors' settings.

Source: Wang et al., Dataset Distillation, 2018, and the options of their code: 10 steps and 3
epochs, step sizes from 0.02 for digits and from 0.001 for colour images, 400 epochs over CIFAR-10
in batches of 1,024, Adam with a first moment of 0.5, whose rate is halved every 40 epochs. They
have LeNet for digits and an AlexNet for CIFAR-10; here it is the ConvNet of the other methods.
"""

from __future__ import annotations

from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import DatasetDistillation
from attar.optimisers import Optimiser
from attar.synthetic import Pixels
from attar.training.fitting import LEARNT_LR

# 400 epochs of 50,000 images in batches of 1,024
ITERATIONS = 19_600


def dd(task: Task) -> Recipe:
    """Return DD: pixels from noise and a step size for every step, in randomly drawn networks."""
    adam = Optimiser(0.01, kind="adam", schedule="halving", beta=0.5)
    return Recipe(
        objective=DatasetDistillation(lr_start=0.02 if task.shape[0] == 1 else 0.001),
        parametrization=Pixels(),
        optimisers={"images": adam, LEARNT_LR: adam},
        iterations=ITERATIONS,
        init="noise",
        network=published_network(task),
        card="dd",
    )
