import pytest
import torch
from torch import Tensor

from attar.data.images import LabelledImages, check_images, stratified
from attar.data.preprocessing import Preprocessing
from attar.data.statistics import as_floats, channel_statistics
from attar.errors import BadRequest
from attar.rng import Key

COUNTS = (7, 300, 2)


def make(channels: int = 1, height: int = 2, width: int = 3, **options: object) -> LabelledImages:
    """Three classes of unequal size, their labels interleaved; image i holds i % 256."""
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(COUNTS)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    pixels = (torch.arange(len(labels)) % 256).to(torch.uint8).view(-1, 1, 1, 1)
    images = pixels.expand(-1, channels, height, width).contiguous()
    fields: dict[str, object] = {
        "images": images,
        "labels": labels,
        "class_names": ("ant", "bee", "cat"),
        "preprocessing": Preprocessing.none(channels),
        "name": "zoo",
    }
    return LabelledImages(**(fields | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 3])
def test_shape_classes_and_length(channels: int) -> None:
    images = make(channels, height=5, width=4)
    assert (len(images), images.classes, images.shape) == (309, 3, (channels, 5, 4))
    assert images.device == torch.device("cpu")


def test_indices_of_class_are_a_partition() -> None:
    images = make()
    assert tuple(map(len, images.indices_of_class)) == COUNTS
    assert torch.cat(images.indices_of_class).sort().values.tolist() == list(range(309))
    for label, own in enumerate(images.indices_of_class):
        assert set(images.labels[own].tolist()) == {label}


@pytest.mark.parametrize("as_float", [False, True])
def test_take_gives_preprocessed_float32(as_float: bool) -> None:
    images = make(preprocessing=Preprocessing((0.5,), (0.25,)))
    if as_float:
        images = make(images=images.images.double() / 255, preprocessing=images.preprocessing)
    out = images.take(torch.tensor([255, 0]))
    assert (out.dtype, out.shape) == (torch.float32, (2, 1, 2, 3))
    torch.testing.assert_close(out[:, 0, 0, 0], torch.tensor([2.0, -2.0]))


@pytest.mark.parametrize("count", [0, 1, 5, 40, 80, 299])
def test_draw_gives_distinct_indices_of_the_class(count: int) -> None:
    images = make()
    drawn = images.draw(1, count, Key(3))
    assert len(drawn) == count
    assert len(set(drawn.tolist())) == count
    assert set(drawn.tolist()) <= set(images.indices_of_class[1].tolist())


@pytest.mark.parametrize("count", [7, 8, 1000])
def test_draw_gives_all_where_there_are_fewer(count: int) -> None:
    images = make()
    drawn = images.draw(0, count, Key(0))
    assert sorted(drawn.tolist()) == images.indices_of_class[0].tolist()


@pytest.mark.parametrize("count", [3, 100])
def test_draw_depends_on_the_key_only(count: int) -> None:
    images = make()
    first = images.draw(1, count, Key(0).fold("step", 1))
    torch.randperm(10)  # what was drawn elsewhere does not matter
    assert torch.equal(first, images.draw(1, count, Key(0).fold("step", 1)))
    assert not torch.equal(first, images.draw(1, count, Key(0).fold("step", 2)))


def test_draw_is_uniform() -> None:
    images = make()
    hits = torch.zeros(309)
    for step in range(600):
        hits[images.draw(1, 10, Key(0).fold(step))] += 1
    own = hits[images.indices_of_class[1]]
    # 6,000 draws over 300 images: 20 each, deviation 4.4
    assert float(own.min()) > 2
    assert float(own.max()) < 45
    assert float(own.std()) == pytest.approx(4.4, abs=0.8)


def test_split_is_disjoint_and_stratified() -> None:
    images = make()
    train, held = images.split(0.1, Key(0))
    assert [len(own) for own in held.indices_of_class] == [1, 30, 1]
    assert [len(own) for own in train.indices_of_class] == [6, 270, 1]
    assert train.preprocessing is images.preprocessing
    again, _ = images.split(0.1, Key(0))
    assert torch.equal(again.images, train.images)
    assert not torch.equal(images.split(0.1, Key(1))[0].images, train.images)


def test_stratified_covers_everything_once() -> None:
    own = (torch.tensor([0, 2, 4, 6]), torch.tensor([1]), torch.tensor([], dtype=torch.int64))
    kept, held = stratified(own, 0.5, Key(0))
    assert sorted([*kept.tolist(), *held.tolist()]) == [0, 1, 2, 4, 6]
    assert len(held) == 2
    assert 1 in kept.tolist()


