"""Distribution matching with a pool of drawn networks, and on a part of the set at a step."""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.condensing.engine import Run
from attar.errors import BadRequest
from attar.objectives import (
    DistributionMatching,
    GradientMatching,
    Nested,
    Objective,
    Problem,
    WeightedSum,
)
from attar.objectives.class_means import ClassMeans, training_embedding
from attar.rng import Key
from attar.synthetic import Decoded, LowRank, Parametrization, Pixels
from attar.tensors import dotted, flatten, read_header, read_tensors, save_tensors, unflatten
from attar.testing import check_combination
from attar.testing.conformance import same
from attar.testing.counterparts import all_forms
from catalogue import COMPUTE, tiny_data, tiny_problem, tiny_run, unequal
from references import distribution

PLAIN = DistributionMatching(batch_real=5, augment="color_crop_flip_scale_rotate")
BATCH_NORM = "convnet2:width=8,norm=batch"


def pooled(pool: int = 3, refresh: int = 2, **settings: Any) -> DistributionMatching:
    return dataclasses.replace(PLAIN, pool=pool, refresh=refresh, **settings)


def stepped(objective: Objective, steps: int, problem: Problem | None = None) -> Run:
    run = tiny_run(objective, problem or tiny_problem(per_class=4), Pixels())
    for _ in range(steps):
        run.advance()
    return run


def images(run: Run) -> Tensor:
    return run.synthetic.images(torch.arange(len(run.synthetic))).detach()


@pytest.mark.parametrize("network", ["convnet2:width=8", BATCH_NORM])
def test_a_pool_of_one_that_serves_one_step_is_the_plain_method(network: str) -> None:
    problem = tiny_problem(per_class=2, network=network)
    plain, one = (stepped(each, 4, problem) for each in (PLAIN, pooled(1, 1)))
    assert torch.equal(images(plain), images(one))


def test_until_the_pool_is_full_steps_are_those_of_the_plain_method() -> None:
    plain, kept = stepped(PLAIN, 3), stepped(pooled(3, 0), 3)
    assert torch.equal(images(plain), images(kept))
    plain.advance()
    kept.advance()
    assert not torch.equal(images(plain), images(kept))


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_later_step_meets_the_equation_with_the_draws_of_the_first(norm: str) -> None:
    problem = tiny_problem(tiny_data(3), 2, f"convnet2:width=8,norm={norm}")
    objective = DistributionMatching(6, "none", pool=1, refresh=0)
    run = stepped(objective, 3, problem)
    first, step = run.key.fold("step", 0), run.key.fold("step", 3)
    data = problem.data
    real = [data.take(data.draw(label, 6, first.fold("real", label))) for label in range(3)]
    weights = problem.network.draw(first.fold("network")).state_dict()
    loss, slopes = distribution.loss_and_gradients(
        weights, real, images(run).split([2, 2, 2]), norm=norm, together=norm == "batch"
    )
    labels = torch.zeros(len(images(run)), 3)
    found = objective.match(images(run), labels, problem, run.state, step)
    torch.testing.assert_close(found.loss.double(), loss, rtol=1e-5, atol=0)
    gradient = torch.cat(slopes)
    size = float(gradient.abs().max())
    torch.testing.assert_close(found.images.double(), gradient, rtol=1e-4, atol=2e-5 * size)


def test_real_and_synthetic_images_keep_the_transform_of_the_first_use() -> None:
    # of one set under a transform that is the same each time, losses are equal
    problem = tiny_problem(per_class=2)
    run = tiny_run(pooled(1, 0), problem, Pixels())
    held = images(run)
    state = run.state
    losses = []
    for step in range(3):
        key = run.key.fold("step", step)
        found = run.objective.match(held, torch.zeros(len(held), 3), problem, state, key)
        state = run.objective.advance(run.synthetic, problem, state, key, kept=found.kept)
        losses.append(float(found.loss))
    assert losses[0] == losses[1] == losses[2]


def drawn_at(objective: DistributionMatching, steps: int, seed: int = 0) -> list[bool]:
    """Return at which steps a network is drawn."""
    problem = tiny_problem(per_class=1)
    run = tiny_run(objective, problem, Pixels())
    held, state, found = images(run), objective.init(problem, Key(seed)), []
    for step in range(steps):
        key = Key(seed).fold("step", step)
        match = objective.match(held, torch.zeros(len(held), 3), problem, state, key)
        found.append(bool(match.kept))
        state = objective.advance(run.synthetic, problem, state, key, kept=match.kept)
    return found


