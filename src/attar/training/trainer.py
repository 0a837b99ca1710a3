"""Training freshly drawn networks on a small set, one by one or several in one step.

Shape letters: M networks, B images of a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import attrgetter

import torch
from torch import Tensor

from attar.augmentation.variants import augmented
from attar.compute import Compute, Functional
from attar.data.images import LabelledImages
from attar.networks import Network
from attar.rng import Key
from attar.training.batches import batches, largest
from attar.training.by_class import Hits
from attar.training.call_size import Batch, Call, check_whole, in_parts, most_per_call
from attar.training.evaluation_card import EvaluationCard
from attar.training.learning import Learning, Midway
from attar.training.losses import targets, tempered
from attar.training.mixing import cutmix
from attar.training.schedules import Step, steps
from attar.training.stability import greatest_rate
from attar.training.stored_labels import StoredLabels

# images whose tangent kernel says which learning rates are stable, as KIP's authors have it
_LOOKED_AT = 50

Tensors = dict[str, Tensor]
# network inputs that are all there, or a set from which they are made batch by batch
Images = Tensor | LabelledImages
# a trained network that labels batches as they are made: from B×C×H×W network inputs to B×K scores;
# or what is kept of it
Labelling = Callable[[Tensor], Tensor] | StoredLabels


@dataclass(frozen=True)
class Update:
    """One update of a network, when it is done.

    Args:
        epoch: counted from 0.
        rows: the images of its batch, B indices on the CPU.
        scores: B×K, from before the update.
        truth: what they were to be: B class indices, or B×K values.
        loss: the mean loss of the batch.
    """

    epoch: int
    rows: Tensor
    scores: Tensor
    truth: Tensor
    loss: Tensor


class Trainer:
    """Trains networks of one kind and tests them; what is compiled is compiled once.

    Args:
        network: what is drawn.
        compute: device, precision, compilation.
        vectorized: how many networks train in one step; 1 trains one after the other.
            Networks with batch normalization are always trained one by one.

    Attributes:
        training: the network in training mode as a function of its tensors.
    """

    def __init__(self, network: Network, compute: Compute, vectorized: int = 1) -> None:
        self.network = network
        self.compute = compute
        self.vectorized = 1 if network.mixes_samples() else max(1, vectorized)
        # images that went through the network at once
        self._at_once = 0
        module = network.draw(Key(0), compute.device)
        self.training = Functional(module.train(), "forward", compute)
        self._several = torch.func.vmap(self.training.plain, randomness="error")

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of the learnt tensors, in the order of the network's parameters."""
        return self.training.parameter_names

    @cached_property
    def _testing(self) -> Functional:
        module = self.network.draw(Key(0), self.compute.device)
        return Functional(module.eval(), "forward", self.compute)

    def fit(
        self,
        images: Images,
        labels: Tensor,
        card: EvaluationCard,
        strategy: str,
        keys: Sequence[Key],
        teacher: Labelling | None = None,
    ) -> list[Tensors]:
        """Train one network for every key and return their tensors.

        Args:
            images: N×C×H×W network inputs, or real images, from which batches are made as
                they are needed.
            labels: N class indices, or N×K label values.
            card: the recipe.
            strategy: the augmentation, as `EvaluationCard.strategy` returns it.
            keys: of initialisation, shuffling and augmentation, one per network.
            teacher: labels every batch, augmented and mixed, in place of ``labels``, under a card
                whose loss is ``kl``.
        """
        if isinstance(images, Tensor):
            images = images.to(self.compute.device)
        labels = labels.to(self.compute.device)
        trained: list[Tensors] = []
        for first in range(0, len(keys), self.vectorized):
            trained += self.fit_together(
                images,
                labels,
                card,
                strategy,
                keys[first : first + self.vectorized],
                teacher=teacher,
            )
        return trained

    def accuracy(self, tensors: Tensors, data: LabelledImages) -> float:
        """Return the share of ``data`` that a trained network classifies right, in percent."""
        return self.hits(tensors, data).accuracy

    def hits(self, tensors: Tensors, data: LabelledImages) -> Hits:
        """Return how many images of each class a trained network classifies right."""
        return hits_of(partial(self.scores, tensors), data, self.compute.chunk)

    def scores(self, tensors: Tensors, images: Tensor) -> Tensor:
        """Return the scores (N×K) that a trained network gives to N×C×H×W network inputs."""
        parts = images.to(self.compute.device).split(self.compute.chunk)
        return torch.cat([self._testing.chunk(tensors, part) for part in parts])

    def fit_together(
        self,
        images: Images,
        labels: Tensor,
        card: EvaluationCard,
        strategy: str,
        keys: Sequence[Key],
        *,
        begun: Midway | None = None,
        after: Callable[[Midway], None] | None = None,
        updated: Callable[[Update], None] | None = None,
        teacher: Labelling | None = None,
    ) -> list[Tensors]:
        """Train one network for every key, all in one step, and return their tensors.

        Args:
            images: as `fit` takes them; tensors on the device.
            labels: on the device.
            card: the recipe.
            strategy: the augmentation.
            keys: one per network.
            begun: where to go on from; where an earlier training with the same arguments came
                to, the result is the same.
            after: called with the drawn networks, unless ``begun``, and after every epoch.
            updated: called after every update, where one network is trained.
            teacher: as `fit` takes it.
        """
        if teacher is None and not labels.is_floating_point():
            card = card.hard()
        at_once = largest(card, len(labels), self.network.classes)
        # what went once is not refused as other programs take memory meanwhile
        if at_once > self._at_once:
            check_whole(
                self.network, self.compute, at_once, "take smaller images or smaller batches"
            )
        most = most_per_call(self.network, self.compute, len(keys))
        learning = self._learning(card, keys, begun)
        card = self._stable(card, images, keys)
        truth = targets(labels, self.network.classes, card)
        classes = self.network.classes
        drawing = [teacher.key if isinstance(teacher, StoredLabels) else key for key in keys]
        orders = [_Order(len(labels), card, key, classes) for key in drawing]
        done = 0 if begun is None else begun.epochs
        if after is not None and begun is None:
            after(learning.midway(0))
        for epoch, updates in itertools.groupby(steps(card, len(labels)), attrgetter("epoch")):
            if epoch < done:
                continue
            for step in updates:
                places = [
                    teacher.step(step, key) if isinstance(teacher, StoredLabels) else step
                    for key in keys
                ]
                rows = [order.rows(at) for order, at in zip(orders, places, strict=True)]
                drawn = [
                    self._batch(images, truth, own, card, strategy, key, at, teacher)
                    for own, key, at in zip(rows, drawing, places, strict=True)
                ]
                learning.at(step)
                calls: list[Call] = []
                learning.update(self._losses(learning.tensors, drawn, card, most, calls))
                if updated is not None:
                    updated(_update(epoch, rows[0], calls))
            if after is not None:
                after(learning.midway(epoch + 1))
        self._at_once = max(self._at_once, at_once)
        trained = {name: tensor.detach() for name, tensor in learning.tensors.items()}
        return [trained] if len(keys) == 1 else _unstack(trained, len(keys))

    def _learning(
        self, card: EvaluationCard, keys: Sequence[Key], begun: Midway | None
    ) -> Learning:
        """Return networks as they are drawn, or as they were when training was left."""
        device = self.compute.device
        if begun is None:
            each = [
                self.training.tensors(self.network.draw(key.fold("network"), device))
                for key in keys
            ]
        else:
            there = {name: tensor.to(device, copy=True) for name, tensor in begun.tensors.items()}
            each = [there] if len(keys) == 1 else _unstack(there, len(keys))
            each = [self.training.arranged(one) for one in each]
        tensors = each[0] if len(keys) == 1 else _stack(each)
        learning = Learning(tensors, self.parameter_names, card, stacked=len(keys) > 1)
        if begun is not None:
            learning.restore(begun.optimiser)
        return learning

    def _stable(self, card: EvaluationCard, images: Images, keys: Sequence[Key]) -> EvaluationCard:
        """Return a card at the greatest rate that is stable for all networks, where it asks so."""
        if not card.stable:
            return card
        some = torch.arange(min(_LOOKED_AT, len(images)))
        seen = images[some] if isinstance(images, Tensor) else images.take(some)
        seen = seen.to(self.compute.device)
        drawn = (self.network.draw(key.fold("network"), self.compute.device) for key in keys)
        rate = min(greatest_rate(self.training, self.training.tensors(one), seen) for one in drawn)
        return dataclasses.replace(card, lr=card.lr * rate)

    def _batch(
        self,
        images: Images,
        truth: Tensor,
        rows: Tensor,
        card: EvaluationCard,
        strategy: str,
        key: Key,
        step: Step,
        teacher: Labelling | None = None,
    ) -> Batch:
        """Return network inputs, augmented and mixed, and targets, on the device."""
        device = self.compute.device
        if isinstance(images, Tensor):
            batch = images[rows.to(device)]
        else:
            batch = images.take(rows).to(device)
        batch = augmented(batch, strategy, key.fold("augment", step.epoch, step.start))
        wanted = truth[rows.to(device)]
        if card.mixing != "none":
            batch, wanted = cutmix(
                batch, wanted, card.mixed, key.fold("mix", step.epoch, step.start)
            )
        if teacher is None:
            return batch, wanted
        if isinstance(teacher, StoredLabels):
            return batch, tempered(teacher.labels(batch, step), card)
        return batch, tempered(teacher(batch), card)

    def _losses(
        self,
        tensors: Tensors,
        drawn: Sequence[Batch],
        card: EvaluationCard,
        most: int | None,
        calls: list[Call],
    ) -> Iterator[Tensor]:
        """Give losses that add up to that of the batch, and put what was found into ``calls``."""
        # several at once are not compiled
        filled = self.compute.compile and len(drawn) == 1
        scored = partial(self._scored, tensors)
        for scores, wanted, found in in_parts(drawn, scored, card, most, filled=filled):
            calls.append((scores.detach(), wanted, found.detach()))
            yield found

    def _scored(self, tensors: Tensors, drawn: Sequence[Batch]) -> Batch:
        """Return scores and targets, with a first axis of the networks where these are several."""
        if len(drawn) == 1:
            ((batch, truth),) = drawn
            return self.training(tensors, batch), truth
        batches, truths = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return self._several(tensors, batches), truths


