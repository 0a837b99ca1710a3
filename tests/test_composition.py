"""Any objective with any form, by text and by value; sums of objectives; others' methods."""

import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import attar
from attar import registry
from attar.cli import run
from attar.compute import Compute
from attar.condensing.composition import form_of, form_text, objective_of, roles_of
from attar.condensing.request import Request
from attar.coresets import Selector
from attar.data import LabelledImages
from attar.data.reading import Watch
from attar.methods import METHODS, Method, Task, method_of
from attar.methods.recipe import Recipe
from attar.networks import Network
from attar.objectives import (
    OBJECTIVES,
    DistributionMatching,
    GradientMatching,
    Match,
    Nested,
    Objective,
    Problem,
    SubspaceProjection,
    TrajectoryMatching,
    WeightedSum,
)
from attar.objectives.base import State, gradients
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import (
    PARAMETRIZATIONS,
    Decoded,
    Frequency,
    Layout,
    LowRank,
    OrderedSVD,
    Parametrization,
    Pixels,
    Resized,
    Tiled,
)
from attar.synthetic.forms.form import DENSE, Leaf
from attar.synthetic.stores import Store
from attar.training import EvaluationCard
from catalogue import tiny_data, tiny_problem, tiny_run

TASK = Task("cifar10", 10, (3, 32, 32), 10)
SMALL: dict[str, Any] = {
    "iterations": 2,
    "network": "convnet2:width=8",
    "validation": 0,
    "precision": "float32",
    "torch_compile": "off",
}


def condensed(**options: Any) -> attar.Artefact:
    return attar.condense(tiny_data(), **SMALL | options)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("pixels", Pixels()),
        ("low_rank:rank=3", LowRank(3)),
        ("low_rank", LowRank(2)),
        ("tiled:factor=4", Tiled(4)),
        ("resized:side=16", Resized(16)),
        ("frequency:keep=0.5,chosen=class", Frequency(0.5, "class")),
        ("low_rank:rank=2,base=resized:height=20,width=8", LowRank(2, Resized(0, 20, 8))),
        ("tiled:padding=0.5/0/-1", Tiled(2, (0.5, 0.0, -1.0))),
        ("low_rank:rank=2,base=tiled:factor=2", LowRank(2, Tiled(2))),
        (" low_rank : rank = 2 , base = tiled ", LowRank(2, Tiled(2))),
        ("ordered_svd:share=class", OrderedSVD(share="class")),
        ("low_rank:base=decoded:decoders=2,channels=1", LowRank(2, Decoded(2, 1, 1, 8))),
    ],
)
def test_forms_as_text(text: str, form: Parametrization) -> None:
    found = form_of(text, TASK)
    if isinstance(form, LowRank) and isinstance(form.base, Decoded):
        # what is not said is that of the method which uses it
        assert isinstance(found, LowRank) and isinstance(found.base, Decoded)
        assert (found.base.decoders, found.base.channels) == (2, 1)
    else:
        assert found == form
    assert form_of(form_text(found), TASK) == found


def test_a_form_by_name_has_the_settings_of_the_method_that_uses_it() -> None:
    assert form_of("decoded", TASK) == METHODS["kfs"].recipe(TASK).parametrization
    tiny = Task("tiny_imagenet", 1, (3, 64, 64), 200)
    assert form_of("low_rank", tiny) == LowRank(4)


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("distribution", METHODS["dm"].recipe(TASK).objective),
        ("gradient:inner=3", GradientMatching(outer=10, inner=3)),
        (
            "distribution:batch_real=64 + 0.1*gradient:inner=2,augment=none",
            WeightedSum(
                (
                    dataclasses.replace(METHODS["dm"].recipe(TASK).objective, batch_real=64),  # pyright: ignore
                    GradientMatching(outer=10, inner=2),
                ),
                (1.0, 0.1),
            ),
        ),
        (
            "2e-3*subspace+trajectory",
            WeightedSum(
                (METHODS["esp"].recipe(TASK).objective, METHODS["mtt"].recipe(TASK).objective),
                (0.002, 1.0),
            ),
        ),
    ],
)
def test_objectives_as_text(text: str, objective: Objective) -> None:
    found = objective_of(text, TASK, Nested(DistributionMatching()))
    assert found == objective


