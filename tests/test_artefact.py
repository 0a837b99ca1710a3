import contextlib
import functools
import json
import operator
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from attar.artefact import loading
from attar.artefact.artefact import Artefact
from attar.artefact.header import FORMAT, FORMAT_VERSION, Header
from attar.artefact.loading import load, load_header
from attar.artefact.merging import merge
from attar.data import Preprocessing, fit_whitening
from attar.errors import ArtefactError, BadRequest
from attar.rng import Key
from attar.synthetic import STORAGE_TYPES, LowRank, Parametrization, Pixels, Synthetic
from attar.tensors import read_header, read_tensors, save_tensors

SHAPE = (2, 4, 3)
FEATURES = 2 * 4 * 3
MEAN, STD = (0.4, 0.6), (0.25, 0.5)
FORMS = {"pixels": Pixels(), "low rank": LowRank(2)}
RANK_2 = LowRank(2)


def make(
    form: Parametrization = RANK_2,
    storage: str = "float32",
    labels: bool = False,
    zca: str = "none",
    **fields: Any,
) -> Artefact:
    """Three classes of two images, their values exact in the storage type."""
    header = Header.model_validate(
        {
            "class_names": ["ant", "bee", "cat"],
            "shape": SHAPE,
            "images_per_class": 2,
            "parametrization": form.describe(),
            "learned_labels": labels,
            "storage": storage,
            "mean": MEAN,
            "std": STD,
            "zca": zca,
            "method": "lodm",
            "budget": {"limit": 2000, "count": "paper"},
            **fields,
        }
    )
    synthetic = Synthetic(header.layout, form, labels)
    dtype = STORAGE_TYPES[storage]
    for number, tensor in enumerate(synthetic.state_dict().values()):
        generator = Key(0).fold(number).generator()
        tensor.copy_(torch.randn(tensor.shape, generator=generator).to(dtype))
    whitening = None
    if zca != "none":
        pixels = torch.rand(9, *SHAPE, generator=Key(1).generator())
        whitening = fit_whitening(zca, pixels)
    return Artefact(header, synthetic.requires_grad_(False), Preprocessing(MEAN, STD, whitening))


def saved(path: Path, **options: Any) -> Path:
    make(**options).save(path)
    return path


def rewrite(path: Path, header: dict[str, Any], tensors: dict[str, Tensor] | None = None) -> Path:
    """Write a file with another header or other tensors, as a forger would."""
    save_tensors(path, read_tensors(path) if tensors is None else tensors, header)
    return path


