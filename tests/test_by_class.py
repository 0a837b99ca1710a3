"""Accuracy by class and balanced accuracy: the figures, where they are shown, what they choose."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

import attar
from attar.cli import run
from attar.data import LabelledImages
from attar.evaluation import Result, evaluate_images
from attar.evaluation.record import read_record
from attar.networks import build
from attar.rng import Key
from attar.training import Trainer
from attar.training.by_class import Hits, fits, largest_share, largest_stands_out, unequal
from catalogue import COMPUTE, tiny_data
from test_evaluation import BRIEF

NAME = "convnet1:width=8"
COUNTS = (90, 6, 4)
QUICK = {"epochs": 1, "repeats": 2, "device": "cpu", "torch_compile": "off"}


@pytest.mark.parametrize("counts", [COUNTS, (5, 5, 5), (7, 0, 2)])
def test_balanced_accuracy_is_that_of_scikit_learn(counts: tuple[int, ...]) -> None:
    truth = np.repeat(np.arange(3), counts)
    # scikit-learn 1.7 warns where a class is named that has no image, so name those alone
    present = np.unique(truth)
    named = np.random.default_rng(0).choice(present, len(truth))
    right = tuple(int(((truth == c) & (named == c)).sum()) for c in range(3))
    hits = Hits(right, counts)
    assert hits.balanced == pytest.approx(100 * balanced_accuracy_score(truth, named))
    assert hits.accuracy == pytest.approx(100 * (truth == named).mean())
    assert hits.fair == (hits.balanced if len(set(counts)) > 1 else hits.accuracy)
    assert hits.by_class[1] is None if counts[1] == 0 else hits.by_class[1] is not None


@pytest.mark.parametrize(
    ("counts", "favours", "stands_out"),
    [
        ((90, 6, 4), True, True),
        ((10, 10, 10), False, False),
        # the test images of scikit-learn's digits and of MNIST: nearly equal
        ((36, 35, 37, 36, 36, 37, 35, 36, 34, 36), False, False),
        ((980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009), False, False),
        # those of SVHN
        ((1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595), True, True),
        # one rare class among many: accuracy overlooks it, and the largest is not large
        ((100,) * 9 + (5,), True, False),
        ((5, 0, 5), False, False),
    ],
)
def test_what_is_unequal(counts: tuple[int, ...], favours: bool, stands_out: bool) -> None:
    assert unequal(counts) == favours and largest_stands_out(counts) == stands_out


def test_the_hits_of_a_trainer_are_those_of_its_scores() -> None:
    data = tiny_data(counts=(20, 3, 9))
    trainer = Trainer(build(NAME, 1, (8, 8), 3), COMPUTE)
    images, labels = data.take(torch.arange(12)), data.labels[:12]
    (tensors,) = trainer.fit(images, labels, BRIEF, "none", [Key(0)])
    hits = trainer.hits(tensors, data)
    named = trainer.scores(tensors, data.take(torch.arange(len(data)))).argmax(dim=1)
    assert hits.tested == (20, 3, 9)
    assert hits.right == tuple(
        int(((data.labels == c) & (named == c)).sum()) for c in range(data.classes)
    )
    assert trainer.accuracy(tensors, data) == hits.accuracy


def test_results_hold_every_class_of_every_network() -> None:
    test = tiny_data(counts=COUNTS, seed=1)
    train = tiny_data(counts=(4, 4, 4))
    (result,) = evaluate_images(
        train.take(torch.arange(12)),
        train.labels,
        test,
        BRIEF,
        dataset="tiny",
        networks=[NAME],
        repeats=2,
        compute=COMPUTE,
    )
    assert result.tested == COUNTS and len(result.right) == 2
    assert [hits.accuracy for hits in result.hits] == list(result.accuracies)
    assert result.balanced is not None
    shares = [one.mean for one in result.by_class if one is not None]
    assert result.balanced.mean == pytest.approx(sum(shares) / 3)
    assert result.largest == 90.0
    told = result.as_dict()
    assert told["by_class"] == pytest.approx(shares) and told["largest_class"] == 90.0
    assert told["balanced"]["mean"] == result.balanced.mean and len(told["by_class_std"]) == 3
    assert told["beats_largest_class"] == (result.mean > 90)


def test_results_of_before_have_no_figures_by_class() -> None:
    result = Result("convnet3", "dsa-1000", (70.0,), 1.0)
    assert result.balanced is None and result.by_class == () and result.largest is None
    assert result.as_dict()["balanced"] is None and result.beats_largest is None


@pytest.mark.parametrize(
    ("right", "tested"),
    [
        (None, None),
        ([[5, 5]], [10]),
        ([[11, 0]], [10, 10]),
        ([[5, -5]], [10, 10]),
        ([[5, 5.0]], [10, 10]),
        ([[5, 6]], [10, 10]),
        ([[0, 0]], [0, 0]),
        ([], [10, 10]),
    ],
    ids=str,
)
def test_figures_that_cannot_be_are_known(right: object, tested: object) -> None:
    assert fits([[5, 5]], [10, 10], [50.0]) and not fits(right, tested, [50.0])


def unbalanced(counts: tuple[int, ...], seed: int) -> dict[str, np.ndarray]:
    data = tiny_data(counts=counts, seed=seed)
    part = "train" if seed == 0 else "test"
    images = data.images.permute(0, 2, 3, 1).numpy()
    return {f"x_{part}": images, f"y_{part}": data.labels.numpy()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with unbalanced data and a set made from them."""
    folder = tmp_path_factory.mktemp("unbalanced")
    np.savez(folder / "data.npz", **unbalanced((40, 8, 4), 0), **unbalanced(COUNTS, 1))
    attar.condense(
        f"npz:{folder / 'data.npz'}",
        method="random",
        synthetic_per_class=2,
        network=NAME,
        output=folder / "set.safetensors",
    )
    return folder


