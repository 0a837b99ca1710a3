"""The papers' networks by name: their shapes, their arithmetic, what they refuse."""

import inspect
import itertools
import json
import typing
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import attar
from attar.errors import BadRequest
from attar.networks import build
from attar.networks.families import FAMILIES, Family, rows
from attar.networks.paper_names import in_our_words
from attar.objectives import GradientMatching
from attar.rng import Key
from catalogue import tiny_data, tiny_problem
from references import networks as reference

# the smallest square that each takes, with three channels and with one
LEAST = {
    "convnet3": (8, 4),
    "frepo3": (8, 4),
    "mlp": (1, 1),
    "lenet": (16, 12),
    "alexnet": (8, 4),
    "vgg11": (32, 28),
    "resnet10": (9, 9),
    "resnet18": (9, 9),
    "resnet18:pooling=average": (16, 16),
    "densenet121": (16, 16),
    "efficientnetv2s": (17, 17),
}
HEAVY = ("densenet121", "efficientnetv2s")
LARGE = ("vgg11", "resnet18", "resnet18:pooling=average", *HEAVY)
LIGHT = [
    pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else [])
    for name in (*LEAST, "resnet10:pooling=average")
]


def on_meta(name: str, channels: int, size: tuple[int, int], classes: int = 10) -> Any:
    network = build(name, channels, size, classes)
    with torch.device("meta"):
        return network.factory(channels, size, classes)


def parameters(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.parameters())


# shapes


def conv(incoming: int, outgoing: int, kernel: int, bias: int = 0, norm: int = 2) -> int:
    """Weights of a convolution, its bias and the two vectors of its norm."""
    return incoming * outgoing * kernel**2 + (bias + norm) * outgoing


def full(incoming: int, outgoing: int) -> int:
    return incoming * outgoing + outgoing


def stack(plan: list[tuple[int, int, int]], norm: int) -> int:
    return sum(conv(*layer, bias=1, norm=norm) for layer in plan)


def residual(blocks: int) -> int:
    total = conv(3, 64, 3)
    for incoming, width in ((64, 64), (64, 128), (128, 256), (256, 512)):
        total += conv(incoming, width, 3) + (2 * blocks - 1) * conv(width, width, 3)
        total += conv(incoming, width, 1) if incoming != width else 0
    return total


def dense() -> int:
    total, width = 3 * 64 * 9, 64
    for number, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            total += 2 * width + width * 128 + 2 * 128 + 128 * 32 * 9
            width += 32
        if number < 3:
            total += 2 * width + width * (width // 2)
            width //= 2
    return total + 2 * width + full(width, 10)


def efficient() -> int:
    total, incoming = conv(3, 24, 3), 24
    fused = ((1, 24, 2), (4, 48, 4), (4, 64, 4))
    for expansion, width, count in fused:
        for _ in range(count):
            inside = incoming * expansion
            if expansion == 1:
                total += conv(incoming, width, 3)
            else:
                total += conv(incoming, inside, 3) + conv(inside, width, 1)
            incoming = width
    for expansion, width, count in ((4, 128, 6), (6, 160, 9), (6, 256, 15)):
        for _ in range(count):
            inside, squeezed = incoming * expansion, incoming // 4
            total += conv(incoming, inside, 1) + inside * 9 + 2 * inside
            total += full(inside, squeezed) + full(squeezed, inside) + conv(inside, width, 1)
            incoming = width
    return total + conv(256, 1280, 1) + full(1280, 10)


ALEXNET = [(3, 128, 5), (128, 192, 5), (192, 256, 3), (256, 192, 3), (192, 192, 3)]
VGG = [3, 64, 128, 256, 256, 512, 512, 512, 512]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mlp", full(3072, 128) + full(128, 128) + full(128, 10)),
        ("lenet", stack([(3, 6, 5), (6, 16, 5)], 0) + full(400, 120) + full(120, 84) + 850),
        ("alexnet", stack(ALEXNET, 0) + full(3072, 10)),
        ("alexnet:norm=batch", stack(ALEXNET, 2) + full(3072, 10)),
        (
            "vgg11",
            stack([(a, b, 3) for a, b in itertools.pairwise(VGG)], 2) + full(512, 10),
        ),
        ("resnet10", residual(1) + full(512, 10)),
        ("resnet18", residual(2) + full(512, 10)),
        ("resnet18:norm=none", residual(2) + full(512, 10) - 2 * 4800),
        ("resnet18:pooling=average", residual(2) + full(8192, 10)),
        ("densenet121", dense()),
        ("efficientnetv2s", efficient()),
        (
            "frepo3",
            stack([(3, 128, 3), (128, 256, 3), (256, 512, 3)], 0) + 2 * 384 + full(8192, 10),
        ),
        (
            "frepo3:norm=none",
            stack([(3, 128, 3), (128, 256, 3), (256, 512, 3)], 0) + full(8192, 10),
        ),
    ],
)
def test_parameter_counts(name: str, count: int) -> None:
    assert parameters(on_meta(name, 3, (32, 32))) == count


