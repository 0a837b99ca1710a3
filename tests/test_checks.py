"""Files whose checksums are right and which still are no set: refused by name."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attar import capacity
from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.data.inverting import is_invertible
from attar.errors import ArtefactError, BadRequest
from attar.rng import Key
from attar.synthetic import Decoded, LowRank, OrderedSVD, Parametrization, Pixels, Tiled
from attar.tensors import read_header, read_tensors, save_tensors
from catalogue import PARAMETRIZATIONS, tiny_data
from forging import make_version_1
from test_partial import make

FORMS = {**PARAMETRIZATIONS, "low-rank tiles": LowRank(2, Tiled(2))}


def forge(
    path: Path,
    edit: Callable[[dict[str, Any], dict[str, Tensor]], Any],
    form: Parametrization | None = None,
    **fields: Any,
) -> Path:
    """Write a set whose header and tensors are changed, its checksums made anew."""
    make(form or Pixels(), shape=(2, 8, 8), **fields).save(path)
    header, tensors = read_header(path), read_tensors(path)
    edit(header, tensors)
    save_tensors(path, tensors, header)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "set.safetensors"


def refused(path: Path, said: str) -> None:
    for _ in range(2):
        with pytest.raises(ArtefactError, match=said) as caught:
            load(path)
        assert str(path) in str(caught.value)
        # those of version 1 are looked at in the same way
        make_version_1(path)


# what stored values make


@pytest.mark.parametrize(
    "name", sorted(FORMS.keys() - {"pixels", "tiled", "resized", "bounded", "frequency"})
)
def test_finite_values_that_make_infinite_images_are_refused(path: Path, name: str) -> None:
    def enlarge(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        for one in tensors:
            if one.startswith("images."):
                tensors[one] = tensors[one] * 1e37

    forge(path, enlarge, FORMS[name], labels=False)
    refused(path, "the images made of its stored values are NaN or Inf")


def test_a_sum_of_waves_without_bound_is_refused(path: Path) -> None:
    def enlarge(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        tensors["images.stored.values"].fill_(3e38)

    forge(path, enlarge, FORMS["frequency"], labels=False)
    refused(path, "the images made of its stored values are NaN or Inf")


def test_one_infinite_image_among_many_is_found(path: Path) -> None:
    def enlarge(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        tensors["images.left"][-1] = 1e30
        tensors["images.right"][-1] = 1e30

    refused(forge(path, enlarge, LowRank(2), count=50, labels=False), "the images made of its")


def test_infinite_labels_are_refused(path: Path) -> None:
    def enlarge(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        tensors["labels.components"].fill_(3e38)
        tensors["images.significance"].fill_(1e3)

    refused(forge(path, enlarge, OrderedSVD()), "the labels made of its stored values are NaN")


# what networks of the set's own make of larger ones is not finite
_ENLARGED = {"decoded": 1e12, "hallucinated": 1e6}


@pytest.mark.parametrize("name", FORMS)
def test_large_values_that_make_finite_images_load(path: Path, name: str) -> None:
    def enlarge(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        # a bound says too little of these, so that the images are made
        for one in tensors:
            if one.startswith("images.") and not one.endswith("right"):
                tensors[one] = tensors[one] * _ENLARGED.get(name, 1e18)
        for one in ("images.right", "images.stored.right"):
            if one in tensors:
                tensors[one] = tensors[one] * 1e19

    found = load(forge(path, enlarge, FORMS[name], labels=False))
    assert bool(found.images.isfinite().all())


@pytest.mark.parametrize("name", FORMS)
def test_the_bound_holds(path: Path, name: str) -> None:
    make(FORMS[name], shape=(2, 8, 8)).save(path)
    found = load(path)
    assert float(found.images.abs().max()) <= found.synthetic.images.bound() < math.inf
    if found.synthetic.labels is not None:
        assert float(found.labels.abs().max()) <= found.synthetic.labels.bound() < math.inf


def test_padding_beyond_float32_is_refused(path: Path) -> None:
    def pad(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        header["parametrization"]["padding"] = [1e300, 0.0]

    refused(forge(path, pad, Tiled(3), labels=False), "the images made of its stored values")


# the whitening


SINGULAR: dict[str, Callable[[Tensor], Any]] = {
    "nothing": lambda triangle: triangle.zero_(),
    "all the same": lambda triangle: triangle.fill_(1.0),
    "negative": lambda triangle: triangle.neg_(),
    "no first row": lambda triangle: triangle[:128].zero_(),
    "a large value beside the diagonal": lambda triangle: triangle[5].fill_(1e6),
}


@pytest.mark.parametrize("how", SINGULAR)
def test_a_whitening_that_cannot_be_inverted_is_refused(path: Path, how: str) -> None:
    forge(path, lambda h, t: SINGULAR[how](t["whitening.triangle"]), zca="mtt")
    refused(path, "its whitening cannot be inverted")


@pytest.mark.parametrize("size", [40, 600])
def test_what_can_be_inverted_is_told_from_what_cannot(size: int) -> None:
    noise = torch.randn(size, size, generator=Key(0).generator(), dtype=torch.float64)
    basis = torch.linalg.qr(noise)[0]

    def matrix(values: Tensor) -> Tensor:
        whole = (basis * values) @ basis.T
        return ((whole + whole.T) / 2).float()

    spread = torch.logspace(0, 4, size, dtype=torch.float64)
    for scale in (1e-20, 1.0, 1e15):
        for values in (torch.ones(size).double(), spread):
            assert is_invertible(matrix(values * scale))
            for place in (0, size // 2, size - 1):
                for odd in (0.0, -values[place]):
                    changed = values.clone()
                    changed[place] = odd
                    assert not is_invertible(matrix(changed * scale))


# the header


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"class_names": ["a", "b", "a"]}, "the class name 'a' is there twice"),
        ({"budget": {"ipc": -1}}, "header field 'budget': .*its ipc -1 is no whole number of 1"),
        ({"budget": {"ipc": True}}, "its ipc True is no whole number"),
        ({"budget": {"images_per_class": 0}}, "its images_per_class 0 is no whole number"),
        ({"budget": {"bytes": "many"}}, "its bytes 'many' is no whole number"),
        ({"budget": {"count": "some"}}, "its count is paper or all"),
        (
            {"budget": {"limit": 9215, "count": "paper"}},
            r"it holds 9216 B \(paper count\), more than its budget of 9215 B",
        ),
        ({"budget": {"limit": 9431, "count": "all"}}, r"it holds 9432 B \(all count\)"),
        ({"budget": {"limit": -5}}, "more than its budget of -5 B"),
        ({"version": True}, "header field 'version'"),
        ({"version": "1"}, "header field 'version'"),
        ({"version": 1.5}, "header field 'version'"),
        ({"mean": [1e39, 0.0]}, "is not finite in float32"),
        ({"std": [1e39, 1.0]}, "is not finite in float32"),
        ({"std": [1e-46, 1.0]}, "is not finite in float32"),
    ],
)
def test_headers_are_refused_by_what_is_wrong(
    path: Path, change: dict[str, Any], said: str
) -> None:
    forge(path, lambda header, tensors: header.update(change))
    with pytest.raises(ArtefactError, match=said):
        load(path)


def test_a_budget_that_is_kept_loads(path: Path) -> None:
    for budget in ({"limit": 9216, "count": "paper"}, {"limit": 9432, "count": "all"}):
        assert load(forge(path, lambda h, t, b=budget: h.update(budget=b))).totals.unused == 0


@pytest.mark.parametrize("name", FORMS)
def test_a_claim_to_be_nested_that_is_false_is_refused(path: Path, name: str) -> None:
    forge(path, lambda header, tensors: header.update(nested=True), FORMS[name], labels=False)
    if FORMS[name].by_row:
        assert load(path).header.nested
        return
    refused(path, "its header says nested, which sets stored as .* cannot be")


def test_what_could_not_be_loaded_is_not_begun() -> None:
    with pytest.raises(BadRequest, match="the class name 'a' is given twice"):
        import dataclasses

        dataclasses.replace(tiny_data(), class_names=("a", "b", "a"))


# more than there is memory for


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        (LowRank(1), (1, 200_000, 200_000)),
        (LowRank(1, Tiled(5000)), (1, 5000, 5000)),
        (Decoded(8, 1, 12, 1), (1, 4096, 4096)),
    ],
    ids=["low rank", "tiles", "decoders"],
)
def test_few_bytes_that_make_many_images_are_refused_before_they_are_made(
    path: Path, monkeypatch: pytest.MonkeyPatch, form: Parametrization, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr(capacity, "available_memory", lambda: 10**9)
    # nothing but the header is as it says: it is refused before the tensors are asked for
    make(Pixels(), shape=(1, 8, 8), count=2, classes=2, labels=False).save(path)
    header, count = read_header(path), 25_000_000 if isinstance(form, LowRank) else 1000
    if form == LowRank(1):
        count = 1
    change = {"parametrization": form.describe(), "shape": shape, "images_per_class": count}
    save_tensors(path, {"filling": torch.zeros(10**6)}, {**header, **change})
    with pytest.raises(ArtefactError, match=r"would take .* of memory, but 1 GB can be had"):
        load(path)


def test_a_form_nested_too_deep_is_refused(path: Path) -> None:
    def deep(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        form = {"name": "pixels"}
        for _ in range(300):
            form = {"name": "low_rank", "base": form}
        header["parametrization"] = form

    refused(forge(path, deep), "does not describe a set")


def test_numbers_beyond_every_float_are_refused(path: Path) -> None:
    def pad(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        header["parametrization"]["padding"] = [10**400, 0]

    refused(forge(path, pad, Tiled(2), labels=False), "does not describe a set")


@pytest.mark.parametrize("zca", ["none", "mtt", "frepo", "rtp", "kip"])
@pytest.mark.parametrize("name", FORMS)
def test_what_is_a_set_loads_in_both_versions(path: Path, name: str, zca: str) -> None:
    made = make(FORMS[name], shape=(2, 8, 8), zca=zca)
    made.save(path)
    for checked in (True, False):
        found = load(path)
        assert torch.equal(found.images, made.images) and torch.equal(found.labels, made.labels)
        assert found.checked is checked and isinstance(found, Artefact)
        assert json.dumps(found.header.settings) == "{}"
        make_version_1(path)
