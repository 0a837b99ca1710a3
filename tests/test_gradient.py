import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from attar.augmentation import dsa as augmenting
from attar.compute import Compute, Functional
from attar.condensing.engine import Run
from attar.data import LabelledImages
from attar.errors import BadRequest
from attar.networks import build, make
from attar.objectives import GradientMatching, Match, Problem
from attar.objectives.gradient import network_tensors
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import LowRank
from attar.tensors import flatten, read_header, read_tensors, save_tensors, unflatten
from catalogue import COMPUTE, CPU, OnceDifferentiable, tiny_data, tiny_problem, tiny_run, unequal
from references import augmentation, gradient

KEY = Key(3).fold("step", 0)
BATCH = 6  # between the sizes of the classes: the last one has three images
DSA = "color_crop_cutout_flip_scale_rotate"
DISTANCES = ["layerwise", "mse", "cosine"]
NETWORKS = {
    "instance": "convnet2:width=4",
    "batch": "convnet2:width=4,norm=batch",
    "layer": "convnet2:width=4,norm=layer",
    "group": "convnet2:width=8,norm=group",
    "none": "convnet2:width=4,norm=none",
}


def noise(problem: Problem, seed: int = 1) -> Tensor:
    shape = (len(problem.layout), *problem.layout.shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def hard(problem: Problem) -> Tensor:
    layout = problem.layout
    return torch.eye(layout.classes)[layout.class_of_row()]


def soft(problem: Problem) -> Tensor:
    """Labels above zero that do not sum to one."""
    extra = torch.rand(hard(problem).shape, generator=torch.Generator().manual_seed(2))
    return hard(problem) + 0.4 * extra


def weights_in(state: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of the inner network, by the names that the module gives them."""
    return {n.removeprefix("module."): tensor for n, tensor in network_tensors(state).items()}


def started(objective: GradientMatching, problem: Problem) -> dict[str, Any]:
    """Return a first state, moved away from scales of 1 and shifts of 0, which hide mistakes."""
    state = objective.init(problem, Key(3).fold("init"))
    generator = torch.Generator().manual_seed(4)
    before = {name: tensor.clone() for name, tensor in weights_in(state).items()}
    for name, tensor in weights_in(state).items():
        if tensor.is_floating_point() and not name.endswith(gradient.STATISTICS):
            tensor += 0.1 * torch.randn(tensor.shape, generator=generator)
    after = weights_in(state)
    assert not torch.equal(after["blocks.0.weight"], before["blocks.0.weight"])
    return state


def drawn(strategy: str, key: Key, count: int, shared: bool) -> tuple[str, Tensor]:
    """Return the operation that a key decides on, and its parameters."""
    noted: list[tuple[str, Tensor]] = []

    def noting(name: str) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda images, draws: (noted.append((name, draws)), images)[1]

    names = augmenting.parse_strategy(strategy)
    with mock.patch.dict(augmenting.OPERATIONS, {name: noting(name) for name in names}):
        augmenting.augment(torch.zeros(count, 1, 1, 1), names, key, shared=shared)
    (one,) = noted
    return one


def siamese(strategy: str, key: Key) -> gradient.Transform:
    """Return the reference's augmentation in matching: per class, one for all images."""

    def transform(label: int, batch: Tensor) -> Tensor:
        if strategy == "none":
            return batch
        name, draws = drawn(strategy, key.fold("augment", label), 1, shared=True)
        return augmentation.apply(name, batch, draws)

    return transform


def single(strategy: str, key: Key) -> gradient.TrainingTransform:
    """Return the reference's augmentation in training: per batch, one for each image."""

    def transform(epoch: int, start: int, batch: Tensor) -> Tensor:
        if strategy == "none":
            return batch
        place = key.fold("augment", epoch, start)
        name, draws = drawn(strategy, place, len(batch), shared=False)
        return augmentation.apply(name, batch, draws)

    return transform


def real_batches(problem: Problem, key: Key) -> list[Tensor]:
    data = problem.data
    indices = [data.draw(label, BATCH, key.fold("real", label)) for label in range(data.classes)]
    assert [len(index) for index in indices] == [6, 6, 3]
    return [data.take(index) for index in indices]


def expected(
    problem: Problem,
    state: dict[str, Any],
    images: Tensor,
    labels: Tensor,
    augment: str = "none",
    key: Key = KEY,
    **options: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return loss and gradients by the literal equations, with the same weights and draws."""
    real = real_batches(problem, key)
    transform = siamese(augment, key)
    weights = weights_in(state)
    counts = problem.layout.sizes()
    return gradient.loss_and_gradients(
        weights, real, images, labels, transform, counts=counts, **options
    )


def relative(found: Tensor, wanted: Tensor) -> float:
    """Return ‖found − wanted‖ / ‖wanted‖."""
    assert found.shape == wanted.shape
    return float((found.detach().double() - wanted).norm() / wanted.norm())


def assert_same(found: Match, wanted: tuple[Tensor, Tensor, Tensor]) -> None:
    loss, images, labels = wanted
    assert found.images is not None and found.labels is not None and not found.learned
    assert found.images.dtype == found.labels.dtype == torch.float32
    assert found.loss.shape == () and relative(found.loss, loss) < 5e-5
    for ours, theirs in ((found.images, images), (found.labels, labels)):
        assert float(theirs.norm()) > 1e-5
        assert relative(ours, theirs) < 1e-4


# the reference


def small(norm: str, channels: int) -> tuple[gradient.Weights, dict[str, str]]:
    """Return weights in float64 of a smooth network for 4×4 images and two classes."""
    name = f"convnet1:width=4,norm={norm},activation=swish"
    module = build(name, channels, (4, 4), 2).draw(Key(0)).double()
    generator = torch.Generator().manual_seed(5)
    weights = dict(module.state_dict())
    for tensor in weights.values():
        if tensor.is_floating_point():  # variances stay above zero
            tensor += 0.2 * torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
    return weights, {"norm": norm, "activation": "swish"}


def double_noise(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def differences(value: Callable[[Tensor], Tensor], place: Tensor, step: float = 1e-5) -> Tensor:
    """Return the gradient of a scalar by central differences, one number at a time."""
    found = torch.zeros(place.numel(), dtype=torch.float64)
    for i in range(place.numel()):
        offset = torch.zeros(place.numel(), dtype=torch.float64)
        offset[i] = step
        offset = offset.reshape(place.shape)
        found[i] = (value(place + offset).detach() - value(place - offset).detach()) / (2 * step)
    return found.reshape(place.shape)


def tiny_case(channels: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return real batches of two classes, two synthetic images of each, and their labels."""
    real = [double_noise(count, channels, 4, 4, seed=count) for count in (3, 2)]
    images = double_noise(4, channels, 4, 4, seed=7)
    return real, images, torch.eye(2, dtype=torch.float64).repeat_interleave(2, 0) + 0.1


def colour_or_turn(label: int, batch: Tensor) -> Tensor:
    draws = torch.tensor([[0.3, 0.8, 0.6]])
    return augmentation.apply(("color", "rotate")[label], batch, draws)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", list(NETWORKS))
def test_network_gradients_of_the_reference_are_finite_differences(
    norm: str, channels: int
) -> None:
    weights, options = small(norm, channels)
    _, images, labels = tiny_case(channels)
    found = gradient.slopes(weights, images, labels, **options)
    assert found.keys() == gradient.parameters(weights).keys()
    for name, tensor in gradient.parameters(weights).items():

        def entropy(moved: Tensor, name: str = name) -> Tensor:
            logits, _ = gradient.scores({**weights, name: moved}, images, **options)
            return -(labels * torch.log_softmax(logits, 1)).sum(1).mean()

        wanted = differences(entropy, tensor)
        torch.testing.assert_close(found[name].detach(), wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", DISTANCES)
def test_the_reference_is_its_definition_by_finite_differences(kind: str) -> None:
    """Every gradient for the network by differences, then every pixel and label by them."""
    weights, options = small("instance", 1)
    real, images, labels = tiny_case(1)

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        return gradient.loss_and_gradients(
            weights, real, images, labels, colour_or_turn, kind, **options
        )[0]

    def side(seen: Tensor, target: Tensor) -> gradient.Weights:
        def entropy(moved: Tensor, name: str) -> Tensor:
            logits, _ = gradient.scores({**weights, name: moved}, seen, **options)
            return -(target * torch.log_softmax(logits, 1)).sum(1).mean()

        return {
            name: differences(lambda moved, name=name: entropy(moved, name), tensor)
            for name, tensor in gradient.parameters(weights).items()
        }

    total = torch.zeros((), dtype=torch.float64)
    for label, batch in enumerate(real):
        truth = torch.eye(2, dtype=torch.float64)[[label] * len(batch)]
        rows = slice(2 * label, 2 * label + 2)
        synthetic = side(colour_or_turn(label, images[rows]), labels[rows])
        total += gradient.distance(side(colour_or_turn(label, batch), truth), synthetic, kind)
    value, *slopes = gradient.loss_and_gradients(
        weights, real, images, labels, colour_or_turn, kind, **options
    )
    assert relative(total, value) < 1e-6
    assert relative(differences(lambda x: loss(x, labels), images), slopes[0]) < 1e-6
    assert relative(differences(lambda y: loss(images, y), labels), slopes[1]) < 1e-6


@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", list(NETWORKS))
def test_gradients_of_the_reference_are_finite_differences(
    norm: str, channels: int, kind: str
) -> None:
    weights, options = small(norm, channels)
    real, *places = tiny_case(channels)

    def results(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return gradient.loss_and_gradients(
            weights, real, images, labels, colour_or_turn, kind, **options
        )

    _, *slopes = results(*places)
    for seed in range(3):
        ways = [double_noise(*place.shape, seed=seed) for place in places]
        ahead, behind = (
            results(*(place + step * way for place, way in zip(places, ways, strict=True)))[0]
            for step in (1e-5, -1e-5)
        )
        wanted = sum((slope * way).sum() for slope, way in zip(slopes, ways, strict=True))
        assert ((ahead - behind) / 2e-5).item() == pytest.approx(float(wanted), rel=1e-6)


def test_the_distances_of_the_reference_in_numbers() -> None:
    real = {
        "conv": torch.tensor([[[[3.0, 0.0]]], [[[0.0, 2.0]]]]),
        "norm": torch.tensor([5.0]),
        "linear": torch.tensor([[1.0, 0.0], [0.0, 0.0]]),
    }
    synthetic = {
        "conv": torch.tensor([[[[6.0, 0.0]]], [[[0.0, -1.0]]]]),
        "norm": torch.tensor([-5.0]),
        "linear": torch.tensor([[0.0, 4.0], [0.0, 0.0]]),
    }
    # rows: parallel 0, opposite 2, perpendicular 1, both zero 1
    assert gradient.distance(real, synthetic).item() == pytest.approx(4, abs=1e-5)
    assert gradient.distance(real, synthetic, "mse").item() == 9 + 9 + 100 + 1 + 16
    product = 18 - 2 - 25
    lengths = (9 + 4 + 25 + 1) ** 0.5 * (36 + 1 + 25 + 16) ** 0.5
    wanted = 1 - product / lengths
    assert gradient.distance(real, synthetic, "cosine").item() == pytest.approx(wanted, abs=1e-5)
    # short rows count as if they pointed nowhere in particular
    short = torch.tensor([[1e-3, 0.0]])
    found = gradient.distance({"linear": short}, {"linear": short}).item()
    assert found == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_batch_norm_of_the_reference_is_that_of_torch(channels: int) -> None:
    module = build(NETWORKS["batch"], channels, (8, 8), 3).draw(Key(0)).double().train()
    images = double_noise(5, channels, 8, 8, seed=1) * 2 + 1
    for training in (True, True, False):
        module.train(training)
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        logits, statistics = gradient.scores(before, images, norm="batch", training=training)
        with torch.no_grad():
            torch.testing.assert_close(module(images), logits)
        after = module.state_dict()
        assert len(statistics) == (4 if training else 0)
        for name, tensor in statistics.items():
            torch.testing.assert_close(after[name], tensor)
            assert not torch.allclose(before[name], tensor)


# one matching


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("per_class", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", list(NETWORKS))
def test_loss_and_gradients_are_those_of_the_equations(
    norm: str, channels: int, per_class: int, distance: str
) -> None:
    problem = tiny_problem(tiny_data(channels), per_class, NETWORKS[norm])
    objective = GradientMatching(BATCH, "none", distance)
    state = started(objective, problem)
    images = noise(problem)
    for labels in (hard(problem), soft(problem)):
        found = objective.match(images, labels, problem, state, KEY)
        wanted = expected(problem, state, images, labels, kind=distance, norm=norm)
        assert_same(found, wanted)


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augment", [*DSA.split("_"), DSA])
def test_real_and_synthetic_share_the_transform_of_their_class(
    augment: str, channels: int, norm: str
) -> None:
    for distance in DISTANCES:
        problem = tiny_problem(tiny_data(channels), 2, NETWORKS[norm])
        objective = GradientMatching(BATCH, augment, distance)
        state = started(objective, problem)
        images, labels = noise(problem), soft(problem)
        found = objective.match(images, labels, problem, state, KEY)
        wanted = expected(problem, state, images, labels, augment, kind=distance, norm=norm)
        assert_same(found, wanted)
        plain = expected(problem, state, images, labels, kind=distance, norm=norm)
        assert abs(plain[0] - wanted[0]) > 1e-3 * plain[0]


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> Callable[[Problem], Problem]:
    """Return what makes a problem one in float64; float32 hides mistakes below 1e-5."""
    take = LabelledImages.take

    def plain(self: Functional, tensors: dict[str, Tensor], images: Tensor) -> Tensor:
        return torch.func.functional_call(self._structure, tensors, (images,))

    monkeypatch.setattr(Functional, "plain", plain)
    monkeypatch.setattr(LabelledImages, "take", lambda *given: take(*given).double())

    def doubled(problem: Problem) -> Problem:
        factory = problem.network.factory
        network = dataclasses.replace(
            problem.network, factory=lambda *given: factory(*given).double()
        )
        return dataclasses.replace(problem, network=network)

    return doubled


# scale and rotate compute angles in float32 whatever the images are
@pytest.mark.parametrize("augment", ["none", "color_crop_cutout_flip"])
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("norm", list(NETWORKS))
@pytest.mark.parametrize("chunk", [1, 32])
def test_in_float64_nothing_is_left_of_the_difference(
    chunk: int,
    norm: str,
    distance: str,
    augment: str,
    in_float64: Callable[[Problem], Problem],
) -> None:
    compute = dataclasses.replace(COMPUTE, chunk=chunk)
    problem = in_float64(tiny_problem(tiny_data(3), 5, NETWORKS[norm], compute))
    objective = GradientMatching(BATCH, augment, distance)
    state = started(objective, problem)
    images, labels = noise(problem).double(), soft(problem).double()
    found = objective.match(images, labels, problem, state, KEY)
    loss, *slopes = expected(problem, state, images, labels, augment, kind=distance, norm=norm)
    assert found.images is not None and found.labels is not None
    assert relative(found.loss, loss) < 3e-7  # the sum over classes is kept in float32
    assert relative(found.images, slopes[0]) < 1e-9
    assert relative(found.labels, slopes[1]) < 1e-9


def test_classes_draw_their_own_operation() -> None:
    keys = [KEY.fold("augment", label) for label in range(3)]
    names = [drawn(DSA, key, 1, shared=True)[0] for key in keys]
    assert len(set(names)) > 1  # or the test above says less than it seems to


@pytest.mark.parametrize("channels", [1, 3])
def test_tensors_of_one_dimension_do_not_count_row_by_row(channels: int) -> None:
    problem = tiny_problem(tiny_data(channels), 2, NETWORKS["none"])
    objective = GradientMatching(BATCH)
    state = started(objective, problem)
    images, labels = noise(problem), hard(problem)
    weights = {name: tensor.double() for name, tensor in weights_in(state).items()}
    without, counted = torch.zeros(2, dtype=torch.float64)
    for label, batch in enumerate(real_batches(problem, KEY)):
        truth = torch.eye(3, dtype=torch.float64)[[label] * len(batch)]
        rows = slice(2 * label, 2 * label + 2)
        real = gradient.slopes(weights, batch.double(), truth, norm="none")
        synthetic = gradient.slopes(
            weights, images[rows].double(), labels[rows].double(), norm="none"
        )
        without = without + gradient.distance(real, synthetic)
        vectors = [{n: torch.atleast_2d(t) for n, t in s.items()} for s in (real, synthetic)]
        counted = counted + gradient.distance(*vectors)
    found = objective.match(images, labels, problem, state, KEY).loss
    assert relative(found, without.detach()) < 1e-5
    assert counted > without + 0.1


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_dead_channel_gives_no_nan(distance: str) -> None:
    problem = tiny_problem(tiny_data(3), 2, NETWORKS["none"])
    objective = GradientMatching(BATCH, "none", distance)
    state = started(objective, problem)
    weights_in(state)["blocks.0.bias"][1] = -100.0
    images, labels = noise(problem), hard(problem)
    found = objective.match(images, labels, problem, state, KEY)
    assert found.images is not None and bool(found.images.isfinite().all())
    assert_same(found, expected(problem, state, images, labels, kind=distance, norm="none"))


@pytest.mark.parametrize("norm", list(NETWORKS))
def test_match_is_pure(norm: str) -> None:
    problem = tiny_problem(tiny_data(3), 2, NETWORKS[norm])
    objective = GradientMatching(BATCH, DSA)
    state = started(objective, problem)
    kept = {name: tensor.clone() for name, tensor in weights_in(state).items()}
    rest = {name: value for name, value in state.items() if name != "network"}
    images, labels = noise(problem), hard(problem)
    seen = images.clone(), labels.clone()
    random = torch.random.get_rng_state()
    first = objective.match(images, labels, problem, state, KEY)
    second = objective.match(images, labels, problem, state, KEY)
    other = objective.match(images, labels, problem, state, Key(3).fold("step", 1))
    assert torch.equal(first.loss, second.loss) and torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert not torch.equal(first.images, other.images)
    assert torch.equal(images, seen[0]) and torch.equal(labels, seen[1])
    assert not images.requires_grad and not labels.requires_grad
    assert not first.loss.requires_grad and not first.images.requires_grad
    assert torch.equal(random, torch.random.get_rng_state())
    after = weights_in(state)
    assert after.keys() == kept.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in kept.items())
    assert not any(tensor.requires_grad or tensor.grad is not None for tensor in after.values())
    assert {name: value for name, value in state.items() if name != "network"} == rest


# chunks; up to four times as many images keep their graph at once


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("augment", ["none", DSA])
@pytest.mark.parametrize(("chunk", "per_class"), [(1, 3), (1, 5), (2, 9)])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_chunks_change_no_match(
    norm: str, chunk: int, per_class: int, augment: str, distance: str
) -> None:
    whole = tiny_problem(tiny_data(3), per_class, NETWORKS[norm])
    parts = dataclasses.replace(whole, compute=dataclasses.replace(COMPUTE, chunk=chunk), cache={})
    objective = GradientMatching(BATCH, augment, distance)
    state = started(objective, whole)
    images, labels = noise(whole), soft(whole)
    wanted = objective.match(images, labels, whole, state, KEY)
    found = objective.match(images, labels, parts, state, KEY)
    assert wanted.images is not None and wanted.labels is not None
    assert_same(found, (wanted.loss.double(), wanted.images.double(), wanted.labels.double()))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("augment", ["none", DSA])
@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(("chunk", "compiled"), [(32, False), (1, False), (32, True)])
def test_classes_of_different_numbers_meet_the_equations(
    chunk: int,
    compiled: bool,
    norm: str,
    augment: str,
    distance: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # what would be compiled is called as it is: only the shapes matter here
    monkeypatch.setattr("torch.compile", lambda function, **options: function)
    compute = dataclasses.replace(COMPUTE, chunk=chunk, compile=compiled)
    problem = unequal(tiny_problem(tiny_data(3), 6, NETWORKS[norm], compute), (2, 6, 1))
    objective = GradientMatching(BATCH, augment, distance)
    state = started(objective, problem)
    images, labels = noise(problem), soft(problem)
    wanted = expected(problem, state, images, labels, augment, norm=norm, kind=distance)
    assert_same(objective.match(images, labels, problem, state, KEY), wanted)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_chunks_change_no_run(norm: str) -> None:
    runs = []
    for chunk in (1, 32):
        compute = dataclasses.replace(COMPUTE, chunk=chunk)
        problem = tiny_problem(tiny_data(3), 5, NETWORKS[norm], compute)
        objective = GradientMatching(BATCH, DSA, outer=3, inner=2, lr_network=0.05)
        runs.append(tiny_run(objective, problem))
    for _ in range(3):
        losses = [run.advance() for run in runs]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        tensors = [weights_in(run.state) for run in runs]
        for name, tensor in tensors[1].items():
            torch.testing.assert_close(tensors[0][name], tensor, rtol=1e-4, atol=1e-5)


# outer iterations

LR, MOMENTUM = 0.1, 0.5


def iterated(
    run: Run,
    first: int,
    images: Tensor,
    velocity: Tensor | None,
    inner: int | None = None,
    **options,
) -> list[gradient.Moment]:
    """Return the reference's outer iteration from the weights in the run's state.

    Args:
        run: about to do step ``first``, with a network drawn just now.
        first: step.
        images: of the synthetic set.
        velocity: of the images.
        inner: epochs, where they are not those of the objective.
        options: norm.
    """
    objective, problem = run.objective, run.problem
    assert isinstance(objective, GradientMatching)
    data, count = problem.data, len(problem.layout)
    draws = []
    for step in range(first, first + objective.outer):
        key = run.key.fold("step", step)
        advancing = key.fold("advance")
        before = run.key.fold("step", step - 1).fold("advance") if step else run.key.fold("init")
        index = [data.draw(c, 16, before.fold("calibrate", c)) for c in range(data.classes)]
        assert [len(own) for own in index] == [9, 14, 3]
        epochs = objective.inner if inner is None else inner
        draws.append(
            gradient.Draws(
                real_batches(problem, key),
                data.take(torch.cat(index)) if options["norm"] == "batch" else None,
                [
                    torch.randperm(count, generator=advancing.fold("order", epoch).generator())
                    for epoch in range(epochs)
                ],
                siamese(objective.augment, key),
                single(objective.augment, advancing),
            )
        )
    weights = dict(weights_in(run.state))
    for name, tensor in weights.items():
        # what was drawn, before it was calibrated
        if name.endswith(gradient.STATISTICS):
            weights[name] = (torch.ones_like if name.endswith("var") else torch.zeros_like)(tensor)
    return gradient.iterate(
        weights,
        images,
        hard(problem),
        draws,
        LR,
        MOMENTUM,
        velocity,
        objective.lr_network,
        objective.batch_train,
        objective.distance,
        **options,
    )


def assert_same_network(run: Run, moment: gradient.Moment, fresh: gradient.Weights) -> None:
    """Compare weights, by how far training took them, and running statistics."""
    found = weights_in(run.state)
    assert found.keys() == moment.weights.keys()
    for name, wanted in moment.weights.items():
        if name.endswith("num_batches_tracked"):
            continue
        if name.endswith(gradient.STATISTICS):
            assert relative(found[name], wanted) < 1e-5
            continue
        way = float((wanted - fresh[name].double()).norm())
        # float32 has seven digits of the weights themselves
        allowed = 1e-3 * way + 1e-6 * float(wanted.norm()) + 1e-7
        assert float((found[name].double() - wanted).norm()) < allowed


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augment", ["none", DSA])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_outer_iterations_are_those_of_the_reference(
    norm: str, augment: str, channels: int
) -> None:
    """Six rows in batches of four: the second batch of an epoch is smaller."""
    problem = tiny_problem(tiny_data(channels), 2, NETWORKS[norm])
    objective = GradientMatching(BATCH, augment, outer=3, inner=2, lr_network=0.05, batch_train=4)
    run = tiny_run(objective, problem, optimiser=Optimiser(LR, MOMENTUM))
    everything = torch.arange(len(problem.layout))
    velocity = None
    networks = []
    for first in (0, 3):
        images = run.synthetic(everything)[0].detach().double()
        fresh = {name: tensor.clone() for name, tensor in weights_in(run.state).items()}
        networks.append(fresh)
        assert run.state["outer"] == 0 and run.state["drawn"] == first // 3
        moments = iterated(run, first, images, velocity, norm=norm)
        assert [moment.updates for moment in moments] == [4, 4, 0]
        for step, moment in enumerate(moments):
            assert run.state["outer"] == step
            assert_same_network(run, moment, fresh)
            assert run.advance() == pytest.approx(float(moment.loss), rel=1e-5)
            moved = run.synthetic(everything)[0].detach().double() - images
            assert relative(moved, moment.images - images) < 2e-4
        velocity = moments[-1].velocity
    assert run.state["outer"] == 0 and run.state["drawn"] == 2
    networks.append(weights_in(run.state))
    for a, b in itertools.combinations(networks, 2):
        assert not torch.allclose(a["blocks.0.weight"], b["blocks.0.weight"], atol=1e-2)
        assert not torch.allclose(a["classifier.weight"], b["classifier.weight"], atol=1e-2)


@pytest.mark.parametrize("inner", [1, 3])
def test_another_number_of_epochs_would_be_noticed(inner: int) -> None:
    objective = GradientMatching(BATCH, outer=2, inner=2, batch_train=4)
    run = tiny_run(objective, tiny_problem(tiny_data(3), 2, NETWORKS["instance"]))
    images = run.synthetic(torch.arange(6))[0].detach().double()
    fresh = {name: tensor.clone() for name, tensor in weights_in(run.state).items()}
    right = iterated(run, 0, images, None, norm="instance")
    wrong = iterated(run, 0, images, None, inner, norm="instance")
    run.advance()
    assert_same_network(run, right[1], fresh)
    with pytest.raises(AssertionError):
        assert_same_network(run, wrong[1], fresh)


def test_every_training_batch_is_augmented_with_one_draw_per_image() -> None:
    sizes: list[tuple[int, int]] = []

    def noting(images: Tensor, draws: Tensor) -> Tensor:
        sizes.append((len(images), len(draws)))
        return images

    objective = GradientMatching(BATCH, "flip", outer=2, inner=3, batch_train=4)
    run = tiny_run(objective, tiny_problem(tiny_data(3), 2, NETWORKS["instance"]))
    with mock.patch.dict(augmenting.OPERATIONS, {"flip": noting}):
        for _ in range(2):
            run.advance()
    training = [size for size in sizes if size[1] > 1]
    assert training == [(4, 4), (2, 2)] * 3
    assert len(sizes) - len(training) == 2 * 3 * 2


def test_a_new_network_after_every_step_is_not_trained() -> None:
    """With outer=1, as at one image per class, the network is never trained."""
    problem = tiny_problem(tiny_data(3), 1, NETWORKS["instance"])
    run = tiny_run(GradientMatching(BATCH, outer=1, inner=5), problem)
    weights = []
    for step in range(3):
        assert (run.state["outer"], run.state["drawn"]) == (0, step)
        tensors = weights_in(run.state)
        assert torch.equal(tensors["blocks.1.weight"], torch.ones(4))
        assert torch.equal(tensors["blocks.1.bias"], torch.zeros(4))
        weights.append(tensors["blocks.0.weight"].clone())
        run.advance()
    for a, b in itertools.combinations(weights, 2):
        assert not torch.allclose(a, b, atol=1e-2)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_advance_leaves_the_state_it_was_given(norm: str) -> None:
    problem = tiny_problem(tiny_data(3), 2, NETWORKS[norm])
    objective = GradientMatching(BATCH, DSA, outer=2, inner=2)
    run = tiny_run(objective, problem)
    state = started(objective, problem)
    kept = {name: tensor.clone() for name, tensor in weights_in(state).items()}
    first = objective.advance(run.synthetic, problem, state, KEY)
    second = objective.advance(run.synthetic, problem, state, KEY)
    assert (state["outer"], first["outer"], second["outer"]) == (0, 1, 1)
    for name, tensor in weights_in(state).items():
        assert torch.equal(tensor, kept[name]) and not tensor.requires_grad
        assert torch.equal(weights_in(first)[name], weights_in(second)[name])
    assert not torch.equal(weights_in(first)["classifier.weight"], kept["classifier.weight"])


# what carries the gradients on


@pytest.mark.parametrize("channels", [1, 3])
def test_factors_get_the_gradient_by_the_chain_rule(channels: int) -> None:
    """With X = A·B: ∂/∂A = G·Bᵀ and ∂/∂B = Aᵀ·G; one step of plain SGD shows both."""
    problem = tiny_problem(tiny_data(channels), 2, NETWORKS["instance"])
    run = tiny_run(GradientMatching(BATCH, DSA), problem, LowRank(2), optimiser=Optimiser(0.5))
    left, right = (p.detach().double().clone() for p in run.synthetic.images.parameters())
    key = run.key.fold("step", 0)
    loss, slope, _ = expected(problem, run.state, left @ right, hard(problem), DSA, key)
    assert run.advance() == pytest.approx(float(loss), rel=1e-5)
    for before, after, wanted in (
        (left, run.synthetic.images.left, slope @ right.mT),
        (right, run.synthetic.images.right, left.mT @ slope),
    ):
        moved = (before - after.detach().double()) / 0.5
        assert relative(moved, wanted) < 2e-4


def test_learned_labels_get_their_gradient() -> None:
    problem = tiny_problem(tiny_data(3), 2, NETWORKS["instance"])
    objective = GradientMatching(BATCH)
    run = tiny_run(objective, problem, learned_labels=True, optimiser=Optimiser(0.5))
    images, labels = (part.detach() for part in run.synthetic(torch.arange(6)))
    _, _, slope = expected(problem, run.state, images, labels, key=run.key.fold("step", 0))
    run.advance()
    moved = (labels - run.synthetic(torch.arange(6))[1].detach()) / 0.5
    assert relative(moved, slope) < 2e-4


# precision and compilation


def matched(compute: Compute, network: str, augment: str, distance: str) -> Match:
    whole = tiny_problem(tiny_data(3), 2, network)
    problem = dataclasses.replace(whole, compute=compute, cache={})
    objective = GradientMatching(BATCH, augment, distance)
    return objective.match(noise(problem), hard(problem), problem, started(objective, whole), KEY)


# one compilation takes most of a minute
@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "augment", "distance"),
    [("instance", DSA, "layerwise"), ("batch", "none", "cosine"), ("none", "none", "mse")],
)
def test_compiled_equals_eager(norm: str, augment: str, distance: str) -> None:
    eager = matched(COMPUTE, NETWORKS[norm], augment, distance)
    fast = matched(Compute(CPU, "float32", True, 32), NETWORKS[norm], augment, distance)
    assert eager.images is not None and eager.labels is not None
    assert_same(fast, (eager.loss.double(), eager.images.double(), eager.labels.double()))


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_compiled_runs_equal_eager_ones(norm: str) -> None:
    runs = []
    for compile in (False, True):
        compute = Compute(CPU, "float32", compile, 32)
        problem = tiny_problem(tiny_data(3), 3, NETWORKS[norm], compute)
        objective = GradientMatching(BATCH, DSA, outer=3, inner=2, batch_train=4)
        runs.append(tiny_run(objective, problem))
    for _ in range(4):
        losses = [run.advance() for run in runs]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        tensors = [weights_in(run.state) for run in runs]
        for name, tensor in tensors[0].items():
            torch.testing.assert_close(tensors[1][name], tensor, rtol=1e-3, atol=1e-4)


# Rounding moves numbers across the kink of a ReLU, which turns the gradient of a narrow network
# (0.975 at width 4); a smooth one shows the arithmetic alone.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "compile", "least"),
    [
        ("convnet2:width=64", False, 0.99),
        ("convnet2:width=64,norm=batch", False, 0.99),
        ("convnet2:width=4,activation=swish", False, 0.999),
        ("convnet2:width=4,norm=batch,activation=swish", False, 0.999),
        ("convnet2:width=4,activation=swish", True, 0.999),
    ],
)
def test_bfloat16_points_the_same_way(network: str, compile: bool, least: float) -> None:
    full = matched(COMPUTE, network, "none", "layerwise")
    half = matched(Compute(CPU, "bfloat16", compile, 32), network, "none", "layerwise")
    assert full.images is not None and half.images is not None
    assert half.loss.dtype == half.images.dtype == torch.float32
    a, b = full.images.flatten().double(), half.images.flatten().double()
    assert float(a @ b / (a.norm() * b.norm())) > least
    assert not torch.equal(a, b)


# settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"distance": "layerwize"}, r"'layerwize' \(did you mean 'layerwise'"),
        ({"distance": "cosin"}, r"'cosin' \(did you mean 'cosine'"),
        ({"distance": "mse2"}, r"did you mean 'mse'"),
        ({"augment": "colour_flip"}, r"'colour' \(did you mean 'color'"),
        ({"outer": 0}, "outer 0"),
        ({"inner": 0}, "inner 0"),
        ({"batch_real": 0}, "batch_real 0"),
        ({"batch_train": 0}, "batch_train 0"),
        ({"lr_network": 0.0}, "lr_network 0"),
        ({"lr_network": -0.1}, "lr_network -0.1"),
        ({"lr_network": float("nan")}, "lr_network nan"),
        ({"lr_network": float("inf")}, "lr_network inf"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        GradientMatching(**settings)


def test_settings_of_the_papers_are_the_defaults() -> None:
    assert dataclasses.asdict(GradientMatching()) == {
        "batch_real": 256,
        "augment": "none",
        "distance": "layerwise",
        "outer": 1,
        "inner": 1,
        "lr_network": 0.01,
        "batch_train": 256,
        "pool": 0,
        "refresh": 20,
    }
    assert GradientMatching.name == "gradient"


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_network_from_a_file_has_its_order_and_layout(distance: str, tmp_path: Path) -> None:
    problem = tiny_problem(tiny_data(size=16), network="convnet4:width=4")
    objective = GradientMatching(batch_real=BATCH, distance=distance, outer=3)
    state = objective.init(problem, KEY)
    tensors, rest = flatten(state)
    save_tensors(tmp_path / "state.safetensors", tensors, {"rest": rest})
    found = read_tensors(tmp_path / "state.safetensors")
    read = unflatten(found, read_header(tmp_path / "state.safetensors")["rest"])
    images, labels = noise(problem), hard(problem)
    one, other = (objective.match(images, labels, problem, s, KEY) for s in (state, read))
    assert torch.equal(one.loss, other.loss)
    assert one.images is not None and other.images is not None
    assert torch.equal(one.images, other.images)

    compute = dataclasses.replace(COMPUTE, compile=True)
    network = Functional(problem.network.draw(KEY), "forward", compute)
    before = network.tensors(problem.network.draw(KEY))
    shuffled = {n: before[n].contiguous() for n in sorted(before, reverse=True)}
    after = network.arranged(shuffled)
    assert list(after) == list(before)
    assert [t.stride() for t in after.values()] == [t.stride() for t in before.values()]


def test_a_network_without_second_derivatives_is_refused() -> None:
    problem = tiny_problem()
    problem = dataclasses.replace(problem, network=make(OnceDifferentiable, 1, (8, 8), 3))
    with pytest.raises(BadRequest, match="second derivatives"):
        GradientMatching().check(problem)
