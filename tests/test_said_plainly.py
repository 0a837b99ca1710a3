"""What was taken without a word, or refused in words that did not help."""

import socket
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

import attar
from attar import hub
from attar.cli import run
from attar.data import as_splits
from attar.errors import BadRequest
from attar.unplaced import without_folders

rng = np.random.default_rng(0)
LABELS = np.arange(20) % 2
GRAY = rng.integers(0, 256, (20, 8, 8), dtype=np.uint8)


def test_images_of_zeros_and_ones_are_told_to_be_nearly_black(tmp_path: Path) -> None:
    masks = (GRAY > 127).astype(np.uint8)
    for data in ((masks, LABELS), ([*masks], [*LABELS])):
        note = as_splits(data).note
        assert note is not None and "nearly black" in note and "value_range=(0, 1)" in note
    np.savez(tmp_path / "masks.npz", images=masks, labels=LABELS)
    assert "nearly black" in (as_splits(f"npz:{tmp_path / 'masks.npz'}").note or "")
    white = as_splits((masks, LABELS), value_range=(0, 1))
    assert "nearly black" not in (white.note or "")
    assert float(white.train.images[0].max()) == 1
    assert "nearly black" not in (as_splits((GRAY, LABELS)).note or "")


def test_a_list_of_batches_is_told_from_training_and_test_part() -> None:
    batch = (torch.rand(6, 1, 8, 8), torch.arange(6) % 2)
    assert "is taken for training and test part" in (as_splits([batch, batch]).note or "")
    assert "is taken" not in (as_splits((batch, batch)).note or "")
    with pytest.raises(BadRequest, match=r"a list of 3 pairs .* join the batches"):
        as_splits([batch] * 3)


class Named(Dataset[Any]):
    def __init__(self, names: list[Any]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Any:
        return torch.full((1, 8, 8), index / 20), self.names[index]


def test_a_data_set_whose_labels_are_names() -> None:
    made = as_splits((Named(["dog", "cat", "dog"]), Named(["cat", "dog"])))
    assert made.train.class_names == ("cat", "dog")
    assert made.train.labels.tolist() == [1, 0, 1]
    assert made.test is not None and made.test.labels.tolist() == [0, 1]
    with pytest.raises(BadRequest, match="the class 'cow' is none of the training part"):
        as_splits((Named(["dog", "cat"]), Named(["cow"])))
    with pytest.raises(BadRequest, match="item 1 has the label 3; a name, as those before"):
        as_splits(Named(["dog", 3]))
    with pytest.raises(BadRequest, match=r"item 0 has the label 0\.5; a whole number, or a name"):
        as_splits(Named([0.5]))


@pytest.mark.parametrize(
    "listing",
    [
        *(attar.list_methods, attar.list_networks, attar.list_sources),
        *(attar.list_recipes, attar.list_cards, attar.list_tables),
    ],
)
def test_a_pattern_that_is_no_text(listing: Any) -> None:
    with pytest.raises(BadRequest, match="pattern=5: a text is needed"):
        listing(5)


@pytest.mark.parametrize("name", ["license", "source_license", "source", "title", "to", "name"])
def test_what_is_pushed_is_said_in_texts(name: str) -> None:
    given = {"name": "a/b", "license": "mit", "source_license": "mit", name: 5}
    with pytest.raises(BadRequest, match=r"5: a .* is needed"):
        attar.push("set.safetensors", given.pop("name"), **given)


def test_progress_that_is_neither_yes_nor_no() -> None:
    with pytest.raises(BadRequest, match="progress='yes': True, False, or None"):
        attar.condense("digits", progress="yes")  # pyright: ignore[reportArgumentType]


def test_a_teacher_may_be_a_path() -> None:
    assert attar.Request(teacher=Path("a/b.safetensors")).teacher == str(Path("a/b.safetensors"))
    with pytest.raises(BadRequest, match="there is no teacher"):
        attar.condense((GRAY, LABELS), method="rded", teacher=Path("/none.pth"), progress=False)


def test_a_teacher_without_batch_normalization_is_to_be_another_teacher() -> None:
    with pytest.raises(BadRequest, match=r"such as --teacher convnet3:norm=batch"):
        attar.condense(
            (GRAY, LABELS), method="sre2l", teacher="convnet3:width=4", iterations=1, progress=False
        )


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("attar condense folder://srv/share/cats", "attar condense folder:cats"),
        ("'//srv/my share/cats' was read", "'cats' was read"),
        ("see https://example.org/a and //srv/share/b", "see https://example.org/a and b"),
        ("s3://bucket/key, 3 // 4", "s3://bucket/key, 3 // 4"),
    ],
)
def test_shares_of_other_machines_lose_their_folders(text: str, left: str) -> None:
    assert without_folders(text) == left


@pytest.mark.skipif(sys.platform == "win32", reason="a port that nobody listens on times out")
def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as there:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{there.getsockname()[1]}")
        came: list[Any] = []

        def refuse() -> None:
            for _ in range(2):
                one = there.accept()[0]
                came.append(one)
                one.close()

        threading.Thread(target=refuse, daemon=True).start()
        with pytest.raises(BadRequest, match="the Hub cannot be reached"):
            hub.local("hub:ada/cats")
        with pytest.raises(attar.errors.RunFailed, match="does not answer"):
            attar.push("set.safetensors", "ada/cats", license="mit", source_license="mit")
    assert len(came) == 2


def test_how_a_set_is_stored_leaves_out_what_is_not_so(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    asked: dict[str, Any] = {"method": "random", "form": "resized:side=4"}
    made = attar.condense((GRAY, LABELS), ipc=1, output=path, progress=False, **asked)
    assert made.header.stored_as == attar.load(path).header.stored_as == "resized (side 4)"


def test_an_export_is_named_as_other_outputs_are(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    attar.condense((GRAY, LABELS), method="random", ipc=1, output=path, progress=False)
    assert run(["export", str(path), "-o", str(tmp_path / "all.npz")]) == 0
    assert run(["export", str(path), "-o", str(tmp_path / "My Pictures")]) == 0
    assert (tmp_path / "all.npz").is_file()
    assert len(list((tmp_path / "My Pictures").rglob("*.png"))) == 2
    both = ["--npz", str(tmp_path / "b.npz"), "-o", str(tmp_path / "c.npz")]
    assert run(["export", str(path), *both]) == 2
    # a name in capitals is an array file's, too, and no folder's
    assert run(["export", str(path), "-o", str(tmp_path / "d.NPZ")]) == 2
    assert not (tmp_path / "d.NPZ").exists()
