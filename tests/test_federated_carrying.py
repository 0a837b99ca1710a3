"""What travels of a whitened set: its file without the whitening, which both sides have."""

import dataclasses
import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import attar
from attar.applications.federated.arriving import Expected, Refused, opened
from attar.applications.federated.carrying import completed, lightened
from attar.data import LabelledImages, from_tensors
from attar.data.preprocessing import Preprocessing
from attar.training import card


def whitened(seed: int = 0) -> LabelledImages:
    images = torch.rand(30, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return from_tensors(images, torch.arange(30) % 3, zca="frepo").train


DATA = whitened()


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Preprocessing]:
    """The file of a whitened set, and its preprocessing."""
    path: Path = tmp_path_factory.mktemp("sent") / "set.safetensors"
    made = attar.condense(DATA, method="random", ipc=1, device="cpu", output=path)
    return path.read_bytes(), made.preprocessing


def expected(like: LabelledImages) -> Expected:
    return Expected(like, DATA.class_names, 4 * 3 * 3 * 8 * 8, card("dc-300"))


def test_the_whitening_stays_at_home(sent: tuple[bytes, Preprocessing]) -> None:
    whole, preprocessing = sent
    light = lightened(whole, preprocessing)
    features = torch.Size(DATA.shape).numel()
    # a matrix of all features by themselves, in 16 bits
    assert len(light) < len(whole) - 2 * features * features
    assert completed(light, preprocessing) == whole
    # what is whole stays so
    assert completed(whole, preprocessing) == whole


def test_a_set_larger_than_its_whitening_and_behind_it_travels_too(tmp_path: Path) -> None:
    images = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    like = from_tensors(images, torch.arange(60) % 2, zca="frepo").train
    path = tmp_path / "set.safetensors"
    # values of 16 bits lie behind those of 32, as the whitening has
    made = attar.condense(
        like, method="random", ipc=25, storage="float16", device="cpu", output=path
    )
    whole = path.read_bytes()
    light = lightened(whole, made.preprocessing)
    assert len(light) < len(whole)
    assert completed(light, made.preprocessing) == whole


def test_a_set_without_whitening_travels_whole(sent: tuple[bytes, Preprocessing]) -> None:
    whole, preprocessing = sent
    plain = dataclasses.replace(preprocessing, whitening=None)
    assert lightened(whole, plain) == completed(whole, plain) == whole


def test_it_is_read_with_the_servers_own(sent: tuple[bytes, Preprocessing]) -> None:
    whole, preprocessing = sent
    artefact = opened(lightened(whole, preprocessing), expected(DATA))
    assert artefact.preprocessing == preprocessing


def test_another_whitening_is_refused(sent: tuple[bytes, Preprocessing]) -> None:
    whole, preprocessing = sent
    with pytest.raises(Refused, match="truncated or damaged"):
        opened(lightened(whole, preprocessing), expected(whitened(seed=9)))


def message(table: object, rest: bytes = b"abc") -> bytes:
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + rest


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**70) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=40) | JSON.map(message), offsets=JSON, own=JSON)
def test_nothing_that_arrives_goes_through_as_more_than_it_is(
    sent: tuple[bytes, Preprocessing], data: bytes, offsets: object, own: object
) -> None:
    preprocessing = sent[1]
    assert completed(data, preprocessing) == data
    name = "whitening." + next(iter(preprocessing.whitening.tensors()))  # type: ignore[union-attr]
    for one in ({name: own}, {name: {"data_offsets": offsets}}):
        assert completed(message(one), preprocessing) == message(one)
