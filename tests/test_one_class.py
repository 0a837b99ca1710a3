"""One class alone: what looks at each class by itself takes it, what tells them apart refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import attar
from attar.cli import run
from attar.data import from_tensors
from attar.errors import BadRequest


def data(classes: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (24, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return images, torch.arange(24) % classes


FEW = {"iterations": 2, "torch_compile": "off", "network": "convnet2:width=8", "device": "cpu"}


@pytest.mark.parametrize("method", ["dm", "lodm", "kfs", "random"])
def test_a_set_of_one_class_is_a_set(method: str, tmp_path: Path) -> None:
    given = from_tensors(*data(), class_names=["cat"])
    few = {} if method == "random" else FEW
    made = attar.condense(given, method=method, ipc=2, **few)
    assert made.header.class_names == ["cat"]
    assert not made.header.parts["held_out"]
    made.save(tmp_path / "cat.safetensors")
    loaded = attar.load(tmp_path / "cat.safetensors")
    assert torch.equal(loaded.images, made.images)
    assert loaded.labels.tolist() == [0] * len(loaded)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "dc"}, "the objective 'gradient' learns by telling classes apart"),
        ({"method": "dsa"}, "the objective 'gradient'"),
        ({"method": "frepo", "zca": "none"}, "the objective 'kernel'"),
        ({"method": "dm", "objective": "distribution+0.1*kernel"}, "the objective 'sum'"),
        ({"method": "mtt", "zca": "none"}, "the objective 'trajectory'"),
        ({"method": "esp", "zca": "none"}, "the objective 'subspace'"),
        ({"method": "cafe"}, "the objective 'alignment'"),
        ({"method": "remember-the-past"}, "the objective 'unrolled'"),
        ({"method": "dd"}, "the objective 'distillation'"),
        ({"method": "ld"}, "the objective 'labels'"),
        ({"method": "herding"}, "--init herding learns by telling classes apart, and there is one"),
        ({"method": "dm", "init": "forgetting"}, "--init forgetting"),
        ({"method": "dm", "validation": 0.1}, "--validation 0.1: .* there is one class; leave"),
    ],
)
def test_what_tells_classes_apart_is_refused_before_any_work(
    options: dict[str, object], said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        attar.condense(data(), ipc=1, **options)


def test_nested_sets_and_slimming_take_one_class() -> None:
    made = attar.condense(data(), method="dm", ipc=2, nested=True, **FEW)
    assert len(attar.slim(made, 1, learning_free=True)) == 1
    with pytest.raises(BadRequest, match="--learning-free, or train with --method dm"):
        attar.slim(made, 1, iterations=2)
    assert len(attar.slim(made, 1, method="dm", iterations=2)) == 1


def test_accuracy_on_one_class_and_experts_of_it_are_refused(tmp_path: Path) -> None:
    given = from_tensors(*data(2), class_names=["cat", "dog"])
    made = attar.condense(given, method="random", ipc=1)
    cat, dog = (made.of_classes([name]) for name in ("cat", "dog"))
    with pytest.raises(BadRequest, match="one class, cat, which every network names"):
        attar.evaluate(cat, given)
    with pytest.raises(BadRequest, match="experts are networks that learn to tell classes apart"):
        attar.train_experts(given.train.of_classes(["cat"]), output=tmp_path / "experts", count=1)
    both = attar.merge(cat, dog)
    assert both.header.class_names == ["cat", "dog"]
    assert torch.equal(both.images, made.images)


def test_one_class_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = data(2)
    np.savez(tmp_path / "x.npz", images=images.numpy(), labels=labels.numpy(),
             class_names=np.array(["cat", "dog"]))  # fmt: skip
    out = tmp_path / "cat.safetensors"
    run(["condense", f"npz:{tmp_path / 'x.npz'}", "--classes", "cat", "--method", "dm", "--ipc",
         "1", "--iterations", "1", "--network", "convnet2:width=8", "-o", str(out)])  # fmt: skip
    assert "one class only, cat" in capsys.readouterr().err.replace("\n", " ")
    run(["show", str(out), "--json"])
    assert json.loads(capsys.readouterr().out)["card"]["class_names"] == ["cat"]
    run(["export", str(out), "--png", str(tmp_path / "png")])
    assert run(["evaluate", str(out)]) == 2
    assert "accuracy says nothing" in capsys.readouterr().err.replace("\n", " ")
