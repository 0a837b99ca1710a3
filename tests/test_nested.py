import dataclasses
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic_core import PydanticCustomError
from torch import Tensor

import attar
from attar import BadRequest, Callback, RunFailed, condense
from attar.benching.options import checked_options, for_method
from attar.cli import run as run_command
from attar.compute import Compute
from attar.condensing.overrides import settle
from attar.condensing.request import Request
from attar.data.splits import Splits
from attar.methods import METHODS, Task
from attar.objectives import (
    ClasswiseMatching,
    DistributionMatching,
    GradientMatching,
    KernelRegression,
    Match,
    Nested,
    Problem,
    SubsetObjective,
)
from attar.objectives.nested import chosen_next, held
from attar.rng import Key
from attar.synthetic import Layout, LowRank, OrderedSVD, Tiled
from attar.tensors import flatten, unflatten
from catalogue import CPU, tiny_data, tiny_problem, tiny_run
from references import convnet, nested_reference

KEY = Key(4).fold("step", 7)
DM = DistributionMatching(batch_real=5, augment="crop_flip")
DSA = GradientMatching(batch_real=5, augment="crop_flip", outer=3)
IDC = ClasswiseMatching(batch_real=5, augment="crop_flip", inner=2, samples=6, batch_train=4)
BASES: dict[str, SubsetObjective] = {"distribution": DM, "gradient": DSA, "classwise": IDC}
N = 4


def noise(problem: Problem) -> Tensor:
    shape = (len(problem.layout), *problem.layout.shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def one_hot(layout: Layout) -> Tensor:
    return torch.eye(layout.classes)[layout.class_of_row()]


def state_with(objective: Nested, problem: Problem, chosen: int, finished: set[int]) -> dict:
    state = objective.init(problem, Key(0).fold("init"))
    for size in finished:
        state["finished"][size - 1] = True
    return {**state, "chosen": chosen}


def of_base(base: SubsetObjective, problem: Problem, size: int, images: Tensor) -> Match:
    """Match the first ``size`` images of every class alone, in a problem of their own."""
    small = tiny_problem(problem.data, size)
    per_class = images.unflatten(0, (-1, N))[:, :size].flatten(0, 1)
    state = base.init(small, Key(0).fold("init"))
    rows = base.select(small, state, KEY)
    return base.match(per_class, one_hot(small.layout)[rows], small, state, KEY)


# the gradients


@pytest.mark.parametrize(
    ("chosen", "finished", "frozen"),
    [
        (0, set(), 0),
        (1, set(), 0),
        (3, set(), 0),
        (3, {1}, 1),
        (3, {1, 2}, 2),
        # a finished subset that is not smaller holds nothing
        (1, {1, 2, 3}, 0),
        (2, {1, 3}, 1),
        (2, {2, 3}, 0),
    ],
)
@pytest.mark.parametrize("base", BASES)
def test_gradients_are_those_of_both_matches_without_the_held_images(
    base: str, chosen: int, finished: set[int], frozen: int
) -> None:
    problem = tiny_problem(per_class=N)
    objective = Nested(BASES[base])
    state = state_with(objective, problem, chosen, finished)
    rows = objective.select(problem, state, KEY)
    images = noise(problem)[rows]
    classes = len(rows) // N
    found = objective.match(images, one_hot(problem.layout)[rows], problem, state, KEY)
    assert held(state) == frozen

    whole = of_base(BASES[base], problem, N, images)
    loss, expected = whole.loss.double(), torch.zeros(classes, N, *problem.layout.shape).double()
    for part, size in ((whole, N), (of_base(BASES[base], problem, chosen or 1, images), chosen)):
        if size:
            assert part.images is not None
            own = part.images.double().view(classes, size, *problem.layout.shape)
            for label in range(classes):
                for row in range(frozen, size):
                    expected[label, row] += own[label, row]
            loss = loss + part.loss.double() * (part is not whole)
    assert found.images is not None and found.labels is None
    gradient = found.images.view(classes, N, *problem.layout.shape)
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.loss.double(), loss, rtol=1e-6, atol=0)
    # those held get nothing at all, the others something
    moved = gradient.flatten(2).abs().amax(dim=2) > 0
    assert not moved[:, :frozen].any() and moved[:, frozen:].all()


