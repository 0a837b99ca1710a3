"""Labels from networks trained on real images one after the other, an epoch a step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from attar.compute import Compute
from attar.coresets import Confident
from attar.data import LabelledImages
from attar.data.reading import Watch
from attar.networks import Network
from attar.rng import Key
from attar.tensors import all_finite
from attar.training.learning import Midway
from attar.training.trainer import Trainer


class Teaching:
    """Networks in training and what those before them said, as `checkpoint.Resumable`.

    Args:
        made: the images to be labelled.
        train: the real images.
        teacher: how each network is trained.
        network: what is drawn.
        compute: device, precision, compilation.
        key: of all networks.
        count: networks.
    """

    def __init__(
        self,
        made: LabelledImages,
        train: LabelledImages,
        teacher: Confident,
        network: Network,
        compute: Compute,
        key: Key,
        count: int,
    ) -> None:
        self.kept, self.compute = self, compute
        self.facts = {"teachers": count, "epochs": teacher.epochs}
        self._made, self._train, self._teacher = made, train, teacher
        self._network, self._key, self._count = network, key, count
        functional = Trainer(network, compute).training
        self._names = functional.parameter_names
        self._done = 0
        self._said = torch.zeros(len(made), train.classes)
        # that of no epoch is a beginning, of which the shapes alone count
        drawn = functional.tensors(network.draw(key, compute.device))
        self._midway = Midway(0, drawn).copy()

    def carry_out(self, watch: Watch, passed: Callable[[], None]) -> Tensor:
        """Train what is left; return the mean of what all say, N×K probabilities.

        Args:
            watch: called after every update.
            passed: called after every epoch.
        """

        def after(midway: Midway) -> None:
            if midway.epochs:
                self._midway = midway.copy()
                passed()

        while self._done < self._count:
            study = self._teacher.study(
                self._train,
                self._network,
                self.compute,
                self._key.fold("relabel", self._done),
                watch,
                self._midway if self._midway.epochs else None,
                after,
            )
            own = dataclasses.replace(study, data=self._made)
            self._said = self._said + own.probabilities(torch.arange(len(self._made)))
            self._done += 1
            self._midway = Midway(0, self._midway.tensors)
        return self._said / self._count

    def state_dict(self) -> dict[str, Any]:
        """Return where the work is."""
        state = {"done": self._done, "epochs": self._midway.epochs, "said": self._said}
        return {
            "step": self._done * self._teacher.epochs + self._midway.epochs,
            "synthetic": {},
            "averaged": {},
            "learned": {},
            "state": state | self._midway.tree(self._names),
            "optimisers": {},
        }

    def load_state_dict(self, tree: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        state = tree["state"]
        self._done, self._said = state["done"], state["said"]
        self._midway = dataclasses.replace(Midway.of(state, self._names), epochs=state["epochs"])

    def finite(self) -> bool:
        """Whether every value is a number."""
        return all_finite(self._midway.tensors)

    def learned_kept(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}
