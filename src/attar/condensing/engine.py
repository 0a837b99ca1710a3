"""The one loop that updates synthetic data, whatever the objective and the parametrization."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from attar.compute import Compute, peak_memory
from attar.condensing.rounding import Rounding
from attar.condensing.updating import Updater
from attar.errors import BadRequest, RunFailed
from attar.objectives import Match, Objective, Penalty, Problem, State
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.storage import Storage
from attar.synthetic import Store, Synthetic, limits
from attar.synthetic.stores.touched import Touched, touching
from attar.tensors import all_finite, dotted, is_finite, nested, probabilities

Bounds = tuple[tuple[float, ...], tuple[float, ...]]


class Run:
    """A synthetic set on its way: set, objective with its state, optimisers, step count.

    Args:
        synthetic: the set, on the compute device; updated in place.
        objective: what drives it.
        problem: what the objective may read.
        optimisers: by role of the learnt tensors; None for those that are frozen.
        key: of the whole run.
        steps: updates of the whole run, over which schedules stretch; with None rates are
            constant.
        average: weight of the past in a running average of the set, from 0 to below 1; over the
            first steps it is lower. 0 for none.
        penalty: on what is stored, added to the loss.
        storage: how the set will be kept; one that is trained for is then read as it will be, once
            ``share`` is so far. None for none.
        bounds: least and largest values of each channel, within which what is stored is kept;
            None for none.

    Raises:
        BadRequest: a learnt tensor has no optimiser, or the objective refuses the problem.
    """

    def __init__(
        self,
        synthetic: Synthetic,
        objective: Objective,
        problem: Problem,
        optimisers: Mapping[str, Optimiser | None],
        key: Key,
        steps: int | None = None,
        average: float = 0.0,
        penalty: Penalty | None = None,
        bounds: Bounds | None = None,
        storage: Storage | None = None,
    ) -> None:
        problem = dataclasses.replace(
            problem,
            learned_labels=synthetic.labels is not None,
            variants=synthetic.parametrization.variants(problem.layout),
            steps=steps,
        )
        if problem.layout.is_slice and not objective.takes_slices:
            raise BadRequest(
                f"the objective {objective.name!r} learns from all classes together, so some of "
                "them cannot be updated without the others; distribution can"
            )
        objective.check(problem)
        if penalty is not None:
            penalty.check(synthetic)
        if not 0 <= average < 1:
            raise BadRequest(f"--average {average:g}: from 0 to below 1")
        self.synthetic = synthetic
        self.objective = objective
        self.penalty = penalty
        self.problem = problem
        self.key = key
        self.step = 0
        self.steps = steps
        self.average = average
        self.bounds = bounds
        # how much of the run is done, from 0 to 1; who steps it says so
        self.share = 0.0
        self.rounding = Rounding(synthetic, storage)
        self._confine()
        self.averaged = copy.deepcopy(synthetic).requires_grad_(False) if average else None
        device = problem.compute.device
        self.learned = {
            name: nn.Parameter(value.clone().to(device))
            for name, value in objective.learned(problem).items()
        }
        self.state = objective.init(problem, key.fold("init"))
        roles = {role: list(params) for role, params in synthetic.roles().items()}
        roles |= {name: [value] for name, value in self.learned.items()}
        self.updater = Updater(roles, optimisers)

    def advance(self) -> float:
        """Do one step: match, pull the gradients back, update, advance the objective.

        Returns:
            The loss.

        Raises:
            RunFailed: loss or gradient are NaN or Inf, and nothing was updated; or the updated
                values are.
            BadRequest: at the first step, a learnt tensor that no gradient reaches.
        """
        with self.rounding.at(self.share):
            return self._advance()

    def _advance(self) -> float:
        key = self.key.fold("step", self.step)
        index = self.objective.select(self.problem, self.state, key)
        with touching(always=self.updater.rests) as touched:
            images, labels = self.synthetic(index.to(self.problem.compute.device))
        match = self.objective.match(
            images.detach(), labels.detach(), self.problem, self.state, key, self.learned_copies()
        )
        penalty = None if self.penalty is None else self.penalty(self.synthetic)
        loss = match.loss.item() + (0.0 if penalty is None else penalty.item())
        if not math.isfinite(loss):
            raise self._diverged(loss)
        self.updater.clear()
        self._pull_back(images, labels, match)
        if self.step == 0:
            self._refuse_unreached(touched)
        if penalty is not None and penalty.requires_grad:
            penalty.backward()
        if not self.updater.update(touched, self.step, self.steps):
            raise self._diverged(loss)
        self._confine()
        self._raise_learned()
        self._update_average()
        self._adapt()
        self.state = self._advanced(match, key, self.state)
        self.step += 1
        return loss

    def probe(self, *, usual: bool = False) -> None:
        """Do the arithmetic of a step and throw it away; for timing and for compiling.

        Args:
            usual: of a step as most are; of the next one otherwise.
        """
        with self.rounding.at(self.share):
            self._probe(usual=usual)

    def _probe(self, *, usual: bool) -> None:
        key = self.key.fold("step", self.step)
        state = self.objective.usual(self.state) if usual else self.state
        index = self.objective.select(self.problem, state, key)
        with touching() as touched:
            images, labels = self.synthetic(index.to(self.problem.compute.device))
        match = self.objective.match(
            images.detach(), labels.detach(), self.problem, state, key, self.learned_copies()
        )
        ends = self._ends(images, labels, match)
        learnt = [one for one in self.synthetic.parameters() if one.requires_grad]
        learnt += [one.part for one in touched]
        if ends and learnt:
            tensors, slopes = zip(*ends, strict=True)
            torch.autograd.grad(tensors, learnt, slopes, allow_unused=True)
        self._advanced(match, key, state)

    @property
    def compute(self) -> Compute:
        """How its arithmetic is done."""
        return self.problem.compute

    @property
    def iterate(self) -> Synthetic:
        """The set that counts: the average where there is one, otherwise the last update."""
        return self.synthetic if self.averaged is None else self.averaged

    def _confine(self) -> None:
        if self.bounds is not None:
            like = next(self.synthetic.images.parameters())
            self.synthetic.images.confine(*limits(*self.bounds, like))
        if self.objective.keeps_probabilities and self.synthetic.labels is not None:
            with torch.no_grad():
                rows = torch.arange(len(self.synthetic), device=self.problem.compute.device)
                self.synthetic.labels.fit(probabilities(self.synthetic.labels(rows)))

    @torch.no_grad()
    def _raise_learned(self) -> None:
        for name, least in self.objective.least().items():
            self.learned[name].clamp_(min=least)

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.averaged is None:
            return
        # a young average must not be held back by its start
        past = min(self.average, (1 + self.step) / (10 + self.step))
        current = self.synthetic.state_dict()
        for name, tensor in self.averaged.state_dict().items():
            tensor.lerp_(current[name], 1 - past)

    def _adapt(self) -> None:
        for name, store in self.synthetic.named_modules():
            move = store.adapt(self.step + 1, self.steps) if isinstance(store, Store) else None
            if move is None:
                continue
            self.updater.move(list(store.parameters(recurse=False)), move)
            if self.averaged is not None:
                other = self.averaged.get_submodule(name)
                assert isinstance(other, Store)
                other.follow(move)

    def learned_values(self) -> dict[str, float]:
        """Return the learnt numbers beside the set, such as a learning rate, by name."""
        kept = self.learned_kept()
        return {name: value.item() for name, value in kept.items() if value.numel() == 1}

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all that the next step depends on, as a tree of tensors and values."""
        return {
            "step": self.step,
            "synthetic": nested(self.synthetic.state_dict()),
            "averaged": {} if self.averaged is None else nested(self.averaged.state_dict()),
            "learned": copied(self.learned),
            "state": copied(self.state),
            "optimisers": copied(self.updater.state_dict()),
        }

    def load_state_dict(self, tree: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.step = int(tree["step"])
        self.synthetic.load_state_dict(dotted(tree["synthetic"]))
        if self.averaged is not None:
            self.averaged.load_state_dict(dotted(tree["averaged"]))
        for name, value in self.learned.items():
            value.data.copy_(tree["learned"][name])
        self.state = copied(tree["state"], self.problem.compute.device)
        self.updater.load_state_dict(copied(tree["optimisers"]))

    def present(self) -> None:
        """Find out whether all that carry the run out are there; this process is."""

    def memory(self) -> int:
        """Return the most bytes that the run has held so far; 0 where unknown."""
        return peak_memory(self.problem.compute.device)

    def check(self) -> None:
        """Refuse to go on from values that are no numbers, before anything is made of them.

        Raises:
            RunFailed: some are not: those that a step touches are looked at by the step itself,
                those that move by momentum alone here.
        """
        if not self.finite():
            raise self._diverged(math.inf)

    def finite(self) -> bool:
        """Whether every learnt value is a number."""
        return all_finite(self.synthetic.state_dict()) and all_finite(self.learned)

    def _advanced(self, match: Match, key: Key, state: State) -> State:
        """Return the state of the objective after ``state``."""
        key = key.fold("advance")
        return self.objective.advance(
            self.synthetic, self.problem, state, key, self.learned_copies(), match.kept
        )

    def learned_copies(self) -> dict[str, Tensor]:
        """Return what is learnt beside the set, which stays as it is when that is updated."""
        return {name: value.detach().clone() for name, value in self.learned.items()}

    def learned_kept(self) -> dict[str, Tensor]:
        """Return what is learnt beside the set as an artefact keeps it."""
        return dict(self.objective.kept(self.learned_copies(), self.state))

    @staticmethod
    def _ends(images: Tensor, labels: Tensor, match: Match) -> list[tuple[Tensor, Tensor]]:
        """Return what was matched and is learnt, with its gradients."""
        pairs = ((images, match.images), (labels, match.labels))
        return [(one, slope) for one, slope in pairs if slope is not None and one.requires_grad]

    def _pull_back(self, images: Tensor, labels: Tensor, match: Match) -> None:
        ends = self._ends(images, labels, match)
        found = [*(gradient for _, gradient in ends), *match.learned.values()]
        if not all(is_finite(gradient) for gradient in found):
            raise self._diverged(match.loss.item())
        if ends:
            torch.autograd.backward([tensor for tensor, _ in ends], [grad for _, grad in ends])
        for name, value in self.learned.items():
            value.grad = match.learned.get(name)

    def _refuse_unreached(self, touched: list[Touched]) -> None:
        role = self.updater.unreached(touched)
        if role is not None:
            raise BadRequest(
                f"the objective {self.objective.name!r} gives no gradient to the learnt "
                f"{role}; choose a method that learns {role}, or keep them fixed"
            )

    def _diverged(self, loss: float) -> RunFailed:
        return RunFailed(
            f"the run diverged at step {self.step} (loss {loss:g}). Try a lower --lr "
            f"(now {self.updater.first.lr:g}) or --precision float32."
        )


def loop(run: Run, until: Callable[[Run], bool], after: Callable[[Run, float], None]) -> None:
    """Advance ``run`` until ``until`` says so, calling ``after`` with every loss."""
    while not until(run):
        after(run, run.advance())


def copied(tree: Mapping[str, Any], device: torch.device | None = None) -> dict[str, Any]:
    """Return the tree with copies of its tensors, on ``device`` where one is given."""
    copy: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            copy[name] = copied(value, device)
        elif isinstance(value, Tensor):
            copy[name] = value.detach().clone().to(device or value.device)
        else:
            copy[name] = value
    return copy
