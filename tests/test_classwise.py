"""IDC: its losses, its networks trained on real data, its turns, against float64 references."""

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from attar.augmentation.variants import augment_as_idc
from attar.errors import BadRequest
from attar.methods import METHODS, Task
from attar.methods.low_rank import IDC_RANKS as RANKS
from attar.methods.low_rank import IDC_RATES as RATES
from attar.objectives import ClasswiseMatching, Match, Nested, Problem
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import Layout, LowRank, Pixels, Synthetic, Tiled, images_within
from attar.tensors import dotted
from catalogue import tiny_problem, tiny_run, unequal
from references import gradient

KEY = Key(3).fold("step", 0)
NETWORK = "convnet2:width=4"
PLAIN = ClasswiseMatching(
    batch_real=6, augment="none", augment_train="none", mixed=0.0, samples=8, batch_train=4
)


def weights_in(state: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of the network in float64, by the names that the module gives them."""
    found = dotted(state["network"])
    return {name.removeprefix("module."): tensor.double() for name, tensor in found.items()}


def matched(
    objective: ClasswiseMatching, problem: Problem, state: dict[str, Any]
) -> tuple[Tensor, Tensor, Match]:
    """Return images and labels of the class whose turn it is, and what is found for them."""
    generator = torch.Generator().manual_seed(1)
    rows = objective.select(problem, state, KEY)
    images = torch.randn(len(rows), *problem.layout.shape, generator=generator)
    labels = torch.eye(problem.layout.classes)[problem.layout.class_of_row()[rows]]
    labels = labels + 0.1 * torch.rand(labels.shape, generator=generator)
    return images, labels, objective.match(images, labels, problem, state, KEY)


@pytest.mark.parametrize("kind", ["conv_mse", "conv_l1"])
@pytest.mark.parametrize("turn", [0, 2])
def test_a_step_is_the_distance_of_one_class_over_convolutions(kind: str, turn: int) -> None:
    problem = tiny_problem(network=NETWORK)
    objective = dataclasses.replace(PLAIN, distance=kind)
    state = {**objective.init(problem, Key(3)), "turn": turn}
    images, labels, found = matched(objective, problem, state)

    weights = weights_in(state)
    index = problem.data.draw(turn, 6, KEY.fold("real"))
    truth = torch.zeros(len(index), 3, dtype=torch.float64)
    truth[:, turn] = 1
    real = gradient.slopes(weights, problem.data.take(index).double(), truth)
    leaves = [one.double().requires_grad_() for one in (images, labels)]
    synthetic = gradient.slopes(weights, *leaves)
    real = {name: one.detach() for name, one in real.items()}
    wanted = gradient.over_convolutions(real, synthetic, kind)
    slopes = torch.autograd.grad(wanted, leaves)

    assert float(wanted.detach()) > 1e-6
    torch.testing.assert_close(found.loss.double(), wanted.detach(), rtol=1e-4, atol=0)
    for ours, theirs in zip((found.images, found.labels), slopes, strict=True):
        assert ours is not None and float(theirs.norm()) > 0
        assert float((ours.double() - theirs).norm() / theirs.norm()) < 1e-3


@pytest.mark.parametrize("turn", [0, 2])
def test_a_nested_step_is_that_of_the_class_and_of_its_first_images(turn: int) -> None:
    problem, objective = tiny_problem(per_class=4, network=NETWORK), Nested(PLAIN)
    state = objective.init(problem, Key(3))
    state |= {"base": {**state["base"], "turn": turn}, "chosen": 3}
    state["finished"][0] = True
    rows = objective.select(problem, state, KEY)
    assert rows.tolist() == list(range(4 * turn, 4 * turn + 4))
    images = torch.randn(4, *problem.layout.shape, generator=torch.Generator().manual_seed(1))
    labels = torch.eye(3)[torch.full((4,), turn)]
    found = objective.match(images, labels, problem, state, KEY)

    weights = weights_in(state["base"])
    index = problem.data.draw(turn, 6, KEY.fold("real"))
    truth = torch.eye(3, dtype=torch.float64)[torch.full((len(index),), turn)]
    real = gradient.slopes(weights, problem.data.take(index).double(), truth)
    real = {name: one.detach() for name, one in real.items()}
    leaf, total = images.double().requires_grad_(), torch.zeros((), dtype=torch.float64)
    for size in (4, 3):
        own = gradient.slopes(weights, leaf[:size], labels[:size].double())
        total = total + gradient.over_convolutions(real, own, "conv_mse")
    (slope,) = torch.autograd.grad(total, leaf)

    torch.testing.assert_close(found.loss.double(), total.detach(), rtol=1e-4, atol=0)
    assert found.images is not None and float(slope[1:].norm()) > 0
    # the first image is held, since the subset of one had its turn
    assert not found.images[0].any()
    assert float((found.images[1:] - slope[1:]).norm() / slope[1:].norm()) < 1e-3


def test_classes_take_turns_and_the_network_trains_on_real_images_between_sweeps() -> None:
    problem, objective = tiny_problem(network=NETWORK), dataclasses.replace(PLAIN, inner=3)
    synthetic = Synthetic(problem.layout, Pixels())
    state = first = objective.init(problem, Key(3))
    velocity: dict[str, Tensor] = {}
    for sweep, turn in itertools.product(range(2), range(3)):
        assert (state["sweep"], state["turn"]) == (sweep, turn)
        rows = objective.select(problem, state, KEY)
        assert problem.layout.class_of_row()[rows].tolist() == [turn, turn]
        before, key = weights_in(state), KEY.fold(sweep, turn)
        state = objective.advance(synthetic, problem, state, key)
        if turn < 2:
            assert all(torch.equal(one, before[name]) for name, one in weights_in(state).items())
            continue
        wanted, velocity = trained(problem, before, velocity, key.fold("train"), batches=2)
        for name, one in weights_in(state).items():
            assert not torch.equal(one, before[name])
            torch.testing.assert_close(one, wanted[name], rtol=1e-4, atol=1e-6)
    for _ in range(3):
        state = objective.advance(synthetic, problem, state, KEY)
    assert (state["sweep"], state["turn"], state["sgd"]) == (0, 0, {})
    drawn = weights_in(state)["blocks.0.weight"]
    assert not torch.equal(drawn, weights_in(first)["blocks.0.weight"])


def trained(
    problem: Problem,
    weights: dict[str, Tensor],
    velocity: dict[str, Tensor],
    key: Key,
    batches: int,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return weights and velocities after SGD with momentum and decay, written out."""
    data, now, velocity = problem.data, dict(weights), dict(velocity)
    order = torch.randperm(len(data), generator=key.fold("order", 0).generator())
    for rows in order.split(4)[:batches]:
        truth = torch.eye(3, dtype=torch.float64)[data.labels[rows]]
        slopes = gradient.slopes(now, data.take(rows).double(), truth)
        for name, slope in slopes.items():
            decayed = slope.detach() + PLAIN.decay * now[name]
            past = PLAIN.momentum_network * velocity[name] if name in velocity else 0
            velocity[name] = past + decayed
            now[name] = now[name] - PLAIN.lr_network * velocity[name]
    return now, velocity


def test_pretraining_is_passes_over_all_real_images() -> None:
    problem = tiny_problem(network=NETWORK)
    key = Key(3)
    fresh = weights_in(PLAIN.init(problem, key))
    objective = dataclasses.replace(PLAIN, pretrain=1)
    wanted, _ = trained(problem, fresh, {}, key.fold("pretrain"), batches=7)
    for name, one in weights_in(objective.init(problem, key)).items():
        torch.testing.assert_close(one, wanted[name], rtol=1e-4, atol=1e-5)


def test_of_a_large_class_some_rows_are_drawn_and_the_others_get_no_gradient() -> None:
    problem = tiny_problem(per_class=5, network=NETWORK)
    objective = dataclasses.replace(PLAIN, batch_condensed=2)
    state = {**objective.init(problem, Key(3)), "turn": 1}
    drawn = {tuple(objective.select(problem, state, Key(seed)).tolist()) for seed in range(20)}
    assert len(drawn) > 3
    assert all(len(set(rows)) == 2 and set(rows) <= set(range(5, 10)) for rows in drawn)


def test_unequal_classes_have_their_own_rows() -> None:
    problem = unequal(tiny_problem(network=NETWORK))
    state = PLAIN.init(problem, Key(3))
    sizes = [len(PLAIN.select(problem, {**state, "turn": turn}, KEY)) for turn in range(3)]
    assert sizes == [3, 1, 2]


def test_both_sides_get_one_augmentation_and_training_one_for_each_image() -> None:
    names = ("flip", "color", "crop", "cutout")
    image = torch.rand(1, 3, 8, 8).repeat(4, 1, 1, 1)
    for seed in range(5):
        one = augment_as_idc(image, names, Key(seed), shared=True)
        assert all(torch.equal(own, one[0]) for own in one) and not torch.equal(one, image)
        assert torch.equal(augment_as_idc(image[:1], names, Key(seed), shared=True), one[:1])
    each = augment_as_idc(image, names, Key(0))
    assert not torch.equal(each[0], each[1])


@pytest.mark.parametrize("coast", [True, False])
def test_rows_of_other_classes_coast_on_their_momentum_unless_told_not_to(coast: bool) -> None:
    problem = tiny_problem(network=NETWORK)
    run = tiny_run(PLAIN, problem, optimiser=Optimiser(0.1, 0.5, coast=coast))
    for _ in range(3):
        run.advance()
    rows = slice(0, 2)
    before = run.synthetic.images(torch.arange(6)).detach()
    run.advance()  # of class 0 again
    run.advance()  # of class 1
    after = run.synthetic.images(torch.arange(6)).detach()
    assert not torch.equal(after[:4], before[:4])
    assert torch.equal(after[4:], before[4:]) is not coast
    now = run.synthetic.images(torch.arange(6)).detach()[rows]
    run.advance()  # of class 2
    then = run.synthetic.images(torch.arange(6)).detach()[rows]
    assert torch.equal(then, now) is not coast


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"distance": "conv_l2"}, "conv_mse"),
        ({"inner": 0}, "inner 0"),
        ({"samples": 0}, "samples 0"),
        ({"pretrain": -1}, "pretrain -1"),
        ({"lr_network": float("nan")}, "lr_network nan"),
        ({"momentum_network": 1.0}, "momentum_network 1"),
        ({"decay": -1.0}, "decay -1"),
        ({"mixed": 2.0}, "mixed 2"),
        ({"augment": "colour"}, "colour"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        ClasswiseMatching(**wrong)


def test_a_network_without_convolutions_has_nothing_to_compare() -> None:
    problem = tiny_problem(network="mlp")
    with pytest.raises(BadRequest, match="conv_mse"):
        PLAIN.check(problem)


def test_the_rate_is_that_of_pixels_by_memory_side_and_deviation() -> None:
    def lr(method: str, *task: Any) -> float:
        found = METHODS[method].recipe(Task(*task)).optimisers["images"]
        assert found is not None
        return found.lr

    assert lr("idc", "cifar10", 10, (3, 32, 32), 10, 1.0) == pytest.approx(5e-3)
    assert lr("idc-i", "cifar10", 1, (3, 32, 32), 10, 0.2) == pytest.approx(5e-4 / 0.04)
    assert lr("idc", "mnist", 10, (1, 28, 28), 10, 1.0) == pytest.approx(1e-4)
    assert lr("idc", "fashion_mnist", 10, (1, 28, 28), 10, 1.0) == pytest.approx(1e-4 * 0.765625)
    assert lr("idc", "mine", 20, (3, 224, 224), 10, 1.0) == pytest.approx(6e-3)


def test_published_settings() -> None:
    recipe = METHODS["idc"].recipe(Task("cifar10", 10, (3, 32, 32), 10))
    assert recipe.parametrization == Tiled(2) and recipe.init == "real" and recipe.card == "idc"
    assert recipe.objective == ClasswiseMatching(samples=2000)
    assert recipe.iterations == 2000 * 100 * 10
    assert METHODS["idc-i"].recipe(Task("svhn", 10, (3, 32, 32), 10)).parametrization == Pixels()
    large = METHODS["idc"].recipe(Task("mine", 10, (3, 128, 128), 10))
    assert large.parametrization == Tiled(3) and large.objective == ClasswiseMatching(
        distance="conv_l1", samples=500, pretrain=10, mixed=1.0
    )
    digits = METHODS["idc"].recipe(Task("mnist", 10, (1, 28, 28), 10)).objective
    assert digits == ClasswiseMatching(
        augment="color_crop", distance="conv_l1", samples=500, mixed=0.0
    )


@pytest.mark.parametrize(
    ("method", "rank", "count"), [("idc-i", RANKS["idc-i"], 8), ("idc", RANKS["idc"], 32)]
)
def test_low_rank_idc_is_idc_on_factors_at_a_higher_rate(
    method: str, rank: int, count: int
) -> None:
    task = Task("cifar10", 1, (3, 32, 32), 10, 0.25)
    plain, found = METHODS[method].recipe(task), METHODS[f"lo{method}"].recipe(task)
    rate = plain.optimisers["images"]
    assert rate is not None
    assert found == dataclasses.replace(
        plain,
        parametrization=LowRank(rank, plain.parametrization),
        optimisers={"images": dataclasses.replace(rate, lr=RATES[method] * rate.lr)},
    )
    # started as IDC is, by factors of real images, at no more than its memory
    assert found.init == "real"
    layout = Layout(10, 1, (3, 32, 32))
    assert images_within(1, layout, found.parametrization, "float32") == count