@pytest.mark.parametrize(
    ("name", "millions"),
    [("convnet3", 0.32), ("resnet10", 4.90), ("densenet121", 6.96)],
)
def test_the_counts_that_a_paper_prints(name: str, millions: float) -> None:
    # section 4.4 of the ESP paper
    assert round(parameters(on_meta(name, 3, (32, 32))) / 1e6, 2) == millions


@pytest.mark.parametrize(
    ("name", "features"),
    [
        # at 3×32×32, 1×28×28, 3×64×64 and 3×32×64
        ("frepo3", (8192, 8192, 32768, 16384)),
        ("frepo4", (4096, 4096, 16384, 8192)),
        ("mlp", (128, 128, 128, 128)),
        ("lenet", (84, 84, 84, 84)),
        ("alexnet", (3072, 3072, 12288, 6144)),
        ("vgg11", (512, 512, 2048, 1024)),
        ("resnet10", (512, 512, 512, 512)),
        ("resnet18", (512, 512, 512, 512)),
        ("resnet18:pooling=average", (8192, 4608, 32768, 16384)),
        ("densenet121", (1024, 1024, 1024, 1024)),
        ("efficientnetv2s", (1280, 1280, 1280, 1280)),
    ],
)
def test_feature_sizes(name: str, features: tuple[int, ...]) -> None:
    shapes = ((3, 32, 32), (1, 28, 28), (3, 64, 64), (3, 32, 64))
    cases = list(zip(shapes, features, strict=True))
    for (channels, *size), expected in cases[1:2] if name in HEAVY else cases:
        module = on_meta(name, channels, (size[0], size[1]), 7)
        images = torch.zeros(2, channels, *size, device="meta")
        assert module.embed(images).shape == (2, expected)
        assert module(images).shape == (2, 7)
        assert module.classifier.in_features == expected


def test_every_norm_is_made_for_its_maps() -> None:
    for name in ("alexnet", "vgg11", "resnet10", "frepo3", *HEAVY):
        for norm in ("instance", "batch", "group", "none", "layer")[4 * (name in HEAVY) :]:
            module = on_meta(f"{name}:norm={norm}", 3, (36, 32))
            assert module(torch.zeros(2, 3, 36, 32, device="meta")).shape == (2, 10)


# arithmetic

REFERENCES: dict[str, Callable[[reference.Weights, Tensor], tuple[Tensor, Tensor]]] = {
    "mlp": reference.mlp,
    "lenet": reference.lenet,
    "alexnet": reference.alexnet,
    "alexnet:norm=batch": lambda w, x: reference.alexnet(w, x, "batch"),
    "vgg11": reference.vgg11,
    "resnet10": lambda w, x: reference.resnet(w, x, 1),
    "resnet10:norm=group": lambda w, x: reference.resnet(w, x, 1, "group"),
    "resnet10:norm=layer,pooling=average": lambda w, x: reference.resnet(w, x, 1, "layer", True),
    "resnet18:pooling=average": lambda w, x: reference.resnet(w, x, 2, "instance", True),
    "frepo3:norm=none": lambda w, x: reference.frepo(w, x, 3, "none"),
    "frepo2:width=8": lambda w, x: reference.frepo(w, x, 2, "batch"),
    "frepo3:width=8,norm=layer": lambda w, x: reference.frepo(w, x, 3, "layer"),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", REFERENCES)
def test_outputs_equal_the_reference(name: str, channels: int) -> None:
    least = LEAST["vgg11"][channels == 1] if name == "vgg11" else 16
    size = (least, least + 1)
    module = build(name, channels, size, 3).draw(Key(0)).double()
    generator = Key(1).generator()
    images = torch.randn(2, channels, *size, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        for tensor in module.parameters():  # norms start at 1 and 0, which would hide them
            tensor += 0.05 * torch.randn(tensor.shape, generator=generator)
        weights = iter(list(module.parameters()))
        features, scores = REFERENCES[name](weights, images)
        assert next(weights, None) is None
        torch.testing.assert_close(module.embed(images), features)
        torch.testing.assert_close(module(images), scores)


def resnet18() -> nn.Module:
    found = torchvision.models.resnet18(num_classes=3)
    found.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    found.maxpool = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    return found


def densenet121() -> nn.Module:
    found = torchvision.models.densenet121(num_classes=3)
    found.features.conv0 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    for name in ("norm0", "relu0", "pool0"):
        setattr(found.features, name, nn.Identity())
    return found


def efficientnetv2s() -> nn.Module:
    found: Any = torchvision.models.efficientnet_v2_s(
        num_classes=3, dropout=0.0, stochastic_depth_prob=0.0
    )
    found.features[0][0].stride = (1, 1)
    return found


@pytest.mark.parametrize(
    ("made", "side"), [(resnet18, 16), (densenet121, 16), (efficientnetv2s, 20)]
)
def test_with_batch_norm_they_are_those_of_torchvision_behind_their_stems(
    made: Callable[[], nn.Module], side: int
) -> None:
    with Key(0).seeding_global():
        theirs = made().train()
    ours = build(f"{made.__name__}:norm=batch", 3, (side, side), 3).draw(Key(1)).train()
    found = list(ours.state_dict().values())
    expected = list(theirs.state_dict().values())
    with torch.no_grad():
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            one.copy_(other)
        images = torch.randn(3, 3, side, side, generator=Key(2).generator())
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-3, atol=1e-4)
        # the running statistics that these images left are used alike
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images), rtol=1e-3, atol=1e-4)


