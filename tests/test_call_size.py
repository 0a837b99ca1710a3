"""Training in as many images a call as memory holds."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.data import Splits
from attar.errors import BadRequest
from attar.networks import Network, build, from_module, make_for
from attar.rng import Key
from attar.training import EvaluationCard, Trainer
from attar.training.batches import largest
from attar.training.call_size import check_whole, evenly, most_per_call
from attar.training.trainer import Update
from catalogue import COMPUTE, tiny_data
from test_evaluation import by_reference, one_hot, tiny_set

NAME = "convnet2:width=8"
BATCH_NORM = f"{NAME},norm=batch"
BRIEF = EvaluationCard("brief", "", epochs=3, augment="none", lr=0.1, batch=7)


def network(name: str = NAME) -> Network:
    return build(name, 1, (8, 8), 3)


def holding(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    monkeypatch.setattr("attar.training.call_size.GRAPH", images * network().graph_bytes)


def noted(monkeypatch: pytest.MonkeyPatch, trainer: Trainer) -> list[int]:
    """Return the images of each call, as they come."""
    sizes: list[int] = []
    scored = trainer._scored
    monkeypatch.setattr(
        trainer,
        "_scored",
        lambda given, drawn: sizes.append(len(drawn[0][0])) or scored(given, drawn),
    )
    return sizes


@pytest.mark.parametrize(
    ("most", "batch", "networks", "wanted"),
    [
        (256, 256, 1, 256),
        (255, 256, 1, 128),
        (3, 7, 1, 3),
        (4, 7, 1, 4),
        (8, 7, 2, 4),
        (0, 7, 1, 1),
    ],
)
def test_a_batch_is_split_evenly_where_memory_does_not_hold_it(
    monkeypatch: pytest.MonkeyPatch, most: int, batch: int, networks: int, wanted: int
) -> None:
    holding(monkeypatch, most)
    assert evenly(batch, most_per_call(network(), COMPUTE, networks)) == wanted


def test_batch_norm_and_gpus_are_given_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    holding(monkeypatch, 1)
    gpu = dataclasses.replace(COMPUTE, device=torch.device("cuda"))
    assert most_per_call(network(BATCH_NORM), COMPUTE) is None
    assert most_per_call(network(), gpu) is None
    assert evenly(7, None) == 7


@pytest.mark.parametrize("soft", [False, True])
def test_in_parts_a_network_learns_what_it_learns_from_whole_batches(
    monkeypatch: pytest.MonkeyPatch, soft: bool
) -> None:
    holding(monkeypatch, 3)
    images, labels = tiny_set()
    truth = torch.rand(10, 3, generator=Key(1).generator()).softmax(1) if soft else labels
    trainer = Trainer(network(), COMPUTE)
    sizes = noted(monkeypatch, trainer)
    (found,) = trainer.fit(images, truth, BRIEF, "none", [Key(7)])
    # batches of seven images and of three
    assert set(sizes) == {3, 1} and sizes[:4] == [3, 3, 1, 3]
    wanted = by_reference(BRIEF, Key(7), images, truth.double() if soft else one_hot(labels))
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[f"module.{name}"].double(), tensor, rtol=1e-4, atol=1e-5)


def test_what_is_compiled_sees_parts_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    holding(monkeypatch, 3)
    images, labels = tiny_set()
    (whole,) = Trainer(network(), COMPUTE).fit(images, labels, BRIEF, "none", [Key(7)])
    trainer = Trainer(network(), dataclasses.replace(COMPUTE, compile=True))
    sizes = noted(monkeypatch, trainer)
    updates: list[Update] = []
    (found,) = trainer.fit_together(images, labels, BRIEF, "none", [Key(7)], updated=updates.append)
    assert set(sizes) == {3} and len(updates[0].scores) == 7
    for name, tensor in whole.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)


def test_what_is_told_of_an_update_is_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = tiny_set()

    def told() -> list[Update]:
        updates: list[Update] = []
        Trainer(network(), COMPUTE).fit_together(
            images, labels, BRIEF, "none", [Key(7)], updated=updates.append
        )
        return updates

    whole = told()
    holding(monkeypatch, 2)
    for one, other in zip(told(), whole, strict=True):
        assert torch.equal(one.rows, other.rows) and torch.equal(one.truth, other.truth)
        torch.testing.assert_close(one.scores, other.scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.loss, other.loss, rtol=1e-4, atol=1e-5)


def test_several_networks_share_what_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = tiny_set()
    keys = [Key(7), Key(8)]

    def trained() -> tuple[list[dict[str, Tensor]], set[int]]:
        trainer = Trainer(network(), COMPUTE, 2)
        sizes = noted(monkeypatch, trainer)
        return trainer.fit(images, labels, BRIEF, "none", keys), set(sizes)

    whole, sizes = trained()
    assert sizes == {7, 3}
    holding(monkeypatch, 6)
    parts, sizes = trained()
    assert sizes == {3, 1}
    for one, other in zip(whole, parts, strict=True):
        for name, tensor in one.items():
            torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_batch_of_batch_norm_that_memory_cannot_hold_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, labels = tiny_set()
    own = network(BATCH_NORM)
    monkeypatch.setattr("attar.training.call_size.peak_memory", lambda device: 0)
    monkeypatch.setattr("attar.training.call_size.kept_memory", lambda: 0)
    monkeypatch.setattr("attar.capacity.available_memory", lambda: 6 * own.graph_bytes // 4)
    with pytest.raises(BadRequest, match=r"7 images at once in .*norm=batch.*smaller batches"):
        Trainer(own, COMPUTE).fit(images, labels, BRIEF, "none", [Key(7)])
    Trainer(own, COMPUTE).fit(images[:6], labels[:6], BRIEF, "none", [Key(7)])
    Trainer(network(), COMPUTE).fit(images, labels, BRIEF, "none", [Key(7)])


def test_validations_that_memory_cannot_hold_are_refused_with_the_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tiny_data(20)
    asked = Request("dc", synthetic_per_class=4, network=BATCH_NORM, validation=0.2)
    each = make_for(BATCH_NORM, data.shape, data.classes).graph_bytes // 4
    monkeypatch.setattr("attar.training.call_size.peak_memory", lambda device: 0)
    monkeypatch.setattr("attar.training.call_size.kept_memory", lambda: 0)
    monkeypatch.setattr("attar.capacity.available_memory", lambda: 11 * each)
    with pytest.raises(BadRequest, match=r"12 images at once .* give --validation 0"):
        make_plan(asked, Splits(data, data))
    plan = make_plan(dataclasses.replace(asked, validation=0), Splits(data, data))
    assert plan.layout.rows == 12
    make_plan(dataclasses.replace(asked, network=NAME), Splits(data, data))


def test_what_was_held_once_is_not_refused_where_it_is_no_longer_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = network(BATCH_NORM)
    monkeypatch.setattr("attar.capacity.available_memory", lambda: 0)
    monkeypatch.setattr("attar.training.call_size.kept_memory", lambda: 0)
    monkeypatch.setattr(
        "attar.training.call_size.peak_memory", lambda device: 7 * own.graph_bytes // 4
    )
    check_whole(own, COMPUTE, 7, "")
    with pytest.raises(BadRequest, match="8 images at once"):
        check_whole(own, COMPUTE, 8, "")


def test_what_was_freed_and_is_kept_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    own = network(BATCH_NORM)
    each = own.graph_bytes // 4
    monkeypatch.setattr("attar.capacity.available_memory", lambda: 3 * each)
    monkeypatch.setattr("attar.training.call_size.peak_memory", lambda device: 5 * each)
    monkeypatch.setattr("attar.training.call_size.kept_memory", lambda: 4 * each)
    check_whole(own, COMPUTE, 7, "")
    with pytest.raises(BadRequest, match="8 images at once"):
        check_whole(own, COMPUTE, 8, "")


class Drawing(nn.Module):
    """Draws from the global generator as it goes, and does nothing with it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, images: Tensor) -> Tensor:
        torch.rand(1)
        return self.layer(images.flatten(1))


