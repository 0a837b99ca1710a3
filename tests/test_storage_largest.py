"""Labels of which the largest values are kept: sums stay, bytes are counted, files not trusted."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.data import Splits
from attar.errors import ArtefactError, BadRequest
from attar.storage import Content, storage_of
from attar.storage.largest import Largest
from attar.tensors import read_header, read_tensors, save_tensors
from catalogue import NETWORK, tiny_data

CONTENT = Content((2, 2), (1, 8, 8))
NAME = "labels.values"
QUICK: dict[str, Any] = {
    "network": NETWORK, "teacher": NETWORK, "settings": ("epochs=1", "crop_pool=6"), "device": "cpu"
}  # fmt: skip


def there_and_back(labels: torch.Tensor, keep: int) -> torch.Tensor:
    storage, shape = Largest(keep), tuple(labels.shape)
    coded = storage.encode({NAME: labels}, CONTENT)
    kept = storage.kept(NAME, shape)
    assert {n: (one.dtype, tuple(one.shape)) for n, one in coded.items()} == {
        n: (one.dtype, one.shape) for n, one in kept.items()
    }
    assert storage.planned(NAME, shape) == sum(one.nbytes for one in coded.values())
    found = storage.decode(coded, {NAME: shape}, CONTENT)[NAME]
    # what was decoded is kept without a further loss
    again = storage.encode({NAME: found}, CONTENT)
    assert all(torch.equal(again[name], one) for name, one in coded.items())
    return found


@pytest.mark.parametrize(("classes", "bytes_each"), [(10, 11), (256, 11), (300, 14), (40000, 20)])
def test_the_largest_values_stay_and_the_others_are_their_mean(
    classes: int, bytes_each: int
) -> None:
    labels = torch.randn(4, classes, generator=torch.Generator().manual_seed(0)).softmax(1)
    found = there_and_back(labels, 3)
    values, places = labels.topk(3)
    assert torch.allclose(found.gather(1, places), values, rtol=1e-3)
    assert torch.equal(found.topk(3).indices, places)
    assert torch.allclose(found.sum(1), torch.ones(4), atol=2e-2)
    assert (found.scatter(1, places, 0.0) > 0).sum() == 4 * (classes - 3)
    assert Largest(3).planned(NAME, (4, classes)) == 4 * bytes_each


def test_label_values_that_are_no_probabilities_keep_their_sum() -> None:
    labels = torch.tensor([[2.0, -1.0, -1.0, 0.5], [0.0, 0.0, 0.0, 0.0]])
    assert there_and_back(labels, 1).tolist() == [[2.0, -0.5, -0.5, -0.5], [0.0] * 4]


def test_a_file_of_a_class_that_there_is_not_is_refused() -> None:
    storage = Largest(1)
    coded = storage.encode({NAME: torch.rand(3, 4)}, CONTENT)
    coded[f"{NAME}:places"][1] = 4
    with pytest.raises(ValueError, match="a class that there is not"):
        storage.decode(coded, {NAME: (3, 4)}, CONTENT)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("largest") / "set.safetensors"
    data = tiny_data(counts=(9, 14, 12))
    storage = "float16:labels=top:keep=1"
    attar.condense(Splits(data, data), method="rded", ipc=2, storage=storage, output=path, **QUICK)
    return path


def test_stored_labels_of_a_teacher_are_kept_so_and_counted(made: Path) -> None:
    artefact = attar.load(made)
    # 12 labels, as float16 holds twice the images: 2 values of 2 bytes and a class of 1
    assert artefact.ledger.labels == 12 * 5 == attar.describe(made)["labels"]["stored_bytes"]
    assert artefact.header.storage == "float16:labels=top:keep=1"
    assert torch.allclose(artefact.labels.sum(1), torch.ones(12), atol=1e-3)
    low = artefact.labels.sort(dim=1).values
    assert torch.equal(low[:, 0], low[:, 1]) and bool((low[:, 2] >= low[:, 1]).all())


def test_sets_that_are_there_get_such_labels(tmp_path: Path) -> None:
    data = tiny_data(counts=(9, 14, 12))
    path = tmp_path / "soft.safetensors"
    hard = attar.condense(Splits(data, data), method="random", ipc=2, device="cpu")
    given: dict[str, Any] = {"network": NETWORK, "epochs": 1, "device": "cpu"}
    attar.relabel(hard, (data, data), labels="top:keep=2", output=path, **given)
    assert attar.load(path).ledger.labels == 6 * (3 * 2 + 2)
    with pytest.raises(BadRequest, match="keep from 1 to 2, or take float16"):
        attar.relabel(hard, (data, data), labels="top:keep=3", **given)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("top", "keeps labels alone; name the storage of the images before it, such as float16:"),
        ("float32:labels=top:keep=3", "a label has 3 values; keep from 1 to 2"),
        ("float32:labels=top:keep=0", "keep=0: at least 1 value"),
        ("float32:labels=top:kept=2", "keep"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_any_work(text: str, said: str) -> None:
    data = dataclasses.replace(tiny_data(counts=(9, 14, 12)))
    with pytest.raises(BadRequest, match=said):
        attar.condense(Splits(data, data), method="rded", ipc=2, storage=text, **QUICK)


def test_a_damaged_file_is_told(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.safetensors"
    tensors = {name: one.clone() for name, one in read_tensors(made).items()}
    tensors["labels.values:places"][:] = 200
    save_tensors(path, tensors, read_header(made))
    with pytest.raises(ArtefactError):
        attar.load(path)


def test_its_text_names_it() -> None:
    assert storage_of("int8:labels=top:keep=7").of(NAME) == Largest(7)
