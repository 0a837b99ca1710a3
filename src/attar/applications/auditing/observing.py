"""How sure networks are of real images: those trained on a set, and the one that it carries.

Shape letters: N images of the pool, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from attar import compute as computing
from attar.applications.auditing.rates import Attack, attack
from attar.artefact.artefact import Artefact
from attar.compute import Compute
from attar.data import LabelledImages
from attar.rng import Key
from attar.teachers.carried import teacher_inside, teacher_under
from attar.training.evaluation_card import EvaluationCard
from attar.training.predicting import Judge


@dataclass(frozen=True)
class Observer:
    """Trains a network on a set, and sees how sure it is of images.

    Args:
        trainer: of the network, or what stands for one.
        compute: how; its chunk says how many images a network is shown at once.
        card: how it is trained.
        strategy: its augmentation.
        repeats: networks whose confidences are averaged.
    """

    trainer: Judge
    compute: Compute
    card: EvaluationCard
    strategy: str
    repeats: int

    def confidence(self, artefact: Artefact, pool: LabelledImages, key: Key) -> Tensor:
        """Return N scores log(p / (1 − p)), p the probability given to an image's class."""
        keys = [key.fold(repeat) for repeat in range(self.repeats)]
        # networks learn from what the set has: under some cards what the teacher in it says
        inside = teacher_under(self.card, artefact, self.compute)
        said = None if inside is None else inside.scores
        given = (artefact.images, artefact.labels, self.card, self.strategy, keys, said)
        judges = [partial(self.trainer.scores, one) for one in self.trainer.fit(*given)]
        return torch.stack([margins(one, pool, self.compute.chunk) for one in judges]).mean(dim=0)


def margins(scores: Callable[[Tensor], Tensor], pool: LabelledImages, chunk: int) -> Tensor:
    """Return N float64 scores log(p / (1 − p)), p the probability given to an image's class.

    Args:
        scores: of network inputs.
        pool: N images.
        chunk: how many are shown at once.
    """
    parts = torch.arange(len(pool)).split(chunk)
    return torch.cat(
        [
            _margin(scores(pool.take(own)).cpu().double(), pool.labels[own].cpu().unsqueeze(1))
            for own in parts
        ]
    )


def _margin(scores: Tensor, truth: Tensor) -> Tensor:
    """Return log(p / (1 − p)) from scores N×K without rounding p to 1."""
    own = scores.gather(1, truth).squeeze(1)
    return own - scores.scatter(1, truth, -torch.inf).logsumexp(dim=1)


def by_carried(
    artefact: Artefact, train: LabelledImages, test: LabelledImages, device: str
) -> Attack | None:
    """Attack by the network that a set carries, which was trained on the members itself.

    Source: Yeom et al., Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting,
    2018: a member is what the network is surer of.

    Args:
        artefact: the set.
        train: members.
        test: unseen images.
        device: of the network.

    Returns:
        What was found; None where it carries none.
    """
    if artefact.carried is None:
        return None
    compute = computing.choose(device, "float32", "off", pixels=0.0)
    teacher = teacher_inside(artefact, compute)
    assert teacher is not None
    members, others = (margins(teacher.scores, one, compute.chunk) for one in (train, test))
    return attack(
        f"members from unseen images, by how sure {teacher.network.name} is of them, which the "
        "file carries",
        members,
        others,
    )