def test_weighing_leaves_the_global_generator_as_it_was() -> None:
    own = from_module(Drawing, 1, (8, 8), 3)
    before = torch.random.get_rng_state()
    assert own.graph_bytes
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("changes", "count", "wanted"),
    [
        ({}, 10, 7),
        ({}, 5, 5),
        # two batches of five
        ({"even": True}, 10, 5),
        # an epoch has one variant of each of two bases
        ({"variants": 5}, 10, 2),
        # of each step learnt, one image of each class
        ({"batch": 256, "rates": ((0.1,) * 4,)}, 12, 3),
        ({"batch": 4, "rates": ((0.1,),)}, 12, 12),
    ],
)
def test_what_goes_through_a_network_at_once_is_what_a_card_says(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], count: int, wanted: int
) -> None:
    card = dataclasses.replace(BRIEF, **changes)
    assert largest(card, count, 3) == wanted
    trainer = Trainer(network(), COMPUTE)
    sizes = noted(monkeypatch, trainer)
    trainer.fit(torch.zeros(count, 1, 8, 8), torch.arange(count) % 3, card, "none", [Key(0)])
    assert max(sizes) == wanted


def test_what_was_trained_once_is_not_refused_as_memory_is_taken_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, labels = tiny_set()
    trainer = Trainer(network(BATCH_NORM), COMPUTE)
    trainer.fit(images, labels, BRIEF, "none", [Key(7)])
    monkeypatch.setattr("attar.training.call_size.peak_memory", lambda device: 0)
    monkeypatch.setattr("attar.training.call_size.kept_memory", lambda: 0)
    monkeypatch.setattr("attar.capacity.available_memory", lambda: 0)
    trainer.fit(images, labels, BRIEF, "none", [Key(8)])


