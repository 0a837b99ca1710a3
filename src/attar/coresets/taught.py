"""What a teacher chooses by: a network trained on all the real images, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from attar.augmentation.variants import read_strategy
from attar.compute import Compute
from attar.coresets.selectors import StudyingSelector
from attar.coresets.spread import Part
from attar.data.images import LabelledImages
from attar.data.reading import Watch
from attar.errors import BadRequest
from attar.networks import Network, make_for
from attar.rng import Key
from attar.teachers.finding import find_teacher, is_on_disk
from attar.teachers.study import Study
from attar.teachers.teacher import Teacher
from attar.training.learning import Midway


@dataclass(frozen=True)
class TaughtSelector(StudyingSelector):
    """Base of those that look at images with a teacher, and keep what it says of them as labels.

    Args:
        teacher: a trained network on disk, as `attar.teachers.finding.find_teacher` takes it; or
            the name of one to be trained; empty for the one that is matched in.
        augment_selection: of the images that it is trained on.
    """

    schedule: ClassVar[Literal["constant", "warm_cosine"]] = "warm_cosine"

    epochs: int = 8
    lr_selection: float = 0.05
    batch_selection: int = 128
    teacher: str = ""
    augment_selection: str = "flip_crop"

    def __post_init__(self) -> None:
        super().__post_init__()
        read_strategy(self.augment_selection)

    def study(
        self,
        data: LabelledImages,
        network: Network,
        compute: Compute,
        key: Key,
        watch: Watch | None = None,
        begun: Midway | None = None,
        after: Callable[[Midway], None] | None = None,
    ) -> Study:
        """Return the teacher, read from disk or trained on all images."""
        if not is_on_disk(self.teacher):
            return super().study(data, network, compute, key, watch, begun, after)
        found = find_teacher(self.teacher, data, compute)
        nothing = torch.zeros(0, len(data), dtype=torch.bool)
        return Study(data, found.network, compute, found.tensors, nothing, found)

    def learner(self, data: LabelledImages, network: Network) -> Network:
        """Return the teacher to be trained."""
        return make_for(self.teacher, data.shape, data.classes) if self.teacher else network

    def known(self, data: LabelledImages) -> Teacher | None:
        """Return the teacher that is on disk; None where one is to be trained."""
        if not is_on_disk(self.teacher):
            return None
        plain = Compute(torch.device("cpu"), "float32", compile=False, chunk=1)
        return find_teacher(self.teacher, data, plain)

    def seen(self, data: LabelledImages) -> str:
        """Return the teacher's augmentation."""
        return self.augment_selection if data.modality.augments else "none"

    def of_class(self, study: Study, label: int, count: int, key: Key) -> Part:
        """Return the first images of `rank`, with the probabilities that the teacher gives them."""
        own = self.rank(study, label, count, key)
        return Part(own, study.probabilities(own))

    def passes(self, data: LabelledImages) -> float:
        """Return the images of the training, if any, and those that are looked at."""
        return float(len(data)) if is_on_disk(self.teacher) else super().passes(data)


@dataclass(frozen=True)
class Confident(TaughtSelector):
    """Images that a network trained on all of them is sure of, with what it says of them.

    They are drawn at random of those that it is sure enough of, so that they differ: the surest
    ones are much alike, and where all are easy it is as good as drawing from all. Their labels are
    the probabilities that the network gives them.

    Args:
        sure: the probability of its own class from which on an image is drawn; the others follow
            by how sure the network is.
    """

    name: ClassVar[str] = "confident"

    sure: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.sure <= 1:
            raise BadRequest(f"--set sure={self.sure:g}: from 0 to 1")

    def rank(self, study: Study, label: int, count: int, key: Key) -> Tensor:
        """Return images that the teacher is sure of, in an order drawn from ``key``."""
        own = study.data.indices_of_class[label]
        sure = study.probabilities(own)[:, label]
        order = own[sure.argsort(descending=True, stable=True)]
        most = int((sure >= self.sure).sum())
        drawn = torch.randperm(most, generator=key.fold("drawn", label).generator())
        return torch.cat([order[:most][drawn], order[most:]])[:count]