def payload(path: Path) -> int:
    """Bytes of tensors in a safetensors file, from its own table."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    table = json.loads(content[8 : 8 + size])
    spans = [row["data_offsets"] for name, row in table.items() if name != "__metadata__"]
    total = sum(end - begin for begin, end in spans)
    assert total == len(content) - 8 - size
    return total


def refused(path: Path, *texts: str) -> None:
    with pytest.raises(ArtefactError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    for text in texts:
        assert text in str(caught.value)


@pytest.mark.parametrize("zca", ["none", "mtt", "rtp"])
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("storage", sorted(STORAGE_TYPES))
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_is_saved_is_loaded_bit_for_bit(
    tmp_path: Path, form: Parametrization, storage: str, labels: bool, zca: str
) -> None:
    made = make(form, storage, labels, zca)
    path = tmp_path / "a.safetensors"
    made.save(path)
    found = load(path)
    assert torch.equal(found.images, made.images)
    assert torch.equal(found.labels, made.labels)
    assert torch.equal(found.pixels, made.pixels)
    assert found.preprocessing == made.preprocessing
    assert found.header == made.header == load_header(path)
    assert repr(found) == repr(made)
    # the plan of `attar.budget` is what lies on the disk
    assert found.nbytes == made.ledger.all == payload(path)
    on_disk = read_tensors(path)
    assert {e.name: (e.shape, e.bytes) for e in found.ledger.entries} == {
        name: (tuple(t.shape), t.numel() * t.element_size()) for name, t in on_disk.items()
    }
    # a header of at most a few kilobytes, and nothing else
    assert path.stat().st_size <= payload(path) + 4096


def test_bytes_by_hand(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", storage="float16", labels=True, zca="mtt")
    factors = 6 * 2 * 2 * (4 + 3) * 2
    whitening = FEATURES * 4 + FEATURES * (FEATURES + 1) // 2 * 4 + 8
    assert payload(path) == factors + 6 * 3 * 2 + whitening
    assert load(path).ledger.paper == factors


def test_the_same_is_written_twice(tmp_path: Path) -> None:
    one = saved(tmp_path / "1", zca="mtt", labels=True)
    other = saved(tmp_path / "2", zca="mtt", labels=True)
    assert one.read_bytes() == other.read_bytes()
    load(one).save(other)
    assert one.read_bytes() == other.read_bytes()


def test_saving_replaces(tmp_path: Path) -> None:
    path = saved(tmp_path / "a")
    make(seed=5).save(str(path))
    assert load(str(path)).header.seed == 5
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [1e5, float("nan"), float("inf")])
def test_values_that_the_storage_cannot_hold_are_not_written(tmp_path: Path, value: float) -> None:
    made = make(storage="float16")
    made.synthetic.state_dict()["images.left"][0] = value
    with pytest.raises(BadRequest) as caught:
        made.save(tmp_path / "a")
    assert str(caught.value) == (
        "values do not fit into float16; use --storage float32 or bfloat16"
    )
    assert list(tmp_path.iterdir()) == []


def test_items_are_images_with_their_class() -> None:
    made = make(Pixels())
    assert len(made) == 6
    assert made.images.shape == (6, *SHAPE)
    assert made.images.dtype == torch.float32
    assert made.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert made.labels.dtype == torch.int64
    image, label = made[4]
    assert torch.equal(image, made.synthetic.state_dict()["images.values"][4])
    assert label.item() == 2
    assert torch.equal(made[-1][0], made.images[5])
    assert len(list(made)) == 6
    with pytest.raises(IndexError):
        made[6]


def test_factors_are_multiplied_once() -> None:
    made = make()
    parts = {name: tensor.numpy() for name, tensor in made.synthetic.state_dict().items()}
    expected = np.matmul(parts["images.left"], parts["images.right"])
    np.testing.assert_allclose(made.images.numpy(), expected, atol=1e-6)
    assert made.images is made.images
    assert not made.images.requires_grad


def test_learned_labels_are_given_as_they_are() -> None:
    made = make(labels=True)
    assert made.labels.shape == (6, 3)
    assert torch.equal(made.labels, made.synthetic.state_dict()["labels.values"])
    assert torch.equal(made[3][1], made.labels[3])


def test_pixels_undo_the_preprocessing() -> None:
    made = make(Pixels())
    by_hand = made.images * torch.tensor(STD).view(2, 1, 1) + torch.tensor(MEAN).view(2, 1, 1)
    torch.testing.assert_close(made.pixels, by_hand.clamp(0, 1))
    assert float(made.pixels.min()) == 0
    assert float(made.pixels.max()) == 1


def test_repr_says_what_it_is() -> None:
    assert repr(make()) == "Artefact(lodm: 3 classes × 2 images of 2×4×3, 672 bytes)"


def test_totals() -> None:
    totals = make(labels=True).totals
    assert (totals.images_per_class, totals.values, totals.paper) == (2, 168, 672)
    assert totals.all == 672 + 72
    assert (totals.limit, totals.count, totals.unused) == (2000, "paper", 2000 - 672)
    assert make(labels=True, budget={"limit": 2000, "count": "all"}).totals.unused == 2000 - 744
    assert make(budget={}).totals.unused is None
    assert make(budget={"limit": None}).totals.unused is None


@pytest.mark.parametrize("labels", [False, True])
def test_an_ordinary_loop_trains_on_it(tmp_path: Path, labels: bool) -> None:
    found = load(saved(tmp_path / "a", labels=labels))
    with Key(0).seeding_global():
        model = nn.Sequential(nn.Flatten(), nn.Linear(FEATURES, 3))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(8):
        for images, target in DataLoader(found, batch_size=4, shuffle=False):
            wanted = target.softmax(dim=1) if labels else target
            loss = nn.functional.cross_entropy(model(images), wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    assert losses[-1] < losses[1]
    assert losses[-2] < losses[0]


def test_card_fields_are_checked() -> None:
    assert make().header.format == FORMAT
    assert make().header.version == FORMAT_VERSION
    for fields in ({"images_per_class": 0}, {"class_names": []}, {"step": -1}):
        with pytest.raises(ValueError, match=next(iter(fields))):
            make(**fields)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    refused(tmp_path / "no.safetensors", "no such file")
    refused(tmp_path, "is a directory, not an artefact")


@pytest.mark.parametrize("content", [b"", b"x", b"a text file, and a longer one\n" * 9])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    refused(tmp_path / "a", "is not a safetensors file, so no artefact")


def test_foreign_safetensors(tmp_path: Path) -> None:
    save_file({"images.left": torch.ones(2)}, tmp_path / "a")
    refused(tmp_path / "a", "is not a file that Attar wrote")
    save_file({"images.left": torch.ones(2)}, tmp_path / "b", {"format": "pt"})
    refused(tmp_path / "b", "not one that Attar wrote")


def test_checkpoints_say_how_to_go_on(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {"x": torch.ones(1)}, {"format": "attar.checkpoint"})
    refused(tmp_path / "a", "is no artefact (format 'attar.checkpoint')", "--resume")
    save_tensors(tmp_path / "b", {"x": torch.ones(1)}, {})
    refused(tmp_path / "b", "is no artefact (format None)")


def test_a_newer_version_says_what_to_do(tmp_path: Path) -> None:
    path = saved(tmp_path / "a")
    rewrite(path, {**read_header(path), "version": 3, "something": "new"})
    refused(path, "has format version 3; this Attar reads up to 2", "Install a newer one")


@pytest.mark.parametrize("version", [0, -1, "2", "1", "1.5", None, 1.5, 1.0, True, [1]])
def test_versions_that_never_were(tmp_path: Path, version: object) -> None:
    path = saved(tmp_path / "a")
    refused(rewrite(path, {**read_header(path), "version": version}), "'version'")


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("how", ["torch", "torch legacy", "pickle"])
def test_pickles_are_refused_and_not_run(tmp_path: Path, how: str) -> None:
    marker, path = tmp_path / "exploded", tmp_path / "a.safetensors"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Bomb(marker)))
    else:
        torch.save({"x": Bomb(marker)}, path, _use_new_zipfile_serialization=how == "torch")
    refused(path, "is not a safetensors file")
    assert not marker.exists()
    if how == "pickle":  # the bomb is a real one
        pickle.loads(path.read_bytes())
        assert marker.exists()


def test_truncated_files(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole", storage="float16").read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in [*range(0, 16), *range(16, len(whole), 37), *range(len(whole) - 9, len(whole))]:
        cut.write_bytes(whole[:length])
        refused(cut)
    refused(cut, "is truncated or damaged", "fetch it again")


def test_files_with_something_behind(tmp_path: Path) -> None:
    path = saved(tmp_path / "a")
    path.write_bytes(path.read_bytes() + b"\0")
    refused(path, "is truncated or damaged")


def test_missing_and_extra_tensors(tmp_path: Path) -> None:
    path = saved(tmp_path / "a")
    header, tensors = read_header(path), read_tensors(path)
    rewrite(path, header, {"images.left": tensors["images.left"]})
    refused(path, "tensors images.right are missing or do not belong")
    rewrite(path, header, {**tensors, "labels.values": torch.zeros(6, 3)})
    refused(path, "tensors labels.values are missing or do not belong")
    rewrite(path, header, {**tensors, "code": torch.zeros(1), "more": torch.zeros(1)})
    refused(path, "tensors code, more are missing or do not belong")
    rewrite(path, header, {})
    refused(path)


def test_tensors_of_another_shape(tmp_path: Path) -> None:
    path = saved(tmp_path / "a")
    header, tensors = read_header(path), read_tensors(path)
    rewrite(path, header, {**tensors, "images.left": torch.zeros(6, 2, 4, 3)})
    refused(path, "images.left is (6, 2, 4, 3), its header says (6, 2, 4, 2)")
    rewrite(path, header, {**tensors, "images.right": tensors["images.right"].flatten()})
    refused(path, "images.right is (72,), its header says (6, 2, 2, 3)")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int32, torch.bool])
def test_tensors_of_another_type(tmp_path: Path, dtype: torch.dtype) -> None:
    path = saved(tmp_path / "a")
    tensors = read_tensors(path)
    tensors["images.left"] = torch.ones(6, 2, 4, 2).to(dtype)
    rewrite(path, read_header(path), tensors)
    refused(path, f"images.left is {dtype}, its header says torch.float32")


@pytest.mark.parametrize("name", ["images.left", "labels.values", "whitening.triangle"])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_values_that_are_no_numbers(tmp_path: Path, name: str, value: float) -> None:
    path = saved(tmp_path / "a", labels=True, zca="mtt")
    tensors = read_tensors(path)
    tensors[name].flatten()[3] = value
    rewrite(path, read_header(path), tensors)
    refused(path, "stored values are NaN or Inf")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"whitening.mean": None}, "tensors whitening.mean are missing"),
        ({"whitening.more": torch.ones(2)}, "tensors whitening.more are missing or do not belong"),
        (
            {"whitening.triangle": torch.zeros(9)},
            "whitening.triangle is (9,), its header says (300,)",
        ),
        ({"whitening.scale": torch.ones(2).double()}, "whitening.scale is (2,)"),
        ({"whitening.scale": torch.ones(1)}, "whitening.scale is torch.float32"),
        (
            {"whitening.mean": torch.ones(3), "whitening.triangle": torch.ones(6)},
            "whitening.mean is (3,), its header says (24,)",
        ),
        ({"whitening.mean": torch.ones(2, 12)}, "whitening.mean is (2, 12)"),
        ({"whitening.mean": torch.ones(24).half()}, "whitening.mean is torch.float16"),
        ({"whitening.mean": torch.ones(24).half()}, "whitening.mean is torch.float16"),
    ],
)
def test_whitenings_that_do_not_fit(
    tmp_path: Path, changes: dict[str, Tensor | None], text: str
) -> None:
    path = saved(tmp_path / "a", zca="mtt")
    tensors = {**read_tensors(path), **changes}
    rewrite(path, read_header(path), {n: t for n, t in tensors.items() if t is not None})
    refused(path, text)


def test_a_whitening_that_the_header_does_not_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", zca="mtt")
    rewrite(path, {**read_header(path), "zca": "none"})
    refused(path, "whitening.mean", "are missing or do not belong")
    path = saved(tmp_path / "b")
    rewrite(path, {**read_header(path), "zca": "mtt"})
    refused(path, "tensors whitening.mean, whitening.scale, whitening.triangle are missing")
    rewrite(path, {**read_header(path), "zca": "mt"})
    refused(path, "header field 'zca'")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"learned_labels": True}, "tensors labels.values are missing"),
        ({"class_names": ["ant", "bee"]}, "its header says (4, 2, 4, 2)"),
        ({"class_names": []}, "header field 'class_names'"),
        ({"class_names": "ant"}, "header field 'class_names'"),
        ({"images_per_class": 1}, "its header says (3, 2, 4, 2)"),
        ({"images_per_class": 0}, "header field 'images_per_class'"),
        ({"images_per_class": 2.5}, "header field 'images_per_class'"),
        ({"shape": [0, 4, 3]}, "header"),
        ({"shape": [2, 4, 0]}, "header"),
        ({"shape": [2, -4, 3]}, "header"),
        ({"shape": [-2, -4, 3]}, "header"),
        ({"shape": [2, 4]}, "'low_rank' needs images with a height and a width"),
        ({"shape": []}, "header field 'shape"),
        ({"shape": [2, 4, 3, 1]}, "these are arrays of 2×4×3×1"),
        ({"shape": [2, 3, 4]}, "its header says"),
        ({"shape": [1, 4, 3]}, "mean and std do not fit 1 channels"),
        ({"mean": [0.5]}, "mean and std do not fit 2 channels"),
        ({"std": [0.5]}, "mean and std do not fit 2 channels"),
        ({"mean": [], "std": []}, "mean and std do not fit 2 channels"),
        ({"std": [0.5, 0.0]}, "mean and std do not fit 2 channels"),
        ({"std": [0.5, -1.0]}, "mean and std do not fit 2 channels"),
        ({"std": ["a", 1]}, "header field 'std.0'"),
        ({"storage": "float16"}, "is torch.float32, its header says torch.float16"),
        ({"storage": "int7"}, "header field 'storage'"),
        ({"parametrization": {"name": "wavelet"}}, "unknown form 'wavelet'"),
        ({"parametrization": {}}, "unknown form ''"),
        ({"parametrization": {"name": "pixels"}}, "are missing or do not belong"),
        ({"parametrization": {"name": "low_rank", "rank": 4}}, "have ranks 1 to 3"),
        ({"parametrization": {"name": "low_rank", "rank": "2"}}, "a whole number is needed"),
        ({"parametrization": {"name": "low_rank", "rank": True}}, "a whole number is needed"),
        ({"parametrization": {"name": "low_rank", "base": "pixels"}}, "is no parametrization"),
        ({"parametrization": {"name": "low_rank", "bass": {}}}, "(did you mean 'base'?)"),
        ({"parametrization": "pixels"}, "header field 'parametrization'"),
        ({"surprise": 1}, "header field 'surprise': Extra inputs are not permitted"),
        ({"format": None}, "is no artefact (format None)"),
        ({"step": -1}, "header field 'step'"),
        ({"iterate": "best"}, "header field 'iterate'"),
        ({"seed": "x"}, "header field 'seed'"),
        ({"budget": {"limit": "much"}}, "header field 'budget'"),
        ({"budget": {"limit": 1.5}}, "header field 'budget'"),
    ],
)
def test_headers_that_do_not_describe_the_tensors(
    tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    path = saved(tmp_path / "a")
    refused(rewrite(path, {**read_header(path), **changes}), text)


@pytest.mark.parametrize("field", ["class_names", "shape", "images_per_class", "mean", "std"])
def test_headers_that_lack_a_field(tmp_path: Path, field: str) -> None:
    path = saved(tmp_path / "a")
    header = read_header(path)
    del header[field]
    refused(rewrite(path, header), f"header field '{field}': Field required")


@pytest.mark.parametrize(
    "changes",
    [
        {"images_per_class": 10**9},
        {"images_per_class": 10**30},
        {"images_per_class": 10**30, "learned_labels": True},
        {"shape": [10**6, 10**6, 10**6]},
        {"shape": [2, 10**30, 3]},
        {"parametrization": {"name": "pixels"}, "shape": [2, 100_000, 100_000]},
    ],
)
def test_absurd_headers_are_refused_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    path = saved(tmp_path / "a")
    rewrite(path, {**read_header(path), **changes})

    def never(*_: object) -> None:
        raise AssertionError("the set was built")

    monkeypatch.setattr(loading, "Synthetic", never)
    refused(path, "bytes, more than the file holds")


WORDS = ["name", "rank", "base", "limit", "count", "low_rank", "pixels", "none", "mtt", "\ud800"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.sampled_from([10**9, -(10**9), 2**63, 10**30, 10**400])
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=5,
)
PATHS = [(name,) for name in (*Header.model_fields, "unheard of")] + [
    ("parametrization", "name"),
    ("parametrization", "rank"),
    ("parametrization", "base"),
    ("parametrization", "base", "name"),
    ("parametrization", "base", "base"),
    ("shape", 0),
    ("shape", 2),
    ("mean", 1),
    ("std", 1),
    ("class_names", 0),
    ("budget", "limit"),
    ("budget", "count"),
]


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("fuzz") / "intact.safetensors"
    return saved(path, labels=True, zca="mtt", storage="float16").read_bytes()


def loads_or_refuses(path: Path) -> None:
    """Whatever the file says: an artefact that works, or the one error."""
    try:
        found = load(path)
    except ArtefactError as error:
        assert str(path) in str(error)
        return
    assert found.images.shape == found.pixels.shape == (len(found), *found.header.shape)
    assert len(found.labels) == len(found)
    assert found.nbytes == payload(path)
    assert found.totals.unused is None or isinstance(found.totals.unused, int)
    assert repr(found)
    again = path.with_name("again")
    found.save(again)
    assert load(again).header == found.header


@given(changes=st.dictionaries(st.sampled_from(PATHS), VALUES, min_size=1, max_size=2))
@example(changes={("mean", 1): 10**400})
@example(changes={("seed",): float("nan")})
@example(changes={("images_per_class",): 10**30})
@example(changes={("parametrization", "base"): "pixels"})
@example(changes={("budget", "limit"): "much"})
@example(changes={("budget",): {"limit": 10**400}})
@settings(deadline=None, max_examples=150)
def test_a_header_tampered_with_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, intact: bytes, changes: dict[tuple[Any, ...], Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "tampered.safetensors"
    size = struct.unpack("<Q", intact[:8])[0]
    table = json.loads(intact[8 : 8 + size])
    header = json.loads(table["__metadata__"]["attar"])
    for (*parents, last), value in changes.items():
        # one change may take away what another one is about
        with contextlib.suppress(TypeError, LookupError):
            functools.reduce(operator.getitem, parents, header)[last] = value
    table["__metadata__"]["attar"] = json.dumps(header)
    text = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + intact[8 + size :])
    loads_or_refuses(path)


@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=3)
)
@settings(deadline=None, max_examples=150)
def test_a_damaged_file_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, intact: bytes, flips: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    content = bytearray(intact)
    for position, bits in flips:
        content[position % len(content)] ^= bits
    path.write_bytes(content)
    loads_or_refuses(path)


@given(content=st.binary(max_size=200))
@settings(deadline=None, max_examples=50)
def test_noise_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.safetensors"
    path.write_bytes(content)
    with pytest.raises(ArtefactError):
        load(path)


def test_no_path_is_told() -> None:
    with pytest.raises(BadRequest, match="--path None: a path is needed"):
        load(None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(BadRequest, match="merge: None is no artefact"):
        merge(None, None)  # pyright: ignore[reportArgumentType]