def test_frepo_draws_its_weights_as_its_authors_do() -> None:
    module = build("frepo2:width=64,norm=batch", 3, (8, 8), 10).draw(Key(0))
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            deviation = layer.weight[0].numel() ** -0.5
            weight = layer.weight.detach()
            assert abs(float(weight.std()) / deviation - 1) < 0.06
            # truncated at two deviations of the normal before it is cut
            assert float(weight.abs().max()) <= 2 * deviation / 0.8796 + 1e-6
            assert layer.bias is not None and not bool(layer.bias.any())
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    images = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        into = module.body[:3](images)
        module.train()(images)
    torch.testing.assert_close(norms[0].running_mean, 0.9 * into.mean(dim=(0, 2, 3)))


# what the rest of the program asks of a network


@pytest.mark.parametrize("name", LEAST)
def test_a_key_decides_the_weights(name: str) -> None:
    channels, side = 3, LEAST[name][0]
    network = build(name, channels, (side, side), 3)
    state = torch.random.get_rng_state()
    first, same, other = (network.draw(Key(seed)).state_dict() for seed in (0, 0, 1))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


@pytest.mark.parametrize("name", LEAST)
def test_scores_are_the_classifier_of_the_features_and_nothing_is_random(name: str) -> None:
    side = LEAST[name][1]
    network = build(name, 1, (side, side), 3)
    module = network.draw(Key(0)).train()
    assert isinstance(module.classifier, nn.Linear)
    images = torch.randn(4, 1, side, side)
    with torch.no_grad():
        scores = module(images)
        torch.testing.assert_close(scores, module.classifier(module.embed(images)))
        assert torch.equal(scores, module(images))
        alone = torch.allclose(scores[:2], module(images[:2]), atol=1e-4, rtol=1e-3)
    # features tell images apart at the smallest size too
    assert float((scores[0] - scores[1]).abs().max()) > 1e-6
    assert alone == (not network.mixes_samples())


def without_mixing(name: str) -> str:
    mixes = build(name, 3, (64, 64), 3).mixes_samples()
    return name + (":norm=instance" if mixes else "")


@pytest.mark.parametrize("name", LIGHT)
def test_several_train_in_one_step(name: str) -> None:
    side = LEAST.get(name, (16, 16))[0]
    network = build(without_mixing(name), 3, (side, side), 3)
    assert network.vectorizes and not network.mixes_samples()
    drawn = [dict(network.draw(Key(seed)).double().named_parameters()) for seed in range(2)]
    stacked = {key: torch.stack([one[key].detach() for one in drawn]) for key in drawn[0]}
    module = network.draw(Key(0)).train()
    images = torch.randn(2, 2, 3, side, side, dtype=torch.float64)

    def loss(tensors: dict[str, Tensor], images: Tensor) -> Tensor:
        return torch.func.functional_call(module, tensors, (images,)).square().mean()

    together = torch.func.vmap(torch.func.grad(loss), randomness="error")(stacked, images)
    for number, tensors in enumerate(drawn):
        found = torch.func.grad(loss)({k: t.detach() for k, t in tensors.items()}, images[number])
        for key, expected in found.items():
            within = 1e-6 * float(expected.abs().max()) + 1e-9
            torch.testing.assert_close(together[key][number], expected, rtol=1e-4, atol=within)


