"""A weighted sum of objectives, which is an objective.

The terms see the same set at the same step, each with a state, random numbers and learnt tensors
of its own; losses and gradients are added up by weight.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.objectives.base import NOTHING, Match, Objective, Problem, State
from attar.parallel.peers import ALONE
from attar.rng import Key
from attar.synthetic import Layout, Synthetic


@dataclass(frozen=True)
class WeightedSum(Objective):
    """Σ weight · objective.

    Args:
        terms: two objectives or more.
        weights: one for each, above 0; empty for 1 each.

    Raises:
        BadRequest: fewer than two terms, another number of weights, or one that is not above 0.
    """

    name: ClassVar[str] = "sum"

    terms: tuple[Objective, ...]
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", tuple(self.terms))
        object.__setattr__(self, "weights", tuple(map(float, self.weights)) or (1.0,) * len(self))
        if len(self) < 2:
            raise BadRequest("a sum of objectives needs two or more, such as distribution+gradient")
        if len(self.weights) != len(self):
            raise BadRequest(f"{len(self.weights)} weights for {len(self)} objectives; one each")
        for weight in self.weights:
            if not (math.isfinite(weight) and weight > 0):
                raise BadRequest(f"weight {weight:g} of an objective: a number above 0 is needed")
        for term in self.terms:
            if isinstance(term, WeightedSum):
                raise BadRequest("a sum within a sum is one sum: list all its objectives")

    def __len__(self) -> int:
        return len(self.terms)

    @property
    def follows_experts(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether a term does."""
        return any(term.follows_experts for term in self.terms)

    @property
    def tells_apart(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether a term does."""
        return any(term.tells_apart for term in self.terms)

    @property
    def takes_unequal(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether every term does."""
        return all(term.takes_unequal for term in self.terms)

    @property
    def takes_slices(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether every term does."""
        return all(term.takes_slices for term in self.terms)

    @property
    def keeps_probabilities(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether a term does."""
        return any(term.keeps_probabilities for term in self.terms)

    @property
    def matches_gradients(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether a term does."""
        return any(term.matches_gradients for term in self.terms)

    def check(self, problem: Problem) -> None:
        """Refuse what a term refuses, and two that learn a tensor of one name."""
        for term in self.terms:
            term.check(problem)
        names = [name for term in self.terms for name in term.learned(problem)]
        for name in names:
            if names.count(name) > 1:
                raise BadRequest(
                    f"two objectives of the sum learn {name!r} beside the set, and there is one "
                    "of each name; leave one of them out"
                )

    def init(self, problem: Problem, key: Key) -> State:
        """Return the states of the terms, by their number."""
        return {number: term.init(problem, key.fold(number)) for number, term in self._numbered()}

    def learned(self, problem: Problem) -> Mapping[str, Tensor]:
        """Return what the terms learn beside the set."""
        return {name: value for term in self.terms for name, value in term.learned(problem).items()}

    def kept(
        self, learned: Mapping[str, Tensor], state: State | None = None
    ) -> Mapping[str, Tensor]:
        """Return what an artefact keeps beside the set, as the terms do one after the other."""
        for number, term in self._numbered():
            learned = term.kept(learned, None if state is None else state[number])
        return learned

    def least(self) -> Mapping[str, float]:
        """Return the least values of these."""
        return {name: value for term in self.terms for name, value in term.least().items()}

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        """Return the rows that any term needs, in order."""
        return torch.unique(torch.cat(self._selected(problem, state, key)))

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the sum of the terms' losses and gradients, each on the rows that it needs."""
        wanted = self._selected(problem, state, key)
        index = torch.unique(torch.cat(wanted))
        total = torch.zeros((), device=images.device)
        sums: dict[str, Tensor] = {}
        beside: dict[str, Tensor] = {}
        kept: dict[str, Mapping[str, Any]] = {}
        for (number, term), weight, rows in zip(
            self._numbered(), self.weights, wanted, strict=True
        ):
            place = torch.searchsorted(index, rows).to(images.device)
            own = term.match(
                images[place],
                labels[place],
                _seen_by(term, problem),
                state[number],
                key.fold(number),
                learned,
            )
            total = total + weight * own.loss
            for name, whole, slope in (
                ("images", images, own.images),
                ("labels", labels, own.labels),
            ):
                if slope is not None:
                    sums.setdefault(name, torch.zeros_like(whole)).index_add_(
                        0, place, weight * slope
                    )
            beside |= {name: weight * slope for name, slope in own.learned.items()}
            kept[number] = own.kept
        return Match(total, sums.get("images"), sums.get("labels"), beside, kept)

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the states of the terms after the update."""
        return {
            number: term.advance(
                synthetic,
                _seen_by(term, problem),
                state[number],
                key.fold(number),
                learned,
                kept.get(number, NOTHING),
            )
            for number, term in self._numbered()
        }

    def parts(self, problem: Problem) -> int:
        """Return among how many peers every term can be shared that can; each does the others."""
        return min(filter(None, (term.parts(problem) for term in self.terms)), default=0)

    def joined(self, states: Sequence[tuple[Collection[int], State]]) -> State:
        """Return the states of the terms, each joined by itself."""
        return {
            number: term.joined([(labels, state[number]) for labels, state in states])
            for number, term in self._numbered()
        }

    def usual(self, state: State) -> State:
        """Return the states of the terms as they mostly are."""
        return {number: term.usual(state[number]) for number, term in self._numbered()}

    def unusual(self, steps: int) -> float:
        """Return the largest share that a term says."""
        return max(term.unusual(steps) for term in self.terms)

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images that all terms send forward."""
        return sum(term.passes(layout, data) for term in self.terms)

    def _numbered(self) -> Iterator[tuple[str, Objective]]:
        return ((str(number), term) for number, term in enumerate(self.terms))

    def _selected(self, problem: Problem, state: State, key: Key) -> list[Tensor]:
        return [
            term.select(problem, state[number], key.fold(number))
            for number, term in self._numbered()
        ]


def _seen_by(term: Objective, problem: Problem) -> Problem:
    """Return the problem as a term sees it: alone, where peers cannot share it."""
    if problem.peers.count == 1 or term.parts(problem):
        return problem
    return dataclasses.replace(problem, peers=ALONE)
