"""What an evaluation is given: an artefact, real images and networks that fit together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attar.artefact import Artefact, last_iterate_path
from attar.data import LabelledImages, Splits, as_splits
from attar.errors import BadRequest
from attar.loading import load
from attar.networks import OWN, Network, Own
from attar.networks.paper_names import in_our_words
from attar.request import BEARING


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
        named = [in_our_words(one.strip()) if isinstance(one, str) else one for one in networks]
        return list(dict.fromkeys(named))
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


def with_last(
    given: Artefact | str | Path, ipc: int | None = None
) -> tuple[Artefact, Artefact | None]:
    """Return an artefact and, where another iterate was selected, the last one beside it.

    Args:
        given: an artefact, or the path of one.
        ipc: memory at which both are read, as `attar.load` takes it.

    Raises:
        BadRequest: an artefact that is read already is to be read at another memory.
    """
    if isinstance(given, Artefact):
        if ipc is not None:
            raise BadRequest(f"ipc={ipc}: goes with a path; give attar.load(path, ipc={ipc})")
        return given, None
    artefact, beside = load(given, ipc), last_iterate_path(Path(given))
    if artefact.card.iterate == "selected" and beside.exists():
        return artefact, load(beside, ipc)
    return artefact, None


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
        for name in BEARING:
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
            f"({_few(theirs)}){_where(ours, theirs)}; give the data it was made from, or --classes"
        )
    return splits


def with_preprocessing(images: LabelledImages, artefact: Artefact) -> LabelledImages:
    """Return real images under the preprocessing that the artefact was made with."""
    return dataclasses.replace(images, preprocessing=artefact.preprocessing)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", … {len(names)} in all" if len(names) > 5 else "")


def _where(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """Say which class is the first to differ; nothing where one list begins as the other."""
    for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            return f": class {index} is {one!r} in the artefact and {other!r} there"
    return ""
