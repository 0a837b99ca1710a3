"""The pieces of work that a suite comes to: sets to make, and networks to train on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attar.benching.chains import chains, experts_of, makes_updates, ways_of
from attar.benching.entries import BudgetEntry, DatasetEntry, MethodEntry
from attar.benching.making import Making, slug, source_identity
from attar.benching.options import KINDS, for_method
from attar.benching.suite import Suite
from attar.condensing.overrides import takes_teacher
from attar.errors import BadRequest
from attar.methods import usual
from attar.networks.families import FAMILIES
from attar.networks.paper_names import in_our_words
from attar.training import card as find_card

WHOLE = "whole"
ARITHMETIC = ("device", "precision", "compile")


@dataclass(frozen=True)
class Measuring:
    """Networks to be trained on a set and tested.

    Args:
        making: what makes the set.
        network: their name.
        card: of the evaluation; None for the set's own.
        epochs: None for the card's.
        repeats: how many networks.
        whole: measure the whole training set in place of the set made from it.
        updates: one number for every set in place of epochs; None for epochs.
        teacher: the suite's, ``network`` and ``epochs``, which labels batches in a row beside;
            None for none.
    """

    making: Making
    network: str
    card: str | None
    epochs: int | None
    repeats: int
    whole: bool = False
    updates: int | None = None
    teacher: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """A name that no other piece of work of the suite has; also the path of its files."""
        if self.whole:
            return "/".join(map(slug, (self.making.dataset, WHOLE, self.network)))
        return f"{self.making.key}/{slug(self.network)}"

    @property
    def words(self) -> str:
        """The same for people."""
        if self.whole:
            return f"{self.making.dataset}, whole training set, {self.network}"
        return f"{self.making.words}, {self.network}"

    @property
    def networks_seed(self) -> int:
        """The seed of the networks: each set has networks of its own."""
        return self.making.seed

    @property
    def compute(self) -> dict[str, Any]:
        """How the arithmetic is done, where the set's options say it."""
        options = self.making.first.options
        return {name: options[name] for name in ARITHMETIC if name in options}

    def lengths(self, own: str) -> dict[str, int | None]:
        """Return epochs and updates, as `attar.evaluate` takes them, of a set.

        Args:
            own: the card of the set, which holds where the suite names none. One that trains by
                steps of its own, or no network, takes no other length.
        """
        card = find_card(self.card or own)
        if card.learnt_steps or card.kernel:
            return {"epochs": None, "updates": None}
        return {"epochs": self.epochs, "updates": self.updates}

    def identity(self) -> dict[str, Any]:
        """Return what the accuracies depend on beside the set."""
        return {
            "data": source_identity(self.making.source),
            "reading": dict(self.making.reading),
            "network": self.network,
            "card": self.card,
            "epochs": self.epochs,
            "repeats": self.repeats,
            "seed": self.networks_seed,
            # left out where it is not asked for, so that what was measured before still counts
            **({} if self.updates is None else {"updates": self.updates}),
            **({} if self.teacher is None else {"teacher": dict(self.teacher)}),
            **self.compute,
        }


Work = Making | Measuring


def expand(suite: Suite) -> tuple[list[Making], list[Measuring]]:
    """Return all the work of a suite, dataset by dataset, in the order of its tables.

    Raises:
        BadRequest: a method that there is not, an option that it cannot take, or nothing to do.
    """
    makings: list[Making] = []
    measurings: list[Measuring] = []
    for name, entry in suite.datasets.items():
        found = [pair for method in suite.methods for pair in _row(suite, name, entry, method)]
        makings += [making for making, _ in found]
        measurings += [
            _measuring(suite, making, network) for making, networks in found for network in networks
        ]
        if suite.whole and found:
            measurings += [
                _measuring(suite, found[0][0], network, whole=True)
                for network in _networks(suite, name, WHOLE, "")
            ]
    if not makings:
        raise BadRequest(f"suite {suite.name}: 'skip' leaves no cell")
    if suite.slimming is not None and not any(making.way for making in makings):
        raise BadRequest(
            f"suite {suite.name}: 'slimming' finds no set to slim: it takes a method that is "
            "learnt and two budgets or more; leave it out, or add what is missing"
        )
    _check_files(suite)
    return makings, measurings


