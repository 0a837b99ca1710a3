"""Any objective with any form, by text and by value; sums of objectives."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import attar
from attar.cli import run
from attar.condensing.composition import form_of, form_text, objective_of, roles_of
from attar.condensing.request import Request
from attar.methods import METHODS, Task, method_of
from attar.objectives import (
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
from attar.rng import Key
from attar.synthetic import (
    PARAMETRIZATIONS,
    Decoded,
    Frequency,
    LowRank,
    OrderedSVD,
    Parametrization,
    Pixels,
    Resized,
    Tiled,
)
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
            f"unknown value of --form 'wavelets'. There is: {', '.join(sorted(PARAMETRIZATIONS))}",
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
        ({"objective": "distribution:rows=3"}, "unknown setting"),
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
