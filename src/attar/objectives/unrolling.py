"""The way back from where some steps of SGD on a synthetic set end to the set itself.

A student starts from parameters θ_0 and does N steps θ_{i+1} = θ_i − α·g_i, with g_i the gradient
of the mean loss on the i-th minibatch at θ_i. What is asked for is the slope of
L = ‖θ_N − θ*‖²/‖θ_0 − θ*‖² (equation 1 of Cazenavette et al. 2022) for images, labels and α.

With λ_N = ∂L/∂θ_N and the Hessian H_i at step i the chain rule is
λ_i = λ_{i+1} − α·H_i·λ_{i+1}, and step i adds −α·∂(g_i·λ_{i+1})/∂x to the slope for its minibatch
x and −g_i·λ_{i+1} to that for α.

Shape letters: P parameters, N steps, S images of the set, B of a minibatch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.augmentation.dsa import augment
from attar.objectives.flat import FlatLoss, Pulled
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
    """

    images: Tensor
    labels: Tensor
    rows: Sequence[Tensor]
    strategy: tuple[str, ...]
    key: Key

    def __len__(self) -> int:
        """Return N."""
        return len(self.rows)

    def seen(self, step: int, images: Tensor) -> Tensor:
        """Return rows of ``images`` (B×C×H×W) as a step sees them, always the same."""
        return augment(images, self.strategy, self.key.fold(step), shared=False)

    def minibatch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return images and labels of a step, without a graph."""
        rows = self.rows[step]
        return self.seen(step, self.images[rows]), self.labels[rows]


@dataclass(frozen=True)
class Slopes:
    """What the way back finds.

    Args:
        loss: L.
        images: its gradient for the images of the set, S×C×H×W.
        labels: for the labels, S×K.
        lr: for the step size α.
    """

    loss: Tensor
    images: Tensor
    labels: Tensor
    lr: Tensor


class _Sum:
    """Gradients that grow from step to step."""

    def __init__(self, steps: Steps, lr: Tensor) -> None:
        self._steps = steps
        self._alpha = lr
        self._images = torch.zeros_like(steps.images)
        self._labels = torch.zeros_like(steps.labels)
        self._lr = torch.zeros_like(lr)

    def add(self, step: int, gradient: Tensor, slope: Tensor, pulled: Pulled) -> None:
        """Add what a step gives where ``slope`` is λ and ``pulled`` the derivatives of g·λ."""
        rows = self._steps.rows[step]
        leaf = self._steps.images[rows].requires_grad_()
        (image,) = torch.autograd.grad(self._steps.seen(step, leaf), leaf, pulled.images)
        self._images.index_add_(0, rows, image, alpha=-1)
        self._labels.index_add_(0, rows, pulled.labels, alpha=-1)
        self._lr -= gradient @ slope

    def slopes(self, loss: Tensor) -> Slopes:
        """Return the sums."""
        return Slopes(loss, self._alpha * self._images, self._alpha * self._labels, self._lr)


def checkpointed(loss: FlatLoss, steps: Steps, first: Tensor, target: Tensor, lr: Tensor) -> Slopes:
    """Return the exact slopes, keeping θ_i and g_i alone; each step is done again on the way back.

    Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, for the idea.
    """
    student, done = first, []
    for step in range(len(steps)):
        gradient = loss.gradient(student, *steps.minibatch(step))
        done.append((student, gradient))
        student = student - lr * gradient
    value, slope = _distance(student, first, target)
    found = _Sum(steps, lr)
    for step in reversed(range(len(steps))):
        student, gradient = done.pop()
        pulled = loss.pull(student, *steps.minibatch(step), slope, gradient=False)
        found.add(step, gradient, slope, pulled)
        assert pulled.parameters is not None
        slope = slope - lr * pulled.parameters
    return found.slopes(value)


def kept(loss: FlatLoss, steps: Steps, first: Tensor, target: Tensor, lr: Tensor) -> Slopes:
    """Return the exact slopes from one graph of all steps, whose memory grows with N."""
    images = steps.images.detach().requires_grad_()
    labels = steps.labels.detach().requires_grad_()
    alpha = lr.detach().requires_grad_()
    student = first
    for step, rows in enumerate(steps.rows):
        gradient = loss.gradient(student, steps.seen(step, images[rows]), labels[rows])
        student = student - alpha * gradient
    value, _ = _distance(student, first, target)
    return Slopes(value.detach(), *torch.autograd.grad(value, (images, labels, alpha)))


def detached(loss: FlatLoss, steps: Steps, first: Tensor, target: Tensor, lr: Tensor) -> Slopes:
    """Return the slopes with every θ_i taken as a constant, in memory that N does not change.

    Then θ_N = θ_0 − α·Σ g_i, so λ is the same in all steps. The steps are done twice: once to
    find λ, once for the slopes. It is no exact gradient: how a minibatch bears on the gradients
    of later steps is left out. Source: Cui et al. 2023 (TESLA), section 3.
    """
    student = first
    for step in range(len(steps)):
        student = student - lr * loss.gradient(student, *steps.minibatch(step))
    value, slope = _distance(student, first, target)
    found, student = _Sum(steps, lr), first
    for step in range(len(steps)):
        pulled = loss.pull(student, *steps.minibatch(step), slope, parameters=False)
        assert pulled.gradient is not None
        found.add(step, pulled.gradient, slope, pulled)
        student = student - lr * pulled.gradient
    return found.slopes(value)


def _distance(last: Tensor, first: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return L and ∂L/∂θ_N; nothing but L has a graph."""
    span = (first - target).square().sum()
    gap = last - target
    return gap.square().sum() / span, 2 * gap.detach() / span


Unroll = Callable[[FlatLoss, Steps, Tensor, Tensor, Tensor], Slopes]

UNROLLS: dict[str, Unroll] = {"checkpointed": checkpointed, "kept": kept, "detached": detached}
