"""Looking for a learning rate and a number of epochs on held-out training images.

The test images are no argument of anything here, so nothing can be chosen on them.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from attar.artefact.artefact import Artefact
from attar.compute import Compute
from attar.data.images import LabelledImages, stratified
from attar.errors import BadRequest
from attar.evaluation.results import Result, evaluate_images
from attar.networks import Network
from attar.rng import Key
from attar.text import counted
from attar.training.evaluation_card import EvaluationCard, renamed

# of the card's own; the card's own setting comes first, so that it wins a tie
RATES = (1.0, 0.3, 3.0)
LENGTHS = (1.0, 0.5, 2.0)
# of every class of the training images, where the run held none out
HELD_OUT = 0.1


@dataclass(frozen=True)
class Trial:
    """One setting and what networks trained under it reach on held-out training images.

    Args:
        card: with the setting.
        accuracy: in percent, mean over the networks; balanced accuracy where the held-out images
            are so unequal that accuracy favours the largest class (`by_class.unequal`).
    """

    card: EvaluationCard
    accuracy: float


@dataclass(frozen=True)
class Tuned:
    """What was found.

    Args:
        card: the best setting; its name says that it was tuned.
        trials: everything that was tried.
        images: that decided.
        fresh: whether the set was made without them.
        what: kind of images they are.
    """

    card: EvaluationCard
    trials: tuple[Trial, ...]
    images: int
    fresh: bool
    what: str = "held-out training images"

    @property
    def note(self) -> str:
        """What a table says of it."""
        best = max(trial.accuracy for trial in self.trials)
        seen = "" if self.fresh else ", which the set was made from"
        return (
            f"lr {self.card.lr:.4g} and {_length(self.card)} chosen among {len(self.trials)} "
            f"settings on {self.images} {self.what}{seen}: {best:.1f} % there"
        )


def settings(card: EvaluationCard, count: int) -> list[EvaluationCard]:
    """Return the settings that are tried: three learning rates times three lengths.

    A number of updates that is asked for stays.

    Args:
        card: its own setting is the first.
        count: images of the set.
    """
    tried = []
    lengths = LENGTHS if card.fixed_updates is None else (1.0,)
    for length, rate in itertools.product(lengths, RATES):
        one = card
        if length != 1:
            one = one.with_epochs(max(1, math.ceil(length * card.epochs_for(count))))
        tried.append(one.with_lr(rate * card.lr) if rate != 1 else one)
    # of one epoch there is no half
    return list(dict.fromkeys(tried))


def cost(card: EvaluationCard, count: int, networks: int) -> str:
    """Say what tuning takes, before it begins."""
    tried = settings(card, count)
    own = card.passes(count)
    work = networks * sum(one.passes(count) for one in tried) / own
    return (
        f"tuning: {len(tried)} settings × {counted(networks, 'network')}, the "
        f"work of {work:.3g} trainings of {count} images under {card.name}"
    )


def held_out(artefact: Artefact, train: LabelledImages) -> tuple[LabelledImages, bool]:
    """Return held-out training images, and whether the artefact was made without them.

    They are those that its run held out. Where it held none out, or these are other images, a
    tenth of every class is taken.

    Raises:
        BadRequest: a class has a single training image.
    """
    if any(len(own) < 2 for own in train.indices_of_class):
        raise BadRequest(
            f"--tune: a class of {train.name} has one training image, so none can be held out; "
            "add images, or leave --tune out"
        )
    key = Key(artefact.header.seed).fold("held out")
    before = artefact.header.settings.get("held_out")
    left = artefact.header.provenance.get("images")
    if isinstance(before, int) and before > 0 and left == len(train) - before:
        for share in _shares(before / len(train)):
            # equal numbers are equal images, since a larger share takes more of every class
            if len(stratified(train.indices_of_class, share, key)[1]) == before:
                return train.split(share, key)[1], True
    _, own = train.split(HELD_OUT, key)
    return own, False


def _shares(about: float) -> list[float]:
    """Return shares that a run may have held out, where classes were rounded to ``about``."""
    shares = (HELD_OUT, *(round(about, digits) for digits in (1, 2, 3)), about)
    return [share for share in dict.fromkeys(shares) if 0 < share < 1]


@dataclass(frozen=True)
class Tuning:
    """How it is searched.

    Args:
        dataset: its name, which decides about mirroring.
        networks: kinds of network; the mean over them decides.
        compute: device, precision, compilation.
        seed: of the networks.
        vectorized: as `evaluate_images` takes it.
        say: takes a line of text before the search, and one after every setting.
    """

    dataset: str
    networks: Sequence[Network]
    compute: Compute
    seed: int = 0
    vectorized: int | None = None
    say: Callable[[str], None] | None = None

    def tuned(
        self,
        card: EvaluationCard,
        artefact: Artefact,
        train: LabelledImages,
        validation: LabelledImages | None = None,
    ) -> Tuned:
        """Return a card with the learning rate and the epochs that serve a set best.

        Every setting trains one network of each kind, with the same initial weights and the same
        order of images.

        Args:
            card: around which is searched.
            artefact: the set.
            train: real training images, with the artefact's preprocessing.
            validation: real images that are neither training nor test images, to decide in place
                of held-out ones.

        Raises:
            BadRequest: no training image can be held out.
        """
        what = "held-out training images" if validation is None else "validation images"
        own, fresh = (validation, True) if validation is not None else held_out(artefact, train)
        self._tell(cost(card, len(artefact), len(self.networks)))
        trials: list[Trial] = []
        for one in settings(card, len(artefact)):
            trials.append(Trial(one, self._accuracy(one, artefact, own)))
            self._tell(
                f"tuning: lr {one.lr:.4g}, {_length(one)}: {trials[-1].accuracy:.2f} % of "
                f"{len(own)} {what}"
            )
        best = max(trials, key=lambda trial: trial.accuracy).card
        chosen = replace(best, name=renamed(best.name, "tuned"))
        return Tuned(chosen, tuple(trials), len(own), fresh, what)

    def _accuracy(self, card: EvaluationCard, artefact: Artefact, own: LabelledImages) -> float:
        results = evaluate_images(
            artefact.images,
            artefact.labels,
            own,
            card.drawing(artefact.synthetic.parametrization.variants(artefact.header.layout)),
            dataset=self.dataset,
            networks=self.networks,
            repeats=1,
            key=Key(self.seed).fold("tune"),
            compute=self.compute,
            vectorized=self.vectorized,
        )
        return sum(map(_fair, results)) / len(results)

    def _tell(self, line: str) -> None:
        if self.say is not None:
            self.say(line)


def _fair(result: Result) -> float:
    return statistics.fmean(one.fair for one in result.hits)


def _length(card: EvaluationCard) -> str:
    if card.fixed_updates is not None:
        return f"{card.fixed_updates} updates"
    return f"{card.epochs} epochs" if card.epochs else "its own number of updates"
