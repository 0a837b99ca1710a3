"""Dataset distillation: steps and images by the way back through them, against one graph."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.errors import BadRequest
from attar.methods import METHODS, Task
from attar.objectives import DatasetDistillation, Match, Problem, keeping
from attar.objectives.flat import flat_loss
from attar.objectives.keeping import Keeping
from attar.objectives.unrolling import Steps
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import Pixels
from attar.training import CARDS, Trainer
from attar.training.batches import batches
from attar.training.fitting import LEARNT_LR
from attar.training.schedules import steps as updates
from catalogue import tiny_data, tiny_problem, tiny_run, unequal
from references.unrolled import mean_loss, trained

KEY = Key(3).fold("step", 0)
# rates at which six steps change the loss
OBJECTIVE = DatasetDistillation(steps=3, rounds=2, lr_start=0.1, batch_real=7)
SMALL: dict[str, Any] = {
    "network": "convnet2:width=8",
    "precision": "float32",
    "torch_compile": "off",
    "validations": 1,
    "settings": ("steps=3", "rounds=2", "batch_real=8"),
}


def problem_of(per_class: int = 3) -> Problem:
    return tiny_problem(tiny_data(3), per_class)


def given(problem: Problem, objective: DatasetDistillation = OBJECTIVE) -> list[Tensor]:
    """Return images, soft labels and step sizes as they are learnt."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(len(problem.layout), *problem.layout.shape, generator=generator)
    truth = torch.eye(problem.layout.classes)[problem.layout.class_of_row()]
    labels = 0.9 * truth + 0.1 * torch.rand(truth.shape, generator=generator)
    raw = objective.learned(problem)[LEARNT_LR]
    return [images, labels, raw + 0.5 * torch.randn(raw.shape, generator=generator)]


def matched(objective: DatasetDistillation, problem: Problem) -> Match:
    images, labels, raw = given(problem, objective)
    state = objective.init(problem, KEY)
    return objective.match(images, labels, problem, state, KEY, {LEARNT_LR: raw})


def reference(problem: Problem, images: Tensor, labels: Tensor, raw: Tensor) -> Tensor:
    """Return the loss on real images after the steps, with its graph, in float64."""
    module = problem.network.draw(KEY.fold("network"))
    shapes = {name: tuple(one.shape) for name, one in module.named_parameters()}
    first = torch.cat([one.detach().double().flatten() for one in module.parameters()])
    rows = batches(len(images), 3, OBJECTIVE.steps) * OBJECTIVE.rounds
    # softplus, written out
    sizes = (1 + raw.exp()).log().flatten()
    last = trained(images, labels, sizes, first, rows, lambda step, some: some, shapes, 0.0)
    data = problem.data
    index = torch.randperm(len(data), generator=KEY.fold("real").generator())[:7]
    truth = torch.eye(3, dtype=torch.float64)[data.labels[index]]
    return mean_loss(last, data.take(index).double(), truth, shapes)


@pytest.mark.parametrize("per_class", [1, 3, 5])
def test_loss_and_slopes_are_those_of_one_graph(per_class: int) -> None:
    problem = problem_of(per_class)
    found = matched(OBJECTIVE, problem)
    leaves = [one.double().requires_grad_() for one in given(problem)]
    loss = reference(problem, *leaves)
    slopes = torch.autograd.grad(loss, leaves)
    assert abs(float(found.loss) - float(loss.detach())) < 1e-4
    ours = (found.images, found.labels, found.learned[LEARNT_LR])
    for one, other in zip(ours, slopes, strict=True):
        assert one is not None and one.shape == other.shape and float(other.norm()) > 1e-5
        assert float((one.double() - other).norm() / other.norm()) < 2e-3


