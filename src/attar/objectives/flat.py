"""The loss of a network as a function of one vector of parameters, with its derivatives.

Trajectories of parameters are lines in the space of these vectors, so what is matched along them
is written in vectors too.

Shape letters: P parameters, B images, K classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from attar.compute import Compute, Functional, compiled
from attar.errors import BadRequest
from attar.objectives.base import Problem
from attar.objectives.derivatives import Tensors, among, parts
from attar.parallel.peers import ALONE, Peers, own
from attar.rng import Key

# scores and labels, both B×K → the loss of each image, B
ImageLoss = Callable[[Tensor, Tensor], Tensor]
# of a part of a batch: g and derivatives of g·v for parameters, images and labels
_Part = tuple[Tensor | None, Tensor | None, Tensor, Tensor]


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of every image, labels being probabilities."""
    return -(functional.log_softmax(scores, dim=1) * labels).sum(dim=1)


def binary_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the binary cross-entropy of every image, the mean over its K classes."""
    found = functional.binary_cross_entropy_with_logits(scores, labels, reduction="none")
    return found.mean(dim=1)


LOSSES: dict[str, ImageLoss] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
}


@dataclass(frozen=True)
class Pulled:
    """A gradient g of the loss for the parameters, and derivatives of g·v for a given v.

    Where peers share the batch, those for images and labels are zero for the images of others.

    Args:
        gradient: g, P values; None where it was not asked for.
        parameters: of g·v for the parameters, that is the Hessian times v, P values; likewise.
        images: of g·v for the images, of their shape.
        labels: of g·v for the labels, of their shape.
    """

    gradient: Tensor | None
    parameters: Tensor | None
    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Graphed:
    """A gradient g of the loss for the parameters with its graph, so that nothing is done again.

    Args:
        gradient: g, P values.
        parts: from v to the derivatives of g·v for parameters, images and labels, for each part of
            the batch.
        joined: makes them those of the batch.
    """

    gradient: Tensor
    parts: Sequence[Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]]
    joined: Callable[[Sequence[_Part]], Pulled]

    def pull(self, direction: Tensor) -> Pulled:
        """Return the derivatives of g·v for ``direction``, v, and let the graph go."""
        return self.joined([(None, *back(direction)) for back in self.parts])


class FlatLoss:
    """The mean loss of a batch in one kind of network in training mode; compiled once.

    Batch normalization uses the statistics of the batch.

    Args:
        module: any drawn network; gives the structure.
        loss: of one image; a name in `LOSSES`.
        compute: device, precision, compilation.
        mixes: whether images of a batch affect each other, so that it cannot come in parts.
        part: the most images whose graphs are held at once; None for the device's own.
        peers: that share every batch; sums over its images, such as gradients, are those of all of
            them, and the same everywhere.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: str,
        compute: Compute,
        mixes: bool,
        part: int | None = None,
        peers: Peers = ALONE,
    ) -> None:
        drop_running_statistics(module.train())
        self._mixes = mixes
        self._peers = peers
        self._part = compute.second_order_chunk if part is None else part
        self._network = Functional(module, "forward", compute)
        self._loss = LOSSES[loss]
        self._compute = compute
        named = dict(module.named_parameters())
        self._names = tuple(f"module.{name}" for name in named)
        self._shapes = tuple(tuple(tensor.shape) for tensor in named.values())
        self._sizes = tuple(tensor.numel() for tensor in named.values())
        self.buffers = {
            f"module.{name}": tensor.detach() for name, tensor in module.named_buffers()
        }
        self._gradient = compiled(self._gradient_of_part, compute)
        self._both = compiled(self._both_of_part, compute)
        self._pulled = compiled(self._pull_part, compute)

    @property
    def size(self) -> int:
        """The number P of parameters."""
        return sum(self._sizes)

    def tensors(self, flat: Tensor) -> Tensors:
        """Return the parameters in a vector of P values, by the names that `Functional` takes."""
        pieces = flat.split(self._sizes)
        return {
            name: piece.view(shape)
            for name, piece, shape in zip(self._names, pieces, self._shapes, strict=True)
        }

    def value(self, flat: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss, differentiably; of peers, the part of this one. See `gradient`."""
        found = [self._mean(flat, self.buffers, *part) for part in self._parts(images, labels)]
        return torch.stack(found).sum()

    def scores(self, flat: Tensor, images: Tensor) -> Tensor:
        """Return the scores of B×C×H×W network inputs, B×K, without a graph."""
        tensors = {**self.tensors(flat), **self.buffers}
        size = len(images) if self._mixes else self._compute.graph_chunk
        with torch.no_grad():
            parts = [self._compute.lay_out(part) for part in images.split(size)]
            return torch.cat([self._network.plain(tensors, part) for part in parts])

    def gradient(self, flat: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient of the mean loss for the parameters, P values.

        Args:
            flat: P parameters.
            images: B×C×H×W network inputs.
            labels: B×K.
        """
        total = torch.zeros_like(flat)
        for part in self._parts(images, labels):
            total += self._gradient(flat, self.buffers, *part)
        return self._peers.added([total])[0]

    def both(self, flat: Tensor, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss and its gradient, of one pass; see `gradient`."""
        found = [self._both(flat, self.buffers, *part) for part in self._parts(images, labels)]
        gradients, values = zip(*found, strict=True)
        value, gradient = torch.stack(values).sum(), torch.stack(gradients).sum(dim=0)
        value, gradient = self._peers.added([value, gradient])
        return value, gradient

    def pull(
        self,
        flat: Tensor,
        images: Tensor,
        labels: Tensor,
        direction: Tensor,
        *,
        gradient: bool = True,
        parameters: bool = True,
    ) -> Pulled:
        """Return the same gradient, and derivatives of its product with ``direction``.

        Args:
            flat: P parameters.
            images: B×C×H×W network inputs.
            labels: B×K.
            direction: v, P values.
            gradient: whether g is wanted, too; without it a compiled function computes less.
            parameters: whether the derivative for the parameters is wanted, too; without it less
                is computed.
        """
        found = [
            self._pulled(flat, self.buffers, *part, direction, gradient, parameters)
            for part in self._parts(images, labels)
        ]
        return self._joined(found, images, labels)

    def graphed(self, flat: Tensor, images: Tensor, labels: Tensor) -> Graphed:
        """Return the same gradient with its graph; see `gradient`.

        To pull it back takes half the time of `pull`, and memory for the graph until then.
        """
        total, found = torch.zeros_like(flat), []
        for part, truth, shares in self._parts(images, labels):

            def gradient(
                flat: Tensor, image: Tensor, label: Tensor, own: Tensor = shares
            ) -> Tensor:
                return self._gradient_of_part(flat, self.buffers, image, label, own)

            one, back, *_ = torch.func.vjp(gradient, flat, part, truth)
            total += one
            found.append(back)
        (total,) = self._peers.added([total])
        return Graphed(total, found, lambda back: self._joined(back, images, labels))

    def graph_bytes(self, flat: Tensor, images: Tensor, labels: Tensor) -> int:
        """Return about the bytes that such a graph keeps, by making one of autograd's own."""
        # held until all are counted, since an address given back is given out again
        kept: dict[int, torch.UntypedStorage] = {}

        def count(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage
            return tensor

        leaf = flat.detach().requires_grad_()
        # the transforms of `graphed` take no such hooks
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            value = self.value(leaf, images, labels)
            torch.autograd.grad(value, leaf, create_graph=True)
        return sum(storage.nbytes() for storage in kept.values())

    def _joined(self, found: Sequence[_Part], images: Tensor, labels: Tensor) -> Pulled:
        """Return what parts of a batch were pulled back to, as that of the batch."""
        own_gradient, curved, image, label = zip(*found, strict=True)
        summed = [
            torch.stack(one).sum(dim=0) for one in (own_gradient, curved) if one[0] is not None
        ]
        whole = iter(self._peers.added(summed))
        gradient, parameters = (
            None if one[0] is None else next(whole) for one in (own_gradient, curved)
        )
        mine = own(self._peers, len(images))
        back, truth = torch.cat(image)[: len(mine)], torch.cat(label)[: len(mine)]
        if self._peers.count > 1:
            back, truth = among(back, images, mine), among(truth, labels, mine)
        return Pulled(gradient, parameters, back, truth)

    def _parts(self, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        count = math.ceil(len(images) / self._peers.count)
        size = count if self._mixes else min(self._part, count)
        for part, truth, shares in parts(images, labels, size, self._peers):
            yield self._compute.lay_out(part), truth, shares

    def _mean(
        self, flat: Tensor, buffers: Tensors, images: Tensor, labels: Tensor, shares: Tensor
    ) -> Tensor:
        scores = self._network.plain({**self.tensors(flat), **buffers}, images)
        return self._loss(scores, labels) @ shares

    def _gradient_of_part(
        self, flat: Tensor, buffers: Tensors, images: Tensor, labels: Tensor, shares: Tensor
    ) -> Tensor:
        return torch.func.grad(self._mean)(flat, buffers, images, labels, shares)

    def _both_of_part(
        self, flat: Tensor, buffers: Tensors, images: Tensor, labels: Tensor, shares: Tensor
    ) -> tuple[Tensor, Tensor]:
        return torch.func.grad_and_value(self._mean)(flat, buffers, images, labels, shares)

    def _pull_part(
        self,
        flat: Tensor,
        buffers: Tensors,
        images: Tensor,
        labels: Tensor,
        shares: Tensor,
        direction: Tensor,
        gradient: bool,
        parameters: bool,
    ) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor]:
        def product(flat: Tensor, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            found = self._gradient_of_part(flat, buffers, images, labels, shares)
            return found @ direction, found

        wanted = (0, 1, 2) if parameters else (1, 2)
        back, found = torch.func.grad(product, argnums=wanted, has_aux=True)(flat, images, labels)
        # what is not returned is not computed by a compiled function
        return found if gradient else None, back[0] if parameters else None, *back[-2:]


def flat_loss(problem: Problem, loss: str, part: int | None = None) -> FlatLoss:
    """Return the loss of the problem's network as a function, made once per run.

    Args:
        problem: its network.
        loss: a name in `LOSSES`.
        part: as `FlatLoss` takes it, the same at every call.
    """
    name = f"flat {loss}" if problem.peers.count == 1 else f"flat {loss} of peers"
    if name not in problem.cache:
        module = problem.network.draw(Key(0), problem.compute.device)
        mixes, peers = problem.mixes_samples, problem.peers
        problem.cache[name] = FlatLoss(module, loss, problem.compute, mixes, part, peers)
    return problem.cache[name]


def refuse_to_share_mixed(problem: Problem) -> None:
    """Refuse to share the batches of a network among peers where images affect each other.

    Raises:
        BadRequest: they do.
    """
    if problem.mixes_samples:
        raise BadRequest(
            f"in {problem.network.name} batch normalization lets the images of a minibatch affect "
            "each other, so workers cannot share it; take a network with another norm, such as "
            "convnet3"
        )


def refuse_without_second_derivatives(problem: Problem, loss: str, method: str) -> None:
    """Refuse a network whose gradients cannot be differentiated.

    Args:
        problem: its network is tried, on two empty images.
        loss: a name in `LOSSES`.
        method: what needs them, in words.

    Raises:
        BadRequest: the network cannot be differentiated twice.
    """
    plain = dataclasses.replace(problem.compute, compile=False)
    module = problem.network.draw(Key(0), plain.device)
    student = torch.cat([tensor.detach().flatten() for tensor in module.parameters()])
    flat = FlatLoss(module, loss, plain, problem.mixes_samples)
    # two images: batch normalization takes no single value
    images = torch.zeros(2, *problem.layout.shape, device=plain.device)
    labels = torch.zeros(2, problem.layout.classes, device=plain.device)
    try:
        flat.pull(student, images, labels, torch.zeros_like(student))
    except (RuntimeError, NotImplementedError) as error:
        raise BadRequest(
            f"network {problem.network.name}: {method} needs second derivatives, which it does "
            f"not have ({error}); train experts of another network"
        ) from error


def drop_running_statistics(module: nn.Module) -> None:
    """Let batch normalization use the batch alone, in place.

    Running statistics are no part of a trajectory, and are not used in training mode.
    """
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None
