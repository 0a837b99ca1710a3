"""Weights without gradients, and networks that are the same for all images."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

import attar
from attar.errors import BadRequest
from attar.networks import build, from_module
from attar.networks.silence import silence
from attar.networks.starting import open_branches, opened
from attar.rng import Key
from catalogue import tiny_data


class Residual(nn.Module):
    """Two convolutions with a norm behind each, added to what goes in."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        nn.init.constant_(self.norm.weight, start)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps + self.norm(self.second(self.first(maps).relu()))


def small(start: float) -> nn.Module:
    layers = [nn.Conv2d(1, 4, 3), Residual(start), nn.Flatten(), nn.Linear(4 * 36, 3)]
    return nn.Sequential(*layers)


def test_weights_behind_a_scale_of_zero_are_silent() -> None:
    found = silence(from_module(lambda: small(0.0), 1, (8, 8), 3), vectors=False)
    assert found.tensors == 4
    assert [name.rpartition("1.")[2] for name in found.silent] == ["first.weight", "second.weight"]
    assert found.values == pytest.approx(2 * 144 / (36 + 2 * 144 + 3 * 144))
    assert silence(from_module(lambda: small(1.0), 1, (8, 8), 3), vectors=True).silent == ()


def test_torchvisions_zero_init_residual_is_silent() -> None:
    def make(zero: bool) -> Callable[[], nn.Module]:
        return lambda: torchvision.models.resnet18(num_classes=3, zero_init_residual=zero)

    found = silence(from_module(make(True), 3, (32, 32), 3), vectors=False)
    # torchvision 0.29: all convolutions of the eight branches
    assert (len(found.silent), found.tensors) == (16, 21) and found.values > 0.97
    assert silence(from_module(make(False), 3, (32, 32), 3), vectors=False).silent == ()


@pytest.mark.parametrize("name", ["convnet2", "mlp", "convnet2:norm=batch", "resnet10"])
def test_our_own_networks_have_no_silent_weights(name: str) -> None:
    assert silence(build(name, 1, (16, 16), 3), vectors=True).silent == ()


class Gains(nn.Module):
    """Everything that begins at zero, of the kinds that timm has."""

    def __init__(self) -> None:
        super().__init__()
        self.skipinit_gain = nn.Parameter(torch.zeros(()))
        self.gamma = nn.Parameter(torch.full((4,), 1e-6))
        self.q_bias = nn.Parameter(torch.zeros(4))
        self.pos_embed = nn.Parameter(torch.zeros(1, 4, 4))
        self.norm = nn.GroupNorm(2, 4)
        self.other = nn.LayerNorm(4)
        self.head = nn.Linear(4, 3)
        nn.init.zeros_(self.norm.weight)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        nn.init.constant_(self.other.weight, 0.5)


def test_scales_become_one_and_what_is_added_stays() -> None:
    module = Gains()
    assert open_branches(module) == ["skipinit_gain", "gamma", "norm.weight", "head.weight"]
    for one in (module.skipinit_gain, module.gamma, module.norm.weight):
        assert bool((one == 1).all())
    assert module.head.weight.any() and not module.head.bias.any()
    assert not module.q_bias.any() and not module.pos_embed.any()
    assert bool((module.other.weight == 0.5).all()) and open_branches(module) == []


@pytest.fixture(scope="module")
def timm() -> Any:
    return pytest.importorskip("timm", reason="timm, an extra, is not installed")


def test_timm_without_its_start_is_timm_with_zero_init_last_off(timm: Any) -> None:
    # timm 1.0.31: eight norms of resnet18 begin at zero, and 16 of 21 weight tensors are silent
    network = build("timm:resnet18", 3, (32, 32), 10)
    before, after = silence(network, vectors=False), silence(opened(network), vectors=False)
    assert (len(before.silent), before.tensors) == (16, 21) and after.silent == ()
    drawn = opened(network).draw(Key(3))
    with Key(3).seeding_global():
        told = timm.create_model("resnet18", num_classes=10, zero_init_last=False)
    pairs = list(zip(drawn.state_dict().values(), told.state_dict().values(), strict=True))
    assert all(torch.equal(one, other) for one, other in pairs)
    # drawn as timm draws it where no gradients are matched
    assert not network.draw(Key(3)).get_submodule("body.layer1.0.bn2").weight.any()


