"""Sets slimmed one from another: from a row's largest set along its falling budgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attar.benching.entries import MethodEntry
from attar.benching.making import FREE, LEARNED, Making, Slimming
from attar.benching.options import COMPONENTS, for_slimming
from attar.benching.slimming import LEARNING, LENGTHS
from attar.benching.suite import Suite
from attar.errors import BadRequest
from attar.experts.request import ExpertsRequest
from attar.methods import METHODS, usual
from attar.wording import as_keywords

# what a slimming shares with the first condensation of its row
_SHARED = ("network", "card", "device", "precision", "compile", "chunk")


def makes_updates(method: str) -> bool:
    """Tell whether a method updates its images, by its settings for CIFAR-10."""
    return method not in METHODS or usual(method).iterations > 0


def experts_of(suite: Suite, entry: MethodEntry) -> dict[str, Any] | None:
    """Return the options of `attar experts` for those that a row follows; None where it needs none.

    Raises:
        BadRequest: the suite does not say how they are trained, or as no training can be.
    """
    if not usual(entry.method).objective.follows_experts or "experts" in entry.options:
        return None
    if suite.experts is None:
        raise BadRequest(
            f"suite {suite.name}: method {entry.name!r} follows expert trajectories; say how they "
            "are trained, such as 'experts: {count: 20, epochs: 7}'"
        )
    try:
        ExpertsRequest(**as_keywords(suite.experts))
    except BadRequest as error:
        raise BadRequest(f"suite {suite.name}: experts: {error}") from None
    return dict(suite.experts)


def ways_of(suite: Suite, entry: MethodEntry) -> list[str]:
    """Return how a row's sets are slimmed, as `Slimming.way`; by default if they are learnt."""
    if suite.slimming is None or entry.slim is False:
        return []
    if entry.slim is None and not makes_updates(entry.method):
        return []
    return [LEARNED if way == LEARNING else FREE for way in suite.slimming.ways]


def chains(suite: Suite, entry: MethodEntry, made: Sequence[Making]) -> list[Slimming]:
    """Return the sets slimmed from those of a row on one dataset, the largest first.

    Args:
        suite: at its size.
        entry: the row.
        made: its sets that are condensed from real images.

    Raises:
        BadRequest: a budget that is no number of images per class, or an option that no slimming
            can have.
    """
    found: list[Slimming] = []
    for way in ways_of(suite, entry):
        for seed in dict.fromkeys(one.seed for one in made):
            own = [one for one in made if one.seed == seed]
            before, *smaller = sorted(own, key=_size, reverse=True)
            for one in smaller:
                if _size(one) == _size(before):
                    raise BadRequest(
                        f"{one.words}: the budgets name {_size(one)} images per class twice, and "
                        "nothing is slimmed to its own size; name it once"
                    )
                before = _slimming(suite, entry, way == LEARNED, one, before)
                found.append(before)
    return found


def _size(making: Making) -> int:
    ipc = making.options.get("ipc")
    if ipc is None or making.options.get("count") == "all":
        raise BadRequest(
            f"{making.words}: sets are slimmed to so many images per class, so 'slimming' takes "
            "budgets such as 10 alone; leave it out, or write 'slim: false' for this method"
        )
    return ipc


def _slimming(
    suite: Suite, entry: MethodEntry, learns: bool, same: Making, before: Making
) -> Slimming:
    """Return a set of the budget, dataset and seed of ``same``, slimmed from ``before``."""
    made = Slimming(
        same.dataset,
        same.method,
        same.budget,
        same.seed,
        same.source,
        same.reading,
        {**_options(suite, entry, learns, same), "ipc": same.options["ipc"], "seed": same.seed},
        before=before,
        learns=learns,
    )
    try:
        made.slim_request()
    except BadRequest as error:
        raise BadRequest(f"{made.words}: {error}") from None
    return made


def _options(suite: Suite, entry: MethodEntry, learns: bool, same: Making) -> dict[str, Any]:
    slimming = suite.slimming
    assert slimming is not None
    own = entry.slim if isinstance(entry.slim, dict) else {}
    length = {} if own.keys() & set(LENGTHS) else slimming.length
    shared = {name: same.options[name] for name in _SHARED if name in same.options}
    given = {**shared, **slimming.options, **length, **own}
    method = given.pop("method", None) or entry.method
    given = {name: value for name, value in given.items() if value is not None}
    if learns:
        return {**for_slimming(given, method, True), "method": method}
    kept = "learning_free" if entry.method == COMPONENTS else "random"
    return {**for_slimming(given, entry.method, False), kept: True}
