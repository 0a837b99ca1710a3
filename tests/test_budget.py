import math
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from attar.budget import Budget, Entry, Ledger, format_bytes, parse_bytes
from attar.data import fit_whitening
from attar.errors import BadRequest
from attar.synthetic import Layout, LowRank, Parametrization, Pixels, planned_ledger

QUICK = settings(deadline=None, max_examples=150)


def images(
    budget: Budget,
    classes: int,
    shape: tuple[int, int, int],
    form: Parametrization,
    dtype: str = "float32",
    **options: object,
) -> int:
    """The most images per class of a form that the budget allows."""

    def cost(count: int) -> Ledger:
        return planned_ledger(Layout(classes, count, shape), form, dtype, **options)  # type: ignore[arg-type]

    return budget.images(classes, shape, cost)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("123456", 123_456),
        ("120kB", 120_000),
        ("120KB", 120_000),
        (" 120 kb ", 120_000),
        ("7b", 7),
        ("1.5MiB", 1_572_864),
        ("1.5MB", 1_500_000),
        ("2kib", 2048),
        ("1GB", 10**9),
        ("1GiB", 2**30),
        ("0.001kB", 1),
        ("1.0009kB", 1000),
        ("1.001kB", 1001),
        ("4.001kB", 4001),
        ("9007199254740993", 9_007_199_254_740_993),
    ],
)
def test_parse_bytes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@given(thousandths=st.integers(1000, 10**9), unit=st.sampled_from(["kB", "MB", "GB"]))
@QUICK
def test_parse_bytes_is_exact(thousandths: int, unit: str) -> None:
    scale = {"kB": 1000, "MB": 1000**2, "GB": 1000**3}[unit]
    text = f"{thousandths // 1000}.{thousandths % 1000:03}{unit}"
    assert parse_bytes(text) == Fraction(thousandths, 1000) * scale


@pytest.mark.parametrize(
    "text",
    ["", "kB", "12 parsecs", "1e5", "-1", "1,5kB", "1.kB", ".5kB", "nan", "inf", "١", "1 2", "0x1"],
)
def test_parse_bytes_refuses_what_is_no_size(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_bytes(text)
    assert str(caught.value).startswith(f"--bytes {text!r}: write a number and a unit")
    assert "120kB" in str(caught.value)


@pytest.mark.parametrize("digits", [30, 400, 5000])
def test_parse_bytes_refuses_absurd_numbers(digits: int) -> None:
    with pytest.raises(BadRequest, match="write a number and a unit"):
        parse_bytes("9" * digits)


@pytest.mark.parametrize("text", ["0", "0kB", "0.9", "0.0009kB"])
def test_parse_bytes_refuses_less_than_one(text: str) -> None:
    with pytest.raises(BadRequest, match=rf"--bytes '{text}': at least one byte is needed"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (1, "1 B"),
        (9999, "9999 B"),
        (10_000, "10 kB"),
        (122_880, "122.9 kB"),
        (1_500_000, "1.5 MB"),
        (2_000_000_000, "2 GB"),
    ],
)
def test_format_bytes(size: int, text: str) -> None:
    assert format_bytes(size) == text


@given(size=st.integers(1, 10**12))
@QUICK
def test_a_formatted_size_is_read_back_within_rounding(size: int) -> None:
    assert abs(parse_bytes(format_bytes(size)) - size) <= size * 5e-4


def test_ledger_totals() -> None:
    ledger = Ledger(
        (
            Entry("images.left", (2, 1, 8, 2), "float16", 64, True, "images or their factors"),
            Entry("labels.values", (2, 3), "float16", 12, False, "learned labels"),
            Entry("whitening.mean", (64,), "float32", 256, False, "preprocessing"),
        )
    )
    assert (ledger.paper, ledger.all, ledger.values) == (64, 332, 32)
    rows = ledger.as_rows()
    assert rows[1] == {
        "name": "labels.values",
        "shape": (2, 3),
        "dtype": "float16",
        "bytes": 12,
        "paper": False,
        "why": "learned labels",
    }


