"""The full-data ceiling: the same network and protocol on all the real data, kept on disk.

What was measured once is found again under a digest of everything it depends on: images, labels,
network, card, seed and arithmetic. A file holds a few accuracies; one that is damaged is measured
again.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import attar
from attar.artefact.fingerprint import fingerprint
from attar.budget import FLOAT32_BYTES
from attar.data import LabelledImages
from attar.data.cache import digest
from attar.errors import RunFailed
from attar.evaluation.measuring import Measurer
from attar.evaluation.results import Result
from attar.evaluation.rows import Row, TrainingSet
from attar.files import write_text
from attar.networks import OWN, Network
from attar.networks.families import TIMM
from attar.training.by_class import fits
from attar.training.cards import CARDS, EvaluationCard

FORMAT = "attar.ceiling"
# 2 knows what is right class by class
FORMAT_VERSION = 2
NAME = "whole training set"
# the whole training set sees at least this many epochs, so that it is a fair ceiling
LEAST_EPOCHS = 20
# the card of a training that no set brings with it
USUAL = "dsa-1000"


def whole_set(
    train: LabelledImages, card: EvaluationCard, small: int, epochs: int | None = None
) -> TrainingSet:
    """Return the whole training set and how networks are trained on it.

    The card's epochs are meant for small sets. A network gets about as many updates as on a small
    one, but 20 epochs at least, and never more epochs than the card has. Under a card with one
    number of updates for every set it gets those. Where the card's steps were learnt with the small
    set, the whole one is trained under ``dsa-1000``.

    Args:
        train: all the real images.
        card: of the small sets.
        small: how many images a small set has.
        epochs: another number of epochs.
    """
    if card.learnt_steps:
        # a few steps that were learnt with a small set say nothing of all images
        card = CARDS[USUAL]
    # as all other real images are counted, whatever type these are held in
    stored = len(train) * math.prod(train.shape) * FLOAT32_BYTES
    if epochs is None and card.fixed_updates is not None:
        return TrainingSet(NAME, "whole", train, train.labels, card, None, None, stored)
    usual = card.epochs_for(small)
    if epochs is None:
        fitting = math.ceil(card.steps(small) / math.ceil(len(train) / card.batch))
        epochs = min(usual, max(LEAST_EPOCHS, fitting))
    shorter = card.with_epochs(epochs)
    many = "epochs" if epochs > 1 else "epoch"
    note = f"{epochs} {many}" + (f", not {usual}" if epochs != usual else "")
    return TrainingSet(NAME, "whole", train, train.labels, shorter, None, None, stored, note)


@dataclass(frozen=True)
class Ceilings:
    """Accuracies from whole training sets in a folder.

    Args:
        folder: where they lie.
        given: the whole training set.
        measurer: trains on it what is not known yet.
    """

    folder: Path
    given: TrainingSet
    measurer: Measurer

    def row(self) -> Row:
        """Return the line of the whole training set, from what is kept where that suffices."""
        return self.given.row([self._result(network) for network in self.measurer.networks])

    def check(self) -> None:
        """Refuse batches that memory cannot hold, of networks that are yet to be trained.

        Raises:
            BadRequest: batch normalization needs them whole, and they take more than there is.
        """
        for network in self.measurer.networks:
            if self.missing(network):
                self.measurer.only(network).check(self.given)

    def missing(self, network: Network) -> int:
        """Return how many networks of a kind are yet to be trained."""
        known = self._known.get(network.name)
        return max(0, self.measurer.repeats - (len(known["accuracies"]) if known else 0))

    def _result(self, network: Network) -> Result:
        measurer = self.measurer.only(network)
        known = self._known.get(network.name) or {"accuracies": [], "seconds": 0.0}
        right = [tuple(one) for one in known.get("right", [])][: measurer.repeats]
        accuracies = list(map(float, known["accuracies"]))[: measurer.repeats]
        for repeat, accuracy in enumerate(accuracies, start=1):
            measurer.tell(self.given.name, network.name, repeat, accuracy)
        seconds = float(known["seconds"]) * len(accuracies) / max(1, len(known["accuracies"]))
        tested, kept = tuple(known.get("tested", ())), len(accuracies)
        if kept < measurer.repeats:
            (more,) = measurer.measure(self.given, known=kept)
            accuracies += more.accuracies
            seconds += more.seconds
            right, tested = right + list(more.right), more.tested
        count = len(self.given.labels)
        result = Result(
            network.name,
            self.given.card.name,
            tuple(accuracies),
            seconds,
            measurer.compute.record(),
            cached=kept == measurer.repeats,
            tested=tested,
            right=tuple(right),
            epochs=self.given.card.epochs_of(count),
            updates=self.given.card.steps(count),
        )
        if not result.cached:
            self._keep(network, result)
        return result

    @cached_property
    def _known(self) -> dict[str, dict[str, Any] | None]:
        """What is kept, by network."""
        return {
            network.name: read(self._path(network))
            for network in self.measurer.networks
            if _has_identity(network)
        }

    def _path(self, network: Network) -> Path:
        return self.folder / "ceilings" / f"{digest([self._identity(network)])}.json"

    def _identity(self, network: Network) -> str:
        """Return everything that the accuracies depend on, as one text."""
        one = self.measurer
        parts = {
            "format": FORMAT_VERSION,
            "attar": attar.__version__,
            "torch": torch.__version__,
            "data": self._data,
            "network": network.name,
            **_library(network),
            "card": self.given.card.describe(),
            "augmentation": self.given.card.strategy(one.dataset),
            "key": [one.key.seed, *one.key.path],
            "device": one.compute.device.type,
            "precision": one.compute.precision,
            "compile": one.compute.compile,
        }
        return json.dumps(parts, sort_keys=True)

    @cached_property
    def _data(self) -> Sequence[str]:
        images = (self.given.images, self.measurer.test)
        return [fingerprint(one) for one in images if isinstance(one, LabelledImages)]

    def _keep(self, network: Network, result: Result) -> None:
        """Write what was measured; where that fails, warn and go on without."""
        if not _has_identity(network):
            return
        path = self._path(network)
        document = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "network": network.name,
            "card": self.given.card.name,
            "accuracies": list(result.accuracies),
            "seconds": result.seconds,
            "tested": list(result.tested),
            "right": [list(one) for one in result.right],
        }
        try:
            write_text(path, json.dumps(document, indent=2) + "\n")
        except RunFailed as error:
            warnings.warn(
                f"the full-data ceiling could not be kept in {path.parent} "
                f"({error.__cause__ or error}), so it will be measured again next time; "
                "--data-dir or ATTAR_DATA names another folder",
                stacklevel=2,
            )


def _library(network: Network) -> dict[str, str]:
    """Return the version of the library that a network is of, where it is not one of Attar's."""
    library = network.name.partition(":")[0]
    return {library: version(library)} if library == TIMM else {}


def _has_identity(network: Network) -> bool:
    """Tell whether a name says what is computed, which that of a user's own module does not."""
    return network.name.partition(":")[0] != OWN


def read(path: Path) -> dict[str, Any] | None:
    """Return what was kept in a file; None where there is none.

    A damaged file is told in a warning and counts as none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        return _damaged(path, str(error))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _damaged(path, "it is not JSON")
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return _damaged(path, "it is something else")
    accuracies, seconds = found.get("accuracies"), found.get("seconds")
    if not isinstance(accuracies, list) or not accuracies or not _number(seconds, math.inf):
        return _damaged(path, "it holds no accuracies")
    if not all(_number(one, 100) for one in accuracies):
        return _damaged(path, "its accuracies are not percentages")
    if not fits(found.get("right"), found.get("tested"), accuracies):
        return _damaged(path, "its figures by class do not fit its accuracies")
    return found


def _number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and 0 <= value <= most


def _damaged(path: Path, why: str) -> None:
    warnings.warn(
        f"the full-data ceiling kept in {path} cannot be used ({why}); it is measured again",
        stacklevel=3,
    )
