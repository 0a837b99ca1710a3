"""From a request and data to a plan: every setting concrete, every refusal made."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from attar import compute as computing
from attar.artefact import whitening_tensors
from attar.budget import FLOAT32_BYTES, Ledger
from attar.compute import Compute
from attar.coresets import Selector
from attar.data import SOURCES, LabelledImages, Splits, classes_text
from attar.data.placing import place
from attar.data.reading import Watch
from attar.engine import Run
from attar.errors import BadRequest, unknown
from attar.experts.images import check_images
from attar.experts.store import ExpertStore, open_experts
from attar.networks import Network, make
from attar.objectives import Nested, Objective, Problem
from attar.objectives.base import Trajectories
from attar.recipes import METHODS, Recipe, Task
from attar.request import Request
from attar.rng import Key
from attar.settling import refuse_updates, settings_of, settle
from attar.synthetic import (
    Layout,
    Synthetic,
    planned_ledger,
)

# the smallest class must have this many images before some are held out unasked
_HELD_OUT_FROM = 20
_HELD_OUT = 0.1


@dataclass(frozen=True)
class Plan:
    """Everything that a run depends on.

    Args:
        request: what was asked for.
        source: where the data came from.
        recipe: the method with the user's changes.
        train: the images to condense, without those held out.
        held_out: images that select the iterate; None without selection.
        layout: rows of the set.
        ledger: what it will cost.
        limit: the allowance in bytes; None for a plain count.
        network: to match in.
        compute: device, precision, compilation.
        reading: how the source was read: ``resize``, ``classes``, ``per_class`` and
            ``data_dir``, where given.
        start: the set that the run starts from, where the recipe says ``given``.
        made_by: the command that asks for the same result; None for that of the request.
        provenance: more to tell in the artefact about where it comes from.
        experts: networks trained on the real data, where the objective follows any.
    """

    request: Request
    source: str
    recipe: Recipe
    train: LabelledImages
    held_out: LabelledImages | None
    layout: Layout
    ledger: Ledger
    limit: int | None
    network: Network
    compute: Compute
    reading: Mapping[str, Any] = field(default_factory=dict)
    start: Synthetic | None = None
    made_by: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    experts: ExpertStore | None = None

    @property
    def command(self) -> str:
        """What asks for the same result: a command line, or a call for data from Python."""
        if self.made_by is not None:
            return self.made_by
        reading = self.repeated_reading
        if self.source.partition(":")[0] not in SOURCES:
            return self.request.call(**reading)
        if "classes" in reading:
            reading["classes"] = classes_text(reading["classes"])
        return self.request.command(self.source, **reading)

    @property
    def repeated_reading(self) -> dict[str, Any]:
        """The options of reading that bear on the result, where given."""
        said = {name: self.reading.get(name) for name in ("resize", "classes", "per_class")}
        return {name: value for name, value in said.items() if value is not None}

    def run(self, watch: Watch | None = None, *, blank: bool = False) -> Run:
        """Return the run at its beginning.

        Args:
            watch: told how far the choosing of real images is, where it takes long.
            blank: leave the set empty, to be filled from a checkpoint.

        Raises:
            BadRequest: the objective refuses the problem.
            RunFailed: the training of a network to choose with diverged.
        """
        key = Key(self.request.seed)
        recipe = self.recipe
        synthetic = Synthetic(self.layout, recipe.parametrization, recipe.learned_labels)
        problem = self.problem(self.experts)
        # refused before a network is trained for the start
        recipe.objective.check(problem)
        if self.start is not None:
            synthetic.load_state_dict(self.start.state_dict())
        else:
            self._begin(synthetic, key.fold("start"), watch, blank=blank)
        synthetic.to(self.compute.device)
        return Run(
            synthetic,
            recipe.objective,
            problem,
            recipe.optimisers,
            key,
            self.steps,
            self.request.average,
            recipe.penalty,
        )

    def problem(self, experts: Trajectories | None) -> Problem:
        """Return what the objective may read, with the trajectories that it follows, if any."""
        return Problem(self.train, self.network, self.layout, self.compute, experts=experts)

    def _begin(self, synthetic: Synthetic, key: Key, watch: Watch | None, *, blank: bool) -> None:
        """Fill the set as the recipe says."""
        selector = self.recipe.start
        if selector is None:
            synthetic.images.start_from_noise(key)
        elif not blank:
            synthetic.images.fit(self._real_start(selector, key, watch))
        if synthetic.labels is not None:
            synthetic.labels.fit(self.recipe.first_labels(self.layout))

    @property
    def steps(self) -> int | None:
        """Updates of the whole run; None where time ends it."""
        return self.recipe.iterations if self.request.minutes is None else None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What two runs must share to have the same result, step by step."""
        recipe = self.recipe
        identity = {
            "method": self.request.method,
            "seed": self.request.seed,
            "objective": _of_objective(recipe.objective),
            "parametrization": recipe.parametrization.describe(),
            "optimisers": {role: opt.describe() for role, opt in recipe.optimisers.items()},
            "scheduled_steps": self.steps if self._is_scheduled() else None,
            "average": self.request.average,
            "init": _described(recipe.init, recipe.start),
            "network": self.network.name,
            "images_per_class": self.layout.per_class,
            "held_out": 0 if self.held_out is None else len(self.held_out),
            "storage": self.request.storage,
            "validations": self.request.validations,
            "card": recipe.card,
            "data": fingerprint(self.train),
            "compute": self.compute.describe(),
        }
        if self.experts is not None:
            identity["experts"] = self.experts.digest
        if recipe.penalty is not None:
            identity["penalty"] = {"name": recipe.penalty.name, **settings_of(recipe.penalty)}
        return identity

    def _is_scheduled(self) -> bool:
        return any(opt.schedule != "constant" for opt in self.recipe.optimisers.values())

    def _real_start(self, selector: Selector, key: Key, watch: Watch | None) -> Tensor:
        """Return network inputs of distinct real images, class by class.

        A class with fewer images than rows gives them again from the first.
        """
        rows = self.layout.per_class
        found = selector.choose(self.train, rows, self.network, self.compute, key, watch)
        chosen = [index.repeat(math.ceil(rows / len(index)))[:rows] for index in found]
        return self.train.take(torch.cat(chosen)).cpu()


