"""The command line, as a user types it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import attar
from attar.cli import run
from attar.cli.benching import Bench
from attar.cli.commands import parse
from attar.cli.condensing import Condense

QUICK = ("--iterations", "3", "--validation", "0", "--network", "convnet2:width=8")


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "digits.safetensors"
    attar.condense(
        "digits", ipc=1, iterations=3, validation=0.0, network="convnet2:width=8", output=path
    )
    return path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = run(list(words))
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_condense_writes_an_artefact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "set.safetensors"
    status, out, err = said(capsys, "condense", "digits", "--ipc", "1", *QUICK, "-o", str(path))
    assert status == 0
    assert "2 per class of 1×8×8" in out
    assert "2 images per class, 640 values, 2560 B (paper), 2560 B (all)" in err
    assert "estimate:" in err
    assert len(attar.load(path)) == 20
    assert not list(tmp_path.glob(".*"))


def test_condense_json_is_one_object_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "set.safetensors"
    words = ("condense", "digits", "--ipc", "1", *QUICK, "-o", str(path), "--json")
    status, out, _ = said(capsys, *words)
    found = json.loads(out)
    assert status == 0 and found["path"] == str(path)
    assert found["sizes"]["paper_bytes"] == found["sizes"]["limit_bytes"] == 2560


def test_the_recorded_command_makes_the_same_set(artefact: Path, tmp_path: Path) -> None:
    import shlex

    command = attar.load(artefact).header.provenance["command"]
    program, *words = shlex.split(command)
    words[words.index("-o") + 1] = str(tmp_path / "digits.safetensors")
    assert program == "attar" and run(words) == 0
    assert (tmp_path / "digits.safetensors").read_bytes() == artefact.read_bytes()


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("condense", "digits", "--ipc", "1"), 2, "-o is missing"),
        (("condense", "digits", "--iterations", "-1", "-o", "x.safetensors"), 2, "--iterations -1"),
        (("condense", "digits", "--minutes", "0", "-o", "x.safetensors"), 2, "--minutes 0"),
        (("condense", "digits", "--method", "lodmm", "-o", "x.safetensors"), 2, "'lodm'"),
        (("condense", "digits", "--rank", "9", "-o", "x.safetensors"), 2, "ranks 1 to 8"),
        (("condense", "digits", "-o", "x.pt"), 2, "must end in .safetensors"),
        (("condense", "digit", "-o", "x.safetensors"), 2, "digits"),
        (("condense", "folder:nowhere", "-o", "x.safetensors"), 2, "nowhere"),
        (("condense", "digits", "--network", "convnet9", "-o", "x.safetensors"), 2, "convnet3"),
        (("show", "nothing.safetensors"), 2, "no such file"),
        (("evaluate", "nothing.safetensors"), 2, "no such file"),
        (("export", "nothing.safetensors"), 2, "--tiff DIR and --npz FILE"),
        (("export", "nothing.safetensors", "-o", __file__), 2, f"-o {__file__}: that is a"),
    ],
)
def test_bad_requests_end_with_status_2_and_write_nothing(
    words: tuple[str, ...],
    status: int,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = said(capsys, *words)
    # the last line; an earlier one says what was about to be done
    assert found == status and text in err and not out
    assert err.splitlines()[-1].startswith("attar: ")
    assert not list(tmp_path.iterdir())


def test_an_unknown_option_ends_with_status_2_and_a_near_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["condense", "digits", "--iteration", "3"])
    assert ended.value.code == 2
    assert "--iterations" in capsys.readouterr().err


def test_a_failed_run_ends_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("condense", "digits", "--ipc", "1", *QUICK, "--lr", "1e38")
    status, _, err = said(capsys, *words, "-o", str(tmp_path / "x.safetensors"))
    assert status == 1 and "diverged at step" in err and "--lr" in err


@pytest.mark.parametrize(
    "command",
    ["condense", "slim", "relabel", "evaluate", "merge", "import", "report", "bench", "pictures"],
)
def test_help_names_no_empty_default(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run([command, "--help"])
    assert "(default: )" not in " ".join(capsys.readouterr().out.split())


def test_show_prints_the_card(artefact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "show", str(artefact))
    assert "low rank (rank" in out and "name low_rank" not in out
    assert status == 0
    for part in ("lodm", "2560 (paper), 2560 (all); 0 B of 2560 B unused", "attar condense"):
        assert part in out
    status, out, _ = said(capsys, "show", str(artefact), "--json")
    assert json.loads(out)["card"]["method"] == "lodm"


def test_export_png_can_be_read_as_a_folder(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    assert said(capsys, "export", str(artefact), "--png", str(folder))[0] == 0
    loaded = attar.load(artefact)
    wanted = loaded.pixels.mul(255).round().byte()
    picture = np.asarray(Image.open(folder / "3" / "1.png"))
    assert (picture == wanted[3 * 2 + 1, 0].numpy()).all()
    splits = attar.load_source(f"folder:{folder}")
    assert splits.train.classes == 10 and splits.train.shape == (1, 8, 8)
    status, _, err = said(capsys, "export", str(artefact), "--png", str(folder))
    assert status == 2 and "--overwrite replaces it" in err
    # whole, and without what was there before
    stray = folder / "3" / "77.png"
    stray.write_bytes(b"")
    assert said(capsys, "export", str(artefact), "--png", str(folder), "--overwrite")[0] == 0
    assert not stray.exists() and len(list(folder.rglob("*.png"))) == len(loaded)
    assert list(tmp_path.iterdir()) == [folder]
    # what is no export is replaced by nobody
    (folder / "notes.txt").write_text("mine")
    status, _, err = said(capsys, "export", str(artefact), "--png", str(folder), "--overwrite")
    assert status == 2 and "no export; name a new folder" in err
    assert (folder / "notes.txt").exists()


def test_an_export_whose_replacement_was_killed_is_brought_back(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "images"
    words = ("export", str(artefact), "--png", str(folder))
    assert said(capsys, *words)[0] == 0
    # as a process leaves it that ends between its two renames
    old = folder.rename(tmp_path / ".images.abcd1234.old")
    status, _, err = said(capsys, *words)
    assert status == 2 and "an export is already there, brought back" in err
    assert len(list(folder.rglob("*.png"))) == 20 and not old.exists()
    folder.rename(old)
    assert said(capsys, *words, "--overwrite")[0] == 0
    assert list(tmp_path.iterdir()) == [folder]
    # what is no export is left alone
    old.mkdir()
    (old / "notes.txt").write_text("mine")
    shutil.rmtree(folder)
    assert said(capsys, *words)[0] == 0 and (old / "notes.txt").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("export", "nothing.safetensors", "--png", "{}"),
        ("pictures", "nothing.safetensors", "-o", "{}"),
        ("experts", "nowhere", "-o", "{}"),
        ("report", "nothing.safetensors", "-o", "{}.html"),
        ("import", "nothing.pt", "-o", "{}.safetensors"),
        ("merge", "nothing.safetensors", "nothing.safetensors", "-o", "{}.safetensors"),
        ("relabel", "nothing.safetensors", "-o", "{}.safetensors"),
    ],
    ids=lambda words: words[0],
)
def test_an_output_with_too_long_a_name_is_refused_first(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = said(capsys, *(word.format("a" * 260) for word in words))
    assert status == 2 and "bytes too long" in err and not out
    assert len(err) < 400


def test_an_export_that_fails_leaves_nothing(
    artefact: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save, saved = Image.Image.save, []

    def full(self: Image.Image, *words: object, **options: object) -> None:
        saved.append(words)
        if len(saved) > 3:
            raise OSError(28, "No space left on device")
        save(self, *words, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Image.Image, "save", full)
    status, out, err = said(capsys, "export", str(artefact), "--png", str(tmp_path / "images"))
    assert status == 1 and "No space left" in err and not out
    assert list(tmp_path.iterdir()) == []


def test_export_npz_holds_images_labels_and_names(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "images.npz"
    assert said(capsys, "export", str(artefact), "--npz", str(path))[0] == 0
    with np.load(path) as stored:
        assert stored["images"].shape == (20, 8, 8, 1) and stored["images"].dtype == np.uint8
        assert stored["labels"].tolist() == [label for label in range(10) for _ in range(2)]
        assert stored["class_names"].tolist() == [str(label) for label in range(10)]


def test_evaluate_compares_with_baselines(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"
    words = ("evaluate", str(artefact), "--repeats", "2", "--epochs", "2", "--baselines")
    status, out, _ = said(capsys, *words, "--report", str(report), "--json")
    assert status == 0
    condensed, random, whole = json.loads(out)["rows"]
    assert condensed["name"].startswith("lodm") and condensed["images_per_class"] == 2
    assert random["images_per_class"] == 1
    assert random["paper_bytes"] == condensed["paper_bytes"] == 2560
    assert whole["bytes"] == 4 * 1438 * 64
    for row in (condensed, random, whole):
        (result,) = row["results"]
        assert len(result["accuracies"]) == 2 and 0 <= result["mean"] <= 100
    page = report.read_text(encoding="utf-8")
    assert f"{condensed['results'][0]['mean']:.1f}" in page


def test_evaluate_prints_a_table_of_networks(
    artefact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    networks = "convnet1:width=8,norm=batch,convnet2:width=8"
    words = ("evaluate", str(artefact), "--repeats", "1", "--epochs", "1", "--networks", networks)
    status, out, err = said(capsys, *words)
    assert status == 0 and "2560" in out and "±" not in out
    assert "convnet1:width=8" in out and "convnet2:width=8" in out
    assert "estimate: about" in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--card", "dsa-100"), "dsa-1000"),
        (("--networks", "resnet0"), "convnet3"),
        (("--repeats", "0"), "--repeats 0"),
        (("--epochs", "0"), "--epochs 0"),
        (("--data", "folder:nowhere"), "nowhere"),
    ],
)
def test_evaluate_refuses_before_training(
    artefact: Path, words: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = said(capsys, "evaluate", str(artefact), *words)
    assert status == 2 and text in err


def test_evaluate_refuses_data_of_other_classes_or_size(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for name, size, classes, text in (
        ("size", 9, 10, "--resize"),
        ("classes", 8, 3, "classes"),
    ):
        path = tmp_path / f"{name}.npz"
        images = rng.integers(0, 256, (60, size, size, 1), dtype=np.uint8)
        np.savez(path, images=images, labels=np.arange(60) % classes)
        status, _, err = said(capsys, "evaluate", str(artefact), "--data", f"npz:{path}")
        assert status == 2 and text in err


@pytest.mark.parametrize("listing", ["methods", "sources", "networks", "cards"])
def test_listings(listing: str, capsys: pytest.CaptureFixture[str]) -> None:
    known = {
        "methods": "lodm",
        "sources": "digits",
        "networks": "resnet18",
        "cards": "dsa-1000",
    }[listing]
    assert known in said(capsys, listing)[1]
    rows = json.loads(said(capsys, listing, "--json")[1])[listing]
    assert known in [next(iter(row.values())) for row in rows]


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "attar", "methods", "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0 and json.loads(done.stdout)


def test_demo_goes_the_whole_road(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from attar.cli import demo

    monkeypatch.setattr(demo, "ITERATIONS", 4)
    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.setattr(demo, "REPEATS", 1)
    status, out, err = said(capsys, "demo", "-o", str(tmp_path / "demo"))
    assert status == 0 and "random" in out and "report.html" in err
    assert len(attar.load(tmp_path / "demo" / "digits.safetensors")) == 20
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "whole training set" in page


def test_the_last_iterate_is_reported_beside_the_selected_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "set.safetensors"
    attar.condense("digits", ipc=1, iterations=0, network="convnet2:width=8", output=path)
    made = attar.load(path)
    made.header.iterate = "selected"
    made.save(path)
    made.header.iterate = "last"
    made.save(tmp_path / "set.last.safetensors")
    _, out, _ = said(capsys, "evaluate", str(path), "--repeats", "1", "--epochs", "1", "--json")
    names = [row["name"] for row in json.loads(out)["rows"]]
    assert names == ["lodm (selected iterate)", "lodm (last iterate)"]


def test_images_brought_to_one_size_are_evaluated_at_that_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        for number in range(6):
            size = (9 + number, 12, 3)
            picture = Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8))
            (tmp_path / "pets" / label).mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / "pets" / label / f"{number}.png")
    path, source = tmp_path / "pets.safetensors", f"folder:{tmp_path / 'pets'}"
    words = ("condense", source, "--ipc", "1", *QUICK, "-o", str(path))
    status, _, err = said(capsys, *words)
    assert status == 2 and "--resize" in err
    assert said(capsys, *words, "--resize", "8")[0] == 0
    assert said(capsys, "evaluate", str(path), "--repeats", "1", "--epochs", "1")[0] == 0
    assert "--resize 8" in attar.load(path).header.provenance["command"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--version") == (0, f"attar {attar.__version__}\n", "")


def test_a_class_too_small_for_its_share_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 1), dtype=np.uint8)
    labels = np.array([0] * 21 + [1] * 3)
    np.savez(tmp_path / "few.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    words = ("condense", f"npz:{tmp_path / 'few.npz'}", "--method", "random", "--ipc", "5")
    status, _, err = said(capsys, *words, "-o", str(tmp_path / "few.safetensors"))
    assert status == 0 and "the smallest class has 3 images for 5" in err


@pytest.mark.parametrize(
    "given",
    [
        ["--set", "a=1", "b=-2", "--lr", "0.1", "--set", "c=3"],
        ["--set", "a=1", "--set", "b=-2", "--lr", "0.1", "--set", "c=3"],
        ["--set=a=1", "--set=b=-2", "c=3", "--lr=0.1"],
        ["--lr", "0.1", "--set", "a=1", "b=-2", "c=3"],
    ],
)
def test_settings_may_be_given_one_by_one(given: list[str]) -> None:
    command = parse(["condense", "digits", *given, "--ipc", "2"])
    assert isinstance(command, Condense)
    assert command.request.settings == ("a=1", "b=-2", "c=3")
    assert (command.source, command.request.lr, command.request.ipc) == ("digits", 0.1, 2)


def test_data_of_a_suite_may_be_given_one_by_one() -> None:
    # the first of two was lost without a word, and the suite looked for it elsewhere
    command = parse(["bench", "s.yaml", "--data", "a=npz:1", "--size", "paper", "--data=b=npz:2"])
    assert isinstance(command, Bench)
    assert (command.data, command.size) == (("a=npz:1", "b=npz:2"), "paper")
