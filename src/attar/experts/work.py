"""What is to be trained, as processes and machines hand it on, and the training of one group.

Shape letters: M experts of a group, E epochs, P parameters.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar import compute as computing
from attar.data import LabelledImages
from attar.data.placing import place
from attar.errors import RunFailed
from attar.experts.header import Header
from attar.experts.store import path_of
from attar.experts.unfinished import keep_unfinished, read_unfinished, remove_unfinished
from attar.networks import Network, make_for
from attar.rng import Key
from attar.synthetic import STORAGE_TYPES
from attar.training import EvaluationCard, Trainer
from attar.training.learning import Midway

# training images that an expert's accuracy is measured on at its end
MEASURED = 1000

# told the experts of a group, and how many epochs they have passed
Told = Callable[[Sequence[int], int], None]


@dataclass(frozen=True)
class Made:
    """A trained expert.

    Args:
        expert: its number.
        snapshots: (E + 1)×P, in the type of the storage.
        accuracy: of the last snapshot, in percent, on training images without augmentation.
    """

    expert: int
    snapshots: Tensor
    accuracy: float


@dataclass(frozen=True)
class Work:
    """Experts to be trained.

    Args:
        folder: of the store.
        header: of the store.
        train: the real images.
        network: its name, or the network itself where it is a module given from Python.
        count: how many experts there are to be.
        together: how many train in one step.
        device: as the request says.
        compile: whether the network is compiled.
        chunk: the most images per call; None for the device's own.
        seconds: the shortest time between two notes of where training is.
    """

    folder: Path
    header: Header
    train: LabelledImages
    network: str | Network
    count: int
    together: int
    device: str
    compile: bool
    chunk: int | None
    seconds: float

    def groups(self) -> list[range]:
        """Return the experts in groups that train in one step, always the same ones."""
        starts = range(0, self.count, self.together)
        return [range(start, min(start + self.together, self.count)) for start in starts]

    def missing(self) -> list[int]:
        """Return the experts that are not there yet."""
        return [i for i in range(self.count) if not path_of(self.folder, i).exists()]

    @property
    def card(self) -> EvaluationCard:
        """How an expert is trained."""
        training = self.header.training
        return EvaluationCard(
            "experts",
            "plain SGD at a fixed learning rate",
            self.header.epochs,
            training["augment"],
            lr=training["lr"],
            momentum=training["momentum"],
            weight_decay=training["weight_decay"],
            batch=training["batch"],
            schedule="constant",
            one_more=False,
        )


class Workshop:
    """Trains groups of experts; what is compiled is compiled once.

    Args:
        work: what is to be trained.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.network = make_for(work.network, work.train.shape, work.train.classes)
        self.compute = computing.choose(
            work.device,
            work.header.training["precision"],
            "on" if work.compile else "off",
            chunk=work.chunk,
        )

    def train(self, experts: Sequence[int], told: Told, *, keep: bool = True) -> list[Made]:
        """Train the experts of a group, from where they were left if that was kept.

        Args:
            experts: their numbers.
            told: told after every epoch.
            keep: whether to keep in the folder where training is.

        Raises:
            RunFailed: a parameter is no number any more, or does not fit the storage.
        """
        work, card = self.work, self.work.card
        course = _Course(work, experts, self._trainer.parameter_names, told, keep=keep)
        keys = [Key(work.header.seed).fold("expert", expert) for expert in experts]
        try:
            trained = self._trainer.fit_together(
                self._images,
                self._images.labels.to(self.compute.device),
                card,
                card.augment,
                keys,
                begun=course.begun,
                after=course.after,
            )
            rows = zip(experts, course.snapshots, trained, strict=True)
            return [
                Made(expert, snapshots, self._tester.accuracy(tensors, self._measured))
                for expert, snapshots, tensors in rows
            ]
        except KeyboardInterrupt:
            course.keep()
            raise

    @cached_property
    def _trainer(self) -> Trainer:
        return Trainer(self.network, self.compute, self.work.together)

    @cached_property
    def _tester(self) -> Trainer:
        # a thousand images are not worth compiling for
        plain = dataclasses.replace(self.compute, compile=False, precision="float32")
        return Trainer(self.network, plain)

    @cached_property
    def _images(self) -> LabelledImages:
        """The training images, on the device where they fit into half of its free memory."""
        return place(prepared(self.work.train), self.compute)

    @cached_property
    def _measured(self) -> LabelledImages:
        count = len(self._images)
        order = torch.randperm(count, generator=Key(0).fold("measured experts").generator())
        some = order[:MEASURED].sort().values
        return dataclasses.replace(self._images, may_lack_classes=True).subset(some)


