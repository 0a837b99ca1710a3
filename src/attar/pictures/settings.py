"""Which artefacts differ in one setting alone, and what was measured of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attar.artefact.header import Header
from attar.pictures.curves import Curve
from attar.report.entries import Entry
from attar.report.protocols import Protocol, phrases

Facts = dict[str, Hashable]


@dataclass(frozen=True)
class Setting:
    """One that can be swept.

    Args:
        name: for files.
        words: for people, with its unit.
        read: from a header to its value; None where the artefact has none.
    """

    name: str
    words: str
    read: Callable[[Header], float | None]


def _rank(header: Header) -> float | None:
    return header.parametrization.get("rank")


def _lr(header: Header) -> float | None:
    # a coreset is not learnt, whatever its settings say
    return _optimiser(header).get("lr") if _learnt(header) else None


def _iterations(header: Header) -> float | None:
    if not _learnt(header):
        return None
    asked = header.settings.get("iterations")
    return header.step if asked is None else asked


SETTINGS = (
    Setting("rank", "rank of the factors", _rank),
    Setting("lr", "learning rate of the images or factors", _lr),
    Setting("iterations", "iterations (updates of the set)", _iterations),
)


def sweeps(entries: Sequence[Entry]) -> dict[tuple[Setting, Protocol], list[Curve]]:
    """Return the curves of every setting that artefacts differ in while all else is equal.

    Artefacts that differ in nothing but their seed give one point together, of all their
    networks. What has no such setting (full images have no rank) gives a level line.

    Args:
        entries: artefacts, evaluated or not.

    Returns:
        For a setting and a way of measuring, the curves, where one of them has two points or
        more.
    """
    found: dict[tuple[Setting, Protocol], list[Curve]] = {}
    measured = [(entry.artefact.header, accuracies(entry)) for entry in entries]
    protocols = list(dict.fromkeys(protocol for _, own in measured for protocol in own))
    for protocol in protocols:
        here = [(header, own[protocol]) for header, own in measured if protocol in own]
        for setting in SETTINGS:
            curves = _curves(here, setting)
            if any(len(curve.points) > 1 for curve in curves):
                found[setting, protocol] = curves
    return found


def accuracies(entry: Entry) -> dict[Protocol, tuple[float, ...]]:
    """Return the accuracies of all networks that were trained on an artefact, by protocol."""
    classes = tuple(entry.artefact.header.class_names)
    return {
        Protocol(result.network, evaluation.card, evaluation.data, classes): result.accuracies
        for evaluation in entry.evaluations
        if evaluation.own is not None
        for result in evaluation.own.results
    }


def told(protocols: Sequence[Protocol]) -> dict[Protocol, str]:
    """Return a few words for each protocol, such as ``convnet3 under dsa-1000``."""
    words = phrases(protocols)
    if len(protocols) == 1:
        (one,) = protocols
        return {one: f"{one.network} under {one.card}"}
    return words


def _curves(measured: Sequence[tuple[Header, Sequence[float]]], setting: Setting) -> list[Curve]:
    groups: dict[tuple[tuple[str, Hashable], ...], dict[float | None, list[float]]] = {}
    for header, values in measured:
        others = tuple(item for item in facts(header).items() if item[0] != setting.name)
        at = setting.read(header)
        groups.setdefault(others, {}).setdefault(at, []).extend(values)
    names = _names([dict(key) for key in groups])
    return [
        Curve(name, {at: own for at, own in points.items() if at is not None}, points.get(None, ()))
        for name, points in zip(names, groups.values(), strict=True)
    ]


def facts(header: Header) -> Facts:
    """Return what an artefact depends on, but for its seed, by name."""
    asked, how = header.settings, _optimiser(header)
    minutes = asked.get("minutes")
    objective = asked.get("objective")
    found: Facts = {
        "method": header.method,
        "budget": _budget(header.budget),
        "rank": header.parametrization.get("rank"),
        "stored as": repr({k: v for k, v in header.parametrization.items() if k != "rank"}),
        "storage": header.storage,
        "labels": "learnt" if header.learned_labels else "classes",
        "source": str(header.provenance.get("source")),
        "read": repr(header.provenance.get("reading")),
        "network": asked.get("network"),
        "average": asked.get("average"),
        "zca": header.zca,
        "teacher storage": asked.get("teacher_storage"),
        **_start(asked.get("init")),
    }
    if _learnt(header):
        found |= {name: how.get(name) for name in ("lr", "momentum", "kind", "schedule")}
        found["iterations"] = f"{minutes:g} min" if minutes else asked.get("iterations")
        own = objective if isinstance(objective, Mapping) else {}
        found |= {f"{name}": str(value) for name, value in own.items() if name != "name"}
    return found


def _start(init: Any) -> Facts:
    """Return how the images began, with the settings of what chose them, where it has any."""
    if not isinstance(init, Mapping):
        return {"init": init}
    own = {f"init {name}": str(value) for name, value in init.items() if name != "name"}
    return {"init": init.get("name"), **own}


def _names(groups: Sequence[Facts]) -> list[str]:
    """Return a name for each group: its method and whatever tells it from the others."""
    every = list(dict.fromkeys(name for group in groups for name in group))
    differing = [n for n in every if len({group.get(n) for group in groups}) > 1]
    found = []
    for group in groups:
        rest = [
            value if name == "budget" else f"{name} {value}"
            for name in differing
            # the method says how its images are stored
            if name not in ("method", "stored as") and (value := group.get(name)) is not None
        ]
        found.append(", ".join(map(str, [group["method"], *rest])))
    # what tells two apart may be none of these
    return [f"{n} ({i + 1})" if found.count(n) > 1 else n for i, n in enumerate(found)]


def _budget(asked: Mapping[str, Any]) -> str:
    if asked.get("ipc") is not None:
        return f"memory of {asked['ipc']} per class"
    if asked.get("images_per_class") is not None:
        return f"{asked['images_per_class']} images per class"
    return f"{asked.get('bytes')} bytes ({asked.get('count')})"


def _optimiser(header: Header) -> Mapping[str, Any]:
    optimisers = header.settings.get("optimisers")
    found = optimisers.get("images") if isinstance(optimisers, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _learnt(header: Header) -> bool:
    return bool(header.step or header.settings.get("iterations"))