@pytest.mark.parametrize("name", LIGHT)
def test_second_derivatives_reach_the_images(name: str) -> None:
    side = LEAST.get(name, (16, 16))[0]
    problem = tiny_problem(tiny_data(channels=3, size=side), network=name)
    GradientMatching(batch_real=2).check(problem)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("lenet", "dm"),
        ("lenet", "dc"),
        ("alexnet:norm=batch", "dm"),
        ("mlp:width=8", "dc"),
        ("frepo2:width=8", "dm"),
        ("frepo2:width=8", "dc"),
    ],
)
def test_condense_and_evaluate(name: str, method: str) -> None:
    data = tiny_data(channels=1, counts=(4, 4, 4), size=12)
    quick: dict[str, Any] = {"iterations": 2, "validation": 0.0, "device": "cpu"}
    made = attar.condense(data, method=method, network=name, ipc=1, **quick)
    again = attar.condense(data, method=method, network=name, ipc=1, **quick)
    assert torch.equal(made.images, again.images)
    assert made.header.settings["network"] == name
    test = tiny_data(channels=1, counts=(4, 4, 4), size=12, seed=1)
    row = attar.evaluate(made, test, repeats=2, epochs=1, device="cpu")[0]
    assert row.results[0].network == name and len(row.results[0].accuracies) == 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dm", "dc", "dsa"])
@pytest.mark.parametrize("name", ["vgg11", "resnet18", "resnet18:norm=batch", *HEAVY])
def test_condense_on_a_large_network(name: str, method: str) -> None:
    data = tiny_data(channels=3, counts=(3, 3), size=32)
    quick: dict[str, Any] = {"iterations": 2, "validation": 0.0, "device": "cpu"}
    made = attar.condense(data, method=method, network=name, ipc=1, **quick)
    assert bool(made.images.isfinite().all())


# refusals


def refusal(name: str, channels: int, size: tuple[int, int]) -> str:
    with pytest.raises(BadRequest) as caught:
        build(name, channels, size, 3)
    return str(caught.value)


@pytest.mark.parametrize("name", [name for name in LEAST if LEAST[name][0] > 1])
def test_the_smallest_size_is_said(name: str) -> None:
    for channels, least in list(zip((3, 1), LEAST[name], strict=True))[name in HEAVY :]:
        module = on_meta(name, channels, (least, least + 3))
        images = torch.zeros(2, channels, least, least + 3, device="meta")
        assert module(images).shape == (2, 10)
        if name != "convnet3":  # says it in its own words
            for size in ((least - 1, least - 1), (1, 2))[: 1 if name in HEAVY else 2]:
                said = refusal(name, channels, size)
                assert f"{size[0]}×{size[1]}: it needs {least}×{least} or more" in said
                assert f"--resize {least}" in said


def test_norms_that_take_a_small_size_are_named() -> None:
    said = refusal("resnet18", 1, (8, 8))
    assert "network 'resnet18' cannot take images of 8×8: it needs 9×9 or more" in said
    assert "with norm=group, layer or none it takes these" in said
    for norm in ("group", "layer", "none"):
        module = build(f"resnet18:norm={norm}", 1, (8, 8), 3).draw(Key(0))
        scores = module(torch.randn(2, 1, 8, 8)).detach()
        assert float((scores[0] - scores[1]).abs().max()) > 1e-6
    assert "norm=group" not in refusal("vgg11", 3, (31, 31))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vgg13", "unknown network 'vgg13' (did you mean 'vgg11'"),
        ("resnet34", "unknown network 'resnet34' (did you mean 'resnet18'"),
        ("resnet", "'resnet10'"),
        ("lenet5", "(did you mean 'lenet'"),
        ("alexnet3", "(did you mean 'alexnet'"),
        ("frepo", "(did you mean 'frepo3'"),
        ("efficientnet", "(did you mean 'efficientnetv2s'"),
        ("Resnet18", "(did you mean 'resnet18'"),
        ("ConvNetXY", "(did you mean 'convnet3'"),
        ("timm", "There is: alexnet, convnet3, densenet121"),
        ("frepo0", "frepo0 has no blocks; frepo1 is the least"),
        ("frepo3:width=6,norm=group", "width=6"),
        ("lenet:norm=batch", "network lenet takes no options, such as norm=batch"),
        ("mlp:norm=batch", "unknown network option 'norm'. There is: depth, width."),
        ("resnet18:blocks=3", "There is: norm, pooling."),
        ("resnet18:pooling=max", "There is: average, stride."),
        ("vgg11:norm=batchnorm", "(did you mean 'batch'?)"),
        ("resnet18:norm", "write options as option=value"),
    ],
)
def test_wrong_names_are_refused_with_near_ones(name: str, said: str) -> None:
    assert said in refusal(name, 3, (32, 32))


