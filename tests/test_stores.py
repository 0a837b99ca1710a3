from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from attar.errors import BadRequest
from attar.rng import Key
from attar.synthetic.stores import Dense, LowRank, Store, dense_values, low_rank_values

ITEM = (2, 5, 4)
MAKERS: dict[str, Callable[[], Store]] = {
    "dense": lambda: Dense(6, ITEM),
    "rank 1": lambda: LowRank(6, ITEM, 1),
    "rank 3": lambda: LowRank(6, ITEM, 3),
}
QUICK = settings(deadline=None, max_examples=25)


def rows(count: int, *item: int, seed: int = 0) -> Tensor:
    return torch.randn(count, *item, generator=torch.Generator().manual_seed(seed))


def everything(store: Store) -> Tensor:
    return store(torch.arange(store.count)).detach()


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest) -> Store:
    made = MAKERS[request.param]()
    made.start_from_noise(Key(0))
    return made


def test_rows_come_in_the_order_asked_for_and_as_often(store: Store) -> None:
    whole = everything(store)
    assert whole.shape == (6, *ITEM)
    assert whole.dtype == torch.float32
    index = torch.tensor([5, 0, 5, 2])
    assert torch.equal(store(index), whole[index])
    assert store(torch.tensor([], dtype=torch.int64)).shape == (0, *ITEM)
    assert len(torch.unique(whole.flatten(1), dim=0)) == 6


def test_only_the_rows_asked_for_get_a_gradient(store: Store) -> None:
    store(torch.tensor([1, 1, 4])).square().sum().backward()
    for parameter in store.parameters():
        assert parameter.grad is not None
        reached = parameter.grad.flatten(1).abs().sum(dim=1) > 0
        assert reached.tolist() == [False, True, False, False, True, False]


def test_a_row_asked_for_twice_gets_twice_the_gradient(store: Store) -> None:
    def gradients(index: list[int]) -> list[Tensor]:
        out = store(torch.tensor(index)).sum()
        return list(torch.autograd.grad(out, list(store.parameters())))

    for once, twice in zip(gradients([3]), gradients([3, 3]), strict=True):
        torch.testing.assert_close(2 * once, twice)


def test_roles_are_all_parameters(store: Store) -> None:
    assert store.roles().keys() == {"images"}
    assert [id(p) for p in store.roles()["images"]] == [id(p) for p in store.parameters()]


def test_noise_depends_on_the_key_only(store: Store) -> None:
    first = everything(store)
    torch.randn(3)
    store.start_from_noise(Key(0))
    assert torch.equal(everything(store), first)
    store.start_from_noise(Key(1))
    assert not torch.equal(everything(store), first)


def test_half_precision_parameters_still_give_float32(store: Store) -> None:
    assert everything(store.half()).dtype == torch.float32


def test_fit_and_noise_leave_no_graph(store: Store) -> None:
    store.fit(rows(6, *ITEM).requires_grad_())
    for parameter in store.parameters():
        assert parameter.is_leaf
        assert parameter.requires_grad


def test_dense_keeps_what_it_is_given() -> None:
    store, wanted = Dense(6, ITEM), rows(6, *ITEM)
    assert torch.equal(everything(store), torch.zeros(6, *ITEM))
    store.fit(wanted)
    assert torch.equal(everything(store), wanted)
    wanted.zero_()  # its own copy
    assert not torch.equal(everything(store), wanted)


def test_dense_takes_rows_without_height_and_width() -> None:
    store = Dense(3, (4,))
    store.fit(torch.eye(3, 4))
    assert torch.equal(store(torch.tensor([2])), torch.tensor([[0.0, 0.0, 1.0, 0.0]]))


def test_dense_noise_is_standard_normal() -> None:
    store = Dense(200, (3, 8, 8))
    store.start_from_noise(Key(0))
    values = everything(store)
    # 38,400 draws: the mean deviates by 0.005
    assert abs(float(values.mean())) < 0.025
    assert abs(float(values.var()) - 1) < 0.04


