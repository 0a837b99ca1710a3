"""Sets on the Hugging Face Hub: what goes there, and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import attar
from attar.cli import run
from attar.cli.commands import parse, with_sets_at_hand
from attar.hub import Address, local
from hub_server import Hub, serving

datasets = pytest.importorskip("datasets")
huggingface_hub = pytest.importorskip("huggingface_hub")

LICENCES: dict[str, Any] = {"license": "cc-by-4.0", "source_license": "other:My own terms"}


def condensed(tmp_path: Path, **options: Any) -> tuple[attar.Artefact, Path]:
    """Return a set made of images in a folder by an absolute path, and its file."""
    own: dict[str, Any] = {"method": "dm", "ipc": 2, "iterations": 2, "validation": 0} | options
    made = attar.condense("digits", classes=3, per_class=20, network="convnet1", **own)
    secret = Path("/home/ada/secret place/my digits")
    told = {
        **made.header.provenance,
        "source": f"folder:{secret}",
        "command": f"attar condense 'folder:{secret}' --method dm --experts '{secret.parent}/e'",
        "merged": [{"source": f"npz:{secret}.npz"}],
    }
    made.header = made.header.model_copy(update={"provenance": told})
    path = tmp_path / "set.safetensors"
    made.save(path)
    return made, path


@pytest.fixture(scope="module")
def of_digits(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    _, path = condensed(tmp_path_factory.mktemp("made"))
    return path.read_bytes()


@pytest.fixture
def made(of_digits: bytes, tmp_path: Path) -> tuple[attar.Artefact, Path]:
    path = tmp_path / "set.safetensors"
    path.write_bytes(of_digits)
    return attar.load(path), path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub()) as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        monkeypatch.setenv("HF_TOKEN", "hf_nothing")
        monkeypatch.setenv("ATTAR_DATA", str(tmp_path / "data"))
        yield found


def test_a_set_comes_back_as_it_went(hub: Hub, made: tuple[attar.Artefact, Path]) -> None:
    own, path = made
    pushed = attar.push(path, "ada/digits", **LICENCES)
    again = attar.load("hub:ada/digits")
    assert torch.equal(again.images, own.images) and torch.equal(again.labels, own.labels)
    # what trains on one trains on the other to the same accuracy
    options: dict[str, Any] = {"networks": ["convnet1"], "repeats": 1, "epochs": 20}
    splits = attar.load_source("digits", classes=3, per_class=20)
    rows = [attar.evaluate(one, splits, **options)[0] for one in (own, again)]
    assert rows[0].results[0].accuracies == rows[1].results[0].accuracies
    assert pushed.address == f"hub:ada/digits@{pushed.commit}"
    assert pushed.url == f"{hub.url}/datasets/ada/digits"
    assert attar.load(pushed.address).header == again.header


def test_a_revision_stays_what_it_is(hub: Hub, made: tuple[attar.Artefact, Path]) -> None:
    own, path = made
    first = attar.push(path, "ada/digits", **LICENCES)
    with pytest.raises(attar.BadRequest, match="already holds a set; --overwrite"):
        attar.push(path, "ada/digits", **LICENCES)
    fewer = own.of_classes(["0", "2"])
    attar.push(fewer, "ada/digits", overwrite=True, **LICENCES)
    assert len(attar.load("hub:ada/digits")) == 4
    assert len(attar.load(first.address)) == 6


@contextmanager
def offline() -> Iterator[None]:
    """Be without the Hub; huggingface-hub 0.34 keeps a session that knows whether it may ask."""
    anew = getattr(huggingface_hub, "configure_http_backend", lambda: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        anew()
        yield
    anew()


def test_what_is_here_is_read_without_the_hub(made: tuple[attar.Artefact, Path], hub: Hub) -> None:
    pushed = attar.push(made[1], "ada/digits", **LICENCES)
    attar.load("hub:ada/digits")
    with offline():
        read_without_the_hub(pushed.address)


def read_without_the_hub(address: str) -> None:
    assert len(attar.load("hub:ada/digits")) == 6
    assert len(attar.load(address)) == 6
    with pytest.raises(attar.BadRequest, match="hub:ada/other is not on this machine, and the Hub"):
        attar.load("hub:ada/other")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("hub:ada/cats", "the Hub has no data set ada/cats"),
        ("hub:ada/digits@never", "there is no revision 'never'"),
        ("hub:ada/digits/other.safetensors", "there is no other.safetensors"),
        ("hub:ada", "write hub:OWNER/NAME"),
        ("hub:ada/digits/../../x.safetensors", "write hub:OWNER/NAME"),
        ("hub:/etc/passwd", "write hub:OWNER/NAME"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_sentence(
    hub: Hub, made: tuple[attar.Artefact, Path], address: str, why: str
) -> None:
    attar.push(made[1], "ada/digits", **LICENCES)
    with pytest.raises(attar.BadRequest, match=why):
        attar.load(address)


def test_what_comes_from_the_hub_is_not_trusted(
    hub: Hub, made: tuple[attar.Artefact, Path]
) -> None:
    content = bytearray(made[1].read_bytes())
    content[-3] ^= 1
    hub.commit("eve/digits", {"set.safetensors": bytes(content)})
    with pytest.raises(attar.ArtefactError, match="truncated or damaged"):
        attar.load("hub:eve/digits")
    hub.commit("eve/pickle", {"set.safetensors": b"\x80\x04cos\nsystem\n"})
    with pytest.raises(attar.ArtefactError, match="not a safetensors file"):
        attar.load("hub:eve/pickle")


def test_the_hub_may_not_let_it_in(hub: Hub, made: tuple[attar.Artefact, Path]) -> None:
    hub.refused = True
    with pytest.raises(attar.BadRequest, match="does not let you write there; log in"):
        attar.push(made[1], "ada/digits", **LICENCES)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"license": None}, "--license is missing: .*cc-by-4.0"),
        ({"source_license": " "}, "--source-license is missing: .*that it was made from"),
        ({"license": "mine"}, "--license mine: no licence that the Hub knows"),
        ({"license": "other:"}, "--license other:: no licence"),
    ],
)
def test_licences_are_asked_for_first(tmp_path: Path, options: dict[str, Any], why: str) -> None:
    # before anything is read
    with pytest.raises(attar.BadRequest, match=why):
        attar.push("nowhere.safetensors", to=tmp_path / "out", **LICENCES | options)


def test_names_and_folders_are_checked(tmp_path: Path, made: tuple[attar.Artefact, Path]) -> None:
    for name in ("cats", "a/b/c", "a/../b", "a b/c"):
        with pytest.raises(attar.BadRequest, match="names no data set of the Hub"):
            attar.push(made[0], name, **LICENCES)
    with pytest.raises(attar.BadRequest, match="name where it goes"):
        attar.push(made[0], **LICENCES)
    folder = tmp_path / "out"
    attar.push(made[0], to=folder, **LICENCES)
    with pytest.raises(attar.BadRequest, match="already there; --overwrite"):
        attar.push(made[0], to=folder, **LICENCES)
    attar.push(made[0], to=folder, overwrite=True, **LICENCES)
    (folder / "mine.txt").write_text("keep me")
    with pytest.raises(attar.BadRequest, match="other files"):
        attar.push(made[0], to=folder, overwrite=True, **LICENCES)


def test_no_file_names_a_folder_of_this_machine(
    tmp_path: Path, made: tuple[attar.Artefact, Path]
) -> None:
    own, path = made
    attar.push(path, "ada/digits", to=tmp_path / "out", **LICENCES)
    files = [one for one in (tmp_path / "out").rglob("*") if one.is_file()]
    assert sorted(one.name for one in files) == [
        "README.md",
        "croissant.json",
        "set.safetensors",
        "train-00000-of-00001.parquet",
    ]
    for one in files:
        content = one.read_bytes()
        for hidden in (str(tmp_path), "secret place", "/home"):
            assert hidden.encode() not in content, (one, hidden)
    told = attar.load(tmp_path / "out" / "set.safetensors").header.provenance
    assert told["source"] == "folder:my digits" and told["merged"] == [
        {"source": "npz:my digits.npz"}
    ]
    # the one given is left as it is
    assert own.header.provenance["source"] == "folder:/home/ada/secret place/my digits"


@pytest.mark.parametrize("place", ["/home/ada l/cats", r"C:\Users\ada l\cats", "~/ada l/cats"])
def test_a_source_that_is_given_as_a_folder_is_its_name(
    tmp_path: Path, made: tuple[attar.Artefact, Path], place: str
) -> None:
    attar.push(made[0], to=tmp_path / "out", source=place, **LICENCES)
    for name in ("README.md", "croissant.json"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert "cats" in text and "ada l" not in text and "ada\\" not in text


def test_a_report_names_no_folder_of_this_machine(
    tmp_path: Path, made: tuple[attar.Artefact, Path]
) -> None:
    _, path = made
    other = tmp_path / "b.safetensors"
    other.write_bytes(path.read_bytes())
    for given in ([path], [path, other]):
        page = attar.write_report(given, tmp_path / "page.html")
        text = page.read_text(encoding="utf-8")
        assert "my digits" in text
        assert "secret place" not in text and tmp_path.name not in text


def test_the_table_is_read_without_attar(tmp_path: Path, made: tuple[attar.Artefact, Path]) -> None:
    own, _ = made
    attar.push(own, to=tmp_path / "out", **LICENCES)
    rows: Any = datasets.load_dataset(
        str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert rows.column_names == ["image", "label"]
    assert rows.features["label"].names == ["0", "1", "2"]
    assert rows["label"] == own.labels.tolist()
    pixels = np.stack([np.asarray(one) for one in rows["image"]])
    assert np.array_equal(pixels, own.pixels.mul(255).round().squeeze(1).numpy())


def test_learnt_labels_and_other_rows_are_in_the_table(tmp_path: Path) -> None:
    own, _ = condensed(tmp_path, method="ld", ipc=3)
    attar.push(own, to=tmp_path / "out", **LICENCES)
    rows: Any = datasets.load_dataset(
        str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")
    ).with_format("torch")
    assert torch.equal(torch.as_tensor(rows[:]["soft_label"]), own.labels)
    vectors = torch.randn(40, 5), torch.arange(40) % 2
    flat = attar.condense(vectors, method="random", ipc=3)
    attar.push(flat, to=tmp_path / "flat", **LICENCES)
    found: Any = datasets.load_dataset(
        str(tmp_path / "flat"), split="train", cache_dir=str(tmp_path / "cache")
    ).with_format("torch")
    assert torch.equal(torch.as_tensor(found[:]["features"]), flat.raw_pixels)


def test_the_page_of_a_data_set(tmp_path: Path, made: tuple[attar.Artefact, Path]) -> None:
    own, _ = made
    attar.push(own, "ada/digits", to=tmp_path / "out", source="uoft-cs/cifar10", **LICENCES)
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    told = yaml.safe_load(text.split("---")[1])
    assert told["license"] == "cc-by-4.0"
    assert told["task_categories"] == ["image-classification"]
    assert told["size_categories"] == ["n<1K"]
    assert told["source_datasets"] == ["extended|uoft-cs/cifar10"]
    assert "dataset-distillation" in told["tags"]
    # the library of the Hub reads it, too
    card = huggingface_hub.DatasetCard(text)
    assert card.data.license == "cc-by-4.0"
    for said in (
        "My own terms",
        'attar.load("hub:ada/digits")',
        "What that costs in accuracy was not measured",
        "not anonymous",
    ):
        assert said in text


def test_what_was_measured_is_told(
    tmp_path: Path, made: tuple[attar.Artefact, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = made
    fast = ["--networks", "convnet1", "--repeats", "2", "--epochs", "3"]
    real = ["--data", "digits"]
    assert run(["evaluate", str(path), *real, "--classes", "3", *fast]) == 0
    capsys.readouterr()
    licences = ["--license", "mit", "--source-license", "mit"]
    # the classes are of digits' first three
    npz = tmp_path / "real.npz"
    write_digits(npz)
    evaluated = ["--evaluate", "--data", f"npz:{npz}", *fast]
    out = tmp_path / "out"
    assert run(["push", str(path), "--to", str(out), *licences, *evaluated, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(out) and "differences" in told
    text = (out / "README.md").read_text(encoding="utf-8")
    assert "Accuracy on them minus that on the set:" in text
    assert "(mean ± std over 2 pairs)" in text and "convnet1:" in text
    assert "Card dsa-1000" in text and ", digits:" in text


def write_digits(path: Path) -> None:
    splits = attar.load_source("digits", classes=3)
    assert splits.test is not None
    parts = {"train": splits.train, "test": splits.test}
    arrays = {}
    for name, part in parts.items():
        arrays[f"x_{name}"] = part.images[:].squeeze(1).numpy()
        arrays[f"y_{name}"] = part.labels.numpy()
    np.savez(path, **arrays)


def test_commands_take_sets_of_the_hub(
    hub: Hub, made: tuple[attar.Artefact, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    attar.push(made[1], "ada/digits", **LICENCES)
    assert run(["show", "hub:ada/digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["card"]["method"] == "dm"
    assert run(["show", "hub:ada/nothing"]) == 2
    assert "the Hub has no data set ada/nothing" in capsys.readouterr().err
    here = local("hub:ada/digits")
    for words in (
        ["report", "hub:ada/digits", str(made[1]), "-o", "x.html"],
        ["merge", "hub:ada/digits", str(made[1]), "-o", "x.safetensors"],
        ["pictures", "hub:ada/digits", "-o", "x"],
    ):
        several: Any = with_sets_at_hand(parse(words))
        assert here in several.artefacts
    for name in ("evaluate", "export", "relabel", "rank", "audit", "push"):
        command: Any = with_sets_at_hand(parse([name, "hub:ada/digits"]))
        assert command.artefact == here


def test_addresses() -> None:
    assert Address.of("hub:ada/cats@v1.0") == Address("ada/cats", revision="v1.0")
    assert Address.of("hub:ada/cats/sets/a.safetensors").file == "sets/a.safetensors"
    for text in ("hub:ada/cats", "hub:ada/cats/a.safetensors@main"):
        assert str(Address.of(text)) == text


def test_croissant(tmp_path: Path, made: tuple[attar.Artefact, Path]) -> None:
    own, _ = made
    attar.push(own, "ada/digits", to=tmp_path / "out", **LICENCES)
    told = json.loads((tmp_path / "out" / "croissant.json").read_text(encoding="utf-8"))
    assert told["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert told["prov:wasDerivedFrom"]["sc:license"] == "My own terms"
    for one in told["distribution"]:
        content = (tmp_path / "out" / one["contentUrl"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.filterwarnings("ignore")
def test_croissant_as_its_own_library_reads_it(
    tmp_path: Path, made: tuple[attar.Artefact, Path], caplog: pytest.LogCaptureFixture
) -> None:
    mlcroissant = pytest.importorskip(
        "mlcroissant", reason="mlcroissant (1.1.1) is not installed: Croissant is not validated"
    )
    own, _ = made
    attar.push(own, "ada/digits", to=tmp_path / "out", **LICENCES)
    read = mlcroissant.Dataset(jsonld=str(tmp_path / "out" / "croissant.json"))
    assert not read.metadata.ctx.issues.errors and not read.metadata.ctx.issues.warnings
    assert not [one for one in caplog.records if "croissant" in one.name.lower()]
    rows = list(read.records("rows"))
    assert [one["rows/label"] for one in rows] == own.labels.tolist()
    assert rows[0]["rows/image"].size == (8, 8)
    # text or bytes, by the version of pandas that it finds
    names = [one["classes/name"] for one in read.records("classes")]
    assert [name.decode() if isinstance(name, bytes) else name for name in names] == ["0", "1", "2"]
