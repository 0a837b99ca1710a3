"""Trajectory matching: gradients beside a float64 graph, memory, experts, recipes."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar import compute as computing
from attar.augmentation.dsa import augment, parse_strategy
from attar.condensing.engine import Run
from attar.errors import BadRequest, RunFailed
from attar.methods import METHODS, Task
from attar.methods.trajectory import TABLE, setting
from attar.objectives import Match, Problem, TrajectoryMatching
from attar.objectives.flat import flat_loss
from attar.objectives.unrolling import UNROLLS, Steps, Student, distance
from attar.rng import Key
from attar.synthetic import LowRank, Pixels
from attar.tensors import flatten, unflatten
from attar.training import CARDS
from attar.training.fitting import LEARNT_LR
from catalogue import COMPUTE, TinyExperts, tiny_data, tiny_problem, tiny_run
from references import trajectory
from saved_bytes import SavedBytes, counts_saved_bytes

KEY = Key(3).fold("step", 0)
LR = 0.3
EXACT = ("checkpointed", "kept")
DSA = "color_crop_cutout_flip_scale_rotate"
BESIDE = {LEARNT_LR: torch.tensor(LR)}
SMALL = TrajectoryMatching(steps=4, batch=4, augment="none", lr_teacher=LR)


def state_of(problem: Problem, followed: int = 0) -> dict[str, Any]:
    assert problem.experts is not None
    order = torch.arange(problem.experts.count)
    return {"order": order, "followed": followed}


def set_of(problem: Problem, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Return images and soft labels."""
    generator = torch.Generator().manual_seed(1)
    layout = problem.layout
    images = torch.randn(len(layout), *layout.shape, generator=generator)
    labels = torch.randn(len(layout), layout.classes, generator=generator).softmax(dim=1)
    return images.to(dtype), labels.to(dtype)


class Reference:
    """The loss of a step in float64, as a function of images, labels and step size."""

    def __init__(self, objective: TrajectoryMatching, problem: Problem) -> None:
        assert problem.experts is not None
        start = int(torch.randint(objective.max_start, (), generator=KEY.fold("start").generator()))
        segment = problem.experts.segment(0, start, objective.expert_epochs).double()
        self.ends = segment[0], segment[-1]
        module = problem.network.draw(Key(0))
        self.shapes = {name: tuple(one.shape) for name, one in module.named_parameters()}
        self.rows = objective.minibatches(len(problem.layout), KEY)
        self.strategy = parse_strategy(objective.augment)
        self.norm = "batch" if "norm=batch" in problem.network.name else "instance"

    def seen(self, step: int, images: Tensor) -> Tensor:
        return augment(images, self.strategy, KEY.fold("augment", step), shared=False)

    def __call__(
        self, images: Tensor, labels: Tensor, lr: Tensor, *, detached: bool = False
    ) -> Tensor:
        return trajectory.distance(
            images,
            labels,
            lr,
            *self.ends,
            self.rows,
            self.seen,
            self.shapes,
            detached=detached,
            norm=self.norm,
        )

    def slopes(self, problem: Problem, *, detached: bool = False) -> tuple[Tensor, list[Tensor]]:
        images, labels = set_of(problem, torch.float64)
        leaves = [images, labels, torch.tensor(LR).double()]
        for leaf in leaves:
            leaf.requires_grad_()
        images, labels, lr = leaves
        loss = self(images, labels, lr, detached=detached)
        return loss.detach(), list(torch.autograd.grad(loss, leaves))


def found_by(objective: TrajectoryMatching, problem: Problem) -> Match:
    return objective.match(*set_of(problem), problem, state_of(problem), KEY, BESIDE)


def parts_of(match: Match) -> list[Tensor]:
    assert match.images is not None and match.labels is not None
    return [match.images, match.labels, match.learned[LEARNT_LR]]


