"""Training on the set and the way back through it, against one graph in float64."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook

import attar
from attar.augmentation.dsa import augment
from attar.errors import BadRequest
from attar.methods import METHODS, Task
from attar.objectives import AddressNorm, Match, Problem, UnrolledTraining
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import Addressed, LowRank, Pixels, Synthetic
from catalogue import tiny_data, tiny_problem, tiny_run, unequal
from references.unrolled import mean_loss, trained

KEY = Key(3).fold("step", 0)
# rates at which five steps change the loss
OBJECTIVE = UnrolledTraining(
    steps=5, batch=2, batch_real=4, lr_network=0.1, momentum_network=0.9, augment="flip_color"
)


def problem_of(per_class: int = 3) -> Problem:
    return tiny_problem(tiny_data(3), per_class)


def rows_of(problem: Problem, objective: UnrolledTraining = OBJECTIVE) -> tuple[Tensor, Tensor]:
    """Return images and soft labels of the rows that take part."""
    generator = torch.Generator().manual_seed(1)
    index = objective.select(problem, {}, KEY)
    images = torch.randn(len(index), *problem.layout.shape, generator=generator)
    truth = torch.eye(problem.layout.classes)[problem.layout.class_of_row()[index]]
    return images, 0.9 * truth + 0.1 * torch.rand(truth.shape, generator=generator)


def matched(objective: UnrolledTraining, problem: Problem) -> Match:
    return objective.match(*rows_of(problem, objective), problem, {}, KEY)


def reference(
    problem: Problem, images: Tensor, labels: Tensor, batches: Sequence[Tensor]
) -> Tensor:
    """Return the loss of the trained network on real images, with its graph, in float64."""
    module = problem.network.draw(KEY.fold("network"))
    shapes = {name: tuple(one.shape) for name, one in module.named_parameters()}
    first = torch.cat([one.detach().double().flatten() for one in module.parameters()])
    strategy, key = ("flip", "color"), KEY.fold("augment")

    def seen(step: int, some: Tensor) -> Tensor:
        return augment(some, strategy, key, shared=True)

    lr = torch.tensor(OBJECTIVE.lr_network, dtype=torch.float64)
    momentum = OBJECTIVE.momentum_network
    last = trained(images, labels, lr, first, batches, seen, shapes, momentum)
    data = problem.data
    index = torch.cat([data.draw(own, 4, KEY.fold("real", own)) for own in range(3)])
    real = augment(data.take(index), strategy, key, shared=True).double()
    return mean_loss(last, real, torch.eye(3, dtype=torch.float64)[data.labels[index]], shapes)


@pytest.mark.parametrize("equal", [True, False])
def test_loss_and_slopes_are_those_of_one_graph(equal: bool) -> None:
    problem = problem_of() if equal else unequal(problem_of())
    images, labels = rows_of(problem)
    found = OBJECTIVE.match(images, labels, problem, {}, KEY)
    batches = OBJECTIVE.minibatches(problem.layout.sizes(), KEY)
    leaves = [one.double().requires_grad_() for one in (images, labels)]
    loss = reference(problem, *leaves, batches)
    slopes = torch.autograd.grad(loss, leaves)
    assert abs(float(found.loss) - float(loss.detach())) < 1e-4
    for ours, theirs in zip((found.images, found.labels), slopes, strict=True):
        assert ours is not None and float(theirs.norm()) > 1e-4
        assert float((ours.double() - theirs).norm() / theirs.norm()) < 2e-3


def test_slopes_are_those_of_finite_differences() -> None:
    problem = problem_of()
    images, labels = rows_of(problem)
    found = OBJECTIVE.match(images, labels, problem, {}, KEY).images
    assert found is not None
    batches = OBJECTIVE.minibatches(problem.layout.sizes(), KEY)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        way = torch.randn(images.shape, generator=generator, dtype=torch.float64)
        ends = [
            float(reference(problem, images.double() + sign * 1e-5 * way, labels, batches).detach())
            for sign in (1, -1)
        ]
        wanted = (ends[0] - ends[1]) / 2e-5
        assert float((found.double() * way).sum()) == pytest.approx(wanted, rel=5e-3, abs=1e-5)


def test_few_large_images_go_through_at_once() -> None:
    # as much as 16 of 3×32×32 is 4 of 3×64×64; 9 images of a step and 12 real ones are more
    problem = tiny_problem(tiny_data(3, size=64), 3, "convnet1:width=2")
    objective = UnrolledTraining(steps=1, batch=3, batch_real=4)
    together: set[int] = set()

    def note(module: torch.nn.Module, given: tuple[Tensor, ...]) -> None:
        if isinstance(module, torch.nn.Conv2d):
            together.add(len(given[0]))

    images, labels = rows_of(problem, objective)
    with register_module_forward_pre_hook(note):
        parts = objective.match(images, labels, problem, {}, KEY)
    assert max(together) == 4
    assert parts.images is not None and parts.images.shape == images.shape


@pytest.mark.parametrize(
    "changed", [{"held": 1}, {"held": 2}, {"held": 9}, {"weights_on": "cpu"}], ids=str
)
def test_where_and_how_many_weights_are_kept_changes_nothing(changed: dict[str, Any]) -> None:
    problem = problem_of()
    one, other = (
        matched(objective, problem)
        for objective in (OBJECTIVE, dataclasses.replace(OBJECTIVE, **changed))
    )
    assert one.images is not None and other.images is not None
    assert torch.equal(one.loss, other.loss) and torch.equal(one.images, other.images)


def test_bytes_of_what_is_kept_are_told() -> None:
    objective = UnrolledTraining(steps=150)
    assert objective.kept_bytes(100) == 4 * 100 * 150
    # 13 that are held, and where each of 12 stretches begins, with its momentum
    assert dataclasses.replace(objective, held=13).kept_bytes(100) == 4 * 100 * (13 + 2 * 12)


def test_a_step_sees_images_of_every_class_drawn_without_replacement() -> None:
    batches = OBJECTIVE.minibatches([3, 1, 4], KEY)
    assert len(batches) == 5
    for rows in batches:
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert [int(((rows >= a) & (rows < b)).sum()) for a, b in ((0, 3), (3, 4), (4, 8))] == [
            2,
            1,
            2,
        ]
    assert len({tuple(rows.tolist()) for rows in batches}) > 1
    every = dataclasses.replace(OBJECTIVE, batch=0).minibatches([3, 1], KEY)
    assert all(rows.tolist() == [0, 1, 2, 3] for rows in every)


def test_only_drawn_classes_take_part_and_the_others_keep_still() -> None:
    problem = problem_of()
    objective = dataclasses.replace(OBJECTIVE, classes_drawn=2)
    drawn = {tuple(objective.taking_part(problem.layout, Key(seed))) for seed in range(20)}
    assert drawn == {(0, 1), (0, 2), (1, 2)}
    taking = objective.taking_part(problem.layout, KEY)
    rows = objective.select(problem, {}, KEY)
    assert problem.layout.class_of_row()[rows].unique().tolist() == taking
    found = matched(objective, problem)
    assert found.images is not None and len(found.images) == 6
    assert bool((found.images.flatten(1).norm(dim=1) > 0).all())
    everyone = dataclasses.replace(OBJECTIVE, classes_drawn=0)
    assert everyone.taking_part(problem.layout, KEY) == [0, 1, 2]


def test_bases_and_addresses_are_learnt_together() -> None:
    problem = problem_of(6)
    form = Addressed(4)
    run = tiny_run(
        dataclasses.replace(OBJECTIVE, augment="none"),
        problem,
        form,
        optimiser=form.own_optimisers()["images"],
    )
    before = {name: one.clone() for name, one in run.synthetic.state_dict().items()}
    run.advance()
    for name, one in run.synthetic.state_dict().items():
        assert not torch.equal(one, before[name])


def test_a_step_is_clipped_to_a_norm_over_bases_and_addresses_together() -> None:
    problem = problem_of(6)
    form = Addressed(4)
    optimiser = dataclasses.replace(form.own_optimisers()["images"], clip=1e-3)
    run = tiny_run(OBJECTIVE, problem, form, optimiser=optimiser)
    synthetic: Synthetic = run.synthetic
    before = {name: one.clone() for name, one in synthetic.state_dict().items()}
    run.advance()
    moved = [(one - before[name]).norm() for name, one in synthetic.state_dict().items()]
    assert float(torch.stack(moved).norm()) == pytest.approx(0.1 * 1e-3, rel=1e-2)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": 0}, "steps 0: 1 or more"),
        ({"batch": -1}, "batch -1: 0 or more"),
        ({"batch_real": 0}, "batch_real 0"),
        ({"classes_drawn": -1}, "classes_drawn -1"),
        ({"lr_network": float("inf")}, "lr_network inf"),
        ({"momentum_network": 1.0}, "momentum_network 1: from 0 to below 1"),
        ({"held": -1}, "held -1"),
        ({"weights_on": "disk"}, "weights_on 'disk'.*cpu, device"),
        ({"augment": "colour"}, "colour"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        UnrolledTraining(**wrong)


def test_weights_that_memory_does_not_hold_are_refused_before_any_work() -> None:
    problem = problem_of()
    with pytest.raises(BadRequest, match=r"steps 10000000000: the .*\(--set held=100000\)"):
        UnrolledTraining(steps=10**10).check(problem)


def test_published_settings() -> None:
    recipe = METHODS["remember-the-past"].recipe(Task("cifar10", 1, (3, 32, 32), 10))
    assert recipe.parametrization == Addressed(16, 2)
    assert recipe.objective == UnrolledTraining()
    assert recipe.optimisers == {"images": Optimiser(0.1, 0.5, clip=2.0)}
    assert (recipe.init, recipe.card, recipe.iterations) == ("noise", "rtp", 500_000)
    assert isinstance(recipe.penalty, AddressNorm)
    assert recipe.penalty.norm_weight == pytest.approx(150 * 1e-4 * math.sqrt(32 / 115))
    networks = {
        side: METHODS["remember-the-past"].recipe(Task("mine", 1, (3, side, side), 10)).network
        for side in (28, 32, 64, 84)
    }
    assert list(networks.values()) == ["convnet3"] * 2 + ["convnet4"] * 2
    factored = METHODS["lortp"].recipe(Task("cifar10", 1, (3, 32, 32), 10))
    assert factored.parametrization == LowRank(4, Addressed(16, 2))
    assert factored.objective == recipe.objective


@pytest.mark.parametrize(
    ("task", "bases", "factor"),
    [
        (Task("mnist", 1, (1, 28, 28), 10), 16, 2),
        (Task("cifar10", 10, (3, 32, 32), 10), 160, 2),
        # a basis has 768 values, of which more bases say no more
        (Task("cifar10", 50, (3, 32, 32), 10), 768, 2),
        (Task("cifar100", 1, (3, 32, 32), 100), 160, 2),
        (Task("mine", 1, (1, 7, 10), 2), 2, 2),
        (Task("mine", 1, (3, 1, 9), 2), 1, 1),
    ],
)
def test_bases_are_two_fifths_of_the_memory(task: Task, bases: int, factor: int) -> None:
    assert METHODS["remember-the-past"].recipe(task).parametrization == Addressed(bases, factor)


def test_the_penalty_pulls_the_addresses_alone_and_not_what_has_none() -> None:
    problem = problem_of()
    synthetic = Synthetic(problem.layout, Addressed(4))
    synthetic.images.start_from_noise(Key(0))
    addresses = dict(synthetic.images.named_parameters())["addresses"]
    term = AddressNorm(0.5)(synthetic)
    term.backward()
    long = addresses.detach().double()
    assert float(term.detach()) == pytest.approx(0.5 * float((long**2).sum().sqrt()), rel=1e-6)
    assert addresses.grad is not None
    torch.testing.assert_close(
        addresses.grad.double(), 0.5 * long / (long**2).sum().sqrt(), rtol=1e-5, atol=1e-7
    )
    assert all(one.grad is None for name, one in synthetic.named_parameters() if "bases" in name)
    assert not AddressNorm()(Synthetic(problem.layout, Pixels())).requires_grad
    with pytest.raises(BadRequest, match="norm_weight -1"):
        AddressNorm(-1)


def test_a_norm_in_the_inner_loss_has_no_slope_through_its_gradient() -> None:
    """Why the authors' term does nothing: the slope of g·v is the same with and without it."""
    problem = problem_of()
    images, labels = rows_of(problem)
    module = problem.network.draw(Key(1))
    found = []
    for weight in (0.0, 1e4):
        leaf = images.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(module(leaf), labels) + weight * leaf.norm()
        slopes = torch.autograd.grad(loss, list(module.parameters()), create_graph=True)
        product = sum((slope.sum() for slope in slopes), start=torch.zeros(()))
        found.append(torch.autograd.grad(product, leaf)[0])
    assert torch.equal(*found) and float(found[0].norm()) > 0


