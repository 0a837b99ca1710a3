"""`attar.evaluate`: an artefact beside its baselines, on real test images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from attar import compute as computing
from attar.artefact import Artefact, last_iterate_path, load
from attar.budget import FLOAT32_BYTES
from attar.data import LabelledImages, Splits, as_splits
from attar.errors import BadRequest
from attar.evaluation import EvaluationCard, Result, evaluate_images
from attar.evaluation import card as find_card
from attar.evaluation.results import training_pixels
from attar.evaluation.training import Images
from attar.networks import OWN, Network, Own, make
from attar.rng import Key

# the whole training set sees at least this many epochs, so that it is a fair ceiling
_FULL_EPOCHS = 20


@dataclass(frozen=True)
class Row:
    """One line of the comparison: a training set and what networks learnt from it.

    Args:
        name: what the set is.
        images_per_class: how many images a class has; None where classes differ.
        paper_bytes: images or factors, as the papers count; None where no budget applies.
        bytes: everything that must be kept.
        results: one per network.
        note: anything that differs from the other rows.
        kind: ``condensed``, ``random`` or ``whole``.
    """

    name: str
    images_per_class: int | None
    paper_bytes: int | None
    bytes: int | None
    results: tuple[Result, ...]
    note: str = ""
    kind: Literal["condensed", "random", "whole"] = "condensed"

    @property
    def count(self) -> str:
        """Images per class, in words where classes differ."""
        if self.images_per_class is not None:
            return str(self.images_per_class)
        return "all" if self.kind == "whole" else "unequal"

    def as_dict(self) -> dict[str, Any]:
        """Return the row as a plain dictionary."""
        return {
            "name": self.name,
            "kind": self.kind,
            "images_per_class": self.images_per_class,
            "paper_bytes": self.paper_bytes,
            "bytes": self.bytes,
            "note": self.note,
            "results": [result.as_dict() for result in self.results],
        }


def evaluate(
    artefact: Artefact | str | Path,
    data: Any = None,
    *,
    networks: Sequence[str | Own] | str | Own | None = None,
    repeats: int = 5,
    card: str | None = None,
    epochs: int | None = None,
    baselines: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    compile: str = "auto",
    vectorized: int | None = None,
    progress: Callable[[str, str, int, float | None], None] | None = None,
    **reading: Any,
) -> list[Row]:
    """Train fresh networks on an artefact and test them on real images.

    Args:
        artefact: or the path of one.
        data: the real images, as `attar.condense` takes them; by default the source that the
            artefact was made from.
        networks: names of networks, or own modules as `attar.condense` takes them; by default
            the one it was made with.
        repeats: how many of each.
        card: name of the evaluation card; by default the artefact's own.
        epochs: another number of epochs than the card's.
        baselines: also evaluate random real images of the same bytes and the whole training
            set.
        seed: of the networks.
        device: auto, cpu, cuda or cuda:N.
        precision: auto, float32 or bfloat16.
        compile: auto, on or off.
        vectorized: networks that train in one step; None takes what is faster.
        progress: called with row, network, number of the repeat and its accuracy; with None
            when its training begins.
        **reading: ``resize``, ``classes``, ``per_class``, ``data_dir`` and ``watch``, as
            `attar.load_source` takes them. Without ``data``, the first three are by default
            those of the artefact.

    Returns:
        A row for the artefact, one for the last iterate where the file of another one lies
        beside it, and one for each baseline.

    Raises:
        BadRequest: no artefact, no data, classes or image sizes that do not fit, or an unknown
            card or network.

    Example:
        >>> attar.evaluate("digits.safetensors", repeats=3)[0].results[0].mean  # doctest: +SKIP
        93.1
    """
    artefact, last = _with_last(artefact)
    chosen = find_card(card or artefact.card.settings.get("card", "dsa-1000"), epochs)
    given = asked_networks(artefact, networks)
    splits = read_splits(artefact, data, **reading)
    test = with_preprocessing(splits.test, artefact)
    channels, height, width = test.shape
    built = told_apart([make(each, channels, (height, width), test.classes) for each in given])
    dataset = artefact.card.provenance.get("dataset", splits.train.name)
    # one choice for all rows, so that they differ in nothing but the images
    compute = computing.choose(
        device,
        precision,
        compile,
        pixels=training_pixels(len(artefact), test.shape, chosen, repeats * len(built)),
    )

    def measure(name: str, images: Images, labels: Tensor, recipe: EvaluationCard):
        def tell(network: str, repeat: int, accuracy: float | None) -> None:
            if progress is not None:
                progress(name, network, repeat, accuracy)

        return tuple(
            evaluate_images(
                images,
                labels,
                test,
                recipe,
                dataset=dataset,
                networks=built,
                repeats=repeats,
                key=Key(seed).fold("evaluate"),
                compute=compute,
                vectorized=vectorized,
                progress=tell,
            )
        )

    rows = []
    for iterate in filter(None, (artefact, last)):
        totals = iterate.totals
        name = f"{iterate.card.method} ({iterate.card.iterate} iterate)"
        results = measure(name, iterate.images, iterate.labels, chosen)
        rows.append(Row(name, totals.images_per_class, totals.paper, totals.all, results))
    if baselines:
        train = with_preprocessing(splits.train, artefact)
        rows += _baselines(train, artefact.totals.paper, chosen, measure, seed)
    return rows


def asked_networks(
    artefact: Artefact, networks: Sequence[str | Own] | str | Own | None
) -> list[str | Own]:
    """Return the networks asked for, each once, or the one that an artefact was made with.

    Raises:
        BadRequest: none is asked for, and the artefact was made with a user's own module.
    """
    if isinstance(networks, str) or callable(networks):
        return [networks]
    if networks:
        return list(dict.fromkeys(networks))
    name = artefact.card.settings.get("network", "convnet3")
    if name.partition(":")[0] == OWN:
        raise BadRequest(
            f"the artefact was made with own network {name!r}, which it does not hold; give "
            "networks=[your_module] from Python, or --networks convnet3"
        )
    return [name]


def told_apart(networks: list[Network]) -> list[Network]:
    """Return the networks.

    Raises:
        BadRequest: two have one name, so that their results could not be told apart.
    """
    names = [network.name for network in networks]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise BadRequest(
            f"two of the networks are {twice[0]!r}: they have the same class name, repr and "
            "parameter shapes; give one of them, or name their classes differently"
        )
    return networks


def _with_last(given: Artefact | str | Path) -> tuple[Artefact, Artefact | None]:
    """Return an artefact and, where another iterate was selected, the last one beside it."""
    if isinstance(given, Artefact):
        return given, None
    artefact, beside = load(given), last_iterate_path(Path(given))
    if artefact.card.iterate == "selected" and beside.exists():
        return artefact, load(beside)
    return artefact, None


def _baselines(
    train: LabelledImages,
    size: int,
    card: EvaluationCard,
    measure: Callable[[str, Images, Tensor, EvaluationCard], tuple[Result, ...]],
    seed: int,
) -> list[Row]:
    """Return random real images of at most ``size`` bytes, and the whole training set."""
    one = train.classes * math.prod(train.shape) * FLOAT32_BYTES
    count = max(1, size // one)
    drawn = [train.draw(c, count, Key(seed).fold("random", c)) for c in range(train.classes)]
    index = torch.cat(drawn).to(train.labels.device)
    picked = measure("random real images", train.take(index), train.labels[index], card)
    note = "" if one <= size else "one image per class takes more bytes than the set"
    equal = all(len(own) == count for own in drawn)
    taken = len(index) * math.prod(train.shape) * FLOAT32_BYTES
    if not equal:
        note = f"up to {count} images per class; smaller classes give all they have"
    rows = [
        Row("random real images", count if equal else None, taken, taken, picked, note, "random")
    ]

    updates = (card.epochs + 1) * math.ceil(max(len(index), 1) / card.batch)
    epochs = max(_FULL_EPOCHS, math.ceil(updates / math.ceil(len(train) / card.batch)))
    full = find_card(card.name.split(" ")[0], min(card.epochs, epochs))
    results = measure("whole training set", train, train.labels, full)
    stored = train.images.numel() * train.images.element_size()
    return [
        *rows,
        Row("whole training set", None, None, stored, results, f"{full.epochs} epochs", "whole"),
    ]


def read_splits(artefact: Artefact, data: Any, **reading: Any) -> Splits:
    """Return the real data of an artefact, or those given in their place.

    Raises:
        BadRequest: the artefact was made from Python objects and no data are given, or the
            classes differ.
    """
    if data is None:
        data = artefact.card.provenance.get("source")
        if not isinstance(data, str) or data == "data":
            raise BadRequest(
                "the artefact does not say which data it was made from; give them with --data"
            )
        before = artefact.card.provenance.get("reading")
        for name in ("resize", "classes", "per_class"):
            if reading.get(name) is None and isinstance(before, dict):
                reading[name] = before.get(name)
        if reading.get("resize") is None and ":" in data:
            # images of the artefact's size are left as they are
            reading["resize"] = artefact.card.shape[1:]
    splits = as_splits(data, **reading)
    if splits.test.shape != artefact.card.shape:
        raise BadRequest(
            f"the artefact holds images of C×H×W = {artefact.card.shape}, {splits.source} of "
            f"{splits.test.shape}; give the data it was made from, or --resize"
        )
    ours, theirs = artefact.card.class_names, list(splits.test.class_names)
    if ours != theirs:
        raise BadRequest(
            f"the artefact's classes ({_few(ours)}) are not those of {splits.source} "
            f"({_few(theirs)}); give the data it was made from, or --classes"
        )
    return splits


def with_preprocessing(images: LabelledImages, artefact: Artefact) -> LabelledImages:
    """Return real images under the preprocessing that the artefact was made with."""
    return dataclasses.replace(images, preprocessing=artefact.preprocessing)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", … {len(names)} in all" if len(names) > 5 else "")
