"""HaBa: its contrast term and extractor beside a float64 reference, its recipe, whole runs."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.augmentation.dsa import augment, parse_strategy
from attar.condensing.engine import Run
from attar.errors import BadRequest
from attar.methods import METHODS, Task
from attar.objectives import Contrast, Problem, TrajectoryMatching, WeightedSum
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import Hallucinated, LowRank, Pixels, Synthetic
from attar.tensors import dotted
from attar.training import CARDS
from attar.training.fitting import LEARNT_LR
from attar.training.trainer import Trainer, Update
from catalogue import COMPUTE, tiny_data, tiny_problem, tiny_run
from references import contrast, convnet, trajectory

FORM = Hallucinated(3)
PER_CLASS = 6
NETWORK = "convnet2:width=8"
SMALL = Contrast(augment="none", likeness=0.7, supervised=0.3, temperature=0.5)
CASES = {
    "plain": SMALL,
    "some bases": dataclasses.replace(SMALL, bases=4),
    "augmented": dataclasses.replace(SMALL, augment="color_crop_cutout_flip_scale_rotate"),
}
KEY = Key(0).fold("step", 0)


def problem_of(channels: int = 1) -> Problem:
    return tiny_problem(tiny_data(channels), PER_CLASS, NETWORK)


def run_of(objective: Any, channels: int = 1, **more: Any) -> Run:
    return tiny_run(objective, problem_of(channels), FORM, **more)


def double(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return parameters of the extractor in float64, by the names of a plain network."""
    return {
        name.removeprefix("module.module."): one.detach().double().clone()
        for name, one in tensors.items()
    }


