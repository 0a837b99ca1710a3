"""What batch normalization sends in one call, and memory cannot hold, is refused before the start.

The objective distribution and the batches of a training are in test_distribution and
test_call_size.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import attar
from attar import capacity
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.data import Splits
from attar.errors import BadRequest
from attar.experts import train_experts
from attar.networks import make_for
from attar.training import Trainer
from catalogue import tiny_data

NAME = "convnet2:width=8"
BATCH_NORM = f"{NAME},norm=batch"


def holding(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    """Leave memory for so many images of a call."""
    data = tiny_data()
    each = make_for(BATCH_NORM, data.shape, data.classes).graph_bytes // 4
    monkeypatch.setattr("attar.training.call_size.peak_memory", lambda device: 0)
    monkeypatch.setattr("attar.training.call_size.kept_memory", lambda: 0)
    there = SimpleNamespace(
        available_memory=lambda: images * each, check_memory=capacity.check_memory
    )
    # elsewhere memory is as it is
    monkeypatch.setattr("attar.training.call_size.capacity", there)


def refuse_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a network was trained")

    monkeypatch.setattr(Trainer, "fit_together", refuse)


@pytest.mark.parametrize(
    ("method", "settings", "most", "said"),
    [
        ("dc", ("outer=2", "batch_train=5"), 5, "lower --set batch_train"),
        ("idc", ("batch_train=6",), 6, "lower --set batch_train"),
        ("cafe", (), 12, "lower --ipc"),
        ("frepo", (), 12, "lower --ipc"),
    ],
)
def test_of_a_method(
    monkeypatch: pytest.MonkeyPatch, method: str, settings: tuple[str, ...], most: int, said: str
) -> None:
    data = tiny_data()
    asked = Request(
        method,
        synthetic_per_class=4,
        network=BATCH_NORM,
        validation=0,
        settings=settings,
        device="cpu",
        precision="float32",
    )
    plan = make_plan(asked, Splits(data, data))
    holding(monkeypatch, most)
    plan.check()
    holding(monkeypatch, most - 1)
    with pytest.raises(BadRequest, match=f"{most} images at once .* {said}"):
        plan.check()


def test_of_experts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refuse_training(monkeypatch)
    holding(monkeypatch, 6)
    with pytest.raises(BadRequest, match=r"7 images at once .* lower --batch"):
        train_experts(
            tiny_data(), network=BATCH_NORM, batch=7, output=tmp_path / "own", count=1, epochs=1
        )
    assert not (tmp_path / "own").exists()


def made(tmp_path: Path) -> Path:
    path = tmp_path / "set.safetensors"
    options: dict[str, Any] = {"device": "cpu", "network": NAME, "output": path}
    attar.condense(tiny_data(), method="random", synthetic_per_class=2, **options)
    return path


def test_of_an_evaluation_before_any_network_is_trained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, data = made(tmp_path), tiny_data()
    refuse_training(monkeypatch)
    networks: list[Any] = [NAME, BATCH_NORM]
    options: dict[str, Any] = {"card": "dc-300", "epochs": 1, "device": "cpu", "repeats": 1}
    holding(monkeypatch, 5)
    with pytest.raises(BadRequest, match=r"6 images at once .* name a --card of smaller batches"):
        attar.evaluate(path, (data, data), networks=networks, **options)
    # the whole training set comes last, and has more
    holding(monkeypatch, 25)
    with pytest.raises(BadRequest, match="26 images at once"):
        attar.evaluate(path, (data, data), networks=networks, baselines="whole", **options)
    with pytest.raises(BadRequest, match="26 images at once"):
        attar.rank(path, (data, data), networks=networks, **options)


def test_a_ranking_that_is_known_takes_no_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, data = made(tmp_path), tiny_data()
    options: dict[str, Any] = {
        "networks": [NAME, BATCH_NORM],
        "epochs": 1,
        "whole_epochs": 1,
        "device": "cpu",
        "output": tmp_path / "order.json",
    }
    found = attar.rank(path, (data, data), **options)
    refuse_training(monkeypatch)
    holding(monkeypatch, 0)
    assert attar.rank(path, (data, data), resume=True, **options) == found


def test_what_can_come_in_parts_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_data()
    holding(monkeypatch, 0)
    for method in ("dc", "frepo", "cafe"):
        asked = Request(method, synthetic_per_class=4, network=NAME, validation=0.2, device="cpu")
        make_plan(asked, Splits(data, data)).check()
