"""What an objective is: a frozen dataclass that turns images and labels into gradients.

An objective sees images and labels, never how they are stored, so it drives every
parametrization; the engine carries the gradients back into whatever is stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from attar.compute import Compute
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.kinds import Settings
from attar.networks import Network
from attar.parallel.peers import ALONE, Peers
from attar.rng import Key
from attar.synthetic import Layout, Synthetic
from attar.teachers.teacher import Teacher

# what an objective that learns or hands on nothing is given
NOTHING: Mapping[str, Any] = MappingProxyType({})

# Whatever an objective keeps between steps: tensors, numbers, text and dictionaries of these.
# It is written to checkpoints as it is, so nothing else may be in it.
State = dict[str, Any]


class Trajectories(Protocol):
    """Networks trained on the real data, with their parameters on the way.

    A network's parameters are one vector of P values, in the order of
    `torch.nn.Module.named_parameters`.
    """

    @property
    def count(self) -> int:
        """How many networks there are."""
        ...

    @property
    def epochs(self) -> int:
        """How many epochs each was trained for; snapshots are numbered from 0, untrained, to it."""
        ...

    def segment(self, expert: int, start: int, length: int) -> Tensor:
        """Return snapshots ``start`` to ``start + length`` as (length + 1)×P float32."""
        ...


@dataclass(frozen=True)
class Problem:
    """What an objective may read.

    Args:
        data: the real images to condense, on the device when they fit.
        network: the network that is drawn and trained.
        layout: the rows of the synthetic set.
        compute: device, precision, compilation, chunk size.
        learned_labels: whether the labels of the synthetic set are learnt; a run sets it.
        experts: networks trained on the real data; None where there are none.
        steps: updates of the whole run; None where time ends it, or nothing says; a run sets it.
        variants: images made of every base of the synthetic set, which lie together; 1 for one, or
            where bases have unequal numbers of them; a run sets it.
        peers: processes that share each step with this one; see `Objective.parts`.
        cache: for functions compiled once per run; never checkpointed.
    """

    data: LabelledImages
    network: Network
    layout: Layout
    compute: Compute
    learned_labels: bool = False
    experts: Trajectories | None = None
    variants: int = 1
    steps: int | None = None
    peers: Peers = field(default=ALONE, compare=False, repr=False)
    cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def mixes_samples(self) -> bool:
        """Whether the network in training mode lets images of a batch affect each other."""
        return self.network.mixes_samples()


def experts_of(problem: Problem, method: str = "the objective") -> Trajectories:
    """Return the experts of a problem.

    Args:
        problem: what an objective may read.
        method: what follows them, in words.

    Raises:
        BadRequest: there are none.
    """
    if problem.experts is None:
        raise BadRequest(
            f"{method} needs trajectories of networks trained on the real data, and there are "
            "none; make some with 'attar experts' and give --experts"
        )
    return problem.experts


def check_variants(problem: Problem, name: str) -> None:
    """Refuse a set that has one image of each base.

    Args:
        problem: says how many there are.
        name: of the objective.

    Raises:
        BadRequest: it has.
    """
    if problem.variants < 2:
        raise BadRequest(
            f"the objective {name!r} needs several images of every base, as many of each, and "
            "there is one of each; choose --form hallucinated with two hallucinators or more, and "
            "images per class that they divide"
        )


@dataclass(frozen=True)
class Match:
    """The outcome of one matching.

    Args:
        loss: the value, detached.
        images: gradient for the images given, of their shape; None where none reaches them.
        labels: gradient for the labels given; None where none reaches them.
        learned: gradients for the learnt tensors beside the set, by name.
        kept: what `Objective.advance` of the same step is given; it is never stored.
    """

    loss: Tensor
    images: Tensor | None
    labels: Tensor | None = None
    learned: Mapping[str, Tensor] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)


class Objective(Settings, ABC):
    """One way to compare a synthetic set with real data.

    Subclasses are frozen dataclasses: their fields are the settings of the method. They hold
    no state of their own.
    """

    name: ClassVar[str]
    # whether it reads `Problem.experts`
    follows_experts: ClassVar[bool] = False
    # whether classes of the set may have different numbers of images
    takes_unequal: ClassVar[bool] = False
    # whether it learns from telling classes apart, so that one class alone would teach it nothing
    tells_apart: ClassVar[bool] = True
    # whether it treats each class by itself, so that some classes give what they give in the whole
    takes_slices: ClassVar[bool] = False
    # whether it compares gradients of networks: these then begin with no branch silent
    matches_gradients: ClassVar[bool] = False
    # whether learnt labels are moved back onto probabilities after every update
    keeps_probabilities: ClassVar[bool] = False
    # settings that it did not always have: a run says nothing of them where they are the default
    later: ClassVar[frozenset[str]] = frozenset()

    def init(self, problem: Problem, key: Key) -> State:
        """Return the state before the first step; empty for most."""
        del problem, key
        return {}

    def learned(self, problem: Problem) -> Mapping[str, Tensor]:
        """Return the starting values of learnt tensors beside the set, such as a step size."""
        del problem
        return {}

    def kept(
        self, learned: Mapping[str, Tensor], state: State | None = None
    ) -> Mapping[str, Tensor]:
        """Return what an artefact keeps beside the set: these tensors, by default as they are.

        A step size may be learnt by its logarithm; what the state counted may be kept, too.

        Args:
            learned: as they are learnt.
            state: as it is; None before a run, where names and shapes alone matter.
        """
        del state
        return learned

    def least(self) -> Mapping[str, float]:
        """Return the least values of these, to which they are moved back after an update."""
        return {}

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        """Return the rows of the set that this step needs; all of them by default."""
        del state, key
        return torch.arange(len(problem.layout))

    @abstractmethod
    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Compare the rows of `select` with real data.

        Args:
            images: B×C×H×W network inputs, detached.
            labels: B×K, detached.
            problem: what may be read.
            state: what `init` or `advance` returned last.
            key: of this step.
            learned: the tensors that `Objective.learned` declared, as they are now, detached.

        Returns:
            The loss and its gradients. Calling it twice gives the same, and changes nothing.
        """

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the state after the set was updated: train the inner network, age a pool.

        Args:
            synthetic: the set, updated.
            problem: what may be read.
            state: as `match` of this step saw it.
            key: of this step, for draws of its own.
            learned: the tensors beside the set, updated, detached.
            kept: what `match` of this step returned as ``Match.kept``.
        """
        del synthetic, problem, key, learned, kept
        return state

    def parts(self, problem: Problem) -> int:
        """Return among how many peers a step can be shared; 0 where it cannot, as for most.

        Each then does a part of `match` by ``problem.peers``, and all return the same: the sum.

        Args:
            problem: of a run, or of a plan, which has no experts.

        Raises:
            BadRequest: a setting or the network keeps a step together.
        """
        del problem
        return 0

    def joined(self, states: Sequence[tuple[Collection[int], State]]) -> State:
        """Return the state of the whole set from those of its slices; see `takes_slices`.

        Args:
            states: classes and state of each slice, all after the same step, every class in one.
        """
        return states[0][1]

    def teacher(self, problem: Problem, state: State) -> Teacher | None:
        """Return the trained network that it learns from, to be kept with the set; None for none.

        Args:
            problem: what may be read.
            state: as it is.
        """
        del problem, state

    def usual(self, state: State) -> State:
        """Return a state of a step as most are, where the next one costs more; for measuring."""
        return state

    def unusual(self, steps: int) -> float:
        """Return which share of so many steps from the start costs what the first one does."""
        del steps
        return 1.0

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return about how many images a step sends forward, a backward pass counting as two.

        It decides whether compilation pays.
        """
        del data
        return 3.0 * layout.rows

    def check(self, problem: Problem) -> None:
        """Refuse, before any work, a problem this objective cannot take."""
        del problem


