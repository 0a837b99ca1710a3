"""Very many pictures: constants and identity from a sample that says so, exact for fewer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import attar
from attar.artefact.fingerprint import fingerprint
from attar.data import LabelledImages, Preprocessing
from attar.data.glimpse import glimpse, is_glimpsed
from attar.data.identity import digest_of, is_digest_of
from attar.data.statistics import channel_statistics

COUNT = 60


class Counted:
    """Pictures that tell which of them were read."""

    def __init__(self, images: Tensor) -> None:
        self._images, self.read = images, set[int]()
        self.shape, self.dtype, self.device = images.shape, images.dtype, images.device

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        self.read |= set(torch.arange(len(self))[index].tolist())
        return self._images[index]


def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (COUNT, 3, 8, 8), generator=generator).to(torch.uint8)


def data(rows: Any) -> LabelledImages:
    constants = Preprocessing((0.5,) * 3, (0.25,) * 3)
    return LabelledImages(rows, torch.arange(COUNT) % 2, ("a", "b"), constants)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few pictures be very many."""
    for name, value in (("FROM", 40), ("BYTES", 1), ("SIZE", 20)):
        monkeypatch.setattr(f"attar.data.glimpse.{name}", value)


def test_fewer_pictures_and_smaller_ones_are_known_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_glimpsed(images())
    monkeypatch.setattr("attar.data.glimpse.FROM", 40)
    monkeypatch.setattr("attar.data.glimpse.SIZE", 20)
    # they are many, and take next to nothing
    assert not is_glimpsed(images())
    monkeypatch.setattr("attar.data.glimpse.BYTES", 1)
    assert is_glimpsed(images()) and not is_glimpsed(images()[:40])
    assert not is_glimpsed(torch.zeros(COUNT, 5))


@pytest.mark.usefixtures("few")
def test_a_sample_is_read_and_nothing_else_wherever_it_lies() -> None:
    rows = Counted(images())
    constants = channel_statistics(rows)
    said, known = digest_of(data(rows)), fingerprint(data(rows))
    # one sample serves all
    assert len(rows.read) == 20
    assert (
        constants == channel_statistics(images()) == channel_statistics(images()[sorted(rows.read)])
    )
    assert said.startswith("sample-") and said == digest_of(data(images()))
    assert known == fingerprint(data(images()))
    other = images()
    other[min(rows.read)] += 1
    assert digest_of(data(other)) != said and is_digest_of(said, data(images()))
    assert not is_digest_of(said, data(other)) and not is_digest_of(None, data(other))
    # a header may have anything there
    assert not is_digest_of(5, data(other)) and not is_digest_of([said], data(other))
    assert isinstance(glimpse(images()), Tensor)


def test_a_digest_of_all_images_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_of(data(images()))
    for name, value in (("FROM", 40), ("BYTES", 1), ("SIZE", 20)):
        monkeypatch.setattr(f"attar.data.glimpse.{name}", value)
    assert digest_of(data(images())) != before and is_digest_of(before, data(images()))


@pytest.mark.usefixtures("few")
def test_a_folder_says_so_and_gives_the_same_set_from_memory(tmp_path: Path) -> None:
    for number, one in enumerate(images()):
        place = tmp_path / "pictures" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one.permute(1, 2, 0).numpy()).save(place / f"{number}.png")
    made = [
        attar.condense(
            f"folder:{tmp_path / 'pictures'}", method="random", ipc=1, in_memory=wanted,
            test_share=0.1, data_dir=tmp_path / "data",
        )
        for wanted in ("on", "off")
    ]  # fmt: skip
    first, second = made
    assert torch.equal(first.images, second.images)
    assert first.header.parts["digest"] == second.header.parts["digest"]
    assert "digest are of 20 of the 54 pictures, drawn by a key" in str(first.header.parts["note"])
