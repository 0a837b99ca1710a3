"""The way back from where some steps of SGD on a synthetic set end to the set itself.

A student starts from parameters θ_0 and does N steps of SGD with momentum μ as PyTorch has it:
v_{i+1} = μ·v_i + g_i and θ_{i+1} = θ_i − α_i·v_{i+1}, with v_0 = 0 and g_i the gradient of the
mean loss on the i-th minibatch at θ_i. The α_i are one step size, or each is one of its own. What
is asked for is the slope of some L(θ_N) for images, labels and α. L is any `End`: the distance to
where an expert went, or a loss on real images.

With λ_N = ∂L/∂θ_N, w_N = 0 and the Hessian H_i at step i the chain rule is
w_i = α_i·λ_{i+1} + μ·w_{i+1} and λ_i = λ_{i+1} − H_i·w_i. Step i adds −∂(g_i·w_i)/∂x to the slope
for its minibatch x and −v_{i+1}·λ_{i+1} to that for α_i. Where all α_i are one α, it is taken out
of w_i and multiplied with at the end.

Shape letters: P parameters, N steps, S images of the set, B of a minibatch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.augmentation.dsa import augment
from attar.objectives.flat import FlatLoss, Graphed, Pulled
from attar.rng import Key


@dataclass(frozen=True)
class Steps:
    """The minibatches of N steps.

    Args:
        images: of the set, S×C×H×W network inputs, detached.
        labels: S×K, detached.
        rows: the rows of the set in each minibatch.
        strategy: names of augmentations, one of which every minibatch sees.
        key: of the augmentations; each step has one of its own.
        alike: one draw of the augmentation for all images of all steps, in place of one for each.
    """

    images: Tensor
    labels: Tensor
    rows: Sequence[Tensor]
    strategy: tuple[str, ...]
    key: Key
    alike: bool = False

    def __len__(self) -> int:
        """Return N."""
        return len(self.rows)

    def seen(self, step: int, images: Tensor) -> Tensor:
        """Return rows of ``images`` (B×C×H×W) as a step sees them, always the same."""
        key = self.key if self.alike else self.key.fold(step)
        return augment(images, self.strategy, key, shared=self.alike)

    def minibatch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return images and labels of a step, without a graph."""
        rows = self.rows[step]
        return self.seen(step, self.images[rows]), self.labels[rows]


@dataclass(frozen=True)
class Slopes:
    """What the way back finds.

    Where peers share the minibatches, the gradients for images and labels are the part of this one,
    of which those of all are the sum; L and the slope for α all find alike, since the gradient of a
    minibatch and its derivative for the parameters are summed at every step.

    Args:
        loss: L.
        images: its gradient for the images of the set, S×C×H×W.
        labels: for the labels, S×K.
        lr: for α, of its shape; zeros where it is not learnt.
    """

    loss: Tensor
    images: Tensor
    labels: Tensor
    lr: Tensor


class _Sum:
    """Gradients that grow from step to step."""

    def __init__(self, student: Student) -> None:
        self._steps = steps = student.steps
        self._shared = student.shared
        self._images = torch.zeros_like(steps.images)
        self._labels = torch.zeros_like(steps.labels)
        self._lr = torch.zeros_like(student.lr)

    def add(self, step: int, pulled: Pulled, rate: Tensor | None) -> None:
        """Add what a step gives.

        Args:
            step: its number.
            pulled: the derivatives of g·w, without the step size where all share it.
            rate: minus what is added to the slope for the step's α; None where it is not learnt.
        """
        rows = self._steps.rows[step]
        leaf = self._steps.images[rows].requires_grad_()
        (image,) = torch.autograd.grad(self._steps.seen(step, leaf), leaf, pulled.images)
        self._images.index_add_(0, rows, image, alpha=-1)
        self._labels.index_add_(0, rows, pulled.labels, alpha=-1)
        if rate is not None:
            (self._lr[step] if self._lr.ndim else self._lr).sub_(rate)

    def slopes(self, loss: Tensor) -> Slopes:
        """Return the sums."""
        return Slopes(loss, self._shared * self._images, self._shared * self._labels, self._lr)


# θ_N → L, with a graph where θ_N has one, and ∂L/∂θ_N, detached
End = Callable[[Tensor], tuple[Tensor, Tensor]]


