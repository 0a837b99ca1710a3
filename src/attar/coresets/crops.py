"""Pictures made of the crops of real images that a teacher knows best (RDED).

Source: Sun et al., On the Diversity and Realism of Distilled Dataset: An Efficient Dataset
Distillation Paradigm, 2024, and the authors' scripts: of at most 300 images of a class five square
crops each, of which the surest is kept; of these the surest ones, one or four to a picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from attar.augmentation.patches import draw_boxes, padded, parts, take_crops, tiled, usual_factor
from attar.compute import Compute
from attar.coresets.selectors import Chosen
from attar.coresets.spread import Part
from attar.coresets.taught import TaughtSelector
from attar.data.images import LabelledImages
from attar.data.reading import Watch
from attar.errors import BadRequest
from attar.networks import Network
from attar.rng import Key
from attar.shapes import is_picture, sides
from attar.teachers.study import Study

_FACTORS = (0, 1, 2, 3, 4)
# crops of an image: those of a call's images are in memory together
_MOST = 100


@dataclass(frozen=True)
class Crops(TaughtSelector):
    """Pictures of crops of real images, those first that the teacher gives their class most surely.

    The teacher sees each crop in the middle of a picture of the mean colour. Labels are the
    probabilities that it gives the pictures.

    Args:
        crops: that are drawn of each image, of which one is kept.
        crop_factor: crops side by side in a picture, so that it holds the square of it; 0 for the
            authors' choice: 2 from sides of 96 pixels on, else 1.
        crop_pool: images of each class that are looked at, at most; as many as the pictures take,
            where that is more.
        crop_scale: the least share of the area of an image that a crop is drawn with.
    """

    name: ClassVar[str] = "crops"

    crops: int = 5
    crop_factor: int = 0
    crop_pool: int = 300
    crop_scale: float = 0.08

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.crops <= _MOST:
            raise BadRequest(f"--set crops={self.crops}: from 1 to {_MOST}")
        if self.crop_pool < 1:
            raise BadRequest(f"--set crop_pool={self.crop_pool}: at least 1 is needed")
        if self.crop_factor not in _FACTORS:
            raise BadRequest(f"--set crop_factor={self.crop_factor}: from 1 to 4, or 0 by the size")
        if not 0 < self.crop_scale <= 1:
            raise BadRequest(f"--set crop_scale={self.crop_scale:g}: above 0, to 1")

    def factor(self, data: LabelledImages) -> int:
        """Return how many crops stand side by side.

        Raises:
            BadRequest: rows are no pictures, or these are too small for it.
        """
        if not is_picture(data.shape):
            raise BadRequest("crops are of pictures, and these are vectors; take --init confident")
        size = sides(data.shape)
        found = self.crop_factor or usual_factor(size)
        if found > min(size):
            raise BadRequest(
                f"--set crop_factor={found}: pictures of {size[0]}×{size[1]} hold no such crops"
            )
        return found

    def chosen(
        self,
        data: LabelledImages,
        sizes: Sequence[int],
        network: Network,
        compute: Compute,
        key: Key,
        watch: Watch | None = None,
    ) -> Chosen:
        """Return pictures of each class, best first, with the labels that the teacher gives them.

        Where the images of a class give fewer, there are fewer. Their rows are those of the images
        that the first crop of each is of.

        Raises:
            RunFailed: the training diverged, or scores are NaN or Inf.
        """
        self.factor(data)
        return super().chosen(data, sizes, network, compute, key, watch)

    def of_class(self, study: Study, label: int, count: int, key: Key) -> Part:
        """Return the pictures of a class, and the rows that their first crops are of."""
        rows, made = self._pictures(study, label, count, key)
        return Part(rows, images=made)

    def labelled(self, study: Study, chosen: Chosen) -> Chosen:
        """Return the pictures with labels: of all at once, so that few calls are filled up."""
        pictures = chosen.images or []
        said = study.judged(study.teacher.scores(torch.cat(pictures)).cpu())
        labels = list(said.split([len(own) for own in pictures]))
        return dataclasses.replace(chosen, labels=labels)

    def rank(self, study: Study, label: int, count: int, key: Key) -> Tensor:
        """Return the images that the first crops of the pictures are of."""
        return self._pictures(study, label, count, key)[0]

    def passes(self, data: LabelledImages) -> float:
        """Return the images of the training, and a pass of every crop."""
        looked = sum(min(self.crop_pool, len(own)) for own in data.indices_of_class)
        return super().passes(data) - len(data) + self.crops * looked

    def _pictures(self, study: Study, label: int, count: int, key: Key) -> tuple[Tensor, Tensor]:
        """Return the rows and the pictures of a class, on the CPU."""
        data, each = study.data, self.factor(study.data) ** 2
        own = data.draw(label, max(self.crop_pool, count * each), key.fold("pool", label))
        boxes, costs = self._surest(study, own, label, key)
        # the surest crops; where there are too few for one picture, they come again
        order = costs.argsort(stable=True)[: count * each]
        made = max(1, min(count, len(order) // each))
        order = order[torch.arange(made * each) % len(order)]
        return own[order[::each]], self._tiles(study, own[order], boxes[order])

    def _surest(self, study: Study, own: Tensor, label: int, key: Key) -> tuple[Tensor, Tensor]:
        """Return of each image the box that the teacher is surest of, and its cross-entropy."""
        data, compute = study.data, study.compute
        size, factor = sides(data.shape), self.factor(data)
        tall, wide = size
        boxes = draw_boxes(
            len(own) * self.crops, (tall, wide), (self.crop_scale, 1.0), (1.0, 1.0),
            key.fold("crops", label),
        ).view(len(own), self.crops, 4)  # fmt: skip
        kept, costs = [], []
        # whole chunks of crops, so that no call is filled up
        for part in torch.arange(len(own)).split(compute.chunk):
            images = data.take(own[part]).to(compute.device).repeat_interleave(self.crops, dim=0)
            cut = take_crops(images, boxes[part].flatten(0, 1), (tall // factor, wide // factor))
            scores = study.teacher.scores(padded(cut, (tall, wide))).float().cpu()
            study.judged(scores)
            truth = torch.full((len(scores),), label)
            cost = functional.cross_entropy(scores, truth, reduction="none").view(-1, self.crops)
            least, which = cost.min(dim=1)
            kept.append(boxes[part, which])
            costs.append(least)
        return torch.cat(kept), torch.cat(costs)

    def _tiles(self, study: Study, rows: Tensor, boxes: Tensor) -> Tensor:
        """Return pictures, each of the next f² crops."""
        data, factor = study.data, self.factor(study.data)
        tall, wide = sides(data.shape)
        heights, widths = parts(tall, factor), parts(wide, factor)
        cut = []
        for place, (row, box) in enumerate(zip(rows.split(1), boxes.split(1), strict=True)):
            down, across = divmod(place % factor**2, factor)
            crop = take_crops(data.take(row), box, (tall // factor, wide // factor))
            if (heights[down], widths[across]) != crop.shape[2:]:
                crop = functional.interpolate(crop, size=(heights[down], widths[across]))
            cut.append(crop[0])
        starts = range(0, len(cut), factor**2)
        return torch.stack([tiled(cut[start : start + factor**2]) for start in starts]).cpu()
