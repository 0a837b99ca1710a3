"""Label distillation (LD): labels of a few images that a network learns from.

Source: Bohdal, Yang and Hospedales, Flexible Dataset Distillation: Learn Labels Instead of Images,
2020, algorithms 1 and 2, and their code.

Shape letters: B images, K classes, f features, P parameters.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from attar.compute import Functional
from attar.data.images import LabelledImages
from attar.errors import BadRequest, unknown
from attar.objectives.base import NOTHING, Match, Objective, Problem, State, gradients
from attar.objectives.derivatives import Tensors
from attar.objectives.exchanging import gone_back
from attar.objectives.features import features_of
from attar.objectives.flat import (
    drop_running_statistics,
    flat_loss,
    refuse_to_share_mixed,
    refuse_without_second_derivatives,
)
from attar.objectives.persistent import (
    Patience,
    fresh,
    mean_length,
    moved,
    no_lengths,
    with_length,
)
from attar.objectives.ridge import ridge_solution
from attar.objectives.unrolling import Steps, Student, checkpointed, loss_on
from attar.rng import Key
from attar.synthetic import Layout, Synthetic
from attar.training.fitting import LEARNT_UPDATES

LOSS = "cross_entropy"
LEARNERS = ("rr", "or2")
WATCHES = ("error", "loss")
# of the weights that ridge regressions found, how much a new one counts
_NEW = 0.01
# learning rates of Adam: of the network, and of the scale of its scores
_RATE, _RATE_SCALE = 1e-3, 0.01


@dataclass(frozen=True)
class LabelDistillation(Objective):
    """The cross-entropy on real images of a network that has just learnt from some of the set.

    One network is trained all the time: an update of the set by Adam on a minibatch of it, labels
    kept on probabilities, is followed by one of the network. It is drawn anew when its mean error
    on real images no longer falls. How long the last three lasted, the artefact keeps as
    ``learned_updates``, for which the card ``ld`` trains.

    Args:
        learner: how the network learns from a minibatch. ``or2``: by one step of gradient descent,
            gone back through exactly. ``rr``: a ridge regression on its features, in closed form,
            moves the weights of its last layer by a hundredth, with a learnt scale.
        batch: images of the set in a minibatch; 0, and more than there are, for all.
        batch_real: real images, drawn from all classes together; a smaller data set gives all.
        lr_network: learning rate of the one step of ``or2``.
        ridge: λ of ``rr``, as it is.
        gap: updates over which what is watched is averaged, and so many more in which it must fall.
        watch: what that is: ``error``, how many of the real images are classified wrong, as the
            authors have it, or ``loss``.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "labels"
    takes_unequal: ClassVar[bool] = True
    keeps_probabilities: ClassVar[bool] = True

    learner: str = "rr"
    batch: int = 50
    batch_real: int = 1024
    lr_network: float = 0.01
    ridge: float = 1.0
    gap: int = 50
    watch: str = "error"

    def __post_init__(self) -> None:
        if self.learner not in LEARNERS:
            raise unknown("learner", self.learner, LEARNERS)
        if self.watch not in WATCHES:
            raise unknown("watch", self.watch, WATCHES)
        for name, least in {"batch": 0, "batch_real": 1, "gap": 1}.items():
            if getattr(self, name) < least:
                raise BadRequest(f"{name} {getattr(self, name)}: {least} or more is needed")
        if not (math.isfinite(self.lr_network) and self.lr_network > 0):
            raise BadRequest(f"lr_network {self.lr_network:g}: a positive number is needed")
        if not (math.isfinite(self.ridge) and self.ridge >= 0):
            raise BadRequest(f"ridge {self.ridge:g}: a number of 0 or more is needed")

    def check(self, problem: Problem) -> None:
        """Refuse a network without second derivatives, where they are needed."""
        if self.learner == "or2":
            refuse_without_second_derivatives(problem, LOSS, "going back through a step")

    def init(self, problem: Problem, key: Key) -> State:
        """Return a drawn network, untrained."""
        return {**self._drawn(problem, key), "lengths": no_lengths()}

    def kept(
        self, learned: Mapping[str, Tensor], state: State | None = None
    ) -> Mapping[str, Tensor]:
        """Return for how many updates a network is trained, beside what others learn."""
        updates = torch.zeros(())
        if state is not None:
            updates = mean_length(state["lengths"].cpu(), state["known"]["age"])
        return {**learned, LEARNT_UPDATES: updates}

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        """Return the rows of a minibatch."""
        del state
        count = len(problem.layout)
        order = torch.randperm(count, generator=key.fold("rows").generator())
        return order[: self.batch or count]

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the loss on real images and its gradients."""
        del learned
        index = torch.randperm(len(problem.data), generator=key.fold("real").generator())
        index = index[: self.batch_real]
        real = problem.data.take(index).to(images.device)
        truth = problem.data.target(index).to(images.device)
        find = self._after_regression if self.learner == "rr" else self._after_step
        found = find(images, labels, real, truth, problem, state, key)
        rows = self.select(problem, state, key).to(images.device)
        watched = float(found.loss) if self.watch == "loss" else found.kept["errors"]
        kept = {"rows": rows, "labels": labels, "watched": watched}
        return Match(found.loss, found.images, found.labels, kept=kept)

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the state with the network an update older, or drawn anew."""
        del learned
        known, length = Patience(self.gap).after(state["known"], kept["watched"])
        if length is not None:
            lengths = with_length(state["lengths"], max(1, length))
            return {**self._drawn(problem, key.fold("drawn")), "lengths": lengths}
        with torch.no_grad():
            images, labels = synthetic(kept["rows"])
        train = self._trained_last if self.learner == "rr" else self._trained
        return {**state, **train(images, labels, kept["labels"], problem, state), "known": known}

    def parts(self, problem: Problem) -> int:
        """Return the images of a minibatch, which peers share, and real ones; 0 of ``rr``.

        Raises:
            BadRequest: they affect each other.
        """
        if self.learner == "rr":
            return 0
        refuse_to_share_mixed(problem)
        return min(self.batch or problem.layout.rows, problem.layout.rows)

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward: real ones once or thrice, a minibatch several times."""
        batch = min(self.batch or layout.rows, layout.rows)
        real = min(self.batch_real, len(data))
        return real + 9 * batch if self.learner == "rr" else 3 * real + 15 * batch

    def _drawn(self, problem: Problem, key: Key) -> State:
        device = problem.compute.device
        module = problem.network.draw(key.fold("network"), device)
        flat = torch.cat([one.detach().flatten() for one in module.parameters()])
        found: State = {"network": fresh(flat, _RATE), "known": Patience(self.gap).begun()}
        if self.learner == "rr":
            empty = torch.zeros(2, *problem.layout.shape, device=device)
            features = _embedding(problem)(_tensors(problem, flat), empty)
            last = torch.zeros(features.shape[1] + 1, problem.layout.classes, device=device)
            found |= {"last": last, "scale": fresh(torch.ones((), device=device), _RATE_SCALE)}
        return found

    def _after_step(
        self,
        images: Tensor,
        labels: Tensor,
        real: Tensor,
        truth: Tensor,
        problem: Problem,
        state: State,
        key: Key,
    ) -> Match:
        """Return the match of a step of gradient descent on a minibatch."""
        loss = flat_loss(problem, LOSS)
        lr = torch.tensor(self.lr_network, device=images.device)
        rows = torch.arange(len(images), device=images.device)
        steps = Steps(images, labels, [rows], (), key)
        student = Student(loss, steps, state["network"]["values"], lr, learns_lr=False)
        judged, errors = loss_on(loss, real, truth), 0.0

        def end(last: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal errors
            if self.watch == "error":
                errors = _errors(loss.scores(last, real), truth)
            return judged(last)

        found = checkpointed(student, end)
        return dataclasses.replace(gone_back(found, problem), kept={"errors": errors})

    def _trained(
        self, images: Tensor, labels: Tensor, before: Tensor, problem: Problem, state: State
    ) -> State:
        """Return the network after an update on the minibatch, with the labels of the step."""
        del labels
        network = state["network"]
        slope = flat_loss(problem, LOSS).gradient(network["values"], images, before)
        return {"network": moved(network, slope)}

    def _after_regression(
        self,
        images: Tensor,
        labels: Tensor,
        real: Tensor,
        truth: Tensor,
        problem: Problem,
        state: State,
        key: Key,
    ) -> Match:
        """Return the match of a ridge regression on a minibatch."""
        del key
        embedding, tensors = _embedding(problem), _tensors(problem, state["network"]["values"])
        leaf, values = images.detach().requires_grad_(), labels.detach().requires_grad_()
        with torch.no_grad():
            seen = _with_one(features_of(embedding, tensors, real, problem.compute))
        own = _with_one(features_of(embedding, tensors, leaf, problem.compute))
        last = self._last(own, values, state)
        scores = state["scale"]["values"] * (seen @ last)
        found = gradients(functional.cross_entropy(scores, truth), leaf, values)
        return dataclasses.replace(found, kept={"errors": _errors(scores.detach(), truth)})

    def _trained_last(
        self, images: Tensor, labels: Tensor, before: Tensor, problem: Problem, state: State
    ) -> State:
        """Return network, last layer and scale after an update on the minibatch."""
        flat = state["network"]["values"].detach().requires_grad_()
        scale = state["scale"]["values"].detach().requires_grad_()
        own = _with_one(_embedding(problem).plain(_tensors(problem, flat), images))
        last = self._last(own, before, state)
        loss = functional.cross_entropy(scale * (own @ last), labels)
        of_network, of_scale = torch.autograd.grad(loss, (flat, scale))
        return {
            "network": moved(state["network"], of_network),
            "scale": moved(state["scale"], of_scale),
            "last": last.detach(),
        }

    def _last(self, features: Tensor, labels: Tensor, state: State) -> Tensor:
        """Return the last layer, (f+1)×K, moved by a hundredth to the regression's."""
        solved = ridge_solution(features, labels, self.ridge, relative=False)
        return (1 - _NEW) * state["last"] + _NEW * solved


def _errors(scores: Tensor, truth: Tensor) -> float:
    """Return how many scores have their greatest value where the truth, likewise B×K, has not."""
    return float((scores.argmax(dim=1) != truth.argmax(dim=1)).sum())


def _with_one(features: Tensor) -> Tensor:
    """Return features with a column of ones, for the bias."""
    return torch.cat([features, features.new_ones(len(features), 1)], dim=1)


def _tensors(problem: Problem, flat: Tensor) -> Tensors:
    loss = flat_loss(problem, LOSS)
    return {**loss.tensors(flat), **loss.buffers}


def _embedding(problem: Problem) -> Functional:
    """Return the features of a network in training mode as a function, made once per run."""
    name = "labels: embedding"
    if name not in problem.cache:
        module = problem.network.draw(Key(0), problem.compute.device).train()
        drop_running_statistics(module)
        problem.cache[name] = Functional(module, "embed", problem.compute)
    return problem.cache[name]