# the whole grid: size, rank and memory are free of each other
@given(
    ipc=st.integers(1, 60),
    height=st.integers(1, 64),
    width=st.integers(1, 64),
    rank=st.integers(1, 16),
    channels=st.sampled_from([1, 3]),
    classes=st.integers(2, 200),
)
@example(ipc=1, height=28, width=28, rank=2, channels=1, classes=10)
@example(ipc=50, height=28, width=28, rank=8, channels=1, classes=10)
@QUICK
def test_low_rank_images_are_the_floor_of_the_facts(
    ipc: int, height: int, width: int, rank: int, channels: int, classes: int
) -> None:
    assume(rank <= min(height, width))
    expected = ipc * height * width // ((height + width) * rank)
    assume(expected >= 1)
    shape = (channels, height, width)
    count = images(Budget(ipc=ipc), classes, shape, LowRank(rank))
    assert count == expected
    values = classes * count * channels * rank * (height + width)
    assert values <= ipc * classes * math.prod(shape)


@given(
    ipc=st.integers(1, 500),
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(1, 64), st.integers(1, 64)),
    classes=st.integers(2, 200),
)
@QUICK
def test_pixels_are_as_many_as_the_memory_says(
    ipc: int, shape: tuple[int, int, int], classes: int
) -> None:
    assert images(Budget(ipc=ipc), classes, shape, Pixels()) == ipc
    assert images(Budget(ipc=ipc), classes, shape, Pixels(), "float16") == 2 * ipc
    assert images(Budget(ipc=ipc), classes, shape, Pixels(), "bfloat16") == 2 * ipc


# FACTS 15.5: the authors keep 8 images (896 of 784 values) and 88 (39,424 of 39,200)
@pytest.mark.parametrize(
    ("ipc", "rank", "count"), [(1, 2, 7), (10, 2, 70), (10, 8, 17), (50, 8, 87)]
)
def test_the_settings_over_budget_do_not_occur(ipc: int, rank: int, count: int) -> None:
    assert images(Budget(ipc=ipc), 10, (1, 28, 28), LowRank(rank)) == count
    assert count * rank * (28 + 28) <= ipc * 784 < (count + 1) * rank * (28 + 28)


@pytest.mark.parametrize(
    ("shape", "ipc", "rank", "count"),
    [
        ((3, 32, 32), 1, 2, 8),
        ((3, 32, 32), 10, 2, 80),
        ((3, 32, 32), 50, 4, 200),
        ((3, 64, 64), 1, 4, 8),
        ((3, 64, 64), 10, 4, 80),
        # floor after multiplying: nothing is lost at rank 3
        ((3, 32, 32), 3, 3, 16),
    ],
)
def test_counts_of_the_papers(shape: tuple[int, int, int], ipc: int, rank: int, count: int) -> None:
    assert images(Budget(ipc=ipc), 10, shape, LowRank(rank)) == count


@given(
    ipc=st.integers(1, 20), rank=st.integers(1, 8), dtype=st.sampled_from(["float16", "bfloat16"])
)
@QUICK
def test_half_precision_doubles_before_the_floor(ipc: int, rank: int, dtype: str) -> None:
    count = images(Budget(ipc=ipc), 10, (1, 28, 28), LowRank(rank), dtype)
    assert count == 2 * ipc * 784 // (56 * rank)


def test_limit() -> None:
    assert Budget(ipc=1).limit(10, (3, 32, 32)) == 122_880
    assert Budget(ipc=50).limit(10, (1, 28, 28)) == 39_200 * 10 * 4
    assert Budget(max_bytes=77).limit(10, (3, 32, 32)) == 77
    assert Budget(synthetic_per_class=3).limit(10, (3, 32, 32)) is None


def test_a_plain_count_is_taken_as_it_is() -> None:
    assert images(Budget(synthetic_per_class=13), 10, (1, 28, 28), LowRank(2)) == 13


