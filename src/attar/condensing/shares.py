"""How a run is shared out over workers: by classes, or each step among all, and which runs can be.

Where classes are independent, a worker updates some of them as one process updates all: what is
drawn follows from keys, and images go through networks in calls of the same shapes, so the values
are the same bit for bit. Else every worker holds the whole run, does a part of each matching and
exchanges the gradients, where the objective says into how many parts a matching falls.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from attar.condensing.overrides import refuse_idle
from attar.condensing.plan import Plan
from attar.errors import BadRequest
from attar.sgd import LANES
from attar.synthetic import places_apart
from attar.text import counted

_METHODS = (
    "those that can are dm, lodm, fastdm and fastlodm by classes, and dc, dsa, idc, frepo, mtt, "
    "esp, haba, remember-the-past, cafe, kip, rfad, sre2l, their low-rank forms, kfs and dd by an "
    "exchange of gradients"
)
# a synthetic image goes forward and back
_PASSES = 3


@dataclass(frozen=True)
class Share:
    """What one worker does.

    Args:
        number: of the worker, from 1.
        count: of workers.
        labels: of its classes, which follow each other; None where it does a part of every step.
    """

    number: int
    count: int
    labels: range | None

    def __str__(self) -> str:
        return f"worker {self.number} of {self.count} ({self.what})"

    @property
    def what(self) -> str:
        """What it is, in words."""
        if self.labels is None:
            return "a part of every step"
        first, last = self.labels[0], self.labels[-1]
        return f"class {first}" if first == last else f"classes {first} to {last}"


def shares_of(plan: Plan, count: int, said: str = "") -> list[Share]:
    """Return what each of ``count`` workers does, about as much work for each.

    Args:
        plan: of the run.
        count: of workers.
        said: what asks for the workers, for messages; left out, the option does.

    Raises:
        BadRequest: the run makes no updates, or cannot be shared out over so many.
    """
    said = said or f"--workers {count}"
    recipe, method = plan.recipe, plan.request.chosen
    if recipe.iterations == 0 and plan.request.minutes is None:
        raise BadRequest(
            f"{said}: the method {method.name!r} makes no updates, and these are what workers "
            "share; leave it out"
        )
    if not recipe.objective.takes_slices:
        return _parts(plan, count, said)
    try:
        return _slices(plan, count, said)
    except BadRequest:
        if count > recipe.objective.parts(plan.problem(None)):
            raise
        return _parts(plan, count, said)


def _parts(plan: Plan, count: int, said: str) -> list[Share]:
    """Return shares of every step."""
    objective = plan.recipe.objective
    try:
        most = objective.parts(plan.problem(None))
    except BadRequest as error:
        raise BadRequest(f"{said}: {error.text}") from error
    if not most:
        raise BadRequest(
            f"{said}: a step of the objective {objective.name!r} needs all classes from its "
            f"beginning to its end, so workers cannot share it; {_METHODS}"
        )
    if plan.request.ray is not None:
        raise BadRequest(
            f"--ray {plan.request.ray}: workers of a cluster share classes and exchange nothing, "
            f"and --method {plan.request.chosen.name} needs an exchange in every step; leave --ray "
            "out, or start the command with torchrun"
        )
    if count > most:
        raise BadRequest(
            f"{said}: a step of the objective {objective.name!r} falls into {counted(most, 'part')}"
            f" here, of which a worker needs one at least; ask for {most} or fewer"
        )
    return [Share(number, count, None) for number in range(1, count + 1)]


def _slices(plan: Plan, count: int, said: str) -> list[Share]:
    """Return shares of the classes."""
    classes = plan.layout.classes
    refuse_idle(count, classes, said)
    _refuse_dependent(plan, said)
    places = _places(plan)
    if count > len(places) + 1:
        values = math.prod(plan.layout.shape)
        most = f"by {len(places) + 1} workers at most" if places else "by none"
        raise BadRequest(
            f"{said}: images of {values} values can be shared out {most} without other rounding at "
            f"the ends; {'ask for fewer' if places else 'leave it out'}"
        )
    ends = _ends(_work(plan), places, count)
    found = [range(begin, end) for begin, end in zip([0, *ends], [*ends, classes], strict=True)]
    for labels in found:
        _refuse_slice(plan, labels, said)
    return [Share(number, count, labels) for number, labels in enumerate(found, 1)]


def _refuse_dependent(plan: Plan, said: str) -> None:
    """Refuse a run of which every update depends on all classes."""
    recipe = plan.recipe
    _refuse_slice(plan, range(1), said)
    if recipe.penalty is not None or plan.rounds:
        what = "its penalty" if recipe.penalty is not None else f"--storage {plan.request.storage}"
        raise BadRequest(
            f"{said}: {what} looks at the stored values of all classes together; leave it out"
        )
    for role, one in recipe.optimisers.items():
        if one is not None and (one.kind == "lamb" or one.clip is not None):
            what = "LAMB" if one.kind == "lamb" else "a clip of the gradient"
            raise BadRequest(
                f"{said}: the {role} are updated by {what}, which takes the norm over all classes; "
                "take --optimiser sgd or adam"
            )


def _refuse_slice(plan: Plan, labels: range, said: str) -> None:
    """Refuse what the form or the objective cannot take apart, as they say it."""
    try:
        places_apart(plan.recipe.parametrization, plan.layout, labels)
        problem = plan.problem(None)
        part = dataclasses.replace(problem, layout=plan.layout.of_classes(labels))
        plan.recipe.objective.check(part)
    except BadRequest as error:
        raise BadRequest(f"{said}: {error.text}") from error


def _places(plan: Plan) -> list[int]:
    """Return the classes at which a share may begin.

    What is learnt before must be a multiple of what processors take at once, since they compute a
    tensor's end in another way.
    """
    form, layout, found = plan.recipe.parametrization, plan.layout, []
    for label in range(1, layout.classes):
        before = layout.of_classes(range(label))
        with torch.device("meta"):
            images = form.build(before)
            learnt = list(images.parameters())
            if plan.recipe.learned_labels:
                learnt += form.build_labels(before, images).parameters()
        if all(tensor.numel() % LANES == 0 for tensor in learnt):
            found.append(label)
    return found


def _work(plan: Plan) -> list[float]:
    """Return about what a step of each class takes, in images sent forward."""
    drawn = getattr(plan.recipe.objective, "batch_real", 0)
    sizes = plan.layout.sizes()
    own = (min(drawn, len(one)) for one in plan.train.indices_of_class)
    return [real + _PASSES * size for real, size in zip(own, sizes, strict=True)]


def _ends(work: Sequence[float], places: Sequence[int], count: int) -> list[int]:
    """Return where all shares but the last one end: near even parts of the work."""
    found: list[int] = []
    for number in range(1, count):
        left = count - 1 - number
        first = places.index(found[-1]) + 1 if found else 0
        allowed = places[first : len(places) - left]
        wanted = sum(work) * number / count
        found.append(min(allowed, key=lambda place: abs(sum(work[:place]) - wanted)))
    return found