def features(weights: dict[str, Tensor], images: Tensor, objective: Contrast, key: Key) -> Tensor:
    seen = augment(images, parse_strategy(objective.augment), key.fold("augment"), shared=False)
    return convnet.embed(weights, seen)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_likeness_of_pairs_is_that_of_the_equation(case: str, channels: int) -> None:
    objective, run = CASES[case], run_of(CASES[case], channels)
    index = objective.select(run.problem, run.state, KEY)
    one, other = index.chunk(2)
    assert len(one) == (objective.bases or 6)
    # two variants of the same bases, one for each half
    assert torch.equal(one // 3, other // 3)
    assert {*(one % 3).tolist()} != {*(other % 3).tolist()}
    assert len({*(one % 3).tolist()}) == len({*(other % 3).tolist()}) == 1
    images, labels = (part.detach() for part in run.synthetic(index))
    found = objective.match(images, labels, run.problem, run.state, KEY)
    leaf = images.double().requires_grad_()
    seen = features(double(dotted(run.state["network"])), leaf, objective, KEY)
    wanted = contrast.apart(*(half.unbind() for half in seen.chunk(2)))
    (slope,) = torch.autograd.grad(wanted, leaf)
    torch.testing.assert_close(found.loss.double(), wanted.detach(), rtol=1e-5, atol=0)
    assert found.images is not None and float(slope.abs().max()) > 0
    torch.testing.assert_close(
        found.images.double(), slope, rtol=1e-3, atol=1e-4 * float(slope.abs().max())
    )


@pytest.mark.parametrize("case", CASES)
def test_the_extractor_learns_by_its_own_loss_and_moves_no_image(case: str) -> None:
    objective, run = CASES[case], run_of(CASES[case], 3)
    state, key = run.state, KEY
    stored = {name: one.clone() for name, one in run.synthetic.state_dict().items()}
    weights = double(dotted(state["network"]))
    velocity = {name: torch.zeros_like(one) for name, one in weights.items()}
    for step in range(2):
        key = KEY.fold(step)
        index = objective.select(run.problem, state, key)
        state = objective.advance(run.synthetic, run.problem, state, key)
        images = run.synthetic(index)[0].detach().double()
        for one in weights.values():
            one.requires_grad_()
        seen = features(weights, images, objective, key)
        scores = seen @ weights["classifier.weight"].T + weights["classifier.bias"]
        classes = run.synthetic.class_of_row[index[: len(index) // 2]].tolist()
        halves = [half.unbind() for half in seen.chunk(2)]
        loss = contrast.of_extractor(scores, *halves, classes, (1.0, 0.7, 0.3), 0.5)
        slopes = torch.autograd.grad(loss, list(weights.values()))
        for (name, one), slope in zip(list(weights.items()), slopes, strict=True):
            velocity[name] = 0.9 * velocity[name] + slope
            weights[name] = (one - 0.001 * velocity[name]).detach()
        found = double(dotted(state["network"]))
        assert found.keys() == weights.keys()
        start = double(dotted(run.state["network"]))
        for name, one in weights.items():
            moved = float((one - start[name]).abs().max())
            close = {"rtol": 1e-3, "atol": 1e-3 * moved + 1e-7}
            torch.testing.assert_close(found[name], one, **close)
    for name, one in run.synthetic.state_dict().items():
        assert torch.equal(one, stored[name])
    assert all(one.grad is None for one in run.synthetic.parameters())


def test_the_loss_of_the_images_does_not_train_the_extractor() -> None:
    run = run_of(SMALL)
    before = {name: one.clone() for name, one in dotted(run.state["network"]).items()}
    index = SMALL.select(run.problem, run.state, KEY)
    images, labels = run.synthetic(index)
    SMALL.match(images.detach(), labels.detach(), run.problem, run.state, KEY)
    for name, one in dotted(run.state["network"]).items():
        assert torch.equal(one, before[name]) and not one.requires_grad and one.grad is None


def test_a_step_of_the_student_takes_one_variant_of_its_bases() -> None:
    objective = TrajectoryMatching(
        steps=4, batch=4, augment="none", one_variant=True, lr_teacher=0.3
    )
    run = run_of(objective, 3)
    problem = run.problem
    index = torch.arange(len(problem.layout))
    images, labels = (part.detach() for part in run.synthetic(index))
    learned = {LEARNT_LR: torch.tensor(0.3)}
    found = objective.match(images, labels, problem, run.state, KEY, learned)
    # from the equations: a permutation of the bases in pieces, each as one drawn variant
    bases = objective.minibatches(6, KEY)
    drawn = torch.randint(3, (4,), generator=KEY.fold("variants").generator())
    rows = [own * 3 + variant for own, variant in zip(bases, drawn, strict=True)]
    assert [len(own) for own in rows] == [4, 2, 4, 2] and len({*drawn.tolist()}) > 1
    assert problem.experts is not None
    start = int(torch.randint(objective.max_start, (), generator=KEY.fold("start").generator()))
    expert = int(run.state["order"][0])
    segment = problem.experts.segment(expert, start, objective.expert_epochs).double()
    shapes = {n: tuple(one.shape) for n, one in problem.network.draw(Key(0)).named_parameters()}
    leaf = images.double().requires_grad_()
    wanted = trajectory.distance(
        leaf,
        labels.double(),
        torch.tensor(0.3, dtype=torch.float64),
        segment[0],
        segment[-1],
        rows,
        lambda step, seen: seen,
        shapes,
    )
    (slope,) = torch.autograd.grad(wanted, leaf)
    torch.testing.assert_close(found.loss.double(), wanted.detach(), rtol=1e-5, atol=0)
    assert found.images is not None
    torch.testing.assert_close(
        found.images.double(), slope, rtol=1e-3, atol=2e-4 * float(slope.abs().max())
    )


def test_a_step_size_that_falls_is_moved_back_to_the_least() -> None:
    objective = TrajectoryMatching(steps=2, augment="none", lr_teacher=0.02, lr_least=0.01)
    problem = problem_of()
    synthetic = Synthetic(problem.layout, Pixels())
    synthetic.images.start_from_noise(Key(1))
    optimisers = {"images": Optimiser(1e-3), LEARNT_LR: Optimiser(1e3)}
    for driver in (objective, WeightedSum((objective, dataclasses.replace(SMALL)))):
        form = Pixels() if driver is objective else FORM
        synthetic = Synthetic(problem.layout, form)
        synthetic.images.start_from_noise(Key(1))
        roles = dict.fromkeys(synthetic.roles(), Optimiser(1e-6))
        run = Run(synthetic, driver, problem, {**roles, **optimisers}, Key(0))
        sizes = set()
        for _ in range(6):
            run.advance()
            sizes.add(round(run.learned_values()[LEARNT_LR], 6))
        assert min(sizes) == 0.01


@pytest.mark.parametrize(
    ("objective", "form"),
    [(SMALL, Pixels()), (SMALL, Hallucinated(4)), (SMALL, Hallucinated(1))],
)
def test_sets_without_pairs_are_refused(objective: Contrast, form: Any) -> None:
    with pytest.raises(BadRequest, match="'contrast' needs several images of every base"):
        tiny_run(objective, problem_of(), form)
    with pytest.raises(BadRequest, match="'trajectory' needs several images of every base"):
        tiny_run(TrajectoryMatching(steps=2, one_variant=True), problem_of(), form)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"bases": -1}, "bases -1: 0 or more"),
        ({"lr_extractor": 0.0}, "lr_extractor 0: a positive number"),
        ({"temperature": float("nan")}, "temperature nan: a positive number"),
        ({"momentum_extractor": 1.0}, "momentum_extractor 1: from 0 to below 1"),
        ({"likeness": -0.1}, "likeness -0.1: 0 or more"),
        ({"augment": "spin"}, "unknown augmentation"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Contrast(**settings)
    assert str(caught.value).startswith(text)


# FACTS 7 and 20: inner steps, max_start, lr_lr, lr_teacher
COMMANDS = {1: (50, 2, 1e-7, 0.01), 10: (30, 20, 1e-5, 0.001), 50: (30, 20, 1e-5, 0.01)}


@pytest.mark.parametrize("ipc", COMMANDS)
def test_haba_is_that_of_its_authors(ipc: int) -> None:
    found = METHODS["haba"].recipe(Task("cifar10", ipc, (3, 32, 32), 10))
    assert isinstance(found.objective, WeightedSum) and found.objective.weights == (1.0, 0.1)
    matching, apart = found.objective.terms
    assert isinstance(matching, TrajectoryMatching) and isinstance(apart, Contrast)
    steps, start, lr_lr, teacher = COMMANDS[ipc]
    assert (matching.steps, matching.expert_epochs, matching.max_start) == (steps, 2, start)
    assert (matching.lr_teacher, matching.lr_least, matching.one_variant) == (teacher, 0.001, True)
    assert (apart.classify, apart.likeness, apart.supervised, apart.temperature) == (
        1,
        0.1,
        0.1,
        0.07,
    )
    assert (apart.lr_extractor, apart.momentum_extractor) == (0.001, 0.9)
    assert found.optimisers == {
        "images": Optimiser(100, 0.95),
        "hallucinators": Optimiser(100, 0.95),
        LEARNT_LR: Optimiser(lr_lr, 0.9),
    }
    assert found.parametrization == Hallucinated(5, 0, 3)
    assert (found.init, found.card, found.iterations) == ("real", "haba", 15_000)
    assert METHODS["haba"].zca("cifar10", ipc) == "mtt"


def test_lohaba_is_haba_on_factors_from_noise() -> None:
    task = Task("cifar10", 1, (3, 32, 32), 10)
    plain, found = METHODS["haba"].recipe(task), METHODS["lohaba"].recipe(task)
    form = LowRank(2, plain.parametrization)
    assert found == dataclasses.replace(plain, parametrization=form, init="noise")
    assert METHODS["lohaba"].zca("cifar10", 1) == "mtt"


SHORT = {
    "ipc": 2,
    "iterations": 4,
    "network": NETWORK,
    "validation": 0,
    "torch_compile": "off",
    "settings": ("steps=2", "expert_epochs=1", "max_start=1", "lr_teacher=0.01"),
    "lr": 0.1,
}


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experts") / "experts"
    attar.train_experts(
        tiny_data(), network=NETWORK, count=2, epochs=1, output=folder, torch_compile="off"
    )
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {"method": "haba"},
        {"method": "haba", "rank": 2},
        {"method": "haba", "form": "low_rank:rank=2,base=hallucinated", "init": "noise"},
        {"method": "lohaba"},
        {"method": "haba", "max_bytes": 4000, "ipc": None},
    ],
    ids=str,
)
def test_a_set_is_made_read_measured_and_exported(
    options: dict[str, Any], experts: Path, tmp_path: Path
) -> None:
    path = tmp_path / "set.safetensors"
    made = attar.condense(tiny_data(), experts=experts, output=path, **{**SHORT, **options})
    loaded = attar.load(path)
    assert torch.equal(loaded.images, made.images) and loaded.nbytes == made.nbytes
    optimisers = loaded.header.settings["optimisers"]
    assert (optimisers["hallucinators"]["kind"], optimisers["hallucinators"]["momentum"]) == (
        "sgd",
        0.95,
    )
    aside = {one.name for one in loaded.ledger.entries if not one.paper}
    assert {"images.scales", "images.encoders", "learned.learned_lr"} <= aside
    assert loaded.ledger.paper <= 2 * 3 * 64 * 4 < loaded.ledger.all
    if "max_bytes" in options:
        assert loaded.ledger.all <= 4000
    if "max_bytes" not in options:
        smaller = attar.slim(path, 1, learning_free=True)
        assert smaller.ledger.paper <= 3 * 64 * 4
    attar.export(path, npz=tmp_path / "set.npz", floats=True)