def assert_same(match: Match, loss: Tensor, slopes: list[Tensor]) -> None:
    assert not match.loss.requires_grad
    torch.testing.assert_close(match.loss.double(), loss, rtol=1e-5, atol=0)
    for found, wanted in zip(parts_of(match), slopes, strict=True):
        size = float(wanted.abs().max())
        assert size > 1e-3 and found.dtype == torch.float32
        torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=2e-4 * size)


CASES = {
    "minibatches": (SMALL, "convnet2:width=8"),
    "all images": (dataclasses.replace(SMALL, batch=0), "convnet2:width=8"),
    "one step": (dataclasses.replace(SMALL, steps=1), "convnet2:width=8"),
    "augmented": (dataclasses.replace(SMALL, augment=DSA, steps=6), "convnet2:width=8"),
    "batch normalization": (SMALL, "convnet2:width=8,norm=batch"),
    "another start": (
        dataclasses.replace(SMALL, max_start=4, expert_epochs=1),
        "convnet1:width=4",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("unroll", UNROLLS)
@pytest.mark.parametrize("channels", [1, 3])
def test_slopes_are_those_of_the_equation(case: str, unroll: str, channels: int) -> None:
    objective, network = CASES[case]
    objective = dataclasses.replace(objective, unroll=unroll)
    problem = tiny_problem(tiny_data(channels), 2, network)
    reference = Reference(objective, problem)
    if unroll in EXACT:
        assert_same(found_by(objective, problem), *reference.slopes(problem))
        return
    assert_same(found_by(objective, problem), *reference.slopes(problem, detached=True))


def test_chunks_do_not_change_the_result() -> None:
    objective = dataclasses.replace(SMALL, batch=0)
    compute = dataclasses.replace(COMPUTE, chunk=1)
    problem = tiny_problem(tiny_data(3), 3, compute=compute)
    assert len(problem.layout) % compute.graph_chunk and len(problem.layout) > compute.graph_chunk
    reference = Reference(objective, problem)
    for unroll in UNROLLS:
        found = found_by(dataclasses.replace(objective, unroll=unroll), problem)
        assert_same(found, *reference.slopes(problem, detached=unroll == "detached"))


def test_the_equation_agrees_with_finite_differences() -> None:
    problem = tiny_problem(tiny_data(1), 2)
    reference = Reference(dataclasses.replace(SMALL, augment=DSA), problem)
    values = [*set_of(problem, torch.float64), torch.tensor(LR).double()]
    _, slopes = reference.slopes(problem)
    generator = torch.Generator().manual_seed(2)
    for place, (value, slope) in enumerate(zip(values, slopes, strict=True)):
        for _ in range(3):
            way = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            moved = []
            for sign in (1, -1):
                given = [*values]
                given[place] = value + sign * 1e-6 * way
                moved.append(float(reference(*given).detach()))
            found = (moved[0] - moved[1]) / 2e-6
            assert found == pytest.approx(float((slope * way).sum()), rel=1e-5, abs=1e-7)


def test_detaching_changes_nothing_but_what_steps_have_on_later_ones() -> None:
    problem = tiny_problem(tiny_data(3), 2)
    for steps, same in ((1, True), (4, False)):
        objective = dataclasses.replace(SMALL, steps=steps)
        full = found_by(objective, problem)
        part = found_by(dataclasses.replace(objective, unroll="detached"), problem)
        assert part.loss == pytest.approx(full.loss.item(), rel=1e-5)
        one, other = parts_of(full)[0], parts_of(part)[0]
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5 * float(one.abs().max())) is same


@counts_saved_bytes
def test_what_is_kept_for_the_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = tiny_problem(tiny_data(3), 2, "convnet2:width=16")
    most: dict[str, dict[int, int]] = {unroll: {} for unroll in UNROLLS}
    for unroll, found in most.items():
        for steps in (1, 10, 50):
            saved = SavedBytes()
            with saved.counting(monkeypatch):
                found_by(dataclasses.replace(SMALL, batch=0, steps=steps, unroll=unroll), problem)
            found[steps] = saved.most
    kept = most["kept"]
    assert kept[10] > 5 * kept[1] and kept[50] > 4.5 * kept[10]
    for unroll in ("checkpointed", "detached"):
        sizes = most[unroll].values()
        # of each step the hooks themselves let go of all but two batches of labels
        assert min(sizes) > 100_000 and max(sizes) < 1.02 * min(sizes)


def test_minibatches_are_pieces_of_permutations() -> None:
    objective = TrajectoryMatching(steps=7, batch=4)
    found = objective.minibatches(10, KEY)
    assert [len(rows) for rows in found] == [4, 4, 2, 4, 4, 2, 4]
    for start in (0, 3):
        assert torch.cat(found[start : start + 3]).sort().values.tolist() == list(range(10))
    assert not torch.equal(torch.cat(found[:3]), torch.cat(found[3:6]))
    assert all(
        torch.equal(a, b) for a, b in zip(found, objective.minibatches(10, KEY), strict=True)
    )
    everything = TrajectoryMatching(steps=2, batch=99).minibatches(5, KEY)
    assert [len(rows) for rows in everything] == [5, 5]


def test_every_expert_has_its_turn_in_every_pass() -> None:
    problem = tiny_problem()
    seen: list[int] = []

    @dataclasses.dataclass(frozen=True)
    class Watched(TinyExperts):
        def segment(self, expert: int, start: int, length: int) -> Tensor:
            seen.append(expert)
            assert start + length <= self.epochs
            return super().segment(expert, start, length)

    watched = Watched(problem.network, count=4)
    run = tiny_run(
        TrajectoryMatching(steps=1, max_start=3), dataclasses.replace(problem, experts=watched)
    )
    for _ in range(16):
        run.advance()
    followed = seen[::2]
    assert followed == seen[1::2]
    passes = [followed[begin : begin + 4] for begin in range(0, 16, 4)]
    assert all(sorted(one) == [0, 1, 2, 3] for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_the_start_is_any_epoch_below_the_bound() -> None:
    problem = tiny_problem()
    objective = TrajectoryMatching(steps=1, max_start=3, expert_epochs=2)
    assert isinstance(problem.experts, TinyExperts)
    firsts = {float(problem.experts.segment(0, t, 0)[0, 0]): t for t in range(5)}
    ends = [objective._ends(problem, 0, Key(5).fold("step", i)) for i in range(40)]
    pairs = {(firsts[float(first[0])], firsts[float(target[0])]) for first, target in ends}
    assert pairs == {(0, 2), (1, 3), (2, 4)}


def test_a_run_lowers_the_loss_and_learns_the_step_size() -> None:
    problem = tiny_problem(tiny_data(3))
    objective = dataclasses.replace(SMALL, max_start=1, lr_teacher=0.01)
    run = tiny_run(objective, dataclasses.replace(problem, experts=Reached(problem)), LowRank(2))
    losses = [run.advance() for _ in range(30)]
    assert losses[-1] < losses[0]
    assert run.learned_values()[LEARNT_LR] != pytest.approx(0.01, rel=1e-7)


class Reached:
    """Experts that networks trained on another set end at, so that they can be matched."""

    count, epochs = 2, 2

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def segment(self, expert: int, start: int, length: int) -> Tensor:
        """Return snapshots as rows."""
        flat = attar.objectives.flat.flat_loss(self.problem, "cross_entropy")
        drawn = self.problem.network.draw(Key(expert))
        rows = [torch.cat([tensor.detach().flatten() for tensor in drawn.parameters()])]
        images, labels = set_of(self.problem)
        for _ in range(self.epochs):
            rows.append(rows[-1] - 0.05 * flat.gradient(rows[-1], images, labels))
        return torch.stack(rows)[start : start + length + 1]


def test_a_resumed_run_is_the_same_bit_for_bit() -> None:
    def fresh() -> Run:
        objective = dataclasses.replace(SMALL, augment=DSA)
        return tiny_run(objective, tiny_problem(tiny_data(3)), Pixels(), learned_labels=True)

    whole, resumed = fresh(), fresh()
    for _ in range(4):
        whole.advance()
    tensors, rest = flatten(whole.state_dict())
    resumed.load_state_dict(unflatten({k: v.clone() for k, v in tensors.items()}, rest))
    assert [whole.advance() for _ in range(4)] == [resumed.advance() for _ in range(4)]
    (one, same), (other, equal) = flatten(whole.state_dict()), flatten(resumed.state_dict())
    assert same == equal and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("unroll", UNROLLS)
def test_momentum_and_a_step_size_for_each_step_are_those_of_the_student(unroll: str) -> None:
    problem = tiny_problem()
    objective = dataclasses.replace(
        SMALL, unroll=unroll, momentum_student=0.9, lr_per_step=True, held=2 * (unroll in EXACT[:1])
    )
    rates = LR * torch.tensor([1.0, 0.5, 2.0, 0.25])
    images, labels = set_of(problem)
    found = objective.match(images, labels, problem, state_of(problem), KEY, {LEARNT_LR: rates})
    reference = Reference(objective, problem)
    rows = [own.to(images.device) for own in objective.minibatches(len(images), KEY)]
    first, target = (end.float() for end in reference.ends)
    steps = Steps(images, labels, rows, (), KEY.fold("augment"))
    student = Student(flat_loss(problem, "cross_entropy"), steps, first, rates, 0.9)
    slopes = UNROLLS[unroll](student, distance(first, target))
    torch.testing.assert_close(found.learned[LEARNT_LR], slopes.lr)
    assert found.images is not None and len(slopes.lr) == 4
    torch.testing.assert_close(found.images, slopes.images)


def test_a_step_size_for_each_step_is_learnt_kept_and_counted(tmp_path: Path) -> None:
    data, out = tiny_data(), tmp_path / "set.safetensors"
    common: dict[str, Any] = {"network": "convnet1:width=4", "torch_compile": "off"}
    attar.train_experts(data, output=tmp_path / "e", count=1, epochs=2, batch=16, **common)

    def made(**own: Any) -> attar.Artefact:
        settings = {"steps": 3, "expert_epochs": 1, "max_start": 1} | own
        return attar.condense(
            data,
            method="mtt",
            experts=tmp_path / "e",
            settings=settings,
            ipc=1,
            iterations=2,
            validation=0,
            output=out,
            overwrite=True,
            **common,
        )

    usual = made().header.settings["objective"]
    made(lr_per_step=True, momentum_student=0.5, held=1)
    loaded = attar.load(out)
    assert loaded.learned[LEARNT_LR].shape == (3,) and loaded.learned[LEARNT_LR].std() > 0
    assert loaded.nbytes == 3 * 64 * 4 + 3 * 4
    told = loaded.header.settings["objective"]
    # what earlier versions did not have is told where it is used, so their runs go on
    assert told == usual | {"lr_per_step": True, "momentum_student": 0.5, "held": 1}


def test_match_repeats_itself() -> None:
    problem = tiny_problem()
    one, other = found_by(SMALL, problem), found_by(SMALL, problem)
    assert one.images is not None and other.images is not None
    assert torch.equal(one.images, other.images) and torch.equal(one.loss, other.loss)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps", 0),
        ("expert_epochs", 0),
        ("max_start", 0),
        ("batch", -1),
        ("lr_teacher", 0.0),
        ("lr_teacher", float("nan")),
        ("held", -1),
        ("momentum_student", 1.0),
        ("momentum_student", float("nan")),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(BadRequest, match=rf"^{setting} {value:g}: "):
        dataclasses.replace(SMALL, **{setting: value})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(BadRequest, match=r"kept"):
        TrajectoryMatching(unroll="keep")
    with pytest.raises(BadRequest, match=r"flip"):
        TrajectoryMatching(augment="flipp")
    with pytest.raises(BadRequest, match=r"held 2: unroll 'kept' holds no steps apart"):
        TrajectoryMatching(unroll="kept", held=2)


def test_experts_that_are_missing_or_too_short_are_refused() -> None:
    problem = tiny_problem()
    with pytest.raises(BadRequest, match=r"attar experts.*--experts"):
        tiny_run(SMALL, dataclasses.replace(problem, experts=None))
    # TinyExperts have 4 epochs
    tiny_run(dataclasses.replace(SMALL, max_start=3, expert_epochs=2), problem)
    with pytest.raises(BadRequest, match=r"max_start 4 .*epoch 5 .*have 4;.*max_start=3\)"):
        tiny_run(dataclasses.replace(SMALL, max_start=4, expert_epochs=2), problem)
    with pytest.raises(BadRequest, match=r"expert_epochs 5 .*at most 4 "):
        tiny_run(dataclasses.replace(SMALL, max_start=1, expert_epochs=5), problem)


def test_an_expert_that_stood_still_ends_the_run() -> None:
    problem = tiny_problem()

    class Still(TinyExperts):
        def segment(self, expert: int, start: int, length: int) -> Tensor:
            return super().segment(expert, 0, 0).repeat(length + 1, 1)

    still = dataclasses.replace(problem, experts=Still(problem.network))
    with pytest.raises(RunFailed, match=r"expert \d did not move from epoch \d to \d"):
        tiny_run(SMALL, still).advance()


def test_a_step_size_that_is_not_positive_ends_the_run() -> None:
    run = tiny_run(SMALL)
    run.advance()
    run.learned[LEARNT_LR].data.fill_(-0.5)
    with pytest.raises(RunFailed, match=r"step size fell to -0\.49.*lr_teacher=0\.6"):
        run.advance()


def test_a_step_counts_what_it_sends_through_networks() -> None:
    problem = tiny_problem()
    assert SMALL.passes(problem.layout, problem.data) == 12 * 4 * 4
    everything = dataclasses.replace(SMALL, batch=0)
    assert everything.passes(problem.layout, problem.data) == 12 * 4 * 6
    again = dataclasses.replace(SMALL, held=2)
    assert again.passes(problem.layout, problem.data) == 15 * 4 * 4


# FACTS 5.2: steps, expert epochs, start, lr of images, of the step size, its start, batch, zca
PUBLISHED = {
    ("cifar10", 1): (50, 2, 2, 100, 1e-7, 0.01, 0, "mtt", "convnet3"),
    ("cifar10", 10): (30, 2, 20, 100, 1e-5, 0.001, 0, "mtt", "convnet3"),
    ("cifar10", 50): (30, 2, 40, 1000, 1e-5, 0.001, 0, "none", "convnet3"),
    ("cifar100", 1): (20, 3, 20, 1000, 1e-5, 0.01, 0, "mtt", "convnet3"),
    ("cifar100", 10): (20, 2, 20, 1000, 1e-5, 0.01, 0, "none", "convnet3"),
    ("cifar100", 50): (80, 2, 40, 1000, 1e-5, 0.01, 125, "mtt", "convnet3"),
    ("tiny_imagenet", 1): (10, 2, 10, 10_000, 1e-4, 0.01, 0, "none", "convnet3"),
    ("tiny_imagenet", 10): (20, 2, 40, 10_000, 1e-4, 0.01, 200, "none", "convnet3"),
    ("tiny_imagenet", 50): (20, 2, 40, 10_000, 1e-4, 0.01, 300, "none", "convnet4"),
    # between and beyond: the nearest below
    ("cifar10", 9): (50, 2, 2, 100, 1e-7, 0.01, 0, "mtt", "convnet3"),
    ("cifar10", 200): (30, 2, 40, 1000, 1e-5, 0.001, 0, "none", "convnet3"),
    # not in the table: CIFAR-10, without whitening
    ("svhn", 10): (30, 2, 20, 100, 1e-5, 0.001, 0, "none", "convnet3"),
    ("imagenette", 1): (20, 2, 10, 1000, 1e-6, 0.01, 0, "none", "convnet5"),
    ("imagenette", 10): (20, 2, 10, 1000, 1e-6, 0.01, 20, "none", "convnet5"),
}
SIDES = {"tiny_imagenet": 64, "imagenette": 128}


@pytest.mark.parametrize(("dataset", "ipc"), PUBLISHED)
@pytest.mark.parametrize("method", ["mtt", "tesla"])
def test_mtt_is_that_of_its_authors(method: str, dataset: str, ipc: int) -> None:
    steps, epochs, start, lr, lr_lr, teacher, batch, zca, network = PUBLISHED[dataset, ipc]
    side = SIDES.get(dataset, 32)
    found = METHODS[method].recipe(Task(dataset, ipc, (3, side, side), 10))
    augmentation = DSA.replace("_flip", "") if dataset == "svhn" else DSA
    unroll = "detached" if method == "tesla" else "checkpointed"
    assert found.objective == TrajectoryMatching(
        steps, epochs, start, batch, augmentation, teacher, unroll
    )
    assert (found.parametrization, found.init, found.iterations) == (Pixels(), "real", 5000)
    assert (found.card, found.network) == ("mtt", network) and CARDS["mtt"].learnt_lr
    rates = {role: (one.kind, one.lr, one.momentum) for role, one in found.optimisers.items()}
    assert rates == {"images": ("sgd", lr, 0.5), LEARNT_LR: ("sgd", lr_lr, 0.5)}
    assert METHODS[method].zca(dataset, ipc) == zca
    assert METHODS[method].zca(f"npz:folder/{dataset}.npz", ipc) == zca


# FACTS 4
@pytest.mark.parametrize(("dataset", "rank"), [("cifar10", 2), ("tiny_imagenet", 4)])
def test_lomtt_is_that_of_the_plugin(dataset: str, rank: int) -> None:
    side = SIDES.get(dataset, 32)
    found = METHODS["lomtt"].recipe(Task(dataset, 1, (3, side, side), 10))
    assert found.objective == TrajectoryMatching(50, 2, 5, 80, DSA, 0.01, "checkpointed")
    assert (found.parametrization, found.init, found.iterations) == (LowRank(rank), "noise", 5000)
    rates = {role: (one.kind, one.lr, one.momentum) for role, one in found.optimisers.items()}
    assert rates == {"images": ("sgd", 1000, 0.5), LEARNT_LR: ("sgd", 1e-7, 0.5)}
    assert METHODS["lomtt"].zca(dataset, 1) == "none"


def test_every_budget_has_a_row() -> None:
    for dataset, rows in TABLE.items():
        assert setting(dataset, 0) == rows[1] and setting(dataset, 10**6) == rows[max(rows)]


@pytest.mark.slow
@pytest.mark.parametrize("unroll", UNROLLS)
@pytest.mark.parametrize(("precision", "least"), [("float32", 0.9999), ("bfloat16", 0.97)])
def test_compiled_slopes_are_those_of_the_equation(
    precision: str, least: float, unroll: str
) -> None:
    compute = computing.choose("cpu", precision, "on")
    objective = dataclasses.replace(SMALL, unroll=unroll, augment=DSA)
    problem = tiny_problem(tiny_data(3), 2, compute=compute)
    _, wanted = Reference(objective, problem).slopes(problem, detached=unroll == "detached")
    for found, slope in zip(parts_of(found_by(objective, problem)), wanted, strict=True):
        flat, exact = found.double().flatten(), slope.flatten()
        assert float(flat @ exact / (flat.norm() * exact.norm())) > least
        assert float(flat.norm() / exact.norm()) == pytest.approx(1, abs=1 - least + 0.01)


@pytest.mark.parametrize("change", [{"followed": 10**9}, {"followed": -1}, {"order": [7, 7, 7]}])
def test_a_state_that_names_no_expert_is_told(change: dict[str, Any]) -> None:
    problem = tiny_problem()
    objective = TrajectoryMatching(steps=1)
    images = torch.zeros(len(problem.layout), *problem.layout.shape)
    labels = torch.zeros(len(images), 3)
    forged = {name: torch.tensor(one) if name == "order" else one for name, one in change.items()}
    state = objective.init(problem, Key(0)) | forged
    with pytest.raises(RunFailed, match="names an expert that is not among the 3"):
        objective.match(images, labels, problem, state, Key(1), objective.learned(problem))
