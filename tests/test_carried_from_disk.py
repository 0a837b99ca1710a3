"""Teachers of other codes that travel in the file of a set, and those that cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import attar
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.data import Splits
from attar.errors import BadRequest
from attar.networks import make_for
from attar.rng import Key
from attar.teachers.carried import carried_by, planned_for
from attar.teachers.finding import find_teacher
from attar.teachers.teacher import Teacher, tensors_of
from catalogue import COMPUTE, NETWORK, tiny_data
from test_carried import inside

NAME = "convnet2:norm=batch,width=4"


def colours(size: int = 16) -> Splits:
    return Splits(tiny_data(3, size=size), tiny_data(3, size=size, seed=1), source="tiny")


def asked(**options: Any) -> dict[str, Any]:
    usual = {"method": "kd", "storage": "png", "network": NETWORK, "synthetic_per_class": 2}
    return {**usual, "device": "cpu", "torch_compile": "off", **options}


def carrying(teacher: Teacher, path: Path, storage: str) -> attar.Artefact:
    """Return a set that carries a teacher, read from its file."""
    made = attar.condense(colours(), **asked(method="random"))
    again = attar.artefact.artefact.Artefact(
        made.header,
        made.synthetic,
        made.preprocessing,
        coded=made.coded,
        carried=carried_by(teacher, storage),
    )
    again.save(path)
    return attar.load(path)


def saved(path: Path, module: nn.Module) -> Path:
    torch.save(module.state_dict(), path)
    return path


def test_weights_of_a_network_here_travel(tmp_path: Path) -> None:
    module = make_for(NAME, (3, 16, 16), 3).draw(Key(4)).eval()
    path, train = saved(tmp_path / "own.pth", module), colours().train
    teacher = find_teacher(f"{NAME}:{path},norm=data", train, COMPUTE)
    found = inside(carrying(teacher, tmp_path / "set.safetensors", "float32"))
    assert found.network.name == NAME
    images = train.take(torch.arange(5))
    with torch.no_grad():
        wanted = module(images)
    # vectors are in float16
    assert torch.allclose(found.scores(images), wanted, atol=0.01)


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_network_of_timm_travels(on_disk: bool, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    if not timm.is_model("test_resnet"):
        pytest.skip("this timm has no small networks")
    train, name = colours().train, "timm:test_resnet"
    if on_disk:
        path = saved(tmp_path / "timm.pth", timm.create_model("test_resnet", num_classes=3))
        teacher = find_teacher(f"{name}:{path},norm=data", train, COMPUTE)
    else:
        network = make_for(name, (3, 16, 16), 3)
        teacher = Teacher(network, COMPUTE, tensors_of(network.draw(Key(0)).eval()))
    assert planned_for(teacher.network, "float32").least() > 0
    found = inside(carrying(teacher, tmp_path / "set.safetensors", "float32"))
    images = train.take(torch.arange(2))
    assert torch.allclose(found.scores(images), teacher.scores(images), atol=0.01)


def test_what_no_name_stands_for_is_refused_before_work(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    path = saved(tmp_path / "own.pth", torchvision.models.shufflenet_v2_x0_5(num_classes=3))
    for name in ("torchvision:shufflenet_v2_x0_5", "shufflenet_v2_x0_5"):
        request = Request(**asked(teacher=f"{name}:{path},norm=data"))
        with pytest.raises(BadRequest, match=r"not those of a network .*--teacher-storage none"):
            make_plan(request, colours(32))