def _row(
    suite: Suite, name: str, dataset: DatasetEntry, method: MethodEntry
) -> list[tuple[Making, list[str]]]:
    """Return the sets of a row on a dataset, and the networks to measure each with."""
    found = [
        (making, networks)
        for budget in suite.budgets
        for seed in suite.seeds
        if (networks := _networks(suite, name, method.name, budget.label))
        for making in [_making(suite, name, dataset, method, budget, seed)]
    ]
    networks_of = {making.budget: networks for making, networks in found}
    slimmed = chains(suite, method, [making for making, _ in found])
    return [*found, *((one, networks_of[one.budget]) for one in slimmed)]


def _check_files(suite: Suite) -> None:
    """Refuse rows whose files would have the same names."""
    known: dict[str, str] = {}
    for entry in suite.methods:
        for way in ("", *ways_of(suite, entry)):
            words = f"{entry.name!r} {way}".rstrip()
            other = known.setdefault(slug(f"{entry.name} {way}".rstrip()), words)
            if other != words:
                raise BadRequest(
                    f"suite {suite.name}: the files of methods {other} and {words} would have the "
                    "same names; give one of them another 'name'"
                )


def _networks(suite: Suite, dataset: str, method: str, budget: str) -> list[str]:
    """Return the networks that a set is to be measured with; none where the set is skipped."""
    return [
        network
        for network in suite.networks
        if not any(one.covers(dataset, method, budget, network) for one in suite.skip)
    ]


def _making(
    suite: Suite,
    dataset: str,
    entry: DatasetEntry,
    method: MethodEntry,
    budget: BudgetEntry,
    seed: int,
) -> Making:
    options = for_method(suite.options, makes_updates(method.method)) | method.options
    if suite.width is not None:
        network = options.get("network") or usual(method.method).network
        options["network"] = widened(network, suite.width)
    options = {name: value for name, value in options.items() if value is not None}
    options |= {"method": method.method, "seed": seed, **budget.options}
    assert options.keys() <= KINDS.keys() | {"method", "seed", *BudgetEntry.model_fields}
    teacher = teacher_of(suite)
    if teacher is None or "teacher" in options or not takes_teacher(usual(method.method)):
        teacher = None
    else:
        options["teacher"] = teacher["network"]
    reading, experts = entry.reading(), experts_of(suite, method)
    making = Making(
        dataset, method.name, budget.label, seed, entry.source, reading, options, experts, teacher
    )
    try:
        making.request()
    except BadRequest as error:
        raise BadRequest(f"{making.words}: {error}") from None
    return making


def _measuring(suite: Suite, making: Making, network: str, whole: bool = False) -> Measuring:
    asked = suite.evaluation
    name = widened(network, suite.width) if suite.width is not None else network
    # nothing labels all the real images in its place
    teacher = None if whole else teacher_of(suite)
    return Measuring(
        making, name, asked.card, asked.epochs, suite.repeats, whole, asked.updates, teacher
    )


def teacher_of(suite: Suite) -> dict[str, Any] | None:
    """Return the suite's teacher as `Making` and `Measuring` have it; None where it has none."""
    asked = suite.evaluation.teacher
    if asked is None:
        return None
    network = asked.network if suite.width is None else widened(asked.network, suite.width)
    arithmetic = {name: suite.options[name] for name in ARITHMETIC if name in suite.options}
    return {**asked.model_dump(exclude_none=True), "network": network, **arithmetic}


def widened(network: str, width: int) -> str:
    """Return the name of a network at another width; one that has none stays as it is."""
    head, _, tail = in_our_words(network).partition(":")
    family = re.sub(r"\d+$", "", head) if head not in FAMILIES else head
    if family not in FAMILIES or "width" not in FAMILIES[family].options:
        return network
    options = [one for one in tail.split(",") if one and not one.startswith("width=")]
    return f"{head}:{','.join([*options, f'width={width}'])}"
