import pytest
import torch

from attar.data.preprocessing import Preprocessing
from attar.data.whitening import fit_whitening
from attar.errors import BadRequest


def test_apply_standardises_each_channel() -> None:
    images = torch.tensor([[[[0.5]], [[1.0]]]])
    out = Preprocessing((0.25, 0.5), (0.5, 0.25)).apply(images)
    assert out.flatten().tolist() == [0.5, 2.0]


@pytest.mark.parametrize("kind", [None, "mtt", "frepo"])
def test_invert_undoes_apply(kind: str | None) -> None:
    images = torch.rand(40, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    whitening = None if kind is None else fit_whitening(kind, images, mean=mean, std=std)
    preprocessing = Preprocessing(mean, std, whitening)
    torch.testing.assert_close(preprocessing.invert(preprocessing.apply(images)), images)


def test_gradients_pass_through() -> None:
    images = torch.rand(2, 1, 2, 2, requires_grad=True)
    Preprocessing((0.5,), (0.25,)).apply(images).sum().backward()
    assert images.grad is not None
    assert images.grad.flatten().tolist() == [4.0] * 8


def test_none_leaves_pixels_alone() -> None:
    images = torch.rand(2, 3, 2, 2)
    assert torch.equal(Preprocessing.none(3).apply(images), images)


@pytest.mark.parametrize(
    ("mean", "std"), [((0.5,), (0.2, 0.2)), ((), ()), ((0.5,), (0.0,)), ((0.5,), (float("nan"),))]
)
def test_refuses_impossible_constants(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(BadRequest, match=r"mean|deviation"):
        Preprocessing(mean, std)


def test_equality_looks_at_the_whitening() -> None:
    images = torch.rand(9, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    one, same = fit_whitening("mtt", images), fit_whitening("mtt", images)
    other = fit_whitening("rtp", images)
    plain = Preprocessing.none(1)
    assert Preprocessing((0.0,), (1.0,), one) == Preprocessing((0.0,), (1.0,), same)
    assert Preprocessing((0.0,), (1.0,), one) != Preprocessing((0.0,), (1.0,), other)
    assert Preprocessing((0.0,), (1.0,), one) != plain
    assert hash(one) == hash(same)