def test_split_refuses_what_it_cannot_do() -> None:
    labels = torch.tensor([0, 0, 1])
    images = make(images=torch.zeros(3, 1, 2, 2), labels=labels, class_names=("ant", "bee"))
    with pytest.raises(BadRequest, match="class 'bee' of zoo has one image"):
        images.split(0.5, Key(0))
    for fraction in (0.0, 1.0, -1.0):
        with pytest.raises(BadRequest, match="hold out"):
            images.split(fraction, Key(0))


def test_subset_and_to_keep_the_rest() -> None:
    images = make()
    index = torch.cat([own[:2] for own in images.indices_of_class])
    part = images.subset(index).to("cpu")
    assert len(part) == 6
    assert part.class_names == images.class_names
    assert torch.equal(part.images, images.images[index])


def test_test_sets_may_lack_a_class() -> None:
    labels = torch.tensor([0, 2])
    images = make(images=torch.zeros(2, 1, 2, 2), labels=labels, may_lack_classes=True)
    assert tuple(map(len, images.indices_of_class)) == (1, 0, 1)
    assert images.draw(1, 4, Key(0)).tolist() == []


GOOD = torch.zeros(4, 1, 2, 2)
LABELS = torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("images", "labels", "classes", "words"),
    [
        (torch.zeros(4, 2, 2, dtype=torch.uint8), LABELS, 3, "N×C×H×W"),
        (torch.zeros(4), LABELS, 3, "N×C×H×W"),
        (torch.zeros(0, 1, 2, 2), LABELS[:0], 3, "no pixels"),
        (GOOD, LABELS[:3], 3, "4 images but labels of shape"),
        (GOOD, LABELS.view(4, 1), 3, "one class index per image"),
        (GOOD, torch.zeros(4, dtype=torch.int64), 0, "there is no class"),
        (GOOD.to(torch.int32), LABELS, 3, "uint8"),
        (GOOD, LABELS.float(), 3, "whole class indices"),
        (GOOD, LABELS == 0, 2, "whole class indices"),
        (GOOD, LABELS, 2, "labels run from 0 to 2; with 2 classes"),
        (GOOD, LABELS - 1, 3, "labels run from -1"),
        (GOOD, torch.tensor([3, 7, 3, 7]), 8, r"no images of class 0, 1, 2, 4, 5, … of 0…7"),
        (GOOD / 0, LABELS, 3, "image 0 holds NaN"),
        (GOOD - 0.1, LABELS, 3, "scale them to"),
        (GOOD + 255, LABELS, 3, "run from 255 to 255"),
    ],
)
def test_refusals(images: Tensor, labels: Tensor, classes: int, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        check_images(images, labels, classes, "zoo")
    assert str(caught.value).startswith("zoo: ")


def test_refuses_the_first_bad_image_by_number() -> None:
    images = GOOD.clone()
    images[2, 0, 1, 1] = float("inf")
    with pytest.raises(BadRequest, match="image 2 holds NaN or Inf"):
        check_images(images, LABELS, 3, "zoo")


def test_refuses_preprocessing_of_other_channels() -> None:
    with pytest.raises(BadRequest, match=r"pictures of 3×2×3, but the preprocessing is for 1"):
        make(channels=3, preprocessing=Preprocessing.none(1))


def test_channel_statistics_of_bytes_and_floats() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5000, 3, 4, 3), generator=generator, dtype=torch.uint8)
    images[:, 2] = 51
    pixels = images.double() / 255
    mean, std = channel_statistics(images)
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), rel=1e-6)
    assert std[:2] == pytest.approx(pixels.std((0, 2, 3), correction=0)[:2].tolist(), rel=1e-6)
    assert std[2] == 1e-3
    assert channel_statistics(pixels) == (mean, std)


def test_as_floats_rounds_to_seven_digits() -> None:
    assert as_floats([1 / 3, 2.0]) == (0.3333333, 2.0)


def test_both_parts_of_a_split_are_views_of_one_tensor() -> None:
    images = torch.randint(0, 256, (20, 1, 4, 4), dtype=torch.uint8)
    whole = LabelledImages(images, torch.arange(20) % 2, ("a", "b"), Preprocessing((0.5,), (0.5,)))
    train, held = whole.split(0.2, Key(0))
    assert train.images.untyped_storage().data_ptr() == held.images.untyped_storage().data_ptr()
    assert train.images.untyped_storage().nbytes() == images.numel()