def test_the_own_objective_of_a_method_keeps_its_settings() -> None:
    own = DistributionMatching(batch_real=7)
    assert objective_of("distribution", TASK, own) == own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"form": "wavelets"},
            "unknown value of --form 'wavelets'. There is: decoded, frequency, low_rank",
        ),
        ({"form": "tiled:faktor=2"}, "did you mean 'factor'"),
        (
            {"form": "tiled:factor=two"},
            "--form tiled:factor=two: factor=two: a whole number is needed",
        ),
        ({"form": "tiled:factor"}, "'factor' is no setting; write name=value"),
        ({"form": "tiled:base=pixels"}, "'tiled' has no form inside it"),
        ({"form": "low_rank:base=low_rank"}, "low-rank factors of low-rank factors"),
        ({"form": 3}, "form=3: a name, or an attar form"),
        ({"objective": "distances"}, "unknown value of --objective 'distances'"),
        ({"objective": "distribution+"}, "'distribution+' is no objective"),
        ({"objective": "distribution+0*gradient"}, "weight 0 of an objective: a number above 0"),
        ({"objective": "distribution+-1*gradient"}, "is no objective"),
        ({"objective": "2*distribution"}, "the weight of a single objective is its learning rate"),
        ({"objective": "nested+gradient"}, "'nested' is made of others"),
        ({"objective": "distribution:batch=3"}, "unknown setting"),
        ({"objective": "distribution+trajectory"}, "follows the trajectories of networks"),
        (
            {"objective": "gradient", "method": "random", "iterations": None},
            "--objective gradient: method 'random'",
        ),
        ({"objective": "distribution+gradient", "nested": True}, "does not match parts of a set"),
        ({"objective": 1.5}, "objective=1.5: a name, or an attar objective"),
        ({"method": 7}, "method=7: a name such as 'lodm'"),
        ({"method": "slimmable", "form": "pixels", "zca": "none"}, "components"),
        ({"form": "ordered_svd", "per_class_budget": "proportional"}, "every class has the same"),
    ],
)
def test_what_cannot_be_combined_is_refused_first(options: dict[str, Any], message: str) -> None:
    callback = Told()
    with pytest.raises(attar.BadRequest) as refused:
        attar.condense(tiny_data(), callback=callback, ipc=2, **SMALL | options)
    assert message in str(refused.value)
    assert not callback.steps


class Told(attar.Callback):
    def __init__(self) -> None:
        self.steps = 0

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        self.steps += 1


def test_a_sum_is_the_sum_of_its_terms() -> None:
    terms = (DistributionMatching(batch_real=5), GradientMatching(batch_real=5))
    whole = WeightedSum(terms, (2.0, 0.25))
    problem = tiny_problem()
    images = torch.randn(len(problem.layout), *problem.layout.shape, generator=Key(1).generator())
    labels = torch.nn.functional.one_hot(problem.layout.class_of_row(), 3).float()
    key = Key(3)
    state = whole.init(problem, Key(0))
    found = whole.match(images, labels, problem, state, key)
    loss, slope = 0.0, torch.zeros(images.shape, dtype=torch.float64)
    for number, (term, weight) in enumerate(zip(terms, (2.0, 0.25), strict=True)):
        own = Key(0).fold(str(number))
        each = term.match(images, labels, problem, term.init(problem, own), key.fold(str(number)))
        assert each.images is not None
        loss += weight * each.loss.item()
        slope += weight * each.images.double()
    assert found.loss.item() == pytest.approx(loss, rel=1e-6)
    assert found.images is not None
    torch.testing.assert_close(found.images.double(), slope, rtol=1e-5, atol=1e-7)


@dataclass(frozen=True)
class OfRows(Objective):
    """Pulls some rows to a value; for sums of objectives that read different rows."""

    name: ClassVar[str] = "of_rows"
    rows: tuple[int, ...] = (0,)
    value: float = 1.0

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        return torch.tensor(self.rows)

    def match(
        self, images: Tensor, labels: Tensor, problem: Problem, state: State, key: Key, *_: Any
    ) -> Match:
        images = images.clone().requires_grad_(True)
        return gradients((images - self.value).square().sum() / 2, images)


