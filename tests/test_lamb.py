import importlib.util

import pytest
import torch

from attar.errors import BadRequest
from attar.lamb import Lamb
from attar.optimisers import Optimiser
from references import kernel_reference

STEPS = 40


def problem(dtype: torch.dtype) -> tuple[list[torch.Tensor], list[list[torch.Tensor]]]:
    """Return tensors of several shapes, one of them zero, and gradients for every step."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(7, 3, 4), (5,), (2, 6), (3,)]
    values = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
    values[2].zero_()
    slopes = [
        [torch.randn(shape, generator=generator).to(dtype) * 10.0 ** (i - 2) for shape in shapes]
        for i in [step % 4 for step in range(STEPS)]
    ]
    # a tensor that has no gradient but zeros, at first
    for given in slopes[:3]:
        given[3].zero_()
    return values, slopes


def run(optimiser: torch.optim.Optimizer, values, slopes, rates) -> list[list[torch.Tensor]]:
    history = []
    for given, rate in zip(slopes, rates, strict=True):
        for value, slope in zip(values, given, strict=True):
            value.grad = slope
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        history.append([value.detach().clone() for value in values])
    return history


RATES = [Optimiser(0.02, kind="lamb", schedule="cosine", floor=0.1).rate(i, 40) for i in range(40)]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)], ids=str
)
def test_updates_are_those_of_its_definition(dtype: torch.dtype, tolerance: float) -> None:
    values, slopes = problem(dtype)
    wanted = kernel_reference.lamb(values, slopes, RATES)
    parameters = [torch.nn.Parameter(value.clone()) for value in values]
    found = run(Lamb(parameters, lr=1.0), parameters, slopes, RATES)
    for ours, theirs in zip(found, wanted, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=tolerance, atol=tolerance)
    assert bool(found[-1][2].any())


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs the extra 'timm'")
def test_updates_are_those_of_timm() -> None:
    from timm.optim.lamb import Lamb as TimmLamb

    values, slopes = problem(torch.float64)
    histories = []
    for make in (
        lambda p: Lamb(p, lr=1.0),
        lambda p: TimmLamb(p, lr=1.0, max_grad_norm=None, always_adapt=True, weight_decay=0.0),
    ):
        parameters = [torch.nn.Parameter(value.clone()) for value in values]
        histories.append(run(make(parameters), parameters, slopes, RATES))
    for ours, theirs in zip(*histories, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_step_is_as_long_as_its_rate_says() -> None:
    value = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    value.grad = torch.tensor([1e-3, -50.0])
    Lamb([value], lr=0.1).step()
    assert float((value.detach() - torch.tensor([3.0, 4.0])).norm()) == pytest.approx(0.5, rel=1e-5)


def test_tensors_without_gradient_stay() -> None:
    still, moved = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    moved.grad = torch.ones(2)
    optimiser = Lamb([still, moved], lr=0.1)
    assert optimiser.step(lambda: 7.0) == 7.0
    assert torch.equal(still, torch.ones(2)) and not torch.equal(moved, torch.ones(2))


def test_a_schedule_ends_at_its_floor() -> None:
    # optax.cosine_decay_schedule(3e-4, 100, alpha=0.1), by its formula
    optimiser = Optimiser(3e-4, kind="lamb", schedule="cosine", floor=0.1)
    assert optimiser.rate(0, 100) == 3e-4
    assert optimiser.rate(50, 100) == pytest.approx(3e-4 * 0.55)
    assert optimiser.rate(100, 100) == pytest.approx(3e-5)
    assert optimiser.rate(70, None) == 3e-4
    assert Optimiser(1.0, schedule="linear", floor=0.5).rate(50, 100) == 0.75
    assert Optimiser(1.0, floor=0.5).rate(50, 100) == 1.0


def test_a_floor_is_told_where_there_is_one() -> None:
    assert "floor" not in Optimiser(1.0).describe()
    assert Optimiser(1.0, floor=0.1).describe()["floor"] == 0.1


@pytest.mark.parametrize("floor", [-0.1, 1.1, float("nan")])
def test_a_floor_out_of_range_is_refused(floor: float) -> None:
    with pytest.raises(BadRequest, match="floor"):
        Optimiser(1.0, floor=floor)


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"unknown optimiser 'lam' \(did you mean 'lamb'"):
        Optimiser(1.0, kind="lam")
