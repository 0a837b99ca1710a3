"""`attar.audit`: what a condensed set tells of the images that it was made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from attar import compute as computing
from attar.applications.auditing.found import Audit, Neighbours
from attar.applications.auditing.nearest import Nearest, nearest, pixels_of
from attar.applications.auditing.observing import Observer, by_carried
from attar.applications.auditing.rates import attack, threshold
from attar.applications.auditing.shadows import (
    likelihood_ratios,
    shadow_request,
    trains_updates,
)
from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.data import LabelledImages
from attar.data.identity import is_digest_of
from attar.errors import BadRequest
from attar.evaluation.given import asked_networks, refuse_other_steps, refuse_single
from attar.evaluation.real import read_real
from attar.evaluation.results import training_effort
from attar.kinds import check_arguments
from attar.networks import make_for
from attar.options import ReadingOptions
from attar.rng import Key
from attar.training import EvaluationCard
from attar.training import card as find_card
from attar.training.fitting import fitted
from attar.training.predicting import trainer_of

# unseen images that stand for all where their distances to all training images are taken
_MOST_UNSEEN = 500
# what a copy may differ by in pixels from 0 to 1: it is the same in 8 bits
_SAME_PICTURE = 0.5 / 255
# images of the set that are kept for a picture
_SHOWN = 16
# minutes of all shadow sets, where nothing is said
MINUTES = 10.0

_FARTHER = (
    "Images of the set lie farther from training images than unseen images do (copies below 0.5), "
    "as learnt images mostly do; that is no sign of copies."
)


def audit(
    artefact: Artefact | str | Path,
    data: Any = None,
    *,
    members: Sequence[int] | str | Path | None = None,
    shadows: int = 0,
    minutes: float | None = None,
    iterations: int | None = None,
    repeats: int = 1,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    said: Callable[[str], None] = lambda line: None,
    **reading: Unpack[ReadingOptions],
) -> Audit:
    """Attack a condensed set: can training images be told from unseen ones by it?

    Members are the training images, others the test images, which the set has not seen. These
    attacks are made: how far images of the set are from the training images, beside how far unseen
    images are from them (this finds copies, however few of the training images are kept); how far
    training images are from the set, beside unseen ones; where the set carries a network, how sure
    that is of an image (Yeom et al. 2018); and, with ``shadows``, the likelihood ratio of how sure
    a network trained on the set is of an image (Carlini et al. 2022).

    Args:
        artefact: or the path of one.
        data: the real images with a training and a test part, as `attar.evaluate` takes them.
        members: indices of the training images that count as members, or the path of a ``.npy``
            file, or of a text, of them; all where left out.
        shadows: sets of the same method and size that are made of random halves of all images; an
            even number, 0 for no likelihood ratio attack.
        minutes: for the making of all shadow sets together; 10 where left out. A method that only
            chooses among real images takes what it takes.
        iterations: updates of each shadow set, in place of minutes.
        repeats: networks that are trained on each set.
        epochs: of these, in place of the card's.
        seed: of shadow sets, networks and samples.
        device: auto, cpu, cuda, cuda:N or mps; of networks.
        said: told what is done, and what it costs.
        **reading: how the data are read, as `attar.load_source` takes it.

    Raises:
        BadRequest: classes or shape of the data are not the set's, there is no test part or no
            training part, indices that are none, or shadow sets that cannot be made.

    Example:
        >>> found = attar.audit("digits.safetensors", shadows=8, minutes=10)  # doctest: +SKIP
        >>> found.nearest.auc, found.exact  # doctest: +SKIP
        (0.51, 0)
    """
    counts = {"shadows": shadows, "repeats": repeats, "epochs": epochs, "seed": seed}
    check_arguments(audit, {**counts, "minutes": minutes, "iterations": iterations})
    _check(shadows, minutes, iterations, repeats, epochs)
    if not isinstance(artefact, Artefact):
        artefact = load(artefact)
    request = card = None
    if shadows:
        card = find_card(artefact.header.card, epochs)
        refuse_other_steps(card, {"--epochs": epochs})
        refuse_single(artefact.header.class_names)
        total = MINUTES if minutes is None else minutes
        request = shadow_request(artefact, total / shadows, iterations, device=device)
    real = read_real(artefact, data, **reading)
    if real.train is None:
        raise BadRequest(
            "attar audit needs training and test images, and --data are in one piece; give a "
            "source with both parts, or from Python a pair (train, test)"
        )
    key, notes = Key(seed).fold("audit"), list(_differing(artefact, real.train))
    train = real.train if members is None else real.train.subset(_indices(members, real.train))
    said(f"{len(train):,} members and {len(real.test):,} unseen images of {real.name}")
    unseen = _sample(real.test, _MOST_UNSEEN, key.fold("unseen"))
    own, others = artefact.raw_pixels, pixels_of(unseen, torch.arange(len(unseen)))
    rows = len(own)
    to_train = nearest(torch.cat([own, others]), rows, train)
    to_test = nearest(own, rows, real.test)
    images = attack(
        "images of the set from unseen images, by their distance to the nearest member",
        -to_train.of_queries[:rows],
        -to_train.of_queries[rows:],
    )
    near = attack(
        "members from unseen images, by their distance to the nearest image of the set",
        -to_train.of_images,
        -to_test.of_images,
    )
    likelihood, carried = None, by_carried(artefact, train, real.test, device)
    if request is not None and card is not None:
        pool = _joined(train, real.test)
        observer = _observer(artefact, pool, repeats, card, device, shadows)
        said(_cost(artefact, request.minutes, iterations, shadows))
        score = likelihood_ratios(artefact, pool, request, observer, shadows, key, said)
        likelihood = attack(
            f"members from unseen images, by likelihood ratios from {shadows} shadow sets",
            score[: len(train)],
            score[len(train) :],
        )
        notes.append(_made_by(artefact, request.minutes, iterations))
    if images.high < 0.5:
        notes.append(_FARTHER)
    distances = to_train.of_queries[:rows]
    limit = -threshold(-to_train.of_queries[rows:], 0.01)
    same = _SAME_PICTURE if artefact.modality.bounded else 0.0
    return Audit(
        rows,
        int((distances == 0).sum()),
        int((distances <= same).sum()),
        int((distances < limit).sum()),
        images,
        near,
        carried,
        likelihood,
        tuple(notes),
        _neighbours(own, train, real.test, to_train, to_test),
    )


def _check(
    shadows: int, minutes: float | None, iterations: int | None, repeats: int, epochs: int | None
) -> None:
    if shadows < 0 or shadows % 2:
        raise BadRequest(
            f"--shadows {shadows}: an even number from 2, since each image is in one set of every "
            "two, or 0 for no likelihood ratio attack"
        )
    given = {"--minutes": minutes, "--iterations": iterations, "--epochs": epochs}
    for name, value in given.items():
        if not shadows and value is not None:
            raise BadRequest(f"{name} {value}: of shadow sets alone; give --shadows, too")
    if minutes is not None and iterations is not None:
        raise BadRequest("give --minutes or --iterations, not both")
    if minutes is not None and not 0 < minutes < float("inf"):
        raise BadRequest(f"--minutes {minutes:g}: more than 0 is needed")
    if iterations is not None and iterations < 1:
        raise BadRequest(f"--iterations {iterations}: at least 1 is needed")
    if repeats < 1:
        raise BadRequest(f"--repeats {repeats}: at least one network is needed")


def _differing(artefact: Artefact, train: LabelledImages) -> Sequence[str]:
    """Say it where the set was made from other images than those taken for members."""
    digest = artefact.header.parts.get("digest")
    if digest is None:
        return ("The file does not tell the images that it was made from: see to --data yourself.",)
    if not is_digest_of(digest, train):
        return (
            "The file was made from other images than the training images given here, or from "
            "some of them.",
        )
    return ()


def _indices(given: Sequence[int] | str | Path, train: LabelledImages) -> Tensor:
    """Return which training images are members."""
    where = "members"
    try:
        if isinstance(given, str | Path):
            where = f"--members {given}"
            path = Path(given)
            read = np.load if path.suffix == ".npy" else lambda file: np.loadtxt(file, ndmin=1)
            given = read(path).tolist()
        found = np.asarray(given)
        if found.ndim != 1 or not len(found) or not np.array_equal(found, found.astype(np.int64)):
            raise ValueError("they are no list of whole numbers")
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise BadRequest(f"{where}: {error}; indices of training images are needed") from error
    if found.min() < 0 or found.max() >= len(train):
        raise BadRequest(
            f"{where}: indices run from {found.min()} to {found.max()}; there are {len(train):,} "
            f"training images, so 0…{len(train) - 1}"
        )
    return torch.from_numpy(np.unique(found.astype(np.int64)))


def _sample(images: LabelledImages, most: int, key: Key) -> LabelledImages:
    order = torch.randperm(len(images), generator=key.generator())[:most]
    return images.subset(order.sort().values)


def _joined(train: LabelledImages, test: LabelledImages) -> LabelledImages:
    """Return members, then others, in memory."""
    images = torch.cat([one.images[torch.arange(len(one))].cpu() for one in (train, test)])
    labels = torch.cat([train.labels.cpu(), test.labels.cpu()])
    return dataclasses.replace(train, images=images, labels=labels, targets=None)


def _observer(
    artefact: Artefact,
    pool: LabelledImages,
    repeats: int,
    card: EvaluationCard,
    device: str,
    shadows: int,
) -> Observer:
    (name,) = asked_networks(artefact, card.network_for(pool.shape[1:]))
    network = make_for(name, pool.shape, pool.classes)
    dataset = artefact.header.provenance.get("dataset", pool.name)
    chosen = fitted(card, artefact, dataset)
    pixels = training_effort(len(artefact), chosen, repeats * (shadows + 1), [network])
    compute = computing.choose(device, "auto", "auto", pixels=pixels)
    strategy = chosen.strategy(dataset, network.name)
    return Observer(trainer_of(chosen, network, compute), compute, chosen, strategy, repeats)


def _cost(artefact: Artefact, minutes: float | None, iterations: int | None, count: int) -> str:
    if not trains_updates(artefact):
        return f"{count} shadow sets of chosen images, and a training on each"
    if minutes is None:
        return f"{count} shadow sets of {iterations:,} updates, and a training on each"
    return f"{count} shadow sets take {count * minutes:.1f} minutes, and a training on each more"


def _made_by(artefact: Artefact, minutes: float | None, iterations: int | None) -> str:
    said = "as the audited one, of half of all images each"
    if not trains_updates(artefact):
        return f"Shadow sets were made {said}."
    length = f"{iterations:,} updates" if minutes is None else f"{minutes:.2f} minutes"
    own = f"the audited one took {artefact.header.step:,} updates"
    return f"Shadow sets were made {said}, in {length} each; {own}."


def _neighbours(
    own: Tensor,
    train: LabelledImages,
    test: LabelledImages,
    to_train: Nearest,
    to_test: Nearest,
) -> Neighbours:
    distances = to_train.of_queries[: len(own)]
    rows = distances.argsort(stable=True)[:_SHOWN]
    training = to_train.which[rows]
    return Neighbours(
        tuple(rows.tolist()),
        tuple(training.tolist()),
        tuple(distances[rows].tolist()),
        (own[rows], pixels_of(train, training), pixels_of(test, to_test.which[rows])),
    )
