"""A likelihood ratio attack on a condensed set, by shadow sets of the same method.

Source: Carlini et al., Membership Inference Attacks From First Principles, 2022: the online
attack with one variance for all images, as its authors do where there are few shadow models.

Shape letters: S shadows, N images of the pool, K classes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from attar.applications.auditing.observing import Observer
from attar.artefact.artefact import Artefact
from attar.condensing.condense import condense
from attar.condensing.overrides import settings_of
from attar.condensing.request import INITS, Request
from attar.data import LabelledImages, Splits
from attar.errors import BadRequest
from attar.methods import METHODS, Task
from attar.networks import OWN
from attar.rng import Key
from attar.teachers.finding import is_on_disk

# a variance is this at least, where a score is the same for all
_LEAST = 1e-6


def shadow_request(
    artefact: Artefact, minutes: float | None, iterations: int | None, **compute: str
) -> Request:
    """Return what makes a set as an artefact was made.

    Of an objective that is a sum, or that nested sets are matched by, settings are the method's.

    Args:
        artefact: the one that is attacked.
        minutes: for a shadow set; a method that trains nothing takes what it takes.
        iterations: in place of minutes.
        **compute: device and precision.

    Raises:
        BadRequest: its header does not say how, or names what cannot be made from images alone.
    """
    header = artefact.header
    settings, budget = header.settings, header.budget
    advice = "leave --shadows out: the nearest images need none"
    if header.method not in METHODS:
        raise BadRequest(
            f"--shadows: the set was made by {header.method!r}, which is no method of Attar, so no "
            f"shadow sets can be made; {advice}"
        )
    if "iterations" not in settings or _follows_experts(artefact):
        raise BadRequest(
            f"--shadows: a set of {header.method!r} cannot be made from images alone (it follows "
            f"experts, or is made of another set); {advice}"
        )
    network = str(settings.get("network", OWN))
    if network.partition(":")[0] == OWN:
        raise BadRequest(f"--shadows: the set was made with a network that it names only; {advice}")
    trains = trains_updates(artefact)
    init = settings.get("init")
    asked: dict[str, Any] = {
        "method": header.method,
        "ipc": budget.get("ipc"),
        "max_bytes": budget.get("bytes"),
        "synthetic_per_class": budget.get("images_per_class"),
        "count": budget.get("count") if budget.get("bytes") else None,
        "storage": header.storage,
        "network": network,
        "form": artefact.synthetic.parametrization,
        "validation": 0.0,
    }
    if not trains:
        asked |= _choosing(artefact, advice)
    if trains:
        asked |= _changes(artefact, iterations is not None)
        asked |= {"init": init if init in INITS else None, "iterations": iterations}
        asked |= {"minutes": minutes if iterations is None else None}
    return Request(**asked, **compute)  # pyright: ignore[reportArgumentType]


def _changes(artefact: Artefact, counted: bool) -> dict[str, Any]:
    """Return in what a set that was trained differs from what its method makes unasked.

    Args:
        artefact: the set.
        counted: whether updates are; no learning rate falls over minutes.
    """
    header = artefact.header
    method, settings = METHODS[header.method], header.settings
    if method.choose:
        return {}
    recipe = method.recipe(_task(artefact))
    told = dict(settings["objective"])
    changes: dict[str, Any] = {}
    form = artefact.synthetic.parametrization
    # a form that is bounded is not to be bounded once more
    if settings.get("bounded") and not recipe.bounded and form.name != "bounded":
        changes["bounded"] = True
    if told.pop("name") == recipe.objective.name:
        own = settings_of(recipe.objective)
        changes["settings"] = {n: v for n, v in told.items() if n in own and v != own[n]}
    if settings["average"] != recipe.average:
        changes["average"] = settings["average"]
    usual, images = recipe.leading, settings["optimisers"].get("images")
    if usual is not None and images is not None:
        names = ["lr", "momentum", "kind", *(["schedule"] if counted else [])]
        differing = {name: images[name] for name in names if images[name] != getattr(usual, name)}
        if "kind" in differing:
            differing["optimiser"] = differing.pop("kind")
        changes |= differing
    return changes


def _choosing(artefact: Artefact, advice: str) -> dict[str, Any]:
    """Return how the images of a set of real ones were chosen, and which teacher it carries.

    Raises:
        BadRequest: by a teacher that was trained before, and has seen what a half leaves out.
    """
    settings = artefact.header.settings
    told = settings.get("init")
    own = dict(told) if isinstance(told, dict) else {}
    own.pop("name", None)
    teacher = str(own.pop("teacher", ""))
    if is_on_disk(teacher):
        raise BadRequest(
            f"--shadows: the images were chosen by {teacher}, a teacher from disk, which has seen "
            f"the images that a shadow set would be made without; {advice}"
        )
    carried = {"teacher_storage": settings.get("teacher_storage", "none")}
    return {"settings": own, "teacher": teacher or None, **carried}


def trains_updates(artefact: Artefact) -> bool:
    """Return whether making the set took updates, and not a choice among real images alone."""
    settings = artefact.header.settings
    return bool(settings.get("iterations") or settings.get("minutes"))


def _follows_experts(artefact: Artefact) -> bool:
    method = METHODS[artefact.header.method]
    return not method.choose and method.recipe(_task(artefact)).objective.follows_experts


def _task(artefact: Artefact) -> Task:
    header = artefact.header
    dataset = str(header.provenance.get("dataset", "data"))
    return Task(dataset, len(header.class_names), header.shape, header.images_per_class)


def halves(pool: LabelledImages, count: int, key: Key) -> Tensor:
    """Return S×N: which images each shadow set is made from, every one in half of them.

    Shadows come in pairs, the second of which takes of every class what the first does not.
    """
    taken = torch.zeros(count, len(pool), dtype=torch.bool)
    for pair in range(0, count, 2):
        for label, own in enumerate(pool.indices_of_class):
            order = torch.randperm(len(own), generator=key.fold(pair, label).generator())
            # of an odd number, the larger half goes to the first and the second by turns
            half = (len(own) + (pair // 2) % 2) // 2
            taken[pair, own[order[:half]]] = True
        taken[pair + 1] = ~taken[pair]
    return taken


def likelihood_ratios(
    artefact: Artefact,
    pool: LabelledImages,
    request: Request,
    observer: Observer,
    count: int,
    key: Key,
    said: Callable[[str], None],
) -> Tensor:
    """Return N log likelihood ratios, higher where an image is more likely a member.

    Args:
        artefact: the set under attack.
        pool: members and others; half of them makes each shadow set.
        request: how shadow sets are made.
        observer: trains networks on them.
        count: S, even.
        key: of the halves, the shadow sets and the networks.
        said: told how it goes.

    Raises:
        BadRequest: a half holds too few images for a set as large.
    """
    own = observer.confidence(artefact, pool, key.fold("own"))
    taken = halves(pool, count, key.fold("halves"))
    seen, began = [], time.perf_counter()
    for shadow in range(count):
        part = pool.subset(taken[shadow].nonzero().flatten())
        seed = key.fold("shadow", shadow).integer() % 2**31
        splits = Splits(part, None, source=pool.name)
        made = condense(splits, dataclasses.replace(request, seed=seed))
        seen.append(observer.confidence(made, pool, key.fold("network", shadow)))
        each = (time.perf_counter() - began) / (shadow + 1)
        left = each * (count - shadow - 1) / 60
        said(f"shadow set {shadow + 1} of {count}; about {left:.1f} minutes left")
    return ratios(own, torch.stack(seen), taken)


def ratios(own: Tensor, seen: Tensor, taken: Tensor) -> Tensor:
    """Return the log likelihood ratios of N confidences under two normal distributions.

    Args:
        own: N, of the network trained on the set.
        seen: S×N, of those trained on the shadow sets.
        taken: S×N, whether a shadow set was made from the image.
    """
    total = torch.zeros_like(own)
    for sign, chosen in ((1, taken), (-1, ~taken)):
        counts = chosen.sum(dim=0)
        mean = (seen * chosen).sum(dim=0) / counts
        away = ((seen - mean) * chosen).square().sum()
        # degrees of freedom: a mean was fitted to each image; with one shadow each none is left
        free = max(int((counts - 1).sum()), 1)
        variance = (away / free).clamp_min(_LEAST) if int(counts.max()) > 1 else own.var()
        total += sign * (-0.5 * (own - mean).square() / variance - 0.5 * variance.log())
    return total
