"""Every parametrization under every objective: steps, artefact, resume."""

import itertools
from pathlib import Path

import pytest
import torch

import attar
from attar.artefact.artefact import Artefact
from attar.artefact.card import Card
from attar.condensing.engine import Run
from attar.objectives import OBJECTIVES as REGISTERED_OBJECTIVES
from attar.synthetic import PARAMETRIZATIONS as REGISTERED_PARAMETRIZATIONS
from attar.synthetic import from_description
from attar.tensors import flatten, read_header, read_tensors, save_tensors, unflatten
from catalogue import (
    OBJECTIVES,
    PARAMETRIZATIONS,
    SLIMMERS,
    prepared_data,
    tiny_problem,
    tiny_run,
)


def test_the_catalogue_holds_everything_that_is_registered() -> None:
    assert PARAMETRIZATIONS.keys() == REGISTERED_PARAMETRIZATIONS.keys()
    assert OBJECTIVES.keys() == REGISTERED_OBJECTIVES.keys()
    for registered, instances in (
        (REGISTERED_PARAMETRIZATIONS, PARAMETRIZATIONS),
        (REGISTERED_OBJECTIVES, OBJECTIVES),
    ):
        for name, instance in instances.items():
            assert type(instance) is registered[name] and instance.name == name


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_a_parametrization_is_rebuilt_from_its_description(name: str) -> None:
    assert from_description(PARAMETRIZATIONS[name].describe()) == PARAMETRIZATIONS[name]


def artefact(run: Run) -> Artefact:
    data = run.problem.data
    card = Card(
        class_names=list(data.class_names),
        shape=data.shape,
        images_per_class=run.problem.layout.per_class,
        parametrization=run.synthetic.parametrization.describe(),
        mean=list(data.preprocessing.mean),
        std=list(data.preprocessing.std),
    )
    return Artefact(card, run.synthetic, data.preprocessing)


@pytest.mark.parametrize(
    ("parametrization", "objective"), list(itertools.product(PARAMETRIZATIONS, OBJECTIVES))
)
def test_three_steps_an_artefact_and_a_resume(
    parametrization: str, objective: str, tmp_path: Path
) -> None:
    problem = tiny_problem(prepared_data() if objective in SLIMMERS else None)

    def fresh() -> Run:
        return tiny_run(OBJECTIVES[objective], problem, PARAMETRIZATIONS[parametrization])

    whole = fresh()
    start = artefact(fresh()).images
    whole.advance()
    tensors, rest = flatten(whole.state_dict())
    save_tensors(tmp_path / "checkpoint.safetensors", tensors, {"rest": rest})
    losses = [whole.advance() for _ in range(2)]
    made = artefact(whole)
    assert whole.finite()
    # every image has moved
    assert bool((made.images != start).flatten(1).any(dim=1).all())

    made.save(tmp_path / "set.safetensors")
    loaded = attar.load(tmp_path / "set.safetensors")
    assert torch.equal(loaded.images, made.images) and torch.equal(loaded.labels, made.labels)
    assert loaded.nbytes == made.nbytes

    torch.manual_seed(5)
    resumed = fresh()
    header = read_header(tmp_path / "checkpoint.safetensors")
    tensors = read_tensors(tmp_path / "checkpoint.safetensors")
    resumed.load_state_dict(unflatten(tensors, header["rest"]))
    assert [resumed.advance() for _ in range(2)] == losses
    one, other = flatten(whole.state_dict()), flatten(resumed.state_dict())
    assert one[1] == other[1] and one[0].keys() == other[0].keys()
    assert all(torch.equal(one[0][name], other[0][name]) for name in one[0])
