"""Teachers on disk: what is read, for which classes and normalization, and what is refused."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

import attar
from attar.coresets import Confident
from attar.data import LabelledImages, Preprocessing, Splits
from attar.errors import ArtefactError, BadRequest
from attar.networks import build
from attar.rng import Key
from attar.teachers.file import load_teacher, save_teacher
from attar.teachers.finding import check_named, find_teacher, is_on_disk
from attar.teachers.teacher import Teacher, tensors_of
from attar.tensors import read_header, read_tensors, save_tensors
from catalogue import COMPUTE, NETWORK, tiny_data

IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
COLOUR = dataclasses.replace(tiny_data(3, (9, 14, 12), size=32), preprocessing=IMAGENET)


def squeezenet(classes: int = 3) -> nn.Module:
    """Return a small network of torchvision that ends in a linear layer."""
    torch.manual_seed(0)
    return torchvision.models.shufflenet_v2_x0_5(weights=None, num_classes=classes).eval()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    torch.save(squeezenet().state_dict(), path)
    return path


ARCH = "shufflenet_v2_x0_5"


def scores_of(spec: str, data: LabelledImages = COLOUR) -> torch.Tensor:
    return find_teacher(spec, data, COMPUTE).scores(data.take(torch.arange(5)))


@torch.no_grad()
def test_weights_of_torchvision_are_that_network(weights: Path, tmp_path: Path) -> None:
    images = COLOUR.take(torch.arange(5))
    wanted = squeezenet()(images)
    assert torch.allclose(scores_of(f"{ARCH}:{weights}"), wanted, atol=1e-5)
    assert torch.allclose(scores_of(f"torchvision:{ARCH}:{weights}"), wanted, atol=1e-5)
    # as a training keeps them among other things, and from several GPUs
    inside = tmp_path / "checkpoint.pth"
    state = {f"module.{name}": one for name, one in squeezenet().state_dict().items()}
    torch.save({"epoch": 3, "model": state}, inside)
    assert torch.allclose(scores_of(f"{ARCH}:{inside}"), wanted, atol=1e-5)
    tensors = {name: one.contiguous() for name, one in squeezenet().state_dict().items()}
    save_file(tensors, tmp_path / "weights.safetensors")
    assert torch.allclose(
        scores_of(f"{ARCH}:{tmp_path / 'weights.safetensors'}"), wanted, atol=1e-5
    )
    teacher = find_teacher(f"{ARCH}:{weights}", COLOUR, COMPUTE)
    assert teacher.origin == f"{ARCH}:weights.pth" and len(teacher.digest) == 16
    assert teacher.nbytes == sum(one.nbytes for one in squeezenet().state_dict().values())
    assert torch.allclose(teacher.module()(images), wanted, atol=1e-5)


@torch.no_grad()
def test_a_residual_network_with_the_stem_for_small_images_is_known(tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = torchvision.models.resnet18(weights=None, num_classes=3)
    module.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    module.maxpool = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    torch.save(module.state_dict(), tmp_path / "small.pth")
    wanted = module.eval()(COLOUR.take(torch.arange(5)))
    assert torch.allclose(scores_of(f"resnet18:{tmp_path / 'small.pth'}"), wanted, atol=1e-4)


@torch.no_grad()
def test_weights_of_timm_and_of_a_network_here(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    module = timm.create_model("resnet10t", num_classes=3).eval()
    torch.save(module.state_dict(), tmp_path / "timm.pth")
    images = COLOUR.take(torch.arange(5))
    # of timm 1.0, resnet10t was trained on ImageNet's constants
    assert torch.allclose(
        scores_of(f"timm:resnet10t:{tmp_path / 'timm.pth'}"), module(images), atol=1e-5
    )
    own = build("convnet2:width=8,norm=batch", 3, (32, 32), 3).draw(Key(3)).eval()
    torch.save(own.state_dict(), tmp_path / "own.pth")
    spec = f"convnet2:width=8,norm=batch:{tmp_path / 'own.pth'}"
    with pytest.raises(BadRequest, match="does not say how pixels were normalized"):
        scores_of(spec)
    assert torch.allclose(scores_of(f"{spec},norm=data"), own(images), atol=1e-5)


def test_a_teacher_of_other_classes_is_refused(tmp_path: Path) -> None:
    torch.save(squeezenet(1000).state_dict(), tmp_path / "imagenet.pth")
    with pytest.raises(
        BadRequest, match=r"tells 1000 classes apart, and the data have 3; give one"
    ):
        scores_of(f"{ARCH}:{tmp_path / 'imagenet.pth'}")
    with pytest.raises(BadRequest, match="does not hold the weights of this architecture"):
        scores_of(f"resnet18:{tmp_path / 'imagenet.pth'}")


@torch.no_grad()
def test_a_teacher_of_another_normalization_is_refused_or_brought_to_it(weights: Path) -> None:
    ours = dataclasses.replace(COLOUR, preprocessing=Preprocessing((0.4,) * 3, (0.25,) * 3))
    with pytest.raises(
        BadRequest, match=r"by mean \(0.485, 0.456, 0.406\).*norm=image.*--teacher-storage none"
    ):
        scores_of(f"{ARCH}:{weights}", ours)
    # the same pixels, brought to ImageNet's constants
    wanted = squeezenet()(COLOUR.take(torch.arange(5)))
    assert torch.allclose(scores_of(f"{ARCH}:{weights},norm=imagenet", ours), wanted, atol=1e-5)
    as_it_is = squeezenet()(ours.take(torch.arange(5)))
    assert torch.allclose(scores_of(f"{ARCH}:{weights},norm=data", ours), as_it_is, atol=1e-5)
    with pytest.raises(BadRequest, match="norm=half: 'imagenet' or 'data'"):
        scores_of(f"{ARCH}:{weights},norm=half", ours)
    gray = tiny_data(1, (9, 14, 12), size=32)
    with pytest.raises(BadRequest, match="images are of 1 channels"):
        scores_of(f"{ARCH}:{weights},norm=imagenet", gray)


def test_what_is_no_teacher_is_refused(tmp_path: Path) -> None:
    for spec, said in {
        f"{ARCH}:{tmp_path / 'nowhere.pth'}": "never downloaded",
        f"shufflenet:{tmp_path / 'nowhere.pth'}": "architecture",
        f"timm:nothing_at_all:{tmp_path / 'nowhere.pth'}": "architecture of timm",
        "some/folder": "there is no teacher",
        "no.teacher.safetensors": "--teacher no.teacher.safetensors: there is no teacher; give",
    }.items():
        with pytest.raises(BadRequest, match=said):
            find_teacher(spec, COLOUR, COMPUTE)
    for spec, said in {
        "convnett3": r"--teacher convnett3: unknown network 'convnett3'.*convnet3",
        "convnet3:widht=8": "--teacher convnet3:widht=8: unknown network option 'widht'",
        "timm:nothing_at_all": "nothing_at_all: timm .* has no network of this name",
        f"{ARCH}:{tmp_path / 'nowhere.pth'}": "never downloaded",
        "some/folder": "--teacher some/folder: there is no teacher; give",
        "no.safetensors": "--teacher no.safetensors: there is no teacher; give",
    }.items():
        with pytest.raises(BadRequest, match=said):
            check_named(spec)
    (tmp_path / "noise.pth").write_bytes(b"no weights")
    with pytest.raises(BadRequest, match=r"holds no pickle|cannot be read"):
        scores_of(f"{ARCH}:{tmp_path / 'noise.pth'}")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(BadRequest, match="holds no weights by name"):
        scores_of(f"{ARCH}:{tmp_path / 'list.pth'}")
    state = squeezenet().state_dict() | {"fc.bias": torch.full((3,), float("nan"))}
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(BadRequest, match="no numbers"):
        scores_of(f"{ARCH}:{tmp_path / 'nan.pth'}")


@pytest.mark.parametrize("arch", ["fasterrcnn_resnet50_fpn", "torchvision:deeplabv3_resnet50"])
def test_what_torchvision_has_for_other_tasks_is_refused_and_fetches_nothing(
    arch: str, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*where: object, **how: object) -> None:
        raise AssertionError(f"{where} would be fetched")

    # their backbones are trained ones unless one says otherwise
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    with pytest.raises(BadRequest, match="unknown architecture"):
        find_teacher(f"{arch}:{weights},norm=data", COLOUR, COMPUTE)


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    torch.save(squeezenet(), tmp_path / "whole.pth")
    said = rf"--teacher {ARCH}:.*: .* was not opened: it asks for .*network.state_dict\(\)"
    with pytest.raises(BadRequest, match=said):
        scores_of(f"{ARCH}:{tmp_path / 'whole.pth'}")


def test_names_of_networks_are_trained_and_files_are_read() -> None:
    assert not any(map(is_on_disk, ("", "convnet3", "convnet3:width=64,norm=batch", "timm:vit")))
    assert all(
        map(is_on_disk, ("a.safetensors", "resnet18:w.pth", "x/experts", "resnet18:w.pt,norm=data"))
    )


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    data = tiny_data()
    network = build(NETWORK, 1, (8, 8), 3)
    path = tmp_path / "one.teacher.safetensors"
    save_teacher(path, Teacher(network, COMPUTE, tensors_of(network.draw(Key(7)))), data)
    return path


def test_a_kept_teacher_says_the_same(kept: Path) -> None:
    data = tiny_data()
    images = data.take(torch.arange(5))
    wanted = build(NETWORK, 1, (8, 8), 3).draw(Key(7)).eval()(images)
    assert torch.allclose(scores_of(str(kept), data), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"class_names": ("b", "a", "c")}, "trained on the classes a, b, c, not on b, a, c"),
        ({"preprocessing": Preprocessing((0.5,), (0.25,))}, r"mean \(0.4\).*not by \(0.5\)"),
        ({"size": 9}, "trained on images of 1×8×8, not of 1×9×9"),
    ],
)
def test_a_kept_teacher_of_other_data_is_refused(
    kept: Path, changes: dict[str, Any], said: str
) -> None:
    changes = dict(changes)
    data = tiny_data(size=changes.pop("size", 8))
    with pytest.raises(BadRequest, match=said):
        scores_of(str(kept), dataclasses.replace(data, **changes))


def test_a_damaged_or_foreign_file_is_refused(kept: Path, tmp_path: Path) -> None:
    kept.write_bytes(kept.read_bytes()[:-5])
    with pytest.raises(ArtefactError, match="truncated or damaged"):
        scores_of(str(kept), tiny_data())
    data = tiny_data()
    attar.condense(
        Splits(data, data),
        method="random",
        ipc=1,
        network=NETWORK,
        output=tmp_path / "set.safetensors",
    )
    with pytest.raises(ArtefactError, match="holds no teacher"):
        load_teacher(tmp_path / "set.safetensors", data, COMPUTE, "--teacher x")


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": 5},
        {"inputs": "x"},
        {"inputs": {"mean": ["a"], "std": [1.0]}},
        {"classes": 5},
        {"network": 5},
    ],
    ids=str,
)
def test_a_header_of_other_kinds_is_no_teacher(kept: Path, changes: dict[str, Any]) -> None:
    save_tensors(kept, read_tensors(kept), {**read_header(kept), **changes})
    with pytest.raises(ArtefactError, match="holds no teacher"):
        scores_of(str(kept), tiny_data())


@pytest.mark.parametrize("network", [NETWORK, "convnet2:width=8,norm=batch"])
def test_experts_are_teachers(network: str, tmp_path: Path) -> None:
    data = tiny_data()
    folder = tmp_path / "experts"
    attar.train_experts(
        Splits(data, data), count=1, epochs=2, network=network, output=folder, device="cpu"
    )
    found = find_teacher(str(folder), data, COMPUTE)
    vector = torch.nn.utils.parameters_to_vector(found.module().parameters())
    from attar.experts.store import open_experts

    store = open_experts(folder, build(network, 1, (8, 8), 3), data.preprocessing)
    assert torch.equal(vector, store.segment(0, 2, 0)[0])
    for norm in found.module().modules():
        if isinstance(norm, nn.BatchNorm2d):
            # statistics of the real images, which experts do not keep
            assert norm.running_mean is not None and bool((norm.running_mean != 0).any())
    others = dataclasses.replace(data, class_names=("b", "a", "c"))
    with pytest.raises(BadRequest, match=r"--teacher .* trained on the classes a, b, c"):
        find_teacher(str(folder), others, COMPUTE)
    fewer = tiny_data(counts=(9, 14))
    with pytest.raises(BadRequest, match=r"trained on the classes .*, not on"):
        find_teacher(str(folder), fewer, COMPUTE)
    colour = tiny_data(3)
    with pytest.raises(BadRequest, match=r"--teacher .*number of channels.*images as they saw"):
        find_teacher(str(folder), colour, COMPUTE)
    shifted = dataclasses.replace(data, preprocessing=Preprocessing((0.1,), (0.25,)))
    with pytest.raises(BadRequest, match="saw pixels normalized"):
        find_teacher(str(folder), shifted, COMPUTE)


@pytest.mark.parametrize(("option", "said"), [("teacher", "--teacher"), ("network", "network")])
def test_names_are_refused_before_images_are_whitened(
    option: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = "attar.condensing.condense.as_splits"
    monkeypatch.setattr(reading, lambda *_, **__: pytest.fail("images are read"))
    given: dict[str, Any] = {option: "convnett3"}
    with pytest.raises(BadRequest, match=f"{said}.*'convnett3'.*convnet3"):
        attar.condense("digits", method="taught", ipc=1, zca="mtt", **given)


def test_what_a_teacher_on_disk_says_is_what_a_set_is_labelled_by(kept: Path) -> None:
    data = tiny_data()
    made = attar.condense(
        Splits(data, data), method="taught", ipc=2, teacher=str(kept), network=NETWORK, device="cpu"
    )
    wanted = build(NETWORK, 1, (8, 8), 3).draw(Key(7)).eval()(made.images).softmax(1)
    assert torch.allclose(made.labels, wanted, atol=1e-6)
    told = made.header.provenance["teacher"]
    assert told["origin"] == kept.name and made.header.settings["init"]["teacher"] == str(kept)
    assert Confident(teacher=str(kept)).passes(data) == len(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attar.describe(made)
