"""Nested multi-size condensation (MDC): one run after which every smaller set is good, too.

The set of size m is the first m images of every class. To the loss of the whole set comes that of
one of these subsets, the one whose features move most, and the images of smaller subsets that had
their turn are held.

Source: He et al., Multisize Dataset Condensation, ICLR 2024, and its authors' code. What that
code does: every 100 iterations, of 2,000 and with 100 updates each, it finds the distance of each
subset of 1 to n - 1 images per class from real ones. The distance is the squared one of mean
features of a class, at the last convolutional block of the network that the iteration matches
in, summed over features and averaged over classes and over the updates of that iteration. The
subset whose distance has changed most since the last check, up or down, is matched beside the
whole set, by the same loss with weight 1, to the same real images; the first check comes after
the first iteration and takes the subset of one. All classes have the same subset. A subset whose
turn is over counts as finished for good. The images of the largest finished subset smaller than
the present one get no gradient at all, neither of the subset's loss nor of the whole set's; with
a smaller present subset they get it again.

Here a check uses freshly drawn, untrained networks and images as they are, where the authors'
uses their network in training and augmented images; one update stands for their iteration.

Shape letters: K classes, n images per class, m images per class of a subset, D features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.objectives.base import NOTHING, Match, Objective, Problem, State, SubsetObjective
from attar.objectives.chunked import in_chunks
from attar.objectives.class_means import ClassMeans, training_embedding
from attar.rng import Key
from attar.synthetic import Layout, Synthetic

# the first check comes after this update or sweep: not the first, whose time a run is estimated by
_FIRST_CHECK = 2


@dataclass(frozen=True)
class Nested(Objective):
    """An objective on the whole set and on its most learnable subset.

    Args:
        base: what both are matched by: distribution or gradient matching, of all classes at a step
            or of one.
        every: updates from one check to the next. The authors check 20 times in a run. Where
            classes take turns it is rounded up, so that each has its turn with every subset.
        networks: networks drawn for a check; distances are their mean.
        batch_check: real images per class and network; a smaller class gives all it has.

    Raises:
        BadRequest: a setting out of range, or an objective that does not match parts of a set.
    """

    name: ClassVar[str] = "nested"

    base: SubsetObjective
    every: int = 100
    networks: int = 10
    batch_check: int = 64

    def __post_init__(self) -> None:
        if not isinstance(self.base, SubsetObjective):
            raise BadRequest(
                f"--nested: the objective {self.base.name!r} does not match parts of a set; "
                "distribution and gradient matching do, such as --method dm, dsa or idc-i"
            )
        for name in ("every", "networks", "batch_check"):
            if getattr(self, name) < 1:
                raise BadRequest(f"{name} {getattr(self, name)}: at least 1 is needed")

    @property
    def tells_apart(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the base does."""
        return self.base.tells_apart

    @property
    def matches_gradients(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the base does."""
        return self.base.matches_gradients

    def check(self, problem: Problem) -> None:
        """Refuse one image per class, and what the base refuses."""
        if problem.layout.per_class < 2:
            raise BadRequest(
                "--nested: with one image per class there is no smaller set to hold; ask for two "
                "or more, or leave it out"
            )
        if self.base.draws_rows(problem.layout):
            raise BadRequest(
                "--nested: a step has to read every image of a class, since the first ones are "
                f"matched by themselves; give --set {self.base.reading_all(problem.layout)}"
            )
        self.base.check(problem)

    def parts(self, problem: Problem) -> int:
        """Return among how many peers the base can be shared; by slices, it matches no subsets."""
        return 0 if self.base.takes_slices else self.base.parts(problem)

    def init(self, problem: Problem, key: Key) -> State:
        """Return the state before the first update: that of the base, and no subset yet."""
        subsets = problem.layout.per_class - 1
        device = problem.compute.device
        return {
            "base": self.base.init(problem, key),
            "updates": 0,
            "chosen": 0,
            "finished": torch.zeros(subsets, dtype=torch.bool, device=device),
            "distances": torch.zeros(subsets, dtype=torch.float32, device=device),
        }

    def learned(self, problem: Problem) -> Mapping[str, Tensor]:
        """Return what the base learns beside the set."""
        return self.base.learned(problem)

    def kept(
        self, learned: Mapping[str, Tensor], state: State | None = None
    ) -> Mapping[str, Tensor]:
        """Return these as the base keeps them."""
        return self.base.kept(learned, None if state is None else state["base"])

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        """Return the rows that the base needs."""
        return self.base.select(problem, state["base"], key)

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the loss of the set and of the chosen subset, and the gradient for the images.

        Labels get none: those of a subset would have to serve the whole set, too.
        """
        size, n = state["chosen"], problem.layout.per_class
        sizes = [n, size] if size else [n]
        found = self.base.match_each(sizes, images, labels, problem, state["base"], key, learned)
        pulled = [each.images for each in found if each.images is not None]
        gradient = torch.stack(pulled).sum(dim=0)
        still = torch.isin(self.select(problem, state, key), problem.layout.first(held(state)))
        gradient[still.to(images.device)] = 0
        beside = {
            name: torch.stack([each.learned[name] for each in found]).sum(dim=0)
            for name in found[0].learned
        }
        return Match(
            torch.stack([each.loss for each in found]).sum(), gradient, None, beside, found[0].kept
        )

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the state of the base after the update, and from time to time another subset."""
        updates = state["updates"] + 1
        base = self.base.advance(synthetic, problem, state["base"], key, learned, kept)
        later = {**state, "updates": updates, "base": base}
        if not self._is_due(updates, self.base.turns(problem.layout)):
            return later
        with torch.no_grad():
            images, _ = synthetic(torch.arange(len(synthetic), device=problem.compute.device))
        return later | chosen_next(state, self.distances(images, problem, key.fold("nested")))

    def _is_due(self, updates: int, turns: int) -> bool:
        """Return whether a check comes after so many updates, of which ``turns`` are a sweep."""
        sweeps, rest = divmod(updates, turns)
        return not rest and (sweeps == _FIRST_CHECK or not sweeps % math.ceil(self.every / turns))

    def usual(self, state: State) -> State:
        """Return the state with that of the base as it mostly is."""
        return {**state, "base": self.base.usual(state["base"])}

    def unusual(self, steps: int) -> float:
        """Return what the base says."""
        return self.base.unusual(steps)

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward by the base, for a subset of half the size, in checks."""
        checked = data.drawn(self.batch_check) + layout.rows
        subset = super().passes(layout, data) / 2 / self.base.turns(layout)
        return self.base.passes(layout, data) + subset + self.networks * checked / self.every

    @torch.no_grad()
    def distances(self, images: Tensor, problem: Problem, key: Key) -> Tensor:
        """Return how far each subset is from real images, for m of 1 to n - 1.

        It is Σ_D (mean real − mean synthetic features)², averaged over classes and networks.

        Args:
            images: K·n×C×H×W network inputs.
            problem: holds the data.
            key: decides networks and real images.
        """
        classes, n = problem.layout.classes, problem.layout.per_class
        embedding = training_embedding(problem)
        chunk = None if problem.mixes_samples else problem.compute.chunk
        reader = ClassMeans(self.batch_check, "none")
        sizes = torch.arange(1, n, device=images.device).view(-1, 1)
        total = torch.zeros(n - 1, device=images.device)
        for i in range(self.networks):
            own = key.fold("network", i)
            tensors = embedding.tensors(problem.network.draw(own, images.device))
            real = reader.real(tensors, problem, own)
            features = in_chunks(embedding, tensors, images, chunk).view(classes, n, -1)
            means = features.cumsum(dim=1)[:, :-1] / sizes
            total += (means - real.unsqueeze(1)).square().sum(dim=2).mean(dim=0)
        return total / self.networks


def chosen_next(state: State, distances: Tensor) -> State:
    """Return what a check changes in the state: the subset, and those that had their turn.

    Args:
        state: before it.
        distances: of the subsets of 1 to n - 1 images per class.
    """
    before = state["chosen"]
    if before == 0:
        return {"chosen": 1, "distances": distances}
    chosen = 1 + int((distances - state["distances"]).abs().argmax())
    finished = state["finished"].clone()
    if chosen != before:
        finished[before - 1] = True
    return {"chosen": chosen, "finished": finished, "distances": distances}


def held(state: State) -> int:
    """Return how many images of every class are held: the largest finished subset in the chosen."""
    smaller = state["finished"][: max(0, state["chosen"] - 1)]
    return max((m for m, done in enumerate(smaller.tolist(), start=1) if done), default=0)