def test_a_run_that_was_killed_goes_on_to_the_same_bits(experts: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    class Killing(attar.Callback):
        def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
            if step == 2:
                raise Killed

    short: dict[str, Any] = {**SHORT, "method": "haba", "experts": experts, "checkpoint_seconds": 0}
    whole = attar.condense(tiny_data(), output=tmp_path / "whole.safetensors", **short)
    with pytest.raises(Killed):
        attar.condense(
            tiny_data(), output=tmp_path / "part.safetensors", callback=Killing(), **short
        )
    again = attar.condense(tiny_data(), output=tmp_path / "part.safetensors", resume=True, **short)
    for name, one in whole.synthetic.state_dict().items():
        assert torch.equal(one, again.synthetic.state_dict()[name])
    assert whole.learned.keys() == again.learned.keys()
    assert all(torch.equal(one, again.learned[name]) for name, one in whole.learned.items())


@pytest.mark.parametrize(
    ("data", "options", "text"),
    [
        (tiny_data(), {"max_bytes": 1000, "ipc": None}, r"holds no image .*fewer --set hall"),
        (tiny_data(), {"settings": ("hallucinators=1",)}, "needs several images of every base"),
        (tiny_data(), {"settings": ("kernel=9",)}, "--set kernel=9: hallucinators do not fit"),
        (tiny_data(), {"per_class_budget": "proportional"}, "every class has the same number"),
        (tiny_data(), {"nested": True}, "--nested"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    data: Any, options: dict[str, Any], text: str, experts: Path
) -> None:
    given = {**SHORT, "method": "haba", "experts": experts, **options}
    with pytest.raises(BadRequest, match=text):
        attar.condense(data, **given)


def test_a_training_takes_each_base_once_in_a_pass_by_a_drawn_hallucinator() -> None:
    data = tiny_data()
    problem = problem_of()
    own = dataclasses.replace(CARDS["haba"].drawing(3), epochs=30, batch=4)
    images = torch.randn(18, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(3).repeat_interleave(6)
    seen: list[Update] = []
    trainer = Trainer(problem.network, COMPUTE)
    trainer.fit_together(images, labels, own, "none", [Key(2)], updated=seen.append)
    assert len(seen) == own.steps(18) == 31 * 2 and data.classes == 3
    drawn = torch.zeros(18)
    for epoch in range(31):
        rows = torch.cat([one.rows for one in seen if one.epoch == epoch])
        assert (rows // 3).sort().values.tolist() == list(range(6))
        drawn[rows] += 1
    assert bool((drawn > 0).all())
    # what has no variants is trained on as ever, and real images are never grouped
    assert CARDS["haba"].drawing(1).seen(18) == CARDS["haba"].seen(18) == 18
    assert CARDS["mtt"].drawing(3) is CARDS["mtt"]
    assert "variants" not in CARDS["haba"].describe()
