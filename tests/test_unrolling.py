"""Unrolled training with any end, with momentum, kept or done again."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from attar.augmentation.dsa import augment
from attar.objectives.flat import flat_loss
from attar.objectives.unrolling import (
    UNROLLS,
    End,
    Slopes,
    Steps,
    Student,
    checkpointed,
    distance,
    loss_on,
)
from attar.rng import Key
from catalogue import tiny_data, tiny_problem
from references.unrolled import mean_loss, trained

STRATEGY = ("flip", "color", "scale")
KEY, LR, COUNT = Key(3), 0.2, 5
PROBLEM = tiny_problem(tiny_data(3), 2)
MODULE = PROBLEM.network.draw(Key(1))
SHAPES = {name: tuple(one.shape) for name, one in MODULE.named_parameters()}
FIRST = torch.cat([one.detach().flatten() for one in MODULE.parameters()])
GENERATOR = torch.Generator().manual_seed(4)
IMAGES = torch.randn(6, *PROBLEM.layout.shape, generator=GENERATOR)
LABELS = torch.randn(6, 3, generator=GENERATOR).softmax(dim=1)
ROWS = [torch.randperm(6, generator=GENERATOR)[:4] for _ in range(COUNT)]
INDEX = torch.arange(7)
REAL = PROBLEM.data.take(INDEX)
TRUTH = torch.nn.functional.one_hot(PROBLEM.data.labels[INDEX], 3).float()
TARGET = FIRST + 0.05 * torch.randn(len(FIRST), generator=GENERATOR)


def of_distance(last: Tensor) -> Tensor:
    target, first = TARGET.double(), FIRST.double()
    return ((last - target) ** 2).sum() / ((first - target) ** 2).sum()


def of_real_images(last: Tensor) -> Tensor:
    return mean_loss(last, REAL.double(), TRUTH.double(), SHAPES)


ENDS: dict[str, tuple[End, Callable[[Tensor], Tensor]]] = {
    "distance": (distance(FIRST, TARGET), of_distance),
    "real": (loss_on(flat_loss(PROBLEM, "cross_entropy"), REAL, TRUTH), of_real_images),
}


# a step size for all, and one for each step
RATES = {"one": torch.tensor(LR), "each": LR * torch.tensor([1.0, 0.5, 2.0, 0.25, 1.5])}


def student(momentum: float, rates: str = "one") -> Student:
    steps = Steps(IMAGES, LABELS, ROWS, STRATEGY, KEY)
    loss = flat_loss(PROBLEM, "cross_entropy")
    return Student(loss, steps, FIRST, RATES[rates], momentum)


def reached(leaves: list[Tensor], momentum: float, *, detached: bool = False) -> Tensor:
    def seen(step: int, images: Tensor) -> Tensor:
        return augment(images, STRATEGY, KEY.fold(step), shared=False)

    images, labels, lr = leaves
    return trained(
        images, labels, lr, FIRST.double(), ROWS, seen, SHAPES, momentum, detached=detached
    )


def wanted(
    momentum: float, rates: str, end: Callable[[Tensor], Tensor], *, detached: bool
) -> list[Tensor]:
    leaves = [one.double().requires_grad_() for one in (IMAGES, LABELS, RATES[rates])]
    loss = end(reached(leaves, momentum, detached=detached))
    return [loss.detach(), *torch.autograd.grad(loss, leaves)]


def values(found: Slopes) -> list[Tensor]:
    return [found.loss, found.images, found.labels, found.lr]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("unroll", UNROLLS)
@pytest.mark.parametrize("rates", RATES)
def test_slopes_are_those_of_one_graph(rates: str, unroll: str, end: str, momentum: float) -> None:
    ours, theirs = ENDS[end]
    found = UNROLLS[unroll](student(momentum, rates), ours)
    exact = wanted(momentum, rates, theirs, detached=unroll == "detached")
    assert found.lr.shape == RATES[rates].shape
    for one, other in zip(values(found), exact, strict=True):
        size = float(other.abs().max())
        assert size > 1e-4 and not one.requires_grad
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=3e-4 * size)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_slopes_for_step_sizes_are_those_of_finite_differences(momentum: float) -> None:
    ours, theirs = ENDS["real"]
    found = checkpointed(student(momentum, "each"), ours).lr
    images, labels, rates = (one.double() for one in (IMAGES, LABELS, RATES["each"]))
    for step, slope in enumerate(found.tolist()):
        ends = []
        for sign in (1, -1):
            moved = rates.clone()
            moved[step] += sign * 1e-5
            ends.append(float(theirs(reached([images, labels, moved], momentum).detach())))
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=2e-3)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("held", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("rates", RATES)
def test_weights_that_are_found_again_are_those_that_were_kept(
    rates: str, held: int, end: str, momentum: float
) -> None:
    whole = checkpointed(student(momentum, rates), ENDS[end][0])
    parts = checkpointed(student(momentum, rates), ENDS[end][0], held)
    assert all(
        torch.equal(one, other) for one, other in zip(values(whole), values(parts), strict=True)
    )


def test_momentum_is_that_of_pytorch() -> None:
    one = student(0.9)
    weights = torch.nn.Parameter(FIRST.clone())
    optimiser = torch.optim.SGD([weights], LR, 0.9)
    for step in range(COUNT):
        weights.grad = one.loss.gradient(weights.detach(), *one.steps.minibatch(step))
        optimiser.step()
    _, (last, _) = one.trace((FIRST, None), range(COUNT))
    torch.testing.assert_close(last, weights.detach())