def test_terms_that_read_different_rows_each_get_their_own() -> None:
    whole = WeightedSum((OfRows((4, 1), 1.0), OfRows((1, 3), -2.0)), (1.0, 10.0))
    problem = tiny_problem()
    images = torch.zeros(6, *problem.layout.shape)
    index = whole.select(problem, whole.init(problem, Key(0)), Key(1))
    assert index.tolist() == [1, 3, 4]
    found = whole.match(
        images[index], torch.zeros(3, 3), problem, whole.init(problem, Key(0)), Key(1)
    )
    assert found.images is not None
    assert found.images.mean(dim=(1, 2, 3)).tolist() == [-1.0 + 20.0, 20.0, -1.0]


def test_a_sum_goes_on_bit_for_bit_from_a_checkpoint(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        **SMALL,
        "method": "dm",
        "objective": "distribution:batch_real=5+0.5*gradient:batch_real=5,outer=2,inner=1",
        "ipc": 2,
    }
    whole = attar.condense(tiny_data(), **options | {"iterations": 4})
    path = tmp_path / "set.safetensors"
    attar.condense(tiny_data(), output=path, **options)
    longer = attar.condense(tiny_data(), output=path, resume=True, **options | {"iterations": 4})
    assert torch.equal(whole.images, longer.images)


def test_settings_of_a_sum_reach_every_term_that_has_them() -> None:
    made = condensed(
        method="dm", objective="distribution+gradient", settings={"batch_real": 4, "inner": 3}
    )
    first, second = made.header.settings["objective"]["terms"]
    assert first["batch_real"] == second["batch_real"] == 4
    assert (second["inner"], second["weight"]) == (3, 1.0)


