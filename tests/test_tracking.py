"""Runs tracked with tools that people have: what these are told, and what they never are."""

import contextlib
import importlib.util
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

import attar
from attar.cli import run
from attar.errors import BadRequest

SMALL: dict[str, Any] = {
    **{"method": "dm", "ipc": 1, "iterations": 2, "network": "convnet3:width=4"},
    **{"test_share": 0.2, "validation": 0.1, "validations": 1},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of pictures whose place must not get out."""
    from PIL import Image

    for name in ("cat", "dog"):
        own = tmp_path / "someones secret" / "pets" / name
        own.mkdir(parents=True)
        for number in range(10):
            Image.new("L", (16, 16), 20 * number).save(own / f"{number}.png")
    return tmp_path / "someones secret" / "pets"


def test_tensorboard_gets_losses_accuracies_and_bytes(tmp_path: Path, folder: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = f"tensorboard:{tmp_path / 'a'}"
    made = attar.condense(f"folder:{folder}", progress=False, logger=events, **SMALL)
    found = accumulator.EventAccumulator(str(tmp_path / "a")).Reload()
    assert set(found.Tags()["scalars"]) == {"loss", "validation accuracy", "bytes"}
    assert {event.step for event in found.Scalars("loss")} == {1, 2}
    assert found.Scalars("bytes")[-1].value == made.totals.all


def test_wandb_offline(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="needs the extra 'wandb'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    output = tmp_path / "mine.safetensors"
    made = attar.condense(
        f"folder:{folder}", progress=False, logger="wandb:pets", output=output, **SMALL
    )
    wandb.teardown()  # waits until all is written
    [sent] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    told = sent.read_bytes()
    for word in ("loss", "validation accuracy", "bytes", "folder:pets", "dm", "mine", "pets"):
        assert word.encode() in told, word
    assert str(made.totals.all).encode() in told
    for place in (str(tmp_path), "someones secret", sys.executable, sys.argv[0]):
        assert place.encode() not in told, place


def test_trackio_on_this_machine(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    if importlib.util.find_spec("trackio") is None:
        pytest.skip("needs the extra 'trackio'")
    # read when it is imported
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "kept"))
    for name in [one for one in sys.modules if one.split(".")[0] == "trackio"]:
        monkeypatch.delitem(sys.modules, name)
    output = tmp_path / "mine.safetensors"
    words = "--method dm --ipc 1 --iterations 2 --network convnet3:width=4 --logger trackio --json"
    assert run(["condense", f"folder:{folder}", *words.split(), "-o", str(output)]) == 0
    # what it prints is no result
    assert json.loads(capsys.readouterr().out)["path"] == str(output)
    with contextlib.closing(sqlite3.connect(tmp_path / "kept" / "attar.db")) as kept:
        metrics = [json.loads(row[0]) for row in kept.execute("select metrics from metrics")]
        kept.execute("pragma wal_checkpoint(truncate)")
    assert sum("loss" in row for row in metrics) == 2
    assert any("bytes" in row for row in metrics)
    dump = (tmp_path / "kept" / "attar.db").read_bytes()
    assert b"folder:pets" in dump
    assert b"someones secret" not in dump and str(tmp_path).encode() not in dump


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_what_is_not_installed_is_refused_before_the_data_are_read(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadRequest) as caught:
        attar.condense("folder:none", logger=name)
    assert str(caught.value) == f"--logger {name} needs the extra: pip install 'attar[{name}]'"


def test_a_near_name_is_told_and_a_file_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"unknown value of --logger 'wandd'.*wandb"):
        attar.condense("digits", logger="wandd:mine")
    (tmp_path / "file").touch()
    pytest.importorskip("tensorboard")
    with pytest.raises(BadRequest, match="--tensorboard: "):
        attar.condense("digits", tensorboard=tmp_path / "file")
