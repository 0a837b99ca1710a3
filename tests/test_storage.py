"""Storages: whatever codes the values of a set, its file, ledger and parts hold together."""

from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.artefact.artefact import Artefact
from attar.budget import Budget
from attar.data import Splits, from_tensors
from attar.errors import ArtefactError, BadRequest
from attar.storage import STORAGES, Content, Storage, sizes_of, storage_of, storage_text
from attar.synthetic import Allowance, Kept, LowRank, fill, planned_ledger
from attar.tensors import read_header, read_tensors, save_tensors
from storages import Squeezed, Whole

STORAGE_TEXTS = ("float32", "float16", "float8", "whole", "whole:step=0.25", "squeezed")


def data(count: int = 12, classes: int = 3, size: int = 8) -> Splits:
    """Return images with a plain pattern, so that they can be squeezed."""
    made = torch.Generator().manual_seed(3)
    labels = torch.arange(classes).repeat_interleave(count)
    pixels = torch.rand(len(labels), 1, size, size, generator=made).round()
    names = tuple(f"class {label}" for label in range(classes))
    train = from_tensors(pixels, labels, class_names=names, name="tiny").train
    return Splits(train, None, source="tiny")


def made(storage: str, output: Path | None = None, **options: Any) -> Artefact:
    options = {"method": "random", "synthetic_per_class": 4, "validation": 0} | options
    return attar.condense(data(), storage=storage, output=output, **options)


def payload(path: Path) -> int:
    return sum(one.numel() * one.element_size() for one in read_tensors(path).values())


@pytest.mark.parametrize("text", STORAGE_TEXTS)
def test_a_storage_is_read_from_its_text(text: str) -> None:
    assert storage_text(storage_of(text)) == text
    assert storage_of(storage_of(text)) == storage_of(text)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("flat16", "unknown value of --storage 'flat16'"),
        ("whole:stop=1", "unknown setting \\(--storage\\) of whole 'stop'"),
        ("whole:step=much", "--storage step=much: a number is needed"),
        ("whole:step", "'step' is no setting; write name=value"),
    ],
)
def test_an_unknown_storage_is_refused(text: str, refusal: str) -> None:
    with pytest.raises(BadRequest, match=refusal):
        attar.Request(storage=text)