SMALL: dict[str, Any] = {
    "network": "convnet2:width=8",
    "precision": "float32",
    "torch_compile": "off",
    "settings": ("steps=2", "batch=2", "batch_real=4"),
}


@pytest.mark.parametrize("method", ["remember-the-past", "lortp"])
def test_it_condenses_by_name_and_is_read_again(tmp_path: Path, method: str) -> None:
    path = tmp_path / "set.safetensors"
    data = tiny_data()
    made = attar.condense(data, method=method, ipc=2, iterations=2, output=path, **SMALL)
    image = math.prod(data.shape)
    assert made.ledger.values <= 2 * 3 * image
    # an image of each class more would not fit
    bases = made.synthetic.state_dict()["images.addresses"].shape[1]
    assert made.ledger.values > 2 * 3 * image - 3 * bases
    again = attar.load(path)
    assert torch.equal(again.images, made.images)
    assert again.header.settings["card"] == "rtp"
    smaller = attar.slim(again, 1, learning_free=True)
    assert isinstance(smaller, attar.Artefact) and len(smaller) == 3


def test_pixels_in_place_of_bases_are_the_authors_other_way() -> None:
    made = attar.condense(
        tiny_data(), method="remember-the-past", form="pixels", ipc=2, iterations=2, **SMALL
    )
    assert made.totals.images_per_class == 2
    settings = (*SMALL["settings"], "norm_weight=0.1")
    options = SMALL | {"settings": settings, "method": "remember-the-past", "iterations": 1}
    assert attar.condense(tiny_data(), form="addressed:bases=2", ipc=1, **options).header.settings


@pytest.mark.parametrize("change", [{"bases": 100}, {"factor": 9}])
def test_what_the_budget_or_the_images_do_not_hold_is_refused(change: dict[str, int]) -> None:
    settings = tuple(f"{name}={value}" for name, value in change.items())
    options: dict[str, Any] = SMALL | {"settings": settings, "ipc": 1}
    with pytest.raises(BadRequest, match=r"fewer --set bases|--set factor=9: bases of images"):
        attar.condense(tiny_data(), method="remember-the-past", **options)