# gains of SkipInit and of weight standardisation, a linear layer of zeros, norms, GRN (not silent)
@pytest.mark.parametrize(
    "name", ["test_resnet", "nf_resnet26", "mixer_s32_224", "regnety_002", "test_convnext"]
)
def test_no_kind_of_start_is_left_silent(timm: Any, name: str) -> None:
    network = build(f"timm:{name}", 3, (32, 32), 3)
    assert silence(opened(network), vectors=False).silent == ()


def test_our_own_and_a_users_networks_stay_as_they_are() -> None:
    for network in (build("convnet1", 1, (8, 8), 3), from_module(small(0.0), 1, (8, 8), 3)):
        assert opened(network) is network


DC: dict[str, Any] = {"method": "dc", "synthetic_per_class": 1, "iterations": 1, "validation": 0.0}


def test_gradient_matching_warns_of_silent_weights() -> None:
    data = tiny_data(counts=(4, 4, 4))
    with pytest.warns(UserWarning, match=r"2 of 4 weight tensors \(38 % of|begin no residual"):
        attar.condense(data, network=lambda: small(0.0), **DC)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attar.condense(data, network=lambda: small(1.0), **DC)
        attar.condense(data, network=lambda: small(0.0), **{**DC, "method": "dm"})


def test_gradient_matching_draws_timm_without_its_start(timm: Any) -> None:
    data = tiny_data(channels=3, counts=(4, 4, 4), size=32)
    made = attar.condense(data, network="timm:test_resnet", **DC)
    assert made.header.settings["network_start"] == "no branch at zero"
    made = attar.condense(data, network="timm:test_resnet", **{**DC, "method": "dm"})
    assert "network_start" not in made.header.settings


# networks that are the same for all images


def single(channels: int) -> nn.Module:
    return nn.GroupNorm(channels, channels)


def pooled(depth: int, norm: Callable[[int], nn.Module] = single, channels: int = 4) -> nn.Module:
    layers: list[nn.Module] = []
    before = 1
    for _ in range(depth):
        layers += [nn.Conv2d(before, channels, 3, stride=2, padding=1), norm(channels), nn.ReLU()]
        before = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3))


def test_a_network_whose_norms_leave_nothing_is_refused_with_the_smallest_size() -> None:
    with pytest.raises(BadRequest) as refusal:
        from_module(pooled(4), 1, (16, 16), 3)
    said = str(refusal.value)
    assert "same features for all images of C×H×W = 1×16×16" in said
    assert "works from 17×17 on: give --resize 17" in said
    # maps of 2×2 are left
    from_module(pooled(4), 1, (17, 17), 3)
    from_module(pooled(3), 1, (16, 16), 3)
    from_module(pooled(4, lambda channels: nn.GroupNorm(2, channels)), 1, (16, 16), 3)


def test_torchvisions_resnet_with_norms_of_single_channels() -> None:
    def make() -> nn.Module:
        return torchvision.models.resnet18(num_classes=3, norm_layer=single)

    with pytest.raises(BadRequest, match="works from 33×33 on"):
        from_module(make, 3, (32, 32), 3)


def test_where_no_size_helps_the_module_has_to_change() -> None:
    layers = [nn.Conv2d(1, 4, 8), single(4), nn.Flatten(), nn.Linear(4, 3)]
    with pytest.raises(BadRequest, match="fewer groups"):
        from_module(nn.Sequential(*layers), 1, (8, 8), 3)


def test_groups_of_single_channels_in_a_named_network_are_refused() -> None:
    build("resnet10:norm=group", 3, (8, 8), 3)
    with pytest.raises(BadRequest, match="needs 9×9 or more"):
        build("resnet10", 3, (8, 8), 3)