def test_matching_twice_gives_the_same_and_changes_nothing() -> None:
    problem = tiny_problem(per_class=N)
    objective = Nested(DSA)
    state = state_with(objective, problem, 2, {1})
    before = {name: tensor.clone() for name, tensor in flatten(state)[0].items()}
    images = noise(problem)
    one, other = (
        objective.match(images, one_hot(problem.layout), problem, state, KEY) for _ in range(2)
    )
    assert one.images is not None and other.images is not None
    assert torch.equal(one.images, other.images) and one.loss == other.loss
    after = flatten(state)[0]
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_held_images_stay_where_they_are() -> None:
    problem = tiny_problem(per_class=3)
    run = tiny_run(Nested(DM, every=50), problem)
    run.state |= {"chosen": 2, "finished": torch.tensor([True, False]), "updates": 2}
    start = run.synthetic.images(torch.arange(9)).detach().view(3, 3, -1).clone()
    for _ in range(3):
        run.advance()
    end = run.synthetic.images(torch.arange(9)).detach().view(3, 3, -1)
    still = (start == end).all(dim=2)
    assert still[:, 0].all() and not still[:, 1:].any()


def test_what_the_base_learns_comes_from_both() -> None:
    @dataclasses.dataclass(frozen=True)
    class Scaled(DistributionMatching):
        """Says that a tensor is learnt, whose gradient is the number of images of a class."""

        name = "scaled"

        def learned(self, problem: Problem) -> dict[str, Tensor]:
            return {"size": torch.ones(2)}

        def match_each(self, sizes, images, labels, problem, state, key, learned) -> list[Match]:
            found = super().match_each(sizes, images, labels, problem, state, key, learned)
            one = learned["size"]
            return [
                dataclasses.replace(each, learned={"size": size * one})
                for size, each in zip(sizes, found, strict=True)
            ]

    problem = tiny_problem(per_class=N)
    objective = Nested(Scaled(batch_real=5))
    assert torch.equal(objective.learned(problem)["size"], torch.ones(2))
    state = state_with(objective, problem, 3, set())
    given = noise(problem), one_hot(problem.layout)
    found = objective.match(*given, problem, state, KEY, {"size": torch.ones(2)})
    assert found.learned["size"].tolist() == [N + 3.0] * 2
    run = tiny_run(objective, problem)
    run.advance()
    assert run.state.keys() == state.keys() and not run.state["base"]


# the subset


