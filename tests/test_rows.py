"""A step costs what it touches, to the results of a step over everything."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import attar
from attar.condensing.engine import Run
from attar.errors import RunFailed
from attar.objectives import NOTHING, Match, Objective, Problem, State
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.sgd import SGD
from attar.synthetic import LowRank, Parametrization, Pixels, Synthetic, Tiled
from attar.tensors import is_finite
from catalogue import tiny_data, tiny_problem, tiny_run

PER_CLASS = 20
FORMS = {"pixels": Pixels(), "low_rank": LowRank(4), "tiled": Tiled(2), "odd": LowRank(1)}


@dataclass(frozen=True)
class OfFew(Objective):
    """Pulls a few rows, other ones at every step, to a drawn target."""

    name: ClassVar[str] = "of_few"

    count: int = 3
    slope: float = 1.0

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        return torch.randperm(len(problem.layout), generator=key.generator())[: self.count]

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        target = torch.randn(images.shape, generator=key.fold("target").generator())
        gap = images - target
        return Match(gap.square().sum() / 2, self.slope * gap, labels * self.slope)


def run_of(form: Parametrization, momentum: float, count: int = 3, **options: Any) -> Run:
    problem = tiny_problem(per_class=PER_CLASS)
    optimiser = Optimiser(0.01, momentum)
    return tiny_run(OfFew(count, **options), problem, form, optimiser=optimiser)


def by_hand(run: Run, steps: int, momentum: float) -> dict[str, Tensor]:
    """Return the set after steps with PyTorch's optimiser and the gradient of whole tensors."""
    synthetic = Synthetic(run.synthetic.layout, run.synthetic.parametrization)
    synthetic.load_state_dict(run.synthetic.state_dict())
    optimiser = torch.optim.SGD(synthetic.parameters(), 0.01, momentum)
    for step in range(steps):
        key = Key(0).fold("step", step)
        index = run.objective.select(run.problem, {}, key)
        images, labels = synthetic(index)
        found = run.objective.match(images.detach(), labels, run.problem, {}, key)
        optimiser.zero_grad()
        images.backward(found.images)
        optimiser.step()
    return dict(synthetic.state_dict())


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [1, 3, 17, 60])
def test_rows_are_updated_as_within_the_whole(form: str, momentum: float, count: int) -> None:
    run = run_of(FORMS[form], momentum, count)
    wanted = by_hand(run, 12, momentum)
    for _ in range(12):
        run.advance()
    found = run.synthetic.state_dict()
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, wanted[name])


def test_no_gradient_of_the_whole_is_made() -> None:
    run = run_of(Pixels(), 0.5)
    for _ in range(3):
        run.advance()
        run.probe()
        assert all(one.grad is None for one in run.synthetic.parameters())


@pytest.mark.parametrize("form", ["pixels", "low_rank"])
def test_a_run_of_rows_goes_on_bit_for_bit(form: str) -> None:
    whole, begun = (run_of(FORMS[form], 0.5) for _ in range(2))
    losses = [whole.advance() for _ in range(9)]
    assert [begun.advance() for _ in range(4)] == losses[:4]
    resumed = run_of(FORMS[form], 0.5)
    resumed.advance()
    resumed.load_state_dict(begun.state_dict())
    assert [resumed.advance() for _ in range(5)] == losses[4:]
    ends = resumed.synthetic.state_dict(), whole.synthetic.state_dict()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[1])


def test_steps_over_rows_and_over_everything_take_turns() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(40, 32, generator=generator)
    slopes = [torch.randn(40, 32, generator=generator) for _ in range(8)]
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    one, other = SGD([ours], lr=0.1, momentum=0.5), torch.optim.SGD([theirs], 0.1, 0.5)
    for step, slope in enumerate(slopes):
        if step % 3 == 2:
            ours.grad = slope.clone()
            one.step()
        else:
            rows = torch.tensor([step, 30 + step])
            one.step_rows(ours, rows, slope[rows])
            ours.grad, slope = None, torch.zeros_like(slope).index_copy(0, rows, slope[rows])
        theirs.grad = slope
        other.step()
        assert torch.equal(ours, theirs)
    assert torch.equal(one.state[ours]["momentum_buffer"], other.state[theirs]["momentum_buffer"])


def test_an_update_of_rows_that_overflows_stops_the_run() -> None:
    run = run_of(Pixels(), 0.5, slope=3e38)
    with pytest.raises(RunFailed, match="diverged at step 0"):
        for _ in range(3):
            run.advance()


@dataclass(frozen=True)
class Thrown(OfFew):
    """Throws one row far in the first step, and touches others from then on."""

    name: ClassVar[str] = "thrown"

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        return torch.tensor([0 if key.path[-1] == 0 else 1])

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        far = -2e38 if key.path[-1] == 0 else 0.0
        return Match(torch.ones(()), torch.full_like(images, far))


def test_a_row_that_only_momentum_carries_away_is_told_before_it_is_kept() -> None:
    problem = tiny_problem(per_class=PER_CLASS)
    run = tiny_run(Thrown(), problem, optimiser=Optimiser(1.0, 0.9))
    for _ in range(4):
        run.advance()
    assert not run.finite()
    with pytest.raises(RunFailed, match="diverged at step 4"):
        run.check()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_value_that_is_no_number_is_found(bad: float, dtype: torch.dtype) -> None:
    values = torch.full((7, 9), torch.finfo(dtype).max, dtype=dtype)
    values[0] = -values[0]
    assert is_finite(values) and is_finite(values[:0]) and is_finite(values[0, 0])
    for place in (0, 31, 62):
        odd = values.clone()
        odd.view(-1)[place] = bad
        assert not is_finite(odd)


def test_a_set_that_momentum_carried_away_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    options: dict[str, Any] = {
        "method": "dm",
        "objective": Thrown(),
        "iterations": 4,
        "synthetic_per_class": PER_CLASS,
        "lr": 1.0,
        "momentum": 0.9,
        "network": "convnet2:width=8",
        "validation": 0,
        "torch_compile": "off",
        "output": path,
    }
    data = tiny_data(counts=(PER_CLASS,) * 3)
    with pytest.raises(RunFailed, match="diverged at step 4"):
        attar.condense(data, **options)
    assert not path.exists()
