import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.artefact.artefact import Artefact
from attar.augmentation import dsa as augmenting
from attar.condensing.engine import Run
from attar.data import LabelledImages
from attar.errors import BadRequest, RunFailed
from attar.experts.header import Header, inputs_of, shapes_of
from attar.experts.store import save_expert
from attar.methods import METHODS, Recipe, Task
from attar.methods import subspace as presets
from attar.networks import build, make
from attar.objectives import Match, Problem, SubspaceProjection
from attar.objectives.flat import flat_loss
from attar.objectives.span import spanned
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import Decoded, LowRank, Parametrization, Pixels, Tiled, from_description
from attar.tensors import flatten, read_header, read_tensors, save_tensors, unflatten
from catalogue import COMPUTE, OnceDifferentiable, TinyExperts, tiny_data, tiny_problem, tiny_run
from references import augmentation, subspace
from saved_bytes import SavedBytes, counts_saved_bytes

KEY = Key(3).fold("step", 0)
REAL = 6  # between the sizes of the classes: the last one has three images
PLAIN = SubspaceProjection(length=2, steps=4, batch_real=REAL, augment="none", projection=1e-2)


@dataclasses.dataclass(frozen=True)
class Stalling(TinyExperts):
    """Experts that stay where they are from the first epoch on, or from the start."""

    moving: int = 1

    def segment(self, expert: int, start: int, length: int) -> Tensor:
        whole = super().segment(expert, 0, self.epochs)
        whole[self.moving + 1 :] = whole[self.moving]
        return whole[start : start + length + 1]


