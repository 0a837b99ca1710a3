"""Trained sets kept as pictures of a codec: planned by real images, coded to fit at the end."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.artefact.snapshots import load_snapshots
from attar.data import Splits
from attar.errors import BadRequest, RunFailed
from attar.storage import Apart, Jpeg, storage_of
from test_coded_storage import colours

LIMIT = 3000
SMALL: dict[str, Any] = {
    "network": "convnet2:width=8",
    "validation": 0,
    "precision": "float32",
    "settings": {"batch_real": 6},
}


def made(output: Path | None = None, **options: Any) -> attar.Artefact:
    asked = {"method": "dm", "storage": "jpeg:quality=60", "max_bytes": LIMIT, "iterations": 3}
    data = Splits(colours(options.pop("each", 20)), None, source="colours")
    return attar.condense(data, output=output, **{**SMALL, **asked, **options})


def test_it_starts_where_the_coded_real_images_end() -> None:
    real = made(method="random", iterations=None, settings=None)
    with warnings.catch_warnings():
        # smooth images overshoot a little where they are shrunk
        warnings.simplefilter("ignore")
        still = made(lr=1e-30, iterations=1)
    assert still.header.images_per_class == real.header.images_per_class > 1
    assert torch.equal(still.images, real.images)
    assert real.nbytes == still.nbytes <= LIMIT


def test_a_lower_quality_makes_it_fit_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.warns(UserWarning) as told:
        one = made(path, lr=100.0, snapshots=2)
    quality = storage_of(one.header.storage)
    assert isinstance(quality, Jpeg) and quality.quality < 60
    said = [str(warning.message) for warning in told]
    assert (
        f"did not fit 3000 bytes as jpeg:quality=60 and were coded as {one.header.storage}"
        in (said[0])
    )
    assert "coding clips what is stored" in said[1] and "--bounded" in said[1]
    assert one.header.notes == said
    found = attar.load(path)
    assert torch.equal(found.images, one.images)
    assert found.nbytes == one.nbytes <= LIMIT and found.totals.limit == LIMIT
    first, last = load_snapshots(path.with_suffix(".snapshots.safetensors"))
    assert (first.header.step, last.header.step) == (0, 3)
    assert torch.equal(last.images, one.images)
    assert attar.describe(path)["card"]["settings"]["storage"] == "jpeg:quality=60"


def test_it_resumes_to_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.warns(UserWarning):
        made(path, lr=100.0, iterations=2)
    with pytest.warns(UserWarning):
        resumed = made(path, lr=100.0, resume=True)
    with pytest.warns(UserWarning):
        straight = made(lr=100.0)
    assert torch.equal(resumed.images, straight.images)


def test_what_fits_in_no_quality_is_refused_with_the_next_step(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    options: dict[str, Any] = {"storage": "png", "max_bytes": 9000, "lr": 30.0}
    with pytest.raises(RunFailed, match="even as png the trained images take") as refused:
        made(path, **options)
    each = str(refused.value).partition("--images-per-class ")[2].split()[0]
    assert "The checkpoint" in str(refused.value) and not path.exists()
    # there is no lower quality of png, and the set starts from real images already
    less = f"again as --storage webp or with --images-per-class {int(each) - 1}."
    assert less in str(refused.value)
    options |= {"max_bytes": None, "synthetic_per_class": int(each), "resume": True}
    with pytest.warns(UserWarning, match="coding clips"):
        kept = made(path, **options)
    assert kept.nbytes > 9000 and kept.header.step == 3


def test_nothing_is_clipped_in_a_bounded_set() -> None:
    for form in (None, "resized:side=8"):
        one = made(lr=100.0, bounded=True, max_bytes=None, synthetic_per_class=3, form=form)
        assert not one.header.notes


class Heard(attar.Callback):
    def __init__(self) -> None:
        self.measured: dict[int, float] = {}

    def validated(self, step: int, accuracy: float) -> None:
        self.measured[step] = accuracy


def test_the_coded_real_images_are_among_the_iterates_that_are_selected() -> None:
    heard = Heard()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = made(
            lr=1e5, validation=0.2, validations=1, iterations=1, storage="jpeg", callback=heard
        )
    assert set(heard.measured) == {0, 1}
    best = max(heard.measured, key=lambda step: (heard.measured[step], -step))
    assert one.header.step == best


def test_noise_is_not_planned_by_real_images() -> None:
    with pytest.raises(BadRequest, match="--init noise: how many images fit as --storage jpeg"):
        made(init="noise")
    with pytest.warns(UserWarning, match="coding clips"):
        free = made(init="noise", max_bytes=None, synthetic_per_class=2)
    assert free.header.images_per_class == 2


def test_labels_keep_their_bits_where_the_quality_is_lowered() -> None:
    coarser = Apart(Jpeg(3), storage_of("int4")).coarser()
    assert coarser == [Apart(Jpeg(2), storage_of("int4")), Apart(Jpeg(1), storage_of("int4"))]


def test_a_coded_set_is_slimmed(tmp_path: Path) -> None:
    one = made(method="random", iterations=None, settings=None, max_bytes=None,
               storage="jpeg:quality=95", synthetic_per_class=40, each=50)  # fmt: skip
    assert one.nbytes > 3 * 3 * 16 * 16 * 4
    small = attar.slim(one, 1, random=True)
    assert isinstance(small, attar.Artefact)
    assert 1 < small.header.images_per_class < 40
    assert small.header.storage == "jpeg:quality=95" and small.nbytes <= 3 * 3072
    plain = attar.slim(one, 1, random=True, storage="float32")
    assert isinstance(plain, attar.Artefact) and plain.header.images_per_class == 1
    with pytest.raises(BadRequest, match="--storage jpeg: sets in the form 'ordered_svd'"):
        attar.slim(one, 1, learning_free=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learnt = attar.slim(one, 1, method="dm", iterations=1, network="convnet2:width=8")
    assert isinstance(learnt, attar.Artefact)
    assert learnt.nbytes <= 3 * 3072 and learnt.header.images_per_class > 1