def _update(epoch: int, rows: Tensor, calls: Sequence[Call]) -> Update:
    """Return what the calls of a batch say together, of one network."""
    scores, truth, losses = zip(*calls, strict=True)
    return Update(epoch, rows, torch.cat(scores), torch.cat(truth), torch.stack(losses).sum())


class _Order:
    """The order in which one network sees the images, drawn anew for every epoch."""

    def __init__(self, count: int, card: EvaluationCard, key: Key, classes: int) -> None:
        self._learnt = batches(count, classes, len(card.rates[0])) if card.rates else []
        self._count = card.seen(count)
        # of few images, as a training in brief has, there may be no base with all
        self._variants = min(max(1, card.variants), count)
        self._runs_on = bool(card.updates)
        self._key = key
        self._drawn: dict[int, Tensor] = {}

    def rows(self, step: Step) -> Tensor:
        """Return the indices of a step's batch."""
        if self._learnt:
            return self._learnt[step.start]
        rows = self._epoch(step.epoch)[step.start : step.start + step.size]
        if self._runs_on and len(rows) < step.size:
            rows = torch.cat([rows, self._epoch(step.epoch + 1)[: step.size - len(rows)]])
        if self._variants == 1:
            return rows
        generator = self._key.fold("variants", step.epoch, step.start).generator()
        drawn = torch.randint(self._variants, (len(rows),), generator=generator)
        return rows * self._variants + drawn

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._drawn:
            self._drawn.pop(epoch - 2, None)
            self._drawn[epoch] = _permutation(self._count, self._key.fold("order", epoch))
        return self._drawn[epoch]


def _permutation(count: int, key: Key) -> Tensor:
    return torch.randperm(count, generator=key.generator())


def _stack(drawn: list[Tensors]) -> Tensors:
    return {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}


def _unstack(stacked: Tensors, count: int) -> list[Tensors]:
    return [{name: tensor[i] for name, tensor in stacked.items()} for i in range(count)]


def hits_of(scores: Callable[[Tensor], Tensor], data: LabelledImages, chunk: int) -> Hits:
    """Return how many images of each class have their largest score at their class.

    Args:
        scores: from N×C×H×W network inputs to N×K.
        data: what is tested.
        chunk: images that are scored at once.
    """
    right = torch.zeros(data.classes, dtype=torch.int64)
    for index in torch.arange(len(data)).split(chunk):
        found = scores(data.take(index)).argmax(dim=1)
        truth = data.labels[index.to(data.labels.device)].to(found.device)
        right = right.to(found.device) + torch.bincount(
            truth[found == truth], minlength=data.classes
        )
    tested = torch.bincount(data.labels, minlength=data.classes)
    return Hits(tuple(right.tolist()), tuple(tested.tolist()))
