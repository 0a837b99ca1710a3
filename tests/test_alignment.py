"""CAFE: the loss by the equations, the loops that accuracies end, settings and what is refused."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.augmentation.dsa import augment, parse_strategy
from attar.condensing.engine import Run
from attar.errors import BadRequest
from attar.methods import METHODS, Task
from attar.networks import build
from attar.networks.stages import stages
from attar.objectives import FeatureAlignment, Problem
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.tensors import dotted
from attar.training.cards import CARDS, DSA
from catalogue import COMPUTE, tiny_data, tiny_problem, tiny_run, unequal
from references import alignment, gradient

KEY = Key(3).fold("step", 0)
# between the sizes of the classes: the last one has three images
PLAIN = FeatureAlignment(batch_real=6, batch_check=6)
NETWORKS = {
    "instance": "convnet3:width=6",
    "batch": "convnet2:width=6,norm=batch",
    "group": "convnet1:width=8,norm=group,activation=swish",
}


def noise(problem: Problem, seed: int = 1) -> Tensor:
    shape = (len(problem.layout), *problem.layout.shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weights_in(state: dict[str, Any]) -> dict[str, Tensor]:
    return {n.removeprefix("module."): one for n, one in dotted(state["network"]).items()}


def real_batches(problem: Problem, key: Key) -> list[Tensor]:
    data = problem.data
    return [data.take(data.draw(c, 6, key.fold("real", c))) for c in range(data.classes)]


def norm_of(network: str) -> dict[str, str]:
    options = dict(part.split("=") for part in network.partition(":")[2].split(","))
    return {name: value for name, value in options.items() if name != "width"}


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("strategy", ["none", DSA])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("counts", [None, (3, 1, 2)])
def test_loss_and_gradients_are_those_of_the_equations(
    network: str, strategy: str, channels: int, counts: tuple[int, ...] | None
) -> None:
    objective = dataclasses.replace(PLAIN, augment=strategy)
    problem = tiny_problem(tiny_data(channels), 2, network)
    problem = problem if counts is None else unequal(problem, counts)
    state = objective.init(problem, Key(0))
    images = noise(problem)

    def transform(label: int, batch: Tensor) -> Tensor:
        return augment(batch, parse_strategy(strategy), KEY.fold("augment", label), shared=True)

    before = {name: one.clone() for name, one in weights_in(state).items()}
    labels = torch.eye(3)[problem.layout.class_of_row()]
    found = objective.match(images, labels, problem, state, KEY)
    loss, slopes = alignment.loss_and_gradients(
        before,
        real_batches(problem, KEY),
        images.split(problem.layout.sizes()),
        transform,
        together="norm=batch" in network,
        **norm_of(network),
    )
    assert relative(found.loss, loss) < 1e-5
    assert found.images is not None and relative(found.images, torch.cat(slopes)) < 1e-4
    assert found.labels is None and not found.learned
    # called twice it gives the same, and running statistics stay
    again = objective.match(images, labels, problem, state, KEY)
    assert torch.equal(found.loss, again.loss)
    assert all(torch.equal(one, before[name]) for name, one in weights_in(state).items())


@pytest.mark.parametrize("left", ["first", "second", "third", "fourth", "discrimination"])
def test_every_weight_is_of_its_own_part(left: str) -> None:
    objective = dataclasses.replace(PLAIN, **{left: 0.0})
    problem = tiny_problem(tiny_data(3), 2, NETWORKS["instance"])
    state, images = objective.init(problem, Key(0)), noise(problem)
    names = ("fourth", "third", "second", "first")
    maps = [0.0 if left == n else w for n, w in zip(names, alignment.MAPS, strict=True)]
    loss, slopes = alignment.loss_and_gradients(
        weights_in(state),
        real_batches(problem, KEY),
        images.split(2),
        maps=maps,
        features=0.0 if left == "first" else 1.0,
        discrimination=0.0 if left == "discrimination" else 0.01,
    )
    found = objective.match(images, torch.eye(3)[[0, 0, 1, 1, 2, 2]], problem, state, KEY)
    assert relative(found.loss, loss) < 1e-5
    assert found.images is not None and relative(found.images, torch.cat(slopes)) < 1e-4


def test_chunks_change_no_match() -> None:
    objective = dataclasses.replace(PLAIN, augment="crop_flip")
    found = []
    for chunk in (32, 1):
        compute = dataclasses.replace(COMPUTE, chunk=chunk)
        problem = tiny_problem(tiny_data(3), 3, NETWORKS["instance"], compute)
        state = objective.init(problem, Key(0))
        found.append(objective.match(noise(problem), torch.zeros(9, 3), problem, state, KEY))
    whole, parts = found
    assert whole.images is not None and parts.images is not None
    torch.testing.assert_close(parts.loss, whole.loss, rtol=1e-5, atol=0)
    assert relative(parts.images, whole.images.double()) < 1e-5


def advanced(run: Run) -> tuple[dict[str, Any], dict[str, Any], Key]:
    before = run.state_dict()["state"]
    key = run.key.fold("step", run.step).fold("advance")
    run.advance()
    return before, run.state, key


def checked(problem: Problem, key: Key) -> list[Tensor]:
    data = problem.data
    return [data.take(data.draw(c, 6, key.fold(c))) for c in range(data.classes)]


@pytest.mark.parametrize("leave_inner", [0.0, 0.2, 1.0])
def test_loops_are_those_of_the_reference(leave_inner: float) -> None:
    objective = dataclasses.replace(
        PLAIN, leave_outer=0.0, leave_inner=leave_inner, inner=14, lr_network=0.05, batch_train=4
    )
    problem = tiny_problem(tiny_data(1), 2, "convnet1:width=6")
    run = tiny_run(objective, problem, optimiser=Optimiser(0.1, 0.5))
    lasted, everything = [], torch.arange(6)
    for _ in range(2):
        before, after, key = advanced(run)
        weights: Any = weights_in(before)
        one = alignment.accuracy(weights, checked(problem, key.fold("outer")))
        past = before["watched"][: before["outer"]].tolist()
        wanted = one + (past[-1] if past else 0.0) / 3
        assert after["watched"][: after["outer"]].tolist() == pytest.approx([*past, wanted])
        images, labels = run.synthetic(everything)
        values: list[float] = []
        for epoch in range(objective.inner):
            order = key.fold("inner").fold("epoch", epoch).fold("order", 0)
            orders = [torch.randperm(6, generator=order.generator())]
            weights, updates = gradient.train(
                weights, images.detach(), labels, orders, 4, objective.lr_network
            )
            assert updates == 2
            check = key.fold("inner").fold("check", epoch)
            values.append(alignment.accuracy(weights, checked(problem, check)))
            last = alignment.watched(values, 3)[-10:]
            if len(last) == 10 and max(last) - min(last) > leave_inner:
                break
        lasted.append(len(values))
        for name, tensor in weights_in(after).items():
            torch.testing.assert_close(tensor.double(), weights[name], rtol=1e-3, atol=1e-5)
    if leave_inner in (0.0, 1.0):
        assert lasted == [10 if leave_inner == 0.0 else 14] * 2


def test_a_network_serves_until_its_accuracy_stands_still_or_its_limit() -> None:
    still = dataclasses.replace(PLAIN, leave_outer=1.0, inner=1)
    limited = dataclasses.replace(PLAIN, leave_outer=0.0, inner=1, outer=3)
    problem = tiny_problem(tiny_data(1), 1, "convnet1:width=6")
    for objective, serves in ((still, 10), (limited, 3)):
        run = tiny_run(objective, problem)
        served = []
        for _ in range(2 * serves):
            served.append(run.state["outer"])
            run.advance()
        assert served == [*range(serves)] * 2
        assert run.state["outer"] == 0 and not run.state["watched"].any()


def test_a_run_that_is_resumed_goes_on_to_the_same_bits() -> None:
    objective = dataclasses.replace(PLAIN, augment="crop_flip", inner=2, outer=4)
    problem = tiny_problem(tiny_data(1), 2, "convnet1:width=6")
    whole, half = tiny_run(objective, problem), tiny_run(objective, problem)
    for _ in range(3):
        whole.advance(), half.advance()
    other = tiny_run(objective, problem)
    other.load_state_dict(half.state_dict())
    for _ in range(4):
        assert whole.advance() == other.advance()
    rows = torch.arange(6)
    assert torch.equal(whole.synthetic(rows)[0], other.synthetic(rows)[0])


# what networks show on the way
@pytest.mark.parametrize(
    ("network", "shown"),
    [
        ("convnet3:width=4", 4),
        ("convnet2:width=4", 3),
        ("convnet1:width=4,pooling=none", 1),
        ("mlp", 2),
        ("lenet", 4),
        ("resnet10", 4),
    ],
)
def test_the_last_map_is_the_features(network: str, shown: int) -> None:
    module = build(network, 3, (32, 32), 4).draw(Key(0))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = stages(module, images, 4)
    assert len(found) == shown
    torch.testing.assert_close(found[-1], module.embed(images))


def test_settings_of_the_authors() -> None:
    for name, strategy, card in (("cafe", "none", "cafe-600"), ("cafe-dsa", DSA, "dsa-1000")):
        recipe = METHODS[name].recipe(Task("cifar10", 10, (3, 32, 32), 10))
        assert dataclasses.asdict(recipe.objective) == {  # type: ignore[call-overload]
            "batch_real": 256,
            "augment": strategy,
            "first": 2.0,
            "second": 1.0,
            "third": 0.1,
            "fourth": 0.1,
            "discrimination": 0.01,
            "leave_outer": 0.04,
            "leave_inner": 0.03,
            "outer": 100,
            "inner": 100,
            "batch_check": 128,
            "lr_network": 0.01,
            "batch_train": 256,
        }
        assert (recipe.init, recipe.card, recipe.iterations) == ("noise", card, 20_000)
        optimiser = recipe.optimisers["images"]
        assert optimiser == Optimiser(0.1, 0.5, schedule="late_halving")
    assert CARDS["cafe-600"].epochs == 600
    digits = METHODS["cafe"].recipe(Task("mnist", 1, (1, 28, 28), 10))
    assert digits.card == "dc-1000"
    svhn = METHODS["cafe-dsa"].recipe(Task("svhn", 1, (3, 32, 32), 10))
    assert "flip" not in svhn.objective.augment  # type: ignore[attr-defined]


def test_the_rate_halves_where_the_authors_halve_it() -> None:
    optimiser = Optimiser(0.8, schedule="late_halving")
    found = [optimiser.rate(step, 2000) for step in (0, 1199, 1200, 1599, 1600, 1799, 1800, 1999)]
    assert found == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1, 0.1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_real": 0}, "batch_real 0: at least 1"),
        ({"outer": 0}, "outer 0: at least 1"),
        ({"first": -1.0}, "first -1: a weight of 0 or more"),
        ({"leave_inner": 1.5}, "leave_inner 1.5: from 0 to 1"),
        ({"lr_network": 0.0}, "lr_network 0: a positive"),
        (
            dict.fromkeys(("first", "second", "third", "fourth", "discrimination"), 0.0),
            "all 0: nothing is matched",
        ),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        FeatureAlignment(**settings)


def test_weights_of_maps_that_a_network_lacks_are_refused() -> None:
    settings = ("first=0", "second=0", "discrimination=0")
    with pytest.raises(BadRequest, match=r"mlp shows 2 of its maps, .* set first above 0"):
        attar.condense(
            tiny_data(), method="cafe", ipc=1, iterations=1, network="mlp", settings=settings
        )


def test_any_number_of_classes_and_any_size() -> None:
    data = tiny_data(2, (4, 5, 3, 4, 6), (10, 12))
    made = attar.condense(
        data,
        method="cafe-dsa",
        ipc=1,
        iterations=2,
        network="convnet2:width=4",
        settings=("inner=1", "outer=2", "batch_check=4"),
        device="cpu",
    )
    assert made.images.shape == (5, 2, 10, 12)
