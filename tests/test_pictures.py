"""What pictures are made of: places of images, spectra, features, curves, sweeps."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

import attar.report
from attar.artefact.artefact import Artefact
from attar.compute import Functional
from attar.errors import BadRequest
from attar.evaluation import Result
from attar.evaluation.record import Evaluation
from attar.evaluation.rows import Row
from attar.networks import build
from attar.pictures import Options, check_kinds, figures
from attar.pictures.curves import Curve, course, sweep
from attar.pictures.features import embed, train_extractor
from attar.pictures.images import grid, iterations, slug
from attar.pictures.mosaic import GAP, GROUP_GAP, mosaic
from attar.pictures.picture import Picture
from attar.pictures.settings import accuracies, sweeps
from attar.pictures.spectrum import singular_values, spectrum
from attar.pictures.style import class_colours, drawing, line, palette
from attar.pictures.subjects import sample
from attar.pictures.tsne import Cloud, tsne
from attar.report import Entry
from attar.rng import Key
from catalogue import COMPUTE, tiny_data
from references.spectrum import mean_diagonal
from test_report import Balanced, make

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def opened(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    image.verify()
    assert image.format == "PNG"
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def painted(colours: list[tuple[int, int, int]], per_class: int, **options: Any) -> Artefact:
    """Return a set whose images have one colour each."""
    names = options.pop("names", tuple(f"class {n}" for n in range(len(colours) // per_class)))
    artefact = make(names, options.pop("shape", (3, 6, 4)), per_class, **options)
    pixels = torch.tensor(colours).float().div(255).view(-1, 3, 1, 1).expand(-1, 3, *SHAPE)
    artefact.synthetic.images.fit(artefact.preprocessing.apply(pixels))
    return artefact


SHAPE = (6, 4)


# images in rows


def test_images_lie_exactly_where_the_frame_says() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.integers(0, 256, (3, 2, 5, 7, 3), dtype=np.uint8) for _ in range(2)]
    png, frame = mosaic(groups, title="T", note="n", rows=["a", "bb", "ccc"], heads=["0", "9"])
    shown = opened(png)
    assert frame.scale == round(48 / 7)
    for group, row, column in np.ndindex(2, 3, 2):
        x, y = frame.corner(group, row, column)
        found = shown[y : y + frame.height, x : x + frame.width]
        wanted = np.kron(groups[group][row, column], np.ones((frame.scale, frame.scale, 1)))
        assert np.array_equal(found, wanted.astype(np.uint8))
    # distances between neighbours, and a border of paper around every image
    (x, y), (right, _), (_, below) = (frame.corner(0, *at) for at in ((0, 0), (0, 1), (1, 0)))
    assert (right - x, below - y) == (frame.width + GAP, frame.height + GAP)
    assert frame.corner(1, 0, 0)[0] - (right + frame.width) == GROUP_GAP
    paper = [int(palette()["paper"][at : at + 2], 16) for at in (1, 3, 5)]
    assert (shown[:, -1] == paper).all() and (shown[y, right - 1] == paper).all()


def test_a_red_image_lands_in_the_row_of_its_class() -> None:
    artefact = painted([GREEN, BLUE, GREEN, RED, BLUE, GREEN], per_class=2)
    picture = grid("painted", artefact)
    shown = opened(picture.png)
    rows, columns = np.where((shown == RED).all(axis=-1))
    scale = picture.values["scale"]
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (6 * scale, 4 * scale)
    assert len(rows) == 6 * 4 * scale**2
    # below the first class, above the last, right of the images of its class
    greens, blues = (np.where((shown == colour).all(axis=-1)) for colour in (GREEN, BLUE))
    assert greens[0].min() < rows.min() == greens[0].min() + 6 * scale + GAP < blues[0].max()
    assert columns.min() == blues[1].max() + 1 - 4 * scale == greens[1].min() + 4 * scale + GAP
    assert "Every image of each class" in picture.caption and picture.name == "grid-painted"


def test_so_many_images_are_shown_as_asked_for() -> None:
    artefact = painted([RED, GREEN, BLUE] * 2, per_class=3)
    picture = grid("painted", artefact, shown=2)
    shown = opened(picture.png)
    assert (shown == GREEN).all(axis=-1).any() and not (shown == BLUE).all(axis=-1).any()
    assert "The first 2 of 3 images of each class" in picture.caption
    assert grid("painted", artefact, shown=50).values["per_class"] == 3
    one = grid("painted", artefact, most=1)
    assert one.values["classes"] == 1 and "the first of 2 classes" in one.caption


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_is_shown(channels: int) -> None:
    picture = grid("set", make(shape=(channels, 6, 4)))
    shown = opened(picture.png)
    assert min(shown.shape[:2]) > 50
    said = {2: "the mean of 2 channels", 5: "the first three of 5 channels"}.get(channels, "")
    assert said in picture.caption


def test_many_classes_and_odd_names_fit() -> None:
    names = tuple(f"class {n} $x_{n}$ 日本 with a name that does not end" for n in range(60))
    picture = grid("set $1$", make(names, (1, 300, 8), 2))
    assert max(opened(picture.png).shape) < 16200
    assert f"the first {picture.values['classes']} of 60 classes" in picture.caption
    assert opened(grid("wide", make(("a", "b"), (1, 8, 300), 4)).png).shape[1] > 1200


def test_images_stand_in_the_column_of_their_iteration() -> None:
    first, later, last = (
        painted([colour, GREEN], 1, step=step) for colour, step in ((RED, 0), (BLUE, 5), (RED, 90))
    )
    picture = iterations("run", last, [first, later, last])
    shown = opened(picture.png)
    reds, blues = (np.unique(np.where((shown == c).all(axis=-1))[1]) for c in (RED, BLUE))
    width = 4 * picture.values["scale"]
    assert len(reds) == 2 * width and len(blues) == width
    assert reds.min() + width + GROUP_GAP == blues.min() == reds.max() + 1 - 2 * width - GROUP_GAP
    assert picture.values["steps"] == [0, 5, 90] and "0, 5, 90" in picture.caption
    many = iterations("run", last, [painted([RED, GREEN], 1, step=n) for n in range(40)])
    assert many.values["steps"][0] == 0 and many.values["steps"][-1] == 39
    assert len(many.values["steps"]) == 12 and "12 of 40 snapshots" in many.caption


def test_names_become_file_names() -> None:
    assert (
        slug("runs/a b$.x") == "runs-a-b-.x" and slug("../..") == "set" and slug("日本") == "日本"
    )
    longs = [slug("日" * 300 + end) for end in "ab"]
    assert len(set(longs)) == 2 and all(len(long.encode()) < 170 for long in longs)


# spectra


@pytest.mark.parametrize("shape", [(5, 3, 6, 4), (2, 1, 4, 9), (1, 2, 5, 5)])
def test_spectrum_equals_the_reference(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(1).normal(size=shape)
    found = singular_values(torch.from_numpy(images))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, mean_diagonal(images), rtol=1e-9, atol=1e-9)


def test_more_images_than_one_call_takes_give_the_same() -> None:
    images = np.random.default_rng(2).normal(size=(600, 1, 3, 4)).astype(np.float32)
    wanted = mean_diagonal(images)
    np.testing.assert_allclose(singular_values(torch.from_numpy(images)), wanted, rtol=1e-6)


def test_images_of_rank_two_have_two_singular_values() -> None:
    artefact = make(shape=(3, 8, 8), rank=2, per_class=4)
    values = singular_values(artefact.images)
    assert (values[:, :2] > 0.1).all() and (values[:, 2:] < 1e-5).all()
    # a diagonal by hand: 3, 2, 1 and nothing else
    diagonal = torch.diag(torch.tensor([1.0, 3.0, 2.0, 0.0])).view(1, 1, 4, 4)
    np.testing.assert_allclose(singular_values(diagonal), [[3, 2, 1, 0]], atol=1e-12)


def test_spectrum_is_drawn_with_every_name() -> None:
    real = {"real images": np.linspace(9, 0.1, 8).reshape(1, 8).repeat(3, axis=0)}
    sets = {f"set {n}": np.linspace(5 + n, 0, 8).reshape(1, 8) for n in range(9)}
    picture = spectrum(real, sets, "Note.")
    assert opened(picture.png).shape[1] > 1000 and "Note." in picture.caption
    assert picture.values["per_channel"]["set 3"] == sets["set 3"].tolist()
    # nothing at all can be drawn, too
    assert opened(spectrum({}, {"black": np.zeros((1, 4))}, "").png).size


# features


def blobs(count: int, seed: int, apart: float = 8.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(2, count, 5)) + apart * np.arange(2).reshape(2, 1, 1)).reshape(-1, 5)


def test_tsne_repeats_by_its_key_and_keeps_clusters_apart() -> None:
    parts = [blobs(20, 0), blobs(6, 1)]
    one, again = (embed(parts, Key(3)) for _ in range(2))
    assert [part.shape for part in one] == [(40, 2), (12, 2)]
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    # synthetic images lie by the real ones of their class
    real, made = one[0].reshape(2, 20, 2), one[1].reshape(2, 6, 2)
    for label in range(2):
        to = np.linalg.norm(made[label].mean(axis=0) - real.mean(axis=1), axis=-1)
        assert to.argmin() == label and to[label] < 0.5 * to[1 - label]


def test_tsne_needs_some_images() -> None:
    assert embed([blobs(2, 0)], Key(0))[0].shape == (4, 2)
    with pytest.raises(BadRequest, match="t-SNE of 2 images: four or more"):
        embed([blobs(1, 0)], Key(0))


def test_features_are_those_of_a_network_trained_on_real_images() -> None:
    data = tiny_data(counts=(40, 40), seed=5)
    network = build("convnet2:width=8", 1, (8, 8), 2)
    made = [
        train_extractor(network, data, data, COMPUTE, epochs=30, dataset="tiny", key=Key(seed))
        for seed in (0, 0, 1)
    ]
    first, again, other = (one.features(data.take(torch.arange(70))) for one in made)
    assert first.shape[0] == 70 and np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # brighter classes are told apart, and the last layer makes the scores of these features
    assert made[0].accuracy > 80
    assert "80 real images for 30 epochs of dc-300" in made[0].described()
    module = network.draw(Key(0))
    scores = Functional(module.eval(), "forward", COMPUTE)
    weight, bias = (
        next(t for name, t in made[0].tensors.items() if name.endswith(f"classifier.{what}"))
        for what in ("weight", "bias")
    )
    taken = data.take(torch.arange(32))
    wanted = scores(scores.arranged(made[0].tensors), taken)
    by_hand = torch.from_numpy(first[:32]) @ weight.T + bias
    assert torch.allclose(wanted, by_hand, atol=1e-4)
    with pytest.raises(BadRequest, match="--feature-epochs 0"):
        train_extractor(network, data, data, COMPUTE, epochs=0, dataset="tiny", key=Key(0))


def test_the_sample_has_so_many_of_each_class() -> None:
    data = tiny_data(counts=(9, 14, 3))
    index = sample(data, 5, Key(1))
    assert data.labels[index].tolist() == [0] * 5 + [1] * 5 + [2] * 3
    assert torch.equal(index, sample(data, 5, Key(1)))
    assert not torch.equal(index, sample(data, 5, Key(2)))


@pytest.mark.parametrize("classes", [2, 13, 40])
def test_tsne_is_drawn_for_any_number_of_classes(classes: int) -> None:
    rng = np.random.default_rng(0)

    def cloud(name: str, count: int) -> Cloud:
        return Cloud(name, rng.normal(size=(count, 2)), np.arange(count) % classes)

    names = [f"class {n}" for n in range(classes)]
    picture = tsne(cloud("real", 60), [cloud(f"set {n}", 20) for n in range(4)], names, "Why.")
    assert min(opened(picture.png).shape[:2]) > 500 and "Why." in picture.caption
    assert len(picture.values["set 2"]["places"]) == 20
    assert opened(tsne(cloud("real", 60), [], names, "").png).size


# curves


def entry(name: str, *figures: float, rank: int | None = 2, lr: float = 1.0, **options: Any) -> Any:
    """Return an artefact of a run, evaluated where accuracies are given."""
    optimisers = {"images": {"lr": lr, "momentum": 0.5, "kind": "sgd"}}
    settings = {"iterations": options.pop("iterations", 100), "optimisers": optimisers}
    asked = options.pop("asked", {"ipc": 1, "bytes": None, "images_per_class": None})
    card, network = options.pop("card", "dsa-1000"), options.pop("network", "convnet3")
    artefact = make(
        shape=(1, 8, 8),
        rank=rank,
        settings=settings,
        budget={**asked, "count": "paper", "limit": None},
        step=100,
        provenance={"source": "pets"},
        **{"method": "lodm", **options},
    )
    row = Row("it", 1, 1, 1, (Result(network, card, figures, 1.0),)) if figures else None
    found = (Evaluation(card, "pets", (row,)),) if row else ()
    return Entry(name, artefact, found, (), "" if figures else "not evaluated")


def test_sweep_points_are_those_of_the_records() -> None:
    entries = [
        entry("a", 40.0, 42.0, rank=1),
        entry("b", 50.0, 51.0, rank=2),
        entry("c", 52.0, rank=2, seed=1),
        entry("d", 47.0, rank=8),
        entry("pixels", 30.0, 34.0, rank=None, method="dm"),
        entry("silent", rank=4),
    ]
    ((key, curves),) = sweeps(entries).items()
    assert key[0].name == "rank" and key[1].card == "dsa-1000"
    low, level = curves
    # two seeds of one setting are one point of all their networks
    assert dict(low.points) == {1: [40.0, 42.0], 2: [50.0, 51.0, 52.0], 8: [47.0]}
    assert low.figures()[1] == (2, 51.0, pytest.approx((2 / 3) ** 0.5))
    assert level.name.startswith("dm") and not level.points and level.level == [30.0, 34.0]
    picture = sweep(curves, name="sweep-rank", setting=key[0].words, caption="How.")
    assert picture.values["lines"][low.name][0] == {"at": 1, "mean": 41.0, "std": 1.0}
    assert picture.values["lines"][level.name] == {"level": {"mean": 32.0, "std": 2.0}}
    assert opened(picture.png).size


def test_what_differs_in_more_than_the_setting_is_another_line() -> None:
    same_images = {"ipc": None, "bytes": None, "images_per_class": 10}
    entries = [
        *(entry(f"m{n}", 40.0 + n, rank=n) for n in (1, 2, 4)),
        *(entry(f"i{n}", 30.0 + n, rank=n, asked=same_images) for n in (1, 2, 4)),
    ]
    ((_, curves),) = sweeps(entries).items()
    assert [curve.name for curve in curves] == [
        "lodm, memory of 1 per class",
        "lodm, 10 images per class",
    ]
    assert [sorted(curve.points) for curve in curves] == [[1, 2, 4]] * 2


def test_every_setting_that_varies_alone_is_swept() -> None:
    entries = [
        entry("a", 40.0, lr=0.1),
        entry("b", 45.0, lr=5.0),
        entry("c", 47.0, lr=5.0, iterations=900),
    ]
    found = sweeps(entries)
    assert [setting.name for setting, _ in found] == ["lr", "iterations"]
    assert [sorted(curve.points) for curve in found[next(iter(found))]] == [[0.1, 5.0], [5.0]]
    # two settings at once say nothing of either, nor do two ways of measuring
    assert not sweeps([entry("a", 40.0, lr=0.1), entry("b", 45.0, rank=3)])
    assert not sweeps([entry("a", 40.0, lr=0.1), entry("b", 45.0, lr=5.0, card="dc-300")])
    assert not sweeps([entry("a", 40.0, lr=0.1), entry("b", lr=5.0)])
    assert set(accuracies(entries[0]).values()) == {(40.0,)}


def test_courses_are_drawn() -> None:
    curves = [
        Curve(f"run {n}", {at: [40.0 + n + at / 100] for at in range(0, 900, 100)})
        for n in range(9)
    ]
    picture = course(curves, name="accuracy-validation", measured="images", caption="C.")
    assert opened(picture.png).size and picture.name == "accuracy-validation"
    assert picture.values["lines"]["run 1"][2] == {"at": 200, "mean": 43.0, "std": 0.0}
    assert opened(course([Curve("one", {5: [1.0]})], name="n", measured="m", caption="").png).size


@pytest.mark.parametrize("kind", ["grid", "iterations", "spectrum", "tsne", "course", "sweep"])
@pytest.mark.parametrize("letters", ["a", "a b ", "日本"])
def test_very_long_names_are_drawn_shortened_and_told_whole(
    kind: str, letters: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, draw = set(), Text.draw

    def drawing_it(self: Text, renderer: Any) -> None:
        drawn.add(self.get_text())
        draw(self, renderer)

    monkeypatch.setattr(Text, "draw", drawing_it)
    long = (letters * 5000)[:5000] + "-end"
    made = make((f"{long}1", f"{long}2"), (1, 4, 4), 2, provenance={"dataset": long})
    line = Curve(long, {0: [1.0], 9: [2.0]})
    cloud = Cloud(long, np.random.default_rng(0).normal(size=(8, 2)), np.arange(8) % 2)
    picture = {
        "grid": lambda: grid(long, made),
        "iterations": lambda: iterations(long, made, [made, made]),
        "spectrum": lambda: spectrum({long: np.ones((1, 4))}, {"a": np.ones((1, 4))}, long),
        "tsne": lambda: tsne(cloud, [], [f"{long}1", f"{long}2"], long),
        "course": lambda: course([line], name="n", measured="images", caption=long),
        "sweep": lambda: sweep([line], name="n", setting="rank", caption=long),
    }[kind]()
    # a note is the longest, in lines of their own
    assert max(len(text.replace("\n", "")) for text in drawn) <= 700
    assert any("…" in text and "-end" in text for text in drawn)
    assert long in picture.caption and len(picture.name.encode()) < 200
    assert max(opened(picture.png).shape) < 2500


# the house's style


def test_colours_and_lines_are_those_of_the_report() -> None:
    css = Path(str(attar.report.__file__)).with_name("style.css").read_text(encoding="utf-8")
    root = css[: css.index("}")]
    assert palette()["rose"] in root and re.fullmatch(r"#[0-9a-f]{6}", palette()["paper"])
    assert (
        ".line-0, .line-4 { --line: var(--rose); }" in css and line(4)["color"] == line(0)["color"]
    )
    assert ".line-1, .line-5 { --line: var(--teal); }" in css
    assert line(1)["color"] == palette()["teal"] and line(1)["linestyle"] == (0, (7 / 1.5, 4 / 1.5))
    assert line(0)["linestyle"] == "-" and line(8) == line(0)
    drawn = [(one["color"], str(one["linestyle"]), one["marker"]) for one in map(line, range(8))]
    assert len(set(drawn)) == 8


@pytest.mark.parametrize("count", [1, 2, 10, 11, 20, 21, 100, 200])
def test_classes_have_colours_of_their_own(count: int) -> None:
    colours = class_colours(count)
    assert len(set(colours)) == len(colours) == count
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in colours)


def test_the_settings_of_the_user_are_left_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    with drawing():
        assert matplotlib.rcParams["axes.facecolor"] == palette()["paper"]
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"axes.grid": False, "lines.linewidth": 30}):
        plain = course([Curve("a", {1: [2.0], 3: [4.0]})], name="n", measured="m", caption="")
    again = course([Curve("a", {1: [2.0], 3: [4.0]})], name="n", measured="m", caption="")
    # the same bytes, whenever they are drawn
    assert plain.png == again.png


def test_pictures_stand_in_a_page_with_words_for_those_who_do_not_see_them() -> None:
    html = figures([Picture("grid", "a", "A <b> title", "A <b> title: and “more”", b"png")])
    (image,) = Balanced(html).of("img")
    assert image["alt"] == "A <b> title: and “more”" and "<b>" not in html
    assert "And “more”" in html


def test_kinds_and_numbers_are_checked() -> None:
    assert check_kinds(["tsne", "grid", "tsne"]) == ["tsne", "grid"]
    with pytest.raises(BadRequest, match=r"unknown kind of picture .*'spectrm' \(did you mean"):
        check_kinds(["spectrm"])
    for name, said in (("shown", "per-class-shown"), ("repeats", "repeats"), ("epochs", "epochs")):
        with pytest.raises(BadRequest, match=f"--{said} 0: at least 1"):
            Options(**{name: 0})
