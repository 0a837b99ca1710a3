"""Labels of a teacher that are stored for some epochs, in its place: what they are, and cost."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.cli import run
from attar.data import Splits
from attar.errors import BadRequest
from attar.networks import build
from attar.rng import Key
from attar.storage import storage_of
from attar.training import card as find_card
from attar.training.stored_labels import StoredLabels
from attar.training.trainer import Trainer
from catalogue import COMPUTE, NETWORK, tiny_data

CARD = find_card("rethinkdc", epochs=3)
IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 3


class Telling:
    """A teacher that counts the batches that it is asked about."""

    def __init__(self) -> None:
        self.module = build(NETWORK, 1, (8, 8), 3).draw(Key(9)).eval()
        self.asked = 0

    @torch.no_grad()
    def __call__(self, batch: Tensor) -> Tensor:
        self.asked += 1
        return self.module(batch)


def stored(teacher: Telling, epochs: int, kept_as: str = "float32", seed: int = 5) -> StoredLabels:
    return StoredLabels(teacher, epochs, storage_of(kept_as), Key(seed), 3)


def trained(teacher: Any, *seeds: int) -> list[dict[str, Tensor]]:
    trainer = Trainer(build(NETWORK, 1, (8, 8), 3), COMPUTE)
    return trainer.fit(IMAGES, LABELS, CARD, CARD.strategy("x"), [Key(s) for s in seeds], teacher)


def differs(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_labels_of_all_epochs_are_what_the_teacher_says() -> None:
    # a student whose batches are those that are kept
    (live,) = trained(Telling(), 5)
    (kept,) = trained(stored(Telling(), 3), 5)
    assert not differs(live, kept)
    (half,) = trained(stored(Telling(), 3, "float16"), 5)
    (top,) = trained(stored(Telling(), 3, "top:keep=1"), 5)
    assert differs(live, half) and differs(half, top)
    assert all(torch.allclose(one, half[name], atol=1e-2) for name, one in live.items())


def test_pruned_epochs_ask_the_teacher_once_whoever_learns() -> None:
    teacher = Telling()
    labels = stored(teacher, 1)
    first, second = trained(labels, 1, 2)
    # one batch an epoch
    assert teacher.asked == 1 and len(labels.kept) == 1 and differs(first, second)
    (again,) = trained(stored(Telling(), 1), 2)
    assert not differs(second, again)
    steps = [labels.step(one, Key(0)) for one in _steps(60)]
    assert {one.epoch for one in steps} == {0}
    wide = [stored(teacher, 4).step(one, Key(0)).epoch for one in _steps(60)]
    assert wide[:4] == [0, 1, 2, 3] and set(wide) == {0, 1, 2, 3}
    assert wide != [stored(teacher, 4).step(one, Key(1)).epoch for one in _steps(60)]


def _steps(epochs: int) -> list[Any]:
    from attar.training.schedules import steps

    return list(steps(find_card("rethinkdc", epochs=epochs), 6))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("stored") / "set.safetensors"
    data = tiny_data(counts=(9, 14, 12))
    attar.condense(
        Splits(data, data),
        method="rded",
        ipc=2,
        output=out,
        network=NETWORK,
        teacher=NETWORK,
        settings=("epochs=1", "crop_pool=6"),
        device="cpu",
    )
    return out, str(out.with_suffix(".teacher.safetensors"))


def test_rows_count_the_labels_in_place_of_the_teacher(made: tuple[Path, str]) -> None:
    path, teacher = made
    data = tiny_data(counts=(9, 14, 12))

    def rows(**more: Any) -> dict[tuple[str, str], Any]:
        found = attar.evaluate(
            path, (data, data), teacher=teacher, repeats=1, epochs=3, device="cpu", **more
        )
        return {(row.kind, row.labels): row for row in found}

    found = rows(label_epochs=2, baselines="random")
    pixels = 6 * 64 * 4
    taken = 2 * 6 * 3 * 2 + 8
    for kind in ("condensed", "random"):
        assert found[kind, "taught"].bytes == pixels + taken
        assert "of 2 epochs, stored as float16" in found[kind, "taught"].note
    fewer = rows(label_epochs=2, label_storage="top:keep=1")["condensed", "taught"]
    assert fewer.bytes == pixels + 2 * 6 * (2 * 2 + 1) + 8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label_epochs": 4}, "from 1 to 3, as many as students are trained for"),
        ({"label_epochs": 0}, "from 1 to 3"),
        ({"label_epochs": 1, "teacher": None}, "labels of epochs are a teacher's; name it"),
        ({"label_epochs": 1, "label_storage": "int4"}, "float16, float32, bfloat16 or float8, or"),
        ({"label_storage": "top"}, "--label-storage top: of the labels that --label-epochs keeps"),
        ({"label_epochs": 1, "label_storage": "top"}, "a label has 3 values; keep from 1 to 2"),
        ({"label_epochs": 1, "epochs": None, "updates": 3}, "counts updates; give"),
    ],
)
def test_what_cannot_be_stored_is_refused(
    made: tuple[Path, str], options: dict[str, Any], said: str
) -> None:
    path, teacher = made
    data = tiny_data(counts=(9, 14, 12))
    asked = {"teacher": teacher, "epochs": 3, "repeats": 1, "device": "cpu"} | options
    with pytest.raises(BadRequest, match=said):
        attar.evaluate(path, (data, data), **asked)


def test_the_command_line(made: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    path, teacher = made
    assert run(["evaluate", str(path), "--label-epochs", "2"]) == 2
    assert "name it with --teacher" in capsys.readouterr().err
    asked = ["--teacher", teacher, "--label-epochs", "2", "--label-storage", "int4"]
    assert run(["evaluate", str(path), *asked]) == 2
    assert "--label-storage int4: float16" in capsys.readouterr().err
