"""Some classes of a set by themselves: for class-wise steps, and for several processes."""

import dataclasses

import pytest
import torch

from attar.condensing.engine import Run
from attar.errors import BadRequest
from attar.objectives import DistributionMatching, GradientMatching, Objective, Problem, WeightedSum
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import (
    Decoded,
    Layout,
    LowRank,
    OrderedSVD,
    Parametrization,
    Pixels,
    Synthetic,
    Tiled,
    put_back,
    slice_of,
)
from catalogue import COMPUTE, tiny_problem, unequal

APART = [Pixels(), LowRank(2), Tiled(2), LowRank(3, Tiled(2))]
DM = DistributionMatching(batch_real=5, augment="color_crop_flip_scale_rotate")
# networks are kept and serve again, and a step reads a part of every class
POOLED = dataclasses.replace(DM, pool=2, refresh=2, batch=2)


def started(layout: Layout, form: Parametrization, labels: bool = False) -> Synthetic:
    found = Synthetic(layout, form, labels)
    found.images.start_from_noise(Key(1))
    return found


def run_of(synthetic: Synthetic, problem: Problem, objective: Objective = DM) -> Run:
    problem = dataclasses.replace(problem, layout=synthetic.layout, cache={})
    optimisers = dict.fromkeys(synthetic.roles(), Optimiser(1.0, 0.5))
    return Run(synthetic, objective, problem, optimisers, Key(0))


def test_a_slice_keeps_the_numbers_of_its_classes() -> None:
    layout = Layout(4, 2, (1, 8, 8))
    part = layout.of_classes([3, 1])
    assert (part.rows, part.sizes(), part.present()) == (4, (0, 2, 0, 2), [1, 3])
    assert part.class_of_row().tolist() == [1, 1, 3, 3]
    assert part.rows_of(0) == range(0) and part.rows_of(3) == range(2, 4)
    assert part.first(1).tolist() == [0, 2] and part.place(3) == (3, 1)
    assert layout.index_of([3, 1]).tolist() == [2, 3, 6, 7]
    unequal = Layout(3, 3, (1, 8, 8), (1, 3, 2))
    assert unequal.of_classes([0, 2]) == Layout(3, 2, (1, 8, 8), (1, 0, 2), whole=unequal)
    for labels in ([], [4], [-1, 0]):
        with pytest.raises(BadRequest, match="some of 0 to 3 are needed"):
            layout.of_classes(labels)
    with pytest.raises(BadRequest, match="one of at least 1"):
        Layout(2, 2, (1, 8, 8), (0, 2))


@pytest.mark.parametrize(
    ("form", "bases", "variants"),
    [
        (Pixels(), [0, 1, 2, 3, 4, 5], [0] * 6),
        (LowRank(2, Tiled(2)), [0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 0, 1]),
        (Decoded(2, 2, 1, 3), [0, 0, 1, 2, 2, 3], [0, 1, 0, 0, 1, 0]),
        (OrderedSVD(), [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]),
    ],
)
def test_the_table_says_what_a_row_is_made_of(
    form: Parametrization, bases: list[int], variants: list[int]
) -> None:
    table = form.table(Layout(2, 3, (1, 8, 8)))
    assert table.label.tolist() == [0, 0, 0, 1, 1, 1]
    assert (table.base.tolist(), table.variant.tolist()) == (bases, variants)


@pytest.mark.parametrize(
    "form", [Pixels(), Tiled(2), LowRank(2, Tiled(2)), Decoded(2, 2, 1, 3), OrderedSVD()]
)
def test_rows_of_other_bases_stay_when_one_changes(form: Parametrization) -> None:
    layout = Layout(2, 3, (1, 8, 8))
    synthetic = started(layout, form)
    table, rows = form.table(layout), torch.arange(6)
    for row in range(6):
        synthetic.zero_grad()
        synthetic.images(rows[row : row + 1]).sum().backward()
        own = [p.grad for n, p in synthetic.named_parameters() if p.grad is not None and by_base(n)]
        assert own
        for grad in own:
            reached = grad.flatten(1).any(dim=1).nonzero().flatten()
            if isinstance(form, OrderedSVD):
                # component j of class k is row j·K + k
                reached = torch.unique(reached % layout.classes)
            assert reached.tolist() == [table.base[row]]


