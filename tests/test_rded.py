"""RDED: crops of real images chosen by a teacher, tiled, with its labels, all of it counted."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as vision

import attar
from attar.augmentation.patches import (
    draw_boxes,
    padded,
    parts,
    shuffled,
    take_crops,
    usual_factor,
)
from attar.augmentation.variants import augmented
from attar.cli import run
from attar.coresets import Crops
from attar.data import Splits
from attar.errors import BadRequest
from attar.methods import METHODS, Task
from attar.networks import build
from attar.rng import Key
from catalogue import COMPUTE, NETWORK, tiny_data
from references import rded as slow

QUICK: dict[str, Any] = {
    "network": NETWORK,
    "teacher": NETWORK,
    "settings": ("epochs=2", "crop_pool=6"),
    "device": "cpu",
}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("side", [3, 8, 12, 20])
def test_crops_are_those_of_torchvision(side: int) -> None:
    # torchvision 0.25 and 0.22: RandomResizedCrop(antialias=True) on tensors
    images = numbers(40, 3, 12, 15)
    boxes = draw_boxes(40, (12, 15), (0.08, 1.0), (3 / 4, 4 / 3), Key(3))
    found = take_crops(images, boxes, (side, side + 1))
    for image, (top, left, height, width), own in zip(images, boxes.tolist(), found, strict=True):
        box = image[:, top : top + height, left : left + width]
        wanted = vision.resize(box, [side, side + 1], InterpolationMode.BILINEAR, antialias=True)
        assert torch.allclose(own, wanted, atol=1e-9)


def test_boxes_lie_inside_and_have_areas_and_ratios_asked_for() -> None:
    boxes = draw_boxes(2000, (32, 32), (0.08, 1.0), (1.0, 1.0), Key(0))
    top, left, height, width = boxes.T
    assert bool((height == width).all()) and bool((top >= 0).all()) and bool((left >= 0).all())
    assert bool((top + height <= 32).all()) and bool((left + width <= 32).all())
    area = (height * width).double() / 32**2
    assert area.min() > 0.06 and abs(area.mean() - 0.54) < 0.02
    assert torch.equal(boxes, draw_boxes(2000, (32, 32), (0.08, 1.0), (1.0, 1.0), Key(0)))
    # where none fits: the largest in the middle
    wide = draw_boxes(3, (8, 32), (1.0, 1.0), (1.0, 1.0), Key(0))
    assert wide.tolist() == [[0, 12, 8, 8]] * 3


def test_patches_change_places_and_nothing_else() -> None:
    images = numbers(30, 2, 7, 9)
    made = shuffled(images, 2, Key(1))
    assert torch.equal(made.flatten(2).sort().values, images.flatten(2).sort().values)
    left, right = images[..., :4], images[..., 4:]
    orders = {tuple(torch.cat(pair, 3).shape) for pair in ((left, right), (right, left))}
    assert orders == {(30, 2, 7, 9)}
    same = sum(torch.equal(one, other) for one, other in zip(made, images, strict=True))
    assert 0 < same < 20
    assert shuffled(images, 1, Key(1)) is images
    assert parts(9, 2) == [5, 4] and usual_factor((64, 64)) == 1 and usual_factor((224, 224)) == 2
    assert padded(images, (9, 12))[:, :, 1:8, 1:10].equal(images)


def test_students_see_crops_as_their_authors_have_them() -> None:
    small, large = numbers(4, 3, 32, 32).float(), numbers(4, 3, 96, 96).float()
    assert torch.equal(augmented(small, "rded:shuffle_crop", Key(0)), small)
    assert not torch.equal(augmented(large, "rded:shuffle_crop", Key(0)), large)
    zoomed = augmented(small, "rded:zoom_flip", Key(0))
    assert zoomed.shape == small.shape and not torch.equal(zoomed, small)
    with pytest.raises(BadRequest, match="augmentation of rded"):
        augmented(small, "rded:turn", Key(0))


@pytest.mark.parametrize("factor", [1, 2])
def test_pictures_are_those_of_the_reference(factor: int) -> None:
    data = dataclasses.replace(tiny_data(counts=(9, 14, 12)))
    selector = Crops(epochs=2, crops=4, crop_factor=factor, crop_pool=9, crop_scale=0.2)
    network = build(NETWORK, 1, (8, 8), 3)
    found = selector.chosen(data, [2, 2, 2], network, COMPUTE, Key(5))
    assert found.images is not None and found.labels is not None and found.teacher is not None
    teacher = found.teacher.module().double()
    for label in range(3):
        own = data.draw(label, 9, Key(5).fold("pool", label))
        boxes = draw_boxes(
            len(own) * 4, (8, 8), (0.2, 1.0), (1.0, 1.0), Key(5).fold("crops", label)
        )
        images = data.take(own).double()
        best = slow.surest_crops(images, boxes.view(-1, 4, 4), label, teacher, 8 // factor)
        crops = [crop for _, _, crop in best[: 2 * factor**2]]
        wanted = slow.pictures(crops, factor)
        assert torch.allclose(found.images[label].double(), wanted, atol=1e-5)
        rows = [int(own[number]) for _, number, _ in best[: 2 * factor**2 : factor**2]]
        assert found.rows[label].tolist() == rows
        probabilities = teacher(wanted).softmax(1)
        assert torch.allclose(found.labels[label].double(), probabilities, atol=1e-5)


def test_a_small_class_gives_fewer_pictures_of_all_it_has() -> None:
    data = tiny_data(counts=(9, 14, 3))
    network = build(NETWORK, 1, (8, 8), 3)
    selector = Crops(epochs=1, crop_factor=2)
    assert [len(own) for own in selector.chosen(data, [2] * 3, network, COMPUTE, Key(0)).rows] == [
        2,
        2,
        1,
    ]
    # a class without so many images gives its pictures again, as other selectors do
    made = attar.condense(
        Splits(data, data), method="rded", synthetic_per_class=2, **QUICK | {"settings": {
            "epochs": 1, "crop_factor": 2}}
    )  # fmt: skip
    assert torch.equal(made.images[4], made.images[5])


def test_rded_is_that_of_its_authors() -> None:
    for shape, factor in (((3, 32, 32), 1), ((3, 64, 64), 1), ((3, 224, 224), 2)):
        recipe = METHODS["rded"].recipe(Task("data", 10, shape, 10))
        assert isinstance(recipe.selector, Crops) and recipe.learned_labels
        assert recipe.init == "crops" and recipe.card == "rded" and recipe.iterations == 0
        assert (recipe.selector.crops, recipe.selector.crop_pool) == (5, 300)
        assert recipe.selector.factor(tiny_data(3, size=shape[1])) == factor


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"crops": 0}, "--set crops=0: from 1 to 100"),
        ({"crops": 10**9}, "--set crops=1000000000: from 1 to 100"),
        ({"crop_pool": 0}, "--set crop_pool=0: at least 1"),
        ({"crop_factor": 5}, "--set crop_factor=5: from 1 to 4"),
        ({"crop_scale": 0.0}, "--set crop_scale=0: above 0, to 1"),
        ({"crop_scale": float("nan")}, "--set crop_scale=nan: above 0, to 1"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        Crops(**settings)


def test_vectors_have_no_crops() -> None:
    data = tiny_data(12, size=())
    with pytest.raises(BadRequest, match="crops are of pictures"):
        attar.condense(Splits(data, data), method="rded", ipc=1, network="mlp", device="cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rded") / "set.safetensors"
    data = tiny_data(counts=(9, 14, 12))
    attar.condense(Splits(data, data), method="rded", ipc=2, output=out, **QUICK)
    return out


def test_labels_and_teacher_are_counted(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artefact, told = attar.load(made), attar.describe(made)
    # 6 images of 64 pixels, and 3 label values for each, float32
    assert artefact.totals.paper == 6 * 64 * 4 and artefact.nbytes == 6 * (64 + 3) * 4
    assert artefact.ledger.labels == 6 * 3 * 4 == told["labels"]["stored_bytes"]
    assert torch.allclose(artefact.labels.sum(1), torch.ones(6))
    teacher = told["labels"]["teacher"]
    module = build(NETWORK, 1, (8, 8), 3).draw(Key(0))
    assert teacher["bytes"] == 4 * sum(one.numel() for one in module.parameters())
    assert teacher["network"] == NETWORK and teacher["origin"] == "trained on the spot"
    assert told["labels"]["all_bytes_with_teacher"] == 6 * 64 * 4 + teacher["bytes"]
    assert made.with_suffix(".teacher.safetensors").exists()
    assert run(["show", str(made)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "72 B stored" in shown and teacher["digest"] in shown and "made anew they need" in shown


def test_labels_are_kept_in_less_and_counted(tmp_path: Path) -> None:
    data = tiny_data(counts=(9, 14, 12))
    small = attar.condense(
        Splits(data, data), method="rded", ipc=2, storage="float32:labels=float16", **QUICK
    )
    assert small.ledger.labels == 6 * 3 * 2


def test_a_teacher_labels_batches_in_rows_of_their_own(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tiny_data(counts=(9, 14, 12))
    teacher = str(made.with_suffix(".teacher.safetensors"))
    rows = attar.evaluate(
        made, (data, data), teacher=teacher, baselines="random", repeats=1, epochs=2, device="cpu"
    )
    size = attar.describe(made)["labels"]["teacher"]["bytes"]
    found = [(row.kind, row.labels, row.bytes, row.results[0].card) for row in rows]
    stored, hard = 6 * 3 * 4, 6
    pixels = 6 * 64 * 4
    assert found == [
        ("condensed", "own", pixels + stored, "rded (epochs 2)"),
        # the largest of a row may be another class than that of its place: a byte each
        ("condensed", "hard", pixels + hard, "rded (epochs 2, hard labels)"),
        ("condensed", "taught", pixels + size, "rded (epochs 2)"),
        ("random", "own", pixels, "rded (epochs 2, hard labels)"),
        ("random", "taught", pixels + size, "rded (epochs 2)"),
    ]
    assert "labels by" in rows[2].note and rows[2].name.endswith("teacher's labels")
    with pytest.raises(BadRequest, match="under the card 'dsa-1000' networks learn from stored"):
        attar.evaluate(made, (data, data), teacher=teacher, card="dsa-1000", repeats=1)


def test_scores_beside_a_teacher_are_of_random_images_without_it(made: Path) -> None:
    data = tiny_data(counts=(9, 14, 12))
    hard = attar.condense(Splits(data, data), method="random", ipc=2, device="cpu")
    given: dict[str, Any] = {"repeats": 1, "epochs": 2, "device": "cpu", "networks": NETWORK}
    teacher = str(made.with_suffix(".teacher.safetensors"))
    rows = attar.evaluate(
        hard, (data, data), card="rded", teacher=teacher, scores=True, ceiling_epochs=2, **given
    )
    (plain,) = (row for row in rows if row.kind == "random" and row.labels == "own")
    assert [row.scores[0].random for row in rows if row.scores] == [plain.results[0].accuracies]


def test_another_teacher_than_that_of_the_labels_is_told(made: Path, tmp_path: Path) -> None:
    data = tiny_data(counts=(9, 14, 12))
    other = tmp_path / "other.safetensors"
    attar.condense(Splits(data, data), method="rded", ipc=1, seed=4, output=other, **QUICK)
    teacher = other.with_suffix(".teacher.safetensors")
    with pytest.warns(UserWarning, match="come from another teacher"):
        attar.evaluate(made, (data, data), teacher=str(teacher), repeats=1, epochs=1, device="cpu")


def test_the_command_line(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "digits.safetensors"
    arguments = ["digits", "--method", "rded", "--images-per-class", "1", "--per-class", "20"]
    settings = ["--set", "epochs=1", "--teacher", NETWORK, "--network", NETWORK, "--json"]
    assert run(["condense", *arguments, *settings, "-o", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["labels"]["teacher"]["network"] == NETWORK
    assert f"--teacher {NETWORK}" in told["card"]["provenance"]["command"]
    other = ["condense", "digits", "--ipc", "1", "--method", "dm", "--teacher", NETWORK]
    assert run([*other, "-o", str(tmp_path / "x.safetensors")]) == 2
    assert "method 'dm' has no teacher" in capsys.readouterr().err
