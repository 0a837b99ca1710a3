"""Feature vectors condense end to end: no augmentation, a network of their own, no pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import attar
from attar.artefact.loading import load_header
from attar.artefact.snapshots import load_snapshots
from attar.cli import run
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.data import LabelledImages, Preprocessing, from_tensors
from attar.data.modality import modality_of
from attar.errors import ArtefactError, BadRequest
from attar.networks import make_for
from attar.rng import Key
from attar.training import card

FEATURES = 6


def features(seed: int = 0, each: int = 30, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of some clouds, whose values have scales of their own."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    centres = np.random.default_rng(7).normal(size=(classes, FEATURES)) * 2
    scales = np.array([0.001, 1, 10, 1000, 1, 5])
    values = (centres[labels] + rng.normal(size=(len(labels), FEATURES))) * scales
    return values + scales * np.array([50, 0, 3, -20, 1, 2]), labels


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "features.npz"
    (x, y), (x_test, y_test) = features(), features(1, 10)
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return path


def made(method: str = "dm", **options: object) -> attar.Artefact:
    options = {"iterations": 2, "validation": 0.0} | options
    return attar.condense(features(), method=method, ipc=2, device="cpu", **options)


def test_every_value_is_standardised_by_itself() -> None:
    x, y = features()
    train = from_tensors(x, y).train
    inputs = train.take(torch.arange(len(train)))
    assert train.shape == (FEATURES,)
    torch.testing.assert_close(inputs.mean(0), torch.zeros(FEATURES), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        inputs.std(0, unbiased=False), torch.ones(FEATURES), rtol=1e-3, atol=0
    )


def test_a_constant_value_becomes_zero() -> None:
    x, y = features()
    x[:, 2] = 1234.5
    inputs = from_tensors(x, y).train.take(torch.arange(5))
    assert bool((inputs[:, 2] == 0).all())


@pytest.mark.parametrize("given", ["array", "tensor", "integers", "dataset"])
def test_vectors_are_taken_as_they_come(given: str) -> None:
    x, y = features()
    pairs = list(zip(map(torch.tensor, x), y.tolist(), strict=True))
    data = {
        "array": (x, y),
        "tensor": (torch.tensor(x), torch.tensor(y)),
        "integers": (x.astype(np.int64), y),
        "dataset": torch.utils.data.StackDataset(*zip(*pairs, strict=True)),
    }[given]
    found = attar.condense(data, method="random", ipc=2)
    assert found.header.shape == (FEATURES,)
    rows = (x.astype(np.int64) if given == "integers" else x).astype(np.float32)
    distances = np.abs(found.pixels.numpy()[:, None] - rows[None]) / np.abs(rows).max(0).clip(1)
    assert float(distances.max(-1).min(-1).max()) < 1e-6


def test_command_line_condenses_evaluates_slims_and_exports(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, small, npz = (tmp_path / n for n in ("x.safetensors", "s.safetensors", "x.npz"))
    run(["condense", f"npz:{file}", "--method", "dm", "--ipc", "2", "--iterations", "3",
         "-o", str(out)])  # fmt: skip
    assert "never augmented" in capsys.readouterr().err.replace("\n", " ")
    run(["show", str(out), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["card"]["settings"]["network"] == "mlp"
    assert told["sizes"]["paper_bytes"] == 2 * 3 * FEATURES * 4
    # mean and deviation of every value are counted, too
    assert told["sizes"]["all_bytes"] == told["sizes"]["paper_bytes"] + 2 * FEATURES * 4
    run(["evaluate", str(out), "--baselines", "random,herding,whole", "--repeats", "1",
         "--epochs", "5", "--json"])  # fmt: skip
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["kind"] for row in rows] == ["condensed", "random", "coreset", "whole"]
    assert "no augmentation" in rows[0]["results"][0]["card"]
    run(["slim", str(out), "--ipc", "1", "--learning-free", "-o", str(small)])
    assert attar.load(small).images.shape == (3, FEATURES)
    run(["export", str(out), "--npz", str(npz)])
    with np.load(npz) as stored:
        np.testing.assert_array_equal(stored["images"], attar.load(out).pixels.numpy())
    assert run(["export", str(out), "--png", str(tmp_path / "png")]) != 0
    assert "no pictures" in capsys.readouterr().err.replace("\n", " ")
    assert run(["pictures", str(out), "--kind", "grid", "-o", str(tmp_path / "p")]) != 0
    assert "there are no pictures" in capsys.readouterr().err.replace("\n", " ")


def test_a_report_tells_that_vectors_are_not_shown(file: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "x.safetensors", tmp_path / "x.html"
    attar.condense(f"npz:{file}", method="random", ipc=1, output=out)
    run(["report", str(out), "-o", str(page)])
    assert "feature vectors of 6, which are not shown" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("method", ["herding", "kcenter", "dm", "dc", "dsa", "frepo"])
def test_methods_go_with_vectors(method: str) -> None:
    options = {"iterations": None} if method in ("herding", "kcenter") else {}
    found = made(method, **options)
    assert found.header.settings["network"] == "mlp"
    assert found.totals.unused == 0
    assert bool(found.images.isfinite().all())


def test_experts_are_followed(tmp_path: Path) -> None:
    attar.train_experts(features(), output=tmp_path / "experts", count=1, epochs=3, device="cpu")
    found = made("mtt", experts=tmp_path / "experts", settings={"steps": 2})
    assert found.header.settings["objective"]["augment"] == "none"


def test_constants_are_kept_exactly(tmp_path: Path) -> None:
    found = made(output=tmp_path / "x.safetensors")
    again = attar.load(tmp_path / "x.safetensors")
    assert again.preprocessing == found.preprocessing
    torch.testing.assert_close(again.pixels, found.pixels, rtol=0, atol=0)
    assert load_header(tmp_path / "x.safetensors").mean == []


def test_snapshots_share_the_constants(tmp_path: Path) -> None:
    made(output=tmp_path / "x.safetensors", snapshots=2)
    (path,) = tmp_path.glob("*snapshots*")
    assert [one.header.step for one in load_snapshots(path)] == [0, 2]


def test_a_budget_of_bytes_counts_the_constants() -> None:
    constants, row = 2 * FEATURES * 4, FEATURES * 4
    found = attar.condense(
        features(),
        method="dm",
        max_bytes=constants + 9 * row,
        iterations=1,
        validation=0.0,
        count="all",
    )
    assert found.header.images_per_class == 3
    assert found.nbytes == constants + 9 * row


@pytest.mark.parametrize("form", ["low_rank", "tiled", "decoded"])
def test_forms_of_pictures_are_refused(form: str) -> None:
    with pytest.raises(BadRequest, match=f"'{form}' needs images with a height and a width"):
        made(form=form)


@pytest.mark.parametrize("method", ["lodm", "lodsa", "kfs"])
def test_methods_of_such_forms_are_refused(method: str) -> None:
    with pytest.raises(BadRequest, match="feature vectors of 6; choose --form pixels"):
        made(method)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"settings": {"augment": "flip"}}, "augment=flip: there is no augmentation of feature"),
        ({"objective": "distribution:augment=crop"}, "augment=crop: there is no augmentation"),
        ({"method": "frepo", "settings": {"mirror": True}}, "mirror=.*: there is no augmentation"),
        ({"zca": "mtt"}, "--zca mtt: there is no whitening of feature vectors"),
        ({"network": "convnet3"}, "'convnet3' takes images with a height and a width.*mlp"),
        ({"network": "timm:resnet18"}, "takes images with a height and a width"),
        ({"resize": 8}, "--resize 8×8: feature vectors have no height and width"),
        ({"value_range": (0, 1)}, "--range 0:1: data holds feature vectors"),
    ],
)
def test_options_of_pictures_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        made(**options)


def test_scores_and_augmented_experts_are_refused(tmp_path: Path) -> None:
    found = made()
    with pytest.raises(BadRequest, match=r"--scores: .*none of feature vectors"):
        attar.evaluate(found, (features(), features(1)), scores=True)
    with pytest.raises(BadRequest, match="--augment crop: there is no augmentation of feature"):
        attar.train_experts(features(), output=tmp_path / "e", count=1, epochs=1, augment="crop")


def test_sums_of_objectives_are_not_augmented() -> None:
    found = made(objective="distribution+0.1*gradient:augment=none")
    told = found.header.settings["objective"]["terms"]
    assert [term["augment"] for term in told] == ["none", "none"]


def test_a_module_of_ones_own_takes_vectors() -> None:
    def network() -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.Linear(FEATURES, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)
        )

    assert made(network=network).header.settings["network"].startswith("own:")
    with pytest.raises(BadRequest, match="fails on images"):
        made(network=lambda: torch.nn.Conv2d(1, 1, 1))


def test_mlp_has_width_and_depth() -> None:
    module = make_for("mlp:width=7,depth=3", (FEATURES,), 4).draw(Key(0))
    sizes = [tuple(p.shape) for n, p in module.named_parameters() if n.endswith("weight")]
    assert sizes == [(7, FEATURES), (7, 7), (7, 7), (4, 7)]
    with pytest.raises(BadRequest, match="depth=0"):
        make_for("mlp:depth=0", (FEATURES,), 4)


def test_a_run_of_vectors_goes_on_where_it_was_left(tmp_path: Path) -> None:
    whole = made(iterations=6, output=tmp_path / "whole.safetensors")
    made(iterations=3, output=tmp_path / "x.safetensors")
    again = made(iterations=6, output=tmp_path / "x.safetensors", resume=True)
    torch.testing.assert_close(again.images, whole.images, rtol=0, atol=0)


def test_arrays_of_two_axes_are_no_pictures() -> None:
    values = torch.randn(12, 4, 5, generator=torch.Generator().manual_seed(0))
    spectra = LabelledImages(
        values, torch.arange(12) % 2, ("a", "b"), Preprocessing.none(4), "spectra"
    )
    assert spectra.modality.name == "arrays"
    found = attar.condense(spectra, method="dm", ipc=2, iterations=1, validation=0.0)
    assert (found.header.shape, found.header.settings["network"]) == ((4, 5), "mlp")


def test_grey_pictures_without_their_channel_are_still_refused() -> None:
    with pytest.raises(BadRequest, match="grayscale: one channel"):
        LabelledImages(
            torch.zeros(4, 8, 8, dtype=torch.uint8),
            torch.tensor([0, 1, 0, 1]),
            ("a", "b"),
            Preprocessing.none(8),
        )


def test_merged_vectors_keep_what_is_stored() -> None:
    first = made()
    both = attar.merge(first, made(seed=1), shared="apart")
    assert both.images.shape == (12, FEATURES)
    assert both.preprocessing == first.preprocessing


def test_damaged_constants_are_refused(tmp_path: Path) -> None:
    from attar.tensors import read_header, read_tensors, save_tensors

    made(output=tmp_path / "x.safetensors")
    header, tensors = (read(tmp_path / "x.safetensors") for read in (read_header, read_tensors))
    save_tensors(tmp_path / "y.safetensors", tensors | {
        "standardisation.std": torch.zeros(FEATURES)
    }, header)  # fmt: skip
    with pytest.raises(ArtefactError, match="must all be above zero"):
        attar.load(tmp_path / "y.safetensors")
    del tensors["standardisation.mean"]
    save_tensors(tmp_path / "y.safetensors", tensors, header)
    with pytest.raises(ArtefactError, match=r"standardisation\.mean are missing"):
        attar.load(tmp_path / "y.safetensors")


def test_validations_and_evaluations_share_a_card_without_augmentation() -> None:
    frepo, vectors = card("frepo"), modality_of((6,))
    assert frepo.suited(modality_of((3, 32, 32))) is frepo
    assert frepo.suited(vectors).name == "frepo (no augmentation)"
    assert frepo.suited(vectors).strategy("cifar10") == "none"
    assert frepo.suited(vectors).network_for(()) is None


def test_a_plan_of_vectors_says_what_it_does(file: Path) -> None:
    request = Request(method="dsa", ipc=1, device="cpu")
    plan = make_plan(request, attar.load_source(f"npz:{file}"))
    assert plan.network.name == "mlp"
    assert plan.parts["note"].endswith("standardised value by value and never augmented")