@pytest.mark.parametrize("network", ["convnet2:width=8", "convnet2:width=8,norm=batch"])
@pytest.mark.parametrize("chunk", [5, 64])
def test_distances_are_those_of_the_definition(network: str, chunk: int) -> None:
    problem = tiny_problem(
        per_class=N, network=network, compute=Compute(CPU, "float32", False, chunk)
    )
    objective = Nested(DM, networks=2, batch_check=6)
    images = noise(problem)
    found = objective.distances(images, problem, KEY)
    expected = [0.0] * (N - 1)
    data = problem.data
    norm = "batch" if "batch" in network else "instance"
    for i in range(2):
        own = KEY.fold("network", i)
        weights = problem.network.draw(own).state_dict()
        weights = {name: tensor.double() for name, tensor in weights.items()}
        real = [data.take(data.draw(k, 6, own.fold("real", k))) for k in range(3)]
        assert [len(batch) for batch in real] == [6, 6, 3]
        ours = images.double().split(N)
        for size in range(1, N):
            features = [
                convnet.embed(weights, torch.cat(list(batches)).double(), norm=norm).split(
                    [len(batch) for batch in batches]
                )
                for batches in (real, ours)
            ]
            expected[size - 1] += nested_reference.distance(features[0], features[1], size) / 2
    torch.testing.assert_close(
        found.double(), torch.tensor(expected).double(), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_choice_is_that_of_the_bookkeeping_written_out(seed: int) -> None:
    n = 6
    generator = torch.Generator().manual_seed(seed)
    reference = nested_reference.Bookkeeping(n)
    state: dict[str, Any] = {
        "chosen": 0,
        "finished": torch.zeros(n - 1, dtype=torch.bool),
        "distances": torch.zeros(n - 1),
    }
    seen = set()
    for _ in range(40):
        distances = torch.rand(n - 1, generator=generator)
        state |= chosen_next(state, distances)
        found = (state["chosen"], held(state))
        assert found == reference.check(distances.tolist())
        seen.add(found)
    assert len(seen) >= n


def test_checks_come_at_the_second_update_and_then_every_so_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the third check sees the third subset move most, the next ones the second, down and up
    told = iter([[1.0, 1, 1], [1, 1, 9], [1, 5, 9], [1, 9.5, 9]])
    keys: list[Key] = []

    def distances(self: Nested, images: Tensor, problem: Problem, key: Key) -> Tensor:
        assert images.shape == (12, 1, 8, 8)
        keys.append(key)
        return torch.tensor(next(told))

    monkeypatch.setattr(Nested, "distances", distances)
    run = tiny_run(Nested(DM, every=3), tiny_problem(per_class=N))
    seen = []
    for _ in range(9):
        run.advance()
        seen.append((run.state["updates"], run.state["chosen"], held(run.state)))
    assert seen == [
        (1, 0, 0),
        (2, 1, 0),
        (3, 3, 1),
        (4, 3, 1),
        (5, 3, 1),
        (6, 2, 1),
        (7, 2, 1),
        (8, 2, 1),
        (9, 2, 1),
    ]
    assert run.state["finished"].tolist() == [True, False, True]
    # each check draws its own networks
    assert len(set(keys)) == 4


@pytest.mark.parametrize("base", BASES)
def test_the_base_goes_on_as_it_does_alone(base: str) -> None:
    problem = tiny_problem(per_class=N)
    nested, alone = (
        tiny_run(objective, problem) for objective in (Nested(BASES[base]), BASES[base])
    )
    # until a subset is chosen nothing differs
    for _ in range(2 * BASES[base].turns(problem.layout)):
        assert nested.advance() == alone.advance()
    one, other = flatten(nested.state["base"]), flatten(alone.state)
    assert one[1] == other[1] and one[0].keys() == other[0].keys()
    assert all(torch.equal(one[0][name], other[0][name]) for name in one[0])
    assert nested.advance() > alone.advance()


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("at", [1, 4, 7])
def test_a_run_goes_on_bit_for_bit_from_its_state(base: str, at: int) -> None:
    problem = tiny_problem(per_class=N)
    objective = Nested(BASES[base], every=2, networks=1, batch_check=5)
    whole = tiny_run(objective, problem)
    for _ in range(at * BASES[base].turns(problem.layout)):
        whole.advance()
    tensors, rest = flatten(whole.state_dict())
    resumed = tiny_run(objective, tiny_problem(per_class=N))
    resumed.load_state_dict(unflatten(tensors, rest))
    assert [whole.advance() for _ in range(3)] == [resumed.advance() for _ in range(3)]
    one, other = flatten(whole.state_dict()), flatten(resumed.state_dict())
    assert one[1] == other[1]
    assert all(torch.equal(one[0][name], other[0][name]) for name in one[0])
    assert whole.state["chosen"] > 0


def test_where_classes_take_turns_checks_come_between_sweeps() -> None:
    problem = tiny_problem(per_class=N)
    run = tiny_run(Nested(IDC, every=4, networks=1, batch_check=4), problem)
    seen = []
    for update in range(1, 13):
        before = run.state["distances"]
        run.advance()
        if run.state["distances"] is not before:
            seen.append(update)
    # the second sweep of three, and every four updates rounded up to two sweeps
    assert seen == [6, 12]


def test_a_class_of_more_images_than_a_step_reads_is_refused() -> None:
    few = dataclasses.replace(IDC, batch_condensed=2)
    with pytest.raises(BadRequest, match=r"--nested: a step has to .* --set batch_condensed=4"):
        tiny_run(Nested(few), tiny_problem(per_class=N))
    tiny_run(Nested(few), tiny_problem(per_class=2)).advance()


def test_rows_and_passes() -> None:
    layout = Layout(3, 5, (1, 8, 8))
    assert layout.first(2).tolist() == [0, 1, 5, 6, 10, 11]
    assert layout.first(0).tolist() == []
    data = tiny_data()
    alone = DM.passes(layout, data)
    objective = Nested(DM, every=10, networks=2, batch_check=4)
    assert objective.passes(layout, data) == alone + 3 * 15 / 2 + 2 * (data.drawn(4) + 15) / 10
    of_one = Nested(IDC, every=10, networks=2, batch_check=4).passes(layout, data)
    assert of_one == IDC.passes(layout, data) + 3 * 5 / 2 + 2 * (data.drawn(4) + 15) / 10


# what is refused


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"every": 0}, "every 0: at least 1 is needed"),
        ({"networks": -1}, "networks -1: at least 1 is needed"),
        ({"batch_check": 0}, "batch_check 0: at least 1 is needed"),
        (
            {"base": KernelRegression()},
            "--nested: the objective 'kernel' does not match parts of a set; distribution and "
            "gradient matching do, such as --method dm, dsa or idc-i",
        ),
        ({"base": Nested(DM)}, "--nested: the objective 'nested' does not match parts"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Nested(**{"base": DM, **changes})
    assert text in str(caught.value)


def test_one_image_per_class_is_refused_before_the_run() -> None:
    with pytest.raises(BadRequest, match="--nested: with one image per class"):
        tiny_run(Nested(DM), tiny_problem(per_class=1))


def test_learnt_labels_have_no_gradient() -> None:
    run = tiny_run(Nested(DSA), tiny_problem(per_class=2), learned_labels=True)
    with pytest.raises(BadRequest, match="'nested' gives no gradient to the learnt labels"):
        run.advance()


OPTIONS: dict[str, Any] = {
    "method": "dm",
    "ipc": 3,
    "iterations": 8,
    "nested": True,
    "network": "convnet2:width=8",
    "card": "dc-300",
    "validation": 0,
    "device": "cpu",
    "precision": "float32",
    "torch_compile": "off",
}


def made(**changes: Any) -> attar.Artefact:
    data = tiny_data(counts=(12, 12, 12))
    chosen = ("batch_real=5", "batch_check=5", "networks=2", "every=2")
    options: dict[str, Any] = OPTIONS | {"settings": chosen} | changes
    return condense(Splits(data, data), **options)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"ipc": 1}, "--nested: with one image per class there is no smaller set to hold; ask"),
        (
            {"method": "herding", "iterations": None},
            "--nested: method 'herding' chooses real images and never updates them",
        ),
        (
            {"settings": ("evry=3",)},
            "setting (--set) of distribution and nested 'evry' (did you mean",
        ),
        (
            {"settings": ("base=dm",)},
            "setting (--set) of distribution and nested 'base'. There is: ",
        ),
        ({"settings": ("every=0",)}, "--set every=0: at least 1 is needed"),
        ({"settings": ("every=often",)}, "--set every=often: a whole number is needed"),
        ({"nested": False, "settings": ("every=2",)}, "setting (--set) of distribution 'every'."),
    ],
)
def test_what_cannot_be_nested_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        made(**changes)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"parametrization": Tiled(2)}, "in the form 'tiled' the first images cannot"),
        ({"parametrization": LowRank(2, Tiled(2))}, "in the form 'tiled' the first images cannot"),
        ({"parametrization": OrderedSVD()}, "in the form 'ordered_svd' the first images cannot"),
        ({"learned_labels": True}, "method 'dm' learns labels"),
        ({"objective": KernelRegression()}, "the objective 'kernel' does not match parts"),
    ],
)
def test_a_recipe_that_cannot_be_nested_is_refused(changes: dict[str, Any], text: str) -> None:
    task = Task("tiny", 3, (1, 8, 8), 3)
    recipe = METHODS["dm"].recipe(task)
    with pytest.raises(BadRequest, match=f"--nested: {re.escape(text)}"):
        settle(dataclasses.replace(recipe, **changes), Request(**OPTIONS), task)


