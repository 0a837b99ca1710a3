"""`attar pictures`, and pictures in `attar report`, as a user types them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import attar
from attar.artefact.snapshots import load_snapshots, snapshots_path
from attar.cli import run
from attar.evaluation.record import read_record
from test_report import Balanced

NETWORK = "convnet2:width=8"
QUICK = ("--repeats", "1", "--epochs", "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a sweep of two, evaluated; one has snapshots; and two others."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, options in (
        ("low", {"rank": 1, "snapshots": 3, "validation": 0.1, "validations": 2}),
        ("high", {"rank": 3}),
        ("pixels", {"method": "dm"}),
    ):
        attar.condense(
            "digits",
            ipc=1,
            per_class=30,
            **{"validation": 0.0, "iterations": 4, "network": NETWORK, "card": "dc-300", **options},
            settings=("batch_real=8",),
            output=folder / f"{name}.safetensors",
        )
    attar.condense("digits", method="random", ipc=1, classes=3, output=folder / "three.safetensors")
    for name in ("low", "high"):
        assert run(["evaluate", str(folder / f"{name}.safetensors"), *QUICK]) == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = Path(shutil.copytree(made, tmp_path / "sets"))
    monkeypatch.chdir(copy)
    return copy


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = run([str(word) for word in words])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def drawn(folder: Path) -> list[str]:
    found = sorted(folder.iterdir())
    for path in found:
        with Image.open(path) as image:
            assert image.format == "PNG" and min(image.size) > 100
            image.verify()
    return [path.name for path in found]


def test_everything_is_drawn_that_needs_no_training(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = said(
        capsys, "pictures", "low.safetensors", "high.safetensors", "-o", "drawn/here"
    )
    assert status == 0 and "not drawn" not in err
    names = drawn(folder / "drawn/here")
    assert names == [
        "accuracy-validation.png",
        "grid-high.png",
        "grid-low.png",
        "iterations-low.png",
        "spectrum.png",
        "sweep-rank.png",
    ]
    assert sorted(out.split()) == [f"drawn/here/{name}" for name in names]


def test_numbers_are_those_of_the_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("pictures", "low.safetensors", "high.safetensors", "-o", "p", "--json")
    status, out, _ = said(capsys, *words, "--kind", "spectrum,accuracy,iterations")
    found = {one["kind"]: one for one in json.loads(out)["pictures"]}
    assert status == 0 and set(found) == {"spectrum", "accuracy", "iterations"}
    spectra = found["spectrum"]["values"]["per_channel"]
    for name, rank in (("low", 1), ("high", 3)):
        (values,) = spectra[name]
        assert len(values) == 8 and min(values[:rank]) > 0.01 and max(values[rank:]) < 1e-4
    assert min(spectra["real images"][0]) > 0
    steps = [one.header.step for one in load_snapshots(folder / "low.snapshots.safetensors")]
    assert found["iterations"]["values"]["steps"] == steps == [0, 2, 4]
    log = [json.loads(text) for text in (folder / "low.log.jsonl").read_text().splitlines()]
    wanted = [(row["step"], row["validation"]) for row in log if "validation" in row]
    line = found["accuracy"]["values"]["lines"]["low"]
    assert [(point["at"], point["mean"]) for point in line] == wanted and len(wanted) == 2


def test_tsne_says_what_it_was_made_with_and_repeats(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("pictures", "low.safetensors", "pixels.safetensors", "--kind", "tsne", "--json")
    words = (*words, "--feature-epochs", "2", "--real-per-class", "5", "--compile", "off")
    status, out, err = said(capsys, *words, "-o", "one")
    assert status == 0 and f"training a {NETWORK} on 300 real images for 2 epochs" in err
    (picture,) = json.loads(out)["pictures"]
    assert f"{NETWORK}, trained on 300 real images for 2 epochs of dc-300" in picture["caption"]
    values = picture["values"]
    assert [len(values[name]["classes"]) for name in ("real images", "low", "pixels")] == [
        50,
        len(attar.load("low.safetensors")),
        10,
    ]
    assert values["pixels"]["classes"] == list(range(10))
    again = json.loads(said(capsys, *words, "-o", "two")[1])["pictures"][0]["values"]
    other = json.loads(said(capsys, *words, "-o", "two", "--seed", "1")[1])["pictures"][0]
    assert again == values != other["values"]
    assert (folder / "one/tsne.png").read_bytes() != (folder / "two/tsne.png").read_bytes()


def test_snapshots_are_evaluated_once_on_demand(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("pictures", "low.safetensors", "--kind", "accuracy", "-o", "p", *QUICK, "--json")
    status, out, err = said(capsys, *words)
    assert status == 0 and err.count("training 1 network") == 3
    by_name = {Path(one["path"]).stem: one for one in json.loads(out)["pictures"]}
    assert set(by_name) == {"accuracy-validation", "accuracy-test"}
    line = by_name["accuracy-test"]["values"]["lines"]["low"]
    (kept,) = read_record(folder / "low.snapshots.evaluation.json").evaluations
    assert [(point["at"], point["mean"]) for point in line] == [
        (step, row.results[0].mean) for step, row in zip((0, 2, 4), kept.rows, strict=True)
    ]
    # the last iterate is that of the last step: what `attar evaluate` says of it
    last = attar.evaluate(
        load_snapshots(snapshots_path(Path("low.safetensors")))[-1],
        "digits",
        per_class=30,
        repeats=1,
        epochs=1,
    )
    assert last[0].results[0].mean == line[-1]["mean"]
    # measured already: drawn without any training, whether asked again or not
    for more in (QUICK, ()):
        status, again, err = said(capsys, *words[:6], *more, "--json")
        assert status == 0 and "training" not in err
        names = {Path(one["path"]).stem: one for one in json.loads(again)["pictures"]}
        assert names["accuracy-test"]["values"] == by_name["accuracy-test"]["values"]
    # two networks are more than were measured
    assert "training 2 networks" in said(capsys, *words, "--repeats", "2")[2]


def test_a_sweep_shows_what_was_evaluated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("low.safetensors", "high.safetensors")
    status, out, _ = said(capsys, "pictures", *words, "-o", "p", "--kind", "sweep", "--json")
    (picture,) = json.loads(out)["pictures"]
    assert status == 0 and picture["path"] == "p/sweep-rank.png"
    ((_, points),) = picture["values"]["lines"].items()
    means = [
        read_record(folder / f"{name}.evaluation.json").evaluations[0].rows[0].results[0].mean
        for name in ("low", "high")
    ]
    assert [(one["at"], one["mean"]) for one in points] == list(zip((1, 3), means, strict=True))
    # and in the report of both, unasked
    assert said(capsys, "report", *words, "-o", "r.html")[0] == 0
    html = Path("r.html").read_text(encoding="utf-8")
    assert "Accuracy over rank of the factors" in html and 'id="pictures"' in html


def test_pictures_stand_in_the_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, _ = said(capsys, "report", "low.safetensors", "-o", "r.html")
    html = Path("r.html").read_text(encoding="utf-8")
    assert status == 0 and "over its iterations" in html and "Singular values" not in html
    Balanced(html)
    words = ("report", "low.safetensors", "pixels.safetensors", "-o", "r.html", "--pictures")
    assert said(capsys, *words, "spectrum,grid")[0] == 0
    html = Path("r.html").read_text(encoding="utf-8")
    assert "Singular values" in html and html.count('class="picture"') == 4
    page = Balanced(html)
    assert all(image["alt"] for image in page.of("img")) and "https://" not in html
    # nothing to be drawn: no section
    assert said(capsys, "report", "pixels.safetensors", "-o", "r.html")[0] == 0
    assert 'id="pictures"' not in Path("r.html").read_text(encoding="utf-8")


BAD: list[tuple[tuple[str, ...], str]] = [
    (("low.safetensors",), "-o is missing"),
    (("-o", "p"), "no artefact is given"),
    (("none.safetensors", "-o", "p"), "none.safetensors: no such file"),
    (("low.safetensors", "low.safetensors", "-o", "p"), "given twice"),
    (("low.safetensors", "-o", "note.txt"), "-o note.txt: that is a file; name a folder"),
    (("low.safetensors", "-o", "note.txt/p"), "not a folder that can be written to"),
    (("low.safetensors", "-o", "p", "--kind", "tsn"), "'tsn' (did you mean 'tsne'?)"),
    (("low.safetensors", "-o", "p", "--kind", ","), "--kind ',': names with commas"),
    (("low.safetensors", "-o", "p", "--per-class-shown", "0"), "--per-class-shown 0: at least 1"),
    (("low.safetensors", "-o", "p", "--feature-epochs", "0"), "--feature-epochs 0: at least 1"),
    (
        ("pixels.safetensors", "-o", "p", "--kind", "grid,iterations"),
        "--kind iterations: no snapshots of pixels.safetensors",
    ),
    (("pixels.safetensors", "-o", "p", "--kind", "accuracy"), "the logs hold no validations"),
    (
        ("pixels.safetensors", "-o", "p", "--kind", "accuracy", "--repeats", "2"),
        "--kind accuracy: no snapshots",
    ),
    (
        ("low.safetensors", "-o", "p", "--kind", "accuracy", "--repeats", "1", "--card", "dc-30"),
        "--kind accuracy: unknown card 'dc-30' (did you mean",
    ),
    (
        ("low.safetensors", "-o", "p", "--repeats", "1", "--kind", "accuracy", "--networks", "x"),
        "--kind accuracy: unknown network 'x'",
    ),
    (("low.safetensors", "-o", "p", "--kind", "grid,sweep"), "two or more evaluated artefacts"),
    (
        ("low.safetensors", "pixels.safetensors", "-o", "p", "--kind", "sweep"),
        "(pixels.safetensors: not evaluated)",
    ),
    (
        ("low.safetensors", "-o", "p", "--kind", "spectrum", "--data", "npz:none.npz"),
        "--kind spectrum",
    ),
    (("low.safetensors", "-o", "p", "--kind", "tsne", "--network", "convnet9"), "convnet"),
    (
        ("low.safetensors", "-o", "p", "--kind", "tsne", "--data", "digits", "--classes", "3"),
        "class",
    ),
    (("low.safetensors", "three.safetensors", "-o", "p", "--kind", "spectrum"), "one by one"),
]


@pytest.mark.parametrize("kind", ["tsn", "sweep"])
def test_a_report_names_its_own_option(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("report", "low.safetensors", "-o", "refused.html", "--pictures", kind)
    status, _, err = said(capsys, *words)
    assert status == 2 and "--pictures" in err and "--kind" not in err
    assert not Path("refused.html").exists()


@pytest.mark.parametrize(("words", "text"), BAD)
def test_what_cannot_be_drawn_is_refused_and_nothing_is_written(
    words: tuple[str, ...], text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "note.txt").write_text("only words")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    status, out, err = said(capsys, "pictures", *words)
    assert status == 2 and text in err and not out, err
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_what_lacks_its_data_is_left_out_unasked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("pictures", "pixels.safetensors", "-o", "p", "--data", "npz:none.npz")
    status, _, err = said(capsys, *words)
    assert status == 0 and drawn(folder / "p") == ["grid-pixels.png"]
    for kind in ("spectrum", "iterations", "accuracy", "sweep"):
        assert f"not drawn: {kind}: " in err


def test_the_network_to_extract_features_may_be_another(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    from attar.pictures import features

    def untrained(network: Any, *rest: Any, **options: Any) -> Any:
        asked.append((network.name, options["epochs"]))
        raise attar.BadRequest("enough")

    monkeypatch.setattr(features, "train_extractor", untrained)
    words = ("pictures", "low.safetensors", "-o", "p", "--kind", "tsne")
    said(capsys, *words, "--network", "convnet1:width=4", "--feature-epochs", "3")
    said(capsys, *words)
    assert asked == [("convnet1:width=4", 3), (NETWORK, 5)]
