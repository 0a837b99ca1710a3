"""Where `attar.relabel` gets the labels of a set: from trained networks, or from a regression."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.compute import choose
from attar.condensing.checkpoint import Resumable
from attar.condensing.engine import Run, loop
from attar.coresets import Confident
from attar.data import LabelledImages
from attar.data.reading import Watch
from attar.face.relabel_request import RelabelRequest
from attar.face.teaching import Teaching
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


class Work(Protocol):
    """One way to labels, which can be left between two steps."""

    @property
    def kept(self) -> Resumable:
        """What a checkpoint keeps of it."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """The settings that its result depends on."""
        ...

    def carry_out(self, watch: Watch, passed: Callable[[], None]) -> Tensor:
        """Do what is left; return the labels, N×K.

        Args:
            watch: called after every update.
            passed: called after every step of what is kept.
        """
        ...


def from_networks(
    artefact: Artefact,
    train: LabelledImages,
    recipe: Recipe,
    network: Network,
    asked: RelabelRequest,
) -> Work:
    """Return what finds the mean of what networks trained on real images say of the set's."""
    assert isinstance(recipe.selector, Confident)
    epochs = recipe.selector.epochs if asked.epochs is None else asked.epochs
    teacher = dataclasses.replace(recipe.selector, teacher="", epochs=epochs)
    pixels = network.effort(3.0 * asked.teachers * epochs * len(train))
    compute = choose(asked.device, asked.precision, asked.torch_compile, pixels=pixels)
    made = LabelledImages(
        artefact.images,
        artefact.synthetic.class_of_row,
        train.class_names,
        artefact.preprocessing,
        train.name,
        prepared=True,
    )
    return Teaching(made, train, teacher, network, compute, Key(asked.seed), asked.teachers)


class Regression:
    """FRePo with its images frozen: networks are trained on the set and its labels as they are.

    Args:
        run: of the labels alone.
        steps: updates in all.
    """

    def __init__(self, run: Run, steps: int) -> None:
        self.kept = run
        self.facts = {"iterations": steps}
        self._steps = steps

    def carry_out(self, watch: Watch, passed: Callable[[], None]) -> Tensor:
        """Do the updates that are left; return the labels, N×K, about 0 on average."""

        def after(run: Run, loss: float) -> None:
            del loss
            passed()
            watch("updates of the labels", run.step, self._steps)

        run = self.kept
        loop(run, lambda run: run.step >= self._steps, after)
        rows = torch.arange(len(run.synthetic), device=run.compute.device)
        assert run.synthetic.labels is not None
        with torch.no_grad():
            return run.synthetic.labels(rows).cpu()


def from_regression(
    artefact: Artefact,
    train: LabelledImages,
    recipe: Recipe,
    network: Network,
    asked: RelabelRequest,
) -> Work:
    """Return what finds labels by which a ridge regression on the set's features tells real images.

    The better it tells them, the better the labels.
    """
    layout, objective = artefact.header.layout, recipe.objective
    steps = asked.steps
    pixels = network.effort(steps * objective.passes(layout, train))
    compute = choose(asked.device, asked.precision, asked.torch_compile, pixels=pixels)
    own = Synthetic(layout, artefact.synthetic.parametrization, learned_labels=True)
    own.load_state_dict(artefact.synthetic.state_dict(), strict=False)
    assert own.labels is not None
    hard = torch.nn.functional.one_hot(layout.class_of_row(), layout.classes)
    own.labels.fit(hard - 1 / layout.classes)
    problem = Problem(train, network, layout, compute)
    optimisers = dict.fromkeys(own.roles()) | {"labels": Optimiser(LR, kind="adam")}
    key = Key(asked.seed).fold("relabel")
    return Regression(Run(own.to(compute.device), objective, problem, optimisers, key), steps)


WAYS: dict[str, Callable[..., Work]] = {
    "networks": from_networks,
    "regression": from_regression,
}
