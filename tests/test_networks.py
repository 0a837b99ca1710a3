import itertools
from typing import get_args

import pytest
import torch
from torch import nn

from attar.compute import choose
from attar.errors import BadRequest
from attar.networks import ConvNet, Network, build
from attar.networks.convnet import Activation, AveragePool, Norm, Pooling
from attar.rng import Key
from references import convnet


def drawn(name: str, channels: int = 3, size: tuple[int, int] = (8, 8), classes: int = 3):
    return build(name, channels, size, classes).draw(Key(0))


def parameters(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.parameters())


@pytest.mark.parametrize(("classes", "count"), [(10, 320_010), (100, 504_420)])
def test_parameter_counts_of_the_papers(classes: int, count: int) -> None:
    assert parameters(drawn("convnet3", 3, (32, 32), classes)) == count


@pytest.mark.parametrize(
    ("name", "channels", "size", "features"),
    [
        ("convnet3", 3, 32, 2048),
        ("convnet3", 3, 64, 8192),
        ("convnet4", 3, 64, 2048),
        ("convnet3", 1, 28, 2048),
        ("convnet3:pooling=none", 3, 8, 128 * 64),
        ("convnet2:width=16", 3, 9, 16 * 4),
    ],
)
def test_feature_sizes(name: str, channels: int, size: int, features: int) -> None:
    module = drawn(name, channels, (size, size))
    images = torch.randn(2, channels, size, size)
    with torch.no_grad():
        assert module.embed(images).shape == (2, features)
        assert module(images).shape == (2, 3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("norm", "activation", "pooling"),
    list(itertools.product(get_args(Norm), get_args(Activation), get_args(Pooling))),
)
def test_every_kind_equals_the_reference(
    norm: str, activation: str, pooling: str, channels: int
) -> None:
    options = {"norm": norm, "activation": activation, "pooling": pooling}
    name = "convnet2:width=8," + ",".join(f"{key}={value}" for key, value in options.items())
    module = drawn(name, channels, (7, 6)).double()
    with torch.no_grad():
        for tensor in module.parameters():  # norms start at 1 and 0, which would hide them
            tensor += 0.1 * torch.randn(tensor.shape, generator=Key(1).generator())
        images = torch.randn(3, channels, 7, 6, dtype=torch.float64)
        weights = module.state_dict()
        torch.testing.assert_close(module.embed(images), convnet.embed(weights, images, **options))
        torch.testing.assert_close(module(images), convnet.scores(weights, images, **options))


def test_evaluation_mode_uses_running_statistics_only_with_batch_norm() -> None:
    images = torch.randn(4, 3, 8, 8)
    for norm in get_args(Norm):
        module = drawn(f"convnet2:width=8,norm={norm}")
        with torch.no_grad():
            training, testing = module(images), module.eval()(images)
        assert torch.equal(training, testing) == (norm != "batch")


def test_only_batch_norm_mixes_samples() -> None:
    for norm in get_args(Norm):
        network = build(f"convnet2:width=8,norm={norm}", 3, (8, 8), 3)
        assert network.mixes_samples() == (norm == "batch")
        module = network.draw(Key(0)).train()
        images = torch.randn(4, 3, 8, 8)
        with torch.no_grad():
            together, alone = module(images)[:2], module(images[:2])
        assert torch.allclose(together, alone, atol=1e-5) == (norm != "batch")