@pytest.mark.parametrize("text", STORAGE_TEXTS)
def test_a_file_gives_back_what_was_kept(text: str, tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    one = made(text, first)
    again = attar.load(first)
    assert torch.equal(again.images, one.images)
    assert again.header.storage == text
    assert again.nbytes == one.nbytes == payload(first)
    assert one.nbytes == sum(entry.bytes for entry in one.ledger.entries)
    again.save(second)
    assert first.read_bytes() == second.read_bytes()


def test_float8_clips_and_is_finite(tmp_path: Path) -> None:
    storage = storage_of("float8")
    values = torch.tensor([[0.0, 1.0, -1.0625, 1e6, -1e6, 0.0019]])
    coded = storage.encode({"values": values}, Content((1,), (6,)))
    again = storage.decode(coded, {"values": (1, 6)}, Content((1,), (6,)))["values"]
    # four significant bits; the smallest step is 2 to the −9
    assert again.tolist() == [[0.0, 1.0, -1.0, 448.0, -448.0, 2.0**-9]]
    with pytest.raises(BadRequest, match="NaN or Inf, which it cannot keep"):
        storage.encode({"values": values / 0}, Content((1,), (6,)))
    path = tmp_path / "a.safetensors"
    one = made("float8", path)
    nan = torch.full(one.images.shape, 0x7F, dtype=torch.uint8)
    with pytest.raises(ArtefactError, match=r"float8 values are damaged: images.values holds NaN"):
        attar.load(damaged(path, "images.values", nan))


@pytest.mark.parametrize("name", [name for name in STORAGES if STORAGES[name].whole])
def test_whole_numbers_are_kept_as_far_as_is_said(name: str) -> None:
    storage = storage_of(name)
    content = Content((1,), (1, 1, 1))
    for most in {storage.whole, min(storage.whole, 255)}:
        values = torch.arange(max(0, most - 40), most + 1).float()
        coded = storage.encode({"a": values}, content)
        assert torch.equal(storage.decode(coded, {"a": tuple(values.shape)}, content)["a"], values)


def test_an_artefact_in_a_coded_storage_is_what_it_decodes_to() -> None:
    plain = made("float32")
    header = plain.header.model_copy(update={"storage": "whole:step=0.5"})
    coded = Artefact(header, plain.synthetic, plain.preprocessing)
    assert torch.equal(coded.images, (coded.images * 2).round() / 2)


@pytest.mark.parametrize("method", ["dm", "lodm"])
def test_a_run_ends_in_a_coded_set_and_resumes(method: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    options = {"method": method, "iterations": 2, "settings": {"batch_real": 4}, "snapshots": 2}
    one = made("whole", path, **options)
    assert torch.equal(attar.load(path).images, one.images)
    resumed = made("whole", path, resume=True, **(options | {"iterations": 3}))
    straight = made("whole", **(options | {"iterations": 3, "snapshots": None}))
    assert torch.equal(resumed.images, straight.images)
    from attar.artefact.snapshots import load_snapshots

    kept = load_snapshots(path.with_suffix(".snapshots.safetensors"))
    assert torch.equal(kept[-1].images, resumed.images)


def test_as_many_real_images_as_fit_once_coded(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    most = made("squeezed", synthetic_per_class=12).nbytes
    limit = most // 2
    one = made("squeezed", path, synthetic_per_class=None, max_bytes=limit)
    count = one.header.images_per_class
    assert 1 < count < 12
    assert one.nbytes <= limit < made("squeezed", synthetic_per_class=count + 1).nbytes
    assert attar.load(path).nbytes == payload(path) <= limit
    # there are no more images than real ones
    whole = made("squeezed", synthetic_per_class=None, max_bytes=4 * most)
    assert whole.header.images_per_class == 12
    with pytest.raises(BadRequest, match="holds no image per class; one takes"):
        made("squeezed", synthetic_per_class=None, max_bytes=20)


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"form": "low_rank:rank=1", "method": "random"}, "choose --form pixels"),
        ({"method": "dm", "init": "noise", "max_bytes": 900}, "noise takes far more"),
    ],
)
def test_what_a_storage_cannot_keep_is_refused(options: dict[str, Any], refusal: str) -> None:
    with pytest.raises(BadRequest, match=refusal):
        made("squeezed", synthetic_per_class=None if "max_bytes" in options else 4, **options)


def test_the_search_counts_what_is_kept() -> None:
    found = fill(Kept(LowRank(1)), Allowance(Budget(max_bytes=1000), Whole()), data().train)
    # A and B of 8 values each, each with a mark, for all images together
    assert found.layout.per_class == (1000 - 2) // (3 * 16)
    one = planned_ledger(found.layout, LowRank(1), "whole")
    assert one.all == found.ledger.all == 3 * 16 * found.layout.per_class + 2


def test_parts_of_an_exactly_coded_set(tmp_path: Path) -> None:
    one = made("whole")
    names = one.header.class_names
    part = one.of_classes([names[2], names[0]])
    assert torch.equal(part.images, torch.cat([one.images[8:], one.images[:4]]))
    assert part.nbytes == 8 * 64 + 1
    both = attar.merge(one.of_classes(names[:2]), one.of_classes(names[1:]), shared="join")
    assert torch.equal(both.images[:4], one.images[:4]) and both.header.storage == "whole"


