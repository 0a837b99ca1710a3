"""Kernels of infinitely wide networks, what is learnt and what predicts with them."""

import dataclasses
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attar
from attar import capacity
from attar.data import Splits
from attar.errors import BadRequest
from attar.kernels import Infinite, infinite, solved
from attar.kernels.recursion import Conv
from attar.networks import make_for
from attar.objectives import InfiniteRegression, Problem, RandomFeatures
from attar.rng import Key
from attar.synthetic import Layout
from attar.training import card
from attar.training.predicting import KernelPredictor
from attar.training.stability import greatest_rate
from attar.training.trainer import Trainer
from catalogue import COMPUTE, tiny_data, tiny_problem
from references import infinite_reference

LINEAR = Conv(1, 0)
NETWORKS: dict[str, tuple[tuple[int, ...], tuple[Any, ...], tuple[Any, ...]]] = {
    "mlp": (
        (2, 3, 3),
        ("flatten", LINEAR, "relu", LINEAR, "relu", LINEAR),
        ("flatten", "linear", "relu", "linear", "relu", "linear"),
    ),
    "convolutions": (
        (2, 3, 4),
        (Conv(3, 1), "relu", Conv(3, 1), "relu", "flatten", LINEAR),
        (("conv", 3, 1), "relu", ("conv", 3, 1), "relu", "flatten", "linear"),
    ),
    "average pooling": (
        (1, 3, 4),
        (Conv(3, 2), "relu", "pool", Conv(3, 1), "relu", "pool", "flatten", LINEAR),
        (("conv", 3, 2), "relu", "pool", ("conv", 3, 1), "relu", "pool", "flatten", "linear"),
    ),
    "global average pooling": (
        (2, 4, 4),
        (Conv(3, 1), "relu", "pool", Conv(3, 1), "relu", "mean", LINEAR),
        (("conv", 3, 1), "relu", "pool", ("conv", 3, 1), "relu", "mean", "linear"),
    ),
    "pooling, then convolutions": (
        (1, 4, 4),
        (Conv(2, 0), "relu", "pool", Conv(1, 0), "relu", Conv(3, 1), "relu", "flatten", LINEAR),
        (
            *(("conv", 2, 0), "relu", "pool", ("conv", 1, 0), "relu", ("conv", 3, 1), "relu"),
            *("flatten", "linear"),
        ),
    ),
}


def images(count: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=generator, dtype=torch.float64)


def network(name: str) -> Infinite:
    shape, steps, _ = NETWORKS[name]
    return Infinite(name, shape, steps)


