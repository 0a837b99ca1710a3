"""A suite at one of its sizes, and in words what that size shrinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attar.benching.cells import WHOLE, widened
from attar.benching.entries import (
    BudgetEntry,
    DatasetEntry,
    EvaluationEntry,
    Filter,
    MethodEntry,
    TeacherEntry,
)
from attar.benching.slimming import LENGTHS
from attar.benching.suite import Size, Suite
from attar.errors import unknown

DEFAULT = "laptop"
SMALLEST = "smallest"
_WIDTH = 8
_NARROW = "convnet3"
# has the statistics that some methods match
_TEACHER = "convnet3:norm=batch"


@dataclass(frozen=True)
class Sized:
    """A suite at one size.

    Args:
        suite: with the changes of the size made.
        size: its name; empty for a suite without sizes.
        shrinks: sentences on what differs from the suite as it stands, equally for every row.
        full: whether every set and network is made as the suite says, of whole datasets and with
            networks of their own width, so that figures may be set against published ones; fewer
            cells, sets or networks do not count.
    """

    suite: Suite
    size: str
    shrinks: tuple[str, ...]
    full: bool


def at_size(suite: Suite, size: str | None) -> Sized:
    """Return a suite at a size.

    Args:
        suite: as read.
        size: its name; None takes ``laptop`` where there is one, else the first.

    Raises:
        BadRequest: no such size.
    """
    if size is None:
        size = DEFAULT if DEFAULT in suite.sizes else next(iter(suite.sizes), "")
    if not size:
        return Sized(suite, "", (), _is_whole(suite))
    if size not in suite.sizes:
        raise unknown(f"size (--size) of suite {suite.name}", size, suite.sizes or ["none"])
    change = suite.sizes[size]
    changed = _changed(suite, change)
    full = _is_whole(changed) and not _bears(change)
    return Sized(changed, size, tuple(_told(suite, change)), full)


def smallest(suite: Suite) -> Sized:
    """Return a suite with every method and network on two digits, at its shortest.

    For trying a suite out: one dataset, one budget (two where sets are slimmed), one set, one
    update, one network of width 8 trained for one epoch. Networks after the first, and those that
    have no width, are tried on the first method alone, and no set is made on them. The digits are
    brought to the papers' 32×32, so that every network and rank of theirs fits.
    """
    name = next(iter(suite.datasets))
    entry = DatasetEntry(source="digits", classes=2, per_class=60, resize=32)
    networks = suite.networks
    if not _narrows(networks[0]):
        networks = [_NARROW, *networks]
    others = [*suite.method_names[1:], WHOLE]
    teacher = suite.evaluation.teacher
    cut = suite.model_copy(
        update={
            "evaluation": suite.evaluation.model_copy(
                update={"teacher": teacher and TeacherEntry(network=_TEACHER)}
            ),
            "datasets": {name: entry},
            "methods": [_on_narrow_network(method) for method in suite.methods],
            "networks": networks,
            "options": _narrow(suite.options),
            "skip": [Filter(method=others, network=[network]) for network in networks[1:]],
        }
    )
    # to slim, there has to be a larger set
    count = 1 if suite.slimming is None else 2
    change = Size(
        experts=None if suite.experts is None else {"count": 1},
        budgets=sorted(suite.budgets, key=_amount)[:count],
        seeds=[suite.seeds[0]],
        repeats=1,
        width=_WIDTH,
        iterations=1,
        epochs=1,
        teacher_epochs=None if teacher is None else 1,
    )
    told = ("handwritten digits in place of every dataset", *_told(suite, change))
    return Sized(_changed(cut, change), SMALLEST, told, False)


def _narrows(network: str) -> bool:
    return widened(network, _WIDTH) != network


def _narrow(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with a network of which a narrow one can be made."""
    if _narrows(options.get("network") or _NARROW):
        return options
    return options | {"network": _NARROW}


def _on_narrow_network(entry: MethodEntry) -> MethodEntry:
    return entry.without(entry.options).model_copy(update=_narrow(entry.options))


def _amount(budget: BudgetEntry) -> int:
    allowance = budget.allowance()
    limit = allowance.limit(2, (3, 32, 32))
    return limit if limit is not None else 2 * 3 * 32 * 32 * 4 * (budget.images_per_class or 1)


def _changed(suite: Suite, change: Size) -> Suite:
    """Return the suite with a size's changes in place of its own settings."""
    part = change.model_dump(include={"classes", "per_class", "resize"}, exclude_none=True)
    datasets = {
        name: entry.model_copy(update=part)
        for name, entry in suite.datasets.items()
        if change.datasets is None or name in change.datasets
    }
    length = change.model_dump(include=set(LENGTHS), exclude_none=True)
    slimming = suite.slimming and suite.slimming.changed(change.slimming, length)
    shorter = length or (change.slimming and change.slimming.length)
    methods = [
        _with_options(
            _without_lengths(entry, own=bool(length), slim=bool(shorter)),
            change.rows.get(entry.name, {}),
        )
        for entry in suite.methods
        if change.methods is None or entry.name in change.methods
    ]
    options = {k: v for k, v in suite.options.items() if not (length and k in LENGTHS)}
    new: dict[str, Any] = {
        "slimming": slimming,
        "datasets": datasets,
        "methods": methods,
        "options": options | change.options | length,
    }
    if suite.experts is not None or change.experts is not None:
        new["experts"] = {**(suite.experts or {}), **(change.experts or {})}
    for name in ("budgets", "networks", "seeds", "repeats", "width"):
        if getattr(change, name) is not None:
            new[name] = getattr(change, name)
    if change.epochs is not None or change.updates is not None:
        new["evaluation"] = EvaluationEntry(
            card=suite.evaluation.card,
            epochs=change.epochs,
            updates=change.updates,
            teacher=suite.evaluation.teacher,
        )
    if change.teacher_epochs is not None and suite.evaluation.teacher is not None:
        asked = new.get("evaluation", suite.evaluation)
        taught = asked.teacher.model_copy(update={"epochs": change.teacher_epochs})
        new["evaluation"] = asked.model_copy(update={"teacher": taught})
    return suite.model_copy(update=new)