def test_evaluate_tells_it_in_words_json_record_and_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(folder / "set.safetensors"), "--repeats", "2", "--epochs", "1"]
    page = folder / "page.html"
    assert run([*words, "--report", str(page)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "naming the largest class gives 90.0" in shown and "balanced" in shown
    assert "accuracy by class in %" in shown
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["class_names"] == ["0", "1", "2"]
    (result,) = told["rows"][0]["results"]
    assert result["largest_class"] == 90.0 and len(result["by_class"]) == 3
    record = read_record(folder / "set.evaluation.json")
    (kept,) = record.evaluations[0].rows[0].results
    assert kept.right == tuple(map(tuple, result["right"])) and kept.tested == COUNTS
    html = page.read_text(encoding="utf-8")
    for part in ("Accuracy by class", "balanced", "naming the largest class gives 90.0"):
        assert part in html, part


def test_balanced_test_images_are_not_told_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {**unbalanced((9, 9, 9), 0), **unbalanced((9, 9, 9), 1)}
    np.savez(tmp_path / "data.npz", **data)
    path = tmp_path / "set.safetensors"
    made = {"method": "random", "synthetic_per_class": 2, "network": NAME, "output": path}
    attar.condense(f"npz:{tmp_path / 'data.npz'}", **made)
    words = ["evaluate", str(path), "--repeats", "1", "--epochs", "1"]
    assert run(words) == 0
    shown = capsys.readouterr().out
    assert "balanced" not in shown and "naming the largest" not in shown.replace("\n", " ")


# selecting


def condensed(counts: tuple[int, ...], tmp_path: Path) -> attar.Artefact:
    return attar.condense(
        tiny_data(counts=counts),
        method="dm",
        synthetic_per_class=1,
        iterations=2,
        validation=0.5,
        network=NAME,
        settings=["batch_real=4"],
        output=tmp_path / "set.safetensors",
    )


def last_figure(artefact: attar.Artefact, path: Path) -> float:
    """Return what the log says of the step that was kept."""
    lines = map(json.loads, (path / "set.log.jsonl").read_text(encoding="utf-8").splitlines())
    (found,) = [
        line["validation"]
        for line in lines
        if "validation" in line and line["step"] == artefact.header.step
    ]
    return found


def test_an_iterate_is_selected_by_balanced_accuracy_where_classes_are_unequal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Hits] = []
    hits = Trainer.hits

    def watched(self: Trainer, tensors: dict, data: LabelledImages) -> Hits:
        seen.append(hits(self, tensors, data))
        return seen[-1]

    monkeypatch.setattr(Trainer, "hits", watched)
    artefact = condensed((30, 8, 8), tmp_path)
    assert artefact.header.provenance["selected_by"] == "balanced accuracy"
    best = max(one.balanced for one in seen)
    assert artefact.header.validation == best == last_figure(artefact, tmp_path)
    seen.clear()
    artefact = condensed((8, 9, 10), tmp_path / "equal")
    assert "selected_by" not in artefact.header.provenance
    assert artefact.header.validation == max(one.accuracy for one in seen)


def test_naming_one_class_is_the_share_of_the_largest() -> None:
    assert largest_share((90, 6, 4)) == 90.0 and largest_share((5, 0, 5)) == 50.0