@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_are_those_of_the_recursions_number_by_number(name: str) -> None:
    shape, _, layers = NETWORKS[name]
    first, second = images(2, shape), images(2, shape, 1)
    # an image beside itself, and beside one of nothing
    second = torch.cat([second, first[:1], torch.zeros_like(first[:1])])
    expected = np.array(
        [[infinite_reference.kernels(x, y, layers) for y in second.numpy()] for x in first.numpy()]
    )
    for number, kind in enumerate(("nngp", "ntk")):
        found = network(name).gram(first, second, kind)
        assert found.dtype == torch.float64
        # the angle between two equal vectors is known to the root of the rounding
        np.testing.assert_allclose(found.numpy(), expected[..., number], rtol=0, atol=1e-7)
        own = network(name).gram(first, None, kind)
        torch.testing.assert_close(own, network(name).gram(first, first, kind), rtol=0, atol=1e-12)
        torch.testing.assert_close(own, own.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["nngp", "ntk"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_differences(name: str, kind: str) -> None:
    kernel, shape = network(name), NETWORKS[name][0]
    first, second = images(3, shape).requires_grad_(), images(2, shape, 1)
    across, own = images(3, (2,), 2), images(3, (3,), 3)
    # an image beside itself has the slope of its size alone, which differences drown in rounding
    own.fill_diagonal_(0)

    def loss(values: Tensor) -> Tensor:
        grams = kernel.gram(values, second, kind), kernel.gram(values, None, kind)
        return (grams[0] * across).sum() + (grams[1] * own).sum()

    (slope,) = torch.autograd.grad(loss(first), first)
    way = images(3, shape, 4)
    with torch.no_grad():
        step = 1e-6 * way
        difference = (loss(first + step) - loss(first - step)) / 2e-6
    torch.testing.assert_close((slope * way).sum(), difference, rtol=1e-6, atol=1e-8)


def test_the_slope_of_an_image_with_itself_is_that_of_its_size() -> None:
    kernel = Infinite("mlp", (4,), (LINEAR, "relu", LINEAR), bias=0.0)
    one = images(1, (4,)).requires_grad_()
    found = kernel.gram(one)[0, 0]
    (slope,) = torch.autograd.grad(found, one)
    # without biases the kernel goes with the square of the size
    torch.testing.assert_close(
        slope, 2 * found.detach() * one.detach() / one.detach().square().sum()
    )


def test_parts_of_images_give_what_all_give(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, shape = network("average pooling"), NETWORKS["average pooling"][0]
    first, second = images(5, shape).requires_grad_(), images(3, shape, 1)

    def both() -> tuple[Tensor, ...]:
        found = kernel.gram(first, second), kernel.gram(first)
        return (*found, *torch.autograd.grad(found[0].sum() + found[1].square().sum(), first))

    whole = both()
    for values in (1, 4 * kernel.values):
        monkeypatch.setattr("attar.kernels.gram._VALUES", {"cpu": values})
        for one, other in zip(both(), whole, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def finite(name: str, width: int, seed: int) -> nn.Sequential:
    """Return a wide network; its weights are unit normals, scaled where they are used."""
    torch.manual_seed(seed)
    _, steps, _ = NETWORKS[name]
    layers: list[nn.Module] = []
    for at, step in enumerate(steps):
        if step == "flatten":
            layers.append(nn.Flatten())
        elif step == "relu":
            layers.append(nn.ReLU())
        elif step == "pool":
            layers.append(nn.AvgPool2d(2))
        elif step == LINEAR and any(isinstance(one, nn.Flatten) for one in layers):
            last = at == len(steps) - 1
            layers.append(_Scaled(nn.LazyLinear(1 if last else width)))
        else:
            layers.append(_Scaled(nn.LazyConv2d(width, step.kernel, padding=step.padding)))
    return nn.Sequential(*layers).double()


class _Scaled(nn.Module):
    """A layer in the parametrization of the tangent kernel."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, values: Tensor) -> Tensor:
        if isinstance(self.layer.weight, nn.UninitializedParameter):
            self.layer(values)
            nn.init.normal_(self.layer.weight)
            nn.init.normal_(self.layer.bias)
        weight, bias = self.layer.weight, self.layer.bias * 0.1
        weight = weight * math.sqrt(2 / weight[0].numel())
        if weight.ndim == 2:
            return nn.functional.linear(values, weight, bias)
        return nn.functional.conv2d(values, weight, bias, padding=self.layer.padding)


@pytest.mark.parametrize("name", ["mlp", "convolutions", "average pooling"])
def test_kernels_are_those_of_wide_networks(name: str) -> None:
    some, draws = images(3, NETWORKS[name][0]), 6
    found = []
    for seed in range(draws):
        module = finite(name, 256, seed)
        module(some)
        rows = []
        for one in some:
            slopes = torch.autograd.grad(module(one[None]).sum(), list(module.parameters()))
            rows.append(torch.cat([slope.flatten() for slope in slopes]))
        found.append(torch.stack(rows) @ torch.stack(rows).T)
    drawn = torch.stack(found)
    error = drawn.std(dim=0) / math.sqrt(draws)
    expected = network(name).gram(some)
    # five standard errors, and what a finite width leaves
    assert bool(((drawn.mean(dim=0) - expected).abs() < 5 * error + 0.02 * expected.abs()).all())


PEER = r"""
import sys
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from neural_tangents import stax

given = np.load(sys.argv[1])
relu, flat = stax.Relu(), stax.Flatten()
dense = lambda: stax.Dense(1, 2**0.5, 0.1)
conv = lambda: stax.Conv(1, (3, 3), padding="SAME", W_std=2**0.5, b_std=0.1)
pool = lambda: stax.AvgPool((2, 2), (2, 2))
cases = {
    "mlp": (flat, dense(), relu, dense(), relu, dense()),
    "convnet2:norm=none,pooling=none": (conv(), relu, conv(), relu, flat, dense()),
    "convnet2:norm=none": (conv(), relu, pool(), conv(), relu, pool(), flat, dense()),
}
found = {}
for name, layers in cases.items():
    both = stax.serial(*layers)[2](given["first"], given["second"], ("nngp", "ntk"))
    found |= {f"{name} nngp": both.nngp, f"{name} ntk": both.ntk}
np.savez(sys.argv[2], **found)
"""


def test_kernels_are_those_of_neural_tangents(tmp_path: Path) -> None:
    """Measured with 0.6.5 under jax 0.4.30 and tf2jax 0.3.6: 3e-8 at most.

    ``ATTAR_NEURAL_TANGENTS`` names the folder that these are installed in. They run in a process of
    their own, since TensorFlow, which they import, and PyTorch end a common one.
    """
    folder = os.environ.get("ATTAR_NEURAL_TANGENTS")
    if folder is None:
        pytest.skip("ATTAR_NEURAL_TANGENTS names no folder with neural-tangents")
    shape = (3, 8, 8)
    first, second = images(4, shape), images(3, shape, 1)
    second[0] = first[0]
    given, out = tmp_path / "given.npz", tmp_path / "found.npz"
    np.savez(given, first=first.movedim(1, -1).numpy(), second=second.movedim(1, -1).numpy())
    command = [sys.executable, "-c", PEER, str(given), str(out)]
    environment = {**os.environ, "PYTHONPATH": folder}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    with np.load(out) as expected:
        assert len(expected.files) == 6
        for case in expected.files:
            name, kind = case.split()
            found = infinite(make_for(name, shape, 10)).gram(first, second, kind).numpy()
            np.testing.assert_allclose(found, expected[case], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "shape", "steps"),
    [
        ("mlp", (3, 8, 8), ("flatten", *(LINEAR, "relu") * 2, LINEAR)),
        ("mlp:depth=1", (5,), (LINEAR, "relu", LINEAR)),
        ("convnet1:norm=none", (1, 8, 8), (Conv(3, 3), "relu", "pool", "flatten", LINEAR)),
        (
            "convnet2:norm=none,pooling=none,width=7",
            (3, 8, 8),
            (*(Conv(3, 1), "relu") * 2, "flatten", LINEAR),
        ),
        (
            "frepo2:norm=none",
            (3, 8, 8),
            (*(Conv(3, 1), "relu", "pool") * 2, "flatten", LINEAR),
        ),
    ],
)
def test_networks_have_infinite_forms(name: str, shape: Any, steps: Any) -> None:
    found = infinite(make_for(name, shape, 3))
    assert found.steps == steps
    assert found.gram(torch.randn(2, *shape)).shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("convnet2", "GroupNorm"),
        ("convnet2:norm=none,pooling=max", "MaxPool2d"),
        ("convnet2:norm=none,activation=swish", "SiLU"),
        ("frepo2", "BatchNorm2d"),
        ("lenet", "MaxPool2d"),
        ("resnet10", "GroupNorm"),
    ],
)
def test_networks_without_one_are_refused_with_the_layer(name: str, layer: str) -> None:
    with pytest.raises(BadRequest, match=f"because of {layer}.*convnet3:norm=none"):
        infinite(make_for(name, (3, 32, 32), 10))


def test_what_memory_does_not_hold_is_refused_with_the_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capacity, "available_memory", lambda: 10**9)
    kernel = infinite(make_for("convnet3:norm=none", (3, 64, 64), 10))
    assert kernel.values == 64**4
    with pytest.raises(BadRequest, match=r"3×64×64.*would take 2\.\d+ GB.*take fewer images"):
        kernel.check(10, 10)
    # without pooling, positions do not meet
    infinite(make_for("convnet3:norm=none,pooling=none", (3, 64, 64), 10)).check(10, 10)
    with pytest.raises(BadRequest, match="between 50,000 and 50,000 images"):
        infinite(make_for("mlp", (3, 32, 32), 10)).check(50_000, 50_000)
    options: dict[str, Any] = {"method": "kip", "ipc": 1, "iterations": 1, "zca": "none"}
    with pytest.raises(
        BadRequest, match=r"would take 2\.\d+ GB.*\(--resize 51\) or random features"
    ):
        attar.condense(tiny_data(3, size=64), device="cpu", **options)
    assert kernel.largest_side(6, 6, 9 * 10**8) == 51


@pytest.mark.parametrize(("most", "said"), [(2_000_000, (1041, [])), (64_000, (42, [14]))])
def test_the_refusal_names_the_largest_that_fits_ready_to_type(
    most: int, said: tuple[int, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny_data(counts=(2000,) * 3, size=4)
    network = make_for("mlp", (3, 4, 4), 3)
    problem = Problem(data, network, Layout(3, 20, (3, 4, 4)), COMPUTE)
    there = (infinite(network).bytes(0, 0) + most) * 10 // 9
    monkeypatch.setattr(capacity, "available_memory", lambda: there)
    with pytest.raises(BadRequest, match="would take") as refused:
        InfiniteRegression().check(problem)
    text = str(refused.value)
    real = int(re.findall(r"batch_real=(\d+)", text)[0])
    each = [int(one) for one in re.findall(r"--images-per-class (\d+)", text)]
    assert (real, each) == said
    layout = Layout(3, each[0], (3, 4, 4)) if each else problem.layout
    InfiniteRegression(batch_real=real).check(dataclasses.replace(problem, layout=layout))


def test_what_is_explained_is_what_would_be_refused() -> None:
    network = "convnet2:norm=none,pooling=max"
    with pytest.raises(BadRequest, match="because of MaxPool2d"):
        attar.explain(tiny_data(3), method="kip", ipc=1, network=network, zca="none")
    # of what follows experts, there are none to look at yet
    assert attar.explain(tiny_data(3), method="mtt", ipc=1)["method"] == "mtt"


def test_singular_systems_have_a_solution_all_the_same() -> None:
    gram = torch.ones(4, 4, dtype=torch.float64)
    labels = torch.eye(4, dtype=torch.float64)
    assert bool(solved(gram, labels, 0.0).isfinite().all())
    assert bool(solved(torch.zeros_like(gram), labels, 0.0).isfinite().all())
    regular = gram + torch.diag(torch.arange(1.0, 5).double())
    ridge = 0.1 * regular.trace() / 4 * torch.eye(4, dtype=torch.float64)
    expected = torch.linalg.solve(regular + ridge, labels)
    torch.testing.assert_close(solved(regular, labels, 0.1), expected)
    assert bool(solved(gram * math.nan, labels, 0.0).isnan().all())


# objectives

INFINITE = InfiniteRegression(batch_real=9, ridge=1e-3)
NETWORK = "convnet1:width=8,norm=none,pooling=none"


@pytest.mark.parametrize("learned", [False, True])
def test_the_loss_is_that_of_the_equation(learned: bool) -> None:
    problem = dataclasses.replace(tiny_problem(network=NETWORK), learned_labels=learned)
    given, key = torch.randn(6, 1, 8, 8), Key(3)
    labels = torch.randn(6, 3) if learned else torch.eye(3).repeat_interleave(2, dim=0)
    found = INFINITE.match(given, labels, problem, {}, key)

    # every class gives a third of the batch
    drawn = [own.tolist() for own in problem.data.indices_of_class]
    seen = problem.data.take(torch.arange(len(problem.data))).double()
    kernel = infinite(problem.network)
    own = kernel.gram(given)
    own = own + torch.eye(6) * (1e-3 * own.trace() / 6)
    known = labels.double() if learned else labels.double() - 1 / 3
    scores = kernel.gram(seen, given) @ torch.linalg.solve(own, known)
    truth = torch.eye(3, dtype=torch.float64)[problem.data.labels] - 1 / 3
    errors = (scores - truth).square().mean(dim=1) / 2
    # the mean of some nine of these, three of each class
    each = [sorted(float(errors[i]) for i in rows) for rows in drawn]
    least = sum(sum(values[:3]) for values in each) / 9
    most = sum(sum(values[-3:]) for values in each) / 9
    assert least - 1e-6 <= float(found.loss) <= most + 1e-6
    everything = dataclasses.replace(INFINITE, batch_real=300)
    whole = everything.match(given, labels, problem, {}, key)
    torch.testing.assert_close(whole.loss.double(), errors.mean(), rtol=1e-5, atol=0)
    assert whole.images is not None and whole.images.dtype == torch.float32
    assert whole.labels is not None


def test_random_features_are_those_of_the_equation() -> None:
    problem = dataclasses.replace(tiny_problem(network=NETWORK), learned_labels=True)
    given, labels = torch.randn(6, 1, 8, 8), torch.randn(6, 3)
    plain = RandomFeatures(batch_real=300, networks=200, platt=False)
    found = plain.match(given, labels, problem, {}, Key(1))
    kernel = infinite(problem.network)
    own = kernel.gram(given, None, "nngp")
    own = own + torch.eye(6) * (5e-3 * own.trace() / 6)
    seen = problem.data.take(torch.arange(len(problem.data)))
    scores = kernel.gram(seen, given, "nngp") @ torch.linalg.solve(own, labels.double())
    truth = torch.eye(3, dtype=torch.float64)[problem.data.labels]
    expected = (scores - truth + 1 / 3).square().mean() / 2
    torch.testing.assert_close(found.loss.double(), expected, rtol=0.05, atol=0)
    assert not found.learned

    scaled = dataclasses.replace(plain, platt=True)
    learned = {"platt": torch.tensor(0.5)}
    assert {name: float(one) for name, one in scaled.learned(problem).items()} == {"platt": 0.0}
    found = scaled.match(given, labels, problem, {}, Key(1), learned)
    expected = nn.functional.cross_entropy(scores * math.exp(0.5), problem.data.labels)
    torch.testing.assert_close(found.loss.double(), expected, rtol=0.05, atol=0)
    assert found.learned.keys() == {"platt"} and float(found.learned["platt"]) != 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: InfiniteRegression(batch_real=0), "batch_real 0"),
        (lambda: InfiniteRegression(kind="nkt"), "did you mean 'ntk'"),
        (lambda: InfiniteRegression(ridge=-1.0), "ridge -1"),
        (lambda: RandomFeatures(batch_real=0), "batch_real 0"),
        (lambda: RandomFeatures(networks=0), "networks 0"),
        (lambda: RandomFeatures(ridge=math.nan), "ridge nan"),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        make()


# predicting


def test_the_card_predicts_by_regression() -> None:
    data = tiny_data()
    given, labels = torch.randn(6, 1, 8, 8), torch.arange(3).repeat_interleave(2)
    name = make_for(NETWORK, data.shape, 3)
    predictor = KernelPredictor(name, COMPUTE)
    tensors, again = predictor.fit(given, labels, card("ntk"), "none", [Key(0), Key(1)])
    kernel = infinite(name)
    own = kernel.gram(given)
    own = own + torch.eye(6) * (1e-6 * own.trace() / 6)
    seen = data.take(torch.arange(len(data)))
    truth = torch.eye(3, dtype=torch.float64)[labels] - 1 / 3
    expected = kernel.gram(seen, given) @ torch.linalg.solve(own, truth)
    torch.testing.assert_close(predictor.scores(tensors, seen), expected)
    hits = predictor.hits(again, data)
    share = (expected.argmax(dim=1) == data.labels).double().mean()
    assert hits.accuracy == pytest.approx(100 * float(share))
    assert sum(hits.tested) == len(data)


def test_sets_are_condensed_and_evaluated_with_the_kernel() -> None:
    data = tiny_data(counts=(20, 20, 20))
    splits = Splits(data, tiny_data(counts=(20, 20, 20), seed=1))
    options: dict[str, Any] = {"ipc": 1, "network": NETWORK, "device": "cpu", "zca": "none"}
    options["iterations"] = 3
    made = attar.condense(splits, method="kip", **options)
    (row,) = attar.evaluate(made, splits, card="ntk", repeats=3)
    (result,) = row.results
    # nothing is random
    assert len(result.accuracies) == 3 and len(set(result.accuracies)) == 1
    assert result.epochs is None and result.updates is None and result.card == "ntk"
    rows = attar.evaluate(made, splits, card="nngp", repeats=1, baselines=["random", "whole"])
    assert [one.kind for one in rows] == ["condensed", "random", "whole"]
    settings = ("networks=2", "batch_real=30")
    made = attar.condense(splits, method="rfad", settings=settings, **options)
    assert made.learned.keys() == {"platt"}
    labels = attar.condense(splits, method="kip-labels", **options).labels
    assert labels.shape == (3, 3) and bool((labels != 0).all())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 3}, "--epochs 3: under the card 'ntk' no network is trained"),
        ({"updates": 3}, "--updates 3: under the card 'ntk'"),
        ({"networks": "convnet2"}, "because of GroupNorm"),
        ({"tune": True}, "--tune: under the card 'ntk'"),
        ({"scores": True}, "--scores: under the card 'ntk'"),
    ],
)
def test_what_a_kernel_cannot_do_is_refused_before_work(options: Any, said: str) -> None:
    data = tiny_data(counts=(20, 20, 20))
    made = attar.condense(Splits(data, data), method="random", ipc=1, network=NETWORK, device="cpu")
    with pytest.raises(BadRequest, match=said):
        attar.evaluate(made, Splits(data, data), card="ntk", **options)


# the greatest stable rate


def test_the_rate_is_that_of_the_largest_eigenvalue() -> None:
    chosen = make_for("convnet1:width=8,norm=none", (1, 8, 8), 3)
    trainer, given = Trainer(chosen, COMPUTE), torch.randn(7, 1, 8, 8)
    module = chosen.draw(Key(5))
    tensors = trainer.training.tensors(module)
    rows = []
    for one in given:
        total = module(one[None]).sum() / math.sqrt(3)
        slopes = torch.autograd.grad(total, list(module.parameters()))
        rows.append(torch.cat([slope.flatten() for slope in slopes]))
    largest = torch.linalg.eigvalsh(torch.stack(rows) @ torch.stack(rows).T)[-1]
    found = greatest_rate(trainer.training, tensors, given)
    assert found == pytest.approx(float(2 * 7 / largest), rel=1e-3)


def test_networks_trained_at_the_stable_rate_learn_the_set() -> None:
    chosen = make_for("convnet1:width=8,norm=none", (1, 8, 8), 3)
    data = tiny_data(counts=(8, 8, 8))
    trainer = Trainer(chosen, COMPUTE)
    given = data.take(torch.arange(len(data)))
    brief = card("kip", updates=150)
    (tensors,) = trainer.fit(given, data.labels, brief, "none", [Key(0)])
    assert trainer.accuracy(tensors, data) > 90
    slower = dataclasses.replace(brief, lr=1e-6)
    (still,) = trainer.fit(given, data.labels, slower, "none", [Key(0)])
    moved = [float((tensors[name] - still[name]).norm()) for name in trainer.parameter_names]
    assert all(distance > 0 for distance in moved)
