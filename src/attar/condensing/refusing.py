"""What a plan refuses once form, objective and sizes are settled."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from torch import Tensor

from attar.budget import FLOAT32_BYTES
from attar.compute import Compute
from attar.condensing.real_start import CodedStart
from attar.condensing.request import Request
from attar.condensing.selecting import Selection
from attar.coresets import RandomImages
from attar.data import LabelledImages
from attar.errors import BadRequest
from attar.methods import Recipe
from attar.networks import Network
from attar.storage import Apart, storage_of
from attar.synthetic import Layout, planned_ledger
from attar.training import CARDS
from attar.training.call_size import check_batches
from attar.training.fitting import with_learnt

# one image of a class takes up to so many times what another does
_FAR = 1.5


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


def refuse_labels(request: Request, recipe: Recipe) -> None:
    """Refuse a storage for labels where none are learnt."""
    if isinstance(storage_of(request.stored_as), Apart) and not recipe.learned_labels:
        raise BadRequest(
            f"--storage {request.stored_as}: the method {request.chosen.name!r} learns no labels, "
            "so none are stored; leave labels out, or choose one that does, such as frepo"
        )


def refuse_unequal(request: Request, recipe: Recipe) -> None:
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


def refuse_too_little(
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


def check_validation(
    request: Request,
    recipe: Recipe,
    selection: Selection,
    layout: Layout,
    network: Network,
    compute: Compute,
    learnt: Mapping[str, Tensor],
) -> None:
    """Refuse validations that train on batches which memory cannot hold."""
    if selection.selecting is None:
        return
    card = with_learnt(CARDS[recipe.card], learnt).drawing(recipe.parametrization.variants(layout))
    if request.minutes is not None:
        # as the validations of a run by the clock are made
        compute = compute.plain()
    check_batches(network, compute, card, layout.rows, "lower --ipc, give --validation 0")
