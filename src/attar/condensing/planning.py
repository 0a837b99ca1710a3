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
from attar.condensing.request import AUTO, Request
from attar.condensing.selecting import Selection, select
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
from attar.rng import Key
from attar.storage import Apart, storage_of
from attar.synthetic import Allowance, Layout, fill, planned_ledger
from attar.teachers.carried import check_travels, planned_for
from attar.training import CARDS
from attar.training.call_size import check_whole
from attar.training.fitting import with_learnt

# one image of a class takes up to so many times what another does
_FAR = 1.5


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
            refused.append(error)
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
    _refuse_labels(request, recipe)
    network = make_for(recipe.network, train.shape, train.classes)
    recipe = dataclasses.replace(recipe, network=network.name)
    extras = preprocessing_tensors(train.preprocessing) | _carried(recipe, train, network)
    first = Layout(train.classes, 1, train.shape)
    whole = extras | _learnt(recipe, train, network, first)
    sizes = None
    if request.per_class_budget != "equal":
        _refuse_unequal(request, recipe)
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
            _refuse_too_little(request, recipe, coded, limit, whole)
        filled = fill(recipe, Allowance(budget, request.stored_as, sizes, whole, measured), train)
        exact = extras | _learnt(recipe, train, network, filled.layout)
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
    _check_validation(recipe, selection, layout, network, compute)
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


def _check_validation(
    recipe: Recipe,
    selection: Selection,
    layout: Layout,
    network: Network,
    compute: computing.Compute,
) -> None:
    """Refuse validations that train on batches which memory cannot hold."""
    card = CARDS[recipe.card]
    if selection.selecting is not None and not card.kernel:
        check_whole(network, compute, min(card.batch, layout.rows), "give --validation 0")


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


def _refuse_too_little(
    request: Request,
    recipe: Recipe,
    coded: CodedStart,
    limit: int | None,
    extras: Mapping[str, Tensor],
) -> None:
    """Refuse a budget far below one coded image of each class, before any is chosen.

    Images drawn at random tell about what those that a network would choose take.
    """
    if limit is None or not coded.selector.passes(coded.data):
        return
    drawn = dataclasses.replace(coded, selector=RandomImages())
    layout = Layout(coded.data.classes, 1, coded.data.shape)
    ledger = planned_ledger(
        layout, coded.form, coded.storage, recipe.learned_labels, extras, drawn.bytes_of
    )
    taken = ledger.of(request.budget().count)
    images = sum(one.bytes for one in ledger.entries if one.name.startswith("images."))
    # what is beside them takes what it takes
    if images > _FAR * (limit - (taken - images)):
        beside = ledger.beside(request.budget().count)
        raise BadRequest(
            f"a budget of {limit} bytes holds no coded image of each class; one takes about "
            f"{taken} bytes of all{beside}. Raise --ipc or --bytes, or lower the quality in "
            "--storage"
        )


def _refuse_labels(request: Request, recipe: Recipe) -> None:
    """Refuse a storage for labels where none are learnt."""
    if isinstance(storage_of(request.stored_as), Apart) and not recipe.learned_labels:
        raise BadRequest(
            f"--storage {request.stored_as}: the method {request.chosen.name!r} learns no labels, "
            "so none are stored; leave labels out, or choose one that does, such as frepo"
        )


def _refuse_unequal(request: Request, recipe: Recipe) -> None:
    """Refuse classes of different numbers where form or objective need equal ones."""
    parts = {
        f"in the form {recipe.parametrization.name!r}": recipe.parametrization.takes_unequal,
        f"for the objective {recipe.objective.name!r}": recipe.objective.takes_unequal,
    }
    for part, takes in parts.items():
        if not takes:
            raise BadRequest(
                f"--per-class-budget proportional: {part} every class has the same number of "
                "images; choose a method such as dm, lodm or random, or leave it out"
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
    return learnt_tensors(found)


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


def check_against_data(limit: int | None, layout: Layout, train: LabelledImages) -> None:
    """Refuse a set larger than the data that it is made from."""
    full = len(train) * math.prod(train.shape) * FLOAT32_BYTES
    if limit is not None and limit > full:
        raise BadRequest(
            f"a budget of {limit} bytes is larger than the {len(train)} training images of "
            f"{train.name} themselves ({full} bytes as float32); ask for less"
        )
    rows = layout.rows
    if limit is None and rows > len(train):
        raise BadRequest(
            f"--images-per-class {layout.per_class}: {rows} images are more than the "
            f"{len(train)} training images of {train.name}; ask for less"
        )


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
