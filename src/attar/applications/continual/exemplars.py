"""Condensed sets of the classes that have arrived, in a room that stays as large."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from torch import Tensor

from attar.applications.continual.checking import check_method, usual_slimming
from attar.applications.continual.keywords import ContinualOptions
from attar.applications.continual.request import (
    LEARNING_FREE,
    RANDOM,
    SLIMMING,
    Condensing,
    ContinualRequest,
)
from attar.applications.sets import larger
from attar.artefact.artefact import Artefact
from attar.condensing.condense import complete
from attar.condensing.planning import make_plan
from attar.condensing.telling import Callback
from attar.data import LabelledImages, Preprocessing, Splits, from_tensors
from attar.errors import BadRequest, unknown
from attar.methods import Task
from attar.options import READING, request_and_reading, request_of
from attar.slimming.plans import slimmable_methods
from attar.slimming.slimming import carry_out as slimmed

# a pixel that a transform has normalised comes back within rounding
_SLACK, _WHOLE = 1e-3, 1e-2


@dataclass(frozen=True)
class Part:
    """What stands for the classes that arrived together.

    Args:
        artefact: the condensed set.
        targets: the number of each of its classes in the whole.
        task: label of their task.
    """

    artefact: Artefact
    targets: tuple[int, ...]
    task: int


class Exemplars:
    """Condensed sets of all classes that have arrived, in the room of so many full images.

    Args:
        images: room, in full float32 images; methods whose images take less hold more of them.
        mean: what the inputs were normalised by, of each channel; None where they are pixels in
            [0, 1].
        std: likewise.
        **options: those of `attar.continual`, such as ``method="lodm"``, ``iterations=500`` or
            ``slimming="dm"``, and ``name="cifar100"``, which says what the images are.

    Raises:
        BadRequest: an option that this cannot have, or a method that cannot condense a part of the
            classes by itself.
    """

    def __init__(
        self,
        images: int,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **options: Unpack[ContinualOptions],
    ) -> None:
        given: dict[str, Any] = {**options}
        own = (*SLIMMING, "rounding")
        mine = {name: given.pop(name) for name in own if name in given}
        left = [*READING[:-1], *ContinualRequest.__dataclass_fields__, "zca"]
        if refused := [name for name in left if given.get(name) is not None]:
            raise BadRequest(
                f"{refused[0]}: an exemplar buffer takes images as they come, and trains and tests "
                "no network; leave it out"
            )
        self._condensing, reading = request_and_reading(Condensing, given)
        self._name = str(reading.get("name") or "data")
        self._request = request_of(ContinualRequest, {**mine, "steps": 1, "memory": _words(images)})
        ways = [LEARNING_FREE, RANDOM, *slimmable_methods()]
        if self._request.slimming not in (None, *ways):
            raise unknown("value of --slimming", str(self._request.slimming), ways)
        if (mean is None) != (std is None):
            raise BadRequest("mean and std: give both, as the transform normalises by, or neither")
        check_method(self._condensing, "--steps", alone=False)
        if self._condensing.per_class_budget != "equal":
            raise BadRequest("per_class_budget: a buffer has as many images of every class")
        self._scale = None if mean is None or std is None else (tuple(mean), tuple(std))
        self._preprocessing: Preprocessing | None = None
        self.parts: tuple[Part, ...] = ()

    @property
    def bytes(self) -> int:
        """Of all condensed sets, everything counted."""
        return sum(part.artefact.nbytes for part in self.parts)

    def check(self, classes: int, shape: Sequence[int]) -> None:
        """Refuse more classes than there is room for one image of."""
        self._request.held.per_class(classes, shape, self._request.rounding)

    def resize(self, images: int) -> None:
        """Take another room; what is there shrinks to it."""
        changed = dataclasses.replace(self._request, memory=_words(images))
        if self.parts:
            changed.held.per_class(self._classes, self._shape, changed.rounding)
        self._request = changed
        self._shrink(self._classes)

    def add(self, images: Tensor, targets: Tensor, task: int = 0) -> None:
        """Condense classes that arrive, and shrink what is there to make room.

        Args:
            images: N×C×H×W network inputs.
            targets: N class numbers, of any values.
            task: label of their task.

        Raises:
            BadRequest: no room for one image of each class, or values that are no pixels.
        """
        numbers = tuple(map(int, targets.unique().tolist()))
        data = self._data(images, torch.searchsorted(torch.tensor(numbers), targets), numbers)
        seen = self._classes + len(numbers)
        held, rounding = self._request.held, self._request.rounding
        ipc = held.per_class(seen, data.shape, rounding)
        self._shrink(seen, data.shape)
        own = self._condensing.of(held, len(numbers), ipc, None)
        made = complete(make_plan(own, Splits(data, None, source=self._name)), Callback())
        self.parts = (*self.parts, Part(made, numbers, task))

    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return network inputs, class numbers and task labels of everything kept.

        Label values that were learnt become the class that each says most of.
        """
        inputs, targets, tasks = [], [], []
        for part in self.parts:
            labels = part.artefact.labels
            if labels.is_floating_point():
                labels = labels.argmax(dim=1)
            targets.append(torch.tensor(part.targets)[labels.cpu()])
            tasks.append(torch.full_like(targets[-1], part.task))
            inputs.append(self._inputs(part.artefact))
        return torch.cat(inputs), torch.cat(targets), torch.cat(tasks)

    @property
    def _classes(self) -> int:
        return sum(len(part.targets) for part in self.parts)

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(self.parts[0].artefact.header.shape)

    def _shrink(self, seen: int, shape: Sequence[int] | None = None) -> None:
        """Make the condensed sets as small as they have to be for so many classes."""
        request = self._request
        if not self.parts:
            return
        if shape is not None and tuple(shape) != self._shape:
            raise BadRequest(f"images of {tuple(shape)} come after those of {self._shape}")
        ipc = request.held.per_class(seen, self._shape, request.rounding)
        assert ipc is not None
        how = self._how()
        if how == self._condensing.chosen.name and request.slim_iterations is None:
            # as long as its sets were made, and not as long as the method would by itself
            request = dataclasses.replace(request, slim_iterations=self._condensing.iterations)
        own = self._condensing
        slim = request.slim(
            ipc,
            how,
            own.seed,
            own.network,
            device=own.device,
            precision=own.precision,
            torch_compile=own.torch_compile,
            chunk=own.chunk,
            card=own.card,
        )
        self.parts = tuple(
            dataclasses.replace(
                part, artefact=slimmed(part.artefact, slim, lambda size: Callback())[0].artefact
            )
            if larger(part.artefact, ipc)
            else part
            for part in self.parts
        )

    def _how(self) -> str:
        """Return how sets shrink: by their own method where that leaves plain labels."""
        usual, method = usual_slimming(self._request, self._condensing), self._condensing.chosen
        if self._request.slimming or method.coreset or method.name not in slimmable_methods():
            return usual
        recipe = method.recipe(Task(self._name, 1, self._shape, 2))
        return usual if recipe.learned_labels else method.name

    def _data(self, images: Tensor, labels: Tensor, numbers: Sequence[int]) -> LabelledImages:
        """Return what arrived as pixels, under the constants of the first that did."""
        pixels = images.detach().cpu().float()
        if self._scale is not None:
            pixels = Preprocessing(*self._scale).invert(pixels)
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= -_SLACK and high <= 1 + _SLACK):
            raise BadRequest(
                f"samples come to values from {low:.3g} to {high:.3g}, and pixels lie in [0, 1]; "
                "give mean=… and std=…, as the transform normalises by"
            )
        whole = (pixels * 255).round()
        if float((pixels * 255 - whole).abs().max()) < _WHOLE:
            pixels = whole.to(torch.uint8)
        else:
            pixels = pixels.clamp(0, 1)
        names = list(map(str, numbers))
        train = from_tensors(pixels, labels, names, name=self._name).train
        if self._preprocessing is None:
            first = None if self._scale is None else Preprocessing(*self._scale)
            self._preprocessing = first or train.preprocessing
        return dataclasses.replace(train, preprocessing=self._preprocessing)

    def _inputs(self, artefact: Artefact) -> Tensor:
        pixels = artefact.preprocessing.invert(artefact.images.float())
        return pixels if self._scale is None else Preprocessing(*self._scale).apply(pixels)


def warn_of_labels(parts: Sequence[Part]) -> bool:
    """Say, once there are any, that learnt labels become plain ones; return whether it was said."""
    learnt = [part for part in parts if part.artefact.labels.is_floating_point()]
    if not learnt:
        return False
    lost = [
        str(part.targets[index])
        for part in learnt
        for index in range(len(part.targets))
        if index not in set(part.artefact.labels.argmax(dim=1).tolist())
    ]
    warnings.warn(
        "the condensed sets have learnt label values, and targets here are class numbers: the "
        "class that each says most of is taken; a method with class labels, such as lodm, loses "
        "nothing" + (f". No image is left of {', '.join(lost)}" if lost else ""),
        UserWarning,
        stacklevel=2,
    )
    return True


def _words(images: int) -> str:
    if type(images) is not int or images < 1:
        raise BadRequest(f"max_size={images!r}: a whole number of full images, at least 1")
    return f"{images}images"
