"""The baseline of real images in a picture codec: as many as fit, chosen on held-out images."""

from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.data import LabelledImages, Preprocessing, Splits
from attar.errors import BadRequest
from attar.evaluation.coded import coded_set
from attar.networks import make
from attar.training import card

NETWORK = "convnet2:width=8"


def data(each: int = 40, seed: int = 0) -> LabelledImages:
    """Return images of 16×16, three classes of bright bars with noise, with much in common."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(3).repeat_interleave(each)
    pixels = torch.randint(0, 60, (3 * each, 1, 16, 16), generator=generator, dtype=torch.uint8)
    for label in range(3):
        pixels[labels == label, :, 5 * label : 5 * label + 4] += 150
    return LabelledImages(pixels, labels, ("a", "b", "c"), Preprocessing((0.3,), (0.3,)), "bars")


def chosen(size: int, train: LabelledImages | None = None) -> Any:
    train = train or data()
    channels, height, width = train.shape
    network = make(NETWORK, channels, (height, width), train.classes)
    return coded_set(train, size, card("dsa-1000"), network, 0)


def test_many_more_images_fit_than_in_float32_and_the_bytes_hold() -> None:
    found = chosen(3 * 1024)
    assert found.paper_bytes is not None and found.paper_bytes <= 3 * 1024
    assert found.images_per_class is not None and found.images_per_class > 3
    assert len(found.images) == 3 * found.images_per_class
    assert "chosen among" in found.note and "on 12 held-out training images" in found.note
    again = chosen(3 * 1024)
    assert again.note == found.note and torch.equal(again.images, found.images)


def test_a_size_below_one_coded_image_of_each_class_is_refused() -> None:
    with pytest.raises(BadRequest, match="--baselines coded: 40 bytes hold no coded image"):
        chosen(40)


def test_rows_that_no_codec_keeps_are_refused() -> None:
    pixels = torch.zeros(6, 4, 8, 8, dtype=torch.uint8)
    labels = torch.arange(2).repeat_interleave(3)
    bands = LabelledImages(pixels, labels, ("a", "b"), Preprocessing.none(4), "bands")
    with pytest.raises(BadRequest, match="keep images of 1 channel or 3, and the rows here are"):
        chosen(1000, bands)


def test_the_row_stands_beside_the_others_in_one_count(tmp_path: Path) -> None:
    train, test = data(), data(10, 1)
    made = attar.condense(
        Splits(train, None, source="bars"), method="random", ipc=1, network=NETWORK, validation=0
    )
    own, random, coded, whole = attar.evaluate(
        made, (train, test), baselines="random,coded,whole", repeats=1, updates=2,
        data_dir=tmp_path,
    )  # fmt: skip
    assert [row.kind for row in (own, random, coded, whole)] == [
        "condensed", "random", "coreset", "whole",
    ]  # fmt: skip
    assert coded.name == "coded real images"
    assert own.bytes == random.bytes == 3 * 1024
    assert coded.bytes is not None and 0 < coded.bytes <= 3 * 1024
    # four bytes a value, as of the random images
    assert whole.bytes == 120 * 256 * 4


def test_an_unknown_baseline_names_it_among_those_there_are() -> None:
    with pytest.raises(BadRequest, match="did you mean 'coded'"):
        attar.evaluate(
            attar.condense(data(), method="random", ipc=1, network=NETWORK), baselines="code"
        )


def test_the_method_makes_the_set_of_the_baseline(tmp_path: Path) -> None:
    path, train = tmp_path / "a.safetensors", data()
    splits = Splits(train, None, source="bars")
    asked: dict[str, Any] = {"method": "coded", "network": NETWORK, "max_bytes": 1500}
    made = attar.condense(splits, output=path, **asked)
    assert made.nbytes <= 1500 and made.header.method == "coded"
    assert made.header.storage != "float32" and "chosen among" in made.header.notes[0]
    assert torch.equal(attar.load(path).images, made.images)
    again = attar.condense(splits, output=path, resume=True, **asked)
    assert torch.equal(again.images, made.images)
    # the command that makes it again names what was chosen, and needs no choice
    told = {"form": "pixels", "storage": made.header.storage}
    if made.header.parametrization["name"] != "pixels":
        told["form"] = f"resized:side={made.header.parametrization['side']}"
    assert all(one in str(made.header.provenance["command"]) for one in told.values())
    assert torch.equal(attar.condense(splits, **asked, **told).images, made.images)


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"synthetic_per_class": 2}, "give --ipc or --bytes in place of --images-per-class"),
        ({"ipc": 1, "storage": "jpeg"}, "leave both out, or give both"),
        ({"max_bytes": 40}, "--method coded: .* choices can be made; .* a budget of 40 bytes"),
        ({"ipc": 1, "lr": 1.0}, "never updates them"),
    ],
)
def test_what_the_method_cannot_do_is_refused(options: dict[str, Any], refusal: str) -> None:
    with pytest.raises(BadRequest, match=refusal):
        attar.condense(data(), method="coded", network=NETWORK, **options)


@pytest.mark.parametrize(
    ("own", "coded", "told"),
    [
        ((60.0, 0.5, 3), (54.5, 0.4, 3), "at the same bytes: condensing beats them by 5.5 points."),
        ((50.0, 0.5, 3), (54.5, 0.4, 3), "4.5 points more: here the codec is the better choice."),
        ((54.0, 0.7, 3), (54.5, 0.4, 3), "gains nothing sure over them"),
        ((54.0, 0.7, 3), None, ""),
    ],
)
def test_the_headline_says_which_is_better(own: Any, coded: Any, told: str, tmp_path: Path) -> None:
    from attar.report.comparison import NO_BREAK, Row
    from attar.report.single import write_report

    made = attar.condense(data(), method="random", ipc=1, network=NETWORK, validation=0)
    rows = [Row("condensed", "1", 1024, 1024, {"convnet3": own}, kind="condensed")]
    if coded is not None:
        row = Row("coded real images", "5", 1000, 1000, {"convnet3": coded}, kind="coreset")
        rows.append(row)
    write_report(tmp_path / "a.html", made, rows=rows, log=[])
    text = (tmp_path / "a.html").read_text().replace(NO_BREAK, " ")
    lead = text.partition("<table")[0]
    assert told in lead if told else "picture codec" not in lead
