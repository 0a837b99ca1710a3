"""The plan of a run that learns a smaller set, with an artefact as its only data."""

from __future__ import annotations

import dataclasses

from attar import compute as computing
from attar.artefact.artefact import Artefact, preprocessing_tensors
from attar.condensing.overrides import settle
from attar.condensing.plan import Plan
from attar.condensing.planning import effort, make_plan
from attar.condensing.request import Request
from attar.data import Splits
from attar.data.placing import place
from attar.errors import BadRequest
from attar.methods import METHODS, Task, usual
from attar.methods.slimming import SLIMMER
from attar.networks import make_for
from attar.rng import Key
from attar.slimming.components import as_data, drawn, ordered
from attar.slimming.request import SlimRequest
from attar.slimming.sizes import components_for
from attar.synthetic import first_components, planned_ledger


def plan_for(artefact: Artefact, request: Request, slim: SlimRequest) -> Plan:
    """Return the plan of one slimming that trains.

    Args:
        artefact: what is slimmed.
        request: of the run; its budget is that of the smaller set.
        slim: what was asked for.

    Raises:
        BadRequest: anything about the request that cannot be carried out.
    """
    data = as_data(artefact)
    if request.method != SLIMMER.name:
        plan = make_plan(request, Splits(data, None, source=_source(artefact)))
        return dataclasses.replace(plan, reading=_reading(artefact), parts=artefact.header.parts)
    task = Task(data.name, request.ipc or 1, data.shape, data.classes)
    recipe = settle(SLIMMER.recipe(task), request, task)
    if data.classes == 1:
        raise BadRequest(
            "slimming by training compares networks that tell classes apart, and the set has one "
            "class; slim at once with --learning-free, or train with --method dm"
        )
    whole = ordered(artefact, slim.share)
    count = components_for(whole, request.ipc or 1, request.stored_as)
    if slim.init == "random":
        form = whole.parametrization.smaller()
        assert form is not None
        key = Key(request.seed).fold("random")
        start = drawn(artefact, count, form, key, learned_labels=True)
    else:
        start = first_components(whole, count, expand=slim.expand)
    recipe = dataclasses.replace(recipe, init=slim.init)
    network = make_for(recipe.network, data.shape, data.classes)
    recipe = dataclasses.replace(
        recipe, network=network.name, parametrization=start.parametrization
    )
    compute = computing.choose(
        request.device,
        request.precision,
        request.torch_compile,
        pixels=effort(recipe, start.layout, data, request, network),
        chunk=request.chunk,
        graph=network.graph_bytes,
    )
    extras = preprocessing_tensors(data.preprocessing)
    form, labels = start.parametrization, recipe.learned_labels
    return Plan(
        request,
        _source(artefact),
        recipe,
        place(data, compute),
        None,
        start.layout,
        planned_ledger(start.layout, form, request.stored_as, labels, extras),
        request.budget().limit(data.classes, data.shape),
        network,
        compute,
        _reading(artefact),
        start=start,
        parts=artefact.header.parts,
    )


def _source(artefact: Artefact) -> str:
    return str(artefact.header.provenance.get("source", "artefact"))


def _reading(artefact: Artefact) -> dict[str, object]:
    reading = artefact.header.provenance.get("reading")
    return dict(reading) if isinstance(reading, dict) else {}


def refuse_experts(method: str) -> None:
    """Refuse a method that follows networks trained on the real data.

    Raises:
        BadRequest: it does.
    """
    if method in METHODS and usual(method).objective.follows_experts:
        raise BadRequest(
            f"--method {method}: it follows expert trajectories, and a set alone has none; slim "
            "with another method, such as dm"
        )


def slimmable_methods() -> list[str]:
    """Return the names of the methods that can learn a smaller set."""
    return [
        SLIMMER.name,
        *(m.name for m in METHODS.values() if not m.coreset and m.name != SLIMMER.name),
    ]
