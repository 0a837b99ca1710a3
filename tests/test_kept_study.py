"""Runs that are killed once their teacher is trained, or complete, train none when resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import attar
from attar.cli import run
from attar.condensing.paths import Paths
from attar.data import Splits
from attar.errors import BadRequest
from attar.training.trainer import Trainer
from catalogue import NETWORK, tiny_data

OPTIONS: dict[str, Any] = {
    "method": "kd",
    "teacher": "convnet2:norm=batch,width=4",
    "storage": "png:together=set",
    "max_bytes": 6_000,
    "network": NETWORK,
    "settings": {"epochs": 2},
    "device": "cpu",
    "torch_compile": "off",
}


class Killed(attar.Callback):
    """Ends the run once the network is trained."""

    def reading(self, what: str, done: int, total: int) -> None:
        if "chosen by" in what:
            raise KeyboardInterrupt


def made(output: Path, **changes: Any) -> bytes:
    data = Splits(tiny_data(), tiny_data(seed=1), source="tiny")
    attar.condense(data, output=output, **(OPTIONS | changes))
    return output.read_bytes()


def killed(output: Path, **changes: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        made(output, callback=Killed(), **changes)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    own = Trainer.fit_together

    def counting(self: Trainer, *given: Any, **named: Any) -> Any:
        found.append(1)
        return own(self, *given, **named)

    monkeypatch.setattr(Trainer, "fit_together", counting)
    return found


@pytest.mark.parametrize("method", ["kd", "herding"])
def test_a_killed_run_does_not_train_again(
    method: str, tmp_path: Path, trainings: list[int]
) -> None:
    changes = {} if method == "kd" else {"method": method, "teacher": None}
    whole = made(tmp_path / "whole.safetensors", **changes)
    out = tmp_path / "set.safetensors"
    killed(out, **changes)
    assert Paths(out).study.exists() and not out.exists()
    with pytest.raises(BadRequest, match="an unfinished run is already there; --resume"):
        made(out, **changes)
    del trainings[:]
    assert made(out, resume=True, **changes) == whole
    assert not trainings
    assert not Paths(out).study.exists()


def test_what_is_kept_serves_the_same_training_alone(tmp_path: Path, trainings: list[int]) -> None:
    out = tmp_path / "set.safetensors"
    for changes in ({"settings": {"epochs": 1}}, {"seed": 3}, {"teacher": NETWORK}):
        killed(out, overwrite=True)
        del trainings[:]
        made(out, resume=True, **changes)
        assert len(trainings) == 1
        out.unlink()
    killed(out)
    del trainings[:]
    made(out, overwrite=True)
    assert len(trainings) == 1


def test_a_damaged_file_is_told_and_counts_as_none(tmp_path: Path, trainings: list[int]) -> None:
    whole = made(tmp_path / "whole.safetensors")
    out = tmp_path / "set.safetensors"
    killed(out)
    path = Paths(out).study
    path.write_bytes(path.read_bytes()[:-9])
    del trainings[:]
    with pytest.warns(UserWarning, match="the network is trained from the start"):
        assert made(out, resume=True) == whole
    assert len(trainings) == 1


def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadRequest):
        made(tmp_path / "set.safetensors", max_bytes=10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["kd", "herding"])
def test_a_complete_run_trains_nothing(method: str, tmp_path: Path, trainings: list[int]) -> None:
    changes = {} if method == "kd" else {"method": method, "teacher": None}
    out = tmp_path / "set.safetensors"
    whole = made(out, **changes)
    del trainings[:]
    assert made(out, resume=True, **changes) == whole
    with pytest.raises(BadRequest, match="made with another init"):
        made(out, resume=True, **(changes | {"settings": {"epochs": 1}}))
    with pytest.raises(BadRequest, match=r"complete.*6000.*6400"):
        made(out, resume=True, **(changes | {"max_bytes": 6_400}))
    assert not trainings


def test_that_a_run_is_complete_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set.safetensors"
    words = f"condense digits --method random --images-per-class 1 -o {out}".split()
    assert run(words) == 0
    assert "is complete" not in capsys.readouterr().err
    assert run([*words, "--resume"]) == 0
    assert f"the run of {out} is complete" in capsys.readouterr().err
