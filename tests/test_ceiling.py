"""The full-data ceiling: what it depends on, and how it is kept."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import attar
from attar.artefact.artefact import Artefact
from attar.errors import BadRequest
from attar.evaluation import ceiling
from attar.evaluation.ceiling import NAME as WHOLE
from attar.evaluation.ceiling import Ceilings, whole_set
from attar.evaluation.comparison import Row
from attar.evaluation.measuring import Measurer
from attar.networks import build
from attar.rng import Key
from attar.training import CARDS, Trainer, card
from catalogue import COMPUTE, tiny_data

NETWORK = "convnet1:width=8"


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    options = {"synthetic_per_class": 1, "network": NETWORK, "test_share": 0.2}
    return attar.condense(tiny_data(), method="random", **options)


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of images that networks are trained on from now on, one per network."""
    seen: list[int] = []
    fit = Trainer.fit

    def watched(self, images, labels, recipe, strategy, keys, *teacher):
        seen.extend([len(labels)] * len(keys))
        return fit(self, images, labels, recipe, strategy, keys, *teacher)

    monkeypatch.setattr(Trainer, "fit", watched)
    return seen


def evaluated(artefact: Artefact, folder: Path, **options: Any) -> list[Row]:
    settings: dict[str, Any] = {
        "data": tiny_data(),
        "repeats": 2,
        "epochs": 1,
        "ceiling": True,
        "device": "cpu",
        "torch_compile": "off",
        "data_dir": folder,
    }
    return attar.evaluate(artefact, **settings | options)


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "ceilings").glob("*.json"))


# 80 % of 9, 14 and 3 images
SMALL, LARGE = 3, 20


def test_it_is_measured_once(artefact: Artefact, tmp_path: Path, fitted: list[int]) -> None:
    own, whole = evaluated(artefact, tmp_path)
    assert fitted == [SMALL, SMALL, LARGE, LARGE]
    (result,) = whole.results
    assert (own.kind, whole.kind, whole.name) == ("condensed", "whole", WHOLE)
    assert not result.cached and result.ceiling is None and result.share is None
    assert own.results[0].ceiling == result.mean
    assert own.results[0].share == pytest.approx(100 * own.results[0].mean / result.mean)
    told: list[tuple[str, int, float | None]] = []

    class Told(attar.EvaluationCallback):
        def trained(self, row: str, network: str, repeat: int, accuracy: float | None) -> None:
            told.append((row, repeat, accuracy))

    _, again = evaluated(artefact, tmp_path, callback=Told())
    assert fitted[4:] == [SMALL, SMALL] and len(kept(tmp_path)) == 1
    assert again.results[0].accuracies == result.accuracies and again.results[0].cached
    # what is known is told as what is measured is
    assert [line[1:] for line in told if line[0] == WHOLE] == list(enumerate(result.accuracies, 1))