def test_networks_take_turns_and_are_drawn_anew_one_after_the_other() -> None:
    size, refresh = 4, 8
    found = drawn_at(pooled(size, refresh), 10 * size)
    rounds = [sum(found[start : start + size]) for start in range(0, len(found), size)]
    assert rounds[0] == size
    # each serves 8 steps, and never two end in one round of the four
    assert max(rounds[1:]) == 1 and sum(rounds[2:]) == size
    assert sum(drawn_at(pooled(size, 0), 10 * size)) == size
    assert all(drawn_at(pooled(3, 1), 7))


def test_turns_follow_from_the_key() -> None:
    one, again, other = (drawn_at(pooled(5, 3), 40, seed) for seed in (0, 0, 1))
    assert one == again != other


OBJECTIVES = {
    "pool": pooled(),
    "gradient": GradientMatching(batch_real=5, augment=PLAIN.augment, pool=3, refresh=2),
    "rows": pooled(batch=2),
    "nested": Nested(pooled(), every=1, networks=2, batch_check=4),
    "sum": WeightedSum(
        (pooled(batch=3), GradientMatching(batch_real=5, inner=2, outer=2)), (1, 0.1)
    ),
}


@pytest.mark.parametrize("form", [LowRank(2), Decoded(2, 2, 1, 3)], ids=["low_rank", "decoded"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_run_resumes_at_any_step_to_the_same_bits(
    name: str, form: Parametrization, tmp_path: Path
) -> None:
    objective, steps = OBJECTIVES[name], 7

    def fresh() -> Run:
        return tiny_run(objective, tiny_problem(per_class=4), form)

    run = fresh()
    for step in range(steps):
        tensors, rest = flatten(run.state_dict())
        save_tensors(tmp_path / str(step), tensors, {"rest": rest})
        run.advance()
    for step in range(steps):
        path = tmp_path / str(step)
        resumed = fresh()
        resumed.load_state_dict(unflatten(read_tensors(path), read_header(path)["rest"]))
        while resumed.step < steps:
            resumed.advance()
        assert same(run.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("form", all_forms())
@pytest.mark.parametrize("network", ["convnet2:width=8", BATCH_NORM])
def test_every_form_is_matched(form: str, network: str) -> None:
    problem = tiny_problem(network=network)
    assert not check_combination(pooled(2, 2), all_forms()[form], problem).refused
    if network != BATCH_NORM:
        rows = pooled(2, 2, batch=2)
        # the loss of a part of the images falls with those of this part
        assert not check_combination(rows, all_forms()[form], problem, lowers=False).refused


def test_a_pool_takes_k_times_d_values_for_each_network_and_no_more() -> None:
    run = stepped(pooled(3, 2), 0)
    features = problem_features(run.problem)
    for _ in range(8):
        kept = dotted(run.state_dict()["state"]).values()
        assert (
            sum(tensor.numel() * tensor.element_size() for tensor in kept) == 3 * 3 * features * 4
        )
        run.advance()
    with pytest.raises(BadRequest, match="pool 1000000000000: what is kept of it would take"):
        tiny_run(pooled(10**12), tiny_problem(), Pixels())


def problem_features(problem: Problem) -> int:
    module: Any = problem.network.draw(Key(0))
    return module.embed(torch.zeros(1, *problem.layout.shape)).shape[1]


@pytest.mark.parametrize("chunk", [32, 1])
@pytest.mark.parametrize("counts", [None, (4, 2, 5)])
def test_steps_on_parts_of_the_set_are_on_average_steps_on_all(
    counts: tuple[int, ...] | None, chunk: int
) -> None:
    """Over every choice of two images of a class, loss and gradient are those of all."""
    problem = tiny_problem(per_class=4, compute=dataclasses.replace(COMPUTE, chunk=chunk))
    if counts is not None:
        problem = unequal(problem, counts)
    layout, key = problem.layout, Key(1)
    means = ClassMeans(5, "flip_crop")
    tensors = training_embedding(problem).tensors(problem.network.draw(key))
    real = means.real(tensors, problem, key)
    every = torch.randn(len(layout), *layout.shape, generator=Key(2).generator())
    loss, gradient = means.towards(real, tensors, every, problem, key)
    choices = [
        list(itertools.combinations(layout.rows_of(label), min(2, size)))
        for label, size in enumerate(layout.sizes())
    ]
    # classes do not meet, so that choices of one need not go with all of another
    rounds = math.lcm(*map(len, choices))
    losses, slopes = torch.zeros(()), torch.zeros_like(every)
    for turn in range(rounds):
        rows = torch.tensor([row for own in choices for row in own[turn % len(own)]])
        sizes = tuple(min(2, size) for size in layout.sizes())
        read = dataclasses.replace(layout, per_class=2, counts=None if counts is None else sizes)
        found, slope = means.towards(
            real, tensors, every[rows], dataclasses.replace(problem, layout=read), key, layout
        )
        losses += found / rounds
        slopes[rows] += slope / rounds
    torch.testing.assert_close(losses, loss, rtol=1e-4, atol=0)
    torch.testing.assert_close(slopes, gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()))


def test_a_step_leaves_the_rows_that_it_does_not_read() -> None:
    run = tiny_run(dataclasses.replace(PLAIN, batch=2), tiny_problem(per_class=5), Pixels())
    before = images(run)
    index = run.objective.select(run.problem, run.state, run.key.fold("step", 0))
    assert [int((index // 5 == label).sum()) for label in range(3)] == [2, 2, 2]
    run.advance()
    moved = (images(run) != before).flatten(1).any(dim=1).nonzero().flatten()
    assert torch.equal(moved, index)
    whole = stepped(dataclasses.replace(PLAIN, batch=4), 2)
    assert torch.equal(images(whole), images(stepped(PLAIN, 2)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pool": -1}, "pool -1: 0 or more"),
        ({"refresh": -2}, "refresh -2: 0 or more"),
        ({"batch": 1}, "batch 1: at least 2 images of a class"),
        ({"batch": -3}, "batch -3: at least 2"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        dataclasses.replace(PLAIN, **settings)


def test_parts_of_a_set_are_refused_where_they_do_not_show_the_whole() -> None:
    problem = tiny_problem(per_class=4, network=BATCH_NORM)
    with pytest.raises(BadRequest, match="batch normalization lets images affect each other"):
        tiny_run(dataclasses.replace(PLAIN, batch=2), problem, Pixels())
    # where all are read, nothing is left out
    tiny_run(dataclasses.replace(PLAIN, batch=4), problem, Pixels()).advance()
    nested = Nested(dataclasses.replace(PLAIN, batch=2))
    with pytest.raises(BadRequest, match="--nested: a step has to read every image"):
        tiny_run(nested, tiny_problem(per_class=4), Pixels())
    tiny_run(nested, tiny_problem(per_class=2), Pixels()).advance()


def test_a_pool_is_told_and_none_is_not(out: Path) -> None:
    """So runs that were begun before there were pools go on."""
    small: dict[str, Any] = {
        "method": "dm",
        "ipc": 2,
        "network": "convnet2:width=8",
        "iterations": 2,
        "torch_compile": "off",
    }
    told = attar.condense(tiny_data(), **small).header.settings["objective"]
    assert told.keys() == {"name", "batch_real", "augment"}
    made = attar.condense(tiny_data(), **small, settings={"pool": 2, "batch": 2}, output=out)
    assert made.header.settings["objective"].items() >= {"pool": 2, "batch": 2}.items()
    assert "'pool': 2" in made.header.provenance["command"]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_usual_step_finds_its_network_in_the_pool(name: str) -> None:
    """A run is timed by such steps, and by the share of those that draw."""
    objective = OBJECTIVES[name]
    run = tiny_run(objective, tiny_problem(per_class=4), Pixels())
    before = run.state_dict()
    key = run.key.fold("step", 0)
    index = objective.select(run.problem, run.state, key)
    state = objective.usual(run.state)
    found = objective.match(images(run)[index], torch.zeros(len(index), 3), run.problem, state, key)
    kept = found.kept if name != "sum" else found.kept["0"]
    assert not kept
    run.probe(usual=True)
    assert same(before, run.state_dict())
    assert PLAIN.unusual(100) == 1.0
    # a pool of 3 is filled, and 97 steps at 2 for each network draw 48.5
    assert pooled().unusual(100) == pytest.approx(0.515)
    assert objective.unusual(100) == (1.0 if name == "sum" else pytest.approx(0.515))
