"""Ways to keep real images in a picture codec, judged at given bytes without any training.

Size, codec, quality and how many images make one picture are chosen on held-out training images, by
a proxy: a ridge regression on features of an untrained network.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from attar.artefact.coding import rounded
from attar.coding import codecs_there
from attar.data import LabelledImages
from attar.data.reading import Watch
from attar.errors import BadRequest
from attar.networks import Network
from attar.rng import Key
from attar.shapes import is_picture
from attar.storage import Storage, sizes_of, storage_of, storage_text
from attar.synthetic import PLAIN, Layout, Parametrization, Synthetic, from_description

# of every class of the training images, to choose on
HELD_OUT = 0.1
_CODECS = {
    "avif": ("class", "set"),
    "webp": ("set", "image"),
    "jpeg": ("set",),
}
_QUALITIES = (15, 35, 60)
# images of every class that tell how many bytes one takes
_SAMPLE = 16
# pictures below this side are of no use
_LEAST_SIDE = 4
_BATCH = 256


@dataclass(frozen=True)
class Trial:
    """One way to keep real images.

    Args:
        form: pixels, or smaller pictures.
        storage: codec and settings.
        each: bytes that an image takes, about.
        loss: mean squared difference of a sample, as network inputs.
        accuracy: of the proxy in percent, where it was asked.
    """

    form: Parametrization
    storage: Storage
    each: float
    loss: float
    accuracy: float = 0.0

    def __str__(self) -> str:
        settings = [f"{name} {value}" for name, value in self.form.settings().items() if value]
        return f"{storage_text(self.storage)} of {' '.join([self.form.name, *settings])}"


@dataclass(frozen=True)
class Choice:
    """The ways there are, best first.

    Args:
        trials: with their accuracies.
        held: images that judged them.
    """

    trials: tuple[Trial, ...]
    held: int

    def told(self, trial: Trial) -> str:
        """Say how one of them was chosen."""
        return (
            f"{trial}, chosen among {len(self.trials)} ways on {self.held} held-out training "
            f"images by ridge regression on untrained features: {trial.accuracy:.1f} % there"
        )


def ways(
    train: LabelledImages,
    size: int,
    network: Network,
    key: Key,
    what: str,
    watch: Watch | None = None,
) -> Choice:
    """Return the ways to keep real images in a picture codec, the best first.

    Args:
        train: the real images.
        size: bytes of all images together.
        network: whose features the proxy uses, drawn at random.
        key: of everything random.
        what: what messages call the request.
        watch: told how many ways were tried.

    Raises:
        BadRequest: rows that no picture codec keeps.
    """
    if not is_picture(train.shape) or train.shape[0] not in (1, 3):
        raise BadRequest(
            f"{what}: picture codecs keep images of 1 channel or 3, and the rows here "
            f"are of {'×'.join(map(str, train.shape))}; leave it out"
        )
    parts = min(len(own) for own in train.indices_of_class) > 1
    kept, held = train.split(HELD_OUT, key.fold("held out")) if parts else (train, train)
    proxy = _Proxy.of(network, held, key.fold("network"))
    trials = _trials(kept, size, key)
    found: list[Trial] = []
    for trial in trials:
        if watch is not None:
            watch("trying picture codecs", len(found), len(trials))
        accuracy = proxy.accuracy(*_images(trial, kept, size, key))
        found.append(dataclasses.replace(trial, accuracy=accuracy))
    if watch is not None and trials:
        watch("trying picture codecs", len(trials), len(trials))
    return Choice(tuple(sorted(found, key=lambda one: -one.accuracy)), len(held))


def _trials(train: LabelledImages, size: int, key: Key) -> list[Trial]:
    """Return the ways worth trying: of those at one side, none is both larger and worse."""
    fitting = [one for one in _measured(train, key) if size / one.each >= train.classes]
    everything = len(train) * 0.999
    found: list[Trial] = []
    for one in fitting:
        # where all images fit, fewer bytes are of no use
        room = [max(other.each, size / everything) for other in fitting]
        own = max(one.each, size / everything)
        better = any(
            other.form == one.form
            and (other.loss, taken) != (one.loss, own)
            and other.loss <= one.loss
            and taken <= own
            for other, taken in zip(fitting, room, strict=True)
        )
        if not better:
            found.append(one)
    return found


def _measured(train: LabelledImages, key: Key) -> list[Trial]:
    """Return every way with what it costs and loses on a sample."""
    index, layout = _drawn(train, _SAMPLE, key)
    images = train.take(index).cpu()
    found = []
    for form in _forms(train):
        synthetic = Synthetic(layout, form).requires_grad_(False)
        synthetic.images.fit(images)
        begun = {name: value.clone() for name, value in synthetic.state_dict().items()}
        for storage in _storages():
            synthetic.load_state_dict(begun)
            taken = sum(sizes_of(rounded(synthetic, storage, train.preprocessing)).values())
            again = synthetic.images(torch.arange(layout.rows))
            loss = float((again - images).square().mean())
            found.append(Trial(form, storage, taken / layout.rows, loss))
    return found


def _forms(train: LabelledImages) -> list[Parametrization]:
    """Return full size and, where nothing was whitened, half of it."""
    side = -(-max(train.shape[1:]) // 2)
    small = min(train.shape[1:]) >= 2 * _LEAST_SIDE and train.preprocessing.whitening is None
    return [PLAIN, from_description({"name": "resized", "side": side})] if small else [PLAIN]


def _storages() -> list[Storage]:
    there = codecs_there()
    return [
        storage_of(f"{codec}:quality={quality},together={together}")
        for codec, ways in _CODECS.items()
        if codec in there
        for together in ways
        for quality in _QUALITIES
    ]


def _images(trial: Trial, train: LabelledImages, size: int, key: Key) -> tuple[Tensor, Tensor]:
    """Return about as many images as fit, as they come back, and their labels."""
    each = max(1, int(size / trial.each / train.classes))
    index, layout = _drawn(train, each, key)
    synthetic = Synthetic(layout, trial.form).requires_grad_(False)
    synthetic.images.fit(train.take(index).cpu())
    rounded(synthetic, trial.storage, train.preprocessing)
    return synthetic.images(torch.arange(layout.rows)), layout.class_of_row()


def _drawn(train: LabelledImages, each: int, key: Key) -> tuple[Tensor, Layout]:
    drawn = [train.draw(c, each, key.fold("drawn", c)) for c in range(train.classes)]
    counts = tuple(map(len, drawn))
    unequal = counts if len(set(counts)) > 1 else None
    return torch.cat(drawn), Layout(train.classes, max(counts), train.shape, unequal)


@dataclass(frozen=True)
class _Proxy:
    """What tells good images from bad ones without training."""

    module: Any
    features: Tensor
    labels: Tensor

    @classmethod
    def of(cls, network: Network, held: LabelledImages, key: Key) -> _Proxy:
        module = network.draw(key).eval()
        found = _features(module, held.take(torch.arange(len(held))).cpu())
        return cls(module, found, held.labels.cpu())

    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        """Return the accuracy in percent of a ridge regression on images, at its best penalty."""
        features = _features(self.module, images)
        wanted = functional.one_hot(labels).double() - 1 / (int(labels.max()) + 1)
        size = float(features.square().sum(dim=1).mean())
        # with more images than features the weights are found from the smaller matrix
        many = len(features) > features.shape[1]
        gram = features.T @ features if many else features @ features.T
        unit = torch.eye(len(gram), dtype=gram.dtype)

        def scores(share: float) -> Tensor:
            whole = gram + share * size * unit
            if many:
                return self.features @ torch.linalg.solve(whole, features.T @ wanted)
            return self.features @ (features.T @ torch.linalg.solve(whole, wanted))

        return max(self._right(scores(share)) for share in (1e-3, 1e-2, 1e-1))

    def _right(self, scores: Tensor) -> float:
        return 100 * float((scores.argmax(dim=1) == self.labels).double().mean())


@torch.no_grad()
def _features(module: Any, images: Tensor) -> Tensor:
    found = torch.cat([module.embed(part) for part in images.split(_BATCH)]).double()
    return functional.normalize(found, dim=1)