# names and listing


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("ConvNet", "convnet3"),
        ("ConvNetBN", "convnet3:norm=batch"),
        ("ConvNetASwishBN", "convnet3:activation=swish,norm=batch"),
        ("ConvNetD4", "convnet4"),
        ("ConvNetW32", "convnet3:width=32"),
        ("ConvNetAL", "convnet3:activation=leakyrelu"),
        ("ConvNetMP", "convnet3:pooling=max"),
        ("ConvNetKIP", "convnet3:width=1024,norm=none"),
        ("AlexNetBN", "alexnet:norm=batch"),
        ("ResNet18BN_AP", "resnet18:norm=batch,pooling=average"),
        ("MLP", "mlp"),
    ],
)
def test_names_of_the_papers_are_understood(theirs: str, ours: str) -> None:
    assert build(theirs, 3, (32, 32), 10).name == ours


@pytest.mark.parametrize("name", ["convnet3", "ConvNetX", "ConvNetD", "Convnet", "resnet18", ""])
def test_other_names_are_left_as_they_are(name: str) -> None:
    assert in_our_words(name) == name


def test_every_family_is_listed_with_options_that_work() -> None:
    found = {name: options for name, summary, options in rows() if summary}
    assert set(found) == {
        *(name for name in FAMILIES if name not in ("convnet", "frepo")),
        *("convnetN", "frepoN", "timm:NAME"),
    }
    for name, text in found.items():
        base = name.replace("N", "3") if name.endswith("N") else name
        for option in filter(None, text.split("; ")):
            key, values = option.split("=")
            for value in values.split(", "):
                build(f"{base}:{key}={value}", 3, (64, 64), 3)
    assert found["alexnet"].startswith("norm=none, ")
    assert found["resnet18"] == "norm=instance, batch, group, layer, none; pooling=stride, average"
    assert json.dumps(rows())


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_what_is_listed_of_a_family_is_what_its_class_says(family: Family) -> None:
    made = family.made
    assert (made.__doc__ or "").splitlines()[0].removesuffix(".") == family.summary
    annotations = typing.get_type_hints(made.__init__)
    said, given = {}, ("channels", "size", "classes", *family.settings)
    parameters = inspect.signature(made).parameters
    # behind the name of a family that takes it there
    if family.depth:
        given = (*given, "depth")
    for name in [name for name in parameters if name not in given]:
        default, values = str(parameters[name].default), typing.get_args(annotations[name])
        said[name] = (default, *(value for value in values if value != default))
    assert said == family.options
    assert ("depth" in parameters) == (family.depth or "depth" in family.options)


def test_registering_a_family_is_one_line(only_own: None) -> None:
    from attar.networks.layers import Classifier

    class Flat(Classifier):
        """Nothing but a linear layer."""

        def __init__(self, channels: int, size: tuple[int, int], classes: int) -> None:
            super().__init__([nn.Flatten()], channels * size[0] * size[1], classes)

    attar.register(Family("flat", "Nothing but a linear layer", Flat))
    assert build("flat", 1, (4, 4), 3).draw(Key(0)).classifier.in_features == 16
    assert ("flat", "Nothing but a linear layer", "") in rows()
    with pytest.raises(BadRequest, match="network 'convnet' is there already"):
        attar.register(Family("convnet", "", Flat))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("convnet3:width=1000000", r"'convnet3:width=1000000' of 18,000,\d+,\d+,\d+ parameters"),
        ("frepo3:width=500000", r"of \d+,\d+,\d+,\d+,\d+ parameters, with their gradients, would"),
        (
            "mlp:width=1000000",
            r"parameters, .* would take 80\d\d GB of memory, but .* can be had here",
        ),
        ("convnet3:width=1000001", "width=1000001: a whole number above 0, and at most 1000000"),
        (f"mlp:width={'9' * 5000}", "a whole number above 0, and at most 1000000"),
        ("convnet1000000000:pooling=none", "'convnet1000000000': the depth: .* at most 1000"),
        (f"convnet{'9' * 5000}", "the depth: a whole number above 0, and at most 1000"),
        ("ConvNetD99999999", "the depth: a whole number above 0, and at most 1000"),
    ],
)
def test_a_name_decides_about_no_more_memory_than_there_is(name: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        build(name, 3, (32, 32), 10)
