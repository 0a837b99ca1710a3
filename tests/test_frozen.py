"""Roles that are frozen: labels learnt to fixed images, and images to fixed labels."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.methods import METHODS, Recipe, Task
from attar.objectives import GradientMatching, KernelRegression, Objective, TrajectoryMatching
from attar.optimisers import Optimiser
from attar.synthetic import LowRank, Parametrization, Pixels
from catalogue import tiny_data, tiny_problem, tiny_run

SGD = Optimiser(0.05, 0.5)
OPTIONS: dict[str, Any] = {
    "ipc": 2,
    "iterations": 4,
    "network": "convnet2:width=8",
    "validations": 1,
    "torch_compile": "off",
}


def recipe_of(
    images: Optimiser | None,
    labels: Optimiser | None,
    objective: Objective | None = None,
    form: Parametrization | None = None,
) -> Recipe:
    usual = METHODS["frepo"].recipe(Task("tiny", 2, (1, 8, 8), 3))
    return dataclasses.replace(
        usual,
        objective=objective or KernelRegression(batch_real=20, pool=2, age=2),
        parametrization=form or Pixels(),
        optimisers={"images": images, "labels": labels},
        init="real",
    )


def made(recipe: Recipe, **options: Any) -> attar.Artefact:
    return attar.condense(tiny_data(counts=(12, 12, 12)), method=recipe, **OPTIONS | options)


@pytest.mark.parametrize(
    "objective",
    [KernelRegression(batch_real=20, pool=2, age=2), GradientMatching(batch_real=5)],
    ids=lambda one: one.name,
)
@pytest.mark.parametrize("form", [Pixels(), LowRank(2)], ids=lambda one: one.name)
def test_labels_are_learnt_to_images_that_stay(
    objective: Objective, form: Parametrization, tmp_path: Path
) -> None:
    path = tmp_path / "set.safetensors"
    recipe = recipe_of(None, SGD, objective, form)
    begun = made(recipe, iterations=0)
    artefact = made(recipe, output=path)
    assert torch.equal(artefact.images, begun.images)
    assert not torch.equal(artefact.labels, begun.labels)
    assert artefact.header.settings["optimisers"] == {"images": None, "labels": SGD.describe()}
    loaded = attar.load(path)
    assert torch.equal(loaded.images, begun.images) and torch.equal(loaded.labels, artefact.labels)


def test_images_are_learnt_to_labels_that_stay() -> None:
    recipe = recipe_of(SGD, None)
    begun, artefact = made(recipe, iterations=0), made(recipe)
    assert torch.equal(artefact.labels, begun.labels)
    assert not torch.equal(artefact.images, begun.images)


def test_a_learnt_step_size_can_be_frozen() -> None:
    problem, objective = tiny_problem(), TrajectoryMatching(steps=2, batch=4)
    run = tiny_run(objective, problem)
    optimisers = {"images": SGD, "learned_lr": None}
    frozen = type(run)(run.synthetic, objective, problem, optimisers, run.key)
    for _ in range(2):
        frozen.advance()
    assert float(frozen.learned["learned_lr"]) == pytest.approx(objective.lr_teacher)


def test_a_run_with_a_frozen_role_goes_on_bit_for_bit(tmp_path: Path) -> None:
    path, recipe = tmp_path / "set.safetensors", recipe_of(None, SGD)
    whole = made(recipe)
    made(recipe, output=path, iterations=2)
    longer = made(recipe, output=path, resume=True)
    assert torch.equal(longer.labels, whole.labels) and torch.equal(longer.images, whole.images)
    with pytest.raises(attar.BadRequest, match="optimisers"):
        made(recipe_of(SGD, SGD), output=path, resume=True, iterations=6)


def test_changes_of_the_user_are_those_of_what_is_learnt() -> None:
    artefact = made(recipe_of(None, SGD), lr=0.25)
    assert artefact.header.settings["optimisers"]["labels"]["lr"] == 0.25


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(attar.BadRequest, match="images, labels are all frozen"):
        made(recipe_of(None, None))


def test_frozen_tensors_need_no_gradient() -> None:
    run = tiny_run(KernelRegression(batch_real=20, pool=2, age=2), learned_labels=True)
    optimisers = {"images": None, "labels": SGD}
    frozen = type(run)(run.synthetic, run.objective, run.problem, optimisers, run.key)
    frozen.advance()
    assert frozen.updater.roles.keys() == {"labels"}
    assert not any(one.requires_grad for one in frozen.synthetic.images.parameters())
