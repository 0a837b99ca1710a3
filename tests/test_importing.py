"""Sets that other codes wrote, in the forms in which they write them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import attar
from attar.artefact.artefact import Artefact
from attar.data import LabelledImages, Splits, load_source
from attar.errors import BadRequest
from attar.importing.constants import CLASS_NAMES, FAMILIES
from attar.synthetic import Hallucinated
from attar.training import card as find_card
from attar.training.fitting import fitted
from peer_files import (
    Compressor,
    centred,
    class_by_class,
    hallucinators,
    inputs,
    write_dc,
    write_flax,
    write_haba,
    write_mtt,
    write_rtp,
)
from pictures import write_folder
from references.tiling import decoded

FOUR = "a,b,c,d"
KNOWN = {"mean": 0.3, "std": 0.35}


@pytest.fixture(scope="module")
def digits() -> Splits:
    return load_source("digits", classes=4)


def same(artefact: Artefact, images: Tensor, labels: Tensor) -> None:
    torch.testing.assert_close(artefact.images, images, atol=0, rtol=0)
    torch.testing.assert_close(artefact.labels, labels, atol=0, rtol=0)


@pytest.mark.parametrize("legacy", [False, True])
def test_dc(legacy: bool, tmp_path: Path) -> None:
    first, last = inputs(20, 3, 8, 1), inputs(20, 3, 8, 2)
    labels = class_by_class(10, 2)
    path = tmp_path / "res_DSA_CIFAR10_ConvNet_2ipc.pt"
    write_dc(path, [(first, labels), (last, labels)], legacy=legacy)
    out = tmp_path / "set.safetensors"
    made = attar.import_artefact(path, data_name="cifar10", output=out)
    same(made, last, labels)
    same(attar.load(out), last, labels)
    header = attar.load(out).header
    assert header.method == "dsa (imported)"
    assert (header.mean, header.std) == ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])
    assert header.class_names == list(CLASS_NAMES["cifar10"])
    assert header.settings["card"] == "dsa-1000"
    assert header.provenance["source"] == header.provenance["dataset"] == "cifar10"
    imported = header.provenance["imported"]
    assert imported["format"] == "dc"
    assert imported["bytes"] == {path.name: path.stat().st_size}
    assert len(imported["sha256"][path.name]) == 64
    assert "set 1 of 2 in the file" in imported["notes"]
    same(attar.import_artefact(path, data_name="cifar10", index=0), first, labels)
    with pytest.raises(BadRequest, match=r"--index 2: .* holds 2 set\(s\)"):
        attar.import_artefact(path, data_name="cifar10", index=2)


def test_rows_are_sorted_by_class(tmp_path: Path) -> None:
    images = inputs(8)
    labels = torch.tensor([3, 0, 2, 1, 1, 0, 2, 3])
    write_dc(tmp_path / "set.pt", [(images, labels)])
    made = attar.import_artefact(tmp_path / "set.pt", classes=FOUR, **KNOWN)
    same(made, images[[1, 5, 3, 4, 2, 6, 0, 7]], class_by_class(4, 2))


def test_unequal_classes(tmp_path: Path) -> None:
    images, labels = inputs(7), torch.tensor([0, 0, 1, 1, 2, 3, 3])
    write_dc(tmp_path / "set.pt", [(images, labels)])
    with pytest.raises(BadRequest, match=r"'c' has 1 image\(s\), 'a' 2.*--per-class 1 takes"):
        attar.import_artefact(tmp_path / "set.pt", classes=FOUR, **KNOWN)
    with pytest.raises(BadRequest, match="--per-class 2: class 'c' has 1"):
        attar.import_artefact(tmp_path / "set.pt", classes=FOUR, per_class=2, **KNOWN)
    made = attar.import_artefact(tmp_path / "set.pt", classes=FOUR, per_class=1, **KNOWN)
    same(made, images[[0, 2, 4, 5]], torch.arange(4))
    assert "3 images were left out (--per-class)" in made.header.provenance["imported"]["notes"]


def test_the_command_names_given_constants_to_the_last_digit(tmp_path: Path) -> None:
    write_dc(tmp_path / "set.pt", [(inputs(4), torch.arange(4))])
    made = attar.import_artefact(tmp_path / "set.pt", classes=4, mean=0.123456789, std=1 / 3)
    command = made.header.provenance["command"]
    assert "--mean 0.123456789 " in command and f"--std {1 / 3} " in command


def test_mtt_takes_the_constants_of_cifar10_for_cifar100(tmp_path: Path) -> None:
    images, labels = inputs(100, 3), class_by_class(100, 1)
    files = write_mtt(tmp_path, images, labels)
    made = attar.import_artefact(files, data_name="cifar100", zca="none")
    same(made, images, labels)
    assert made.header.std == [0.2023, 0.1994, 0.2010]
    assert made.header.method == "mtt (imported)" and made.header.settings["card"] == "mtt"
    write_dc(tmp_path / "set.pt", [(images, labels)])
    assert attar.import_artefact(tmp_path / "set.pt", data_name="cifar100").header.std == [
        *(0.2673, 0.2564, 0.2762)
    ]


def test_mtt_in_parts_and_in_any_order(tmp_path: Path) -> None:
    images, labels = inputs(8), class_by_class(4, 2)
    one = write_mtt(tmp_path / "one", images[:4], labels[:4])
    two = write_mtt(tmp_path / "two", images[4:], labels[4:])
    files = [one[1], one[0], two[1], two[0]]
    same(attar.import_artefact(files, classes=FOUR, zca="none", **KNOWN), images, labels)


def test_datm_keeps_soft_labels_and_the_rate(tmp_path: Path) -> None:
    images = inputs(8)
    scores = 3 * torch.eye(4).repeat_interleave(2, 0) + 0.3 * torch.randn(
        8, 4, generator=torch.Generator().manual_seed(0)
    )
    files = write_mtt(tmp_path, images, scores, lr=0.0025)
    out = tmp_path / "out.safetensors"
    made = attar.import_artefact(files, classes=FOUR, zca="none", output=out, **KNOWN)
    # the authors' loss takes the softmax of what they store
    same(made, images, torch.softmax(scores, dim=1))
    loaded = attar.load(out)
    header = loaded.header
    assert header.learned_labels and header.method == "datm (imported)"
    assert loaded.learned["learned_lr"].item() == pytest.approx(0.0025)
    assert fitted(find_card("mtt"), loaded, "cifar10").lr == pytest.approx(0.0025)
    assert made.totals.paper == images.numel() * 4
    assert made.nbytes == images.numel() * 4 + scores.numel() * 4 + 4


def test_probabilities_stay_and_one_hot_rows_are_classes(tmp_path: Path) -> None:
    images = inputs(8)
    soft = torch.full((8, 4), 0.1)
    soft[:, 0] = 0.7
    made = attar.import_artefact(
        write_mtt(tmp_path / "a", images, soft), classes=FOUR, zca="none", **KNOWN
    )
    # the largest labels tell no classes here, so the file's order stands
    same(made, images, soft)
    assert any("file's order" in note for note in made.header.provenance["imported"]["notes"])
    hot = torch.eye(4)[class_by_class(4, 2)]
    made = attar.import_artefact(
        write_mtt(tmp_path / "b", images, hot), classes=FOUR, zca="none", **KNOWN
    )
    same(made, images, class_by_class(4, 2))


def test_images_whose_whitening_was_taken_back_are_pixels(digits: Splits, tmp_path: Path) -> None:
    # distill.py of mtt-distillation saves images_{it}.pt, as networks saw them, and
    # images_zca_{it}.pt behind zca_trans.inverse_transform
    from attar.data import Preprocessing, fit_whitening

    whitened, labels = 0.2 * inputs(8), class_by_class(4, 2)
    fitted = fit_whitening("mtt", digits.train.images)
    pixels = Preprocessing((0.0,), (1.0,), fitted).invert(whitened)
    for name, images in (("images_0", whitened), ("images_zca_0", pixels), ("labels_0", labels)):
        torch.save(images, tmp_path / f"{name}.pt")
    back = [tmp_path / "images_zca_0.pt", tmp_path / "labels_0.pt"]
    for options in ({"zca": "none"}, {}):
        made = attar.import_artefact(back, data="digits", classes=4, **options)
        assert made.header.zca == "none" and made.preprocessing.whitening is None
        torch.testing.assert_close(made.preprocessing.invert(made.images), pixels)
        assert made.header.std != [1.0]
        assert any(
            "taken for pixels" in note for note in made.header.provenance["imported"]["notes"]
        )
    # whitened again they are what networks saw
    again = attar.import_artefact(back, data="digits", classes=4, zca="mtt")
    assert again.header.zca == "mtt"
    torch.testing.assert_close(again.images, whitened, atol=1e-4, rtol=1e-3)
    with pytest.raises(BadRequest, match="--zca frepo: mtt stores pixels"):
        attar.import_artefact(back, data="digits", classes=4, zca="frepo")
    with pytest.raises(BadRequest, match=r"images_zca_0.pt: .* but not that of images_0.pt"):
        mixed = [*back, tmp_path / "images_0.pt", tmp_path / "labels_0.pt"]
        attar.import_artefact(mixed, data="digits", classes=4)


def test_zca_is_fitted_again_and_kept(digits: Splits, tmp_path: Path) -> None:
    from attar.data import fit_whitening

    images, labels = inputs(8), class_by_class(4, 2)
    files = write_mtt(tmp_path, images, labels)
    with pytest.raises(BadRequest, match="do not say whether the images are whitened"):
        attar.import_artefact(files, data=digits)
    with pytest.raises(BadRequest, match=r"--zca mtt: .* give them with --data SOURCE"):
        attar.import_artefact(files, classes=4, zca="mtt")
    out = tmp_path / "out.safetensors"
    attar.import_artefact(files, data="digits", classes=4, zca="mtt", output=out)
    made = attar.load(out)
    same(made, images, labels)
    assert made.header.zca == "mtt" and made.header.std == [1.0]
    own = made.preprocessing.whitening
    assert own is not None
    fitted = fit_whitening("mtt", digits.train.images)
    torch.testing.assert_close(own.matrix, fitted.matrix)
    # what it shows are the pixels that whitening makes into these images
    torch.testing.assert_close(
        made.preprocessing.apply(made.preprocessing.invert(images)), images, atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize(("size", "factor"), [(8, 2), (8, 3), (8, 1)])
def test_idc(size: int, factor: int, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(20, 3, size, size, generator=generator) * 1.02
    path = tmp_path / "data.pt"
    torch.save([pixels, class_by_class(10, 2)], path)
    out = tmp_path / "out.safetensors"
    attar.import_artefact(path, data_name="cifar10", factor=factor, output=out)
    made = attar.load(out)
    assert len(made) == 20 * factor**2 and made.header.images_per_class == 2 * factor**2
    # the bytes are those that IDC stores, whatever the number of images
    assert made.totals.paper == pixels.numel() * 4 == made.nbytes
    mean = torch.tensor([0.4914, 0.4822, 0.4465], dtype=torch.float64).view(-1, 1, 1)
    std = torch.tensor([0.2023, 0.1994, 0.2010], dtype=torch.float64).view(-1, 1, 1)
    # the authors cut and enlarge pixels, with gray where nothing is, then standardise
    wanted = torch.cat([decoded(image, factor, [0.5] * 3) for image in pixels])
    torch.testing.assert_close(made.images.double(), (wanted - mean) / std, atol=1e-4, rtol=1e-4)
    assert torch.equal(made.labels, class_by_class(10, 2 * factor**2))


def test_idc_is_told_from_network_inputs(tmp_path: Path) -> None:
    path = tmp_path / "data.pt"
    torch.save([inputs(4), torch.arange(4)], path)
    with pytest.raises(BadRequest, match="IDC stores pixels"):
        attar.import_artefact(path, classes=FOUR, factor=2)
    torch.save([torch.rand(4, 1, 8, 8), torch.arange(4)], path)
    with pytest.raises(BadRequest, match="give --factor 2"):
        attar.import_artefact(path, classes=FOUR)
    with pytest.raises(BadRequest, match="they look like pixels"):
        attar.import_artefact(path, format="dc", data_name="mnist", classes=4)


@pytest.mark.parametrize("inside", [3, 1])
def test_haba(inside: int, tmp_path: Path) -> None:
    bases, styles = inputs(20, inside), hallucinators(2, inside, 3, 8)
    files = write_haba(tmp_path, bases, styles)
    made = attar.import_artefact(files, data_name="cifar10", zca="none")
    with torch.no_grad():
        wanted = torch.stack([style(bases) for style in styles], dim=1).flatten(0, 1)
    torch.testing.assert_close(made.images, wanted)
    assert torch.equal(made.labels, class_by_class(10, 4))
    # as it is stored: bases and hallucinators, at the bytes of both
    form = Hallucinated(2, 0 if inside == 3 else 1, 3)
    assert made.synthetic.parametrization == form
    stored = sum(parameter.numel() for parameter in styles.parameters())
    assert made.ledger.paper == 4 * bases.numel()
    assert made.nbytes == made.ledger.paper + 4 * stored
    first = attar.import_artefact(files, data_name="cifar10", zca="none", per_class=2)
    torch.testing.assert_close(first.images, wanted.view(10, 4, 3, 8, 8)[:, :2].flatten(0, 1))
    assert first.ledger.paper == 2 * bases.numel()
    (note,) = [n for n in made.header.provenance["imported"]["notes"] if "bases" in n]
    assert f"{bases.numel() * 4} bytes of bases and {stored * 4} bytes of hall" in note
    assert made.header.method == "haba (imported)"


@pytest.mark.parametrize("form", ["frepo", "rcig", "npz"])
def test_frepo(form: str, digits: Splits, tmp_path: Path) -> None:
    images = inputs(8).permute(0, 2, 3, 1).contiguous().numpy()
    labels = centred(class_by_class(4, 2), 4)
    labels += np.random.default_rng(0).normal(0, 0.05, labels.shape).astype(np.float32)
    proto = {"x_proto": images, "y_proto": labels}
    state = {"step": 100, "params": proto, "opt_state": {"0": {"mu": proto, "count": 3}}}
    path = tmp_path / "checkpoint_100"
    if form == "npz":
        path = tmp_path / "step000100.npz"
        np.savez(path, image=images, label=labels)
    elif form == "frepo":
        write_flax(path, {**state, "ema_average": None, "epoch": 1, "best_val_acc": 0.0})
    else:
        other = {"x_proto": images * 0, "y_proto": labels, "log_temp": np.zeros((), np.float32)}
        write_flax(path, {**state, "params": other, "ema_average": proto | {"log_temp": 0.0}})
    with pytest.raises(BadRequest, match=r"--zca frepo: .* give them with --data"):
        attar.import_artefact(path, classes=4, **KNOWN)
    out = tmp_path / "out.safetensors"
    attar.import_artefact(path, data=digits, output=out)
    made = attar.load(out)
    same(made, torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))
    assert made.header.zca == "frepo" and made.header.settings["card"] == "frepo"
    assert made.header.method == f"{'rcig' if form == 'rcig' else 'frepo'} (imported)"
    with torch.no_grad():
        test = made.preprocessing.apply(digits.test.images[:5].float() / 255)
    assert bool(torch.isfinite(test).all())


def test_kip_says_zca_in_its_name(digits: Splits, tmp_path: Path) -> None:
    images = inputs(8).permute(0, 2, 3, 1).numpy().astype(np.float64)
    labels = (np.eye(4)[class_by_class(4, 2).numpy()] - 0.25).astype(np.float32)
    plain = tmp_path / "kip_ssize8_nozca_nol_noaug.npz"
    zca = tmp_path / "kip_ssize8_zca_nol_noaug.npz"
    unsaid = tmp_path / "rfad.npz"
    for path in (plain, zca, unsaid):
        np.savez(path, images=images, labels=labels)
    made = attar.import_artefact(plain, data=digits)
    assert made.header.zca == "none" and not made.header.learned_labels
    same(made, torch.from_numpy(images).permute(0, 3, 1, 2).float(), class_by_class(4, 2))
    assert attar.import_artefact(zca, data=digits).header.zca == "kip"
    with pytest.raises(BadRequest, match="do not say whether the images are whitened"):
        attar.import_artefact(unsaid, data=digits)


def test_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "set", {"cat": 3, "dog": 2, "bird": 2}, size=(8, 8))
    out = tmp_path / "out.safetensors"
    with pytest.raises(BadRequest, match="--per-class 2 takes"):
        attar.import_artefact(tmp_path / "set", output=out)
    assert not out.exists()
    attar.import_artefact(tmp_path / "set", per_class=2, output=out)
    made = attar.load(out)
    assert made.header.class_names == ["bird", "cat", "dog"]
    from attar.data.decoding import decode_parts
    from attar.data.folders import list_images

    (pixels,) = decode_parts([list_images(tmp_path / "set").pictures], None)
    torch.testing.assert_close(made.pixels, pixels[[0, 1, 2, 3, 5, 6]].float() / 255)


def test_folders_with_the_names_of_classes_take_their_order(tmp_path: Path) -> None:
    write_folder(tmp_path / "set", {"b": 1, "a": 1}, size=(8, 8))
    given, found = (
        attar.import_artefact(tmp_path / "set", classes=names, **KNOWN) for names in ("b,a", "x,y")
    )
    assert torch.equal(given.images, found.images[[1, 0]])
    assert any("stand for" in note for note in found.header.provenance["imported"]["notes"])


def test_labelled_images_are_data_too(digits: Splits, tmp_path: Path) -> None:
    write_dc(tmp_path / "set.pt", [(inputs(4), torch.arange(4))])
    data: LabelledImages = digits.train
    made = attar.import_artefact(tmp_path / "set.pt", data=data)
    assert made.header.class_names == list(digits.train.class_names)
    assert made.header.mean == list(digits.train.preprocessing.mean)


def test_constants_are_those_of_the_authors() -> None:
    assert FAMILIES["mtt"]["cifar100"] == FAMILIES["dc"]["cifar10"] == FAMILIES["idc"]["cifar10"]
    assert FAMILIES["frepo"]["cifar10"][1] == (0.2470, 0.2435, 0.2616)
    assert FAMILIES["dc"]["tiny_imagenet"][0] == (0.485, 0.456, 0.406)
    assert FAMILIES["frepo"]["tiny_imagenet"][0] == (0.4759, 0.4481, 0.3926)
    counts = {name: len(names) for name, names in CLASS_NAMES.items()}
    assert counts.pop("cifar100") == 100 and set(counts.values()) == {10}
    assert list(CLASS_NAMES["cifar100"]) == sorted(CLASS_NAMES["cifar100"])


@pytest.mark.parametrize(("channels", "factor"), [(1, 2), (3, 2), (3, 1)])
def test_rtp_is_kept_as_bases_and_addresses(channels: int, factor: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    peer = Compressor(12, channels * 16, bases=5)
    path = write_rtp(tmp_path / "imgs_embedding_basis_minibatch_MINE_compressor.pt", peer)
    out = tmp_path / "set.safetensors"
    made = attar.import_artefact(path, classes=FOUR, factor=factor, zca="none", output=out, **KNOWN)
    with torch.no_grad():
        bases, addresses = peer.basis.weight, peer.imgs.weight
        images = (addresses @ bases).view(12, channels, 4, 4)
        if factor > 1:
            images = torch.nn.functional.interpolate(
                images, scale_factor=float(factor), mode="bilinear", align_corners=False
            )
    for one in (made, attar.load(out)):
        torch.testing.assert_close(one.images, images, rtol=1e-5, atol=1e-6)
        assert torch.equal(one.labels, class_by_class(4, 3))
        stored = one.synthetic.state_dict()
        assert torch.equal(stored["images.bases.values"].flatten(1), bases)
        assert torch.equal(stored["images.addresses"], addresses)
    assert made.ledger.all == 4 * (bases.numel() + addresses.numel())
    header = made.header
    assert header.parametrization == {"name": "addressed", "bases": 5, "factor": factor}
    assert header.method == "remember-the-past (imported)" and header.settings["card"] == "rtp"
    assert header.provenance["imported"]["format"] == "rtp"
    few = attar.import_artefact(path, classes=FOUR, factor=factor, zca="none", per_class=2, **KNOWN)
    rows = [0, 1, 3, 4, 6, 7, 9, 10]
    assert torch.equal(few.synthetic.state_dict()["images.addresses"], addresses[rows])
    torch.testing.assert_close(few.images, images[rows], rtol=1e-5, atol=1e-6)


def test_rtp_without_bases_is_pixels(tmp_path: Path) -> None:
    peer = Compressor(8, 3 * 64)
    path = write_rtp(tmp_path / "set.pt", peer)
    made = attar.import_artefact(path, classes=FOUR, factor=1, zca="none", **KNOWN)
    same(made, peer.imgs.weight.detach().view(8, 3, 8, 8), class_by_class(4, 2))
    with pytest.raises(BadRequest, match=r"--factor 2: .* has no bases"):
        attar.import_artefact(path, classes=FOUR, factor=2, zca="none", **KNOWN)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"basis.weight": torch.ones(3, 16), "imgs.weight": torch.ones(4, 2)}, "3 bases, but"),
        ({"basis.weight": torch.ones(2, 5), "imgs.weight": torch.ones(4, 2)}, "no square picture"),
        ({"basis.weight": torch.ones(2), "imgs.weight": torch.ones(4, 2)}, "a matrix of values"),
        ({"basis.weight": torch.ones(2, 16), "imgs.weight": torch.ones(4, 2).long()}, "int64"),
        (
            {"basis.weight": torch.full((2, 16), torch.nan), "imgs.weight": torch.ones(4, 2)},
            "NaN or Inf",
        ),
        ({"imgs.weight": torch.ones(3, 16)}, "3 images are not equally many of 4 classes"),
    ],
)
def test_rtp_that_makes_no_sense_is_refused(
    state: dict[str, Tensor], said: str, tmp_path: Path
) -> None:
    torch.save({"compressor": state}, tmp_path / "set.pt")
    with pytest.raises(BadRequest, match=said):
        attar.import_artefact(tmp_path / "set.pt", classes=FOUR, factor=1, zca="none", **KNOWN)
    with pytest.raises(BadRequest, match=r"give --factor 2|a matrix of values|int64|NaN"):
        attar.import_artefact(tmp_path / "set.pt", classes=FOUR, zca="none", **KNOWN)