def noise(problem: Problem, seed: int = 1) -> Tensor:
    shape = (len(problem.layout), *problem.layout.shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def one_hot(problem: Problem) -> Tensor:
    return torch.eye(problem.layout.classes)[problem.layout.class_of_row()]


def segment_of(problem: Problem, objective: SubspaceProjection, state: dict[str, Any]) -> Tensor:
    assert problem.experts is not None
    return problem.experts.segment(state["expert"], state["start"], objective.length)


def settings(
    problem: Problem,
    objective: SubspaceProjection,
    state: dict[str, Any],
    network: Mapping[str, str] | None = None,
) -> subspace.Settings:
    network = network or {}
    module = problem.network.draw(Key(0))
    return subspace.Settings(
        {name: tensor.shape for name, tensor in module.named_parameters()},
        subspace.projector(segment_of(problem, objective, state), objective.span),
        objective.lr_network,
        objective.projection,
        objective.matching,
        objective.norm,
        objective.loss,
        network,
        network.get("norm") == "batch",
    )


def real_batches(problem: Problem, key: Key) -> list[Tensor]:
    data = problem.data
    return [data.take(data.draw(c, REAL, key.fold("real", c))) for c in range(data.classes)]


def expected(
    objective: SubspaceProjection,
    problem: Problem,
    state: dict[str, Any],
    images: Tensor,
    labels: Tensor,
    network: Mapping[str, str] | None = None,
    transforms: Mapping[str, Any] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return loss, gradients for images and labels, and G by the literal equations."""
    theta = state["student"].double().requires_grad_()
    leaf, truth = (tensor.double().requires_grad_() for tensor in (images, labels))
    found = subspace.outer(
        theta,
        leaf,
        truth,
        real_batches(problem, KEY),
        settings(problem, objective, state, network),
        **(transforms or {}),
    )
    slopes = torch.autograd.grad(found.loss, (leaf, truth), allow_unused=True)
    image, label = slopes
    label = torch.zeros_like(truth) if label is None else label
    return found.loss.detach(), image, label, found.gradient.detach()


def assert_close(found: Tensor | None, wanted: Tensor, share: float = 3e-4) -> None:
    """Compare up to a share of the largest value."""
    assert found is not None and found.dtype == torch.float32
    size = float(wanted.abs().max())
    assert size > 0
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=share * size)


def assert_same(found: Match, wanted: tuple[Tensor, Tensor, Tensor, Tensor], dense: Tensor) -> None:
    loss, image, label, gradient = wanted
    assert not found.learned and found.kept.keys() == {"projected"}
    torch.testing.assert_close(found.loss.double(), loss, rtol=1e-5, atol=0)
    assert_close(found.images, image)
    assert_close(found.kept["projected"], dense @ gradient)
    if bool(label.any()):
        assert_close(found.labels, label)
    else:
        assert found.labels is None


@pytest.mark.parametrize("kind", ["snapshots", "differences"])
@pytest.mark.parametrize("length", [1, 2, 4])
def test_projection_is_that_of_a_dense_matrix(kind: str, length: int) -> None:
    snapshots = TinyExperts(tiny_problem().network).segment(1, 0, length)
    span = spanned(snapshots, kind)
    assert span.basis.shape == (length + (kind == "snapshots"), snapshots.shape[1])
    assert span.basis.dtype == torch.float32
    dense = subspace.projector(snapshots, kind)
    vector = torch.randn(len(dense), generator=torch.Generator().manual_seed(1))
    assert_close(span.onto(vector), dense @ vector.double(), 1e-5)
    assert_close(span.beside(vector), vector.double() - dense @ vector.double(), 1e-5)
    inside = snapshots[1] if kind == "snapshots" else snapshots[1] - snapshots[0]
    assert span.beside(inside).norm() < 1e-5 * inside.norm()


def test_snapshots_close_to_each_other_leave_an_orthonormal_basis() -> None:
    generator = torch.Generator().manual_seed(4)
    first = torch.randn(3000, generator=generator)
    drift = torch.randn(6, 3000, generator=generator).cumsum(dim=0)
    snapshots = first + 1e-3 * drift
    span = spanned(snapshots, "snapshots")
    assert len(span.basis) == 6
    identity = torch.eye(6, dtype=torch.float64)
    basis = span.basis.double()
    torch.testing.assert_close(basis @ basis.T, identity, rtol=0, atol=1e-6)
    vector = snapshots[5] - snapshots[0]
    assert span.beside(vector).norm() < 1e-5 * vector.norm()


@pytest.mark.parametrize(
    ("kind", "start", "dimensions"),
    [("snapshots", 0, 2), ("snapshots", 1, 1), ("differences", 0, 1), ("differences", 1, 0)],
)
def test_repeated_snapshots_add_nothing(kind: str, start: int, dimensions: int) -> None:
    snapshots = Stalling(tiny_problem().network).segment(0, start, 3)
    span = spanned(snapshots, kind)
    assert len(span.basis) == dimensions
    vector = torch.randn(snapshots.shape[1], generator=torch.Generator().manual_seed(1))
    dense = subspace.projector(snapshots, kind)
    torch.testing.assert_close(
        span.onto(vector).double(), dense @ vector.double(), rtol=1e-4, atol=1e-6
    )


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "printed": ({}, "convnet2:width=8"),
    "differences": ({"span": "differences"}, "convnet2:width=8"),
    "l2": ({"norm": "l2", "projection": 1.0}, "convnet2:width=8"),
    "relative": ({"norm": "relative", "projection": 1.0}, "convnet2:width=8"),
    "relative to differences": (
        {"norm": "relative", "span": "differences", "projection": 0.5, "loss": "cross_entropy"},
        "convnet2:width=8",
    ),
    "cross entropy": ({"loss": "cross_entropy"}, "convnet2:width=8"),
    "all three": (
        {"span": "differences", "norm": "l2", "loss": "cross_entropy", "projection": 0.3},
        "convnet1:width=12,norm=group,activation=swish",
    ),
    "projection only": ({"matching": 0.0}, "convnet2:width=8"),
    "matching only": ({"projection": 0.0, "matching": 2.0}, "convnet2:width=8"),
    "batch norm": ({}, "convnet2:width=8,norm=batch"),
    "longest": ({"length": 4}, "convnet2:width=8,activation=sigmoid"),
}


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients_are_those_of_the_equations(name: str) -> None:
    changes, network = CASES[name]
    options = dict(part.split("=") for part in network.partition(":")[2].split(","))
    options.pop("width")
    objective = dataclasses.replace(PLAIN, **changes)
    problem = tiny_problem(tiny_data(3), 2, network)
    state = objective.init(problem, Key(0))
    images = noise(problem)
    labels = torch.rand(len(images), 3, generator=torch.Generator().manual_seed(5))
    labels = labels / labels.sum(dim=1, keepdim=True)
    found = objective.match(images, labels, problem, state, KEY)
    dense = settings(problem, objective, state, options).projector
    assert_same(found, expected(objective, problem, state, images, labels, options), dense)
    again = objective.match(images, labels, problem, state, KEY)
    assert torch.equal(again.loss, found.loss)
    assert found.images is not None and again.images is not None
    assert torch.equal(again.images, found.images)


def test_a_segment_of_less_rank_is_matched() -> None:
    problem = tiny_problem(tiny_data(3))
    problem = dataclasses.replace(problem, experts=Stalling(problem.network))
    objective = dataclasses.replace(PLAIN, length=4)
    state = objective.init(problem, Key(0))
    images, labels = noise(problem), one_hot(problem)
    found = objective.match(images, labels, problem, state, KEY)
    dense = settings(problem, objective, state).projector
    assert abs(float(dense.trace()) - 2) < 1e-9
    assert_same(found, expected(objective, problem, state, images, labels), dense)


def test_large_sets_come_in_parts_to_the_same_result() -> None:
    problem = tiny_problem(tiny_data(3), 5)
    images, labels = noise(problem), one_hot(problem)
    state = PLAIN.init(problem, Key(0))
    whole = PLAIN.match(images, labels, problem, state, KEY)
    compute = dataclasses.replace(COMPUTE, chunk=1)
    parts = PLAIN.match(images, labels, tiny_problem(tiny_data(3), 5, compute=compute), state, KEY)
    torch.testing.assert_close(parts.loss, whole.loss)
    for one, other in ((parts.images, whole.images), (parts.labels, whole.labels)):
        assert other is not None
        assert_close(one, other.double())


def test_images_that_affect_each_other_stay_together() -> None:
    class Net(torch.nn.Module):
        """Mixes the images of a batch without batch normalization."""

        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Linear(64, 8)
            self.head = torch.nn.Linear(8, 3)

        def forward(self, images: Tensor) -> Tensor:
            hidden = self.body(images.flatten(1)).sigmoid()
            return self.head(hidden - hidden.mean(dim=0) if self.training else hidden)

    network = make(Net, 1, (8, 8), 3)
    problem = dataclasses.replace(tiny_problem(), network=network, experts=TinyExperts(network))
    assert problem.mixes_samples and len(problem.layout) == 6
    few = dataclasses.replace(problem, compute=dataclasses.replace(COMPUTE, chunk=1), cache={})
    images, labels = noise(problem), one_hot(problem)
    state = PLAIN.init(problem, Key(0))
    whole, parts = (PLAIN.match(images, labels, one, state, KEY) for one in (problem, few))
    torch.testing.assert_close(parts.kept["projected"], whole.kept["projected"])
    torch.testing.assert_close(parts.images, whole.images)


def test_g_sees_own_parameters_of_every_image_and_means_those_of_the_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted: list[tuple[str, Tensor]] = []

    def noting(name: str, operation: Any) -> Any:
        def noted_operation(images: Tensor, draws: Tensor) -> Tensor:
            noted.append((name, draws))
            return operation(images, draws)

        return noted_operation

    wrapped = {name: noting(name, op) for name, op in augmenting.OPERATIONS.items()}
    monkeypatch.setattr(augmenting, "OPERATIONS", wrapped)
    objective = dataclasses.replace(PLAIN, augment="color_crop_cutout_scale_rotate")
    problem = tiny_problem(tiny_data(3), 2)
    state = objective.init(problem, Key(0))
    images, labels = noise(problem), one_hot(problem)
    found = objective.match(images, labels, problem, state, KEY)
    (name, draws), *siamese = noted
    assert draws.shape == (len(images), 3) and len(siamese) == 6
    for label in range(3):
        assert siamese[label][0] == siamese[3 + label][0]
        assert torch.equal(siamese[label][1], siamese[3 + label][1])

    transforms = {
        "training": lambda batch: augmentation.apply(name, batch, draws),
        "siamese": lambda c, batch: augmentation.apply(siamese[c][0], batch, siamese[c][1]),
    }
    dense = settings(problem, objective, state).projector
    wanted = expected(objective, problem, state, images, labels, transforms=transforms)
    assert_same(found, wanted, dense)


@pytest.mark.parametrize("lr_images", [0.0, 0.5])
@pytest.mark.parametrize("changes", [{}, {"norm": "l2", "projection": 1.0}])
def test_a_run_is_algorithm_1(lr_images: float, changes: dict[str, Any]) -> None:
    objective = dataclasses.replace(PLAIN, lr_network=2.0, **changes)
    problem = tiny_problem(tiny_data(3))
    rate = lr_images or 1e-30
    run = tiny_run(objective, problem, optimiser=Optimiser(rate))
    for _ in range(2):  # two segments
        first, step = run.state, run.step
        assert first["inner"] == 0
        assert torch.equal(first["student"], segment_of(problem, objective, first)[0])
        real = [
            real_batches(problem, run.key.fold("step", step + n)) for n in range(objective.steps)
        ]
        with torch.no_grad():
            images, labels = run.synthetic(torch.arange(len(problem.layout)))
        students, sets, losses = subspace.algorithm(
            first["student"], images, labels, real, lr_images, settings(problem, objective, first)
        )
        moved = (students[-1] - students[0]).norm()
        assert moved > 1e-2
        for n in range(objective.steps):
            assert run.state["inner"] == n
            error = (run.state["student"].double() - students[n]).norm()
            assert error <= 1e-4 * moved
            assert run.advance() == pytest.approx(losses[n], rel=1e-4)
            with torch.no_grad():
                now, _ = run.synthetic(torch.arange(len(problem.layout)))
            assert_close(now, sets[n + 1])


def test_no_gradient_flows_through_the_update_of_the_student() -> None:
    objective = dataclasses.replace(PLAIN, lr_network=5.0, norm="l2", projection=1.0)
    problem = tiny_problem(tiny_data(3))
    images, labels = noise(problem), one_hot(problem)
    begun = objective.init(problem, Key(0))
    first = objective.match(images, labels, problem, begun, KEY)
    run = tiny_run(objective, problem)
    state = objective.advance(run.synthetic, problem, begun, KEY, kept=first.kept)
    assert state.keys() == begun.keys() and not state["student"].requires_grad
    found = objective.match(images, labels, problem, state, KEY)
    _, wanted, _, _ = expected(objective, problem, state, images, labels)
    assert_close(found.images, wanted)

    own = settings(problem, objective, begun)
    leaf = images.double().requires_grad_()
    start = begun["student"].double().requires_grad_()
    real = real_batches(problem, KEY)
    before = subspace.outer(start, leaf, labels.double(), real, own)
    unrolled = start - own.lr * own.projector @ before.gradient
    after = subspace.outer(unrolled, leaf, labels.double(), real, own)
    (through,) = torch.autograd.grad(after.loss, leaf)
    assert float((through - wanted).norm() / wanted.norm()) > 1e-2


@counts_saved_bytes
def test_saved_tensors_do_not_grow_with_the_inner_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = tiny_problem(tiny_data(3))
    most = {}
    for steps in (1, 10, 50):
        run = tiny_run(dataclasses.replace(PLAIN, steps=steps), problem)
        saved = SavedBytes()
        with saved.counting(monkeypatch):
            for _ in range(steps + 1):
                run.advance()
                assert saved.now == 0
        most[steps] = saved.most
    assert most[1] > 10_000
    assert max(most.values()) < 1.02 * min(most.values())

    # what the same count says of a student whose steps are unrolled
    unrolled = {}
    for steps in (1, 10):
        saved = SavedBytes()
        with saved.counting(monkeypatch):
            student = PLAIN.init(problem, Key(0))["student"].requires_grad_()
            for _ in range(steps):
                flat = flat_loss(problem, PLAIN.loss)
                student = student - flat.gradient(student, noise(problem), one_hot(problem))
            del student
        unrolled[steps] = saved.most
    assert unrolled[10] > 5 * unrolled[1]


@pytest.mark.parametrize("batch", [0, 1])
def test_a_run_resumed_in_the_middle_of_a_segment_goes_on_bit_for_bit(
    batch: int, tmp_path: Path
) -> None:
    objective = dataclasses.replace(PLAIN, augment="color_crop", batch=batch)

    def fresh() -> Run:
        return tiny_run(objective, tiny_problem(), optimiser=Optimiser(0.1, kind="adam"))

    whole = fresh()
    for _ in range(6):
        whole.advance()
    assert whole.state["inner"] == 2
    tensors, rest = flatten(whole.state_dict())
    path = tmp_path / "checkpoint.safetensors"
    save_tensors(path, tensors, {"rest": rest})
    losses = [whole.advance() for _ in range(5)]
    resumed = fresh()
    resumed.load_state_dict(unflatten(read_tensors(path), read_header(path)["rest"]))
    assert [resumed.advance() for _ in range(5)] == losses
    one, other = flatten(whole.state_dict()), flatten(resumed.state_dict())
    assert one[1] == other[1] and one[0].keys() == other[0].keys()
    assert all(torch.equal(one[0][name], other[0][name]) for name in one[0])


def test_probing_changes_nothing() -> None:
    one, other = (tiny_run(PLAIN) for _ in range(2))
    one.probe()
    assert [one.advance() for _ in range(5)] == [other.advance() for _ in range(5)]


def test_batches_are_of_every_class_and_differ() -> None:
    objective = dataclasses.replace(PLAIN, batch=3)
    problem = tiny_problem(tiny_data(3), 5)
    state = objective.init(problem, Key(0))
    rows = [objective.select(problem, state, KEY.fold(n)) for n in range(40)]
    for chosen in rows:
        assert problem.layout.class_of_row()[chosen].tolist() == [0] * 3 + [1] * 3 + [2] * 3
        assert len(set(chosen.tolist())) == 9
    assert torch.cat(rows).unique().tolist() == list(range(15))
    everything = list(range(15))
    for batch in (0, 5, 9):
        whole = dataclasses.replace(objective, batch=batch)
        assert whole.select(problem, state, KEY).tolist() == everything

    images, labels = noise(problem)[rows[0]], one_hot(problem)[rows[0]]
    found = objective.match(images, labels, problem, state, KEY)
    dense = settings(problem, objective, state).projector
    assert_same(found, expected(objective, problem, state, images, labels), dense)
    assert objective.passes(problem.layout, problem.data) < PLAIN.passes(
        problem.layout, problem.data
    )


def test_segments_come_from_every_expert_and_start() -> None:
    problem = tiny_problem()
    for changes, starts in (({"length": 2}, {0, 1, 2}), ({"length": 3, "max_start": 1}, {0})):
        objective = dataclasses.replace(PLAIN, **changes)
        states = [objective.init(problem, Key(seed)) for seed in range(60)]
        assert {state["start"] for state in states} == starts
        assert {state["expert"] for state in states} == {0, 1, 2}
        objective.check(problem)


def test_every_segment_has_its_own_span() -> None:
    problem = tiny_problem(tiny_data(3))
    images, labels = noise(problem), one_hot(problem)
    begun = PLAIN.init(problem, Key(0))
    for expert, start in ((0, 0), (0, 1), (1, 1), (0, 0)):
        state = {**begun, "expert": expert, "start": start}
        found = PLAIN.match(images, labels, problem, state, KEY)
        dense = settings(problem, PLAIN, state).projector
        assert_same(found, expected(PLAIN, problem, state, images, labels), dense)


@pytest.mark.parametrize("form", [Pixels(), LowRank(2)])
def test_learnt_labels_have_gradients_unless_only_means_are_matched(form: Parametrization) -> None:
    run = tiny_run(PLAIN, tiny_problem(), form, learned_labels=True)
    assert run.synthetic.labels is not None
    with torch.no_grad():
        _, before = run.synthetic(torch.arange(6))
    run.advance()
    with torch.no_grad():
        _, after = run.synthetic(torch.arange(6))
    assert not torch.equal(before, after)
    only = dataclasses.replace(PLAIN, projection=0.0)
    with pytest.raises(BadRequest, match="no gradient to the learnt labels"):
        tiny_run(only, tiny_problem(), form, learned_labels=True).advance()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"length": 0}, "length 0: 1 or more"),
        ({"steps": 0}, "steps 0: 1 or more"),
        ({"max_start": -1}, "max_start -1: 0 or more"),
        ({"batch": -2}, "batch -2: 0 or more"),
        ({"lr_network": 0.0}, "lr_network 0: a positive"),
        ({"lr_network": float("inf")}, "lr_network inf: "),
        ({"projection": -1e-5}, "projection -1e-05: "),
        ({"matching": float("nan")}, "matching nan: "),
        ({"projection": 0.0, "matching": 0.0}, "nothing is matched"),
        ({"span": "difference"}, "unknown span 'difference' (did you mean 'differences'?)"),
        ({"norm": "l3"}, "unknown norm 'l3'"),
        ({"loss": "crossentropy"}, "unknown loss 'crossentropy'"),
        ({"batch_real": 0}, "batch_real 0: "),
        ({"augment": "colour"}, "unknown augmentation 'colour'"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(said)):
        dataclasses.replace(PLAIN, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"length": 5}, "length 5: the experts were trained for 4 epochs"),
        ({"length": 2, "max_start": 4}, "reach epoch 5, and the experts have 4; set max_start to"),
    ],
)
def test_experts_that_are_too_short_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        tiny_run(dataclasses.replace(PLAIN, **changes))


def test_a_problem_without_experts_is_refused() -> None:
    with pytest.raises(BadRequest, match="give --experts"):
        tiny_run(PLAIN, dataclasses.replace(tiny_problem(), experts=None))


def test_experts_that_training_did_not_move_are_refused() -> None:
    problem = tiny_problem()
    problem = dataclasses.replace(problem, experts=Stalling(problem.network, moving=0))
    run = tiny_run(dataclasses.replace(PLAIN, span="differences"), problem)
    with pytest.raises(RunFailed, match=r"epochs \d to \d of expert \d span nothing"):
        run.advance()


def test_a_network_that_cannot_be_differentiated_twice_is_refused() -> None:
    network = make(OnceDifferentiable, 1, (8, 8), 3)
    problem = dataclasses.replace(tiny_problem(), network=network, experts=TinyExperts(network))
    with pytest.raises(BadRequest, match="second derivatives"):
        PLAIN.check(problem)


def test_the_recipe_is_that_of_the_paper_but_for_what_was_measured_better() -> None:
    task = Task("cifar10", 1, (3, 32, 32), 10)
    recipe = METHODS["esp"].recipe(task)
    objective = recipe.objective
    assert isinstance(objective, SubspaceProjection)
    assert recipe.parametrization == METHODS["kfs"].recipe(task).parametrization
    assert (objective.projection, objective.matching, objective.lr_network) == (10.0, 1.0, 0.1)
    chosen = (objective.span, objective.norm, objective.loss)
    assert chosen == ("differences", "relative", "cross_entropy")
    printed = SubspaceProjection()
    assert (printed.projection, printed.matching, printed.norm) == (1e-5, 1.0, "l1")
    assert (printed.span, printed.loss) == ("snapshots", "binary_cross_entropy")
    assert (recipe.init, recipe.network, recipe.card) == ("noise", "convnet3", "dsa-1000")
    assert {role: one.lr for role, one in recipe.optimisers.items()} == {
        "images": 0.1,
        "decoders": 0.01,
    }
    for one in recipe.optimisers.values():
        assert (one.kind, one.schedule, one.floor) == ("adam", "linear", 0.0)
    digits = METHODS["esp"].recipe(Task("svhn", 1, (3, 32, 32), 10)).objective
    assert isinstance(digits, SubspaceProjection) and "flip" not in digits.augment


def store(folder: Path, data: LabelledImages, network: str) -> Path:
    """Write a store of the catalogue's experts."""
    made = build(network, *data.shape[:1], data.shape[1:], data.classes)
    experts = TinyExperts(made)
    header = Header(
        network=made.name,
        shapes=shapes_of(made),
        epochs=experts.epochs,
        inputs=inputs_of(data.preprocessing),
        data="",
    )
    folder.mkdir()
    header.save(folder)
    for expert in range(experts.count):
        save_expert(folder, header, expert, experts.segment(expert, 0, experts.epochs))
    return folder


def form_of(artefact: Artefact) -> Parametrization:
    return from_description(artefact.header.parametrization)


@pytest.mark.parametrize("form", [None, Pixels(), LowRank(2), Tiled(2)])
def test_condensing_with_a_store_of_experts(
    form: Parametrization | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe's own form is that of KFS; any other can take its place."""
    esp = presets.esp

    def changed(task: Task) -> Recipe:
        recipe = esp(task)
        return recipe if form is None else dataclasses.replace(recipe, parametrization=form)

    monkeypatch.setattr(presets, "esp", changed)
    data = tiny_data(3)
    network = "convnet2:width=8"
    folder = store(tmp_path / "experts", data, network)
    options: dict[str, Any] = {
        "method": "esp",
        "ipc": 2,
        "iterations": 3,
        "network": network,
        "experts": folder,
        "validation": 0,
        "settings": ("steps=2", "length=2", "batch_real=5"),
    }
    made = attar.condense(data, **options)
    assert torch.isfinite(made.images).all()
    assert isinstance(form_of(made), Decoded if form is None else type(form))
    again = attar.condense(data, **options)
    assert torch.equal(made.images, again.images)
    with pytest.raises(BadRequest, match="max_start to at most 2"):
        attar.condense(data, **{**options, "settings": ("max_start=3", "length=3")})