def test_a_nested_coded_set_is_read_in_part(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    options = {"method": "dm", "iterations": 1, "settings": {"batch_real": 4}, "nested": True}
    one = made("whole", path, synthetic_per_class=None, ipc=1, **options)
    assert one.header.images_per_class == 3
    two = made("whole", path, synthetic_per_class=None, ipc=2, overwrite=True, **options)
    part = attar.load(path, ipc=1)
    first = [row for label in range(3) for row in list(two.header.layout.rows_of(label))[:3]]
    assert torch.equal(part.images, two.images[first])
    assert part.nbytes == 3 * 3 * 64 + 1


def test_images_coded_with_a_loss_are_not_parted(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    one = made("squeezed", path)
    for call in (
        lambda: one.of_classes(one.header.class_names[:2]),
        lambda: attar.merge(one, one, shared="apart"),
        lambda: attar.load(path, ipc=1),
    ):
        with pytest.raises(BadRequest, match="squeezed, which codes them together"):
            call()
    pixels = attar.merge(one, one, shared="apart", pixels=True)
    assert torch.equal(pixels.images[:4], one.images[:4])


def test_slimming_keeps_the_storage_where_it_can(tmp_path: Path) -> None:
    one = made("whole", synthetic_per_class=9)
    small = attar.slim(one, 1, random=True)
    assert small.header.storage == "whole" and small.nbytes <= 3 * 64 * 4
    assert torch.equal(small.images, (small.images * 8).round() / 8)
    squeezed = attar.slim(one, 1, random=True, storage="squeezed")
    assert squeezed.nbytes <= 3 * 64 * 4 and squeezed.header.images_per_class > 4


def damaged(path: Path, name: str, tensor: torch.Tensor | None) -> Path:
    tensors, header = read_tensors(path), read_header(path)
    if tensor is None:
        del tensors[name]
    else:
        tensors[name] = tensor
    other = path.with_name("damaged.safetensors")
    save_tensors(other, tensors, header)
    return other


@pytest.mark.parametrize(
    ("storage", "name", "tensor", "why"),
    [
        ("whole", "images.values:mark", torch.tensor([8], dtype=torch.uint8), "mark is not 7"),
        ("whole", "images.values:mark", None, "are missing or do not belong"),
        ("whole", "images.values", torch.zeros(1, dtype=torch.int8), "its header says"),
        ("squeezed", "images.values", torch.zeros(9, dtype=torch.uint8), "values are damaged"),
        ("squeezed", "images.values", torch.zeros(3, 3, dtype=torch.uint8), "its header says"),
        ("squeezed", "images.values", torch.zeros(9, dtype=torch.int8), "its header says"),
    ],
)
def test_a_damaged_stream_is_told(
    tmp_path: Path, storage: str, name: str, tensor: torch.Tensor | None, why: str
) -> None:
    path = tmp_path / "a.safetensors"
    made(storage, path)
    with pytest.raises(ArtefactError, match=why):
        attar.load(damaged(path, name, tensor))


def test_a_header_of_a_set_too_large_for_its_file_is_refused_before_memory_is_taken(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.safetensors"
    made("squeezed", path)
    tensors, header = read_tensors(path), read_header(path)
    for changes in ({"images_per_class": 10**9}, {"images_per_class": 10**30}):
        save_tensors(path, tensors, header | changes)
        with pytest.raises(ArtefactError):
            attar.load(path)


@pytest.mark.parametrize("storage", [Whole(), Squeezed()], ids=lambda one: one.name)
def test_show_and_report_tell_the_storage(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    one = made(storage.name, path)
    told = attar.describe(path)
    assert told["card"]["storage"] == storage.name
    assert {row["dtype"] for row in told["sizes"]["tensors"]} == {storage.name}
    assert told["sizes"]["all_bytes"] == sum(sizes_of(one.coded).values())
    attar.write_report(path, tmp_path / "a.html")
    assert storage.name in (tmp_path / "a.html").read_text()


def test_registered_storages_are_listed() -> None:
    assert {"float32", "whole", "squeezed"} <= set(STORAGES)
