"""Networks of timm by name."""

import sys
from typing import Any

import pytest
import torch

import attar
from attar.errors import BadRequest
from attar.networks import build
from attar.rng import Key
from catalogue import tiny_data


def refusal(name: str, channels: int = 3, size: tuple[int, int] = (32, 32)) -> str:
    with pytest.raises(BadRequest) as caught:
        build(name, channels, size, 3)
    return str(caught.value)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "network timm:resnet18 needs timm: pip install 'attar[timm]'" in refusal("timm:resnet18")


@pytest.fixture(scope="module")
def timm() -> Any:
    return pytest.importorskip("timm", reason="timm, an extra, is not installed")


def test_a_network_of_timm_is_drawn_and_parted(timm: Any) -> None:
    network = build("timm:test_resnet", 1, (32, 32), 3)
    assert network.name == "timm:test_resnet" and network.mixes_samples()
    drawn = network.draw(Key(0)).eval()
    with Key(0).seeding_global():
        whole = timm.create_model("test_resnet", num_classes=3, in_chans=1).eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(drawn(images), whole(images))
        expected = whole.forward_head(whole.forward_features(images), pre_logits=True)
        torch.testing.assert_close(drawn.embed(images), expected)
    same, other = network.draw(Key(0)).state_dict(), network.draw(Key(1)).state_dict()
    assert all(torch.equal(drawn.state_dict()[name], same[name]) for name in same)
    assert not torch.equal(same["head.weight"], other["head.weight"])


def test_what_is_made_for_one_size_is_made_for_this_one(timm: Any) -> None:
    network = build("timm:test_vit", 3, (32, 48), 3)
    assert not network.mixes_samples()
    assert network.draw(Key(0)).embed(torch.randn(2, 3, 32, 48)).ndim == 2


def test_condense_and_evaluate_on_it(timm: Any) -> None:
    data = tiny_data(channels=3, counts=(4, 4, 4), size=32)
    quick: dict[str, Any] = {"iterations": 1, "validation": 0.0, "device": "cpu"}
    made = attar.condense(data, method="dm", network="timm:test_resnet", ipc=1, **quick)
    assert made.header.settings["network"] == "timm:test_resnet"
    test = tiny_data(channels=3, counts=(4, 4, 4), size=32, seed=1)
    row = attar.evaluate(made, test, repeats=1, epochs=1, device="cpu")[0]
    assert row.results[0].network == "timm:test_resnet"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm:resnet18.a1_in1k", "'a1_in1k' names pretrained weights"),
        ("timm:resnet81", "did you mean timm:resnet"),
        ("timm:hf-hub:someone/network", "has no network of this name"),
        ("timm:", "has no network of this name"),
        (
            "timm:vit_tiny_patch16_224",
            "cannot be made for images of 8×8; 16×16 works: give --resize 16",
        ),
    ],
)
def test_wrong_names_are_refused(timm: Any, name: str, said: str) -> None:
    size = (8, 8) if "vit" in name else (32, 32)
    assert said in refusal(name, size=size)
