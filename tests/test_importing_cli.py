"""`attar import`, and the other commands on what it writes."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import attar
from attar.cli import run
from attar.data import load_source
from peer_files import (
    centred,
    class_by_class,
    hallucinators,
    write_dc,
    write_flax,
    write_haba,
    write_mtt,
)

SLICE = ["--data", "digits", "--classes", "4"]
LABELS = class_by_class(4, 2)


def real() -> torch.Tensor:
    """Return two real digits of each of four classes, standardised."""
    train = load_source("digits", classes=4).train
    return train.take(torch.cat([train.indices_of_class[c][:2] for c in range(4)]))


def dc(folder: Path) -> list[str]:
    write_dc(folder / "res_DM_digits_ConvNet_2ipc.pt", [(real(), LABELS)])
    return [str(folder / "res_DM_digits_ConvNet_2ipc.pt")]


def mtt(folder: Path) -> list[str]:
    files = write_mtt(folder, 0.2 * real(), 4 * torch.eye(4)[LABELS] + 0.1, lr=0.01)
    return [*map(str, files), "--zca", "mtt"]


def idc(folder: Path) -> list[str]:
    torch.save([real().sub(real().min()).div(6).clamp(0, 1), LABELS], folder / "data.pt")
    return [str(folder / "data.pt"), "--factor", "2"]


def haba(folder: Path) -> list[str]:
    files = write_haba(folder, real(), hallucinators(2, 1, 1, 8))
    return [*map(str, files), "--zca", "none"]


def frepo(folder: Path) -> list[str]:
    images = real().permute(0, 2, 3, 1).contiguous().numpy()
    labels = centred(LABELS, 4) + np.linspace(0, 0.1, 32, dtype=np.float32).reshape(8, 4)
    proto = {"x_proto": images, "y_proto": labels}
    write_flax(folder / "checkpoint_10", {"step": 10, "params": proto})
    return [str(folder / "checkpoint_10")]


def pictures(folder: Path) -> list[str]:
    from PIL import Image

    train = load_source("digits", classes=4).train
    for label in range(4):
        for index in train.indices_of_class[label][:2].tolist():
            place = folder / "pictures" / str(label)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(train.images[index, 0].numpy()).save(place / f"{index}.png")
    return [str(folder / "pictures")]


@pytest.mark.parametrize("kind", [dc, mtt, idc, haba, frepo, pictures])
def test_all_commands_take_what_was_imported(
    kind: Callable[[Path], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    words = kind(tmp_path)
    assert run(["import", *words, *SLICE, "-o", str(out)]) == 0
    shown = capsys.readouterr()
    assert "(imported)" in shown.out and "read as" in shown.err
    per_class = {"idc": 8, "haba": 4}.get(kind.__name__, 2)
    assert f"{per_class} per class of 1×8×8" in shown.out

    assert run(["show", str(out), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert card["class_names"] == ["0", "1", "2", "3"]
    network = ["--networks", "convnet2:width=8", "--repeats", "1", "--epochs", "2"]
    # without --data: the artefact says what it is of
    assert run(["evaluate", str(out), *network, "--json"]) == 0
    (row, *_) = json.loads(capsys.readouterr().out)["rows"]
    assert 0 <= row["results"][0]["mean"] <= 100
    assert run(["report", str(out), "-o", str(tmp_path / "page.html")]) == 0
    assert "(imported)" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert run(["export", str(out), "--png", str(tmp_path / "png")]) == 0
    assert len(list((tmp_path / "png").rglob("*.png"))) == 4 * per_class

    # the command that it names makes the same set again
    program, command, *again = shlex.split(card["provenance"]["command"])
    again[again.index("-o") + 1] = str(tmp_path / "again.safetensors")
    assert (program, command) == ("attar", "import") and run([command, *again]) == 0
    one, other = attar.load(out), attar.load(tmp_path / "again.safetensors")
    assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
    assert one.header == other.header


def test_refusals_are_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (path,) = dc(tmp_path)
    name = "res_DM_digits_ConvNet_2ipc.safetensors"
    for words, text in (
        ([], "name the files of a condensed set"),
        ([path, "--mean", "x", "--std", "1"], "--mean 'x': one number"),
        ([path, "--classes", "4"], "with which constants"),
    ):
        assert run(["import", *words]) == 2
        assert text in capsys.readouterr().err
        assert not (tmp_path / name).exists()
    assert run(["import", path, "--classes", "4", "--mean", "0.3", "--std", "0.4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == name
    assert run(["import", path, "--classes", "4", "--mean", "0.3", "--std", "0.4"]) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err


def test_this_folder_is_named_as_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder,) = pictures(tmp_path)
    monkeypatch.chdir(folder)
    assert run(["import", ".", *SLICE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == "pictures.safetensors"
