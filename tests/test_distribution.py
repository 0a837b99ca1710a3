import dataclasses

import pytest
import torch
from torch import Tensor

from attar import compute as computing
from attar.augmentation import dsa as augmenting
from attar.errors import BadRequest
from attar.objectives import DistributionMatching, Match, Problem
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import LowRank
from catalogue import COMPUTE, tiny_data, tiny_problem, tiny_run, unequal
from references import augmentation, distribution

KEY = Key(3).fold("step", 0)
BATCH = 6  # between the sizes of the classes: the last one has three images
DSA = "color_crop_cutout_flip_scale_rotate"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Tensor]]:
    """Note name and draws of every augmentation, in the order of the calls."""
    noted: list[tuple[str, Tensor]] = []

    def noting(name: str, operation):
        def noted_operation(images: Tensor, draws: Tensor) -> Tensor:
            noted.append((name, draws))
            return operation(images, draws)

        return noted_operation

    wrapped = {name: noting(name, op) for name, op in augmenting.OPERATIONS.items()}
    monkeypatch.setattr(augmenting, "OPERATIONS", wrapped)
    return noted


def noise(problem: Problem, seed: int = 1) -> Tensor:
    shape = (len(problem.layout), *problem.layout.shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def match(problem: Problem, augment: str = "none", images: Tensor | None = None) -> Match:
    images = noise(problem) if images is None else images
    labels = torch.zeros(len(images), problem.layout.classes)
    return DistributionMatching(BATCH, augment).match(images, labels, problem, {}, KEY)


def expected(
    problem: Problem, key: Key = KEY, images: Tensor | None = None, **options
) -> tuple[Tensor, Tensor]:
    """Return loss and gradient by the literal equation, with the same weights and indices."""
    images = noise(problem) if images is None else images
    data = problem.data
    real = [
        data.take(data.draw(label, BATCH, key.fold("real", label))) for label in range(data.classes)
    ]
    assert [len(batch) for batch in real] == [6, 6, 3]
    weights = problem.network.draw(key.fold("network")).state_dict()
    synthetic = images.split(list(problem.layout.sizes()))
    loss, gradients = distribution.loss_and_gradients(weights, real, synthetic, **options)
    return loss, torch.cat(gradients)


def assert_same(found: Match, loss: Tensor, gradient: Tensor) -> None:
    assert found.images is not None and found.labels is None and not found.learned
    assert found.images.dtype == torch.float32
    torch.testing.assert_close(found.loss.double(), loss, rtol=1e-5, atol=0)
    size = float(gradient.abs().max())
    assert size > 1e-3
    torch.testing.assert_close(found.images.double(), gradient, rtol=1e-4, atol=2e-5 * size)


@pytest.mark.parametrize(
    "network",
    [
        "convnet2:width=8",
        "convnet1:width=12,norm=group,activation=swish",
        "convnet2:width=8,norm=none,pooling=max",
        "convnet2:width=8,norm=layer,activation=leakyrelu",
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_loss_and_gradient_are_those_of_the_equation(channels: int, network: str) -> None:
    problem = tiny_problem(tiny_data(channels), 2, network)
    options = dict(part.split("=") for part in network.partition(":")[2].split(","))
    options.pop("width")
    assert_same(match(problem), *expected(problem, **options))


def test_features_are_summed_not_averaged_and_classes_added() -> None:
    # three classes at the same place: the loss is thrice that of one
    data = tiny_data(counts=(4, 4, 4))
    data = dataclasses.replace(data, images=data.images[:1].expand(12, -1, -1, -1).contiguous())
    problem = tiny_problem(data, 1)
    images = noise(problem)[:1].expand(3, -1, -1, -1).contiguous()
    module = problem.network.draw(KEY.fold("network"))
    with torch.no_grad():
        gap = module.embed(images[:1]) - module.embed(data.take(torch.tensor([0])))
    torch.testing.assert_close(match(problem, images=images).loss, 3 * gap.square().sum())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", DSA.split("_"))
def test_real_and_synthetic_share_the_transform_of_their_class(
    name: str, channels: int, drawn: list[tuple[str, Tensor]]
) -> None:
    problem = tiny_problem(tiny_data(channels), 2)
    found = match(problem, name)
    assert [one for one, _ in drawn] == [name] * 6
    draws = [draws for _, draws in drawn]
    assert all(one.shape == (1, 3) for one in draws)
    for label in range(3):
        assert torch.equal(draws[label], draws[3 + label])
    assert not torch.equal(draws[0], draws[1]) and not torch.equal(draws[1], draws[2])

    def transform(label: int, batch: Tensor) -> Tensor:
        return augmentation.apply(name, batch, draws[label])

    assert_same(found, *expected(problem, transform=transform))


def test_classes_draw_their_own_operation(drawn: list[tuple[str, Tensor]]) -> None:
    problem = tiny_problem(tiny_data(3), 2)
    found = match(problem, DSA)
    names = [name for name, _ in drawn]
    assert names[:3] == names[3:] and len(set(names[:3])) > 1

    def transform(label: int, batch: Tensor) -> Tensor:
        return augmentation.apply(names[label], batch, drawn[label][1])

    assert_same(found, *expected(problem, transform=transform))


@pytest.mark.parametrize("augment", ["none", "flip_crop"])
def test_batch_norm_sees_all_classes_at_once(augment: str, drawn: list[tuple[str, Tensor]]) -> None:
    # chunks would change the statistics, so they are ignored
    compute = dataclasses.replace(COMPUTE, chunk=1)
    problem = tiny_problem(tiny_data(3), 5, "convnet2:width=8,norm=batch", compute)
    found = match(problem, augment)

    def transform(label: int, batch: Tensor) -> Tensor:
        return augmentation.apply(drawn[label][0], batch, drawn[label][1]) if drawn else batch

    together = expected(problem, norm="batch", together=True, transform=transform)
    assert_same(found, *together)
    apart, _ = expected(problem, norm="batch", transform=transform)
    assert abs(apart - together[0]) > 1e-2 * apart


@pytest.mark.parametrize("augment", ["none", DSA])
@pytest.mark.parametrize("per_class", [1, 3, 5])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_chunks_change_nothing(
    chunk: int, per_class: int, augment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny_data(3)
    whole = match(tiny_problem(data, per_class), augment)
    sizes: dict[bool, set[int]] = {True: set(), False: set()}
    call = computing.Functional.__call__

    def watched(self, tensors: dict[str, Tensor], images: Tensor) -> Tensor:
        sizes[torch.is_grad_enabled()].add(len(images))
        return call(self, tensors, images)

    monkeypatch.setattr(computing.Functional, "__call__", watched)
    compute = dataclasses.replace(COMPUTE, chunk=chunk)
    parts = match(tiny_problem(data, per_class, compute=compute), augment)
    assert whole.images is not None and parts.images is not None
    torch.testing.assert_close(parts.loss, whole.loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(parts.images, whole.images, rtol=1e-4, atol=1e-5)
    # a compiled function meets one shape for real images, one for synthetic ones
    assert len(sizes[True]) == 1 and max(sizes[True]) <= compute.graph_chunk
    assert sizes[False] <= {compute.chunk, compute.graph_chunk}


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("counts", [(5, 1, 2), (1, 1, 4), (2, 9, 1)])
@pytest.mark.parametrize("chunk", [1, 2, 32])
def test_classes_of_different_numbers_meet_the_equation(
    chunk: int, counts: tuple[int, ...], norm: str
) -> None:
    compute = dataclasses.replace(COMPUTE, chunk=chunk)
    network = f"convnet2:width=8,norm={norm}"
    problem = unequal(tiny_problem(tiny_data(3), max(counts), network, compute), counts)
    together = norm == "batch"
    assert_same(match(problem), *expected(problem, norm=norm, together=together))


def test_a_compiled_function_meets_one_shape_whatever_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: set[int] = set()
    call = computing.Functional.__call__

    def watched(self, tensors: dict[str, Tensor], images: Tensor) -> Tensor:
        sizes.add(len(images))
        return call(self, tensors, images)

    monkeypatch.setattr(computing.Functional, "__call__", watched)
    compute = dataclasses.replace(COMPUTE, chunk=2)
    match(unequal(tiny_problem(tiny_data(3), 9, compute=compute), (3, 9, 1)))
    assert sizes == {compute.chunk, compute.graph_chunk}


def test_the_two_pass_path_meets_the_equation() -> None:
    compute = dataclasses.replace(COMPUTE, chunk=1)
    problem = tiny_problem(tiny_data(1), 6, compute=compute)
    assert problem.layout.per_class > compute.graph_chunk
    assert_same(match(problem), *expected(problem))


def test_match_is_pure() -> None:
    problem = tiny_problem(per_class=5)
    images = noise(problem)
    before, state = images.clone(), {"kept": torch.ones(2)}
    labels = torch.zeros(len(images), 3)
    random = torch.random.get_rng_state()
    objective = DistributionMatching(BATCH)
    first = objective.match(images, labels, problem, state, KEY)
    second = objective.match(images, labels, problem, state, KEY)
    other = objective.match(images, labels, problem, state, Key(3).fold("step", 1))
    assert torch.equal(first.loss, second.loss) and torch.equal(first.images, second.images)
    assert not torch.equal(first.images, other.images)
    assert torch.equal(images, before) and not images.requires_grad
    assert not first.loss.requires_grad and not first.images.requires_grad
    assert state.keys() == {"kept"} and torch.equal(state["kept"], torch.ones(2))
    assert torch.equal(random, torch.random.get_rng_state())


@pytest.mark.parametrize("channels", [1, 3])
def test_factors_get_the_gradient_by_the_chain_rule(channels: int) -> None:
    """With X = A·B: ∂/∂A = G·Bᵀ and ∂/∂B = Aᵀ·G; one step of plain SGD shows both."""
    problem = tiny_problem(tiny_data(channels), 2)
    objective = DistributionMatching(BATCH, "none")
    run = tiny_run(objective, problem, LowRank(2), optimiser=Optimiser(0.5))
    left, right = (p.detach().double().clone() for p in run.synthetic.images.parameters())
    loss = run.advance()
    key = run.key.fold("step", 0)
    reference, gradient = expected(problem, key, images=left @ right)
    assert loss == pytest.approx(float(reference), rel=1e-5)
    for before, after, slope in (
        (left, run.synthetic.images.left, gradient @ right.mT),
        (right, run.synthetic.images.right, left.mT @ gradient),
    ):
        size = float(slope.abs().max())
        moved = (before - after.detach().double()) / 0.5
        torch.testing.assert_close(moved, slope, rtol=1e-4, atol=2e-5 * size)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadRequest, match="batch_real 0"):
        DistributionMatching(batch_real=0)
    with pytest.raises(BadRequest, match=r"'colour' \(did you mean 'color'"):
        DistributionMatching(augment="colour_flip")


def test_a_set_too_large_for_the_one_call_of_batch_norm_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, objective = tiny_data(3), DistributionMatching()
    one = tiny_problem(data, 1, network="convnet2:width=8,norm=batch", compute=COMPUTE)
    each = one.network.graph_bytes // 4
    # three images of a class each fit, and four do not
    monkeypatch.setattr("attar.training.call_size.peak_memory", lambda device: 0)
    monkeypatch.setattr("attar.training.call_size.kept_memory", lambda: 0)
    monkeypatch.setattr("attar.capacity.available_memory", lambda: 3 * data.classes * each)
    problem = tiny_problem(data, 3, network="convnet2:width=8,norm=batch", compute=COMPUTE)
    objective.check(problem)
    more = tiny_problem(data, 4, network="convnet2:width=8,norm=batch", compute=COMPUTE)
    said = r"12 images at once in convnet2:width=8,norm=batch, .* other, would take .* lower --ipc"
    with pytest.raises(BadRequest, match=said):
        objective.check(more)
    # half of it in bfloat16
    objective.check(
        dataclasses.replace(more, compute=dataclasses.replace(COMPUTE, precision="bfloat16"))
    )
    # others send it in parts
    objective.check(tiny_problem(data, 4, compute=COMPUTE))
