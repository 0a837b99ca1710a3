"""Where `attar.relabel` gets the labels of a set: from trained networks, or from a regression."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.compute import choose
from attar.condensing.engine import Run
from attar.coresets import Confident
from attar.data import LabelledImages
from attar.data.reading import Watch
from attar.face.relabel_request import RelabelRequest
from attar.methods import METHODS, Task
from attar.methods.recipe import Recipe
from attar.networks import Network, make_for
from attar.objectives import Problem
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import Synthetic

# of the labels alone, by Adam: some hundredths of a label at every step
LR = 0.005


def recipe_of(asked: RelabelRequest, artefact: Artefact) -> Recipe:
    """Return the method that has labels of this kind, for sets such as the artefact."""
    name = {"networks": "taught", "regression": "frepo"}[asked.by]
    shape, classes = artefact.header.shape, len(artefact.header.class_names)
    return METHODS[name].recipe(Task("data", 1, shape, classes))


def network_of(asked: RelabelRequest, recipe: Recipe, artefact: Artefact) -> Network:
    """Return what is trained: the network asked for, or that of the method's."""
    teacher = getattr(recipe.selector, "teacher", "") or recipe.network
    named = teacher if asked.network is None else asked.network
    return make_for(named, artefact.header.shape, len(artefact.header.class_names))


def from_networks(
    artefact: Artefact,
    train: LabelledImages,
    recipe: Recipe,
    network: Network,
    asked: RelabelRequest,
    watch: Watch | None,
) -> Tensor:
    """Return the mean of what networks trained on real images say of those of the set, N×K."""
    assert isinstance(recipe.selector, Confident)
    epochs = recipe.selector.epochs if asked.epochs is None else asked.epochs
    teacher = dataclasses.replace(recipe.selector, teacher="", epochs=epochs)
    pixels = 3.0 * asked.teachers * epochs * len(train) * math.prod(train.shape)
    compute = choose(asked.device, asked.precision, asked.torch_compile, pixels=pixels)
    made = LabelledImages(
        artefact.images,
        artefact.synthetic.class_of_row,
        train.class_names,
        artefact.preprocessing,
        train.name,
        prepared=True,
    )
    total = torch.zeros(len(made), train.classes)
    for number in range(asked.teachers):
        key = Key(asked.seed).fold("relabel", number)
        study = teacher.study(train, network, compute, key, watch)
        own = dataclasses.replace(study, data=made)
        total += own.probabilities(torch.arange(len(made)))
    return total / asked.teachers


def from_regression(
    artefact: Artefact,
    train: LabelledImages,
    recipe: Recipe,
    network: Network,
    asked: RelabelRequest,
    watch: Watch | None,
) -> Tensor:
    """Return labels by which a ridge regression on the set's features tells real images best, N×K.

    FRePo with its images frozen: the networks are trained on the set and its labels as they are.
    """
    layout, objective = artefact.header.layout, recipe.objective
    steps = asked.steps
    pixels = steps * objective.passes(layout, train) * math.prod(train.shape)
    compute = choose(asked.device, asked.precision, asked.torch_compile, pixels=pixels)
    own = Synthetic(layout, artefact.synthetic.parametrization, learned_labels=True)
    own.load_state_dict(artefact.synthetic.state_dict(), strict=False)
    assert own.labels is not None
    hard = torch.nn.functional.one_hot(layout.class_of_row(), layout.classes)
    own.labels.fit(hard - 1 / layout.classes)
    problem = Problem(train, network, layout, compute)
    optimisers = dict.fromkeys(own.roles()) | {"labels": Optimiser(LR, kind="adam")}
    run = Run(
        own.to(compute.device), objective, problem, optimisers, Key(asked.seed).fold("relabel")
    )
    for step in range(steps):
        run.advance()
        if watch is not None:
            watch("updates of the labels", step + 1, steps)
    with torch.no_grad():
        return own.labels(torch.arange(len(own), device=compute.device)).cpu()


WAYS: dict[str, Callable[..., Tensor]] = {
    "networks": from_networks,
    "regression": from_regression,
}
