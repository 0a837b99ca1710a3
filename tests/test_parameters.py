"""Parameter matching against its equations, and what it refuses."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attar.condensing.engine import Run
from attar.errors import BadRequest
from attar.networks import Network
from attar.objectives import ParameterMatching, Problem, SignificancePenalty
from attar.objectives.features import features_of
from attar.objectives.parameters import layer_gradient
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import LowRank, OrderedSVD, Parametrization, Synthetic
from attar.tensors import dotted
from catalogue import COMPUTE, prepared_data, tiny_data, tiny_problem, tiny_run
from references import slimming_reference as reference

KEY = Key(3).fold("step", 0)
ADAM = Optimiser(0.02, kind="adam")
TINY = ParameterMatching(pool=2, age=3)


def problem(targets: bool = True, **options: Any) -> Problem:
    """Return one whose data are a prepared set, with label values of its own or without."""
    data = prepared_data()
    if targets:
        drawn = torch.randn(len(data), data.classes, generator=Key(7).generator())
        data = dataclasses.replace(data, targets=drawn)
    return dataclasses.replace(tiny_problem(data, **options), learned_labels=targets)


def set_of(problem: Problem) -> tuple[Tensor, Tensor]:
    layout = problem.layout
    generator = Key(8).generator()
    images = torch.randn(len(layout), *layout.shape, generator=generator)
    return images, torch.randn(len(layout), layout.classes, generator=generator)


def network_of(state: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of the network of this step by the names that it gives them."""
    found = dotted(state["pool"][state["network"]]["network"])
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}


@pytest.mark.parametrize(
    ("weights", "mirror"),
    [
        ((1.0, 0.0, 0.0), False),
        ((0.0, 1.0, 0.0), False),
        ((0.0, 0.0, 1.0), False),
        ((1e-2, 1.0, 0.0), False),
        ((0.5, 2.0, 3.0), True),
    ],
)
def test_loss_and_gradients_are_those_of_the_equations(
    weights: tuple[float, float, float], mirror: bool
) -> None:
    given = problem()
    first, infinity, performance = weights
    objective = ParameterMatching(first, infinity, performance, mirror=mirror, pool=2)
    state = objective.init(given, Key(1))
    images, labels = set_of(given)
    made = objective.match(images, labels, given, state, KEY)
    assert given.data.targets is not None
    expected = reference.loss_and_gradients(
        network_of(state), images, labels, given.data.images, given.data.targets, weights, mirror
    )
    found = made.loss, made.images, made.labels
    for ours, theirs in zip(found, expected, strict=True):
        assert ours is not None
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-4 * scale)


def test_a_set_that_equals_its_source_has_nothing_to_match() -> None:
    given = problem()
    data = given.data
    assert data.targets is not None
    state = TINY.init(given, Key(1))
    made = TINY.match(data.images, data.targets, given, state, KEY)
    assert made.loss < 1e-8
    assert made.images is not None and made.images.abs().max() < 1e-3


def test_the_equations_are_sums_over_all_weights() -> None:
    # with a slimmed set of zeros, only the source's own parameters are left
    given = problem()
    objective = ParameterMatching(first=0, pool=1)
    state = objective.init(given, Key(1))
    images, labels = set_of(given)
    made = objective.match(images, torch.zeros_like(labels), given, state, KEY)
    embedding = objective._pool.embedding(given)
    tensors = objective._pool.tensors(given, state["pool"], "0")
    features = embedding(tensors, given.data.images).double()
    assert given.data.targets is not None
    learnt = reference.pseudo_inverse(features) @ given.data.targets.double()
    assert made.loss.item() == pytest.approx(learnt.square().sum().item(), rel=1e-3)


@pytest.mark.parametrize("mirror", [False, True])
def test_chunks_change_nothing(mirror: bool) -> None:
    objective = ParameterMatching(mirror=mirror, performance=1.0, pool=2)
    found = []
    for chunk in (32, 1):  # 26 images of the source, 12 of the slimmed set, 4 chunks in a graph
        given = problem(per_class=4, compute=dataclasses.replace(COMPUTE, chunk=chunk))
        state = objective.init(given, Key(1))
        found.append(objective.match(*set_of(given), given, state, KEY))
    for name in ("loss", "images", "labels"):
        one, other = (getattr(match, name) for match in found)
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(one.abs().max()))


