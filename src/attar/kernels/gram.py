"""The kernel of an infinitely wide network between two sets of images, in bounded memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from attar.capacity import check_memory
from attar.errors import BadRequest
from attar.kernels import recursion
from attar.kernels.recursion import Conv, Covariances, Step
from attar.shapes import Shape

T = TypeVar("T")

KINDS = ("ntk", "nngp")
# values of one matrix that are held at once: on a CPU they should stay near the caches
_VALUES = {"cpu": 2**18, "cuda": 2**26}
# matrices of that size on the way there and back, at most
_MATRICES = 16
_BYTES = 8


@dataclass(frozen=True)
class Infinite:
    """An infinitely wide network; `attar.kernels.infinite` reads it from a finite one.

    Args:
        name: of the network.
        shape: of an image: C, H, W; or of a vector, D.
        steps: its layers, from an image to one score.
        weight: variance of the weights, times the inputs of an output.
        bias: variance of the biases.
    """

    name: str
    shape: Shape
    steps: tuple[Step, ...]
    weight: float = 2.0
    bias: float = 0.01

    def gram(self, first: Tensor, second: Tensor | None = None, kind: str = "ntk") -> Tensor:
        """Return the kernel between images, A×B float64, in the parametrization of the NTK.

        It can be differentiated for both, once. What is held at once is that of a few pairs of
        images; the way back goes through them a second time.

        Args:
            first: A×C×H×W network inputs.
            second: B×C×H×W; None for the first ones.
            kind: ``ntk``, or ``nngp`` for the covariances of the drawn network.

        Raises:
            BadRequest: not even one pair fits into memory.
        """
        if kind not in KINDS:
            raise BadRequest(f"kernel {kind!r}: {' or '.join(KINDS)}")
        self.check(len(first), len(first) if second is None else len(second))
        rows = self._parts(first)
        columns = rows if second is None else self._parts(second)
        found: list[list[Tensor]] = []
        for i, row in enumerate(rows):
            line: list[Tensor] = []
            for j, column in enumerate(columns):
                if second is None and j < i:
                    line.append(found[j][i].T)
                else:
                    line.append(_again(self._block, row, column, kind == "ntk"))
            found.append(line)
        return torch.cat([torch.cat(line, dim=1) for line in found])

    def check(self, first: int, second: int, remedy: str = "take fewer images") -> None:
        """Refuse, before any work, numbers of images whose kernel does not fit into memory.

        Args:
            first: images on one side.
            second: on the other.
            remedy: what to do.

        Raises:
            BadRequest: it does not; says what it takes.
        """
        size = "×".join(map(str, self.shape))
        check_memory(
            self.bytes(first, second),
            f"the kernel of {self.name!r} between {first:,} and {second:,} images of {size}, with "
            f"{self.values:,} values for a pair of images,",
            remedy,
        )

    def bytes(self, first: int, second: int) -> int:
        """Return the bytes that the kernel between so many images takes, at least."""
        return _BYTES * (_MATRICES * max(self.values, _VALUES["cpu"]) + 4 * first * second)

    def most_pairs(self, there: int) -> int:
        """Return how many pairs of images have a kernel within so many bytes; 0 where none has."""
        return max(0, there - self.bytes(0, 0)) // (4 * _BYTES)

    def largest_side(self, first: int, second: int, there: int) -> int:
        """Return the height and width, below its own, whose kernel so many bytes hold.

        Another size may have a network of another depth; what its first layers take is the same.
        It is 0 where there is none.
        """
        if len(self.shape) != 3 or self._flat:
            return 0
        sides = range(min(self.shape[1:]) - 1, 2 ** self.steps.count("pool") - 1, -1)
        smaller = (dataclasses.replace(self, shape=(self.shape[0], side, side)) for side in sides)
        return next((one.shape[1] for one in smaller if one.bytes(first, second) <= there), 0)

    @cached_property
    def values(self) -> int:
        """The values of the largest matrix for a pair of images."""
        most, sides, pairs = 1, self._first_sides, self._pairs[0]
        for step, needs_pairs in zip(self._rest, self._pairs[1:], strict=True):
            places = sides[0] * sides[1]
            most = max(most, places**2 if pairs else places)
            if isinstance(step, Conv):
                sides = step.side(sides[0]), step.side(sides[1])
            elif step == "pool":
                sides = sides[0] // 2, sides[1] // 2
            elif step in ("mean", "flatten"):
                sides = 1, 1
            pairs = needs_pairs
        return most

    @property
    def _flat(self) -> bool:
        return len(self.shape) != 3 or self.steps[0] == "flatten"

    @property
    def _first(self) -> Conv:
        first = self.steps[self.steps[0] == "flatten"]
        assert isinstance(first, Conv), "a network begins with a linear layer"
        return first

    @property
    def _rest(self) -> tuple[Step, ...]:
        return self.steps[1 + (self.steps[0] == "flatten") :]

    @property
    def _first_sides(self) -> tuple[int, int]:
        if self._flat:
            return 1, 1
        return self._first.side(self.shape[1]), self._first.side(self.shape[2])

    @property
    def _pairs(self) -> tuple[bool, ...]:
        """Whether positions are needed in pairs: before the rest of the layers, and after each."""
        rest = self._rest
        averages = [step in ("pool", "mean") for step in rest]
        return tuple(any(averages[at:]) for at in range(len(rest) + 1))

    def _parts(self, images: Tensor) -> list[_Part]:
        """Return images in parts, with what is known of each image by itself."""
        limit = _VALUES.get(images.device.type, _VALUES["cpu"])
        side = max(1, int((limit / self.values) ** 0.5))
        alone = max(1, limit // self.values)
        found = []
        for some in images.double().split(alone):
            known = _again(self._alone, some)
            parts = zip(*(tensor.split(side) for tensor in (some, *known)), strict=True)
            found.extend(_Part(part[0], part[1:]) for part in parts)
        return found

    def _patches(self, images: Tensor) -> Tensor:
        maps = images.flatten(1)[:, :, None, None] if self._flat else images
        return recursion.patches(maps, self._first, self.weight, self.bias)

    def _alone(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the deviations before every ReLU, each A×H×W."""
        found: list[Tensor] = []
        at = recursion.begin(self._patches(images), None, pairs=self._pairs[0], ntk=False)
        for step, pairs in zip(self._rest, self._pairs[1:], strict=True):
            if step == "relu":
                found.append(recursion.deviations(at.nngp, pairs=at.pairs))
            at = self._after(at, step, found[-1:] * 2, alone=True)
            at = at if pairs else recursion.places(at)
        return tuple(found)

    def _block(self, first: _Part, second: _Part, ntk: bool) -> Tensor:
        """Return the kernel of a part of the rows and a part of the columns."""
        known = iter(zip(first.deviations, second.deviations, strict=True))
        patches = self._patches(first.images), self._patches(second.images)
        at = recursion.begin(*patches, pairs=self._pairs[0], ntk=ntk)
        for step, pairs in zip(self._rest, self._pairs[1:], strict=True):
            at = self._after(at, step, next(known) if step == "relu" else ())
            at = at if pairs else recursion.places(at)
        return (at.nngp if at.ntk is None else at.ntk)[0, 0]

    def _after(
        self, at: Covariances, step: Step, known: Sequence[Tensor], *, alone: bool = False
    ) -> Covariances:
        if isinstance(step, Conv):
            return recursion.linear(at, step, self.weight, self.bias)
        if step == "relu":
            return recursion.relu(at, *_placed(*known, pairs=at.pairs, alone=alone))
        changes = {"pool": recursion.pool, "mean": recursion.mean, "flatten": recursion.flatten}
        return changes[step](at)


@dataclass(frozen=True)
class _Part:
    """Images, and their deviations before every ReLU."""

    images: Tensor
    deviations: tuple[Tensor, ...]


def _placed(first: Tensor, second: Tensor, *, pairs: bool, alone: bool) -> tuple[Tensor, Tensor]:
    """Return A×H×W and B×H×W deviations as they go with covariances in their layout."""
    if pairs:
        one = first[..., None, None, None]
        return one, (second[:, None, None, None] if alone else second[None, None, None])
    one, other = first.movedim(0, -1)[..., None], second.movedim(0, -1)
    return one, (other[..., None] if alone else other[..., None, :])


def _again(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function, and a second time on the way back in place of keeping its graph."""
    if not torch.is_grad_enabled():
        return function(*arguments)
    return checkpoint(  # pyright: ignore[reportReturnType]
        function, *arguments, use_reentrant=False, preserve_rng_state=False
    )