def _with_options(entry: MethodEntry, options: Mapping[str, Any]) -> MethodEntry:
    """Return an entry with options of its own in place of others; settings join those there."""
    if any(name in options for name in LENGTHS):
        entry = entry.without(LENGTHS)
    if "set" in options:
        given = {pair.partition("=")[0] for pair in options["set"]}
        kept = [one for one in entry.options.get("set", ()) if one.partition("=")[0] not in given]
        options = {**options, "set": (*kept, *options["set"])}
    return entry.model_copy(update=options)


def _without_lengths(entry: MethodEntry, *, own: bool, slim: bool) -> MethodEntry:
    """Return an entry without lengths of its own, so that a size holds for all rows alike."""
    entry = entry.without(LENGTHS if own else ())
    if not slim or not isinstance(entry.slim, dict):
        return entry
    kept = {name: value for name, value in entry.slim.items() if name not in LENGTHS}
    return entry.model_copy(update={"slim": kept})


def _is_whole(suite: Suite) -> bool:
    """Tell whether a suite takes whole datasets, and networks of their own width."""
    part = ("classes", "per_class", "resize")
    taken = (entry.reading() for entry in suite.datasets.values())
    return suite.width is None and not any(name in one for one in taken for name in part)


def _bears(change: Size) -> bool:
    """Tell whether a size changes how a set or network is made."""
    names = (
        "classes",
        "per_class",
        "resize",
        "width",
        "iterations",
        "minutes",
        "epochs",
        "updates",
        "teacher_epochs",
    )
    changes = (change.options, change.rows, change.shrinks, change.slimming, change.experts)
    return any(map(bool, changes)) or any(getattr(change, name) is not None for name in names)


def _told(suite: Suite, change: Size) -> list[str]:
    """Return one line for everything that a size changes."""
    said = [
        ("datasets", _fewer("datasets", change.datasets, list(suite.datasets))),
        ("methods", _fewer("methods", change.methods, suite.method_names)),
        ("budgets", _fewer("budgets", _labels(change.budgets), suite.budget_names)),
        ("networks", _fewer("networks", change.networks, suite.networks)),
        ("classes", f"classes: {_classes(change.classes)}"),
        ("per_class", f"at most {change.per_class} training images of a class"),
        ("resize", f"images brought to {change.resize}×{change.resize} pixels"),
        ("width", f"networks of width {change.width}, where they have one"),
        ("iterations", f"updates of every set: {change.iterations} in place of the method's own"),
        ("minutes", f"updates of every set: {change.minutes or 0:g} min"),
        ("epochs", f"epochs of evaluation networks: {change.epochs}"),
        ("updates", f"updates of evaluation networks: {change.updates}"),
        ("teacher_epochs", f"epochs of the teacher: {change.teacher_epochs}"),
        ("seeds", _count(change.seeds, suite.seeds)),
        ("repeats", f"networks per set: {change.repeats} in place of {suite.repeats}"),
    ]
    lines = [text for name, text in said if getattr(change, name) is not None and text]
    lines += [f"{name}: {value}" for name, value in change.options.items()]
    lines += [
        f"{row}: {', '.join(f'{name} {_plain(value)}' for name, value in options.items())}"
        for row, options in change.rows.items()
    ]
    lines += [f"experts, {name}: {value}" for name, value in (change.experts or {}).items()]
    if change.slimming is not None and suite.slimming is not None:
        lines += change.slimming.told(suite.slimming)
    return [*lines, *([change.shrinks] if change.shrinks else [])]


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _labels(budgets: Sequence[BudgetEntry] | None) -> list[str] | None:
    return None if budgets is None else [budget.label for budget in budgets]


def _fewer(what: str, kept: Sequence[str] | None, there: Sequence[str]) -> str:
    if kept is None or list(kept) == list(there):
        return ""
    left = [name for name in there if name not in kept]
    return f"{what}: {', '.join(kept)}" + (f" (without {', '.join(left)})" if left else "")


def _count(given: Sequence[int] | None, before: Sequence[int]) -> str:
    if given is None or list(given) == list(before):
        return ""
    return f"condensed sets of each kind: {len(given)} in place of {len(before)}"


def _classes(classes: Any) -> str:
    if isinstance(classes, int):
        return f"the first {classes}"
    return ", ".join(map(str, classes)) if isinstance(classes, list) else str(classes)