def test_slopes_are_those_of_finite_differences() -> None:
    problem = problem_of()
    found = matched(OBJECTIVE, problem)
    ours = (found.images, found.labels, found.learned[LEARNT_LR])
    exact = [one.double() for one in given(problem)]
    for place, slope in enumerate(ours):
        assert slope is not None
        generator = torch.Generator().manual_seed(place)
        way = torch.randn(slope.shape, generator=generator, dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            moved = list(exact)
            moved[place] = exact[place] + sign * 1e-5 * way
            ends.append(float(reference(problem, *moved).detach()))
        wanted = (ends[0] - ends[1]) / 2e-5
        assert float((slope.double() * way).sum()) == pytest.approx(wanted, rel=5e-3, abs=1e-5)


@pytest.mark.parametrize(
    "changed", [{"held": 1}, {"held": 2}, {"held": 5}, {"weights_on": "cpu"}], ids=str
)
def test_where_and_how_many_weights_are_kept_changes_nothing(changed: dict[str, Any]) -> None:
    problem = problem_of()
    one = matched(OBJECTIVE, problem)
    other = matched(dataclasses.replace(OBJECTIVE, **changed), problem)
    assert one.images is not None and other.images is not None
    assert torch.equal(one.loss, other.loss) and torch.equal(one.images, other.images)
    assert torch.equal(one.learned[LEARNT_LR], other.learned[LEARNT_LR])


def test_graphs_are_kept_where_memory_allows_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = problem_of()
    loss = flat_loss(problem, "cross_entropy")
    images, labels, _ = given(problem)
    steps = Steps(images, labels, batches(len(images), 3, 3) * 2, (), KEY)
    first = torch.cat([one.detach().flatten() for one in problem.network.draw(KEY).parameters()])
    each = loss.graph_bytes(first, *steps.minibatch(0))
    # at least the images and what the first convolution makes of them
    assert each > 4 * images[0].numel() * 3
    kept = matched(OBJECTIVE, problem)
    for there, expected in ((24 * each, True), (24 * each - 1, False)):
        monkeypatch.setattr(keeping, "available_memory", lambda there=there: there)
        other = problem_of()
        assert Keeping(0, "device").graphs(other, loss, steps, first) is expected
        found = matched(OBJECTIVE, other)
        assert kept.images is not None and found.images is not None
        assert torch.equal(found.images, kept.images)
        assert torch.equal(found.learned[LEARNT_LR], kept.learned[LEARNT_LR])
    assert not Keeping(2, "device").graphs(problem_of(), loss, steps, first)
    assert not Keeping(0, "cpu").graphs(problem_of(), loss, steps, first)


def test_what_is_kept_hardly_grows_with_the_steps() -> None:
    # one level of 4 parts and 4 steps, then a level of 4 parts for every fourfold
    kept = [Keeping(4, "device").bytes(count, 1) // 4 for count in (4, 16, 64, 256, 1024)]
    assert kept == [4, 8, 12, 16, 20]
    assert Keeping(0, "device", each=2).bytes(1024, 1) == 8 * 1024


# FACTS 20: one image of each class in each of 10 steps
@pytest.mark.parametrize(
    ("count", "classes", "steps", "sizes"),
    [
        (100, 10, 10, [10] * 10),
        (500, 10, 10, [50] * 10),
        # fewer images of a class than steps: they take turns
        (10, 10, 3, [10] * 3),
        (30, 10, 7, [10] * 7),
        (150, 10, 10, [15] * 10),
        (3, 5, 2, [3] * 2),
    ],
)
def test_images_are_dealt_out_to_steps_evenly(
    count: int, classes: int, steps: int, sizes: list[int]
) -> None:
    found = batches(count, classes, steps)
    assert [len(one) for one in found] == sizes
    assert torch.cat(found).unique().tolist() == list(range(count))
    if count % classes == 0:
        per_class = count // classes
        for one in found:
            own = torch.bincount(one // per_class, minlength=classes)
            assert int(own.max() - own.min()) <= 1


def test_step_sizes_stay_positive_and_start_where_they_are_said_to() -> None:
    for start in (1e-6, 0.001, 0.02, 3.0, 1000.0):
        objective = DatasetDistillation(lr_start=start)
        kept = objective.kept(objective.learned(problem_of()))[LEARNT_LR]
        assert kept.shape == (3, 10)
        assert kept.flatten().tolist() == pytest.approx([start] * 30, rel=1e-3)
    low = {LEARNT_LR: torch.full((3, 10), -50.0)}
    assert bool((DatasetDistillation().kept(low)[LEARNT_LR] > 0).all())


def test_classes_may_have_unequal_numbers_of_images() -> None:
    found = matched(OBJECTIVE, unequal(problem_of()))
    assert found.images is not None
    assert bool((found.images.flatten(1).norm(dim=1) > 0).all())


def test_fixed_networks_take_turns_and_are_those_an_evaluation_begins_from() -> None:
    problem = problem_of()
    one = dataclasses.replace(OBJECTIVE, networks=1)
    images, labels, raw = given(problem)
    losses = [
        [
            float(objective.match(images, labels, problem, state, KEY, {LEARNT_LR: raw}).loss)
            for state in ({"updates": n} for n in range(3))
        ]
        for objective in (one, dataclasses.replace(OBJECTIVE, networks=2))
    ]
    assert losses[0][0] == losses[0][1] == losses[0][2] == losses[1][0]
    assert losses[1][0] == losses[1][2] != losses[1][1]
    state = one.init(problem, KEY)
    assert one.advance(tiny_run(one, problem).synthetic, problem, state, KEY) == {"updates": 1}


def test_a_set_is_evaluated_by_exactly_the_steps_that_it_was_learnt_for() -> None:
    """A network of the evaluation ends where the objective's training does."""
    problem = problem_of()
    objective = dataclasses.replace(OBJECTIVE, networks=1)
    images, labels, raw = given(problem)
    loss = objective.match(images, labels, problem, {"updates": 0}, KEY, {LEARNT_LR: raw}).loss
    card = CARDS["dd"].with_rates(objective.kept({LEARNT_LR: raw})[LEARNT_LR].tolist())
    key = Key(0).fold("evaluate").fold(problem.network.name, 0)
    trainer = Trainer(problem.network, problem.compute)
    (tensors,) = trainer.fit(images, labels, card, "none", [key])
    index = torch.randperm(len(problem.data), generator=KEY.fold("real").generator())[:7]
    scores = trainer.scores(tensors, problem.data.take(index))
    found = torch.nn.functional.cross_entropy(scores, problem.data.labels[index])
    assert float(found) == pytest.approx(float(loss), rel=1e-4)


def test_the_card_has_one_rate_for_each_step_and_no_other_length() -> None:
    card = CARDS["dd"].with_rates([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    assert card.name == "dd (steps 3×2)"
    told = list(updates(card, 12))
    assert [step.lr for step in told] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert [step.epoch for step in told] == [0, 0, 0, 1, 1, 1] and card.steps(12) == 6
    assert card.with_epochs(7) == card == card.with_updates(7)
    with pytest.raises(BadRequest, match="learnt step size 0"):
        CARDS["dd"].with_rates([[0.1, 0.0]])


def test_it_condenses_by_name_and_the_file_holds_its_step_sizes(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    data = tiny_data()
    made = attar.condense(data, method="dd", ipc=2, iterations=2, output=path, **SMALL)
    again = attar.load(path)
    found = again.learned[LEARNT_LR]
    assert found.shape == (2, 3) and torch.equal(found, made.learned[LEARNT_LR])
    assert bool((found > 0).all()) and float(found.mean()) == pytest.approx(0.02, rel=0.1)
    assert len(found.unique()) > 1
    lines = {entry.name: entry.bytes for entry in again.ledger.entries}
    assert lines["learned.learned_lr"] == 4 * 6
    # the bytes of the ledger are those of the payload
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert path.stat().st_size - 8 - header == sum(lines.values())
    pair = (data, tiny_data(seed=1))
    own, random, whole = attar.evaluate(path, pair, repeats=1, baselines="random,whole")
    assert own.results[0].card == random.results[0].card == "dd (steps 3×2)"
    assert own.results[0].updates == 6
    assert whole.results[0].card.startswith("dsa-1000")
    (usual,) = attar.evaluate(path, tiny_data(seed=1), repeats=1, card="dsa-1000", epochs=1)
    assert usual.results[0].card == "dsa-1000 (epochs 1)"


@pytest.mark.parametrize("options", [{"epochs": 5}, {"updates": 5}, {"tune": True}])
def test_another_training_under_the_card_is_refused(options: dict[str, Any]) -> None:
    made = attar.condense(tiny_data(), method="dd", ipc=1, iterations=0, **SMALL)
    with pytest.raises(BadRequest, match=f"--{next(iter(options))}: --card dd trains by exactly"):
        attar.evaluate(made, tiny_data(seed=1), **options)


def test_the_card_is_refused_for_a_set_without_steps() -> None:
    made = attar.condense(tiny_data(), method="random", ipc=1)
    with pytest.raises(BadRequest, match=r"--card dd trains by the steps.*--card dsa-1000"):
        attar.evaluate(made, tiny_data(seed=1), card="dd")
    with pytest.raises(BadRequest, match="--card dd trains by the steps"):
        attar.condense(tiny_data(), method="dm", card="dd", ipc=1, iterations=1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": 0}, "steps 0: 1 or more"),
        ({"rounds": 0}, "rounds 0: 1 or more"),
        ({"batch_real": 0}, "batch_real 0"),
        ({"networks": -1}, "networks -1: 0 or more"),
        ({"lr_start": 0.0}, "lr_start 0: a positive"),
        ({"lr_start": math.inf}, "lr_start inf"),
        ({"held": -1}, "held -1"),
        ({"weights_on": "disk"}, "weights_on 'disk'.*cpu, device"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        DatasetDistillation(**wrong)


def test_more_steps_than_memory_holds_are_refused_with_the_bytes() -> None:
    objective = DatasetDistillation(steps=10**6, rounds=10**6)
    with pytest.raises(BadRequest, match=r"steps 1000000 × rounds 1000000: .* GB .*held=1000000\)"):
        objective.check(problem_of())
    huge = ("steps=1000000", "rounds=1000000")
    with pytest.raises(BadRequest, match=r"their step sizes would take .* GB of memory"):
        attar.condense(tiny_data(), method="dd", ipc=1, settings=huge)


def test_published_settings() -> None:
    recipe = METHODS["dd"].recipe(Task("cifar10", 10, (3, 32, 32), 10))
    adam = Optimiser(0.01, kind="adam", schedule="halving", beta=0.5)
    assert recipe.objective == DatasetDistillation(10, 3, 0.001, 1024)
    assert recipe.parametrization == Pixels()
    assert recipe.optimisers == {"images": adam, LEARNT_LR: adam}
    assert (recipe.init, recipe.card, recipe.iterations) == ("noise", "dd", 19_600)
    grey = METHODS["dd"].recipe(Task("mnist", 10, (1, 28, 28), 10)).objective
    assert isinstance(grey, DatasetDistillation) and grey.lr_start == 0.02


def test_the_rate_is_halved_after_every_tenth_of_the_run() -> None:
    adam = Optimiser(0.01, kind="adam", schedule="halving", beta=0.5)
    rates = [adam.rate(step, 400) / 0.01 for step in range(400)]
    assert rates == [0.5 ** (step // 40) for step in range(400)]
    built = adam.build([torch.nn.Parameter(torch.zeros(1))])
    assert built.param_groups[0]["betas"] == (0.5, 0.999)
    with pytest.raises(BadRequest, match=r"beta 0\.5: .* of Adam alone"):
        Optimiser(0.01, beta=0.5)


@pytest.mark.parametrize("kind", ["sgd", "lamb", "adabelief"])
def test_another_optimiser_leaves_the_first_moment_of_adam(kind: str) -> None:
    sizes = {"steps": 2, "rounds": 1}
    made = attar.condense(
        tiny_data(), method="dd", ipc=1, optimiser=kind, iterations=1, settings=sizes
    )
    told = made.header.settings["optimisers"]["images"]
    assert told["kind"] == kind and "beta" not in told


_PEAK = """
import resource, sys, torch
from attar.objectives import DatasetDistillation
from attar.objectives.flat import flat_loss
from attar.rng import Key
from attar.testing.tiny import tiny_data, tiny_problem
steps, held = int(sys.argv[1]), int(sys.argv[2])
problem = tiny_problem(tiny_data(1, (9, 9, 9), 16), 2, "convnet2:width=128")
objective = DatasetDistillation(steps=2, rounds=steps // 2, batch_real=8, held=held)
images = torch.randn(6, 1, 16, 16)
size = flat_loss(problem, "cross_entropy").size
objective.match(images, torch.eye(3).repeat(2, 1), problem, {}, Key(0), objective.learned(problem))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, size)
"""


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_steps() -> None:
    def peak(steps: int, held: int) -> tuple[int, int]:
        out = subprocess.run(
            [sys.executable, "-c", _PEAK, str(steps), str(held)],
            capture_output=True,
            check=True,
            text=True,
        ).stdout.split()
        return int(out[0]), int(out[1])

    few, size = peak(16, 4)
    many, _ = peak(256, 4)
    every, _ = peak(256, 0)
    # 240 steps more, of which all would take two vectors each
    all_of_them = 8 * 240 * size
    assert every - few > 0.7 * all_of_them
    assert many - few < 0.1 * all_of_them


class Killed(attar.Callback):
    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        if step == 3:
            raise MemoryError


@pytest.mark.parametrize("settings", [(), ("networks=2",)], ids=["random", "fixed"])
def test_a_killed_run_goes_on_to_the_same_set(tmp_path: Path, settings: tuple[str, ...]) -> None:
    options = SMALL | {"method": "dd", "ipc": 2, "iterations": 5}
    options["settings"] = (*SMALL["settings"], *settings)
    whole = attar.condense(tiny_data(), output=tmp_path / "whole.safetensors", **options)
    out = tmp_path / "killed.safetensors"
    with pytest.raises(MemoryError):
        attar.condense(tiny_data(), output=out, checkpoint_seconds=0, callback=Killed(), **options)
    found = attar.condense(tiny_data(), output=out, resume=True, **options)
    assert torch.equal(found.images, whole.images)
    assert torch.equal(found.learned[LEARNT_LR], whole.learned[LEARNT_LR])
