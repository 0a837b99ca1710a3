"""What a published method fixes, before a user overrides any of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from attar.coresets import SELECTORS, Selector
from attar.methods.task import Task
from attar.networks import paper_names
from attar.objectives import Objective, Penalty
from attar.optimisers import Optimiser
from attar.synthetic import Layout, Parametrization


@dataclass(frozen=True)
class Recipe:
    """Every setting of a method.

    Args:
        objective: what is matched.
        parametrization: how images are stored.
        optimisers: by role of the learnt tensors; None freezes a role: its tensors stay as they
            start, such as the images where labels alone are learnt.
        iterations: updates of the set.
        init: how the set starts: ``noise``, or a name in `attar.coresets.SELECTORS`; any other
            name where the plan has a set to start from.
        network: name of the network to match in.
        card: name of the evaluation card.
        learned_labels: whether labels are stored and learnt.
        centred_labels: start them at one-hot minus 1/K, divided by √(K/10), in place of
            one-hot (Zhou et al. 2022).
        uniform_labels: start them at 1/K, which says nothing (Bohdal et al. 2020).
        penalty: on what is stored, added to the loss; None for none.
        rows: images per class where a further one costs next to nothing, so that a budget in bytes
            does not say how many there are; None for as many as fit.
        selector: the settings of ``init``; None for its defaults.
        average: weight of the past in a running average of the set, which stands in place of the
            last update; 0 for none.
        carried: storage of the teacher, which then travels in the file of the set and labels what
            is made of its images; empty for none.
        bounded: whether images are kept between black and white, where they have these.
    """

    objective: Objective
    parametrization: Parametrization
    optimisers: Mapping[str, Optimiser | None]
    iterations: int
    init: str
    network: str
    card: str
    learned_labels: bool = False
    centred_labels: bool = False
    uniform_labels: bool = False
    penalty: Penalty | None = None
    selector: Selector | None = None
    rows: int | None = None
    average: float = 0.0
    carried: str = ""
    bounded: bool = False

    @property
    def leading(self) -> Optimiser | None:
        """The optimiser that a user's changes are of: of the images, else of the first role."""
        learnt = [one for one in self.optimisers.values() if one is not None]
        return self.optimisers.get("images") or next(iter(learnt), None)

    @property
    def start(self) -> Selector | None:
        """What chooses the real images that the set starts from; None for noise or a given set."""
        if self.init not in SELECTORS:
            return None
        return self.selector or SELECTORS[self.init]()

    def first_labels(self, layout: Layout) -> Tensor:
        """Return the N×K label values that learnt labels start from."""
        labels = functional.one_hot(layout.class_of_row(), layout.classes).float()
        if self.uniform_labels:
            return torch.full_like(labels, 1 / layout.classes)
        if not self.centred_labels:
            return labels
        return (labels - 1 / layout.classes) / math.sqrt(layout.classes / 10)


def published_network(task: Task) -> str:
    """Return the ConvNet of the papers for this image size; see `networks.paper_names`."""
    return paper_names.published_network(task.shape)
