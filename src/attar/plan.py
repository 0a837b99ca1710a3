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
from attar.data import SOURCES, LabelledImages, Splits, classes_text
from attar.engine import Run
from attar.errors import BadRequest, unknown
from attar.evaluation import CARDS
from attar.networks import Network, make
from attar.objectives import Objective, Problem
from attar.recipes import METHODS, Recipe, Task
from attar.request import Request
from attar.rng import Key
from attar.synthetic import Layout, LowRank, Parametrization, Synthetic, planned_ledger

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

    @property
    def command(self) -> str:
        """What asks for the same result: a command line, or a call for data from Python."""
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

    def run(self) -> Run:
        """Return the run at its beginning."""
        key = Key(self.request.seed)
        synthetic = Synthetic(self.layout, self.recipe.parametrization, self.recipe.learned_labels)
        if self.recipe.init == "real":
            synthetic.images.fit(self._real_start(key.fold("start")))
        else:
            synthetic.images.start_from_noise(key.fold("start"))
        synthetic.to(self.compute.device)
        problem = Problem(self.train, self.network, self.layout, self.compute)
        return Run(
            synthetic,
            self.recipe.objective,
            problem,
            self.recipe.optimisers,
            key,
            self.steps,
            self.request.average,
        )

    @property
    def steps(self) -> int | None:
        """Updates of the whole run; None where time ends it."""
        return self.recipe.iterations if self.request.minutes is None else None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What two runs must share to have the same result, step by step."""
        recipe = self.recipe
        return {
            "method": self.request.method,
            "seed": self.request.seed,
            "objective": {"name": recipe.objective.name, **_settings(recipe.objective)},
            "parametrization": recipe.parametrization.describe(),
            "optimisers": {role: opt.describe() for role, opt in recipe.optimisers.items()},
            "scheduled_steps": self.steps if self._is_scheduled() else None,
            "average": self.request.average,
            "init": recipe.init,
            "network": self.network.name,
            "images_per_class": self.layout.per_class,
            "held_out": 0 if self.held_out is None else len(self.held_out),
            "storage": self.request.storage,
            "validations": self.request.validations,
            "card": recipe.card,
            "data": fingerprint(self.train),
            "compute": self.compute.describe(),
        }

    def _is_scheduled(self) -> bool:
        return any(opt.schedule != "constant" for opt in self.recipe.optimisers.values())

    def _real_start(self, key: Key) -> Tensor:
        """Return network inputs of distinct real images, class by class.

        A class with fewer images than rows gives them again from the first.
        """
        chosen = []
        for label in range(self.layout.classes):
            index = self.train.draw(label, self.layout.per_class, key.fold(label))
            again = math.ceil(self.layout.per_class / len(index))
            chosen.append(index.repeat(again)[: self.layout.per_class])
        return self.train.take(torch.cat(chosen)).cpu()


def make_plan(request: Request, splits: Splits, reading: Mapping[str, Any] | None = None) -> Plan:
    """Settle every setting of a request for these data.

    Raises:
        BadRequest: anything about the request that cannot be carried out.
    """
    if request.method not in METHODS:
        raise unknown("method", request.method, METHODS)
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
    kept, held_out = hold_out(request, train)
    check_against_data(limit, layout, kept)
    iterations = recipe.iterations if request.minutes is None else None
    compute = computing.choose(
        request.device,
        request.precision,
        request.compile,
        pixels=_pixels(recipe.objective, layout, kept, iterations, request.minutes),
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
    )


def settle(recipe: Recipe, request: Request) -> Recipe:
    """Return the recipe with the user's changes in place of its own settings."""
    changes: dict[str, Any] = {"parametrization": _with_rank(recipe.parametrization, request)}
    for name in ("init", "iterations", "network", "card"):
        if getattr(request, name) is not None:
            changes[name] = getattr(request, name)
    if request.card is not None and request.card not in CARDS:
        raise unknown("card", request.card, CARDS)
    chosen = {"lr": request.lr, "momentum": request.momentum, "kind": request.optimiser}
    chosen["schedule"] = request.schedule
    chosen = {name: value for name, value in chosen.items() if value is not None}
    images = dataclasses.replace(recipe.optimisers["images"], **chosen)
    changes["optimisers"] = {**recipe.optimisers, "images": images}
    changes["objective"] = with_settings(recipe.objective, request.settings())
    return dataclasses.replace(recipe, **changes)


def with_settings(objective: Objective, given: Mapping[str, str]) -> Objective:
    """Return the objective with settings read from text.

    Raises:
        BadRequest: an unknown setting, or a value of the wrong kind.
    """
    known = {item.name: item for item in dataclasses.fields(objective)}  # pyright: ignore[reportArgumentType]
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in known:
            raise unknown(f"setting (--set) of {objective.name}", name, known)
        kind = type(getattr(objective, name))
        try:
            values[name] = _TRUTH[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError):
            raise BadRequest(f"--set {name}={text}: {_KINDS[kind]} is needed") from None
    return dataclasses.replace(objective, **values)  # pyright: ignore[reportArgumentType]


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _with_rank(parametrization: Parametrization, request: Request) -> Parametrization:
    if request.rank is None:
        return parametrization
    if not isinstance(parametrization, LowRank):
        raise BadRequest(
            f"--rank {request.rank}: method {request.method!r} stores no factors; choose a "
            "low-rank method such as lodm"
        )
    return dataclasses.replace(parametrization, rank=request.rank)


def hold_out(
    request: Request, train: LabelledImages
) -> tuple[LabelledImages, LabelledImages | None]:
    """Return the images to condense and those that select the iterate, if any."""
    share = request.validation
    if share is None:
        if request.method == "random":
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


def place(train: LabelledImages, compute: Compute) -> LabelledImages:
    """Put the images on the device when they fit into half of its free memory."""
    if compute.device.type != "cuda":
        return train
    free, _ = torch.cuda.mem_get_info(compute.device)
    size = train.images.numel() * train.images.element_size()
    return train.to(compute.device) if size * 2 < free else train


def _pixels(
    objective: Objective,
    layout: Layout,
    train: LabelledImages,
    iterations: int | None,
    minutes: float | None,
) -> float:
    """Estimate the pixels that a run sends through networks, to judge whether compiling pays."""
    if iterations is None:
        return float("inf") if (minutes or 0) >= 3 else 0.0
    return float(iterations) * objective.passes(layout, train) * math.prod(layout.shape[1:])


def fingerprint(data: LabelledImages) -> str:
    """Return a digest of images, labels and preprocessing."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(
        repr((data.images.shape, data.preprocessing.mean, data.preprocessing.std)).encode()
    )
    for part in data.images.split(4096):
        digest.update(part.cpu().contiguous().numpy().data)
    digest.update(data.labels.cpu().contiguous().numpy().data)
    digest.update(getattr(data.preprocessing.whitening, "kind", "none").encode())
    for tensor in whitening_tensors(data.preprocessing).values():
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _settings(objective: Objective) -> dict[str, Any]:
    return dataclasses.asdict(objective)  # pyright: ignore[reportArgumentType]
