"""A condensed memory as the exemplar buffer of Avalanche, and GDumb on it; needs the extra.

``from attar.applications.continual.avalanche import CondensedBuffer, CondensedGDumb``
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from attar.applications.continual.exemplars import Exemplars, Part, warn_of_labels
from attar.applications.continual.keywords import ContinualOptions
from attar.errors import BadRequest
from attar.rng import Key


def _bases() -> tuple[Any, Any, str]:
    """Return what the classes below extend, and why it is not there."""
    try:
        from avalanche.core import SupervisedPlugin  # pyright: ignore[reportMissingImports]
        from avalanche.training.storage_policy import (  # pyright: ignore[reportMissingImports]
            ExemplarsBuffer,
        )
    except ImportError as error:
        return object, object, str(error)
    return ExemplarsBuffer, SupervisedPlugin, ""


_BUFFER, _PLUGIN, _MISSING = _bases()


class CondensedBuffer(_BUFFER):
    """Exemplars that are condensed of every experience: a ``storage_policy`` of `ReplayPlugin`.

    Images are taken by the transforms for evaluation, so that no augmentation is condensed, and
    come back as the inputs that these make, through ``transform`` alone. Nothing of the global
    generators is drawn.

    Args:
        max_size: room, in full float32 images of all classes together. Condensed sets are slimmed
            as classes arrive. A method whose images take less, such as ``lodm``, has more samples
            than that. Classes that come again share the room.
        mean: what the transform normalises by, of each channel; left out where samples are pixels
            in [0, 1].
        std: likewise.
        transform: of what is replayed, such as an augmentation of tensors.
        **options: as `attar.continual` takes them: ``method``, ``iterations``, ``network``,
            ``slimming``, ``name="cifar100"``, …. Left out, ``slimming`` is the method itself, or
            ``slimmable`` where its labels are learnt; it then lasts as many ``iterations``.

    Raises:
        BadRequest: an option that this cannot have; or Avalanche is not installed.

    Example:
        >>> ReplayPlugin(500, storage_policy=CondensedBuffer(500))  # doctest: +SKIP
    """

    def __init__(
        self,
        max_size: int,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
        **options: Unpack[ContinualOptions],
    ) -> None:
        if _MISSING:
            raise BadRequest(
                f"Avalanche cannot be imported ({_MISSING}); install it with "
                "pip install 'attar[avalanche]'"
            )
        super().__init__(max_size)
        self._transform = transform
        self._exemplars = Exemplars(max_size, mean=mean, std=std, **options)
        self._looked = self._warned = False
        self._with_tasks = True

    @property
    def parts(self) -> tuple[Part, ...]:
        """The condensed sets, with the numbers of their classes and the label of their task."""
        return self._exemplars.parts

    def update(self, strategy: Any, **kwargs: Any) -> None:
        """Take the experience of a strategy, as plugins of version 0.6 ask for."""
        self.post_adapt(strategy, strategy.experience)

    def post_adapt(self, agent_state: Any, exp: Any) -> None:
        """Condense what an experience brings.

        Raises:
            BadRequest: a part of an experience, samples that are no images, or too many classes.
        """
        if hasattr(exp, "is_first_subexp"):
            raise BadRequest(
                "an online stream brings its classes in pieces, and a set is condensed of whole "
                "ones; give the stream that it was split from"
            )
        with _generators_kept():
            images, targets, tasks = _read(exp.dataset)
            if not self._looked:
                self._look_ahead(exp, tuple(images.shape[1:]))
            for task in tasks.unique().tolist():
                own = tasks == task
                self._exemplars.add(images[own], targets[own], task)
            self._with_tasks = hasattr(exp.dataset, "targets_task_labels")
            self._fill()

    def resize(self, strategy: Any, new_size: int) -> None:
        """Take another room; what is there is slimmed to it."""
        with _generators_kept():
            self._exemplars.resize(new_size)
            self.max_size = new_size
            if self.parts:
                self._fill()

    def _fill(self) -> None:
        self._warned = self._warned or warn_of_labels(self.parts)
        self.buffer = _as_data(*self._exemplars.rows(), self._transform, self._with_tasks)

    def _look_ahead(self, exp: Any, shape: Sequence[int]) -> None:
        """Say at the first experience what the stream lacks, and refuse what never fits."""
        self._looked = True
        stream = exp.origin_stream
        if not hasattr(stream, "__len__"):
            return
        each = [set(map(int, one.dataset.targets.uniques)) for one in stream]
        self._exemplars.check(sum(map(len, each)), shape)
        there = set().union(*each)
        lacking = sorted(set(range(max(there))) - there)
        if lacking:
            warnings.warn(
                f"classes {', '.join(map(str, lacking))} are in no experience of the stream: "
                "class_incremental_benchmark(num_experiences=…) of Avalanche 0.6 leaves out what "
                "does not divide evenly; num_classes_per_exp=[…] takes all",
                UserWarning,
                stacklevel=4,
            )


class CondensedGDumb(_PLUGIN):
    """GDumb: a network trained from scratch at every experience, on the condensed memory alone.

    Each time it is a **new** network (Avalanche's GDumb begins with the same weights again), drawn
    by a generator of its own, and the optimiser forgets its state.

    Args:
        buffer: the memory; no other plugin may fill it.
        network: makes the network of the strategy anew, such as
            ``lambda: SimpleMLP(num_classes=10)``. It has outputs for all classes.
        seed: of the weights.

    Example:
        >>> Naive(model=make(), plugins=[CondensedGDumb(buffer, make)], …)  # doctest: +SKIP
    """

    def __init__(
        self, buffer: CondensedBuffer, network: Callable[[], nn.Module], seed: int = 0
    ) -> None:
        super().__init__()
        self.storage_policy = buffer
        self._network = network
        self._key = Key(seed).fold("gdumb")
        self._count = 0

    def before_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Give the strategy's network weights that are drawn anew."""
        self._count += 1
        with _generators_kept(), self._key.fold(self._count).seeding_global():
            drawn = self._network().state_dict()
        there = strategy.model.state_dict()
        if {n: v.shape for n, v in drawn.items()} != {n: v.shape for n, v in there.items()}:
            raise BadRequest(
                "network: it makes another one than the strategy has; give what made that, with "
                "outputs for all classes (networks that grow cannot begin anew)"
            )
        strategy.model.load_state_dict(drawn)
        strategy.optimizer.state.clear()

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Condense what arrived, and let the strategy train on the memory alone."""
        self.storage_policy.update(strategy)
        strategy.adapted_dataset = self.storage_policy.buffer


class _Rows(Dataset[tuple[Tensor, int]]):
    """Inputs with plain class numbers, as Avalanche's own data sets give them."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self._inputs, self._targets = inputs, targets.tolist()

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._inputs[index], self._targets[index]


def _read(dataset: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return N×C×H×W inputs, class numbers and task labels, without augmentation."""
    images = []
    plain = dataset.eval()
    for index in range(len(plain)):
        image = plain[index][0]
        if not (isinstance(image, Tensor) and image.is_floating_point() and image.ndim == 3):
            kind = getattr(image, "dtype", type(image).__name__)
            raise BadRequest(
                f"a sample is {kind} of shape {tuple(getattr(image, 'shape', ()))}; give the data "
                "a transform for evaluation that makes float tensors of C×H×W"
            )
        images.append(image)
    if not images:
        raise BadRequest("an experience has no samples; give one that brings some")
    targets = torch.tensor([int(one) for one in dataset.targets])
    labels = getattr(dataset, "targets_task_labels", None)
    tasks = torch.zeros_like(targets) if labels is None else torch.tensor([int(t) for t in labels])
    return torch.stack(images), targets, tasks


def _as_data(
    inputs: Tensor,
    targets: Tensor,
    tasks: Tensor,
    transform: Callable[[Tensor], Tensor] | None,
    with_tasks: bool,
) -> Any:
    """Return rows as a data set of Avalanche, of the kind of those that arrived."""
    from avalanche.benchmarks import utils  # pyright: ignore[reportMissingImports]
    from avalanche.benchmarks.utils import (  # pyright: ignore[reportMissingImports]
        classification_dataset,
        transform_groups,
    )

    attributes = [utils.DataAttribute(targets.tolist(), "targets")]
    kind = classification_dataset.ClassificationDataset
    if with_tasks:
        kind = classification_dataset.TaskAwareSupervisedClassificationDataset
        labels = utils.TaskLabels(tasks.tolist())
        name = "targets_task_labels"
        attributes.append(utils.DataAttribute(labels, name, use_in_getitem=True))
    return kind(
        [_Rows(inputs, targets)],
        data_attributes=attributes,
        transform_groups=transform_groups.TransformGroups(
            {"train": (transform, None), "eval": None}
        ),
    )


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Leave the global generators as they are, whatever is drawn inside."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
