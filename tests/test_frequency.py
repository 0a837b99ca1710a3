"""The form `frequency` against explicit sums and SciPy, and what it says of itself."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.errors import BadRequest
from attar.rng import Key
from attar.storage import Content, storage_of
from attar.synthetic import Frequency, Layout, LowRank, Store, Synthetic
from attar.synthetic.forms.frequency import Waves, by_frequency, cosines, packed, unpacked
from attar.testing import check_form
from catalogue import tiny_data

SMALL: dict[str, Any] = {
    "method": "dm",
    "network": "convnet2:width=8",
    "validation": 0,
    "precision": "float32",
    "torch_compile": "off",
}
ROWS = torch.randn(6, 2, 5, 4, dtype=torch.float64, generator=Key(0).generator())


def coefficient(image: Tensor, down: int, right: int) -> float:
    """Return a coefficient of the orthonormal DCT-II of one channel, as its definition says."""
    height, width = image.shape
    total = 0.0
    for i in range(height):
        for j in range(width):
            wave = math.cos(math.pi * (2 * i + 1) * down / (2 * height))
            wave *= math.cos(math.pi * (2 * j + 1) * right / (2 * width))
            total += float(image[i, j]) * wave
    scale = math.sqrt((1 if down == 0 else 2) / height) * math.sqrt(
        (1 if right == 0 else 2) / width
    )
    return scale * total


def fitted(chosen: str, keep: float = 0.3) -> Store:
    store = Frequency(keep, chosen).build(Layout(3, 2, (2, 5, 4)))
    store.fit(ROWS.float())
    return store


def spectrum(images: Tensor) -> Tensor:
    return cosines(5) @ images.double() @ cosines(4).T


def test_the_transform_is_that_of_its_definition() -> None:
    image = ROWS[0, 0]
    found = spectrum(ROWS)[0, 0]
    wanted = [[coefficient(image, u, v) for v in range(4)] for u in range(5)]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), atol=1e-12, rtol=0)
    unit = torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(cosines(5) @ cosines(5).T, unit, atol=1e-12, rtol=0)


def test_the_lowest_frequencies_grow_as_triangles() -> None:
    order = by_frequency(4, 4)
    assert order[:6].tolist() == [0, 1, 4, 2, 5, 8]
    assert sorted(order.tolist()) == list(range(16))
    assert by_frequency(2, 4)[:4].tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("chosen", ["low", "class", "image"])
def test_what_is_kept_is_exact_and_the_rest_is_zero(chosen: str) -> None:
    store = fitted(chosen)
    found, wanted = spectrum(store(torch.arange(6)).detach()), spectrum(ROWS)
    kept = found.abs().amax(dim=1, keepdim=True).expand_as(found) > 1e-5
    assert kept.flatten(2).sum(dim=2).unique().tolist() == [6]
    torch.testing.assert_close(found[kept], wanted[kept], atol=1e-5, rtol=0)
    energy = wanted.square().mean(dim=1).flatten(1)
    if chosen == "class":
        energy = energy.view(3, 2, -1).sum(dim=1).repeat_interleave(2, 0)
    if chosen == "low":
        energy = torch.empty_like(energy).index_copy_(
            1, by_frequency(5, 4), -torch.arange(20.0).double().expand(6, -1).contiguous()
        )
    least = energy.masked_fill(~kept[:, 0].flatten(1), math.inf).amin(dim=1)
    most = energy.masked_fill(kept[:, 0].flatten(1), -math.inf).amax(dim=1)
    assert bool((least > most).all())


def test_all_coefficients_are_the_image() -> None:
    torch.testing.assert_close(fitted("low", 1.0)(torch.tensor([3])), ROWS[3:4].float())


def test_the_places_count_and_come_back_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "waves.safetensors"
    asked = {"form": "frequency:keep=0.2,chosen=image", "synthetic_per_class": 2, "init": "real"}
    made = attar.condense(
        tiny_data(), iterations=2, storage="bfloat16", output=path, **asked, **SMALL
    )
    # 13 of 64 coefficients, and 64 places at eight in a value
    assert made.totals.paper == made.nbytes == 2 * 6 * (13 + 8)
    found = attar.load(path)
    assert torch.equal(found.images, made.images)
    assert isinstance(made.synthetic.images, Waves) and isinstance(found.synthetic.images, Waves)
    assert torch.equal(found.synthetic.images.places, made.synthetic.images.places)
    lowest = torch.arange(13).expand(6, 13)
    assert not torch.equal(found.synthetic.images.places, lowest)


@pytest.mark.parametrize("size", [8, 20])
def test_masks_are_told_in_values_and_read_again(size: int) -> None:
    places = torch.stack([torch.randperm(size, generator=Key(n).generator())[:5] for n in range(4)])
    places = places.sort(dim=1).values
    told = packed(places, size)
    assert told.shape == (4, -(-size // 8)) and float(told.max()) <= 255
    assert torch.equal(told.bfloat16().float(), told)
    assert torch.equal(unpacked(told, 5, size), places)


def test_a_mask_that_tells_something_else_still_has_as_many_places() -> None:
    odd = torch.tensor([[0.0, 0], [255, 255], [-3e38, 3e38], [float("nan"), 7.4]])
    found = unpacked(odd, 5, 12)
    assert found.shape == (4, 5)
    assert found[0].tolist() == found[1].tolist() == [0, 1, 2, 3, 4]
    assert found[3].tolist() == [0, 1, 8, 9, 10]
    assert all(len(row.unique()) == 5 and int(row.max()) < 12 for row in found)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", ["low", "class"])
def test_it_holds_what_every_form_has_to(chosen: str) -> None:
    outcomes = check_form(Frequency(0.25, chosen))
    assert [one for one in outcomes if not one.refused]


def test_rows_that_share_nothing_are_nested_parted_and_merged(tmp_path: Path) -> None:
    path = tmp_path / "waves.safetensors"
    made = attar.condense(
        tiny_data(),
        form="frequency:chosen=image",
        ipc=2,
        nested=True,
        iterations=1,
        output=path,
        **SMALL,
    )
    assert len(attar.load(path, ipc=1)) < len(made)
    each = made.header.images_per_class
    part = made.of_classes([made.header.class_names[2], made.header.class_names[0]])
    assert torch.equal(part.images[:each], made.images[2 * each :])
    assert len(attar.merge(made, made, shared="join")) == 2 * len(made)


@pytest.mark.parametrize("chosen", ["class", "image"])
@pytest.mark.parametrize("storage", ["float8", "int8", "int4", "int2"])
def test_storages_that_would_tell_other_places_are_refused(chosen: str, storage: str) -> None:
    asked: Any = {"form": f"frequency:chosen={chosen}", "storage": storage, "ipc": 1}
    with pytest.raises(BadRequest, match="whole numbers up to 255"):
        attar.condense(tiny_data(), iterations=1, **asked, **SMALL)


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
@pytest.mark.parametrize("chosen", ["class", "image"])
def test_places_come_back_from_storages_that_are_taken(chosen: str, storage: str) -> None:
    layout = Layout(3, 2, (3, 8, 8))
    store = Frequency(0.25, chosen).build(layout)
    store.fit(torch.randn(6, 3, 8, 8, generator=Key(1).generator()))
    before = store.state_dict()["mask"]
    kept, content = storage_of(storage), Content(layout.sizes(), layout.shape)
    coded = kept.encode({"mask": before}, content)
    after = kept.decode(coded, {"mask": tuple(before.shape)}, content)["mask"]
    assert before.max() > 0 and torch.equal(before, after)


def test_what_is_refused() -> None:
    with pytest.raises(BadRequest, match="keep 0: above 0 to 1"):
        Frequency(0)
    with pytest.raises(BadRequest, match="unknown chosen 'clas'"):
        Frequency(chosen="clas")
    with pytest.raises(BadRequest, match="need rows with a height and a width"):
        Synthetic(Layout(2, 1, (3, 8, 8)), LowRank(2, Frequency()))
    made = attar.condense(tiny_data(), form="frequency:chosen=class", ipc=1, iterations=1, **SMALL)
    with pytest.raises(BadRequest, match="the form 'frequency' cannot be parted by class"):
        made.of_classes(made.header.class_names[:2])