class _Course:
    """The snapshots of a group while it is trained."""

    def __init__(
        self, work: Work, experts: Sequence[int], names: Sequence[str], told: Told, *, keep: bool
    ) -> None:
        self._work = work
        self._experts = experts
        self._names = names
        self._told = told
        self._keeps = keep
        self._midway: Midway | None = None
        self._kept_at = time.monotonic()
        header = work.header
        self.snapshots = torch.empty(
            (len(experts), header.epochs + 1, header.values), dtype=STORAGE_TYPES[header.storage]
        )
        there = read_unfinished(work.folder, header, experts) if keep else None
        self.begun = None if there is None else there[0]
        if there is not None:
            self.snapshots[:, : there[0].epochs + 1] = there[1]
            told(experts, there[0].epochs)

    def after(self, midway: Midway) -> None:
        """Take the snapshots of an epoch."""
        self._snap(midway)
        self._told(self._experts, midway.epochs)
        if not self._keeps or not midway.epochs:
            return
        self._midway = midway.copy()
        if time.monotonic() - self._kept_at >= self._work.seconds:
            self.keep()

    def keep(self) -> None:
        """Write where training is, unless that is written already."""
        if self._midway is None:
            return
        midway, self._midway = self._midway, None
        some = self.snapshots[:, : midway.epochs + 1]
        keep_unfinished(self._work.folder, self._work.header, self._experts, midway, some)
        self._kept_at = time.monotonic()

    def _snap(self, midway: Midway) -> None:
        several = len(self._experts) > 1
        for row_of, expert in enumerate(self._experts):
            tensors = (midway.tensors[name] for name in self._names)
            parts = [(one[row_of] if several else one).flatten().float().cpu() for one in tensors]
            row = torch.cat(parts)
            self.snapshots[row_of, midway.epochs] = row
            if not bool(torch.isfinite(self.snapshots[row_of, midway.epochs]).all()):
                if self._keeps:
                    remove_unfinished(self._work.folder, self._experts)
                raise _diverged(self._work, expert, midway.epochs, row)


def _diverged(work: Work, expert: int, epochs: int, row: Tensor) -> RunFailed:
    storage, lr = work.header.storage, work.header.training["lr"]
    if bool(torch.isfinite(row).all()):
        return RunFailed(
            f"expert {expert} has a parameter of {float(row.abs().max()):.3g} after {epochs} "
            f"epochs, which does not fit --storage {storage}; take --storage float32 or lower "
            f"--lr {lr:g}. Nothing of this expert was written."
        )
    return RunFailed(
        f"expert {expert} diverged: a parameter is no number after {epochs} epochs at --lr "
        f"{lr:g}; lower --lr. Nothing of this expert was written."
    )


def prepared(train: LabelledImages) -> LabelledImages:
    """Return whitened images as network inputs, since whitening every batch anew takes long.

    Images that are not in memory stay as they are: what does not fit as bytes does not as floats.
    """
    if train.prepared or train.preprocessing.whitening is None or train.told:
        return train
    parts = [train.take(index) for index in torch.arange(len(train)).split(1024)]
    return dataclasses.replace(train, images=torch.cat(parts), prepared=True)


def facts_of(made: Made) -> dict[str, Any]:
    """Return what an expert's file tells of it."""
    return {"accuracy": round(made.accuracy, 4)}