# the option


@pytest.mark.parametrize(
    ("method", "objective"),
    [
        ("dm", "distribution"),
        ("lodm", "distribution"),
        ("dc", "gradient"),
        ("idc-i", "classwise"),
    ],
)
def test_an_artefact_says_that_it_is_nested(method: str, objective: str, out: Path) -> None:
    artefact = made(method=method, output=out)
    assert artefact.header.nested and attar.load(out).header.nested
    settings = artefact.header.settings["objective"]
    assert settings["name"] == objective
    assert settings["batch_real"] == 5
    assert settings["nested"] == {"every": 2, "networks": 2, "batch_check": 5}
    assert "nested=True" in artefact.header.provenance["command"]
    plain = made(method=method, nested=False, settings=("batch_real=5",))
    assert not plain.header.nested and "nested" not in plain.header.settings["objective"]
    assert not torch.equal(plain.images, artefact.images)


@pytest.mark.parametrize(("iterations", "every"), [(8, 1), (60, 3)])
def test_a_check_comes_every_twentieth_of_the_run(iterations: int, every: int) -> None:
    artefact = made(iterations=iterations, settings=("batch_real=3", "batch_check=3", "networks=1"))
    assert artefact.header.settings["objective"]["nested"]["every"] == every


def test_the_command_has_the_option_without_a_value() -> None:
    words = Request(**OPTIONS).command("digits").split()
    assert words[words.index("--nested") + 1].startswith("--")
    assert "nested=True" in Request(**OPTIONS).call()


