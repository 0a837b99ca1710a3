"""From a request and data to a plan: every setting concrete, every refusal made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from attar import compute as computing
from attar.artefact.artefact import Artefact, learnt_tensors, preprocessing_tensors
from attar.budget import FLOAT32_BYTES
from attar.condensing.bounding import bounded
from attar.condensing.deciding import decided
from attar.condensing.finished import filled_before
from attar.condensing.overrides import refuse_updates, settle
from attar.condensing.plan import Plan
from attar.condensing.real_start import CodedStart
from attar.condensing.refusing import (
    check_against_data,
    check_validation,
    refuse_labels,
    refuse_too_little,
    refuse_unequal,
)
from attar.condensing.request import AUTO, Request
from attar.condensing.selecting import select
from attar.condensing.starting import started_from
from attar.condensing.storage_choice import with_storage
from attar.condensing.suiting import refuse_single, suited
from attar.coresets import RandomImages, TaughtSelector
from attar.data import LabelledImages, Splits
from attar.data.placing import place
from attar.data.preprocessing import deviation_of
from attar.data.reading import Watch
from attar.errors import BadRequest
from attar.experts.images import check_images
from attar.experts.store import ExpertStore, open_experts
from attar.methods import Choice, Recipe, Task
from attar.networks import Network, make_for
from attar.objectives import Objective, Problem
from attar.options import naming_option
from attar.rng import Key
from attar.storage import storage_of
from attar.synthetic import Allowance, Layout, fill
from attar.teachers.carried import check_travels, planned_for
from attar.training import CARDS
from attar.training.fitting import with_learnt


def make_plan(
    request: Request,
    splits: Splits,
    reading: Mapping[str, Any] | None = None,
    *,
    experts_later: bool = False,
    draft: bool = False,
    tried: bool = True,
    watch: Watch | None = None,
    done: Artefact | None = None,
) -> Plan:
    """Settle every setting of a request for these data.

    Args:
        request: what is asked for.
        splits: the data.
        reading: how they were read.
        experts_later: do not look for the expert trajectories that the method follows; for a plan
            that is looked at and not carried out.
        draft: guess how many coded images fit by random ones, without choosing them; for a plan
            that is looked at and not carried out.
        tried: whether ``--storage auto`` is decided by trial runs; else the finest that fits
            stands for it.
        watch: told how far choosing is: of real images, where their number follows from what they
            take when coded, of codecs and of storages.
        done: what the run that is resumed has made, where it is complete.

    Raises:
        BadRequest: anything about the request that cannot be carried out.
    """
    refused: list[BadRequest] = []
    rest = (splits, reading or {}, experts_later, draft, watch, done)
    # trial runs are carried out, and follow experts
    trial = (splits, reading or {}, experts_later and not tried, draft, watch)
    for made, choice in decided(request, splits, watch):
        try:
            if made.storage == AUTO:
                own = with_storage(
                    made, choice, splits, lambda one: _plan(one, None, *trial), watch, tried=tried
                )
                return _plan(*own, *rest)
            return _plan(made, choice, *rest)
        except BadRequest as error:
            # what is next best may fit
            refused.append(naming_option(error, made.given_settings()))
    if len(refused) == 1:
        raise refused[0]
    raise BadRequest(
        f"--method {request.chosen.name}: none of its {len(refused)} choices can be made; of the "
        f"first one: {refused[0].text}"
    )


def _plan(
    request: Request,
    choice: Choice | None,
    splits: Splits,
    reading: Mapping[str, Any],
    experts_later: bool,
    draft: bool,
    watch: Watch | None,
    done: Artefact | None = None,
) -> Plan:
    """Return the plan of a request whose every part is named."""
    method = request.chosen
    train = splits.train
    refuse_updates(request, train.classes, "" if choice is None else choice.by)
    budget = request.budget()
    limit = budget.limit(train.classes, train.shape)
    full = train.classes * math.prod(train.shape) * FLOAT32_BYTES

    def published(ipc: int) -> Recipe:
        deviation = deviation_of(train.preprocessing)
        task = Task(train.name, max(1, ipc), train.shape, train.classes, deviation)
        found = suited(settle(method.recipe(task), request, task), request, train.modality)
        return bounded(found, request, train)

    recipe = published(1 if limit is None else limit // full)
    # a plain count says what memory it takes only once the form is known, and a larger memory may
    # have another form, and then takes more still
    for _ in range(2 if limit is None else 0):
        recipe = published(fill(recipe, Allowance(budget), train).ledger.paper // full)
    refuse_single(recipe, train.class_names)
    refuse_labels(request, recipe)
    network = make_for(recipe.network, train.shape, train.classes)
    recipe = dataclasses.replace(recipe, network=network.name)
    extras = preprocessing_tensors(train.preprocessing) | _carried(recipe, train, network)
    first = Layout(train.classes, 1, train.shape)
    learnt = _learnt(recipe, train, network, first)
    whole = extras | learnt_tensors(learnt)
    sizes = None
    if request.per_class_budget != "equal":
        refuse_unequal(request, recipe)
        sizes = [len(own) for own in train.indices_of_class]
    selection = select(request, splits)
    kept = selection.condensed
    coded = _coded_start(request, recipe, kept, network, draft, watch)
    filled = None
    if done is not None and coded is not None:
        filled = filled_before(done, request, coded)
    if filled is None:
        measured = None if coded is None else coded.bytes_of
        if coded is not None:
            refuse_too_little(request, recipe, coded, limit, whole)
        filled = fill(recipe, Allowance(budget, request.stored_as, sizes, whole, measured), train)
        learnt = _learnt(recipe, train, network, filled.layout)
        exact = extras | learnt_tensors(learnt)
        if {n: t.shape for n, t in exact.items()} != {n: t.shape for n, t in whole.items()}:
            allowance = Allowance(budget, request.stored_as, sizes, exact, measured)
            filled = fill(recipe, allowance, train)
    layout = filled.layout
    if request.nested and layout.per_class < 2:
        raise BadRequest(
            "--nested: with one image per class there is no smaller set to hold; ask for two or "
            "more, or leave it out"
        )
    experts = None if experts_later else _experts(recipe.objective, request, splits, network)
    start = None
    if request.init_file is not None:
        first = recipe.first_labels(layout) if recipe.learned_labels else None
        start = started_from(request.init_file, layout, recipe.parametrization, train, first)
    check_against_data(limit, layout, kept)
    compute = _compute(request, recipe, layout, kept, network)
    check_validation(request, recipe, selection, layout, network, compute, learnt)
    return Plan(
        request,
        splits.source,
        recipe,
        place(kept, compute),
        selection.selecting,
        layout,
        filled.ledger,
        limit,
        network,
        compute,
        dict(reading),
        start=start,
        experts=experts,
        parts=selection.facts(request, splits),
        coded_start=coded,
        choice=choice,
    )


def _compute(
    request: Request, recipe: Recipe, layout: Layout, train: LabelledImages, network: Network
) -> computing.Compute:
    """Return device, precision, compilation and the size of a call."""
    # a network that nothing goes through is not drawn to be weighed
    idle = request.chosen.coreset and (recipe.start is None or not recipe.start.passes(train))
    return computing.choose(
        request.device,
        request.precision,
        request.torch_compile,
        pixels=effort(recipe, layout, train, request, network),
        chunk=request.chunk,
        graph=0 if idle else network.graph_bytes,
    )


def _coded_start(
    request: Request,
    recipe: Recipe,
    train: LabelledImages,
    network: Network,
    draft: bool,
    watch: Watch | None,
) -> CodedStart | None:
    """Return the real images that a set is or is planned by, where only values tell their bytes."""
    storage, form = storage_of(request.stored_as), recipe.parametrization
    if storage.fixed:
        return None
    shapes = form.shapes(Layout(train.classes, 1, train.shape))
    if all(storage.planned(name, shape) is not None for name, shape in shapes.items()):
        return None
    free = request.budget().limit(train.classes, train.shape) is None
    if recipe.init == "noise" and not free:
        raise BadRequest(
            f"--init noise: how many images fit as --storage {storage.name} is planned by real "
            "ones, and noise takes far more; give --init real, or --images-per-class in place of "
            "a budget"
        )
    layout = Layout(train.classes, 1, train.shape)
    compute = _compute(request, recipe, layout, train, network)
    key = Key(request.seed).fold("start")
    selector, images = recipe.start or RandomImages(), place(train, compute)
    if draft:
        selector = RandomImages()
    return CodedStart(
        selector,
        images,
        network,
        compute,
        key,
        form,
        storage,
        again=free,
        labelled=recipe.learned_labels and recipe.iterations == 0,
        watch=watch,
    )


def _learnt(
    recipe: Recipe, train: LabelledImages, network: Network, layout: Layout
) -> dict[str, Tensor]:
    """Return what the objective learns beside the set, which an artefact keeps, too.

    Raises:
        BadRequest: the card needs step sizes, and none are learnt.
    """
    plain = computing.Compute(torch.device("cpu"), "float32", compile=False, chunk=1)
    problem = Problem(train, network, layout, plain)
    found = recipe.objective.kept(recipe.objective.learned(problem))
    with_learnt(CARDS[recipe.card], found)
    return dict(found)


def _carried(recipe: Recipe, train: LabelledImages, network: Network) -> dict[str, Tensor]:
    """Return stand-ins of the most that the teacher in the set's file takes; nothing for none.

    Raises:
        BadRequest: it cannot be kept there.
    """
    selector = recipe.start
    if not recipe.carried or not isinstance(selector, TaughtSelector):
        return {}
    known = selector.known(train)
    if known is not None:
        check_travels(known, recipe.carried)
    found = selector.learner(train, network) if known is None else known.network
    return planned_for(found, recipe.carried).planned()


def _experts(
    objective: Objective, request: Request, splits: Splits, network: Network
) -> ExpertStore | None:
    """Return the expert trajectories that the objective follows, if any."""
    if not objective.follows_experts:
        if request.experts is not None:
            raise BadRequest(
                f"--experts {request.experts}: the objective {objective.name!r} follows no expert "
                "trajectories; leave it out, or choose one that does, such as --method mtt"
            )
        return None
    if request.experts is None:
        whitening = splits.train.preprocessing.whitening
        zca = "" if whitening is None else f" --zca {whitening.kind}"
        raise BadRequest(
            f"--experts is missing: the objective {objective.name!r} follows the trajectories of "
            "networks trained on the same images. Train some with "
            f"'attar experts {splits.source}{zca} "
            f"--network {network.name} -o experts' and the same options of reading, then give "
            "--experts experts"
        )
    experts = open_experts(request.experts, network, splits.train.preprocessing)
    check_images(experts.folder, experts.header, splits.train)
    return experts


def effort(
    recipe: Recipe, layout: Layout, train: LabelledImages, request: Request, network: Network
) -> float:
    """Estimate the effort of a run in its network, to judge whether compiling pays."""
    if request.minutes is not None:
        # measured where the run begins: see `attar.condensing.compiling`
        return 0.0
    passes = float(recipe.iterations) * recipe.objective.passes(layout, train)
    if recipe.start is not None:
        passes += recipe.start.passes(train)
    return network.effort(passes)