class SubsetObjective(Objective):
    """An objective that also compares the first images of every class with the same real data."""

    def draws_rows(self, layout: Layout) -> bool:
        """Whether a step reads some of the images of a class only."""
        del layout
        return False

    def reading_all(self, layout: Layout) -> str:
        """Return the setting with which it reads all of them."""
        del layout
        return "batch=0"

    def turns(self, layout: Layout) -> int:
        """Return in how many steps every class is matched once: 1, unless classes take turns."""
        del layout
        return 1

    @abstractmethod
    def match_each(
        self,
        sizes: Sequence[int],
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> list[Match]:
        """Compare the first m images of every class, for each m of ``sizes``, with real data.

        Images and labels are those of `select`, of one class where classes take turns. Each outcome
        is what `match` gives for the first of these alone under the same key; its gradients have
        the shape of ``images`` and ``labels``, and are zero in other rows.
        """

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the loss of this step and its gradients."""
        sizes = [problem.layout.per_class]
        (found,) = self.match_each(sizes, images, labels, problem, state, key, learned)
        return found


class Penalty(Settings, ABC):
    """A term of the loss on what is stored, whatever it is compared with.

    Subclasses are frozen dataclasses: their fields are its settings, weights among them.
    """

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, synthetic: Synthetic) -> Tensor:
        """Return the term, a scalar that reaches the stored tensors where it is not a constant."""

    def check(self, synthetic: Synthetic) -> None:
        """Refuse, before any work, a set that has nothing to penalize."""
        del synthetic


def gradients(loss: Tensor, images: Tensor, labels: Tensor | None = None) -> Match:
    """Return the match of a plain scalar loss; for objectives without a reverse pass of their own.

    Args:
        loss: a scalar whose graph reaches ``images``, leaves that require gradients.
        images: the leaf made from the images given to `Objective.match`.
        labels: likewise for labels.
    """
    wanted = [tensor for tensor in (images, labels) if tensor is not None]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return Match(loss.detach(), found[0], found[1] if labels is not None else None)