def test_more_networks_train_only_those_missing(
    artefact: Artefact, tmp_path: Path, fitted: list[int]
) -> None:
    evaluated(artefact, tmp_path, repeats=1)
    _, more = evaluated(artefact, tmp_path, repeats=3)
    assert fitted.count(LARGE) == 3 and not more.results[0].cached
    _, fewer = evaluated(artefact, tmp_path, repeats=2)
    assert fitted.count(LARGE) == 3 and fewer.results[0].cached
    _, alone = evaluated(artefact, tmp_path / "other", repeats=3)
    assert alone.results[0].accuracies == more.results[0].accuracies
    assert fewer.results[0].accuracies == more.results[0].accuracies[:2]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"networks": "convnet2:width=8"},
        {"card": "dc-300"},
        {"ceiling_epochs": 2},
        {"epochs": 2},
        {"data": tiny_data(seed=1)},
        {"data": (tiny_data(), tiny_data(seed=1))},
        {"precision": "bfloat16"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_bears_on_it_makes_another_one(
    artefact: Artefact, tmp_path: Path, change: dict[str, Any], fitted: list[int]
) -> None:
    evaluated(artefact, tmp_path, repeats=1)
    before = fitted.count(SMALL)
    (_, whole) = evaluated(artefact, tmp_path, repeats=1, **change)
    assert not whole.results[0].cached and len(kept(tmp_path)) == 2
    assert fitted.count(SMALL) == before + 1


def test_another_timm_makes_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    network = build(NETWORK, 1, (8, 8), 3)
    ours, timms = network, dataclasses.replace(network, name="timm:tiny")
    measurer = Measurer(tiny_data(), [ours, timms], 1, "tiny", COMPUTE, Key(0))
    given = whole_set(tiny_data(), CARDS["dc-300"], 10)
    paths = []
    for number in ("1.0", "1.1"):
        monkeypatch.setattr(ceiling, "version", lambda library, number=number: number)
        one = Ceilings(tmp_path, given, measurer)
        paths.append((one._path(ours), one._path(timms)))
    assert paths[0][0] == paths[1][0] and paths[0][1] != paths[1][1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b"[" * 100_000,
        b'{"format": "other", "accuracies": [1.0], "seconds": 1}',
        b'{"format": "attar.ceiling", "accuracies": [], "seconds": 1}',
        b'{"format": "attar.ceiling", "accuracies": [101.0], "seconds": 1}',
        b'{"format": "attar.ceiling", "accuracies": [NaN], "seconds": 1}',
        b'{"format": "attar.ceiling", "accuracies": ["a"], "seconds": 1}',
        b'{"format": "attar.ceiling", "accuracies": [1.0]}',
    ],
    ids=range(10),
)
def test_a_damaged_file_is_told_and_measured_again(
    artefact: Artefact, tmp_path: Path, content: bytes
) -> None:
    _, first = evaluated(artefact, tmp_path, repeats=1)
    (path,) = kept(tmp_path)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="cannot be used.*measured again"):
        _, again = evaluated(artefact, tmp_path, repeats=1)
    assert again.results[0].accuracies == first.results[0].accuracies
    assert json.loads(path.read_text())["accuracies"] == list(first.results[0].accuracies)


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(
    artefact: Artefact, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="could not be kept"):
        rows = evaluated(artefact, tmp_path / "file", repeats=1)
    assert rows[1].results[0].accuracies


def test_a_users_own_module_is_never_kept(artefact: Artefact, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    for _ in range(2):
        _, whole = evaluated(artefact, tmp_path, repeats=1, networks=module)
        assert not whole.results[0].cached
    assert not kept(tmp_path)


@pytest.mark.parametrize(
    ("name", "epochs", "small", "expected"),
    [
        # 26 images are one batch: as many epochs as a small set has updates
        ("dc-300", None, 10, 300),
        ("dsa-1000", 12, 10, 12),
        ("frepo", None, 10, 1000),
    ],
)
def test_epochs_of_a_whole_set_that_is_small(
    name: str, epochs: int | None, small: int, expected: int
) -> None:
    found = whole_set(tiny_data(), card(name, epochs), small)
    assert found.card.epochs_for(26) == expected and found.note == f"{expected} epochs"


def test_epochs_of_a_large_whole_set_follow_the_updates() -> None:
    large = tiny_data(counts=(1000, 1000, 560))
    # 2,560 images are 10 batches of 256: 301 updates take 31 epochs, 2 × 1,001 take 201
    assert whole_set(large, CARDS["dc-300"], 30).card.name == "dc-300 (epochs 31)"
    assert whole_set(large, CARDS["dsa-1000"], 300).note == "201 epochs, not 1000"
    # and never fewer than 20
    assert whole_set(large, card("dc-300", 50), 30).note == "20 epochs, not 50"
    assert whole_set(large, CARDS["dc-300"], 30, 7).note == "7 epochs, not 300"


def test_a_number_of_epochs_below_one_is_refused(artefact: Artefact, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="--ceiling-epochs 0: at least 1"):
        evaluated(artefact, tmp_path, ceiling_epochs=0)


def test_asking_for_its_epochs_asks_for_it(artefact: Artefact, tmp_path: Path) -> None:
    rows = evaluated(artefact, tmp_path, repeats=1, ceiling=False, ceiling_epochs=2)
    assert rows[1].note == "2 epochs, not 1" and rows[1].results[0].card.endswith("(epochs 2)")