def by_base(name: str) -> bool:
    shared = ("coefficients", "significance", "kernels", "biases")
    return not any(part in name for part in shared)


@pytest.mark.parametrize("form", APART, ids=lambda form: repr(form))
@pytest.mark.parametrize("labels", [False, True])
def test_what_is_taken_and_put_back_is_the_set(form: Parametrization, labels: bool) -> None:
    whole = started(Layout(3, 4, (1, 8, 8)), form, labels)
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    part = slice_of(whole, [0, 2])
    rows = whole.layout.index_of([0, 2])
    for own, all_ in zip(part(torch.arange(8)), whole(rows), strict=True):
        assert own.equal(all_)
    for tensor in part.parameters():
        tensor.data += 1
    put_back(part, whole, [0, 2])
    other = whole.layout.index_of([1])
    again = Synthetic(whole.layout, form, labels)
    again.load_state_dict(before)
    assert whole.images(rows).equal(part.images(torch.arange(8)))
    assert whole.images(other).equal(again.images(other))


@pytest.mark.parametrize(
    ("form", "per_class"), [(Tiled(2), 3), (Decoded(2, 2, 1, 3), 4), (OrderedSVD(), 4)]
)
def test_classes_that_share_what_is_stored_are_not_taken_apart(
    form: Parametrization, per_class: int
) -> None:
    whole = started(Layout(3, per_class, (1, 8, 8)), form)
    with pytest.raises(BadRequest, match="share what is stored with others in the form"):
        slice_of(whole, [1])


@pytest.mark.parametrize("form", APART, ids=lambda form: repr(form))
@pytest.mark.parametrize(
    ("chunk", "objective"), [(32, DM), (6, DM), (3, DM), (32, POOLED), (3, POOLED)]
)
def test_distribution_matching_of_a_slice_is_that_of_the_whole(
    form: Parametrization, chunk: int, objective: Objective
) -> None:
    compute = dataclasses.replace(COMPUTE, chunk=chunk)
    problem = tiny_problem(per_class=4, compute=compute)
    whole = started(problem.layout, form)
    parts = {labels: slice_of(whole, labels) for labels in ((0, 2), (1,))}
    run, steps = run_of(whole, problem, objective), 5
    losses = [run.advance() for _ in range(steps)]
    found = torch.zeros(steps)
    for labels, part in parts.items():
        own = run_of(part, problem, objective)
        found += torch.tensor([own.advance() for _ in range(steps)])
        rows = problem.layout.index_of(labels)
        # bit for bit: the same images go through the network in calls of the same shapes
        assert part.images(torch.arange(len(part))).equal(whole.images(rows))
    torch.testing.assert_close(found, torch.tensor(losses))


@pytest.mark.parametrize("objective", [DM, POOLED], ids=["drawn", "pooled"])
@pytest.mark.parametrize("form", [Pixels(), LowRank(2)], ids=["pixels", "low_rank"])
def test_a_slice_of_unequal_classes_is_a_part_of_the_whole(
    form: Parametrization, objective: Objective
) -> None:
    problem = unequal(tiny_problem(per_class=5), (5, 1, 3))
    whole = started(problem.layout, form)
    parts = {labels: slice_of(whole, labels) for labels in ((0, 2), (1,))}
    run = run_of(whole, problem, objective)
    losses = [run.advance() for _ in range(5)]
    found = torch.zeros(5)
    for labels, part in parts.items():
        own = run_of(part, problem, objective)
        found += torch.tensor([own.advance() for _ in range(5)])
        rows = problem.layout.index_of(labels)
        assert part.images(torch.arange(len(part))).equal(whole.images(rows))
    torch.testing.assert_close(found, torch.tensor(losses))


def test_what_learns_from_all_classes_refuses_a_slice() -> None:
    problem = tiny_problem(per_class=2)
    part = slice_of(started(problem.layout, Pixels()), [1])
    gradient = GradientMatching(batch_real=5, inner=2)
    for objective in (gradient, WeightedSum((DM, gradient), (1, 1))):
        with pytest.raises(BadRequest, match="learns from all classes together"):
            run_of(part, problem, objective)
    run_of(part, problem, WeightedSum((DM, DM), (1, 1))).advance()
