"""What an artefact's header says, as lists of names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attar.artefact.artefact import Artefact
from attar.artefact.header import BALANCED, SELECTED_BY
from attar.budget import format_bytes
from attar.evaluation.describing import facts
from attar.report.markup import Markup, breakable, pairs, tag
from attar.text import written
from attar.training import CARDS
from attar.unplaced import unplaced


def dataset(artefact: Artefact) -> str:
    """Return the name of the data that a set was made from."""
    return str(artefact.header.provenance.get("dataset", "a dataset"))


def recipe(card: str, of: str) -> list[tuple[str, str]]:
    """Return how networks are trained under a card; nothing for an unknown one.

    Args:
        card: its name.
        of: the dataset, which decides whether images may be mirrored.
    """
    if card not in CARDS:
        return []
    found = CARDS[card]
    return [
        ("Recipe", found.summary),
        *facts(found, of),
    ]


def protocol(artefact: Artefact) -> Markup:
    """Return the card an artefact names as its own, and which iterate it is."""
    header = artefact.header
    name = str(header.settings.get("card", ""))
    items = [("Evaluation card", name or "not recorded"), *recipe(name, dataset(artefact))]
    items.append(("Iterate", iterate(artefact)))
    if header.validation is not None:
        what = "Validation, balanced accuracy" if balanced(artefact) else "Validation accuracy"
        items.append((what, f"{header.validation:.1f} % on held-out images"))
    return pairs(items, class_="pairs")


def balanced(artefact: Artefact) -> bool:
    """Whether the iterate was judged by balanced accuracy."""
    return artefact.header.provenance.get(SELECTED_BY) == BALANCED


def iterate(artefact: Artefact) -> str:
    """Say which iterate of its run an artefact is."""
    header = artefact.header
    if "imported" in header.provenance:
        return "as imported; which one its authors kept is not known"
    if header.iterate == "selected":
        return f"step {header.step:,}, selected on held-out training images"
    return f"step {header.step:,}, the last one"


def settings(artefact: Artefact) -> Markup:
    """Return every setting that the set depends on."""
    items = [
        (tag("code", breakable(name)), breakable(written(value)))
        for name, value in flatten(unplaced(artefact.header.settings))
    ]
    return pairs(items, class_="pairs columns") if items else Markup("")


def flatten(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    """Yield every setting with its dotted name, nested ones after their parents."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def origin(artefact: Artefact) -> list[tuple[str, str]]:
    """Return where the set comes from and how it is stored, by name."""
    header = artefact.header
    told = flatten(unplaced(header.provenance))
    kept = [(name, written(value)) for name, value in told if name != "command"]
    whitening = [] if header.zca == "none" else [("whitening", header.zca)]
    return [
        *kept,
        ("seed", str(header.seed)),
        ("image shape", " × ".join(map(str, header.shape))),
        ("mean of pixels", ", ".join(f"{value:.4f}" for value in header.mean)),
        ("deviation of pixels", ", ".join(f"{value:.4f}" for value in header.std)),
        *whitening,
        ("storage", header.storage),
        ("labels", labels(artefact)),
    ]


def labels(artefact: Artefact) -> str:
    """Return where the labels of a set come from."""
    stored = "learnt" if artefact.header.learned_labels else "the class of each image"
    if artefact.carried is None:
        return stored
    size = format_bytes(artefact.carried.nbytes)
    return f"of {artefact.carried.described.network} in the file ({size}) at every batch; {stored}"


def provenance(artefact: Artefact) -> Markup:
    """Return where the set comes from and how it is stored."""
    items = [(name, breakable(value)) for name, value in origin(artefact)]
    return pairs(items, class_="pairs columns")