@given(
    count=st.integers(1, 4),
    channels=st.integers(1, 3),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    data=st.data(),
)
@QUICK
def test_low_rank_is_the_product_of_its_factors(
    count: int, channels: int, height: int, width: int, data: st.DataObject
) -> None:
    rank = data.draw(st.integers(1, min(height, width)))
    store = LowRank(count, (channels, height, width), rank)
    store.start_from_noise(Key(0))
    left, right = store.left.detach().numpy(), store.right.detach().numpy()
    assert left.shape == (count, channels, height, rank)
    assert right.shape == (count, channels, rank, width)
    expected = np.empty((count, channels, height, width))
    for n in range(count):
        for c in range(channels):
            expected[n, c] = left[n, c].astype(np.float64) @ right[n, c].astype(np.float64)
    np.testing.assert_allclose(everything(store).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_low_rank_noise_is_that_of_the_authors(rank: int) -> None:
    store = LowRank(300, (1, 8, 8), rank)
    store.start_from_noise(Key(0))
    for factor in (store.left, store.right):
        # a few thousand standard normal draws
        assert abs(float(factor.detach().mean())) < 0.08
        assert abs(float(factor.detach().var()) - 1) < 0.12
    pixels = everything(store)
    assert abs(float(pixels.mean())) < 0.1
    assert float(pixels.var()) == pytest.approx(rank, rel=0.15)
    assert not torch.equal(store.left.flatten(), store.right.flatten())


@given(
    channels=st.integers(1, 2), height=st.integers(1, 8), width=st.integers(1, 8), data=st.data()
)
@QUICK
def test_fit_is_the_best_of_its_rank(
    channels: int, height: int, width: int, data: st.DataObject
) -> None:
    full = min(height, width)
    rank = data.draw(st.integers(1, full))
    wanted = rows(3, channels, height, width, seed=data.draw(st.integers(0, 99)))
    store = LowRank(3, (channels, height, width), rank)
    store.fit(wanted)
    got = everything(store).numpy().astype(np.float64)
    for have, want in zip(
        got.reshape(-1, height, width), wanted.reshape(-1, height, width).numpy(), strict=True
    ):
        singular = np.linalg.svd(want.astype(np.float64), compute_uv=False)
        # Eckart and Young: what is left is the tail
        tail = np.sqrt((singular[rank:] ** 2).sum())
        assert np.linalg.norm(have - want) == pytest.approx(tail, abs=1e-5)
        assert np.linalg.matrix_rank(have, tol=1e-4) <= rank
    if rank == full:
        np.testing.assert_allclose(got, wanted.numpy(), atol=1e-5)


def test_fit_gives_both_factors_one_scale() -> None:
    store = LowRank(4, (3, 6, 6), 2)
    store.fit(rows(4, 3, 6, 6) * 100)
    torch.testing.assert_close(store.left.detach().norm(dim=-2), store.right.detach().norm(dim=-1))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_fit_takes_flat_images(value: float) -> None:
    store = LowRank(1, (1, 4, 4), 2)
    store.fit(torch.full((1, 1, 4, 4), value))
    torch.testing.assert_close(everything(store), torch.full((1, 1, 4, 4), value))


def test_gradients_of_the_factors_are_the_hand_formulas() -> None:
    left, right, slope = (
        rows(2, 3, 5, 2).double(),
        rows(2, 3, 2, 4, seed=1).double(),
        rows(2, 3, 5, 4, seed=2),
    )
    store = LowRank(2, (3, 5, 4), 2)
    with torch.no_grad():
        store.left.copy_(left)
        store.right.copy_(right)
    store(torch.arange(2)).backward(slope)
    g, a, b = slope.double().numpy(), left.float().double().numpy(), right.float().double().numpy()
    assert store.left.grad is not None
    assert store.right.grad is not None
    np.testing.assert_allclose(
        store.left.grad.numpy(), np.einsum("nchw,ncrw->nchr", g, b), atol=1e-5
    )
    np.testing.assert_allclose(
        store.right.grad.numpy(), np.einsum("nchr,nchw->ncrw", a, g), atol=1e-5
    )


@pytest.mark.parametrize("rank", [0, -1, 5, 100])
def test_ranks_that_do_not_exist_are_refused(rank: int) -> None:
    with pytest.raises(BadRequest) as caught:
        LowRank(1, (3, 6, 4), rank)
    assert str(caught.value) == f"--rank {rank}: images of 6×4 have ranks 1 to 4"


@pytest.mark.parametrize("rank", [2.0, "2", True, None])
def test_ranks_that_are_no_whole_number_are_refused(rank: object) -> None:
    with pytest.raises(BadRequest, match="--rank"):
        LowRank(1, (3, 6, 4), rank)  # type: ignore[arg-type]


@pytest.mark.parametrize("item", [(), (10,)])
def test_rows_without_height_and_width_have_no_factors(item: tuple[int, ...]) -> None:
    with pytest.raises(BadRequest, match="need rows with a height and a width, and"):
        LowRank(3, item, 1)


@pytest.mark.parametrize(("item", "rank"), [((1, 8, 8), 2), ((3, 7, 5), 5), ((4, 6), 1)])
def test_values_are_those_that_stores_have(item: tuple[int, ...], rank: int) -> None:
    dense, factors = Dense(3, item), LowRank(3, item, rank)
    assert 3 * dense_values(item) == sum(p.numel() for p in dense.parameters())
    assert 3 * low_rank_values(item, rank) == sum(p.numel() for p in factors.parameters())
