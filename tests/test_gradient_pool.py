"""Gradient matching with a pool of drawn networks, whose real gradients are found once."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.objectives import GradientMatching, Match, Problem
from attar.rng import Key
from attar.synthetic import Pixels
from attar.tensors import dotted
from catalogue import tiny_data, tiny_problem, tiny_run, unequal

PLAIN = GradientMatching(batch_real=5, augment="color_crop_flip_scale_rotate")
BATCH_NORM = "convnet2:width=8,norm=batch"


def pooled(pool: int = 2, refresh: int = 3, **settings: Any) -> GradientMatching:
    return dataclasses.replace(PLAIN, pool=pool, refresh=refresh, **settings)


def given(problem: Problem) -> tuple[Tensor, Tensor]:
    classes = problem.layout.class_of_row()
    images = torch.randn(len(classes), *problem.layout.shape, generator=Key(1).generator())
    return images, torch.eye(3)[classes]


def steps(objective: GradientMatching, problem: Problem, count: int) -> list[Match]:
    """Return what steps find, each of which has a key of its own."""
    run = tiny_run(objective, problem, Pixels())
    images, labels = given(problem)
    state, found = objective.init(problem, Key(9)), []
    for step in range(count):
        key = Key(2).fold("step", step)
        found.append(objective.match(images, labels, problem, state, key))
        state = objective.advance(run.synthetic, problem, state, key, kept=found[-1].kept)
    return found


def plain(problem: Problem, step: int) -> Match:
    """Return what the plain method finds in the network that a step draws."""
    key = Key(2).fold("step", step)
    return PLAIN.match(*given(problem), problem, PLAIN.init(problem, key), key)


@pytest.mark.parametrize("network", ["convnet2:width=8", BATCH_NORM])
@pytest.mark.parametrize("distance", ["layerwise", "mse"])
def test_every_step_is_the_plain_one_in_the_network_that_was_drawn(
    network: str, distance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "PLAIN", dataclasses.replace(PLAIN, distance=distance))
    problem = tiny_problem(tiny_data(3), 2, network)
    found = steps(pooled(1, 3), problem, 7)
    for step, each in enumerate(found):
        wanted = plain(problem, step // 3 * 3)
        assert torch.equal(each.loss, wanted.loss)
        for one, other in ((each.images, wanted.images), (each.labels, wanted.labels)):
            assert one is not None and other is not None and torch.equal(one, other)
    assert not torch.equal(found[0].loss, found[3].loss)


def test_networks_take_turns() -> None:
    problem = tiny_problem(tiny_data(3), 2)
    # in its first life the second network serves one step fewer
    losses = [float(each.loss) for each in steps(pooled(2, 3), problem, 8)]
    drawn = {float(plain(problem, step).loss): step for step in range(8)}
    known = [drawn[loss] for loss in losses]
    assert known[:2] == [0, 1] and sorted(known[2:4]) == [0, 1]
    assert all(step <= now for now, step in enumerate(known)) and len(set(known)) == 4


def test_real_images_are_read_only_where_a_network_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    take = LabelledImages.take
    monkeypatch.setattr(
        LabelledImages, "take", lambda self, rows: read.append(len(rows)) or take(self, rows)
    )
    problem = tiny_problem(tiny_data(3), 2)
    steps(pooled(2, 0), problem, 6)
    # two networks, images of each of three classes
    assert len(read) == 6


def test_what_is_kept_takes_the_weights_of_a_network_for_each_class() -> None:
    problem = tiny_problem(tiny_data(3), 2)
    module = problem.network.draw(Key(0))
    counted = sum(one.numel() for one in module.parameters() if one.ndim > 1)
    state = pooled(4).init(problem, Key(0))
    kept = [one for one in dotted(state["networks"]).values() if isinstance(one, Tensor)]
    assert sum(one.numel() for one in kept) == 4 * 3 * counted
    with pytest.raises(BadRequest, match="pool 1000000000: what is kept of it would take"):
        pooled(10**9).init(problem, Key(0))


def test_classes_of_different_numbers_are_matched() -> None:
    problem = unequal(tiny_problem(tiny_data(3), 3), (3, 1, 2))
    found = steps(pooled(1, 2), problem, 2)
    assert torch.equal(found[0].loss, found[1].loss) and found[0].loss > 0


def test_networks_that_are_trained_on_the_set_are_not_kept() -> None:
    with pytest.raises(BadRequest, match=r"pool 2: real gradients are kept .* --set outer=1"):
        pooled(outer=2)
    with pytest.raises(BadRequest, match="pool -1: 0 or more"):
        pooled(-1)


def test_workers_are_refused() -> None:
    options = {"method": "fastdc", "ipc": 1, "network": "convnet2:width=8", "workers": 2}
    with pytest.raises(BadRequest, match=r"--workers 2: pool 8: of real gradients .* --set pool=0"):
        attar.condense(tiny_data(), **options)
