import math

import pytest
import torch
from torch import Tensor

from attar.augmentation import dsa as augmenting
from attar.augmentation.dsa import OPERATIONS, augment, augment_as_dc, parse_strategy
from attar.errors import BadRequest
from attar.rng import Key
from references import augmentation

SHAPES = [(4, 3, 8, 8), (3, 1, 7, 8), (2, 3, 5, 9)]
NAMES = list(OPERATIONS)


def noise(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def uniform(rows: int, seed: int = 0) -> Tensor:
    return torch.rand(rows, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_operation_equals_the_reference(
    name: str, shared: bool, shape: tuple[int, int, int, int]
) -> None:
    for seed in range(6):
        images, draws = noise(shape, seed), uniform(1 if shared else shape[0], seed)
        found = OPERATIONS[name](images.float(), draws)
        assert found.dtype == torch.float32 and found.shape == shape
        wanted = augmentation.apply(name, images, draws)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=2e-5)


def test_operations_are_the_six_of_the_paper() -> None:
    assert sorted(OPERATIONS) == ["color", "crop", "cutout", "flip", "rotate", "scale"]


# the ends of the ranges, in numbers that can be checked by hand

LAST = 1 - 1e-6


def row(*draws: float) -> Tensor:
    return torch.tensor([[*draws, *[0.0] * (3 - len(draws))]])


def ramp(size: int = 8) -> Tensor:
    return torch.arange(1.0, size * size + 1).view(1, 1, size, size)


@pytest.mark.parametrize(("draw", "flipped"), [(0.0, True), (0.499, True), (0.5, False)])
def test_flip_mirrors_columns_half_of_the_time(draw: float, flipped: bool) -> None:
    images = ramp()
    expected = images.flip(3) if flipped else images
    assert torch.equal(OPERATIONS["flip"](images, row(draw)), expected)


@pytest.mark.parametrize("size", [8, 32, 28])
def test_crop_shifts_by_an_eighth_at_most_and_fills_with_zero(size: int) -> None:
    shift = {8: 1, 32: 4, 28: 4}[size]
    up = OPERATIONS["crop"](ramp(size), row(0.0, 0.5))
    assert torch.equal(up[:, :, shift:], ramp(size)[:, :, :-shift])
    assert up[:, :, :shift].abs().sum() == 0
    left = OPERATIONS["crop"](ramp(size), row(0.5, LAST))
    assert torch.equal(left[..., :-shift], ramp(size)[..., shift:])
    assert left[..., -shift:].abs().sum() == 0


def test_every_shift_is_as_likely() -> None:
    draws = torch.zeros(900, 3)
    draws[:, 0] = (torch.arange(900) + 0.5) / 900
    draws[:, 1] = 0.5
    images = torch.ones(1, 1, 32, 1).cumsum(2).expand(900, 1, 32, 32)
    first = OPERATIONS["crop"](images, draws)[:, 0, 16, 0] - 17
    assert torch.bincount(first.long() + 4).tolist() == [100] * 9


def covered(draw_y: float, draw_x: float, size: int = 8) -> list[tuple[int, int]]:
    """Return the first and last row and column that a cutout made zero."""
    zero = OPERATIONS["cutout"](torch.ones(1, 1, size, size), row(draw_y, draw_x))[0, 0] == 0
    lines, columns = zero.any(1).nonzero().flatten(), zero.any(0).nonzero().flatten()
    assert zero.sum() == len(lines) * len(columns)
    return [(int(lines[0]), int(lines[-1])), (int(columns[0]), int(columns[-1]))]


def test_cutout_covers_half_the_side_and_may_hang_over_the_border() -> None:
    assert covered(0.5, 0.5) == [(2, 5), (2, 5)]
    assert covered(0.0, LAST) == [(0, 1), (6, 7)]
    assert covered(0.5, 0.5, size=6) == [(2, 4), (2, 4)]
    assert covered(0.0, LAST, size=6) == [(0, 1), (4, 5)]


def test_scale_above_one_shrinks_and_axes_are_apart() -> None:
    images = torch.ones(1, 1, 9, 9)
    x_shrunk = OPERATIONS["scale"](images, row(LAST, (1 - 1 / 1.2) / (1.2 - 1 / 1.2)))[0, 0]
    # 1.2 · (−1 … 1) leaves the image beyond the outermost pixel: 0.8 of a pixel at each side
    torch.testing.assert_close(x_shrunk[4, 0], torch.tensor(0.2), rtol=0, atol=1e-4)
    assert x_shrunk[:, 1:-1].min() > 0.999
    enlarged = OPERATIONS["scale"](images, row(0.0, 0.0))
    assert enlarged.min() > 0.999


def test_rotation_is_at_most_15_degrees() -> None:
    size = 201
    images = torch.zeros(1, 1, size, size)
    images[0, 0, 100, 180:183] = 1
    for draw, sign in ((0.0, -1), (LAST, 1)):
        y, x = divmod(int(OPERATIONS["rotate"](images, row(draw))[0, 0].argmax()), size)
        angle = math.degrees(math.atan2(y - 100, x - 100))
        # the grid is turned by the angle, so the picture turns the other way
        assert angle == pytest.approx(-15 * sign, abs=0.6)


def test_colour_constants_and_their_order() -> None:
    images = noise((1, 3, 4, 4)).float()
    color = OPERATIONS["color"]
    # saturation 2 · 0.5 and contrast 0.5 + 0.5 leave brightness alone, in ±0.5
    torch.testing.assert_close(color(images, row(0.0, 0.5, 0.5)), images - 0.5)
    torch.testing.assert_close(color(images, row(1.0, 0.5, 0.5)), images + 0.5)
    gray = images.mean(1, keepdim=True)
    torch.testing.assert_close(color(images, row(0.5, 0.0, 0.5)), gray.expand_as(images))
    torch.testing.assert_close(color(images, row(0.5, 1.0, 0.5)), 2 * images - gray)
    level = images.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(color(images, row(0.5, 0.5, 0.0)), (images + level) / 2)
    torch.testing.assert_close(color(images, row(0.5, 0.5, 1.0)), 1.5 * images - level / 2)
    # brightness comes first, so contrast turns around the new level
    mixed = color(images, row(1.0, 0.5, 0.0))
    torch.testing.assert_close(mixed, (images + level) / 2 + 0.5)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_flow(name: str, shared: bool) -> None:
    images = noise((2, 3, 4, 5)).requires_grad_()
    draws = uniform(1 if shared else 2, 5)
    if name == "flip":
        draws[0, 0] = 0.2
    assert torch.autograd.gradcheck(lambda batch: OPERATIONS[name](batch, draws), images)


# drawing


@pytest.mark.parametrize("name", NAMES)
def test_shared_gives_every_image_the_same_transform(name: str) -> None:
    images = noise((1, 3, 8, 8)).expand(5, -1, -1, -1).contiguous()
    for step in range(4):
        seen = augment(images, (name,), Key(0).fold(step), shared=True)
        assert all(torch.equal(seen[0], one) for one in seen[1:])
    seen = augment(images, (name,), Key(0), shared=False)
    assert not all(torch.equal(seen[0], one) for one in seen[1:])


@pytest.mark.parametrize("name", NAMES)
def test_shared_does_not_depend_on_the_size_of_the_batch(name: str) -> None:
    images = noise((6, 1, 8, 8))
    whole = augment(images, (name,), Key(2), shared=True)
    if name != "color":
        assert torch.equal(augment(images[:2], (name,), Key(2), shared=True), whole[:2])
    torch.testing.assert_close(augment(images[:2], (name,), Key(2), shared=True), whole[:2])


def test_a_key_decides_everything_and_leaves_the_global_generator_alone() -> None:
    images = noise((4, 3, 8, 8)).float()
    before, state = images.clone(), torch.random.get_rng_state()
    for shared in (True, False):
        first = augment(images, tuple(NAMES), Key(1), shared=shared)
        torch.rand(3)
        assert torch.equal(first, augment(images, tuple(NAMES), Key(1), shared=shared))
        assert not torch.equal(first, augment(images, tuple(NAMES), Key(2), shared=shared))
        torch.random.set_rng_state(state)
    first = augment_as_dc(images, Key(1))
    assert torch.equal(first, augment_as_dc(images, Key(1)))
    assert not torch.equal(first, augment_as_dc(images, Key(2)))
    assert torch.equal(images, before)
    assert torch.equal(state, torch.random.get_rng_state())


def test_one_operation_per_call_each_as_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    fakes = {name: lambda images, _, name=name: (called.append(name), images)[1] for name in NAMES}
    monkeypatch.setattr(augmenting, "OPERATIONS", fakes)
    for step in range(1200):
        augment(torch.zeros(1, 1, 2, 2), tuple(NAMES), Key(0).fold(step), shared=True)
    assert len(called) == 1200
    # five standard deviations of a binomial with p = 1/6
    assert all(abs(called.count(name) - 200) < 65 for name in NAMES)


def test_no_strategy_is_no_change() -> None:
    images = noise((2, 1, 4, 4))
    assert augment(images, (), Key(0), shared=True) is images
    assert parse_strategy("none") == parse_strategy("None") == parse_strategy("") == ()
    assert parse_strategy("flip_crop") == ("flip", "crop")


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("colour", "did you mean 'color'"),
        ("flip_none", "unknown augmentation 'none'"),
        ("flip__crop", "unknown augmentation ''"),
        ("flip_crop_flip", "'flip_crop_flip': a name stands twice"),
    ],
)
def test_a_wrong_strategy_is_refused(strategy: str, message: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse_strategy(strategy)
    assert message in str(refusal.value)


# the DC authors' own augmentation for digits


def markers(count: int) -> Tensor:
    """One bright point off the centre on every image; the batch's mean is not zero."""
    images = torch.zeros(count, 1, 33, 33)
    images[:, 0, 16, 24] = 1.0
    return images + 0.25


def test_dc_shifts_turns_and_scales_within_its_ranges() -> None:
    moved = augment_as_dc(markers(3000), Key(0)) - markers(1).mean()
    places = [divmod(int(one.argmax()), 33) for one in moved]
    whole = [bool(one.max() > 0.98) for one in moved]
    shifts = [(y - 16, x - 24) for (y, x), exact in zip(places, whole, strict=True) if exact]
    assert {y for y, _ in shifts} == {x for _, x in shifts} == set(range(-4, 5))
    distances = [math.hypot(y - 16, x - 16) for y, x in places]
    assert min(distances) > 3 and max(distances) < 13
    turned = [
        math.degrees(math.atan2(y - 16, x - 16))
        for (y, x), d in zip(places, distances, strict=True)
        if abs(d - 8) < 0.7
    ]
    assert 40 < max(turned) < 50 and -50 < min(turned) < -40


def test_dc_shifts_are_equally_likely() -> None:
    moved = augment_as_dc(markers(5400), Key(0)) - markers(1).mean()
    across = []
    for one in moved:
        y, x = divmod(int(one.argmax()), 33)
        if one.max() > 0.98 and y not in (16,):
            across.append(x - 24)
    counts = [across.count(shift) for shift in range(-4, 5)]
    assert sum(counts) > 1000
    assert max(counts) < 1.4 * min(counts)


def test_dc_fills_with_the_mean_of_the_batch() -> None:
    images = torch.full((60, 3, 9, 9), 0.0)
    images[:, 0] = 2.0
    images[:, 1] = -1.0
    torch.testing.assert_close(augment_as_dc(images, Key(0)), images)


def test_dc_draws_for_every_image() -> None:
    moved = augment_as_dc(markers(6), Key(0))
    assert len({tuple(one.flatten().tolist()) for one in moved}) > 3


def test_dc_gradients_flow() -> None:
    images = noise((3, 1, 5, 4)).requires_grad_()
    assert torch.autograd.gradcheck(lambda batch: augment_as_dc(batch, Key(4)), images)