def distance(first: Tensor, target: Tensor) -> End:
    """Return L = ‖θ_N − θ*‖²/‖θ_0 − θ*‖² (equation 1 of Cazenavette et al. 2022).

    Args:
        first: θ_0, P values.
        target: θ*, likewise.
    """

    def end(last: Tensor) -> tuple[Tensor, Tensor]:
        span = (first - target).square().sum()
        gap = last - target
        return gap.square().sum() / span, 2 * gap.detach() / span

    return end


def loss_on(loss: FlatLoss, images: Tensor, labels: Tensor) -> End:
    """Return the mean loss of θ_N on given images, such as real ones.

    Args:
        loss: of the student's network.
        images: B×C×H×W network inputs.
        labels: B×K.
    """

    def end(last: Tensor) -> tuple[Tensor, Tensor]:
        if not last.requires_grad:
            return loss.both(last, images, labels)
        return loss.value(last, images, labels), loss.gradient(last.detach(), images, labels)

    return end


# θ and v
Moment = tuple[Tensor, Tensor | None]
# these of a step, and its gradient with a graph where that is kept
Kept = tuple[Moment, Graphed | None]


@dataclass(frozen=True)
class Student:
    """A training of N steps that can be gone back.

    Args:
        loss: of the student's network.
        steps: the minibatches.
        first: θ_0, P values.
        lr: α, a scalar, or N values, one for each step.
        momentum: μ, from 0 to below 1.
        learns_lr: whether a slope for α is wanted, which needs every v_i.
        kept_on: where the parameters of the steps are kept; None for where they are made.
        graphs: whether the steps that are held keep the graphs of their gradients, too, so that
            they are not done again on the way back; the slopes are the same.
    """

    loss: FlatLoss
    steps: Steps
    first: Tensor
    lr: Tensor
    momentum: float = 0.0
    learns_lr: bool = True
    kept_on: torch.device | None = None
    graphs: bool = False

    @property
    def shared(self) -> Tensor:
        """The step size that all steps share; 1 where each has its own."""
        return torch.ones_like(self.lr[0]) if self.lr.ndim else self.lr

    def own(self, step: int) -> Tensor | float:
        """Return what the step size of a step is beside `shared`."""
        return self.lr[step] if self.lr.ndim else 1.0

    def rate(self, step: int) -> Tensor:
        """Return the step size of a step."""
        return self.lr[step] if self.lr.ndim else self.lr

    def moved(self, velocity: Tensor | None, gradient: Tensor) -> Tensor:
        """Return v after a step with gradient g."""
        if velocity is None or not self.momentum:
            return gradient
        return self.momentum * velocity + gradient

    def trace(self, now: Moment, numbers: range) -> tuple[list[Kept], Moment]:
        """Return what is kept of some steps, θ_i and v_{i+1}, and θ and v after the last.

        Where α is not learnt, v_{i+1} is left out.
        """
        done: list[Kept] = []
        student, velocity = now
        for step in numbers:
            minibatch = self.steps.minibatch(step)
            graphed = self.loss.graphed(student, *minibatch) if self.graphs else None
            gradient = (
                self.loss.gradient(student, *minibatch) if graphed is None else graphed.gradient
            )
            velocity = self.moved(velocity, gradient)
            done.append((self.put((student, velocity if self.learns_lr else None)), graphed))
            student = student - self.rate(step) * velocity
        return done, (student, velocity)

    def moved_through(self, now: Moment, numbers: range) -> Moment:
        """Return θ and v after some steps in order, without those between."""
        student, velocity = now
        for step in numbers:
            gradient = self.loss.gradient(student, *self.steps.minibatch(step))
            velocity = self.moved(velocity, gradient)
            student = student - self.rate(step) * velocity
        # without momentum the next step needs no v
        return student, velocity if self.momentum else None

    def put(self, moment: Moment) -> Moment:
        """Return θ and v where they are kept."""
        weights, velocity = moment
        place = self.kept_on or weights.device
        return weights.to(place), None if velocity is None else velocity.to(place)

    def got(self, moment: Moment) -> Moment:
        """Return θ and v where the steps are made."""
        weights, velocity = moment
        place = self.first.device
        return weights.to(place), None if velocity is None else velocity.to(place)


