"""Whole numbers times scales: the quantiser, its streams, and sets that are kept so."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import attar
from attar.artefact.artefact import Artefact
from attar.errors import ArtefactError, BadRequest
from attar.storage import Content, sizes_of, storage_of
from attar.storage.coders import CODERS, packed_bytes, read_stream, stream_of
from attar.storage.integers import Int4, Int8, Integers
from attar.storage.scales import groups_of
from test_storage import damaged, made, payload

BITS = (8, 4, 3, 2)
CONTENT = Content((2, 2), (3, 8, 8))


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def coded(text: str, **tensors: torch.Tensor) -> tuple[dict[str, torch.Tensor], Integers]:
    storage = storage_of(text)
    assert isinstance(storage, Integers)
    return storage.encode(tensors, CONTENT), storage


def again(storage: Integers, found: dict[str, torch.Tensor], **tensors: torch.Tensor):
    shapes = {name: tuple(one.shape) for name, one in tensors.items()}
    return storage.decode(found, shapes, CONTENT)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(BITS), st.sampled_from(CODERS), st.integers(0, 70), st.integers(0, 99))
def test_streams_hold_what_was_put_in(bits: int, coder: str, count: int, seed: int) -> None:
    most = 2 ** (bits - 1) - 1
    whole = np.random.default_rng(seed).integers(-most, most + 1, count).astype(np.int8)
    stream = stream_of(whole, bits, coder)
    assert np.array_equal(read_stream(stream + b"\0\0", count, bits), whole)
    # what coding would lengthen is packed as it is
    assert len(stream) <= packed_bytes(count, bits)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(BITS), st.binary(min_size=1, max_size=60), st.integers(0, 40))
def test_any_stream_is_read_or_refused(bits: int, stream: bytes, count: int) -> None:
    try:
        whole = read_stream(stream, count, bits)
    except ValueError:
        return
    assert whole.shape == (count,) and abs(whole.astype(int)).max(initial=0) < 2 ** (bits - 1)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = stream_of(np.zeros(10_000_000, dtype=np.int8), 8, "zlib")
    assert len(bomb) < 20_000
    with pytest.raises(ValueError, match="does not hold 100 symbols"):
        read_stream(bomb, 100, 8)


@pytest.mark.parametrize("bits", BITS)
def test_scales_are_those_of_least_error(bits: int) -> None:
    values = drawn(5, 64)
    found, storage = coded(f"int{bits}", values=values)
    scales = found["values:scales"].double()
    decoded = again(storage, found, values=values)["values"].double()
    most = 2 ** (bits - 1) - 1
    for row, scale, own in zip(values.double(), scales, decoded, strict=True):
        # the definition, in float64
        whole = (row / scale).round().clamp(-most, most)
        assert torch.allclose(whole * scale, own, atol=1e-6)
        errors = []
        for clip in torch.linspace(0.3, 1, 200, dtype=torch.float64):
            step = clip * row.abs().max() / most
            errors.append((((row / step).round().clamp(-most, most) * step) - row).square().sum())
        assert (own - row).square().sum() <= 1.05 * min(errors)


@pytest.mark.parametrize(
    "text", ["int8", "int4", "int3", "int2", "int4:group=tensor", "int4:rate=2"]
)
def test_coded_again_nothing_is_lost(text: str) -> None:
    tensors = {"left": drawn(6, 3, 8, 2), "right": drawn(6, 3, 2, 8, seed=1), "bias": drawn(5)}
    found, storage = coded(text, **tensors)
    first = again(storage, found, **tensors)
    twice = again(storage, storage.encode(first, CONTENT), **tensors)
    assert all(torch.equal(one, twice[name]) for name, one in first.items())
    # and by rows
    rows = {name: one[:3] for name, one in first.items()}
    if "tensor" not in text and "rate" not in text:
        some = again(storage, storage.encode(rows, CONTENT), **rows)
        assert all(torch.equal(some[name], rows[name]) for name in ("left", "right"))


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(
        ["int8", "int4", "int3", "int2", "int4:coder=pack", "int8:rate=3", "int2:rate=0.5"]
    ),
    st.sampled_from([(4, 3, 8, 2), (1, 1), (3,), (40,), (2, 500), (7, 2, 5, 5)]),
    st.sampled_from(["row", "matrix", "tensor"]),
    st.sampled_from(["noise", "zero", "large", "tiny", "spike"]),
)
def test_a_plan_is_kept(text: str, shape: tuple[int, ...], group: str, kind: str) -> None:
    values = drawn(*shape)
    if kind == "spike":
        values.view(-1)[0] = 1e4
    values = values * {"zero": 0.0, "large": 1e4, "tiny": 1e-9}.get(kind, 1.0)
    name = f"{text}{',' if ':' in text else ':'}group={group}"
    found, storage = coded(name, values=values)
    size = sizes_of(found)["values"]
    assert storage.least("values", shape) <= size <= storage.planned("values", shape)
    decoded = again(storage, found, values=values)["values"]
    assert decoded.shape == shape and bool(decoded.isfinite().all())
    if kind == "zero":
        assert not decoded.any()


def test_a_rate_spends_what_it_may() -> None:
    values = drawn(50, 3, 16, 4)
    for rate in (1.0, 2.0, 3.0):
        found, storage = coded(f"int4:rate={rate}", values=values)
        allowed = storage.planned("values", tuple(values.shape))
        assert 0.93 * allowed < sizes_of(found)["values"] <= allowed


def test_more_bits_are_nearer() -> None:
    values = drawn(20, 3, 8, 8)
    errors = []
    for bits in BITS:
        found, storage = coded(f"int{bits}", values=values)
        errors.append((again(storage, found, values=values)["values"] - values).norm().item())
    assert errors == sorted(errors) and errors[0] < 0.02 * values.norm()


@pytest.mark.parametrize(
    ("shape", "group", "expected"),
    [
        ((10, 3, 32, 2), "row", (10, 192)),
        ((10, 3, 32, 2), "matrix", (30, 64)),
        ((10, 3, 32, 2), "tensor", (1, 1920)),
        # scales of a few values each would cost more than they give
        ((10, 3, 2, 2), "matrix", (1, 120)),
        ((10, 10), "row", (1, 100)),
        ((64,), "row", (1, 64)),
        ((8, 3, 3, 3), "matrix", (8, 27)),
    ],
)
def test_groups(shape: tuple[int, ...], group: str, expected: tuple[int, int]) -> None:
    assert groups_of(shape, group) == expected


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("int5", "unknown value of --storage 'int5' .did you mean"),
        ("int4:group=column", "unknown group"),
        ("int4:coder=morse", "unknown coder"),
        ("int4:rate=5", "int4:rate=5: bits a value, from 0.25 to 4"),
        ("int4:rate=2,coder=pack", "leave coder or rate out"),
    ],
)
def test_bad_settings_are_refused(text: str, refusal: str) -> None:
    with pytest.raises(BadRequest, match=refusal):
        storage_of(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e9])
def test_values_that_no_scale_reaches_are_refused(value: float) -> None:
    with pytest.raises(BadRequest, match="no scale reaches"):
        Int4().encode({"values": torch.full((2, 20), value)}, CONTENT)


@pytest.mark.parametrize("text", ["int8", "int4", "int3:group=matrix", "int2", "int4:rate=2.5"])
@pytest.mark.parametrize("method", ["dm", "lodm"])
def test_a_set_is_kept_in_few_bits(text: str, method: str, tmp_path: Path) -> None:
    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    options = {"method": method, "iterations": 1, "settings": {"batch_real": 4}}
    one = made(text, path, synthetic_per_class=None, max_bytes=2000, **options)
    loaded = attar.load(path)
    assert torch.equal(loaded.images, one.images) and loaded.header.storage == text
    assert one.nbytes == loaded.nbytes == payload(path) <= 2000
    loaded.save(other)
    assert path.read_bytes() == other.read_bytes()
    full = made("float32", synthetic_per_class=None, max_bytes=2000, **options)
    assert one.header.images_per_class >= 2 * full.header.images_per_class


def test_a_set_of_a_few_bits_is_near_the_one_it_is_of() -> None:
    one = made("float32", method="random")
    eight = made("int8", method="random")
    assert (one.images - eight.images).abs().max() < 0.01 * one.images.abs().max()


@pytest.mark.parametrize(
    ("name", "tensor", "why"),
    [
        ("images.values", torch.zeros(200, dtype=torch.uint8), "int4 values are damaged"),
        ("images.values", torch.full((200,), 9, dtype=torch.uint8), "does not know"),
        ("images.values", torch.zeros(3, dtype=torch.uint8), "more than the file holds|too short"),
        ("images.values:scales", torch.full((12,), -1.0).half(), "no positive numbers"),
        ("images.values:scales", torch.full((12,), math.inf).half(), "NaN or Inf"),
        ("images.values:scales", torch.ones(3).half(), "its header says"),
    ],
)
def test_damage_is_told(name: str, tensor: torch.Tensor, why: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    made("int4", path)
    with pytest.raises(ArtefactError, match=why):
        attar.load(damaged(path, name, tensor))


def test_a_small_file_cannot_speak_of_a_large_set() -> None:
    shape = (10, 3, 1000, 1000)
    assert Int8().least("images.values", shape) > 3e7 / 64
    found = Int8().encode({"images.values": torch.zeros(4, 64, 64)}, CONTENT)
    assert found["images.values"].numel() >= 4 * 64 * 64 / 64


@pytest.mark.parametrize("form", ["ordered_svd", "low_rank:rank=1,base=ordered_svd"])
def test_bits_that_a_form_cannot_keep_are_refused(form: str) -> None:
    with pytest.raises(BadRequest, match=r"--storage int4: sets in the form .* cannot be kept so"):
        made("int4", method="dm", form=form, iterations=1)


@pytest.mark.parametrize("form", ["tiled:factor=2", "decoded:upsamplings=1", "low_rank:base=tiled"])
def test_every_other_form_keeps_few_bits(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    one = made("int4", path, method="dm", form=form, iterations=1, settings={"batch_real": 4})
    assert torch.equal(attar.load(path).images, one.images)


def test_learnt_labels_are_kept_in_few_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    one = made("int8", path, method="frepo", zca="none", iterations=1, settings={"pool": 1})
    assert torch.equal(attar.load(path).labels, one.labels)
    assert any(name.startswith("labels.") and name.endswith(":scales") for name in one.coded)


def test_slimmed_merged_and_parted(tmp_path: Path) -> None:
    one = made("int4", method="lodm", iterations=1, settings={"batch_real": 4})
    names = one.header.class_names
    part = one.of_classes(names[1:])
    assert torch.equal(part.images, one.images[4:])
    both = attar.merge(one.of_classes(names[:2]), part, shared="apart")
    assert torch.equal(both.images[:8], one.images[:8])
    assert isinstance(both, Artefact) and both.header.storage == "int4"
