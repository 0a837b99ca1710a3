"""What an audit found, and what that does not prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from attar.applications.auditing.rates import INTERVAL, Attack

NOT_PROVEN = (
    "An AUC near 0.5 means that these attacks failed, not that none can succeed: who knows more, "
    "or has more shadow sets, may find more. It is no guarantee, as differential privacy is one.",
    "An AUC is a mean over images: a set may give away a few of them, rare ones above all, and "
    "still be near 0.5. The copies are therefore counted by themselves.",
    "An AUC far from 0.5 is evidence of membership only where the unseen images come from the "
    "same distribution as the training images; where they differ, it may tell these apart instead.",
    "The intervals are over images. They say nothing of other sets that the method would make.",
)


@dataclass(frozen=True)
class Neighbours:
    """Images of a set beside the real ones that are nearest to them, the most alike first.

    Args:
        rows: numbers of the images in the set.
        training: numbers of the training images.
        distances: to these, root mean square differences.
        images: three tensors of pixels: of the set, the nearest training images, and the nearest
            unseen images.
    """

    rows: tuple[int, ...]
    training: tuple[int, ...]
    distances: tuple[float, ...]
    images: tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Audit:
    """What was found of a set.

    Args:
        rows: images of the set.
        exact: how many are training images to the last bit.
        copies: how many are the same picture in 8 bits as a training image, the exact among them.
        close: how many are nearer to a training image than 99 % of unseen images are.
        images: how far images of the set are from training images, beside unseen images.
        nearest: how far training images are from the set, beside unseen images.
        carried: how sure the network that the set carries is of training images, beside unseen
            ones; None where it carries none.
        likelihood: the likelihood ratio attack; None where no shadow sets were asked for.
        notes: what has to be known beside it.
        neighbours: for a picture.
    """

    rows: int
    exact: int
    copies: int
    close: int
    images: Attack
    nearest: Attack
    carried: Attack | None
    likelihood: Attack | None
    notes: tuple[str, ...]
    neighbours: Neighbours

    @property
    def attacks(self) -> dict[str, Attack]:
        """All attacks by name."""
        found = {
            "copies": self.images,
            "nearest": self.nearest,
            "network": self.carried,
            "likelihood_ratio": self.likelihood,
        }
        return {name: one for name, one in found.items() if one is not None}

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, without pixels."""
        near = self.neighbours
        return {
            "images": self.rows,
            "exact_copies": self.exact,
            "copies": self.copies,
            "close": self.close,
            "attacks": {name: one.as_dict() for name, one in self.attacks.items()},
            "interval": INTERVAL,
            "neighbours": [
                {"image": row, "training_image": real, "distance": distance}
                for row, real, distance in zip(
                    near.rows, near.training, near.distances, strict=True
                )
            ],
            "notes": list(self.notes),
            "not_proven": list(NOT_PROVEN),
        }