@pytest.mark.parametrize(("width", "side"), [(32, 32), (128, 32), (32, 8)])
def test_effort_counts_the_values_of_a_layer(width: int, side: int) -> None:
    # convolution, norm, activation and half-sized pooling, three times; then the linear layer
    stages = [(side // 2**depth) ** 2 * width * 3.25 for depth in range(3)]
    of_layer = (sum(stages) + 10) / 13
    found = build(f"convnet3:width={width}", 3, (side, side), 10).effort(7.0)
    assert found == pytest.approx(7 * of_layer / 10.5)
    if (width, side) == (32, 32):
        # so that it is in pixels of this network
        assert found == pytest.approx(7 * 32 * 32, rel=0.01)


def test_compiling_pays_sooner_in_a_heavier_network() -> None:
    heavy, light = (build(f"convnet3:width={one}", 3, (32, 32), 10) for one in (128, 32))
    assert choose("cpu", pixels=heavy.effort(1e5)).compile
    assert not choose("cpu", pixels=light.effort(1e5)).compile


def test_one_channel_images_are_padded_by_three() -> None:
    first = {c: drawn("convnet2:width=8", c, (28, 28)).blocks[0] for c in (1, 3)}
    assert first[1].padding == (3, 3) and first[3].padding == (1, 1)
    assert drawn("convnet2:width=8", 1, (28, 28)).blocks[4].padding == (1, 1)


def test_initialisers_are_those_of_pytorch() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(Key(5).integer())
        expected = ConvNet(3, (8, 8), 3, depth=2, width=8).state_dict()
    found = build("convnet2:width=8", 3, (8, 8), 3).draw(Key(5)).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    # Kaiming-uniform with a = √5 is uniform within ±1/√fan-in
    bound = (3 * 9) ** -0.5
    assert 0.9 * bound < float(found["blocks.0.weight"].abs().max()) <= bound


def test_a_key_decides_the_weights_and_the_global_generator_is_left_alone() -> None:
    network = build("convnet2:width=8,norm=batch", 3, (8, 8), 3)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = network.draw(Key(0).fold("a")).state_dict()
    assert torch.equal(state, torch.random.get_rng_state())
    torch.rand(7)
    same, other = network.draw(Key(0).fold("a")), network.draw(Key(0).fold("b"))
    assert all(torch.equal(first[name], tensor) for name, tensor in same.state_dict().items())
    assert not torch.equal(first["blocks.0.weight"], other.state_dict()["blocks.0.weight"])


def test_building_allocates_nothing_and_draws_nothing() -> None:
    state = torch.random.get_rng_state()
    network = build("convnet3:width=2000", 3, (32, 32), 10)  # hundreds of megabytes
    assert not network.mixes_samples()
    assert isinstance(network, Network)
    assert torch.equal(state, torch.random.get_rng_state())


# what is written out for the compiler


@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
def test_average_pool_drops_an_odd_border(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randn(2, 3, *size)
    eager = AveragePool()(images)
    torch.testing.assert_close(eager, nn.functional.avg_pool2d(images, 2))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(AveragePool()(images), eager)


@pytest.mark.parametrize("norm", get_args(Norm))
def test_the_compiled_branch_equals_the_eager_one(
    norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = drawn(f"convnet2:width=8,norm={norm}", 3, (9, 8))
    images = torch.randn(3, 3, 9, 8)

    def outcome() -> list[torch.Tensor]:
        leaf = images.clone().requires_grad_()
        scores = module(leaf)
        tensors = [leaf, *module.parameters()]
        return [scores, *torch.autograd.grad(scores.square().sum(), tensors)]

    eager = outcome()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    for one, other in zip(eager, outcome(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


# refusals


def refusal(name: str, channels: int = 3, size: tuple[int, int] = (8, 8)) -> str:
    with pytest.raises(BadRequest) as caught:
        build(name, channels, size, 3)
    return str(caught.value)


@pytest.mark.parametrize(
    ("channels", "size", "deepest"),
    [(3, (8, 8), 3), (1, (8, 8), 3), (3, (32, 16), 4), (1, (28, 28), 5), (3, (7, 9), 2)],
)
def test_too_deep_names_the_deepest_that_works(
    channels: int, size: tuple[int, int], deepest: int
) -> None:
    build(f"convnet{deepest}:width=8", channels, size, 3).draw(Key(0))
    for depth in (deepest + 1, deepest + 4):
        said = refusal(f"convnet{depth}:width=8", channels, size)
        assert f"convnet{deepest} is the deepest that works at this size" in said
        assert f"{size[0]}×{size[1]}" in said
    build(f"convnet{deepest + 2}:width=8,pooling=none", channels, size, 3)


def test_an_image_too_small_for_any_depth_is_refused_without_a_senseless_hint() -> None:
    said = refusal("convnet1:width=8", 3, (1, 5))
    assert "convnet0" not in said and "pooling=none" in said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("convnet0", "depth 0 has no blocks"),
        ("convnet", "unknown network 'convnet' (did you mean 'convnet3'"),
        ("convent3", "unknown network 'convent3' (did you mean 'convnet3'"),
        ("", "unknown network ''"),
        ("convnet3:widht=8", "unknown network option 'widht' (did you mean 'width'?)"),
        ("convnet3:norm=instanc", "(did you mean 'instance'?)"),
        ("convnet3:pooling=avg", "There is: average, max, none."),
        ("convnet3:activation=gelu", "unknown value of network option activation 'gelu'"),
        ("convnet3:width=0", "width=0: a whole number above 0"),
        ("convnet3:width=-8", "width=-8: a whole number above 0"),
        ("convnet3:width=²", "width=²: a whole number above 0"),
        ("convnet3:batch", "write options as option=value, not 'batch'"),
        ("convnet3:width=8,width=16", "option 'width' stands twice"),
        ("convnet3:norm=group,width=6", "width=6"),
    ],
)
def test_a_wrong_name_is_refused_with_what_there_is(name: str, said: str) -> None:
    assert said in refusal(name)