def make_plan(
    request: Request,
    splits: Splits,
    reading: Mapping[str, Any] | None = None,
    *,
    experts_later: bool = False,
) -> Plan:
    """Settle every setting of a request for these data.

    Args:
        request: what is asked for.
        splits: the data.
        reading: how they were read.
        experts_later: do not look for the expert trajectories that the method follows; for a plan
            that is looked at and not carried out.

    Raises:
        BadRequest: anything about the request that cannot be carried out.
    """
    if request.method not in METHODS:
        raise unknown("method", request.method, METHODS)
    refuse_updates(request)
    train = splits.train
    budget = request.budget()
    limit = budget.limit(train.classes, train.shape)
    full = train.classes * math.prod(train.shape) * FLOAT32_BYTES

    def published(ipc: int) -> Recipe:
        task = Task(train.name, max(1, ipc), train.shape, train.classes)
        return settle(METHODS[request.method].recipe(task), request)

    if limit is not None:
        recipe = published(limit // full)
    else:
        # a plain count says what memory it takes only once the form is known
        rows = Layout(train.classes, budget.images_per_class or 1, train.shape)
        form = published(1).parametrization
        recipe = published(planned_ledger(rows, form, "float32").paper // full)
        # a larger memory may have another form, and then takes more still
        recipe = published(planned_ledger(rows, recipe.parametrization, "float32").paper // full)
    channels, height, width = train.shape
    network = make(recipe.network, channels, (height, width), train.classes)
    recipe = dataclasses.replace(recipe, network=network.name)
    extras = whitening_tensors(train.preprocessing)

    def cost(images: int) -> Ledger:
        layout = Layout(train.classes, images, train.shape)
        return planned_ledger(
            layout, recipe.parametrization, request.storage, recipe.learned_labels, extras
        )

    layout = Layout(train.classes, budget.images(train.classes, train.shape, cost), train.shape)
    if request.nested and layout.per_class < 2:
        raise BadRequest(
            "--nested: with one image per class there is no smaller set to hold; ask for two or "
            "more, or leave it out"
        )
    experts = None if experts_later else _experts(recipe.objective, request, splits, network)
    kept, held_out = hold_out(request, train)
    check_against_data(limit, layout, kept)
    compute = computing.choose(
        request.device,
        request.precision,
        request.compile,
        pixels=sent_pixels(recipe, layout, kept, request),
        chunk=request.chunk,
    )
    return Plan(
        request,
        splits.source,
        recipe,
        place(kept, compute),
        held_out,
        layout,
        cost(layout.per_class),
        limit,
        network,
        compute,
        dict(reading or {}),
        experts=experts,
    )


def _experts(
    objective: Objective, request: Request, splits: Splits, network: Network
) -> ExpertStore | None:
    """Return the expert trajectories that the objective follows, if any."""
    if not objective.follows_experts:
        if request.experts is not None:
            raise BadRequest(
                f"--experts {request.experts}: method {request.method!r} follows no expert "
                "trajectories; leave it out, or choose one that does, such as --method mtt"
            )
        return None
    if request.experts is None:
        whitening = splits.train.preprocessing.whitening
        zca = "" if whitening is None else f" --zca {whitening.kind}"
        raise BadRequest(
            f"--experts is missing: method {request.method!r} follows the trajectories of networks "
            f"trained on the same images. Train some with 'attar experts {splits.source}{zca} "
            f"--network {network.name} -o experts' and the same options of reading, then give "
            "--experts experts"
        )
    experts = open_experts(request.experts, network, splits.train.preprocessing)
    check_images(experts.folder, experts.header, splits.train)
    return experts


def hold_out(
    request: Request, train: LabelledImages
) -> tuple[LabelledImages, LabelledImages | None]:
    """Return the images to condense and those that select the iterate, if any."""
    share = request.validation
    if share is None:
        if METHODS[request.method].coreset:
            return train, None
        smallest = min(len(index) for index in train.indices_of_class)
        share = _HELD_OUT if smallest >= _HELD_OUT_FROM else 0.0
    if share == 0:
        return train, None
    return train.split(share, Key(request.seed).fold("held out"))


def check_against_data(limit: int | None, layout: Layout, train: LabelledImages) -> None:
    """Refuse a set larger than the data that it is made from."""
    full = len(train) * math.prod(train.shape) * FLOAT32_BYTES
    if limit is not None and limit > full:
        raise BadRequest(
            f"a budget of {limit} bytes is larger than the {len(train)} training images of "
            f"{train.name} themselves ({full} bytes as float32); ask for less"
        )
    rows = layout.classes * layout.per_class
    if limit is None and rows > len(train):
        raise BadRequest(
            f"--images-per-class {layout.per_class}: {rows} images are more than the "
            f"{len(train)} training images of {train.name}; ask for less"
        )


def sent_pixels(recipe: Recipe, layout: Layout, train: LabelledImages, request: Request) -> float:
    """Estimate the pixels that a run sends through networks, to judge whether compiling pays."""
    if request.minutes is not None:
        return float("inf") if request.minutes >= 3 else 0.0
    passes = float(recipe.iterations) * recipe.objective.passes(layout, train)
    if recipe.start is not None:
        passes += recipe.start.passes(train)
    return passes * math.prod(layout.shape[1:])


def fingerprint(data: LabelledImages) -> str:
    """Return a digest of images, labels and preprocessing."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(
        repr((data.images.shape, data.preprocessing.mean, data.preprocessing.std)).encode()
    )
    for part in data.images.split(4096):
        digest.update(part.cpu().contiguous().numpy().data)
    digest.update(data.labels.cpu().contiguous().numpy().data)
    if data.targets is not None:
        digest.update(data.targets.cpu().contiguous().numpy().data)
    if data.prepared:
        digest.update(b"prepared")
    digest.update(getattr(data.preprocessing.whitening, "kind", "none").encode())
    for tensor in whitening_tensors(data.preprocessing).values():
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _of_objective(objective: Objective) -> dict[str, Any]:
    """Return name and settings; those of subsets are told beside those of what matches them."""
    if isinstance(objective, Nested):
        return {**_of_objective(objective.base), objective.name: settings_of(objective)}
    return {"name": objective.name, **settings_of(objective)}


def _described(init: str, selector: Selector | None) -> str | dict[str, Any]:
    settings = settings_of(selector) if selector is not None else {}
    return {"name": init, **settings} if settings else init
