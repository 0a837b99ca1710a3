"""What objectives with a network in training share: what is compiled, and which networks serve."""

from __future__ import annotations

import dataclasses
import warnings

import torch
from torch import Tensor

from attar.compute import Functional
from attar.errors import BadRequest
from attar.networks.silence import silence
from attar.objectives.base import Problem
from attar.objectives.derivatives import LossGradients
from attar.objectives.distances import DISTANCES
from attar.rng import Key
from attar.training.evaluation_card import EvaluationCard
from attar.training.trainer import Trainer


def trainer_of(problem: Problem) -> Trainer:
    """Return what trains the networks of a problem, made once per run."""
    if "trainer" not in problem.cache:
        problem.cache["trainer"] = Trainer(problem.network, problem.compute)
    return problem.cache["trainer"]


def inner_card(epochs: int, augment: str, lr: float, batch: int) -> EvaluationCard:
    """Return how DC and what follows it train a network on the set between two updates of it."""
    return EvaluationCard(
        "inner",
        "plain SGD at a fixed learning rate",
        epochs,
        augment,
        lr=lr,
        momentum=0.0,
        weight_decay=0.0,
        batch=batch,
        schedule="constant",
        one_more=False,
    )


def derivatives_of(problem: Problem, distance: str) -> LossGradients:
    """Return the gradients of a problem's network and their distance, made once per run.

    Args:
        problem: names the network.
        distance: a name in `attar.objectives.distances.DISTANCES`.
    """
    name = f"derivatives of {distance}"
    if name not in problem.cache:
        module = problem.network.draw(Key(0), problem.compute.device)
        problem.cache[name] = LossGradients(module, *DISTANCES[distance], problem.compute)
    return problem.cache[name]


def check_derivatives(problem: Problem, distance: str) -> None:
    """Refuse a network that cannot be differentiated twice, or has nothing that is compared.

    Weights of a fresh network that get no gradient, and so cannot be matched, are told in a
    warning.

    Raises:
        BadRequest: the network does not serve.
    """
    plain = dataclasses.replace(problem.compute, compile=False)
    module = problem.network.draw(Key(0), plain.device)
    compared, counted = DISTANCES[distance]
    if not any(counted(one) for one in module.parameters()):
        raise BadRequest(
            f"network {problem.network.name}: it has no weights that the distance {distance!r} "
            "compares; take another network, or another distance"
        )
    derivatives = LossGradients(module, compared, counted, plain)
    tensors = Functional(module, "forward", plain).tensors(module)
    image = torch.zeros(1, *problem.layout.shape, device=plain.device)
    label = torch.zeros(1, problem.layout.classes, device=plain.device)
    try:
        target = derivatives.gradient(tensors, image, label, 1)
        derivatives.match(tensors, image, label, target)
    except (RuntimeError, NotImplementedError) as error:
        raise BadRequest(
            f"network {problem.network.name}: gradient matching needs second derivatives, "
            f"which it does not have ({error}); take another network, or a method such as lodm"
        ) from error
    _warn_of_silence(problem, distance)


def _warn_of_silence(problem: Problem, distance: str) -> None:
    # the problem of a run is looked at more than once
    if "silence" in problem.cache:
        return
    counts_vectors = DISTANCES[distance][1](torch.zeros(1))
    found = problem.cache["silence"] = silence(problem.network, vectors=counts_vectors)
    if found.silent:
        names = ", ".join(found.silent[:3]) + (", …" if len(found.silent) > 3 else "")
        warnings.warn(
            f"network {problem.network.name}: {len(found.silent)} of {found.tensors} weight "
            f"tensors ({found.values:.0%} of the weights matched) get a gradient of zero when "
            f"freshly drawn ({names}), so nothing is matched in them; begin no residual branch "
            "at zero (zero_init_residual=False, scales of 1), or take another network",
            stacklevel=2,
        )


def pulled_first(slope: Tensor, seen: Tensor, leaf: Tensor) -> Tensor:
    """Return the gradient for the first images of a class, from that for what was made of them."""
    size = len(slope)
    if seen is leaf:
        return slope
    (found,) = torch.autograd.grad(seen[:size], leaf, slope, retain_graph=True)
    return found[:size]
