"""A user's own module in place of a network by name."""

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

import attar
from attar.cli import run
from attar.compute import Functional
from attar.condensing.request import Request
from attar.errors import BadRequest
from attar.evaluation.results import default_vectorized
from attar.networks import build, from_module, make
from attar.rng import Key
from catalogue import COMPUTE, tiny_data

QUICK: dict[str, Any] = {"iterations": 2, "ipc": 1, "validations": 1, "device": "cpu"}


class Small(nn.Module):
    def __init__(self, channels: int = 1, classes: int = 3, norm: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.GroupNorm(2, 4)
        self.fc = nn.Linear(4 * 16, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(functional.avg_pool2d(self.norm(self.first(images)).relu(), 2).flatten(1))


class Residual(nn.Module):
    """A residual network in small, with torchvision's way of pooling."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.block = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, classes)

    def forward(self, images: Tensor) -> Tensor:
        found = self.bn1(self.conv1(images)).relu()
        return self.fc(torch.flatten(self.avgpool(found + self.block(found)), 1))


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# drawing


@pytest.mark.parametrize("given", [Small(), Small, lambda: Small(norm=True)])
def test_a_key_decides_the_weights(given: Any) -> None:
    state = torch.random.get_rng_state()
    network = from_module(given, 1, (8, 8), 3)
    first = weights(network.draw(Key(0)))
    assert torch.equal(state, torch.random.get_rng_state())
    torch.rand(5)
    assert same(first, weights(network.draw(Key(0))))
    other = weights(network.draw(Key(1)))
    for name in ("body.first.weight", "body.first.bias", "head.weight", "head.bias"):
        assert not torch.equal(first[name], other[name])


def test_what_is_given_stays_as_it_is() -> None:
    module = Small(norm=True).double().eval()
    module.norm.train()
    module.first.weight.requires_grad_(False)
    seen: list[int] = []
    module.fc.register_forward_hook(lambda part, inputs, output: seen.append(1))
    module(torch.zeros(1, 1, 8, 8, dtype=torch.float64))
    module.fc.bias.grad = torch.ones_like(module.fc.bias)
    before, modes = weights(module), [part.training for part in module.modules()]
    network = from_module(module, 1, (8, 8), 3)
    drawn = network.draw(Key(0))
    assert same(before, weights(module)) and module.fc.weight.dtype == torch.float64
    assert modes == [part.training for part in module.modules()]
    assert not module.first.weight.requires_grad and module.fc.weight.requires_grad
    assert len(module.fc._forward_hooks) == 1 and isinstance(module.fc, nn.Linear)
    assert torch.equal(module.fc.bias.grad, torch.ones(3, dtype=torch.float64))
    assert all(tensor.dtype == torch.float32 for tensor in drawn.parameters())
    assert all(part.training for part in drawn.modules())
    assert all(tensor.grad is None for tensor in drawn.parameters())
    # nor does a later change of it reach the network
    with torch.no_grad():
        module.fc.weight.zero_()
    assert same(weights(drawn), weights(network.draw(Key(0))))


def test_running_statistics_begin_anew() -> None:
    module = Residual()
    module(torch.randn(8, 1, 8, 8))
    assert float(module.bn1.running_mean.abs().max()) > 0
    drawn = from_module(module, 1, (8, 8), 10).draw(Key(0))
    assert float(drawn.body.bn1.running_mean.abs().max()) == 0
    assert int(drawn.body.bn1.num_batches_tracked) == 0


def test_a_parent_initialises_after_its_children() -> None:
    class Scaled(nn.Sequential):
        def reset_parameters(self) -> None:
            nn.init.constant_(self[0].bias, 7.0)

    module = nn.Sequential(nn.Flatten(), Scaled(nn.Linear(64, 5)), nn.ReLU(), nn.Linear(5, 3))
    drawn = from_module(module, 1, (8, 8), 3).draw(Key(0))
    assert torch.equal(drawn.body[1][0].bias, torch.full((5,), 7.0))


@pytest.mark.parametrize("method", ["embed", "forward"])
def test_parts_give_what_the_whole_gives(method: str) -> None:
    network = from_module(Residual, 1, (8, 8), 10)
    drawn = network.draw(Key(0)).eval()
    with Key(0).seeding_global():
        whole = Residual().eval()
    images = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        expected = whole(images)
        features = whole.avgpool(
            (lambda found: found + whole.block(found))(whole.bn1(whole.conv1(images)).relu())
        ).flatten(1)
    function = Functional(drawn, method, COMPUTE)
    found = function(function.tensors(drawn), images)
    torch.testing.assert_close(found, features if method == "embed" else expected)


def test_a_layer_with_two_names_is_taken_out_under_both() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 3)
            self.net = nn.Sequential(nn.Flatten(), self.fc)

        def forward(self, images: Tensor) -> Tensor:
            return self.net(images)

    drawn = from_module(Twice(), 1, (8, 8), 3).draw(Key(0))
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(drawn.embed(images), images.flatten(1))


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("as_function", [False, True])
def test_lazy_layers_are_made(as_function: bool) -> None:
    def lazy() -> nn.Module:
        return nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))

    given = lazy if as_function else lazy()
    network = from_module(given, 1, (8, 8), 3)
    assert network.draw(Key(0)).embed(torch.zeros(2, 1, 8, 8)).shape == (2, 144)
    if not as_function:
        assert isinstance(given[0], nn.LazyConv2d)  # pyright: ignore[reportIndexIssue]


def test_which_modules_mix_samples() -> None:
    class Centred(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images - images.mean(dim=0) if self.training else images

    centred = nn.Sequential(Centred(), nn.Flatten(), nn.Linear(64, 3))
    for given, mixes in ((Small(), False), (Small(norm=True), True), (centred, True)):
        network = from_module(given, 1, (8, 8), 3)
        assert network.mixes_samples() == mixes
        assert network.vectorizes == (not mixes)


def test_what_cannot_be_vectorized_is_known() -> None:
    class Branching(Small):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images if float(images.detach().sum()) < 1e9 else -images)

    assert not from_module(Branching(), 1, (8, 8), 3).vectorizes
    gpu = dataclasses.replace(COMPUTE, device=torch.device("cuda"))
    assert default_vectorized(gpu, 5) == 5


def test_names_follow_the_structure() -> None:
    def name(given: Any) -> str:
        return from_module(given, 1, (8, 8), 3).name

    assert name(Small()) == name(Small()) and name(Small()).startswith("own:Small-")
    assert len(name(Small())) == len("own:Small-") + 8
    # drawn in another manner, or of other layers
    assert len({name(Small()), name(Small), name(Small(norm=True))}) == 3
    assert name(Small) == name(lambda: Small())


def test_make_takes_what_there_is() -> None:
    named = build("convnet2:width=8", 1, (8, 8), 3)
    assert make("convnet2:width=8", 1, (8, 8), 3) == named
    assert make(named, 1, (8, 8), 3) is named


# refusals


class Random(Small):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(functional.dropout(images, 0.5, self.training))


class Own(nn.Module):
    def __init__(self, change: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 3)
        self.change = change

    def forward(self, images: Tensor) -> Any:
        return self.change(self.fc, images.flatten(1))


class Position(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 64))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.place


class Needy(nn.Linear):
    def reset_parameters(self, scale: float | None = None) -> None:
        if getattr(self, "built", False) and scale is None:
            raise TypeError("a scale is needed")
        super().reset_parameters()
        self.built = True


def flat(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), *layers)


KEPT = Small()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: 5, "network=lambda: ... returns int, no nn.Module"),
        (lambda extra: extra, "fails when it is called without arguments (TypeError:"),
        (lambda: KEPT, "returns the same module each time"),
        (nn.Linear, "network=Linear fails when it is called without arguments"),
        (flat(nn.Linear(64, 3), nn.Softmax(1)), "ends in layer '2' (Softmax); return the scores"),
        (flat(nn.Linear(64, 3), nn.Flatten(), nn.Tanh()), "layer '3' (Tanh)"),
        (flat(), "ends in layer '0' (Flatten); return the scores of the last nn.Linear"),
        (Own(lambda fc, x: fc(x) * 2), "changes its scores after its last layer 'fc' (Linear)"),
        (Own(lambda fc, x: (fc(x), x)), "returns tuple; return scores, a B×K tensor"),
        (Own(lambda fc, x: fc(x).sum()), "returns one number for 4 images"),
        (Own(lambda fc, x: fc(x)[None]), "returns 1×4×3 for 4 images; return B×K scores, here 4×3"),
        (Own(lambda fc, x: fc(x + fc(x).sum())), "its last layer 'fc' (Linear) is used more than"),
        (Own(lambda fc, x: fc(x.detach())), "passes no gradient on to its images"),
        (Own(lambda fc, x: fc(x / 0)), "scores that are NaN or infinite on images of C×H×W"),
        (flat(nn.Linear(64, 7)), "layer '1' (Linear) gives 7 scores, and the data have 3 classes"),
        (flat(nn.Linear(49, 3)), "fails on images of C×H×W = 1×8×8 (RuntimeError: "),
        (flat(nn.Linear(256, 3)), "it works from 16×16 on: resize images to that"),
        (Small(channels=3), "it takes images of 3 channels, not 1"),
        (
            flat(Position(), nn.Linear(64, 3)),
            "'place' of layer '1' (Position) cannot be drawn anew",
        ),
        (flat(Needy(64, 3)), "reset_parameters() of layer '1' (Needy) fails"),
        (flat(nn.Dropout(0.25), nn.Linear(64, 3)), "layer '1' (Dropout) drops at random (p=0.25)"),
        (Random(), "other scores for the same images in training mode"),
        (
            nn.Sequential(
                nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(64, 3)
            ),
            "images of a batch affect each other in evaluation mode",
        ),
    ],
)
def test_what_is_missing_is_said(given: Any, said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        from_module(given, 1, (8, 8), 3)
    assert said in str(caught.value) and str(caught.value).startswith("network=")


def test_a_module_behind_a_function_stays_as_it_is() -> None:
    module = Small().double().eval()
    with pytest.raises(BadRequest, match="the same module each time"):
        from_module(lambda: module, 1, (8, 8), 3)
    assert module.fc.weight.dtype == torch.float64 and not module.training


def test_in_place_changes_of_the_images_are_refused() -> None:
    module = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(BadRequest, match="use no in-place operation on them"):
        from_module(module, 1, (8, 8), 3)


def test_weights_from_elsewhere_are_refused() -> None:
    pretrained = weights(Small())

    def loaded() -> nn.Module:
        module = Small()
        module.load_state_dict(pretrained)
        return module

    generator = torch.Generator().manual_seed(0)

    def foreign() -> nn.Module:
        module = Small()
        nn.init.normal_(module.fc.weight, generator=generator)
        return module

    for given, said in ((loaded, "the same weights each time"), (foreign, "under one seed")):
        with pytest.raises(BadRequest, match=said):
            from_module(given, 1, (8, 8), 3)


def test_what_cannot_be_copied_is_refused() -> None:
    module = Small()
    module.kept = torch.ones(2, requires_grad=True) * 2  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(BadRequest, match="cannot be copied"):
        from_module(module, 1, (8, 8), 3)


def test_dropout_of_nothing_is_allowed() -> None:
    from_module(flat(nn.Dropout(0.0), nn.Linear(64, 3)), 1, (8, 8), 3)


def test_no_network_at_all_is_refused_before_data_are_read() -> None:
    with pytest.raises(BadRequest, match="network=5: a name such as"):
        attar.condense("folder:nowhere", network=5)
    with pytest.raises(BadRequest, match="network=5"):
        from_module(5, 1, (8, 8), 3)  # pyright: ignore[reportArgumentType]


# requests


def test_a_request_with_a_module_is_a_value() -> None:
    module = Small()
    request = Request(network=module)
    assert request == Request(network=module) != Request(network=Small())
    assert hash(request) == hash(dataclasses.replace(request))
    assert request.call() == "attar.condense(data, network=Small(...))"
    assert request.command("digits") == "attar.condense('digits', network=Small(...))"
    assert Request(network=Small).call() == "attar.condense(data, network=Small)"
    assert "network=lambda: ..." in Request(network=lambda: module).call()


# whole runs


@pytest.mark.parametrize("method", ["dm", "lodm", "random", "dsa", "lodsa"])
@pytest.mark.parametrize("given", [Small(), Small, Small(norm=True)], ids=["it", "class", "norm"])
def test_condense_with_every_method(method: str, given: Any) -> None:
    data = tiny_data(counts=(22, 20, 21))
    options = {**QUICK, "validation": 0.2}
    if method == "random":  # chooses images and never updates them
        del options["iterations"]
    made = attar.condense(data, method=method, network=given, **options)
    again = attar.condense(data, method=method, network=given, **options)
    assert torch.equal(made.images, again.images)
    assert made.header.settings["network"].startswith("own:Small-")
    assert made.header.validation is not None
    command = made.header.provenance["command"]
    assert command.startswith("attar.condense(data, ") and "network=Small" in command


def test_another_initialisation_makes_another_set() -> None:
    data = tiny_data()
    one = attar.condense(data, network=Small(), **QUICK)
    other = attar.condense(data, network=Small(norm=True), **QUICK)
    assert not torch.equal(one.images, other.images)


def test_resume_asks_for_the_same_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from attar.condensing.session import Session

    path = tmp_path / "set.safetensors"
    data, module = tiny_data(), Small()
    options = {**QUICK, "iterations": 4, "validation": 0.0, "checkpoint_seconds": 0.0}
    whole = attar.condense(data, network=module, **options)

    class Stopped(Exception):
        pass

    after = Session._after

    def stop(self: Session, run: Any, loss: float) -> None:
        after(self, run, loss)
        if run.step == 2:
            raise Stopped

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(Session, "_after", stop)
        attar.condense(data, network=module, output=path, **options)
    with pytest.raises(BadRequest, match=r"another network \(network: 'own:Small-"):
        attar.condense(data, network=Small(norm=True), output=path, resume=True, **options)
    with pytest.raises(BadRequest, match="another network"):
        attar.condense(data, network="convnet2", output=path, resume=True, **options)
    # a copy of the module, as in a later session
    resumed = attar.condense(
        data, network=copy.deepcopy(module), output=path, resume=True, **options
    )
    assert torch.equal(resumed.images, whole.images)
    done = attar.condense(data, network=Small(), output=path, resume=True, **options)
    assert torch.equal(done.images, whole.images)


def test_evaluate_takes_modules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "set.safetensors"
    few: dict[str, Any] = {"classes": "3", "per_class": 8, "validation": 0.0}
    attar.condense("digits", network=Residual(3), output=path, **QUICK, **few)
    quick: dict[str, Any] = {"epochs": 1, "device": "cpu", "torch_compile": "off"}
    rows = attar.evaluate(
        path, networks=[Residual(3), "convnet1:width=8"], repeats=1, baselines=True, **quick
    )
    assert len(rows) == 3
    for row in rows:
        own, named = row.results
        assert own.network.startswith("own:Residual-") and named.network == "convnet1:width=8"
        assert len(own.accuracies) == 1
    alone = attar.evaluate(
        path, networks=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), repeats=1, **quick
    )
    assert alone[0].results[0].network.startswith("own:Sequential-")
    together = attar.evaluate(path, networks=Small, vectorized=2, repeats=2, **quick)
    assert len(together[0].results[0].accuracies) == 2

    said = "was made with own network 'own:Residual-"
    with pytest.raises(BadRequest, match=said):
        attar.evaluate(path, **quick)
    assert run(["evaluate", str(path)]) == 2
    shown = capsys.readouterr().err
    assert said in shown and "--networks convnet3" in shown
    name = attar.load(path).header.settings["network"]
    assert run(["evaluate", str(path), "--networks", name]) == 2
    assert "is a module given from Python" in capsys.readouterr().err
    words = ("--networks", "convnet1:width=8", "--repeats", "1", "--epochs", "1", "--json")
    assert run(["evaluate", str(path), *words]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]


def test_two_networks_of_one_name_are_refused() -> None:
    made = attar.condense(tiny_data(), network="convnet2:width=8", **QUICK)
    with pytest.raises(BadRequest, match="two of the networks are 'own:Small-"):
        attar.evaluate(made, tiny_data(), networks=[Small(), Small()], repeats=1, epochs=1)


def test_resnet18_works_as_it_is() -> None:
    module = torchvision.models.resnet18(num_classes=3)
    network = from_module(module, 3, (32, 32), 3)
    drawn = network.draw(Key(0))
    assert network.name.startswith("own:ResNet-") and network.mixes_samples()
    assert drawn.embed(torch.zeros(2, 3, 32, 32)).shape == (2, 512)
    assert isinstance(module.fc, nn.Linear) and isinstance(drawn.body.fc, nn.Identity)
    data = tiny_data(channels=3, counts=(4, 4, 4), size=32)
    made = attar.condense(data, method="dm", network=module, **{**QUICK, "iterations": 1})
    assert made.header.settings["network"] == network.name