WHITENING = fit_whitening("mtt", torch.rand(9, 1, 4, 6))
EXTRAS = {f"whitening.{name}": tensor for name, tensor in WHITENING.tensors().items()}
# mean, triangle and scale of 24 features
WHITENING_BYTES = 4 * 24 + 4 * (24 * 25 // 2) + 8


@given(limit=st.integers(3000, 100_000), classes=st.integers(2, 6), rank=st.integers(1, 4))
@QUICK
def test_counting_all_includes_whitening_and_labels(limit: int, classes: int, rank: int) -> None:
    options = {"learned_labels": True, "extras": EXTRAS}
    shape = (1, 4, 6)
    budget = Budget(max_bytes=limit, count="all")
    count = images(budget, classes, shape, LowRank(rank), **options)
    one = classes * 4 * (rank * (4 + 6) + classes)
    assert count == (limit - WHITENING_BYTES) // one
    only_factors = images(Budget(max_bytes=limit), classes, shape, LowRank(rank), **options)
    assert only_factors == limit // (classes * 4 * rank * 10)


def test_too_small_a_budget_names_what_one_image_takes() -> None:
    with pytest.raises(BadRequest) as caught:
        images(Budget(max_bytes=2559), 10, (1, 8, 8), Pixels())
    assert str(caught.value) == (
        "a budget of 2559 bytes (paper count) holds no image per class; one takes 2560 bytes. "
        "Raise --ipc or --bytes, or store each in less (--rank, --storage)."
    )
    assert images(Budget(max_bytes=2560), 10, (1, 8, 8), Pixels()) == 1


def test_too_small_a_budget_counts_as_it_was_told() -> None:
    needed = 2 * 4 * 24 + WHITENING_BYTES
    with pytest.raises(BadRequest, match=rf"\(all count\) .* one takes {needed} bytes"):
        images(Budget(max_bytes=needed - 1, count="all"), 2, (1, 4, 6), Pixels(), extras=EXTRAS)
    assert images(Budget(max_bytes=needed, count="all"), 2, (1, 4, 6), Pixels(), extras=EXTRAS) == 1


def test_a_rank_that_takes_more_than_the_image_can_exceed_one_image_of_memory() -> None:
    # 8·(8+8) values for 64: rank 8 of 8×8 is larger than the pixels
    with pytest.raises(BadRequest, match="one takes 5120 bytes"):
        images(Budget(ipc=1), 10, (1, 8, 8), LowRank(8))


def test_an_enormous_limit_is_still_searched() -> None:
    assert images(Budget(max_bytes=10**24), 10, (1, 8, 8), Pixels()) == 10**24 // 2560


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "give one of --ipc, --bytes, --images-per-class (none given)"),
        (
            {"ipc": 1, "max_bytes": 5},
            "give one of --ipc, --bytes, --images-per-class (--ipc and --bytes given)",
        ),
        (
            {"ipc": 1, "max_bytes": 5, "synthetic_per_class": 2},
            "give one of --ipc, --bytes, --images-per-class "
            "(--ipc and --bytes and --images-per-class given)",
        ),
        ({"ipc": 0}, "--ipc 0: at least 1 is needed"),
        ({"ipc": -3}, "--ipc -3: at least 1 is needed"),
        ({"max_bytes": 0}, "--bytes 0: at least 1 is needed"),
        ({"synthetic_per_class": 0}, "--images-per-class 0: at least 1 is needed"),
        ({"ipc": 1, "count": "some"}, "--count 'some': 'paper' or 'all'"),
    ],
)
def test_refusals(options: dict[str, object], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Budget(**options)  # type: ignore[arg-type]
    assert str(caught.value) == text


def test_as_dict() -> None:
    assert Budget(max_bytes=9, count="all").as_dict() == {
        "ipc": None,
        "bytes": 9,
        "images_per_class": None,
        "count": "all",
    }


@given(
    st.integers(1, 50),
    st.lists(st.integers(0, 400), min_size=1, max_size=60),
    st.integers(1, 60_000),
    st.booleans(),
)
def test_the_largest_set_of_any_rising_cost(
    first: int, steps: list[int], limit: int, ends: bool
) -> None:
    """Against a search of every number; costs may stand still, jump, or end in far too much."""

    def taken(number: int) -> int:
        if ends and number > 500:
            return 2**62
        laps, rest = divmod(number - 1, len(steps))
        return first + laps * (sum(steps) + 1) + sum(steps[:rest])

    def cost(number: int) -> Ledger:
        return Ledger((Entry("images.x", (1,), "uint8", taken(number), True, ""),))

    budget = Budget(max_bytes=limit, count="all")
    if taken(1) > limit:
        with pytest.raises(BadRequest):
            budget.images(1, (1, 1, 1), cost)
        return
    found = budget.images(1, (1, 1, 1), cost)
    assert taken(found) <= limit < taken(found + 1)


def test_few_ledgers_are_asked_for_where_coding_is_dear() -> None:
    asked = []

    def cost(number: int) -> Ledger:
        asked.append(number)
        size = 300 + 78 * number + 40 * (number % 7)
        return Ledger((Entry("images.x", (1,), "uint8", size, True, ""),))

    Budget(max_bytes=122_880, count="all").images(1, (1, 1, 1), cost)
    # halving alone asks for 15,000 images in all
    assert sum(asked) < 8_000
