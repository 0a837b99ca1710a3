"""What an evaluation is given: an artefact, and networks that can be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attar.artefact.artefact import Artefact, last_iterate_path
from attar.artefact.loading import load
from attar.errors import BadRequest
from attar.networks import OWN, Network, Own
from attar.networks.paper_names import in_our_words
from attar.text import printable
from attar.training import EvaluationCard


def refuse_single(class_names: Sequence[str]) -> None:
    """Refuse to measure accuracy on one class.

    Raises:
        BadRequest: there is one.
    """
    if len(class_names) == 1:
        raise BadRequest(
            f"there is one class, {printable(class_names[0])}, which every network names whatever "
            "it has learnt, so that accuracy says nothing; merge sets of several classes "
            "('attar merge', attar.merge) and evaluate these"
        )


def refuse_other_steps(card: EvaluationCard, options: Mapping[str, object]) -> None:
    """Refuse another training where a card has the steps that were learnt with the set.

    Args:
        card: what trains.
        options: what is asked for, by the options' names; what is None is not.

    Raises:
        BadRequest: one is asked for.
    """
    for option, value in options.items():
        if card.learnt_steps and value is not None:
            raise BadRequest(
                f"{option}: --card {card.name} trains by exactly the steps that were learnt with "
                "the set; leave it out, or take another card, such as --card dsa-1000"
            )


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
        if not isinstance(networks, Sequence):
            raise BadRequest(
                f"networks {networks!r}: a name, such as 'convnet3', a module, or a list of these"
            )
        named = [in_our_words(one.strip()) if isinstance(one, str) else one for one in networks]
        return list(dict.fromkeys(named))
    name = artefact.header.settings.get("network", "convnet3")
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
    if artefact.header.iterate == "selected" and beside.exists():
        return artefact, load(beside, ipc)
    return artefact, None
