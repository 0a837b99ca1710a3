"""What an import refuses to begin: pickles that ask for more than tensors need, and the like.

The whole siege, in watched processes, is `tests/siege/test_imports.py`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import attar
from attar.errors import BadRequest
from attar.importing.contents import open_content
from hostile_files import (
    WRITERS,
    Maker,
    archives_of_torch,
    bases_and_styles,
    checkpoints,
    folders,
    pickled_demands,
    tensors_that_are_not_there,
)
from peer_files import class_by_class, inputs, write_dc

DEMANDS = {
    "endless": "more than 500000 operations",
    "endless calls": "operations or 100000 calls",
    "deep tuples as a key": "nests tuples more than 100 deep",
    "deep tuples to the left": "nests tuples more than 100 deep",
    "deep lists": "nested more than 20 deep|500000 operations",
    "doubled bytes": "makes bytes by the encoding 'hex'",
    "many copies of a text": "makes more than 64 MiB of bytes",
    "lists in lists": "nested to over 1000000 values",
}


@pytest.mark.parametrize("form", list(WRITERS))
@pytest.mark.parametrize("name", list(DEMANDS))
def test_pickles_that_run_long(form: str, name: str, tmp_path: Path) -> None:
    path = WRITERS[form](tmp_path / "set.pt", pickled_demands()[name])
    words = DEMANDS[name] if form != "plain" or "lists" not in name else "cannot be read|" + name
    with pytest.raises(BadRequest, match=f"{path}.*({words})|no file of torch|cannot be read"):
        open_content(path)
    if form == "zip":
        with pytest.raises(BadRequest, match=words):
            open_content(path)


@pytest.mark.parametrize("form", ["zip", "old"])
@pytest.mark.parametrize("name", list(tensors_that_are_not_there("zip")))
def test_tensors_that_are_not_there(form: str, name: str, tmp_path: Path) -> None:
    content = tensors_that_are_not_there(form)[name]
    with pytest.raises(BadRequest, match=r"set\.pt"):
        attar.import_artefact(WRITERS[form](tmp_path / "set.pt", content), classes=4)


def named(name: str, makers: Callable[[], object]) -> Maker:
    return dict(makers())[name]  # pyright: ignore[reportArgumentType, reportCallIssue]


@pytest.mark.parametrize(
    ("makers", "name", "words"),
    [
        (archives_of_torch, "packed", "compressed by method 8; stored as it is ones are read"),
        (archives_of_torch, "two of one name", "two of its members have one name"),
        (archives_of_torch, "an archive behind", "more than 500000 operations"),
        (checkpoints, "flax empty maps", "cannot be read as a checkpoint of flax"),
        (checkpoints, "flax short lists", "more than 200000 entries"),
        (checkpoints, "flax lists said", "cannot be read as a checkpoint of flax"),
        (folders, "folder zeros", r"0\.png of 9000×9000 is said to unpack .* 100 times"),
        (folders, "folder another size", r"0\.png of 8500×8500 is said to unpack"),
        (bases_and_styles, "haba many styles", "400 bases by 3000 hallucinators is said to unpack"),
        (bases_and_styles, "haba wide", "hallucinators is said to unpack"),
        (bases_and_styles, "haba scale of all", "has weights of other axes than HaBa's"),
    ],
)
def test_what_makes_much_of_little(
    makers: Callable[[], object], name: str, words: str, tmp_path: Path
) -> None:
    files = named(name, makers)(tmp_path)
    with pytest.raises(BadRequest, match=words):
        attar.import_artefact(files, classes=4, zca="none", mean=0.3, std=0.3)


def test_what_nobody_needs_is_not_read(tmp_path: Path) -> None:
    images = inputs(4).permute(0, 2, 3, 1).numpy()
    path = tmp_path / "kip_nozca.npz"
    np.savez_compressed(path, images=images, labels=np.eye(4), more=np.zeros(10**8))
    known = {"classes": 4, "mean": 0.3, "std": 0.3}
    assert len(attar.import_artefact(path, **known)) == 4  # pyright: ignore[reportArgumentType]
    np.savez_compressed(path, images=np.zeros(10**8), labels=np.eye(4))
    with pytest.raises(BadRequest, match=r"'images' of shape .* is said to unpack"):
        attar.import_artefact(path, **known)  # pyright: ignore[reportArgumentType]


def test_labels_of_no_values(tmp_path: Path) -> None:
    write_dc(tmp_path / "set.pt", [(inputs(4), torch.zeros(4, 0))])
    with pytest.raises(BadRequest, match=r"labels of shape \(4, 0\) hold no values"):
        attar.import_artefact(tmp_path / "set.pt", classes=4, mean=0.3, std=0.3)


def test_as_many_tensors_and_accuracies_as_codes_write_are_read(tmp_path: Path) -> None:
    images, labels = inputs(40), class_by_class(4, 10)
    value = {
        "data": [[images, labels] for _ in range(20)],
        "accs_all_exps": {f"net{n}": [np.float64(i) for i in range(1000)] for n in range(6)},
        "more": [torch.ones(1) for _ in range(1000)],
    }
    torch.save(value, tmp_path / "res_DM.pt")
    made = attar.import_artefact(tmp_path / "res_DM.pt", classes=4, mean=0.3, std=0.3)
    assert torch.equal(made.images, images)