def test_the_weight_is_a_part_of_what_a_run_is(tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    options = {"method": "dm", "output": path, "ipc": 1}
    condensed(objective="distribution+0.5*gradient", **options)
    with pytest.raises(attar.BadRequest, match="objective"):
        condensed(objective="distribution+0.25*gradient", resume=True, iterations=5, **options)


@pytest.mark.parametrize("method", ["dm", "kfs", "frepo", "dc", "random", "lodm"])
def test_any_method_is_stored_as_factors_by_rank(method: str) -> None:
    options: dict[str, Any] = {"iterations": None} if method == "random" else {"zca": "none"}
    made = condensed(method=method, rank=1, ipc=2, **options)
    told = made.header.parametrization
    assert (told["name"], told["rank"]) == ("low_rank", 1)
    other = METHODS[method].recipe(Task("tiny", 2, (1, 8, 8), 3)).parametrization
    base = other.base if isinstance(other, LowRank) else other
    assert told["base"]["name"] == base.name


def test_what_a_form_learns_beside_images_is_updated_as_where_it_is_known_from() -> None:
    made = condensed(method="dm", form="decoded", ipc=2)
    rates = {role: one["lr"] for role, one in made.header.settings["optimisers"].items()}
    assert rates == {"images": 0.1, "decoders": 0.01}
    assert roles_of(TrajectoryMatching())["learned_lr"].lr == 1e-5


def test_values_do_what_their_texts_do() -> None:
    by_text = condensed(method="dm", form="low_rank:rank=2,base=tiled", objective="distribution")
    by_value = condensed(
        method="dm", form=LowRank(2, Tiled(2)), objective=METHODS["dm"].recipe(TASK).objective
    )
    assert torch.equal(by_text.images, by_value.images)
    assert by_text.header.parametrization == by_value.header.parametrization


def test_the_command_says_the_composition_and_makes_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "one.safetensors"
    words = "condense digits --method dm --form low_rank:rank=2,base=tiled --objective "
    words += "distribution:batch_real=8+0.5*gradient:batch_real=8,inner=1 --iterations 1 "
    words += "--network convnet2:width=4 --validation 0 --set outer=2"
    assert run([*words.split(), "-o", str(path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "1·distribution + 0.5·gradient" in shown
    assert "low rank (rank 2) of tiled (factor 2)" in shown
    import shlex

    made = attar.load(path)
    again = shlex.split(made.header.provenance["command"])[1:]
    again[-1] = str(tmp_path / "two.safetensors")
    assert run(again) == 0
    assert torch.equal(made.images, attar.load(again[-1]).images)


def test_a_recipe_is_a_method() -> None:
    recipe = Recipe(
        objective=DistributionMatching(batch_real=4, augment="none"),
        parametrization=Tiled(2),
        optimisers={"images": Optimiser(0.5)},
        iterations=3,
        init="noise",
        network="convnet2:width=8",
        card="dc-300",
    )
    made = attar.condense(tiny_data(), method=recipe, validation=0, ipc=2)
    assert (made.header.method, made.header.step) == ("own", 3)
    assert made.header.provenance["command"].startswith("attar.condense(data, method=Recipe")


def own_method(name: str = "mine", **changes: Any) -> Method:
    def make(task: Task) -> Recipe:
        return dataclasses.replace(METHODS["dm"].recipe(task), **changes)

    return Method(name, "DM, only shorter", "nobody", make)


def test_a_method_as_a_value_runs_loads_and_slims_without_being_registered(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    made = condensed(method=own_method(iterations=2), ipc=2, output=path)
    assert made.header.method == "mine"
    code = f"""
    import attar
    made = attar.load({str(path)!r})
    assert made.header.method == "mine"
    smaller = attar.slim({str(path)!r}, 1, learning_free=True)
    assert smaller.header.images_per_class == 1
    attar.slim({str(path)!r}, 1, method="dm", iterations=1, network="convnet2:width=8")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_a_registered_method_is_one_of_the_methods(
    only_own: None, capsys: pytest.CaptureFixture[str]
) -> None:
    method = attar.register(own_method())
    assert METHODS["mine"] is method and "mine" in list(METHODS)
    assert run(["methods", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["methods"]
    assert {"name": "mine", "summary": "DM, only shorter", "paper": "nobody"} in listed
    assert condensed(method="mine").header.method == "mine"
    assert attar.register(method) is method
    with pytest.raises(attar.BadRequest, match="method 'mine' is there already"):
        attar.register(own_method(iterations=3))
    attar.register(own_method(iterations=3), replace=True)
    assert METHODS["mine"].recipe(TASK).iterations == 3


def test_a_method_with_anothers_name_is_refused() -> None:
    for replace in (False, True):
        with pytest.raises(attar.BadRequest, match="'dm' is there already"):
            attar.register(own_method("dm"), replace=replace)
    with pytest.raises(attar.BadRequest, match="method='dm': another method has this name"):
        condensed(method=own_method("dm"))
    with pytest.raises(attar.BadRequest, match=r"a name of letters, digits and _"):
        attar.register(own_method("my method"))
    with pytest.raises(attar.BadRequest, match=r"cannot be registered: give an attar\.Method"):
        attar.register(object())


@dataclass(frozen=True)
class Mirrored(Parametrization):
    name: ClassVar[str] = "mirrored"

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        return leaf.make(layout.rows, layout.shape)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        return layout.rows * leaf.values(layout.shape)

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


def test_an_own_form_and_objective_are_known_by_name(only_own: None, tmp_path: Path) -> None:
    attar.register(Mirrored)
    attar.register(OfRows)
    assert "mirrored" in PARAMETRIZATIONS and OBJECTIVES["of_rows"] is OfRows
    path = tmp_path / "own.safetensors"
    condensed(method="dm", form="mirrored", ipc=2, objective="distribution+3*of_rows", output=path)
    assert attar.load(path).header.parametrization == {"name": "mirrored"}


@dataclass(frozen=True)
class Brightest(Selector):
    name: ClassVar[str] = "brightest"

    def choose(
        self,
        data: LabelledImages,
        sizes: Sequence[int],
        network: Network,
        compute: Compute,
        key: Key,
        watch: Watch | None = None,
    ) -> list[Tensor]:
        light = data.take(torch.arange(len(data))).flatten(1).mean(dim=1)
        return [
            own[light[own].argsort(descending=True)[:count]]
            for own, count in zip(data.indices_of_class, sizes, strict=True)
        ]


def test_an_own_selector_starts_a_set(only_own: None) -> None:
    with pytest.raises(attar.BadRequest, match="unknown value of --init 'brightest'"):
        condensed(method="dm", init="brightest")
    attar.register(Brightest)
    made = attar.condense(
        tiny_data(), method="dm", init="brightest", ipc=1, **SMALL | {"iterations": 0}
    )
    data = tiny_data()
    light = data.take(torch.arange(len(data))).flatten(1).mean(dim=1)
    assert made.images[0].mean().item() == pytest.approx(light[data.indices_of_class[0]].max())


def test_a_form_that_is_not_registered_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    condensed(method="dm", form=Mirrored(), ipc=2, output=path)
    with pytest.raises(attar.BadRequest, match="unknown form 'mirrored'"):
        attar.load(path)


def package(folder: Path, name: str, code: str, entry: str) -> None:
    (folder / f"{name}.py").write_text(textwrap.dedent(code))
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[attar.methods]\n{entry}\n")


def test_installed_packages_bring_methods(tmp_path: Path) -> None:
    code = """
    import dataclasses
    from attar import Method
    from attar.methods import METHODS

    def make(task):
        return dataclasses.replace(METHODS["dm"].recipe(task), iterations=1)

    METHOD = Method("brought", "from another package", "somebody", make)
    """
    package(tmp_path, "bringing", code, "brought = bringing:METHOD")
    package(tmp_path, "failing", "raise RuntimeError('not today')", "no = failing:METHOD")
    listed = subprocess.run(
        [sys.executable, "-m", "attar", "methods"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "from another package" in listed.stdout
    assert "'no', which cannot be used: RuntimeError: not today" in " ".join(listed.stderr.split())


def test_the_group_of_entry_points_is_that_of_the_docs() -> None:
    assert registry.GROUP == "attar.methods"
    assert not [
        point
        for point in importlib.metadata.entry_points(group=registry.GROUP)
        if point.value.startswith("attar.")
    ]


def test_roles_of_sums_and_forms() -> None:
    both = WeightedSum((DistributionMatching(), SubspaceProjection()))
    assert "images" in roles_of(both)
    assert method_of("dm") is METHODS["dm"]


def test_settings_may_be_values_or_texts() -> None:
    assert Request(settings={"batch_real": 3}).given_settings() == {"batch_real": 3}
    with pytest.raises(attar.BadRequest, match=r"batch_real=3\.5: a whole number is needed"):
        condensed(settings={"batch_real": 3.5}, method="dm")
    one = condensed(settings={"batch_real": 5}, method="dm")
    other = condensed(settings=("batch_real=5",), method="dm")
    assert torch.equal(one.images, other.images)


def test_a_learnt_tensor_of_one_name_in_two_terms_is_refused() -> None:
    both = WeightedSum((TrajectoryMatching(steps=1), TrajectoryMatching(steps=2)))
    with pytest.raises(attar.BadRequest, match="two objectives of the sum learn 'learned_lr'"):
        tiny_run(both, tiny_problem())


def test_the_method_in_the_docs_runs() -> None:
    page = Path(__file__).parent.parent / "docs" / "condensing.md"
    block = page.read_text(encoding="utf-8").partition("## Your own method")[2]
    code = block.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["SHORT"].recipe(TASK).iterations == 500
    assert condensed(method=names["SHORT"], ipc=1).header.method == "short"


def test_a_card_of_ones_own_is_one_of_the_cards(
    only_own: None, capsys: pytest.CaptureFixture[str]
) -> None:
    attar.register(EvaluationCard("my-card", "one epoch", 1, "none"))
    assert run(["cards", "--json"]) == 0
    assert "my-card" in [one["name"] for one in json.loads(capsys.readouterr().out)["cards"]]
    assert condensed(method="dm", card="my-card").header.settings["card"] == "my-card"
    with pytest.raises(attar.BadRequest, match="card 'dc-300' is there already"):
        attar.register(EvaluationCard("dc-300", "other", 1, "none"))


def test_the_examples_of_parts_are_known_by_name_once_imported() -> None:
    code = """
    import attar, own_card, own_network, own_selector

    made = attar.condense(
        "digits", method="dm", network="normed:width=8", init="typical", card="short-adam",
        iterations=1, validation=0, settings={"batch_real": 4},
    )
    row, = attar.evaluate(made, networks=["normed"], repeats=1, epochs=1)
    assert row.results[0].network == "normed"
    """
    examples = Path(__file__).parent.parent / "examples"
    path = os.pathsep.join([str(examples), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