def test_validations_of_a_run_by_the_clock_take_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_data(20)
    asked = Request(
        "dc",
        synthetic_per_class=4,
        network=BATCH_NORM,
        validation=0.2,
        precision="bfloat16",
        device="cpu",
    )
    each = make_for(BATCH_NORM, data.shape, data.classes).graph_bytes // 8
    monkeypatch.setattr("attar.training.call_size.peak_memory", lambda device: 0)
    monkeypatch.setattr("attar.training.call_size.kept_memory", lambda: 0)
    monkeypatch.setattr("attar.capacity.available_memory", lambda: 13 * each)
    make_plan(asked, Splits(data, data))
    with pytest.raises(BadRequest, match="give --validation 0"):
        make_plan(dataclasses.replace(asked, minutes=1.0), Splits(data, data))


def test_a_set_of_variants_validates_on_one_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_data(20)
    asked = Request(
        "dm",
        form="hallucinated",
        card="haba",
        synthetic_per_class=4,
        network=BATCH_NORM,
        validation=0.2,
        init="noise",
        settings=("hallucinators=2", "batch=4"),
    )
    each = make_for(BATCH_NORM, data.shape, data.classes).graph_bytes // 4
    monkeypatch.setattr("attar.training.call_size.peak_memory", lambda device: 0)
    monkeypatch.setattr("attar.training.call_size.kept_memory", lambda: 0)
    monkeypatch.setattr("attar.capacity.available_memory", lambda: 6 * each)
    plan = make_plan(asked, Splits(data, data))
    assert plan.layout.rows == 12 and plan.recipe.parametrization.variants(plan.layout) == 2
    monkeypatch.setattr("attar.capacity.available_memory", lambda: 6 * each - 1)
    with pytest.raises(BadRequest, match="6 images at once"):
        make_plan(asked, Splits(data, data))