def test_features_in_chunks_and_their_way_back() -> None:
    compute = dataclasses.replace(COMPUTE, chunk=2)
    given = problem(compute=compute)
    pool = TINY._pool
    tensors = pool.tensors(given, pool.init(given, KEY), "0")
    embedding = pool.embedding(given)
    images = set_of(given)[0].repeat(2, 1, 1, 1)[:11]  # a chunk with a graph holds 8
    slopes = torch.randn(11, 72, generator=KEY.generator())
    found = []
    for function in (
        lambda x: features_of(embedding, tensors, x, compute),
        lambda x: embedding(tensors, x),
    ):
        leaf = images.clone().requires_grad_()
        features = function(leaf)
        found.append((features, *torch.autograd.grad((features * slopes).sum(), leaf)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_fixed_labels_are_centred_as_the_source_without_label_values() -> None:
    given = problem(targets=False)
    images, _ = set_of(given)
    state = TINY.init(given, Key(1))
    classes = given.layout.classes
    hot = nn.functional.one_hot(given.layout.class_of_row(), classes).float()
    one = TINY.match(images, hot, given, state, KEY)
    learnt = dataclasses.replace(given, learned_labels=True)
    other = TINY.match(images, hot - 1 / classes, learnt, state, KEY)
    assert one.loss == other.loss
    source = nn.functional.one_hot(given.data.labels, classes).float() - 1 / classes
    expected, *_ = reference.loss_and_gradients(
        network_of(state), images, hot - 1 / classes, given.data.images, source
    )
    assert one.loss.item() == pytest.approx(expected.item(), rel=1e-3)


def test_a_step_trains_the_network_that_it_used() -> None:
    given = problem()
    run = tiny_run(TINY, given, OrderedSVD(), learned_labels=True, optimiser=ADAM)
    for _ in range(4):
        before, name = run.state["pool"], run.state["network"]
        run.advance()
        after = run.state["pool"]
        assert after[name]["age"] == before[name]["age"] + 1
        assert all(after[other] is before[other] for other in after if other != name)


def test_a_network_is_drawn_anew_after_its_updates() -> None:
    given = problem()
    objective = ParameterMatching(pool=1, age=2)
    run = tiny_run(objective, given, OrderedSVD(), learned_labels=True, optimiser=ADAM)
    ages = []
    for _ in range(5):
        run.advance()
        ages.append(run.state["pool"]["0"]["age"])
    assert ages == [1, 2, 3, 0, 1]


@pytest.mark.parametrize("form", [OrderedSVD(), OrderedSVD(1, "class"), LowRank(2, OrderedSVD())])
def test_a_set_of_components_learns_towards_its_source(form: Parametrization) -> None:
    given = problem(per_class=2)
    synthetic = Synthetic(given.layout, form, learned_labels=True)
    synthetic.images.start_from_noise(Key(2))
    roles = dict.fromkeys(synthetic.roles(), ADAM)
    objective = ParameterMatching(pool=1, age=1000)
    run = Run(synthetic, objective, given, roles, Key(0), penalty=SignificancePenalty())
    losses = [run.advance() for _ in range(25)]
    assert min(losses[-3:]) < 0.8 * losses[0]
    assert all(parameter.grad is not None for parameter in synthetic.parameters())


def test_passes_count_the_source_once_and_the_set_in_both_directions() -> None:
    given = problem(per_class=4)
    assert TINY.passes(given.layout, given.data) == 26 + 3 * 12 + 3 * 12
    mirror = dataclasses.replace(TINY, mirror=True)
    assert mirror.passes(given.layout, given.data) == 2 * (26 + 3 * 12) + 3 * 12


def test_real_images_are_refused() -> None:
    with pytest.raises(BadRequest, match="slims an artefact, and tiny are real images: use attar"):
        tiny_run(TINY, tiny_problem(tiny_data()))


class Cosine(nn.Module):
    """A network whose scores are no linear function of its features."""

    def __init__(self, channels: int, size: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], 5))
        self.centres = nn.Parameter(torch.randn(classes, 5))

    def embed(self, images: Tensor) -> Tensor:
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.normalize(self.embed(images)) @ self.centres.T


def test_a_network_without_a_last_linear_layer_is_refused_where_it_is_needed() -> None:
    given = problem()
    odd = Network("odd", Cosine, 1, (8, 8), 3)
    given = dataclasses.replace(given, network=odd, cache={})
    with pytest.raises(BadRequest, match=r"network 'odd' has no last linear layer .* set first to"):
        tiny_run(TINY, given)
    without = dataclasses.replace(TINY, first=0.0)
    assert torch.isfinite(torch.tensor(tiny_run(without, given, OrderedSVD()).advance()))


def test_a_module_of_ones_own_is_matched_in_its_last_linear_layer() -> None:
    from attar.networks import from_module

    own = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 3, bias=False))
    given = problem()
    given = dataclasses.replace(given, network=from_module(own, 1, (8, 8), 3), cache={})
    run = tiny_run(ParameterMatching(1.0, 0.0, pool=1), given)
    name = "module.head.weight"
    pool = run.objective._pool  # pyright: ignore[reportAttributeAccessIssue]
    tensors = pool.tensors(given, run.state["pool"], "0")
    features = [
        pool.embedding(given)(tensors, x).double()
        for x in (run.synthetic.images(torch.arange(6)), given.data.images)
    ]
    hot = torch.eye(3).repeat_interleave(2, dim=0) - 1 / 3
    assert given.data.targets is not None
    weight = tensors[name].double().T
    expected = reference.first_order(
        features[0], hot.double(), features[1], given.data.targets.double(), weight, torch.zeros(3)
    )
    assert run.advance() == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"first": -1.0}, "first -1.0: a number of 0 or more"),
        ({"infinity": float("nan")}, "infinity nan: a number of 0 or more"),
        ({"ridge": float("inf")}, "ridge inf: a number of 0 or more"),
        ({"first": 0.0, "infinity": 0.0}, "are all 0: nothing is matched"),
        ({"pool": 0}, "pool 0: at least one network is needed"),
        ({"age": -1}, "age -1: 0 updates or more"),
        ({"lr_network": 0.0}, "lr_network 0: a positive number"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        ParameterMatching(**settings)


def test_averaged_gradients_are_those_of_the_mean_loss() -> None:
    generator = torch.Generator().manual_seed(8)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    features, labels, bias = drawn(5, 7), drawn(5, 3), drawn(3)
    weight = drawn(3, 7).requires_grad_()
    errors = torch.nn.functional.linear(features, weight, bias) - labels
    (errors.square().sum(dim=1) / 2).mean().backward()
    found = layer_gradient(features, labels, weight.detach(), bias, averaged=True)
    assert weight.grad is not None and torch.allclose(found.T, weight.grad)
