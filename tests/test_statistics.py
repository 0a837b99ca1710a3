"""SRe2L and CDA: a teacher's statistics of batch normalization, in float64 and as methods."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.data import Splits
from attar.errors import BadRequest
from attar.methods import METHODS, Task
from attar.networks import build
from attar.networks.weight import activation_bytes, given_by
from attar.objectives import Problem, StatisticsMatching
from attar.objectives.squeezed import Squeezed
from attar.rng import Key
from attar.synthetic import Layout
from attar.teachers.teacher import Teacher, tensors_of
from attar.tensors import read_header, read_tensors, save_tensors
from catalogue import COMPUTE, NETWORK, tiny_data
from references import statistics as slow

BATCH = "convnet2:width=8,norm=batch"
PLAIN = StatisticsMatching(least_area=1.0, flip=False, roll=0, bn=0.3, first_bn=4.0, batch=2)
QUICK: dict[str, Any] = {
    "network": BATCH,
    "settings": ("squeeze_epochs=2", "roll=1"),
    "device": "cpu",
    "validation": 0,
}


def problem(layout: Layout, network: str = BATCH) -> Problem:
    return Problem(tiny_data(counts=(9, 14, 12)), build(network, 1, (8, 8), 3), layout, COMPUTE)


def teacher() -> Teacher:
    """Return a network whose running statistics are not those of a fresh one."""
    module = build(BATCH, 1, (8, 8), 3).draw(Key(2))
    images = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(1)) + 0.3
    module.train()(images)
    network = build(BATCH, 1, (8, 8), 3)
    return Teacher(network, COMPUTE, tensors_of(module.eval()))


def test_the_loss_and_its_gradient_are_those_of_the_reference() -> None:
    # a class with two images beside two with three: groups of 2 classes at most
    layout = Layout(3, 3, (1, 8, 8), (3, 2, 3))
    given = problem(layout)
    known = teacher()
    given.cache["squeezed"] = Squeezed(known)
    images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    labels = torch.nn.functional.one_hot(layout.class_of_row(), 3).float()
    state = PLAIN.init(given, Key(0))
    found = PLAIN.match(images, labels, given, state, Key(1))
    module = known.module().double()
    wide = images.double().requires_grad_()
    groups = [[0, 3], [5], [1, 4], [6], [2, 7]]
    rows = torch.tensor([row for group in groups for row in group])
    assert sorted(rows.tolist()) == list(range(8))
    total = sum(
        slow.loss(module, wide[group], layout.class_of_row()[group], 0.3, 4.0) for group in groups
    )
    assert isinstance(total, torch.Tensor) and found.images is not None
    total.backward()
    assert found.loss.item() == pytest.approx(total.item(), rel=1e-5)
    assert wide.grad is not None
    assert torch.allclose(found.images.double(), wide.grad, rtol=1e-3, atol=1e-6)


def test_parts_of_a_group_give_the_gradient_of_the_whole() -> None:
    layout = Layout(3, 1, (1, 8, 8))
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    labels = torch.nn.functional.one_hot(layout.class_of_row(), 3).float()
    cropped = dataclasses.replace(PLAIN, least_area=0.3, flip=True, roll=2, batch=3)
    found = []
    for most in (3, 2, 1):
        given = problem(layout)
        given.cache["squeezed"] = squeezed = Squeezed(teacher())
        assert squeezed.most == COMPUTE.graph_chunk
        squeezed.most = most
        found.append(cropped.match(images, labels, given, {"step": 0}, Key(1)))
    whole, *parts = found
    for one in parts:
        assert one.loss.item() == pytest.approx(whole.loss.item(), rel=1e-5)
        assert one.images is not None and whole.images is not None
        assert torch.allclose(one.images, whole.images, rtol=1e-4, atol=1e-6)


EDC = dataclasses.replace(PLAIN, carry=0.8, by_class=0.5, flatness=0.7, running=0.9)


@pytest.mark.parametrize("most", [9, 1], ids=["whole", "in parts"])
def test_what_edc_adds_is_that_of_the_reference_step_after_step(most: int) -> None:
    layout = Layout(3, 2, (1, 8, 8))
    given, known = problem(layout), teacher()
    given.cache["squeezed"] = squeezed = Squeezed(known)
    squeezed.most = most
    module = known.module().double()
    real = given.data.take(torch.arange(len(given.data))).double()
    groups = [torch.tensor(one) for one in ([0, 2], [4], [1, 3], [5])]
    generator = torch.Generator().manual_seed(5)
    labels, state = layout.class_of_row(), EDC.init(given, Key(0))
    running: torch.Tensor | None = None
    before: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in groups]
    for step in range(3):
        images = torch.randn(6, 1, 8, 8, generator=generator)
        found = EDC.match(images, labels, given, state, Key(step))
        wide = images.double().requires_grad_()
        running = images.double() if running is None else running
        total = torch.zeros((), dtype=torch.float64)
        for number, rows in enumerate(groups):
            wanted = slow.of_classes(module, real, given.data.labels, labels[rows])
            loss, before[number] = slow.edc(
                module, wide[rows], labels[rows], (0.3, 4.0, 0.5, 0.8, 0.7),
                before[number], wanted, running[rows],
            )  # fmt: skip
            total = total + loss
        running = 0.9 * running + 0.1 * images.double()
        total.backward()
        assert found.images is not None and wide.grad is not None
        assert found.loss.item() == pytest.approx(total.item(), rel=1e-5)
        assert torch.allclose(found.images.double(), wide.grad, rtol=1e-3, atol=1e-6)
        state = state | {"step": step + 1} | dict(found.kept)


def test_memory_is_known_before_a_group_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(BATCH, 1, (8, 8), 3)
    # two blocks: convolution, norm, activation of 8 maps, and their pooling; padded by 3 first
    maps = 8 * (3 * 144 + 36 + 3 * 36 + 9) + 3
    each = activation_bytes(given_by(network.draw(Key(0)).eval(), (1, 8, 8)))
    assert each == 2 * 4 * maps
    monkeypatch.setattr("attar.objectives.squeezed.spare_memory", lambda: 5 * 2 * each)
    assert Squeezed(teacher()).most == 5


@pytest.mark.slow
def test_large_images_of_a_residual_network_fit_into_6_gb(tmp_path: Path) -> None:
    """64 images of 224 pixels, 32 classes, in a process of its own whose peak is told."""
    script = tmp_path / "large.py"
    script.write_text(LARGE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert int(done.stdout.split()[-1]) < 6e9


LARGE = """
import torch, attar
from attar.compute import peak_memory
from attar.data import LabelledImages, Preprocessing, Splits
labels = torch.arange(32).repeat_interleave(4)
images = torch.randint(0, 255, (128, 3, 224, 224), dtype=torch.uint8)
data = LabelledImages(
    images, labels, tuple(map(str, range(32))), Preprocessing((0.5,) * 3, (0.25,) * 3), "noise"
)
made = attar.condense(
    Splits(data, data), method="sre2l", synthetic_per_class=2, network="timm:resnet18",
    iterations=1, settings={"squeeze_epochs": 1}, validation=0, device="cpu",
)
assert len(made) == 64
print(peak_memory(torch.device("cpu")))
"""


def test_crops_get_smaller_along_a_cosine() -> None:
    cda = StatisticsMatching(ease=0.5)
    assert cda.least_at(0, 100) == 1.0
    assert cda.least_at(25, 100) == pytest.approx((1 + 0.08) / 2)
    assert cda.least_at(50, 100) == cda.least_at(99, 100) == 0.08
    assert StatisticsMatching().least_at(0, 100) == 0.08


def test_a_group_is_cropped_mirrored_and_shifted_as_one() -> None:
    one = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    both = torch.cat([one, one])
    moved = StatisticsMatching(roll=3)._seen(both, 0.3, Key(4))
    assert torch.equal(moved[0], moved[1]) and not torch.allclose(moved[0], one[0])
    assert torch.equal(PLAIN._seen(both, 1.0, Key(4)), both)


def recipe(name: str, side: int) -> attar.Recipe:
    return METHODS[name].recipe(Task("data", 10, (3, side, side), 10))


@pytest.mark.parametrize(
    ("name", "side", "lr", "steps", "settings"),
    [
        ("sre2l", 32, 0.25, 1000, {"bn": 0.01, "least_area": 1.0, "roll": 4, "flip": False}),
        ("sre2l", 64, 0.1, 4000, {"bn": 1.0, "least_area": 0.08, "roll": 32, "flip": True}),
        ("sre2l", 224, 0.25, 4000, {"bn": 0.01, "least_area": 0.08, "roll": 32, "ease": 0.0}),
        ("cda", 64, 0.4, 4000, {"bn": 0.05, "least_area": 0.08, "ease": 1.0}),
        ("cda", 224, 0.25, 4000, {"bn": 0.01, "ease": 1.0}),
    ],
)
def test_settings_are_those_of_the_authors(
    name: str, side: int, lr: float, steps: int, settings: dict[str, Any]
) -> None:
    found = recipe(name, side)
    adam = found.optimisers["images"]
    assert adam is not None
    assert (adam.kind, adam.lr, adam.beta, adam.beta2, adam.schedule) == (
        *("adam", lr, 0.5, 0.9),
        "cosine",
    )
    assert found.iterations == steps and found.init == "noise" and found.bounded
    assert found.card == "sre2l"
    assert {key: getattr(found.objective, key) for key in settings} == settings
    own = found.objective
    assert isinstance(own, StatisticsMatching) and (own.first_bn, own.batch) == (10.0, 100)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sre2l") / "set.safetensors"
    data = tiny_data(counts=(9, 14, 12))
    attar.condense(Splits(data, data), method="sre2l", ipc=2, iterations=6, output=out, **QUICK)
    return out


def test_images_stay_between_black_and_white_and_the_teacher_is_kept(made: Path) -> None:
    artefact = attar.load(made)
    assert artefact.raw_pixels.min() >= -1e-6 and artefact.raw_pixels.max() <= 1 + 1e-6
    told = attar.describe(made)["labels"]
    assert "stored_bytes" not in told and told["teacher"]["network"] == BATCH
    assert told["all_bytes_with_teacher"] == artefact.nbytes + told["teacher"]["bytes"]
    data = tiny_data(counts=(9, 14, 12))
    rows = attar.evaluate(
        made,
        (data, data),
        teacher=str(made.with_suffix(".teacher.safetensors")),
        repeats=1,
        epochs=2,
        device="cpu",
    )
    assert [row.results[0].card for row in rows] == [
        "sre2l (epochs 2, hard labels)",
        "sre2l (epochs 2)",
    ]


@pytest.mark.parametrize(
    "more", [(), ("carry=0.8", "by_class=0.5", "flatness=1")], ids=["sre2l", "what edc adds"]
)
def test_a_resumed_run_goes_on_with_its_teacher(more: tuple[str, ...], tmp_path: Path) -> None:
    data, out = tiny_data(counts=(9, 14, 12)), tmp_path / "set.safetensors"
    options: dict[str, Any] = QUICK | {
        "method": "sre2l",
        "ipc": 1,
        "output": out,
        "schedule": "constant",
    }
    options["settings"] = (*QUICK["settings"], *more)
    attar.condense(Splits(data, data), iterations=2, **options)
    went_on = attar.condense(Splits(data, data), iterations=4, resume=True, **options)
    at_once = attar.condense(Splits(data, data), iterations=4, **options | {"output": None})
    assert torch.equal(went_on.images, at_once.images)


def test_a_teacher_on_disk_is_not_trained_again(made: Path) -> None:
    data = tiny_data(counts=(9, 14, 12))
    given = str(made.with_suffix(".teacher.safetensors"))
    again = attar.condense(
        Splits(data, data), method="sre2l", ipc=2, iterations=6, teacher=given, **QUICK
    )
    assert torch.equal(again.images, attar.load(made).images)
    told = again.header.provenance["teacher"]
    assert told["origin"] == Path(given).name
    assert told["digest"] == attar.load(made).header.provenance["teacher"]["digest"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"network": NETWORK}, "convnet2:width=8 has none; choose a network that has"),
        ({"teacher": NETWORK}, "convnet2:width=8 has none; choose a network that has"),
        ({"settings": ("carry=1",)}, "--set carry=1: a share, from 0 to below 1"),
        ({"settings": ("by_class=-0.1",)}, "--set by_class=-0.1: a share, from 0 to 1"),
        ({"settings": ("flatness=-1",)}, "--set flatness=-1: a number of 0 or more"),
        ({"settings": ("ease=1.5",)}, "--set ease=1.5: a share of the run"),
        ({"settings": ("bn=-1",)}, "--set bn=-1: a number of 0 or more"),
        ({"settings": ("least_area=0",)}, "--set least_area=0: above 0"),
        ({"settings": ("batch=0",)}, "--set batch=0: at least 1"),
        (
            {"method": "cda", "iterations": None, "minutes": 1.0, "schedule": "constant"},
            "crops get smaller",
        ),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], said: str) -> None:
    data = tiny_data(counts=(9, 14, 12))
    asked = QUICK | {"method": "sre2l", "ipc": 1, "iterations": 2} | options
    with pytest.raises(BadRequest, match=said):
        attar.condense(Splits(data, data), **asked)


def test_real_crops_are_a_start_as_any() -> None:
    data = dataclasses.replace(tiny_data(counts=(9, 14, 12)))
    made = attar.condense(
        Splits(data, data),
        method="sre2l",
        ipc=1,
        iterations=1,
        init="crops",
        lr=1e-6,
        **QUICK | {"settings": ("squeeze_epochs=1", "epochs=1", "crop_scale=1.0")},
    )
    # the crops are whole images, which one small step hardly moves
    apart = torch.cdist(made.images.flatten(1), data.take(torch.arange(len(data))).flatten(1))
    assert bool((apart.min(dim=1).values < 0.05).all())


def test_a_run_does_not_go_on_with_another_teacher(made: Path, tmp_path: Path) -> None:
    data, teacher, out = (
        tiny_data(counts=(9, 14, 12)),
        tmp_path / "t.safetensors",
        tmp_path / "o.safetensors",
    )
    first = made.with_suffix(".teacher.safetensors")
    teacher.write_bytes(first.read_bytes())
    options: dict[str, Any] = {**QUICK, "settings": "roll=1", "teacher": str(teacher)}
    options |= {"method": "sre2l", "ipc": 1, "output": out, "schedule": "constant"}
    attar.condense(Splits(data, data), iterations=1, **options)
    tensors = {n: one + 0.1 * one.is_floating_point() for n, one in read_tensors(first).items()}
    save_tensors(teacher, tensors, read_header(first))
    with pytest.raises(BadRequest, match="it is not the network that this run began with"):
        attar.condense(Splits(data, data), iterations=2, resume=True, **options)
    teacher.write_bytes(first.read_bytes())
    went_on = attar.condense(Splits(data, data), iterations=2, resume=True, **options)
    assert went_on.header.step == 2
