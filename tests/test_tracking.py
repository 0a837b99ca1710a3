"""Runs tracked with tools that people have: what these are told, and what they never are."""

import contextlib
import importlib.util
import json
import os
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import attar
from attar.cli import run
from attar.condensing.log import Log, read_log
from attar.condensing.tracking import Logger
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
    with pytest.raises(BadRequest, match=r"--tensorboard: .* cannot be written to"):
        attar.condense("digits", tensorboard=tmp_path / "file")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights of Windows are others")
def test_a_folder_that_cannot_be_written_to_is_refused_before_the_data_are_read(
    tmp_path: Path,
) -> None:
    pytest.importorskip("tensorboard")
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o555)
    # whoever may do everything is refused by the system alone
    place = shut if os.geteuid() else Path("/proc")
    if not place.is_dir():
        pytest.skip("nothing is shut")
    with pytest.raises(BadRequest, match=rf"--logger tensorboard:{place}: .* cannot be written to"):
        attar.condense("folder:none", logger=f"tensorboard:{place}")


def test_home_is_meant_by_a_tilde_behind_the_colon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("USERPROFILE", "/home/ada")
    assert Logger.of("tensorboard:~/runs").place == str(Path("~/runs").expanduser())
    assert Logger.of("wandb:~odd").place == "~odd"


class Failing:
    """A tool that fails from its second value on, and at its end."""

    option = "--logger wandb:mine"

    def __init__(self, fails: str) -> None:
        self.fails = fails
        self.seen: list[int] = []

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        if self.fails == "scalars" and step > 1:
            raise ConnectionResetError("the service\nis gone")
        self.seen.append(step)

    def close(self) -> None:
        if self.fails == "close":
            raise OSError


@pytest.mark.parametrize("fails", ["scalars", "close"])
def test_a_run_outlives_the_tool_that_tracks_it(tmp_path: Path, fails: str) -> None:
    failing, other = Failing(fails), Failing("")
    log = Log(tmp_path / "log", [lambda step: failing, lambda step: other])
    log.open(0)
    with pytest.warns(UserWarning, match="--logger wandb:mine failed .* goes on without") as told:
        for step in range(1, 4):
            log.step(step, 0.5, 1.0)
        log.close()
    assert len(told) == 1
    assert failing.seen == ([1] if fails == "scalars" else [1, 2, 3])
    assert other.seen == [1, 2, 3]
    assert len(read_log(tmp_path / "log")) == 3
