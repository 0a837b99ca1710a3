"""Label distillation: by regression and by a step, against plain float64 computations."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.errors import BadRequest
from attar.methods import METHODS, Task
from attar.objectives import LabelDistillation, Match, Problem, State
from attar.objectives.persistent import Patience, fresh, mean_length, moved, no_lengths, with_length
from attar.objectives.ridge import ridge_solution
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import Pixels
from attar.tensors import probabilities
from attar.training import CARDS
from attar.training.fitting import LEARNT_UPDATES, with_learnt
from catalogue import tiny_data, tiny_problem, tiny_run
from references import convnet
from references.trajectory import parted
from references.unrolled import trained

KEY = Key(3).fold("step", 0)
LEARNERS = ("rr", "or2")
SMALL: dict[str, Any] = {
    "network": "convnet2:width=8",
    "precision": "float32",
    "torch_compile": "off",
    "validations": 1,
    "settings": ("batch=4", "batch_real=8", "gap=2"),
}


def objective_of(learner: str) -> LabelDistillation:
    return LabelDistillation(learner, batch=4, batch_real=7, lr_network=0.1)


def problem_of() -> Problem:
    return tiny_problem(tiny_data(3), 3)


def given(problem: Problem) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(len(problem.layout), *problem.layout.shape, generator=generator)
    truth = torch.eye(3)[problem.layout.class_of_row()]
    return [images, 0.9 * truth + 0.1 * torch.rand(truth.shape, generator=generator)]


def begun(objective: LabelDistillation, problem: Problem) -> State:
    """Return a state in the midst of a training, with a last layer that is not zero."""
    state = objective.init(problem, KEY)
    if objective.learner == "rr":
        last = torch.randn(state["last"].shape, generator=torch.Generator().manual_seed(2))
        scale = {**state["scale"], "values": torch.tensor(1.7)}
        state |= {"last": last, "scale": scale}
    return state


def matched(objective: LabelDistillation, problem: Problem) -> Match:
    state = begun(objective, problem)
    rows = objective.select(problem, state, KEY)
    images, labels = (one[rows] for one in given(problem))
    return objective.match(images, labels, problem, state, KEY)


def reference(
    objective: LabelDistillation, problem: Problem, images: Tensor, labels: Tensor
) -> Tensor:
    """Return the loss on real images, with its graph, in float64."""
    data = problem.data
    index = torch.randperm(len(data), generator=KEY.fold("real").generator())[:7]
    scores = reference_scores(objective, problem, images, labels, index)
    truth = torch.eye(3, dtype=torch.float64)[data.labels[index]]
    return -(truth * scores.log_softmax(dim=1)).sum() / len(index)


def reference_scores(
    objective: LabelDistillation, problem: Problem, images: Tensor, labels: Tensor, index: Tensor
) -> Tensor:
    """Return the scores of real images, likewise."""
    state, real = begun(objective, problem), problem.data.take(index).double()
    module = problem.network.draw(KEY.fold("network")).double()
    if objective.learner == "or2":
        shapes = {name: tuple(one.shape) for name, one in module.named_parameters()}
        first = torch.cat([one.detach().flatten() for one in module.parameters()])
        lr = torch.tensor(0.1, dtype=torch.float64)
        last = trained(
            images, labels, lr, first, [torch.arange(4)], lambda step, some: some, shapes, 0.0
        )
        return convnet.scores(parted(last, shapes), real, norm="instance")
    seen, own = (_with_one(module.embed(one)) for one in (real, images))  # type: ignore[operator]
    # the primal normal equations, where ours may solve the dual ones
    gram = own.T @ own + torch.eye(own.shape[1], dtype=torch.float64)
    solved = torch.linalg.inv(gram) @ own.T @ labels
    last = 0.99 * state["last"].double() + 0.01 * solved
    return 1.7 * seen @ last


def _with_one(features: Tensor) -> Tensor:
    return torch.cat([features, torch.ones(len(features), 1, dtype=features.dtype)], dim=1)


@pytest.mark.parametrize("learner", LEARNERS)
def test_loss_and_slopes_are_those_of_one_graph(learner: str) -> None:
    objective, problem = objective_of(learner), problem_of()
    found = matched(objective, problem)
    rows = objective.select(problem, {}, KEY)
    assert len(rows.unique()) == 4
    leaves = [one[rows].double().requires_grad_() for one in given(problem)]
    loss = reference(objective, problem, *leaves)
    assert float(found.loss) == pytest.approx(float(loss.detach()), rel=1e-4)
    for one, other in zip(
        (found.images, found.labels), torch.autograd.grad(loss, leaves), strict=True
    ):
        assert one is not None and float(other.norm()) > 1e-6
        assert float((one.double() - other).norm() / other.norm()) < 2e-3


@pytest.mark.parametrize("learner", LEARNERS)
def test_what_is_watched_is_the_error_on_real_images_as_the_authors_have_it(learner: str) -> None:
    # label_distillation_or2.py and _rr.py of ondrejbohdal/label-distillation: err1, not the loss
    objective, problem = objective_of(learner), problem_of()
    found = matched(objective, problem)
    rows = objective.select(problem, {}, KEY)
    images, labels = (one[rows].double() for one in given(problem))
    index = torch.randperm(len(problem.data), generator=KEY.fold("real").generator())[:7]
    scores = reference_scores(objective, problem, images, labels, index)
    wrong = (scores.argmax(dim=1) != problem.data.labels[index]).sum()
    assert found.kept["watched"] == float(wrong)
    by_loss = matched(dataclasses.replace(objective, watch="loss"), problem)
    assert by_loss.kept["watched"] == float(found.loss)
    assert torch.equal(by_loss.loss, found.loss)


@pytest.mark.parametrize("learner", LEARNERS)
def test_slopes_for_labels_are_those_of_finite_differences(learner: str) -> None:
    objective, problem = objective_of(learner), problem_of()
    found = matched(objective, problem).labels
    rows = objective.select(problem, {}, KEY)
    images, labels = (one[rows].double() for one in given(problem))
    way = torch.randn(labels.shape, generator=torch.Generator().manual_seed(0)).double()
    ends = [
        float(reference(objective, problem, images, labels + sign * 1e-5 * way).detach())
        for sign in (1, -1)
    ]
    assert found is not None
    wanted = (ends[0] - ends[1]) / 2e-5
    assert float((found.double() * way).sum()) == pytest.approx(wanted, rel=5e-3, abs=1e-7)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_an_absolute_ridge_is_that_of_a_solver(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    y = torch.randn(shape[0], 3, generator=generator, dtype=torch.float64)
    gram = x.T @ x + 0.5 * torch.eye(shape[1], dtype=torch.float64)
    wanted = torch.linalg.solve(gram, x.T @ y)
    torch.testing.assert_close(ridge_solution(x, y, 0.5, relative=False), wanted)
    leaves = [x.clone().requires_grad_(), y.clone().requires_grad_()]
    assert torch.autograd.gradcheck(lambda *own: ridge_solution(*own, 0.5, relative=False), leaves)


def test_a_singular_gram_is_solved_all_the_same() -> None:
    x = torch.ones(4, 3, dtype=torch.float64)
    found = ridge_solution(x, torch.eye(4, 3, dtype=torch.float64), 0.0, relative=False)
    assert bool(found.isfinite().all())
    torch.testing.assert_close((x @ found)[0], torch.tensor([0.25] * 3).double())
    none = ridge_solution(torch.zeros(4, 3), torch.eye(4, 3), 0.0, relative=False)
    assert torch.equal(none, torch.zeros(3, 3))


def test_labels_stay_probabilities_and_images_as_they_are() -> None:
    made = attar.condense(tiny_data(), method="ld", ipc=2, iterations=3, **SMALL)
    start = attar.condense(tiny_data(), method="ld", ipc=2, iterations=0, **SMALL)
    assert torch.equal(made.images, start.images)
    assert torch.allclose(start.labels, torch.full((6, 3), 1 / 3))
    assert not torch.equal(made.labels, start.labels)
    assert bool((made.labels >= 0).all())
    torch.testing.assert_close(made.labels.sum(dim=1), torch.ones(6))


def test_rows_become_probabilities() -> None:
    found = probabilities(torch.tensor([[0.5, -1.0, 1.5], [-1.0, -2.0, -3.0], [0.2, 0.2, 0.6]]))
    wanted = [[1 / 3, 0.0, 2 / 3], [1 / 3] * 3, [0.2, 0.2, 0.6]]
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_the_network_moves_as_adam_of_pytorch() -> None:
    weights = torch.nn.Parameter(torch.linspace(-1, 1, 7))
    optimiser, own = torch.optim.Adam([weights], 1e-2), fresh(weights.detach().clone(), 1e-2)
    for step in range(5):
        slope = torch.sin(torch.arange(7.0) + step)
        weights.grad = slope.clone()
        optimiser.step()
        own = moved(own, slope)
    torch.testing.assert_close(own["values"], weights.detach())


def test_a_network_is_drawn_anew_once_its_mean_loss_no_longer_falls() -> None:
    patience, known, length, age = Patience(3), Patience(3).begun(), None, 0
    losses = [5.0, 4.0, 3.0, 2.0, 1.0, *[1.0] * 20]
    while length is None:
        known, length = patience.after(known, losses[age])
        age += 1
    # the mean of three is least at the seventh; the fourth update after it ends the training
    assert (length, age) == (7, 11)
    lengths = no_lengths()
    assert float(mean_length(lengths, 12)) == 12
    for one in (10, 20, 30, 40):
        lengths = with_length(lengths, one)
    assert float(mean_length(lengths, 12)) == 30


def test_an_update_of_the_set_is_followed_by_one_of_the_network() -> None:
    for learner in LEARNERS:
        objective = dataclasses.replace(objective_of(learner), gap=2)
        run = tiny_run(objective, problem_of(), learned_labels=True)
        drawn = run.state["network"]["values"].clone()
        run.advance()
        assert run.state["network"]["done"] == 1 and run.state["known"]["age"] == 1
        assert not torch.equal(run.state["network"]["values"], drawn)
        if learner == "rr":
            assert float(run.state["last"].norm()) > 0


@pytest.mark.parametrize("method", ["ld", "ld-or2"])
def test_it_is_kept_evaluated_and_counted(tmp_path: Path, method: str) -> None:
    path = tmp_path / "set.safetensors"
    made = attar.condense(tiny_data(), method=method, ipc=2, iterations=3, output=path, **SMALL)
    again = attar.load(path)
    assert torch.equal(again.labels, made.labels)
    updates = round(float(again.learned[LEARNT_UPDATES]))
    assert updates >= 1
    lines = {entry.name: entry.bytes for entry in again.ledger.entries}
    assert lines["learned.learned_updates"] == 4
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert path.stat().st_size - 8 - header == sum(lines.values())
    own = attar.evaluate(path, tiny_data(seed=1), repeats=1)[0].results[0]
    assert (own.card, own.updates) == (f"ld (updates {updates})", updates)
    other = attar.evaluate(path, tiny_data(seed=1), repeats=1, updates=2)[0].results[0]
    assert other.card == "ld (updates 2)"


def test_the_card_takes_its_own_updates_where_none_were_found() -> None:
    assert with_learnt(CARDS["ld"], {}) is CARDS["ld"] and CARDS["ld"].steps(10) == 300


class Killed(attar.Callback):
    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        if step == 7:
            raise MemoryError


@pytest.mark.parametrize("method", ["ld", "ld-or2"])
def test_a_killed_run_goes_on_to_the_same_set(tmp_path: Path, method: str) -> None:
    # long enough that networks are drawn anew
    options = SMALL | {"method": method, "ipc": 2, "iterations": 12}
    options["settings"] = (*SMALL["settings"][:2], "gap=1")
    whole = attar.condense(tiny_data(), output=tmp_path / "whole.safetensors", **options)
    out = tmp_path / "killed.safetensors"
    with pytest.raises(MemoryError):
        attar.condense(tiny_data(), output=out, checkpoint_seconds=0, callback=Killed(), **options)
    found = attar.condense(tiny_data(), output=out, resume=True, **options)
    assert torch.equal(found.labels, whole.labels)
    assert torch.equal(found.learned[LEARNT_UPDATES], whole.learned[LEARNT_UPDATES])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"learner": "or3"}, "learner 'or3'.*or2, rr"),
        ({"batch": -1}, "batch -1"),
        ({"batch_real": 0}, "batch_real 0: 1 or more"),
        ({"gap": 0}, "gap 0: 1 or more"),
        ({"watch": "los"}, "did you mean 'loss'"),
        ({"lr_network": 0.0}, "lr_network 0: a positive"),
        ({"ridge": -1.0}, "ridge -1: a number of 0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        LabelDistillation(**wrong)


def test_published_settings() -> None:
    recipe = METHODS["ld"].recipe(Task("cifar10", 10, (3, 32, 32), 10))
    assert recipe.objective == LabelDistillation("rr", 50, 1024, 0.01, 1.0, 50)
    assert recipe.parametrization == Pixels() and recipe.uniform_labels
    assert recipe.optimisers == {"images": None, "labels": Optimiser(1e-3, kind="adam")}
    assert (recipe.init, recipe.card, recipe.iterations) == ("real", "ld", 17_600)
    gaps = [
        METHODS["ld-or2"].recipe(Task("mine", ipc, (3, 32, 32), classes)).objective.gap  # type: ignore[attr-defined]
        for ipc, classes in ((10, 10), (11, 10), (1, 100))
    ]
    assert gaps == [50, 200, 100]