def checkpointed(student: Student, end: End, held: int | None = None) -> Slopes:
    """Return the exact slopes, keeping θ_i and v_i alone; each step is done again on the way back.

    Args:
        student: the training.
        end: what its end is judged by.
        held: steps whose θ_i and v_i are held at a time. The training is cut into as many parts at
            most, and each of these again until it has no more steps than that; where a part begins
            is kept until it is gone back, and steps are found again from there. So memory grows as
            ``held`` times the levels, the logarithm of N, and is least of two levels for √N. None
            holds all, and finds none again.

    Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, for the idea.
    """
    count = len(student.steps)
    size = min(held or count, count)
    found, direction = _Sum(student), None
    value = slope = None
    waiting: list[tuple[Moment, range]] = [((student.first, None), range(count))]
    while waiting:
        start, numbers = waiting.pop()
        now = student.got(start)
        *before, last = cut(numbers, size)
        for part in before:
            waiting.append((student.put(now), part))
            now = student.moved_through(now, part)
        if before and len(last) > size:
            waiting.append((student.put(now), last))
            continue
        done, now = student.trace(now, last)
        if slope is None:
            value, slope = end(now[0])
        for step in reversed(last):
            moment, graphed = done.pop()
            weights, velocity = student.got(moment)
            direction = student.moved(direction, student.own(step) * slope)
            if graphed is None:
                minibatch = student.steps.minibatch(step)
                pulled = student.loss.pull(weights, *minibatch, direction, gradient=False)
            else:
                pulled = graphed.pull(direction)
            found.add(step, pulled, None if velocity is None else velocity @ slope)
            assert pulled.parameters is not None
            slope = slope - student.shared * pulled.parameters
    assert value is not None
    return found.slopes(value.detach())


def cut(numbers: range, size: int) -> list[range]:
    """Return the parts, ``size`` at most, of which each is cut as evenly again; one if it fits."""
    longest = size
    while size > 1 and longest * size < len(numbers):
        longest *= size
    ends = range(numbers.start, numbers.stop, longest)
    return [range(begin, min(begin + longest, numbers.stop)) for begin in ends]


def kept(student: Student, end: End) -> Slopes:
    """Return the exact slopes from one graph of all steps, whose memory grows with N."""
    steps = student.steps
    images = steps.images.detach().requires_grad_()
    labels = steps.labels.detach().requires_grad_()
    alpha = student.lr.detach().requires_grad_()
    last, velocity = student.first, None
    for step, rows in enumerate(steps.rows):
        gradient = student.loss.gradient(last, steps.seen(step, images[rows]), labels[rows])
        velocity = student.moved(velocity, gradient)
        last = last - (alpha[step] if alpha.ndim else alpha) * velocity
    value, _ = end(last)
    return Slopes(value.detach(), *torch.autograd.grad(value, (images, labels, alpha)))


def detached(student: Student, end: End) -> Slopes:
    """Return the slopes with every θ_i taken as a constant, in memory that N does not change.

    Then θ_N = θ_0 − Σ c_i·g_i, where c_i is α_i + μ·α_{i+1} + … to the last step, so λ is the same
    in all steps. The steps are done twice: once to find λ, once for the slopes. It is no exact
    gradient: how a minibatch bears on the gradients of later steps is left out.
    Source: Cui et al. 2023 (TESLA), section 3.
    """
    steps, count = student.steps, len(student.steps)
    weights, velocity = student.first, None
    for step in range(count):
        gradient = student.loss.gradient(weights, *steps.minibatch(step))
        velocity = student.moved(velocity, gradient)
        weights = weights - student.rate(step) * velocity
    value, slope = end(weights)
    found = _Sum(student)
    weights, velocity = student.first, None
    for step in range(count):
        terms = range(count - step) if student.momentum else range(1)
        share = sum(student.momentum**power * student.own(step + power) for power in terms)
        pulled = student.loss.pull(weights, *steps.minibatch(step), share * slope, parameters=False)
        assert pulled.gradient is not None
        velocity = student.moved(velocity, pulled.gradient)
        found.add(step, pulled, velocity @ slope)
        weights = weights - student.rate(step) * velocity
    return found.slopes(value.detach())


Unroll = Callable[[Student, End], Slopes]

UNROLLS: dict[str, Unroll] = {"checkpointed": checkpointed, "kept": kept, "detached": detached}
