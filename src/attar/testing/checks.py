"""One call for each kind of part: does it hold what everything else relies on?"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from attar.condensing.suiting import plain
from attar.coresets import Selector
from attar.data import LabelledImages
from attar.errors import BadRequest
from attar.networks import Network, Own, make_for
from attar.objectives import Objective, Problem
from attar.registry import Registry
from attar.rng import Key
from attar.shapes import Shape, sides
from attar.synthetic import (
    PARAMETRIZATIONS,
    Layout,
    LowRank,
    Parametrization,
    Pixels,
    Synthetic,
    from_description,
    planned_ledger,
)
from attar.testing.conformance import NotConforming, Outcome, check_combination, require
from attar.testing.counterparts import NETWORK_OF, NETWORKS, OBJECTIVES, SLIMMERS, all_forms
from attar.testing.tiny import COMPUTE, prepared_data, tiny_data, tiny_problem

_IMAGES = 4


def check_objective(
    objective: Objective,
    *,
    forms: Iterable[Parametrization] | None = None,
    lowers: bool = True,
    learned_labels: Sequence[bool] = (False, True),
) -> list[Outcome]:
    """Run an objective with every form, labels fixed and learnt, and with every network.

    See `check_combination` for what has to hold.

    Args:
        objective: with settings for few images: the data have 9, 14 and 3 of three classes,
            1×8×8 pixels each, and the set has two of each.
        forms: to run it with; all of Attar, and low-rank factors of each, where left out.
        lowers: whether its loss has to fall; False where its gradients are not those of the loss.
        learned_labels: whether labels are fixed, learnt, or both one after another.

    Returns:
        What became of each combination: it held, or was refused for a reason.

    Raises:
        NotConforming: something does not hold, or everything is refused.

    Example:
        >>> from attar.objectives import DistributionMatching
        >>> found = check_objective(DistributionMatching(batch_real=5), learned_labels=[False])
        >>> [one.what for one in found if one.refused]
        []
    """
    what = _named(objective, Objective, "objective")
    prepared, own = objective.name in SLIMMERS, NETWORK_OF.get(objective.name, NETWORKS[0])
    found = [
        check_combination(
            objective, form, _problem(prepared, own), learned_labels=learned, lowers=lowers
        )
        for form in (all_forms().values() if forms is None else forms)
        for learned in learned_labels
    ]
    found += [
        check_combination(
            objective, Pixels(), _problem(prepared, network), learned_labels=False, lowers=lowers
        )
        for network in NETWORKS[1:]
    ]
    return _some(found, what)


def check_form(
    form: Parametrization, *, objectives: Mapping[str, Objective] | None = None
) -> list[Outcome]:
    """Run every objective on sets in a form, and on its low-rank factors, labels fixed and learnt.

    It must also be registered, so that its artefacts load, be rebuilt from its description as
    JSON, count the values that it stores, and be fitted to given images.

    Args:
        form: for images of 1×8×8, two of each of three classes.
        objectives: to run it with, by any names; those of Attar where left out.

    Returns:
        What became of each combination: it held, or was refused for a reason.

    Raises:
        NotConforming: something does not hold, or everything is refused.
    """
    what = _named(form, Parametrization, "form")
    _check_known(form, PARAMETRIZATIONS, what)
    rebuilt = from_description(json.loads(json.dumps(form.describe())))
    require(rebuilt == form, what, f"from its description comes {rebuilt!r}, which differs")
    _check_storage(form, what)
    forms = [form]
    if not isinstance(form, LowRank):
        forms.append(LowRank(1, form))
    found = [
        check_combination(
            objective,
            own,
            _problem(name in SLIMMERS, NETWORK_OF.get(name, NETWORKS[0])),
            learned_labels=learned,
        )
        for own in forms
        for name, objective in (objectives or OBJECTIVES).items()
        for learned in (False, True)
    ]
    return _some(found, what)


def check_network(
    network: str | Network | Own,
    shape: Shape = (1, 8, 8),
    classes: int = 3,
    *,
    objectives: Mapping[str, Objective] | None = None,
) -> list[Outcome]:
    """Draw a network, and run every objective in it.

    The same key draws the same network; it gives finite scores and features, which depend on the
    images.

    Args:
        network: a name, a module or a function, as `attar.condense` takes them.
        shape: C, H, W of images; D of vectors, or that of any other rows.
        classes: number of classes.
        objectives: to run in it, by any names; those of Attar where left out.

    Returns:
        What became of each objective: it held, or was refused for a reason.

    Raises:
        BadRequest: it is no network for such images; says what it lacks.
        NotConforming: something does not hold, or every objective is refused.
    """
    built = make_for(network, shape, classes)
    what = f"network {built.name}"
    _check_drawing(built, what)
    data = tiny_data(shape[0], tuple(3 + 2 * label for label in range(classes)), sides(shape))
    layout = Layout(classes, 2, data.shape)

    def problem(prepared: bool) -> Problem:
        own = prepared_data(data) if prepared else data
        base = tiny_problem(own, network=built)
        return dataclasses.replace(base, layout=layout)

    found = [
        check_combination(
            objective if data.modality.augments else plain(objective),
            Pixels(),
            problem(name in SLIMMERS),
        )
        for name, objective in (objectives or OBJECTIVES).items()
    ]
    return _some(found, what)


def check_selector(selector: Selector) -> list[Outcome]:
    """Choose real images, few and more than there are, with every network.

    Each class gets distinct images of its own, as many as are wanted or the whole class; the same
    key gives the same, and the data stay as they are.

    Args:
        selector: with settings for few images, such as two epochs.

    Returns:
        What became of each network and number: it held, or was refused for a reason.

    Raises:
        NotConforming: something does not hold, or everything is refused.
    """
    what = _named(selector, Selector, "selector")
    found = []
    for network in NETWORKS:
        for sizes in ((2, 2, 2), (3, 1, 2), (100, 100, 100)):
            told = f"{what}, {sizes} images, {network}"
            try:
                _check_choice(selector, sizes, network, told)
            except BadRequest as refusal:
                require(bool(str(refusal).strip()), told, "it is refused without a reason")
                found.append(Outcome(told, str(refusal)))
            else:
                found.append(Outcome(told))
    passes = selector.passes(tiny_data())
    require(math.isfinite(passes) and passes >= 0, what, f"passes gives {passes!r}")
    return _some(found, what)


def _named(part: Any, kind: type, word: str) -> str:
    """Return how messages call a part, once it is known to be a value of its kind with a name."""
    if not isinstance(part, kind):
        raise NotConforming(f"{part!r} is no {word}: give a value of a subclass of {kind.__name__}")
    name = getattr(part, "name", None)
    what = f"{word} {name!r}"
    require(isinstance(name, str) and name.isidentifier(), what, "its class has no name")
    frozen = dataclasses.is_dataclass(part) and type(part).__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]
    require(frozen, what, "it is no frozen dataclass, so its settings could not be told or kept")
    return what


def _check_known(form: Parametrization, registry: Registry[Any], what: str) -> None:
    known = registry.get(form.name)
    call = f"attar.register({type(form).__name__})"
    require(known is not None, what, f"it is not registered, so artefacts would not load: {call}")
    require(known is type(form), what, "another form is registered under its name")


def _check_storage(form: Parametrization, what: str) -> None:
    """Check what a form counts, and that it is fitted to given images."""
    data = tiny_data()
    layout = Layout(data.classes, 2, data.shape)
    synthetic = Synthetic(layout, form)
    planned, counted = planned_ledger(layout, form, "float32"), synthetic.ledger()
    for name in ("paper", "all"):
        said, stored = getattr(planned, name), getattr(counted, name)
        told = f"it says that it takes {said} bytes ({name}), and stores {stored}"
        require(said == stored, what, told)
    rows = torch.cat([own[:2] for own in data.indices_of_class])
    synthetic.images.fit(data.take(rows))
    with torch.no_grad():
        images, _ = synthetic(torch.arange(len(layout)))
    require(images.shape == (len(layout), *data.shape), what, "its rows are of another shape")
    require(bool(images.isfinite().all()), what, "fitted to images, its rows are not finite")


def _check_drawing(network: Network, what: str) -> None:
    first, again = (network.draw(Key(1)).state_dict() for _ in range(2))
    equal = all(torch.equal(first[name], again[name]) for name in first)
    require(equal, what, "one key draws two networks")
    module: Any = network.draw(Key(1))
    images = torch.randn(_IMAGES, network.channels, *network.size, generator=Key(0).generator())
    with torch.no_grad():
        scores, features = module(images), module.embed(images)
    require(scores.shape == (_IMAGES, network.classes), what, "its scores are not B×K")
    require(features.ndim == 2 and len(features) == _IMAGES, what, "its features are not B×F")
    for name, values in (("scores", scores), ("features", features)):
        require(bool(values.isfinite().all()), what, f"its {name} are not finite")
    require(bool((scores != scores[:1]).any()), what, "its scores do not depend on the images")


def _check_choice(selector: Selector, sizes: Sequence[int], network: str, what: str) -> None:
    data = tiny_data()
    every = torch.arange(len(data))
    before = data.take(every)
    built = make_for(network, data.shape, data.classes)

    def chosen() -> list[Tensor]:
        return selector.choose(data, sizes, built, COMPUTE, Key(0))

    found = chosen()
    require(len(found) == data.classes, what, f"it chooses for {len(found)} classes")
    for label, (own, size) in enumerate(zip(found, sizes, strict=True)):
        _check_class(own, data, label, size, what)
    again = all(torch.equal(one, other) for one, other in zip(found, chosen(), strict=True))
    require(again, what, "one key gives two choices")
    require(torch.equal(before, data.take(every)), what, "it changes the data")


def _check_class(own: Tensor, data: LabelledImages, label: int, size: int, what: str) -> None:
    there = data.indices_of_class[label]
    require(own.dtype == torch.int64 and own.device.type == "cpu", what, "not int64 on the CPU")
    wanted = min(size, len(there))
    require(len(own) == wanted, what, f"{len(own)} images of class {label}, not {wanted}")
    require(len(own.unique()) == len(own), what, f"an image of class {label} is chosen twice")
    require(bool(torch.isin(own, there).all()), what, f"an image is not of its class {label}")


def _problem(prepared: bool, network: str = NETWORKS[0]) -> Problem:
    return tiny_problem(prepared_data() if prepared else None, network=network)


def _some(found: Iterable[Outcome], what: str) -> list[Outcome]:
    """Return outcomes, once one of them at least is not a refusal."""
    outcomes = list(found)
    reasons = dict.fromkeys(one.refused for one in outcomes)
    if all(reasons):
        raise NotConforming(f"{what}: everything is refused: {'; '.join(reasons)}")
    return outcomes