def test_an_interrupted_run_goes_on_and_another_option_is_refused(
    out: Path, minding_ctrl_c: None
) -> None:
    del minding_ctrl_c

    class Stopping(Callback):
        def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
            if step == 5:
                signal.raise_signal(signal.SIGINT)

    whole = made()
    with pytest.raises(RunFailed, match="interrupted at step 5"):
        made(output=out, callback=Stopping())
    for changes in (
        {"nested": False, "settings": ("batch_real=5",)},
        {"settings": ("batch_real=5",)},
    ):
        with pytest.raises(BadRequest, match="made with another objective"):
            made(output=out, resume=True, **changes)
    resumed = made(output=out, resume=True)
    assert torch.equal(resumed.images, whole.images)


def test_a_suite_can_ask_for_it() -> None:
    assert checked_options({"nested": True}) == {"nested": True}
    with pytest.raises(PydanticCustomError, match="'yes': true or false is needed"):
        checked_options({"nested": "yes"})
    assert for_method({"nested": True, "network": "lenet"}, False) == {"network": "lenet"}


def test_the_command_line_makes_a_nested_set(out: Path) -> None:
    command = (
        "condense digits --method dm --ipc 3 --nested --iterations 30 --network convnet2:width=8 "
        "--set batch_real=8 batch_check=8 every=15 networks=2 --validation 0 --device cpu "
        f"--compile off -o {out}"
    )
    assert run_command(command.split()) == 0
    header = attar.load(out).header
    assert header.nested and header.images_per_class == 3
    assert header.settings["objective"]["nested"]["every"] == 15
    assert " --nested " in header.provenance["command"]


def test_first_images_are_nearer_to_real_ones_than_those_of_a_plain_set() -> None:
    data = tiny_data(counts=(30, 30, 30))
    chosen = ("batch_real=30", "augment=none")
    plain, nested = (
        condense(
            Splits(data, data), **OPTIONS | {"iterations": 40, "nested": on, "settings": given}
        )
        for on, given in ((False, chosen), (True, (*chosen, "networks=2", "every=10")))
    )
    problem = tiny_problem(data, 3)
    judge = Nested(DM, networks=10, batch_check=30)
    before, after = (judge.distances(each.images, problem, KEY) for each in (plain, nested))
    assert after[0] < 0.7 * before[0] and after[1] < before[1]
